"""What somebody else has done to a notebook: noticed by hash, put into words, and merged into ours while a run goes on.

With every save the notebook notes its cells in a list (``metadata.maia.saved``: id, type, place, hash of the source,
number of outputs). Compared with the cells themselves, it says between two runs what was changed, added, deleted,
moved or cleared; and during a run, the last save of our own is what an edit on disk is measured by.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from nbformat import NotebookNode

from maia_kernel.driver import transcript

_SHOWN = 40  # characters of a cell that are quoted to name it
_NAMED = 12  # edits that are named one by one


@dataclass(frozen=True)
class Entry:
    """One cell as it was saved."""

    id: str
    kind: str
    place: str
    sha256: str
    outputs: int

    @classmethod
    def of(cls, cell: NotebookNode) -> Entry:
        """The entry of a cell."""
        outputs = len(cell.get("outputs", ()))
        place = re.sub(r"\s", "_", f"{transcript.role(cell)}-{transcript.turn(cell)}")
        return cls(cell.id, cell.cell_type, place, transcript.digest(cell.source)[:16], outputs)

    @classmethod
    def read(cls, line: object) -> Entry | None:
        """An entry from the notebook's metadata, which anybody may have edited."""
        match = re.fullmatch(r"(\S+) (\S+) (\S+) ([0-9a-f]{16}) (\d{1,9})", line) if isinstance(line, str) else None
        return cls(match[1], match[2], match[3], match[4], int(match[5])) if match else None

    def __str__(self) -> str:
        return f"{self.id} {self.kind} {self.place} {self.sha256} {self.outputs}"

    def same(self, other: Entry) -> bool:
        """Whether kind and source agree."""
        return (self.kind, self.sha256) == (other.kind, other.sha256)


@dataclass(frozen=True)
class Edits:
    """What was done to a notebook since it was saved by this program.

    Attributes
    ----------
    said : tuple of str
        Each edit in words; empty where nothing was edited, or where nothing is known.
    cleared : tuple of str
        Ids of code cells whose outputs are gone.
    stale : int or None
        Position of the first code cell whose outputs may be other ones now; None where all are as they were.
    """

    said: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    stale: int | None = None


def note(nb: NotebookNode) -> None:
    """Write the list of cells into the notebook's metadata."""
    nb.metadata.setdefault("maia", NotebookNode())["saved"] = [str(Entry.of(cell)) for cell in nb.cells]


def since(nb: NotebookNode) -> Edits:
    """What was done to a notebook since its list of cells was written."""
    before = _noted(nb)
    cells = [cell for cell in nb.cells if cell.source.strip() or cell.get("outputs")]  # JupyterLab adds empty ones
    now = [Entry.of(cell) for cell in cells]
    cleared = _cleared(before, cells)
    if not before:
        return Edits((), cleared, _stale(nb, None))
    old, new = {entry.id: entry for entry in before}, {entry.id: entry for entry in now}
    said = [f"{name(cell)} was changed" for cell in cells if cell.id in old and not new[cell.id].same(old[cell.id])]
    said += [f"{name(cell)} was added" for cell in cells if cell.id not in old]
    said += [f"{_place(entry.kind, entry.place)} was deleted" for entry in before if entry.id not in new]
    moved = _moved([entry.id for entry in before if entry.id in new], [entry.id for entry in now if entry.id in old])
    said += [f"{name(cell)} was moved" for cell in cells if cell.id in moved]
    return Edits(tuple(said), cleared, _stale(nb, before))


def broken_off(nb: NotebookNode) -> list[NotebookNode]:
    """The agent's cells that were running, or waited for it, when the run was killed, and that nobody edited since."""
    saved = {entry.id: entry for entry in _noted(nb)}
    return [
        cell
        for cell in nb.cells
        if transcript.never_ended(cell) and (not saved or (cell.id in saved and Entry.of(cell).same(saved[cell.id])))
    ]


def in_words(said: Sequence[str]) -> str:
    """Edits as a list in Markdown."""
    more = len(said) - _NAMED
    return "\n".join([*(f"- {edit}" for edit in said[:_NAMED]), *([f"- and {more} more edits"] if more > 0 else [])])


def merge(ours: NotebookNode, theirs: NotebookNode) -> tuple[str, ...]:
    """Take somebody else's edits into a notebook that a run is writing; returns them in words.

    Their sources, their new cells and their order win. Of ours stay: all cells (one that is missing in theirs comes
    back, for a program that has the notebook open may save a version from long ago), outputs of the agent's cells, and
    our metadata. What counts as their edit is what differs from our last save, as ``ours`` notes it.

    Parameters
    ----------
    ours : NotebookNode
        Changed in place; cells that both have stay the very objects that they were.
    theirs : NotebookNode
        What is on disk, read as ours was.
    """
    saved = {entry.id: entry for entry in _noted(ours)}
    mine = {cell.id: cell for cell in ours.cells}
    said = []
    merged: list[NotebookNode] = []
    for cell in theirs.cells:
        own = mine.get(cell.id)
        if own is None:
            own = cell
            if cell.source.strip():
                said.append(f"{name(cell)} was added")
        elif cell.id in saved and not _retired(own, cell) and _is_new(Entry.of(cell), saved[cell.id], Entry.of(own)):
            _take_over(own, cell)
            said.append(f"{name(own)} was changed")
        _adopt_metadata(own, cell)
        merged.append(own)
    both = {cell.id for cell in merged}
    moved = _moved([cell.id for cell in ours.cells if cell.id in both], [c.id for c in merged if c.id in mine])
    said += [f"{name(mine[key])} was moved" for key in mine if key in moved]
    _bring_back(merged, ours.cells)
    ours.cells[:] = merged
    for key, value in theirs.metadata.items():
        if key != "maia":
            ours.metadata[key] = value
    return tuple(said)


