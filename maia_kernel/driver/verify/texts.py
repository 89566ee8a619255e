"""Owns the comparison of two texts: words exactly, numbers within a tolerance, and by how much a number changed.

Two numbers agree when they differ by no more than a relative tolerance of the device (``TOLERANCE``) plus one unit of
the last printed digit, which is rounding. Where an exponent sets how many decimals there are, that unit may be a great
part of the number, and is allowed only up to a tenth of it. Integers agree when they are equal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

# Relative, by device: how far apart the same float32 sums come out in another order of summation. TF32 is off.
TOLERANCE = {"cpu": 1e-4, "cuda": 1e-3, "mps": 1e-3}

# A digit inside of a word ("layer3", "64x64") or of a version ("1.2.3") belongs to the word; a unit may follow ("5ms"),
# but not where hexadecimal digits read like an exponent ("12345e6f").
_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]\d{1,4}|[eE]\d{1,4}(?!\w))?|nan\b|inf\b)"
    r"(?!\.\d)(?=[^\W\d_]{0,4}(?!\w))"
)
_LETTER = re.compile(r"[^\W\d_]")
_INTEGER = re.compile(r"[-+]?\d+\.?")
_ROUNDING = 0.1  # of a number with an exponent: the most that one unit of its last digit may be, to be allowed
_LARGE = 1e4  # above it a change is no percentage that anybody reads
_SHOWN = 60  # characters of a line of text, or of the words before a number
_ROWS = 40  # of a table, above which its head is looked for
_ALIGNED = 1000  # lines; beyond them finding what was inserted where would take too long


@dataclass(frozen=True)
class Change:
    """A number of a text that changed, or another difference between two texts.

    Attributes
    ----------
    what : str
        The words before the number on its line; "" where the difference is not a number's.
    was, now : str
        As printed. For a text the line, "" where there is none.
    relative : float or None
        The change as a fraction of what it was, where that is defined.
    """

    what: str
    was: str
    now: str
    relative: float | None = None

    def __str__(self) -> str:
        if self.what:
            known = self.relative is not None and abs(self.relative) < _LARGE
            by = f" ({100 * (self.relative or 0):+.1f} %)" if known else ""
            return f"{self.what} {self.was} -> {self.now}{by}"
        if " ".join(self.was.split()) == " ".join(self.now.split()):
            return f"spaces in: {_cut(self.now)}"
        if not self.was or not self.now:
            return f"{'new' if self.now else 'gone'}: {_cut(self.now or self.was)}"
        return f"{_cut(self.was)} -> {_cut(self.now)}"


def tolerance(device: str) -> float:
    """The relative tolerance for a device ("cuda:1" is "cuda"); the smallest for one that is unknown."""
    return TOLERANCE.get(device.split(":")[0], min(TOLERANCE.values()))


def changes(saved: str, fresh: str, relative: float) -> list[Change]:
    """How two texts differ, in their order; empty where they agree.

    Parameters
    ----------
    saved, fresh : str
        Texts as they are read, of one channel of a cell.
    relative : float
        The relative tolerance for numbers.
    """
    if saved == fresh:
        return []
    old, new = saved.rstrip("\n").split("\n"), fresh.rstrip("\n").split("\n")
    found: list[Change] = []
    spaced: list[Change] = []
    for position, was, now in _pairs(old, new):
        if was is None or now is None:
            found.append(Change("", was or "", now or ""))
        elif was != now and _skeleton(was) != _skeleton(now):
            found.append(Change("", was.strip(), now.strip()))
        elif was != now:
            found += _numbers(was, now, old[max(0, position - _ROWS) : position], relative)
            if _NUMBER.findall(was) == _NUMBER.findall(now):
                spaced.append(Change("", was, now))
    # Columns move when a name in one of their lines is longer: of interest only where nothing else has changed.
    return [change for change in found if change.was.strip() or change.now.strip()] or spaced


def _pairs(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, str | None, str | None]]:
    """Lines that belong together, None where there is no partner, and the old one's place."""
    shapes = [_skeleton(line) for line in old], [_skeleton(line) for line in new]
    if shapes[0] == shapes[1] or max(len(old), len(new)) > _ALIGNED:
        spans: list[tuple[int, int, int, int]] = [(0, len(old), 0, len(new))]
    else:
        spans = [span[1:] for span in SequenceMatcher(None, *shapes, autojunk=False).get_opcodes()]
    for begin, end, start, stop in spans:
        for offset in range(max(end - begin, stop - start)):
            i, j = begin + offset, start + offset
            yield min(i, end), old[i] if i < end else None, new[j] if j < stop else None


