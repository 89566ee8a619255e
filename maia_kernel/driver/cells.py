"""A reply's text -> a turn of cells. Total: it never raises; a malformed reply becomes a turn with a notice."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

NoticeKind = Literal["format", "truncated", "refusal", "restart", "limit", "merge"]

PYTHON = {"python", "py", "python3", "ipython", "ipython3"}
EMPTY_REPLY = "*(empty reply)*"

# A tag of the final answer, with the emphasis that models like to put around it.
_TAG = re.compile(
    r"^ {0,3}(?:#{1,6} +)?[*_]{0,3}\[(?P<name>DESCRIPTION|BIAS|REASONING|LABEL(?: \d+)?)\]"
    r"[*_]{0,3} *:?[*_]{0,3}(?P<text>.*)$"
)
# "(turns 2, 5; confidence 0.9)", or one of the two.
_EVIDENCE = re.compile(
    r"\s*\((?=turn|confidence)(?:turns? +(?P<turns>\d[\d\s,–and-]*))?[;,\s]*"
    r"(?:confidence:? *(?P<confidence>\d*\.?\d+) *(?P<percent>%?))?\)[\s.*_]*$",
    re.IGNORECASE,
)
_RANGE = re.compile(r"(\d+)(?:\s*[–-]\s*(\d+))?")
# What a reasoning model thought aloud is neither code nor an answer.
_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Markdown:
    """Reasoning of the agent."""

    source: str


@dataclass(frozen=True)
class Code:
    """An experiment of the agent."""

    source: str


@dataclass(frozen=True)
class Notice:
    """What the program has to say to the agent and to the reader."""

    kind: NoticeKind
    text: str


_CUT = Notice("truncated", "The reply was cut at the server's length limit. Continue, more briefly.")
_NOT_CLOSED = Notice(
    "format", "A code block was not closed and is not valid Python, so it was not run. Send it again, whole."
)
_CODE_AND_ANSWER = Notice(
    "format",
    "The reply holds code and a final answer. The code was run; once you have seen its output, give the final answer "
    "in a reply without code.",
)
_NEITHER = Notice(
    "format",
    "The reply holds neither a Python code block nor a final answer. Send one experiment in a ```python block, or the "
    "final answer.",
)


@dataclass(frozen=True)
class Label:
    """One label of a final answer, the turns that it names as its evidence, and how sure the agent is (0 to 1)."""

    text: str
    turns: tuple[int, ...] = ()
    confidence: float | None = None


@dataclass(frozen=True)
class Final:
    """A complete final answer.

    Attributes
    ----------
    description : str
        The text behind ``[DESCRIPTION]``, ``[BIAS]`` or ``[REASONING]``.
    labels : tuple of Label
        The ``[LABEL n]`` lines, or the verdict of ``[LABEL]``.
    """

    description: str
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class Turn:
    """A reply as cells, in reading order.

    Attributes
    ----------
    cells : tuple of Markdown and Code
        Never empty; code cells are to be run in order.
    final : Final or None
        The final answer, if the reply is one.
    notices : tuple of Notice
        What the agent has to be told about its reply.
    """

    cells: tuple[Markdown | Code, ...]
    final: Final | None = None
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class _Block:
    """A fenced block: its lines, its content, and whether its fence is closed."""

    start: int
    end: int
    language: str
    content: str
    closed: bool


def parse(text: str, finish_reason: str | None = "stop") -> Turn:
    """Turn a reply into cells.

    Code is what stands in fenced blocks that say they are Python; blocks without a language count only when no block
    says so and they read like a program, so that outputs which a model invents are not run. All other blocks stay
    text. A block that is cut off is run only if the reply was not truncated and the block is valid Python.

    Parameters
    ----------
    text : str
        The reply.
    finish_reason : str or None
        What the server said; ``"length"`` marks a reply that was cut.
    """
    text = re.sub(r"\r\n?", "\n", text).encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be saved
    lines = text.split("\n")
    # Only blocks matter; reading what is inside of them would take quadratic time on a hostile reply.
    heard = _THOUGHT.sub(lambda thought: re.sub(r"[^\n]", " ", thought[0]), text)
    tokens = MarkdownIt("commonmark").disable("inline").parse(heard)
    blocks = [_block(token, lines) for token in tokens if token.type == "fence" and token.map]
    cut = finish_reason == "length"
    code = [block for block in _code_blocks(blocks) if block.content.strip()]
    runnable = [block for block in code if block.closed or (not cut and _parses(block.content))]
    cells = _interleave(lines, runnable)
    final, missing = _final(heard.split("\n"), tokens)
    if cut:
        notice = _CUT
    elif len(runnable) < len(code):
        notice = _NOT_CLOSED
    elif runnable and (final or missing):
        notice = _CODE_AND_ANSWER
    elif missing:
        notice = Notice("format", f"The final answer is not complete: {missing}")
    elif not runnable and final is None:
        notice = _NEITHER
    else:
        notice = None
    return Turn(cells, None if runnable or cut else final, (notice,) if notice else ())


def fence(source: str, language: str = "python") -> str:
    """Text as a fenced block, with a fence longer than any inside it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", source)), default=2)
    ticks = "`" * (longest + 1)
    return f"{ticks}{language}\n{source}\n{ticks}"