def _is_new(theirs: Entry, saved: Entry, ours: Entry) -> bool:
    """Whether they have edited a cell; one version may be met twice, and is an edit once."""
    return not theirs.same(saved) and not theirs.same(ours)


def _take_over(own: NotebookNode, cell: NotebookNode) -> None:
    """Their source and kind, in our cell."""
    own.source = cell.source
    if own.cell_type != cell.cell_type:
        own.cell_type = cell.cell_type
        for key in ("outputs", "execution_count", "attachments"):
            own.pop(key, None)
        if cell.cell_type == "code":
            own.update(outputs=[], execution_count=None)
    if "attachments" in cell:
        own.attachments = cell.attachments


def _adopt_metadata(own: NotebookNode, cell: NotebookNode) -> None:
    if own is cell:
        return
    tags = [*own.metadata.get("tags", ()), *cell.metadata.get("tags", ())]
    own.metadata.update({key: value for key, value in cell.metadata.items() if key != "maia"})
    if tags:
        own.metadata["tags"] = list(dict.fromkeys(tags))
    if own.cell_type == cell.cell_type == "code" and transcript.role(own) == "person":
        own.outputs, own.execution_count = cell.outputs, cell.execution_count


def _retired(own: NotebookNode, cell: NotebookNode) -> bool:
    """Whether they hold an old copy of a cell that had no end, and was made a raw cell."""
    return bool(own.cell_type == "raw" and cell.cell_type == "code" and own.source == cell.source)


def _bring_back(merged: list[NotebookNode], ours: Iterable[NotebookNode]) -> None:
    """Put our cells that are missing behind the cells that they stood behind."""
    place = {cell.id: position for position, cell in enumerate(merged)}
    before: NotebookNode | None = None
    for cell in ours:
        if cell.id not in place:
            position = place[before.id] + 1 if before is not None else 0
            merged.insert(position, cell)
            place = {other.id: number for number, other in enumerate(merged)}
        before = cell


def _noted(nb: NotebookNode) -> list[Entry]:
    facts = nb.metadata.get("maia")
    lines = facts.get("saved") if isinstance(facts, Mapping) else None
    entries = [Entry.read(line) for line in lines] if isinstance(lines, list) else []
    return [entry for entry in entries if entry is not None]


def _cleared(before: Sequence[Entry], cells: Iterable[NotebookNode]) -> tuple[str, ...]:
    had = {entry.id for entry in before if entry.outputs}
    return tuple(cell.id for cell in cells if cell.id in had and cell.cell_type == "code" and not cell.outputs)


def _stale(nb: NotebookNode, before: Sequence[Entry] | None) -> int | None:
    """The first code cell that is not what ran at this place, or before which one is missing."""
    ran = None if before is None else [entry for entry in before if entry.kind == "code"]
    number = 0
    for position, cell in enumerate(nb.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        entry = Entry.of(cell)
        expected = ran[number] if ran is not None and number < len(ran) else None
        number += 1
        if ran is not None and (expected is None or expected.id != entry.id or not expected.same(entry)):
            return position
        if not transcript.skipped(cell) and not transcript.fresh(cell):
            return position
    return None


def _moved(before: Sequence[str], now: Sequence[str]) -> set[str]:
    """Which of the same ids stand in another order."""
    blocks = SequenceMatcher(None, before, now, autojunk=False).get_matching_blocks()
    kept = {before[block.a + step] for block in blocks for step in range(block.size)}
    return set(now) - kept


def name(cell: NotebookNode) -> str:
    """A cell in words, with the beginning of its source."""
    lines = [line.strip() for line in str(cell.source).splitlines() if line.strip()]
    first = lines[0].replace("`", "'") if lines else ""
    quoted = first if len(first) <= _SHOWN else f"{first[: _SHOWN - 1].rstrip()}…"
    where = _place(cell.cell_type, f"{transcript.role(cell)}-{transcript.turn(cell)}")
    return f"{where} (`{quoted}`)" if quoted else where


def _place(kind: str, place: str) -> str:
    speaker, _, number = place.rpartition("-")
    what = {"code": "code cell", "markdown": "text", "raw": "raw cell"}.get(kind, "cell")
    if speaker in ("assistant", "notice"):
        return f"a {'notice' if speaker == 'notice' else what} of turn {number}"
    names = {"final": "the final answer", "header": "the header", "system": "the instructions", "user": "the question"}
    return names.get(speaker, f"a {what} of {'the set-up' if speaker == 'setup' else 'a person'}")
