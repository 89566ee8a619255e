"""The loop: ask, append, run. A turn reads top to bottom; limits and failures end in a valid notebook."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nbformat import NotebookNode

from maia_kernel.driver import cells, outputs, transcript
from maia_kernel.driver.cells import Notice
from maia_kernel.driver.kernel import Kernel, Result
from maia_kernel.driver.messages import Text
from maia_kernel.driver.notebook import Investigation
from maia_kernel.driver.vlm import VLM
from maia_kernel.errors import KernelError, LimitReached

LARGE = 50_000_000  # bytes of a notebook, from which on programs become slow with it


@dataclass(frozen=True)
class Limits:
    """What a run may use.

    Attributes
    ----------
    turns : int
        Replies of the agent, those already in the notebook included.
    cell_timeout : float or None
        Seconds for one code cell of the agent.
    seconds : float or None
        Seconds for the run.
    tokens : int or None
        Tokens, in and out, as the server counts them, those already in the notebook included.
    """

    turns: int = 25
    cell_timeout: float | None = 300.0
    seconds: float | None = None
    tokens: int | None = None


class Watcher(Protocol):
    """Somebody who looks on: the terminal, or nobody."""

    def waiting(self, turn: int) -> None:
        """The agent was asked for its next turn."""

    def replied(self, turn: int, reply: cells.Turn) -> None:
        """The agent's reply is in the notebook."""

    def running(self, cell: NotebookNode) -> None:
        """A cell is running; called again whenever it has a new output."""

    def ran(self, cell: NotebookNode, result: Result) -> None:
        """A cell has ended."""

    def noticed(self, notice: Notice) -> None:
        """The program has told the agent something."""

    def restoring(self, done: int, total: int) -> None:
        """So many of the code cells have been run again."""

    def ended(self, notebook: Investigation) -> None:
        """The run is over, with or without an answer; the notebook is on disk."""


def run(notebook: Investigation, vlm: VLM, kernel: Kernel, limits: Limits, watch: Watcher) -> None:
    """Let the agent go on until its final answer.

    Parameters
    ----------
    notebook : Investigation
        With a question; saved after every change.
    kernel : Kernel
        Running, with the setup cells executed.

    Raises
    ------
    LimitReached
        A limit is spent; a notice in the notebook says which.
    VLMError, KernelError
        The agent does not answer; the kernel cannot be revived.
    """
    started = time.monotonic()
    try:
        while notebook.final is None:
            _check(notebook, limits, time.monotonic() - started)
            step(notebook, vlm, kernel, limits, watch)
    except LimitReached as limit:
        tell(notebook, Notice("limit", f"The run was ended: {limit}."), watch)
        raise
    finally:
        save(notebook, watch)
        watch.ended(notebook)


def step(notebook: Investigation, vlm: VLM, kernel: Kernel, limits: Limits, watch: Watcher) -> None:
    """One turn: the whole reply is on disk before any of it can fail, and the first failure ends the turn."""
    watch.waiting(notebook.turn + 1)
    said = notebook.messages()
    if said[-1].role == "assistant":  # somebody has deleted what followed it
        tell(notebook, Notice("format", "Please go on."), watch)
        said = notebook.messages()
    reply = vlm.reply(said)
    turn = cells.parse(reply.text, reply.finish_reason)
    code = notebook.append(turn, reply)
    save(notebook, watch)
    watch.replied(notebook.turn, turn)
    for notice in turn.notices:
        watch.noticed(notice)
    for position, cell in enumerate(code):
        if cell.cell_type != "code" or transcript.skipped(cell):
            continue  # a person has made it something else meanwhile
        try:
            goes_on = _execute(notebook, cell, kernel, limits, watch)
        except BaseException:  # Ctrl-C, a full disk: whoever opens the notebook must not wait for this cell again
            abandon(notebook, code[position:], watch)
            raise
        if not goes_on:
            for unreached in code[position + 1 :]:
                notebook.not_run(unreached)
            break
    if not turn.final and notebook.turn == limits.turns - 1:
        tell(notebook, Notice("limit", "One turn is left: give the final answer now, from what you have seen."), watch)
    save(notebook, watch)


