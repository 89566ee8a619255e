"""The notebook as messages: a pure function, and the words by which a cell is known.

Nothing else in the program decides what a model is sent. A cell belongs to the program when its ``maia`` metadata
names the cell's own id; every other cell (written by a person, or a copy of ours) is a person's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from nbformat import NotebookNode

from maia_kernel.driver import cells, outputs
from maia_kernel.driver.messages import Message, Part, Role, Text, merge

NOT_RUN = "(not run: the turn ended at an earlier cell)"
_NEVER_SENT = ("header", "scorecard")


def messages(nb: NotebookNode) -> list[Message]:
    """Everything that the model is sent next.

    Deterministic, and without options: what shapes it is written in the notebook (``metadata.maia.wire``, the
    ``elided`` marks of cells). It survives save, load and re-execution, because it reads sources, our own metadata, and
    outputs through :func:`outputs.parts`, which normalises what differs from run to run.

    Parameters
    ----------
    nb : NotebookNode
        An nbformat 4.5 notebook, with or without our metadata.
    """
    wire = _facts(nb).get("wire")
    limits = outputs.Limits(side=_number(wire.get("side") if isinstance(wire, dict) else 0) or outputs.Limits().side)
    said: list[Message] = []
    for (speaker, _), group in groupby(nb.cells, key=_place):
        if speaker == "assistant":
            said += _turn(list(group), limits)
        else:
            said += [message for cell in group for message in _single(cell, speaker, limits)]
    return merge(said)


def role(cell: NotebookNode) -> str:
    """The role of a cell in the conversation; ``"person"`` for a cell that is not ours."""
    facts = _facts(cell)
    return str(facts.get("role", "person")) if facts.get("cell_id") == cell.get("id") else "person"


def turn(cell: NotebookNode) -> int:
    """The number of the turn that a cell of ours belongs to; 0 before the first and for a person's cells."""
    return _number(_facts(cell).get("turn")) if role(cell) != "person" else 0


def digest(source: str) -> str:
    """The hash by which edits of a source are noticed."""
    return hashlib.sha256(source.encode("utf-8", "replace")).hexdigest()


def never_ended(cell: NotebookNode) -> bool:
    """Whether a cell is the agent's and was neither run to an end nor skipped: the run was broken off."""
    ran = "ran_sha256" in _facts(cell)
    return cell.cell_type == "code" and role(cell) == "assistant" and not skipped(cell) and not ran


def skipped(cell: NotebookNode) -> bool:
    """Whether runners are asked to leave a cell out."""
    return "skip-execution" in cell.metadata.get("tags", ())


def is_merge(cell: NotebookNode) -> bool:
    """Whether a cell tells of edits that somebody else has made."""
    return role(cell) == "notice" and _facts(cell).get("kind") == "merge"


def fresh(cell: NotebookNode) -> bool:
    """Whether a code cell's outputs are those of its present source, as far as this program has run it."""
    return bool(_facts(cell).get("ran_sha256") == digest(cell.source))


def code_of_turn(nb: NotebookNode, number: int) -> Iterator[NotebookNode]:
    """The agent's code cells of one turn, in order."""
    return (c for c in nb.cells if c.cell_type == "code" and role(c) == "assistant" and turn(c) == number)


def _facts(holder: NotebookNode) -> dict[str, Any]:
    facts = holder.get("metadata", {}).get("maia", {})
    return facts if isinstance(facts, dict) else {}


def _number(value: object) -> int:
    """A count from metadata that anybody may have edited."""
    return value if isinstance(value, int) and value > 0 else 0


def _place(cell: NotebookNode) -> tuple[str, int]:
    """What makes neighbouring cells one message: the speaker, and for the agent the turn."""
    name = role(cell)
    return ("assistant", turn(cell)) if name in ("assistant", "final") else (name, 0)


def _single(cell: NotebookNode, speaker: str, limits: outputs.Limits) -> Iterator[Message]:
    if speaker in _NEVER_SENT or (not cell.source.strip() and cell.cell_type != "code"):
        return
    voice: Role = "system" if speaker == "system" else "user"
    if cell.cell_type != "code":
        yield Message(voice, (Text(cell.source),))
    elif cell.source.strip():
        yield Message("user", (Text(f"{_opening(cell)}\n{cells.fence(cell.source)}"), *_output(cell, limits)))


def _opening(cell: NotebookNode) -> str:
    if role(cell) == "setup":
        return "This was run at the start:"
    if cell.get("outputs") or cell.get("execution_count") or fresh(cell):
        return "A person ran this:"
    return "A person wrote this; it has not been run:"


def _turn(group: list[NotebookNode], limits: outputs.Limits) -> Iterator[Message]:
    """The agent's cells of one turn as its message, and their outputs as the answer to it."""
    said = [cell.source if cell.cell_type == "markdown" else cells.fence(cell.source) for cell in group]
    yield Message("assistant", (Text("\n\n".join(said)),))
    answer: list[Part] = []
    if any(cell.cell_type == "markdown" and _edited(cell) for cell in group):
        answer.append(Text("(A person has edited your text of this turn.)"))
    code = [cell for cell in group if cell.cell_type != "markdown"]
    for number, cell in enumerate(code, start=1):
        # The number, because labels name turns, and after a deletion nobody can count them.
        which = f"Output of turn {turn(cell)}" + (f", code cell {number} of {len(code)}" if len(code) > 1 else "")
        answer += [Text(f"{which}{_history(cell)}:"), *_output(cell, limits)]
    if answer:
        yield Message("user", tuple(answer))


def _output(cell: NotebookNode, limits: outputs.Limits) -> Iterable[Part]:
    if cell.cell_type == "raw":
        return [Text("(left out: it did not end, or a person has taken it out)")]
    # Other runners empty the outputs of cells that they skip.
    if role(cell) == "assistant" and skipped(cell):
        return [
            Text("(not run: a person has marked this cell to be skipped)" if "ran_sha256" in _facts(cell) else NOT_RUN)
        ]
    elided = bool(_facts(cell).get("elided"))
    return outputs.parts(cell.get("outputs", []), elided=elided, limits=limits) or [Text("(no output)")]


def _edited(cell: NotebookNode) -> bool:
    return bool(_facts(cell).get("wrote_sha256", digest(cell.source)) != digest(cell.source))


def _history(cell: NotebookNode) -> str:
    remarks = []
    if _edited(cell):
        remarks.append("a person has edited this cell")
    ran = _facts(cell).get("ran_sha256")
    if ran and ran != digest(cell.source):
        remarks.append("this output is older than the code")
    return f" ({'; '.join(remarks)})" if remarks else ""


@dataclass
class Ledger:
    """What a notebook says about the run so far."""

    turns: int = 0
    tokens: int = 0
    usage: dict[str, int] = field(default_factory=dict)


def ledger(nb: NotebookNode) -> Ledger:
    """Count turns and tokens from the metadata of the cells."""
    total = Ledger()
    for cell in nb.cells:
        total.turns = max(total.turns, turn(cell))
        usage = _facts(cell).get("usage")
        for name, count in usage.items() if isinstance(usage, dict) else ():
            total.usage[name] = total.usage.get(name, 0) + _number(count)
    total.tokens = total.usage.get("prompt_tokens", 0) + total.usage.get("completion_tokens", 0)
    return total
