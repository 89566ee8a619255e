"""Makes IPython's tracebacks short: the cell's own frames and the final error stay, what lies in libraries is one line.

Works on text without colours. Execution counts go, because they differ when a notebook is run again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

_COUNTED = re.compile(r"(?:\bCell In|\bInput In) ?\[\d+\]|<ipython-input-\d+-\w+>")
_HEADER = re.compile(r"(?:Cell, line \d+|File .+:\d+(?:, in .*)?$)")
_LIBRARY = re.compile(
    r"File (?:\S*[/\\])?(?:(?:site|dist)-packages|lib[/\\]python3\.\d+|python3\.\d+|maia_kernel)[/\\]"
)
_RULE = re.compile(r"^-{20,}\n", re.MULTILINE)
_ARGUMENTS = re.compile(r"\(.*\)$")


@dataclass(frozen=True)
class _Part:
    """A frame (header first), or the lines between frames."""

    kind: str  # "own", "library", "other"
    text: str


def uncounted(text: str) -> str:
    """Text in which cells have no execution counts: ``Cell In[3], line 2`` is ``Cell, line 2``."""
    return _COUNTED.sub("Cell", text) if "In" in text or "<ipython" in text else text


def shorten(text: str) -> str:
    """A traceback for a reader who wants to know what was wrong in the cell.

    A stretch of frames inside libraries or this package becomes the header of its last frame; a frame that is repeated
    (recursion) is shown once. What is no IPython traceback comes back as it is, but for the execution counts.
    """
    lines: list[str] = []
    for kind, group in groupby(_split(_RULE.sub("", uncounted(text))), key=lambda part: part.kind):
        if kind == "library":
            lines.append(_library([part.text for part in group]))
        elif kind == "own":
            for frame, same in groupby(part.text for part in group):
                more = sum(1 for _ in same) - 1
                lines.append(frame + (f"\n[the same frame {more} more times]" if more else ""))
        else:
            lines += [re.sub(r" {2,}Traceback \(most", "  Traceback (most", part.text) for part in group]
    return "\n".join(lines).strip("\n")


def _split(text: str) -> Iterator[_Part]:
    frame: list[str] = []
    for line in text.split("\n"):
        header = _HEADER.match(line)
        if frame and (header or not line.strip()):
            yield _frame(frame)
            frame = []
            if not header:
                continue
        if header or frame:
            frame.append(line.rstrip())
        else:
            yield _Part("other", line.rstrip())
    if frame:
        yield _frame(frame)


def _frame(lines: list[str]) -> _Part:
    return _Part("library" if _LIBRARY.match(lines[0]) else "own", "\n".join(lines))


def _library(frames: list[str]) -> str:
    header = _ARGUMENTS.sub("(…)", frames[-1].split("\n", 1)[0])
    above = len(frames) - 1
    return header + (f" [and {above} frame{'s' if above > 1 else ''} above it]" if above else "")