def _skeleton(line: str) -> str:
    return " ".join(_NUMBER.sub("#", line).split())


def _numbers(was: str, now: str, above: Sequence[str], relative: float) -> list[Change]:
    """The numbers of a line that changed beyond the tolerance; the words are the same."""
    found = []
    for order, (old, new) in enumerate(zip(_NUMBER.finditer(was), _NUMBER.finditer(now), strict=True)):
        if _agree(old[0], new[0], relative):
            continue
        before, after = float(old[0]), float(new[0])
        change = (after - before) / abs(before) if before and math.isfinite(before) and math.isfinite(after) else None
        found.append(Change(_words(was, order, above), old[0], new[0], change or None))
    return found


def _agree(was: str, now: str, relative: float) -> bool:
    if _INTEGER.fullmatch(was) and _INTEGER.fullmatch(now):
        return _digits(was) == _digits(now)  # floats have 16 of them
    a, b = float(was), float(now)
    if not (math.isfinite(a) and math.isfinite(b)):
        return was.lstrip("+") == now.lstrip("+") or (math.isnan(a) and math.isnan(b))
    size, rounding = max(abs(a), abs(b)), min(_unit(was), _unit(now))
    if "e" in f"{was}{now}".lower() and rounding > _ROUNDING * size:
        rounding = 0.0
    return abs(a - b) <= (relative * size + rounding) * (1 + 1e-9)


def _digits(integer: str) -> str:
    """An integer as it is written shortest."""
    digits = integer.lstrip("+-0").rstrip(".")
    return f"-{digits}" if digits and integer.startswith("-") else digits


def _unit(number: str) -> float:
    """One unit of the last printed digit; inf where no float is that large."""
    mantissa, _, exponent = number.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return float(f"1e{int(exponent or 0) - decimals}")


def _words(line: str, order: int, above: Sequence[str]) -> str:
    """What a number is called: the words before it on its line; in a table the row's name and the column's head."""
    spans = [match.span() for match in _NUMBER.finditer(line)]
    lead = line[: spans[0][0]]
    heads = _heads(above, len(spans))
    if heads and not _NUMBER.sub("", line[len(lead) :]).strip():
        return _tail(f"{' '.join(lead.split())}, {heads[order]}")
    # "difference 0.69 [0.65, 0.73]": the second and third number have no words of their own.
    own = order
    while own and not _LETTER.search(line[spans[own - 1][1] : spans[own][0]]):
        own -= 1
    words = _tail(line[: spans[own][0]]) or f"in '{_cut(line.strip())}':"
    return words if own == order else f"{words} (number {order - own + 1})"


def _heads(above: Sequence[str], columns: int) -> list[str]:
    """The names of a table's columns: the last line without a number that has more words than there are columns."""
    for line in reversed(above):
        if _NUMBER.search(line) is None:
            words = line.split()
            return words[-columns:] if 1 < columns < len(words) and "  " in line.strip() else []
    return []


def _tail(text: str) -> str:
    """The end of a text, from a word's beginning on."""
    text = " ".join(text.split()).rstrip(":=([{,")
    if len(text) <= _SHOWN:
        return text
    return "…" + text[-_SHOWN:].partition(" ")[2]


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
