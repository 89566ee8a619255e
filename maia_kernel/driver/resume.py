"""Goes on with a saved notebook as it now is: restores the kernel, says what was edited, lets the agent go on."""

from __future__ import annotations

import os
from pathlib import Path

from nbformat import NotebookNode

from maia_kernel.artifacts import beside
from maia_kernel.driver import edits, transcript
from maia_kernel.driver.agent import Limits, Watcher, abandon, run
from maia_kernel.driver.cells import Notice
from maia_kernel.driver.edits import Edits
from maia_kernel.driver.files import alone
from maia_kernel.driver.investigate import Nobody, kernel_environment, require, scratch_for, warm, writable
from maia_kernel.driver.kernel import Kernel, Result
from maia_kernel.driver.notebook import Investigation
from maia_kernel.driver.vlm import OFFLINE, VLM, choose
from maia_kernel.driver.zygote import Zygote
from maia_kernel.errors import KernelError, NotebookError, UsageError
from maia_kernel.locations import resolve


def resume(
    notebook: str | Path,
    *,
    agent: str | VLM = OFFLINE,
    base_url: str | None = None,
    question: str | None = None,
    from_cell: str | None = None,
    out: str | Path | None = None,
    strict: bool = False,
    limits: Limits | None = None,
    watch: Watcher | None = None,
    zygote: Zygote | None = None,
) -> Investigation:
    """Let the agent go on with a saved, and perhaps edited, notebook; the same as ``maia continue``.

    The kernel is restored by running the notebook's code cells in order, whoever wrote them. Outputs before the first
    edit stay as they are; from there on they are those of the new run. A finished notebook is left alone unless
    something was edited or asked since.

    Parameters
    ----------
    notebook : path
        The notebook, which is appended to.
    agent, base_url, limits, watch, zygote
        As :func:`investigate`.
    question : str, optional
        A further question, appended as a cell.
    from_cell : str, optional
        The id of a cell: what comes after it is left out, and a new file is written.
    out : path, optional
        That file; by default the notebook's name with a number.
    strict : bool
        A cell that fails while the kernel is restored ends the run.

    Raises
    ------
    NotebookError
        It cannot be read, or asks nothing.
    UsageError
        A wrong name, or its setup cells fail: nothing has been written.
    KernelError
        With ``strict``, a cell fails: nothing has been written.
    """
    if out is not None and from_cell is None:
        raise UsageError("--out is for a branch: say with --from-cell where it begins")
    investigation = Investigation.open(Path(notebook))
    if from_cell is not None:
        investigation = investigation.branch(from_cell, _branch(Path(notebook), out))
    vlm = choose(agent, base_url, os.environ) if isinstance(agent, str) else agent
    if question is None and settled(investigation):
        return investigation
    found = edits.since(investigation.nb)
    if question is None and not investigation.messages():
        raise NotebookError(f"{notebook} asks nothing; write a question into it, or add one with --question")
    watch = watch or Nobody()
    environment = kernel_environment(os.environ)
    with (
        alone(investigation.path, resolve(os.environ, Path.cwd()).cache / "locks"),
        warm(zygote, environment) as zygote,
        scratch_for(investigation.path) as scratch,
        Kernel(
            env=environment,
            cwd=investigation.path.parent,
            kernel_name=investigation.kernel_name,
            zygote=zygote,
            scratch=scratch,
        ) as kernel,
    ):
        failed = _Restoring(investigation, kernel, limits or Limits(), watch, strict=strict).run(found)
        scratch.also_keep(beside(investigation.path))
        for notice in _notices(investigation, vlm, found, failed):
            investigation.note(notice)
            watch.noticed(notice)
        if question is not None:
            investigation.add("user", f"**Question.** {question}")
        run(investigation, vlm, kernel, limits or Limits(), watch)
    return investigation


def settled(investigation: Investigation) -> bool:
    """Whether the investigation has its answer, and nothing was edited since."""
    found = edits.since(investigation.nb)
    return investigation.final is not None and not found.said and not found.cleared


