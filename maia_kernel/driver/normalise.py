"""Makes text independent of the machine and of the run: paths, addresses, terminal control, characters.

Every function is pure, total, idempotent, and linear in the length of its text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

# A path begins after a delimiter, so that every stretch of text is scanned once however many slashes it has.
_START = r"(?<![\w~./\\+@%-])"
_PATH = r"(?:~|[A-Za-z]:)?[/\\][^\s'\"<>|:*?\x1b]{0,1024}?"

_LIBRARY = re.compile(_START + rf"(?:{_PATH})?[/\\]((?:site|dist)-packages[/\\])")
_STANDARD = re.compile(_START + rf"(?:{_PATH})?[/\\]lib[/\\](python3\.\d+[/\\])")
_OWN = re.compile(_START + rf"(?:{_PATH})?[/\\](maia_kernel[/\\](?:(?:lab|scenes|driver|bench)[/\\]|\w+\.py))")
_CELL_FILE = re.compile(_START + rf"{_PATH}[/\\]ipykernel_\d+[/\\]\d+\.py")
_CELL_NAME = re.compile(r"\(\d{5,12}\.py, line ")
_HOME = re.compile(_START + r"(?:/home/[\w.+-]+|/Users/[\w.+-]+|/root|[A-Za-z]:\\Users\\[\w.+-]+)(?![\w.+-])")
_TEMPORARY = re.compile(
    _START + r"(?:/private)?(?:/var/folders/[^/\s]+/[^/\s]+/T|/var/tmp|/tmp)(?:/tmp[a-z0-9_]{8}(?![\w.-]))?(?![\w.+-])"
)
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,16}\b")
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_SURROGATE = re.compile("[\ud800-\udfff]")

_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
_CONTROL = re.compile(r"[\x00-\x07\x0b\x0c\x0e-\x1f\x7f]")


def scrub(text: str, roots: Mapping[str, str] | None = None) -> str:
    """Text without what tells the machine or the run: absolute paths, memory addresses, lone surrogates.

    Parameters
    ----------
    text : str
        Any text; colours stay.
    roots : mapping of str to str, optional
        Absolute folders known to the caller and what stands for them ({"/data/anna": "~"}).

    Returns
    -------
    str
        Libraries' paths begin at ``site-packages/`` or ``python3.x/``, this package's at ``maia_kernel/``, home
        folders are ``~``, temporary ones ``<tmp>``, addresses ``at 0x…``, a surrogate that stands alone becomes U+FFFD.
    """
    if not text.isascii():
        text = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
    if "\x1b[" not in text:
        return _scrub(text, roots)
    # IPython colours paths: what stands between two colours is looked at by itself.
    return "".join(piece if piece.startswith("\x1b[") else _scrub(piece, roots) for piece in _COLOUR.split(text))


def _scrub(text: str, roots: Mapping[str, str] | None) -> str:
    if "-packages" in text:
        text = _LIBRARY.sub(r"\1", text)
    if "python3." in text:
        text = _STANDARD.sub(r"\1", text)
    if "maia_kernel" in text:
        text = _OWN.sub(r"\1", text)
    if "ipykernel_" in text:
        text = _CELL_FILE.sub("Cell", text)
    if ".py, line " in text:
        text = _CELL_NAME.sub("(Cell, line ", text)
    for root, name in sorted((roots or {}).items(), key=lambda item: -len(item[0])):
        if root in text:
            text = _root(root).sub(lambda _match, name=name: name, text)  # type: ignore[misc]
    if "/" in text or "\\" in text:
        text = _TEMPORARY.sub("<tmp>", _HOME.sub("~", text))
    if "0x" in text:
        text = _ADDRESS.sub("at 0x…", text)
    return text


@lru_cache(maxsize=32)
def _root(folder: str) -> re.Pattern[str]:
    return re.compile(_START + re.escape(folder.rstrip("/\\")) + r"(?![\w.+-])")


def settle(text: str) -> str:
    """What a terminal shows after the text: carriage returns and backspaces resolved line by line.

    A line that is drawn over keeps the end of a longer one before it, as on a terminal; where colours are in play only
    what was drawn last is kept.
    """
    if "\r" not in text and "\b" not in text:
        return text
    return "\n".join(_settle_line(line) for line in text.replace("\r\n", "\n").split("\n"))


def _settle_line(line: str) -> str:
    if "\r" not in line and "\b" not in line:
        return line
    if "\x1b" in line:
        drawn = [part for part in line.split("\r") if _ANSI.sub("", part).strip()]
        return drawn[-1].replace("\b", "") if drawn else ""
    screen: list[str] = []
    column = 0
    for part in re.split("([\r\b])", line):
        if part == "\r":
            column = 0
        elif part == "\b":
            column = max(0, column - 1)
        elif part:
            screen[column : column + len(part)] = part
            column += len(part)
    return "".join(screen).rstrip(" ")


def plain(text: str) -> str:
    """Text as it is read: settled, without colours and control characters, with ``\\n`` for line ends."""
    text = settle(text)
    if "\x1b" in text or "\x9b" in text:
        text = _ANSI.sub("", text)
    return _CONTROL.sub("", text)
