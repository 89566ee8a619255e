"""Turns the outputs of cells into what is said about them: clean outputs for the file, parts for a message.

Both are pure, deterministic and total: whatever stands in an output, nothing here raises, and the same output gives
the same parts on every machine (a picture that must be scaled is encoded by Pillow, whose bytes may differ between its
versions).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode

from maia_kernel.driver import tracebacks
from maia_kernel.driver.messages import Image, Text
from maia_kernel.driver.normalise import plain, scrub, settle
from maia_kernel.driver.pictures import picture

_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
# How Python shows an object that has nothing to say: no caption, and no text to be preferred over markdown.
_OBJECT = re.compile(r"^<[\w.]+(?: object| image| size)\b[^\n]*>$")


@dataclass(frozen=True)
class Limits:
    """How much of one cell's outputs a message holds.

    Attributes
    ----------
    characters : int
        Of text in a cell. The longest texts are cut first, in the middle; captions survive.
    traceback : int
        Characters of one traceback, already without library frames.
    pictures : int
        Pictures of a cell.
    side : int
        Longest side of a picture, in pixels.
    """

    characters: int = 10_000
    traceback: int = 4_000
    pictures: int = 40
    side: int = 1024


def clean_text(text: str, roots: Mapping[str, str] | None = None) -> str:
    """Text as it goes into the file: what tells the machine or the run is gone (see :func:`normalise.scrub`)."""
    return scrub(text, roots)


def clean(output: NotebookNode, roots: Mapping[str, str] | None = None) -> NotebookNode:
    """An output as it goes into the file.

    Absolute paths are shortened, memory addresses and lone surrogates replaced, in all text; a stream is as a terminal
    would show it in the end, so that progress bars leave one line. Colours stay, JupyterLab shows them. Pictures
    are not touched. Idempotent.

    Parameters
    ----------
    output : NotebookNode
        An nbformat v4 output; it is not changed.
    roots : mapping of str to str, optional
        Folders known to the caller and what stands for them.
    """
    if not isinstance(output, Mapping):
        return output
    cleaned = NotebookNode(output)
    if output.get("output_type") == "stream":
        cleaned["text"] = scrub(settle(_joined(output.get("text"))), roots)
    for key in ("ename", "evalue"):
        if key in output:
            cleaned[key] = scrub(_joined(output[key]), roots)
    if isinstance(output.get("traceback"), list):
        cleaned["traceback"] = [scrub(str(line), roots) for line in output["traceback"]]
    if isinstance(output.get("data"), Mapping):
        cleaned["data"] = NotebookNode(
            {mime: value if mime in _PICTURES else _scrubbed(value, roots) for mime, value in output["data"].items()}
        )
    return cleaned


def parts(
    outputs: Sequence[Mapping[str, Any]] | None, *, elided: bool = False, limits: Limits | None = None
) -> list[Text | Image]:
    """The outputs of one cell as parts of a message: text and pictures, in their order.

    Of each output one form is taken: a picture (PNG or JPEG; GIF and WebP become PNG), else its plain text, else
    markdown or LaTeX. HTML, JavaScript, SVG and widgets are never sent; where there is nothing else, a note says so.
    Streams and other texts that stand together are one part. Text is without colours, control characters and
    execution counts, with carriage returns and backspaces resolved. An error is its traceback, shortened.

    Parameters
    ----------
    outputs : sequence of mappings
        nbformat v4 outputs.
    elided : bool
        Each picture is replaced by its ``text/plain``, or by a note where that says nothing.
    limits : Limits, optional
        What is beyond them is left out, and a note in square brackets says how much.
    """
    bounds = limits or Limits()
    sequence: list[Text | Image] = []
    pictures = dropped = 0
    for output in outputs if isinstance(outputs, (list, tuple)) else ():
        for piece in _pieces(output, elided, bounds) if isinstance(output, Mapping) else ():
            if isinstance(piece, Image):
                pictures += 1
                if pictures > bounds.pictures:
                    dropped += 1
                    continue
            sequence.append(piece)
    if dropped:
        sequence.append(Text(f"[{dropped} more pictures are not shown: at most {bounds.pictures} per cell are]"))
    return _fitted(_merged(sequence), bounds.characters)


def _pieces(output: Mapping[str, Any], elided: bool, limits: Limits) -> Iterator[Text | Image]:
    kind = output.get("output_type")
    if kind == "stream":
        yield Text(_readable(output.get("text")))
    elif kind == "error":
        yield Text(_error(output, limits.traceback))
    elif isinstance(data := output.get("data"), Mapping):
        mime = next((mime for mime in _PICTURES if data.get(mime)), None)
        if mime is None:
            yield Text(_text(data))
        elif elided:
            caption = _readable(data.get("text/plain"))
            yield Text(caption if caption and not _OBJECT.match(caption) else "[picture dropped]")
        else:
            try:
                image, remark = picture(_joined(data[mime]), limits.side)
            except ValueError as error:
                yield Text(f"[{error}]")
                return
            yield image
            if remark:
                yield Text(f"[{remark}]")


def _text(data: Mapping[str, Any]) -> str:
    """The text of an output without a picture."""
    simple = _readable(data.get("text/plain"))
    if simple and not _OBJECT.match(simple):
        return simple
    for mime in ("text/markdown", "text/latex"):
        if data.get(mime):
            return _readable(data[mime])
    others = sorted(str(mime) for mime in data if mime != "text/plain")
    if others == ["application/json"]:
        return _readable(json.dumps(data["application/json"], ensure_ascii=False, default=str))
    if others:
        return f"[an output of type {', '.join(others)} is not shown here; print text, or show a picture]"
    return simple


def _error(output: Mapping[str, Any], limit: int) -> str:
    lines = output.get("traceback")
    text = _readable("\n".join(str(line) for line in lines)) if isinstance(lines, (list, tuple)) else ""
    final = _readable(f"{_joined(output.get('ename'))}: {_joined(output.get('evalue'))}")
    return _cut(tracebacks.shorten(text) if text else final, limit, head=0.25)


def _readable(value: Any) -> str:
    """Text for a reader; the same for a file that this program has cleaned and for one that it has not."""
    return tracebacks.uncounted(scrub(plain(_joined(value)))).strip("\n")


def _joined(value: Any) -> str:
    """A text of an output, which nbformat also allows to be a list of lines."""
    if isinstance(value, (list, tuple)):
        return "".join(str(line) for line in value)
    return "" if value is None else str(value)


def _scrubbed(value: Any, roots: Mapping[str, str] | None) -> Any:
    if isinstance(value, str):
        return scrub(value, roots)
    if isinstance(value, Mapping):
        return NotebookNode({key: _scrubbed(item, roots) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return [_scrubbed(item, roots) for item in value]
    return value


def _merged(sequence: Sequence[Text | Image]) -> list[Text | Image]:
    merged: list[Text | Image] = []
    for piece in sequence:
        last = merged[-1] if merged else None
        if isinstance(piece, Text) and isinstance(last, Text):
            merged[-1] = Text(f"{last.text}\n{piece.text}" if last.text and piece.text else last.text or piece.text)
        else:
            merged.append(piece)
    return [piece for piece in merged if isinstance(piece, Image) or piece.text.strip()]


def _fitted(sequence: list[Text | Image], characters: int) -> list[Text | Image]:
    """Cut the longest texts to one length, so that all together stay within the limit."""
    lengths = sorted(len(piece.text) for piece in sequence if isinstance(piece, Text))
    if sum(lengths) <= characters:
        return sequence
    level, left = characters, characters
    for position, length in enumerate(lengths):
        level = left // (len(lengths) - position)
        if length > level:
            break
        left -= length
    return [piece if isinstance(piece, Image) else Text(_cut(piece.text, level)) for piece in sequence]


def _cut(text: str, limit: int, head: float = 0.6) -> str:
    """Beginning and end of a text that is too long, and between them how much is missing."""
    if len(text) <= limit:
        return text
    begin, end = round(limit * head), len(text) - (limit - round(limit * head))
    return f"{text[:begin]}\n[… {end - begin:,} characters left out …]\n{text[end:]}"
