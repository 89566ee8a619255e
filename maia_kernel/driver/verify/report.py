"""Owns the report of a re-run: what became of every code cell and of every claim, as values and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from maia_kernel.driver.verify.claims import Claim, Compared
from maia_kernel.driver.verify.compare import Difference

if TYPE_CHECKING:
    from maia_kernel.artifacts import Use

Status = Literal["reproduced", "changed", "failed", "not recomputed", "missing", "not run", "not compared"]

SCHEMA = 1
_DAMAGED = "what was held is damaged"  # as the store says it of a use

# The kinds of artifacts, one and many.
_WORDS = {
    "text2image": ("drawn picture", "drawn pictures"),
    "edit_images": ("edited picture", "edited pictures"),
    "describe": ("description", "descriptions"),
    "summarize": ("summary", "summaries"),
    "exemplars": ("set of exemplars", "sets of exemplars"),
    "weights": ("model's weights", "models' weights"),
    "subject": ("unit's facts", "units' facts"),
    "generator": ("generator's facts", "generators' facts"),
    "editor": ("editor's facts", "editors' facts"),
    "describer": ("describer's facts", "describers' facts"),
}


def in_words(kinds: Iterable[str]) -> str:
    """How many artifacts of which kind."""
    counts = Counter(kinds)
    named = [kind for kind in _WORDS if kind in counts] + sorted(set(counts) - set(_WORDS))
    return ", ".join(f"{counts[kind]} {_WORDS.get(kind, (kind, kind))[counts[kind] > 1]}" for kind in named)


@dataclass(frozen=True)
class Cell:
    """What became of a code cell.

    Attributes
    ----------
    number : int
        Its place among the notebook's code cells, from 1.
    id : str
    turn : int
        The agent's turn; 0 for the setup and a person's cells.
    source : str
        Its first line.
    status : str
        "reproduced"; "changed": its outputs differ; "failed": it raised, and nobody had said that it may; "not
        recomputed": something came from the store, or the subject model is not there; "missing": an artifact that it
        needs is neither in a store nor can be made; "not run": it is marked so, or the kernel was gone; "not compared":
        it had no outputs saved.
    why : str
        What else there is to say, in one line; empty where there is nothing.
    edited : bool
        Its source is not the one that its saved outputs belong to.
    differences : tuple of Difference
    withheld : int
        Pictures that could not be compared: one of the two was taken out of the notebook.
    artifacts : tuple of Use
        What it asked generators, editors, describers and the exemplar search for.
    """

    number: int
    id: str
    turn: int
    source: str
    status: Status
    why: str = ""
    edited: bool = False
    differences: tuple[Difference, ...] = ()
    withheld: int = 0
    artifacts: tuple[Use, ...] = ()

    @property
    def stored(self) -> tuple[Use, ...]:
        """What came from the store."""
        return tuple(use for use in self.artifacts if use.how == "store")

    @property
    def unlike(self) -> tuple[Use, ...]:
        """What was made anew and is not what the store holds."""
        return tuple(use for use in self.artifacts if use.same is False)


@dataclass(frozen=True)
class Report:
    """What a re-run found.

    Attributes
    ----------
    notebook : str
        Its path, as it was given.
    device : str
        Where the subject model ran.
    tolerance : float
        For numbers, relative; one unit of the last printed digit is allowed beside it. Pictures: 1 of 255.
    strict : bool
        Whether everything had to be recomputed.
    cells : tuple of Cell
        The code cells, in order.
    claims : tuple of Claim
        The labels of the final answer; empty without one.
    seconds : float
        What the cells took.
    written : str
        The notebook that holds the new outputs; empty where none does.
    """

    notebook: str
    device: str
    tolerance: float
    strict: bool
    cells: tuple[Cell, ...]
    claims: tuple[Claim, ...] = ()
    seconds: float = 0.0
    written: str = ""

    @property
    def damaged(self) -> int:
        """How many artifacts of the stores are damaged, and were made anew."""
        uses = (use for cell in self.cells for use in cell.artifacts)
        return len({use.address for use in uses if _DAMAGED in use.what})

    @property
    def holds(self) -> bool:
        """Whether all that can be recomputed here was, and reproduced, and nothing is missing.

        With ``strict``, whether everything was recomputed and could be compared, too.
        """
        against = {"changed", "failed", "missing"} | ({"not recomputed", "not compared"} if self.strict else set())
        return not any(cell.status in against for cell in self.cells)

    def of(self, *status: Status) -> tuple[Cell, ...]:
        """The cells of which one of these is true."""
        return tuple(cell for cell in self.cells if cell.status in status)

    def json(self) -> str:
        """The report for machines.

        Returns
        -------
        str
            An object with the keys ``schema`` (1), ``notebook``, ``holds``, ``strict``, ``device``, ``tolerance``
            (``relative``, ``digits``: units of the last printed digit, ``pixels``: of 255), ``seconds``, ``cells`` and
            ``claims``. A cell has the fields of :class:`Cell`; its ``differences`` have ``kind``, ``what``, ``was``,
            ``now`` and ``relative``, its ``artifacts`` ``kind``, ``address``, ``how``, ``same`` and ``what``. A claim
            has the fields of :class:`Claim`; its ``effects`` have ``cell``, ``condition``, ``control``, ``kept``,
            ``was`` and ``now`` (each ``sign``, ``difference``, ``low``, ``high``; ``now`` may be null). A figure that
            is not finite is null.
        """
        whole = {
            "schema": SCHEMA,
            "notebook": self.notebook,
            "holds": self.holds,
            "strict": self.strict,
            "device": self.device,
            "tolerance": {"relative": self.tolerance, "digits": 1, "pixels": 1},
            "seconds": round(self.seconds, 3),
            "cells": [asdict(cell) for cell in self.cells],
            "claims": [_claim(claim) for claim in self.claims],
        }
        return json.dumps(_finite(whole), indent=1, ensure_ascii=False, allow_nan=False)


def _claim(claim: Claim) -> dict[str, Any]:
    return asdict(claim) | {"effects": [_pair(pair) for pair in claim.effects]}


def _pair(pair: Compared) -> dict[str, Any]:
    sides = {
        name: None
        if effect is None
        else {"sign": effect.sign, "difference": effect.difference, "low": effect.low, "high": effect.high}
        for name, effect in (("was", pair.was), ("now", pair.now))
    }
    names = {"cell": pair.cell, "condition": pair.was.condition, "control": pair.was.control, "kept": pair.kept}
    return names | sides


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not -float("inf") < value < float("inf") else value
