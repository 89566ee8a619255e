"""Owns the comparison of a cell's fresh outputs with its saved ones.

Compared is what a reader sees: printed text, results, pictures, errors; text as :mod:`maia_kernel.driver.outputs` reads
it, numbers as :mod:`.texts` says, pictures as :mod:`.pixels` says, errors by name and message. How a runner splits a
stream, what stands between two pictures, execution counts and metadata do not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from maia_kernel.driver import outputs
from maia_kernel.driver.messages import Text
from maia_kernel.driver.verify import pixels, texts
from maia_kernel.driver.verify.texts import Change

Kind = Literal["number", "text", "picture", "error", "output"]

# Nothing is left out of a comparison.
_WHOLE = outputs.Limits(characters=10**12, traceback=10**12, pictures=10**12)
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was.

    Attributes
    ----------
    kind : {"number", "text", "picture", "error", "output"}
        "output": there are more of a kind, or fewer.
    what : str
        Which: the words before a number, the picture's place and caption; "" for text.
    was, now : str
        As shown; of a picture ``now`` says how it differs.
    relative : float or None
        Of a number, the change as a fraction.
    """

    kind: Kind
    what: str
    was: str
    now: str
    relative: float | None = None

    def __str__(self) -> str:
        if self.kind == "picture":
            return f"{self.what}: {self.now}"
        if self.kind in ("number", "text"):
            return str(Change(self.what, self.was, self.now, self.relative))
        return f"{self.what}: {self.was} -> {self.now}"


@dataclass(frozen=True)
class Comparison:
    """What came of comparing two cells' outputs.

    Attributes
    ----------
    differences : tuple of Difference
        Empty where they agree.
    withheld : int
        Pictures that could not be compared, because one of the two was taken out of the notebook.
    """

    differences: tuple[Difference, ...] = ()
    withheld: int = 0


@dataclass(frozen=True)
class _Picture:
    data: str
    caption: str
    withheld: bool


@dataclass
class Shown:
    """The outputs of a cell, by channel.

    Attributes
    ----------
    text : dict of str to str
        What was printed, by stream, and the results and texts displayed ("result").
    pictures : list
        In order.
    error : tuple of str or None
        Name and message of the exception.
    """

    text: dict[str, str] = field(default_factory=dict)
    pictures: list[_Picture] = field(default_factory=list)
    error: tuple[str, str] | None = None


def compare(saved: Sequence[Any], fresh: Sequence[Any], relative: float) -> Comparison:
    """Compare outputs of a cell with those that it had.

    Parameters
    ----------
    saved, fresh : sequence of mappings
        nbformat v4 outputs.
    relative : float
        The relative tolerance for numbers (:func:`texts.tolerance`).
    """
    was, now = shown(saved), shown(fresh)
    found = list(_texts(was, now, relative))
    pictures, withheld = _pictures(was.pictures, now.pictures, relative)
    found += [one for one in pictures if one not in found]  # a caption stands beside its picture, and in it
    if was.error != now.error:
        found.append(Difference("error", "error", _named(was.error), _named(now.error)))
    return Comparison(tuple(found), withheld)


def shown(cell_outputs: Sequence[Any]) -> Shown:
    """Gather outputs by channel; total: what is malformed counts as empty."""
    gathered = Shown()
    for output in cell_outputs if isinstance(cell_outputs, (list, tuple)) else ():
        if not isinstance(output, Mapping):
            continue
        kind, data = output.get("output_type"), output.get("data")
        if kind == "stream":
            name = str(output.get("name", "stdout"))
            gathered.text[name] = gathered.text.get(name, "") + _joined(output.get("text"))
        elif kind == "error":
            gathered.error = _read(_joined(output.get("ename"))), _read(_joined(output.get("evalue")))
        elif isinstance(data, Mapping):
            _add(gathered, output, data)
    gathered.text = {name: _read(text) for name, text in gathered.text.items()}
    return gathered


def kind_of(output: Mapping[str, Any], mime: str) -> str:
    """Where a picture comes from, as its metadata says: "dataset", "generated", "plot", "withheld"; "" if unknown."""
    metadata = output.get("metadata")
    entry = metadata.get(mime) if isinstance(metadata, Mapping) else None
    return str(entry.get("maia", "")) if isinstance(entry, Mapping) else ""


def _add(gathered: Shown, output: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    mime = next((mime for mime in PICTURES if data.get(mime)), None)
    plain = {"output_type": "display_data", "data": {"text/plain": _joined(data.get("text/plain"))}}
    text = "".join(part.text for part in outputs.parts([plain], limits=_WHOLE) if isinstance(part, Text))
    if mime is not None:
        gathered.pictures.append(_Picture(_joined(data[mime]), text, kind_of(output, mime) == "withheld"))
        return
    if "text/plain" not in data:
        text = _read("\n".join(_joined(data[mime]) for mime in sorted(data)))
    if text:
        gathered.text["result"] = gathered.text.get("result", "") + text + "\n"


def _read(text: str) -> str:
    """Text as it is read: without colours, addresses, paths of a machine."""
    stream = {"output_type": "stream", "text": text}
    return "".join(part.text for part in outputs.parts([stream], limits=_WHOLE) if isinstance(part, Text))


def _joined(value: Any) -> str:
    """A text of an output, which nbformat also allows to be a list of lines."""
    if isinstance(value, (list, tuple)):
        return "".join(map(str, value))
    return "" if value is None else str(value)


def _texts(was: Shown, now: Shown, relative: float) -> Iterator[Difference]:
    for name in dict.fromkeys([*was.text, *now.text]):
        for change in texts.changes(was.text.get(name, ""), now.text.get(name, ""), relative):
            yield _difference(change)


def _difference(change: Change) -> Difference:
    return Difference("number" if change.what else "text", change.what, change.was, change.now, change.relative)


def _pictures(was: list[_Picture], now: list[_Picture], relative: float) -> tuple[list[Difference], int]:
    found: list[Difference] = []
    withheld = 0
    for number, (old, new) in enumerate(zip(was, now, strict=False), start=1):
        for change in texts.changes(old.caption, new.caption, relative):
            found.append(_difference(change))
        if old.withheld or new.withheld:
            withheld += 1
        elif differs := pixels.difference(old.data, new.data):
            which = f"picture {number}" + (f" ({old.caption.splitlines()[0][:50]})" if old.caption else "")
            found.append(Difference("picture", which, "", differs))
    if len(was) != len(now):
        found.append(Difference("output", "number of pictures", str(len(was)), str(len(now))))
    return found, withheld


def _named(error: tuple[str, str] | None) -> str:
    return "none" if error is None else f"{error[0]}: {error[1].splitlines()[0] if error[1] else ''}".rstrip(": ")