class _Restoring:
    """Runs the code cells of a notebook in order, so that the kernel knows again what it knew."""

    def __init__(self, notebook: Investigation, kernel: Kernel, limits: Limits, watch: Watcher, *, strict: bool):
        self._notebook, self._kernel, self._watch, self._strict = notebook, kernel, watch, strict
        self._timeout = limits.cell_timeout
        self._failed: list[str] = []

    def run(self, found: Edits) -> tuple[str, ...]:
        """Restore the kernel; returns which cells failed, in words."""
        cells = self._notebook.nb.cells
        broken_off = edits.broken_off(self._notebook.nb)
        stale = len(cells) if found.stale is None else found.stale
        position = 0
        while position < len(cells):
            cell = cells[position]
            position += 1
            if cell.cell_type != "code" or not cell.source.strip() or transcript.skipped(cell) or cell in broken_off:
                continue
            self._watch.restoring(position, len(cells))
            again = NotebookNode({**cell, "outputs": [], "metadata": NotebookNode(cell.metadata)})
            is_setup = transcript.role(cell) == "setup"
            result = self._kernel.run(again, timeout=None if is_setup else self._timeout)
            if is_setup:
                require(result)
            if result.status in ("timeout", "died"):
                self._fail(cell, result)
                self._notebook.retire(cell)
                stale = min(stale, position)
                if not self._kernel.alive:  # what it knew is gone: from the top, without this cell
                    self._kernel.restart()
                    position = 0
                continue
            if result.status == "error" and "raises-exception" not in cell.metadata.get("tags", ()):
                self._fail(cell, result)
                stale = min(stale, position - 1)
            if position > stale or cell.id in found.cleared:
                cell.outputs, cell.execution_count = again.outputs, again.execution_count
                self._notebook.ran(cell, failed=result.status == "error")
        self._watch.restoring(len(cells), len(cells))
        if broken_off:  # the driver was killed while the first of them ran
            abandon(self._notebook, broken_off, self._watch)
        return tuple(self._failed)

    def _fail(self, cell: NotebookNode, result: Result) -> None:
        why = ": ".join(result.error) if result.error and result.status == "error" else result.note
        if self._strict:
            raise KernelError(f"{edits.name(cell)} fails now: {why}; the notebook is as it was")
        self._failed.append(f"{edits.name(cell)}: {' '.join(why.split())}")


def _notices(notebook: Investigation, vlm: VLM, found: Edits, failed: tuple[str, ...]) -> list[Notice]:
    """What the agent is told before it goes on."""
    told = []
    said = list(found.said)
    if found.cleared:
        said.append(f"the outputs of {len(found.cleared)} code cells were cleared; they were computed again")
    if said:
        paragraphs = ["A person has edited the notebook since the last run:", edits.in_words(said)]
        if found.stale is not None:
            paragraphs.append("The outputs from the first edited code cell on are new.")
        if notebook.final is not None:
            paragraphs.append(
                "Your answer was given before these edits. Check whether it still holds, and answer again."
            )
        told.append(Notice("merge", "\n\n".join(paragraphs)))
    if failed:
        told.append(Notice("restart", f"When the kernel was restored, these cells failed:\n\n{edits.in_words(failed)}"))
    facts = notebook.nb.metadata.setdefault("maia", NotebookNode())
    if facts.get("agent", vlm.name) != vlm.name:
        told.append(Notice("restart", f"From here on the agent is {vlm.name}: {vlm.about}."))
    facts["agent"] = vlm.name
    return told


def _branch(notebook: Path, out: str | Path | None) -> Path:
    """The file of a branch: the one that was named, else the first number that is free."""
    if out is None:
        names = (notebook.with_stem(f"{notebook.stem}-{n}") for n in range(2, 1_000_000))
        return next(path for path in names if not path.exists())
    return writable(Path(out))