def _block(token: Token, lines: list[str]) -> _Block:
    start, end = token.map or (0, 0)
    last = lines[end - 1].strip() if end <= len(lines) else ""
    closed = end - start >= 2 and len(last) >= len(token.markup) and set(last) == {token.markup[0]}
    words = token.info.strip().lower().replace("{", " ").replace("}", " ").split()
    return _Block(start, end, words[0] if words else "", token.content, closed)


def _code_blocks(blocks: list[_Block]) -> list[_Block]:
    tagged = [block for block in blocks if block.language in PYTHON]
    return tagged or [block for block in blocks if not block.language and _reads_like_code(block.content)]


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _reads_like_code(source: str) -> bool:
    # "Activation: 3.2" is valid Python (an annotation), so parsing alone does not tell a program from an output.
    if not _parses(source):
        return False
    doing = (ast.Call, ast.Assign, ast.AugAssign, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.For, ast.With)
    return any(isinstance(node, doing) for node in ast.walk(ast.parse(source)))


def _interleave(lines: list[str], blocks: list[_Block]) -> tuple[Markdown | Code, ...]:
    cells: list[Markdown | Code] = []
    at = 0
    for block in blocks:
        cells += _markdown(lines[at : block.start])
        cells.append(Code(block.content.strip("\n").rstrip()))
        at = block.end
    cells += _markdown(lines[at:])
    return tuple(cells) or (Markdown(EMPTY_REPLY),)


def _markdown(lines: list[str]) -> list[Markdown]:
    source = "\n".join(lines).strip()
    return [Markdown(source)] if source else []


def _final(lines: list[str], tokens: list[Token]) -> tuple[Final | None, str]:
    """The final answer, or what is missing for one ("" where nobody tried)."""
    hidden = {
        line for token in tokens if token.type in ("fence", "code_block") and token.map for line in range(*token.map)
    }
    fields: dict[str, list[str]] = {}
    current: list[str] | None = None
    for number, line in enumerate(lines):
        match = None if number in hidden else _TAG.match(line)
        if match:
            current = fields.setdefault(match["name"], [])
            current[:] = [match["text"]]
        elif current is not None and number not in hidden:
            current.append(line)
    found = {name: "\n".join(text).strip() for name, text in fields.items()}
    return _complete({name: text for name, text in found.items() if text.strip(" .…<>*_")})


def _complete(found: dict[str, str]) -> tuple[Final | None, str]:
    labels = tuple(_label(text) for name, text in found.items() if name.startswith("LABEL "))
    verdict = found.get("LABEL", "").strip("*_ .").upper()
    if "DESCRIPTION" in found and not labels and "LABEL" in found:
        labels = (_label(found["LABEL"]),)  # one label without its number
    if "DESCRIPTION" in found and labels:
        return Final(found["DESCRIPTION"], labels), ""
    if "BIAS" in found:
        return Final(found["BIAS"], labels), ""
    if "REASONING" in found and verdict in ("SELECTIVE", "SPURIOUS"):
        return Final(found["REASONING"], (Label(verdict),)), ""
    if "DESCRIPTION" in found:
        return None, "there is a [DESCRIPTION] but no line that begins with [LABEL 1]:"
    if "REASONING" in found or verdict in ("SELECTIVE", "SPURIOUS"):
        return None, "it needs both [REASONING]: and [LABEL]: SELECTIVE or SPURIOUS."
    if labels or found:
        return None, "there is a label but no line that begins with [DESCRIPTION]:"
    return None, ""


def _label(text: str) -> Label:
    """A label, with the turns and the confidence named at the end of its first line or of its first paragraph."""
    lines = text.split("\n\n")[0].split("\n")
    first = lines[0] if _EVIDENCE.search(lines[0]) else " ".join(lines)
    match = _EVIDENCE.search(first)
    if not match:
        return Label(first.strip())
    turns: dict[int, None] = {}
    for start, end in _RANGE.findall(match["turns"] or ""):
        turns |= dict.fromkeys(range(int(start), min(int(end or start), int(start) + 100) + 1))
    said = float(match["confidence"] or -1) / (100 if match["percent"] else 1)
    return Label(first[: match.start()].strip(), tuple(turns), said if 0 <= said <= 1 else None)
