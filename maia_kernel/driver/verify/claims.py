"""Owns the judgement of a final answer's claims: which labels still stand, by the effects that their evidence measured.

An effect is what ``tools.measure`` prints of a condition over its control. Its sign is + or - when its 95 % interval
excludes 0, else there is none. A claim stands when every effect of its evidence keeps its sign, and fell when one does
not. An effect of a cell that reproduced is the same one, also where an end of its interval is 0 within the tolerance.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from nbformat import NotebookNode

from maia_kernel.driver import cells, transcript
from maia_kernel.driver.cells import Label
from maia_kernel.driver.verify.compare import shown

Verdict = Literal["stands", "fell", "cannot be judged"]
Sign = Literal["+", "-", "none"]

_EFFECT = re.compile(
    r"effect of '(?P<condition>.*)' over '(?P<control>.*)': difference (?P<difference>\S+) "
    r"\[(?P<low>\S+), (?P<high>\S+)\], d (?P<d>\S+), p (?P<p>\S+)"
)
_TABLE = re.compile(r"condition +n +mean +sd +min +max")
_CHECKED = "without the pictures that failed:"
_NOT_AN_ANSWER = ("header", "system", "setup", "user", "notice", "scorecard")


@dataclass(frozen=True)
class Effect:
    """An effect that a cell printed.

    Attributes
    ----------
    condition, control : str
        Whose activations are compared.
    difference, low, high : float
        Of the means, with its 95 % interval; nan where there is none.
    """

    condition: str
    control: str
    difference: float
    low: float
    high: float

    @property
    def sign(self) -> Sign:
        """The sign of an interval that excludes 0."""
        return "+" if self.low > 0 else "-" if self.high < 0 else "none"

    @property
    def measured(self) -> bool:
        """Whether there is an interval; too few pictures have none."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def __str__(self) -> str:
        sign = "no effect" if self.sign == "none" else self.sign
        return f"{sign} ({self.difference:.3g} [{self.low:.3g}, {self.high:.3g}])"


@dataclass(frozen=True)
class Compared:
    """An effect as it was saved and as it is now.

    Attributes
    ----------
    cell : str
        The id of the cell that measured it.
    was, now : Effect or None
        None where it is not measured any more.
    reproduced : bool
        Whether the cell's outputs are the same within the tolerance.
    """

    cell: str
    was: Effect
    now: Effect | None
    reproduced: bool = False

    @property
    def lost(self) -> bool:
        """Whether it cannot be told any more."""
        return self.now is None or (self.was.measured and not self.now.measured)

    @property
    def kept(self) -> bool:
        """Whether it has the same sign, or is the same."""
        return self.now is not None and not self.lost and (self.reproduced or self.now.sign == self.was.sign)

    def __str__(self) -> str:
        if self.now is None:
            now = "is not measured any more"
        else:
            now = "has no interval any more" if self.lost else f"is {self.now}"
        return f"'{self.was.condition}' over '{self.was.control}': was {self.was}, {now}"