def setup(notebook: Investigation, kernel: Kernel, watch: Watcher) -> Result:
    """Run the setup cells in order, without a time limit; the result of the first that fails, or of the last."""
    result = Result("ok")
    for cell in notebook.nb.cells:
        if transcript.role(cell) == "setup" and cell.cell_type == "code":
            watch.running(cell)
            result = kernel.run(cell, on_output=_watching(watch, cell))
            notebook.ran(cell)
            watch.ran(cell, result)
            if result.status != "ok":
                break
    return result


def abandon(notebook: Investigation, code: list[NotebookNode], watch: Watcher) -> None:
    """Mark the cells of a turn that was broken off: the first was running, the others were not reached."""
    running, *unreached = code
    for cell in unreached:
        notebook.not_run(cell)
    if "ran_sha256" not in running.metadata["maia"]:
        notice = _stopped(notebook, running, "was broken off with the run", "restart")
        notebook.retire(running)
        tell(notebook, notice, watch)


def _execute(notebook: Investigation, cell: NotebookNode, kernel: Kernel, limits: Limits, watch: Watcher) -> bool:
    """Run one cell of the agent; whether the turn goes on after it."""
    watch.running(cell)
    result = kernel.run(cell, timeout=limits.cell_timeout, on_output=_watching(watch, cell))
    notebook.ran(cell, failed=result.status == "error")
    watch.ran(cell, result)
    if result.status in ("timeout", "died"):
        what = f"{'killed its kernel' if result.status == 'died' else 'was stopped'} ({result.note})"
        notice = _stopped(notebook, cell, what, "limit" if kernel.alive else "restart", known=kernel.alive)
        notebook.retire(cell)
        tell(notebook, notice, watch)
    save(notebook, watch)
    if not kernel.alive:
        kernel.restart()
        again = setup(notebook, kernel, watch)
        save(notebook, watch)
        if again.status != "ok":
            raise KernelError(f"the kernel died and its setup cells fail now: {again.error or again.note}")
    return result.status == "ok"


def _stopped(
    notebook: Investigation, cell: NotebookNode, what: str, kind: cells.NoticeKind, *, known: bool = True
) -> Notice:
    """What to say of a cell that was stopped; its partial output is quoted, because a raw cell has none.

    ``known`` is whether the kernel knows, or will know, what the other cells define.
    """
    turn = transcript.turn(cell)
    code = [one for one in notebook.nb.cells if one.cell_type != "markdown" and transcript.turn(one) == turn]
    which = f"Code cell {code.index(cell) + 1} of {len(code)}" if len(code) > 1 else "The code cell"
    printed = [part.text for part in outputs.parts(cell.get("outputs"), elided=True) if isinstance(part, Text)]
    quoted = f"\n\nUntil then it had shown:\n{cells.fence(chr(10).join(printed), 'text')}" if printed else ""
    if not known:
        after = "The kernel is a new one, which knows only what the setup cells define: define what you need anew."
    else:
        after = "Do not rely on names that it defined: the cell will be left out when the notebook is run again."
    return Notice(kind, f"{which} of turn {turn} {what}. {after}{quoted}")


def _check(notebook: Investigation, limits: Limits, seconds: float) -> None:
    spent = transcript.ledger(notebook.nb)
    bounds = (
        ("turns", spent.turns, limits.turns),
        ("seconds", seconds, limits.seconds),
        ("tokens", spent.tokens, limits.tokens),
    )
    for what, value, bound in bounds:
        if bound is not None and value >= bound:
            raise LimitReached(what, value, bound)


def save(notebook: Investigation, watch: Watcher) -> None:
    """Save, and say what somebody else has edited meanwhile, and when the file becomes large."""
    before = notebook.size
    for notice in notebook.save():
        watch.noticed(notice)
    if before <= LARGE < notebook.size:
        watch.noticed(Notice("limit", f"The notebook has passed {LARGE / 1e6:.0f} MB; 'maia shrink' makes it smaller."))


def tell(notebook: Investigation, notice: Notice, watch: Watcher) -> None:
    """Say something to the agent and to whoever looks on."""
    notebook.note(notice)
    watch.noticed(notice)
    save(notebook, watch)


def _watching(watch: Watcher, cell: NotebookNode) -> Callable[[], None]:
    return lambda: watch.running(cell)