@dataclass(frozen=True)
class Claim:
    """One label of the final answer.

    Attributes
    ----------
    number : int
        From 1.
    label : str
        Its text.
    turns : tuple of int
        What it names as its evidence.
    cells : tuple of str
        The ids of the code cells that are its evidence.
    verdict : {"stands", "fell", "cannot be judged"}
    why : str
        In one line.
    effects : tuple of Compared
        All effects of the evidence that were saved.
    changed : tuple of str
        The cells of the evidence that are not as they were.
    stored : tuple of str
        The cells of the evidence for which something came from the store.
    """

    number: int
    label: str
    turns: tuple[int, ...]
    cells: tuple[str, ...]
    verdict: Verdict
    why: str
    effects: tuple[Compared, ...] = ()
    changed: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What is known of a cell of the notebook after the re-run.

    Attributes
    ----------
    name : str
        How a reader is told of it.
    saved, fresh : list of outputs
        Before and after.
    unfit : str
        Why its new outputs say nothing ("failed"); empty where they can be judged.
    reproduced : bool
        Whether they are the saved ones, within the tolerance.
    changed, stored : bool
        As in :class:`Claim`.
    """

    name: str
    saved: list[NotebookNode]
    fresh: list[NotebookNode]
    unfit: str = ""
    reproduced: bool = False
    changed: bool = False
    stored: bool = False


def effects(outputs: Iterable[NotebookNode]) -> list[Effect]:
    """The effects that a cell printed, in order; where pictures failed their check, those without them."""
    found: list[Effect] = []
    table, checked, begin = 0, False, 0
    for line in shown(list(outputs)).text.get("stdout", "").split("\n"):
        if line.startswith(_CHECKED):
            checked = True
        elif _TABLE.match(line):
            if not checked:
                table = len(found)
            begin, checked = (table if checked else len(found)), False
        elif match := _EFFECT.fullmatch(line.strip()):
            effect = _effect(match)
            same = [i for i in range(begin, len(found)) if _key(found[i]) == _key(effect)]
            if same:
                found[same[0]] = effect
            else:
                found.append(effect)
    return found


def labels(nb: NotebookNode) -> tuple[NotebookNode | None, tuple[Label, ...]]:
    """The cell with the last final answer, and its labels; found by its text, for its metadata may be gone."""
    for cell in reversed(nb.cells):
        if cell.cell_type == "markdown" and transcript.role(cell) not in _NOT_AN_ANSWER:
            final = cells.parse(cell.source).final
            if final is not None:
                return cell, final.labels
    return None, ()


def judge(nb: NotebookNode, evidence: Mapping[str, Evidence]) -> tuple[Claim, ...]:
    """Judge every label of the final answer.

    Parameters
    ----------
    nb : NotebookNode
        The notebook as it was saved.
    evidence : mapping of str to Evidence
        By cell id; of every code cell.
    """
    answer, found = labels(nb)
    return tuple(_judge(nb, answer, number, label, evidence) for number, label in enumerate(found, start=1))


def _judge(
    nb: NotebookNode, answer: NotebookNode | None, number: int, label: Label, evidence: Mapping[str, Evidence]
) -> Claim:
    ids = _cells(nb, answer, number, label)
    known = {cell: evidence[cell] for cell in ids if cell in evidence}
    compared = tuple(pair for cell, one in known.items() for pair in _compared(cell, one))
    verdict, why = _verdict(label, ids, known, compared)
    return Claim(
        number,
        label.text,
        label.turns,
        ids,
        verdict,
        why,
        compared,
        tuple(cell for cell, one in known.items() if one.changed),
        tuple(cell for cell, one in known.items() if one.stored),
    )


def _verdict(
    label: Label, ids: tuple[str, ...], known: Mapping[str, Evidence], compared: tuple[Compared, ...]
) -> tuple[Verdict, str]:
    fallen = [pair for pair in compared if not pair.lost and not pair.kept]
    if fallen:
        more = f" (and {len(fallen) - 1} more)" if len(fallen) > 1 else ""
        return "fell", f"{fallen[0]}{more}"
    if not ids:
        return "cannot be judged", "its turns have no code cells" if label.turns else "it names no turns as evidence"
    unfit = [f"{one.name} {one.unfit}" for one in known.values() if one.unfit]
    unfit += [f"the cell {cell} is not in the notebook any more" for cell in ids if cell not in known]
    if unfit:
        return "cannot be judged", unfit[0]
    if not compared:
        cleared = any(not one.saved for one in known.values())
        return "cannot be judged", f"no effect was measured in its evidence{', or its outputs are gone' * cleared}"
    lost = [pair for pair in compared if pair.lost]
    if lost:
        return "cannot be judged", str(lost[0])
    if any(pair.now is not None and pair.now.sign != pair.was.sign for pair in compared):
        return "stands", "its evidence reproduced; an end of an interval is 0 within the tolerance"
    kept = "the effect of its evidence kept its sign"
    return "stands", kept if len(compared) == 1 else f"the {len(compared)} effects of its evidence kept their sign"


def _cells(nb: NotebookNode, answer: NotebookNode | None, number: int, label: Label) -> tuple[str, ...]:
    """The code cells of the turns that a label names; those that were noted when it was written and are gone, too."""
    of_turns = [cell.id for turn in label.turns for cell in transcript.code_of_turn(nb, turn)]
    facts = answer.metadata.get("maia", {}) if answer is not None else {}
    labels = facts.get("labels") if isinstance(facts, dict) else None
    entries = [entry for entry in labels if isinstance(entry, dict)] if isinstance(labels, list) else []
    same = [entry for entry in entries if entry.get("text") == label.text] or entries[number - 1 : number]
    noted = same[0].get("cells") if same and same[0].get("turns") == list(label.turns) else None
    ids = [str(cell) for cell in noted] if isinstance(noted, list) else []
    present = {cell.id for cell in nb.cells}
    return tuple(dict.fromkeys([*of_turns, *(one for one in ids if not of_turns or one not in present)]))


def _compared(cell: str, evidence: Evidence) -> list[Compared]:
    """The effects of a cell, each with the same one of the re-run; repeated ones by their order."""
    if evidence.unfit:
        return []
    now = effects(evidence.fresh)
    pairs = []
    for was in effects(evidence.saved):
        same = next((effect for effect in now if _key(effect) == _key(was)), None)
        if same is not None:
            now.remove(same)
        pairs.append(Compared(cell, was, same, evidence.reproduced))
    return pairs


def _effect(match: re.Match[str]) -> Effect:
    return Effect(
        match["condition"], match["control"], *(_number(match[name]) for name in ("difference", "low", "high"))
    )


def _key(effect: Effect) -> tuple[str, str]:
    return effect.condition, effect.control


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
