"""Owns the re-run of a notebook: a fresh kernel, a copy, top to bottom, and of every cell what became of it."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from nbformat import NotebookNode

from maia_kernel import errors
from maia_kernel.artifacts import Scratch, Use, beside
from maia_kernel.driver import edits, transcript
from maia_kernel.driver.investigate import Study, destination, kernel_environment, require, warm
from maia_kernel.driver.kernel import Kernel, Result
from maia_kernel.driver.notebook import Investigation
from maia_kernel.driver.verify import claims, texts
from maia_kernel.driver.verify.claims import Evidence
from maia_kernel.driver.verify.compare import Comparison, compare, shown
from maia_kernel.driver.verify.dependencies import Resting
from maia_kernel.driver.verify.report import Cell, Report, Status, in_words
from maia_kernel.driver.zygote import Zygote
from maia_kernel.locations import resolve

Watch = Callable[[int, int, str], None]

KERNEL = "python3"
# What cannot be recomputed here: the report says so, also where a setup cell raises it.
_CANNOT: dict[str, Status] = {
    errors.NotAtHand.__name__: "not recomputed",
    errors.MissingArtifact.__name__: "missing",
}
# Why a cell has no result, as the end of a sentence about it.
_WITHOUT: dict[Status, str] = {
    "not recomputed": "was not recomputed",
    "missing": "lacks an artifact",
    "not run": "was not run",
    "failed": "failed",
}


@dataclass
class Ran:
    """A code cell of the copy.

    Attributes
    ----------
    number : int
        Its place among the code cells, from 1.
    cell : NotebookNode
        With its new outputs.
    saved : NotebookNode
        As it was.
    result : Result or None
        None where it was not run.
    status : str
        What is known without comparing; "reproduced" where nothing speaks against it so far.
    why : str
        As in :class:`Cell`.
    rests_on : str
        Which cell without a result it uses; empty where none.
    """

    number: int
    cell: NotebookNode
    saved: NotebookNode
    result: Result | None = None
    status: Status = "reproduced"
    why: str = ""
    rests_on: str = ""

    @property
    def resultless(self) -> bool:
        """Whether it has no new outputs that a notebook could keep."""
        return self.status in ("not recomputed", "missing", "not run")

    @property
    def artifacts(self) -> tuple[Use, ...]:
        """What it asked for."""
        return self.result.artifacts if self.result is not None else ()


def rerun(
    path: Path,
    *,
    in_place: bool = False,
    out: Path | None = None,
    strict: bool = False,
    cell_timeout: float | None = None,
    zygote: Zygote | None = None,
    watch: Watch | None = None,
) -> Report:
    """Run a copy of a notebook in a fresh kernel, from top to bottom, and compare; the same as ``maia rerun``.

    The kernel's working directory is the notebook's. Tags are honoured as by nbclient: ``skip-execution``,
    ``raises-exception``; raw cells are not run. A cell that raises without being allowed to is a finding, and the
    others still run. Whatever has its backend at hand is made anew, and compared with what a store holds.

    Parameters
    ----------
    path : Path
        Any notebook of nbformat 4; claims have only those with a final answer.
    in_place : bool
        Write the new outputs into the notebook. A cell that could not be recomputed keeps its own.
    out : Path, optional
        Write the notebook with its new outputs there; must not exist.
    strict : bool
        Nothing may come from a store: none is read, and the cache is empty. Every cell must have had outputs to compare
        with.
    cell_timeout : float, optional
        Seconds after which a cell is stopped, which is a finding; without, it may take as long as it does.
    zygote : Zygote, optional
        Forks the kernel, where the notebook's kernel is this program's.
    watch : callable, optional
        Is told cells done, cells in all, and what runs.

    Raises
    ------
    NotebookError
        It cannot be read.
    UsageError
        A setup cell names something that does not exist; or `out` cannot be written.
    KernelError
        The kernel that the notebook names is not installed, or does not start.
    """
    if out is not None:
        destination(out, Study())
    investigation = Investigation.open(path)
    places = resolve(os.environ, Path.cwd())
    keep = [beside(path), places.cache / "artifacts"] if in_place else []
    with Scratch(keep, [beside(path), *places.stores], recompute=True, strict=strict) as scratch:
        ran = run_cells(
            investigation.nb,
            path.parent,
            scratch,
            strict=strict,
            cell_timeout=cell_timeout,
            zygote=zygote,
            watch=watch,
        )
        report = _report(str(path), investigation.nb, ran, strict=strict, device=scratch.device)
    if not in_place and out is None:
        return report
    _save(investigation, ran, out)
    return replace(report, written=str(investigation.path))


def run_cells(
    nb: NotebookNode,
    folder: Path,
    scratch: Scratch,
    *,
    strict: bool = False,
    cell_timeout: float | None = None,
    zygote: Zygote | None = None,
    watch: Watch | None = None,
) -> list[Ran]:
    """Run the code cells of a notebook in order in a fresh kernel; their outputs are replaced in place.

    Parameters
    ----------
    nb : NotebookNode
    folder : Path
        The kernel's working directory.
    scratch : Scratch
        Entered.
    strict : bool
        No store is read, so that a name which the setup cells cannot find is a finding, not a mistake.
    cell_timeout, zygote, watch
        As :func:`rerun`.

    Raises
    ------
    UsageError, KernelError
        As :func:`rerun`.
    """
    code = [cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()]
    ran = [Ran(number, cell, copy.deepcopy(cell)) for number, cell in enumerate(code, start=1)]
    broken_off = {cell.id for cell in edits.broken_off(nb)}
    with _kernel(nb, code, folder, scratch, zygote) as kernel:
        resting, dead = Resting(), 0
        for one in ran:
            if watch is not None:
                watch(one.number - 1, len(ran), f"[{one.number}] {first_line(one.cell.source)}")
            if why := _not_to_be_run(one.cell, broken_off, dead):
                one.status, one.why = "not run", why
            else:
                result = _run(one, kernel, resting, ran, cell_timeout)
                if one.status == "failed" and _is_a_mistake(one) and not strict:
                    require(result)
                dead = 0 if kernel.alive else one.number
            resting.ended(one.number, one.cell.source, result=not one.resultless and one.status != "failed")
        if watch is not None:
            watch(len(ran), len(ran), "")
    return ran


def first_line(source: str) -> str:
    """The first line of a cell that says something."""
    lines = [line.strip() for line in source.splitlines()]
    return next((line for line in lines if line), "(empty)")


@contextmanager
def _kernel(
    nb: NotebookNode, code: list[NotebookNode], folder: Path, scratch: Scratch, zygote: Zygote | None
) -> Iterator[Kernel]:
    spec = nb.metadata.get("kernelspec", {})
    name = str(spec.get("name") or KERNEL) if isinstance(spec, dict) else KERNEL
    environment = kernel_environment(os.environ)
    with ExitStack() as stack:
        # Forked kernels are of this program's environment; and importing torch for other notebooks takes seconds.
        ours = name == KERNEL and any("maia_kernel" in cell.source for cell in code)
        warmed = stack.enter_context(warm(zygote, environment)) if ours else None
        yield stack.enter_context(Kernel(env=environment, cwd=folder, kernel_name=name, zygote=warmed, scratch=scratch))


def _not_to_be_run(cell: NotebookNode, broken_off: set[str], dead: int) -> str:
    """Why a cell is not run; empty where it is."""
    if transcript.skipped(cell):
        return "tagged skip-execution"
    if cell.id in broken_off and not cell.outputs:
        return "the agent's run was broken off before it had ended"
    return f"the kernel died in [{dead}]" if dead else ""


def _run(one: Ran, kernel: Kernel, resting: Resting, ran: list[Ran], timeout: float | None) -> Result:
    """Run a cell, and judge what can be judged without looking at its outputs."""
    result = one.result = kernel.run(one.cell, timeout=timeout)
    name, message = result.error or (result.status, result.note)
    on = resting.on(one.cell.source, result.error)
    if on is not None:
        one.rests_on = f"rests on [{on}], which {_WITHOUT[ran[on - 1].status]}"
    if result.status == "ok":
        return result
    if result.status == "timeout":
        one.status, one.why = "failed", f"stopped after {timeout:g} s"
    elif name in _CANNOT:
        one.status, one.why = _CANNOT[name], message
    elif on is not None and ran[on - 1].status != "failed":
        one.status, one.why = "not recomputed", one.rests_on
    elif result.status != "error" or "raises-exception" not in one.cell.metadata.get("tags", []):
        one.status, one.why = "failed", "; ".join(filter(None, (f"{name}: {_one_line(message)}", one.rests_on)))
    return result


def _is_a_mistake(one: Ran) -> bool:
    """Whether a setup cell raised one of this program's own errors: a name that does not exist, and the like."""
    kind = getattr(errors, one.result.error[0], None) if one.result is not None and one.result.error else None
    return transcript.role(one.cell) == "setup" and isinstance(kind, type) and issubclass(kind, errors.MaiaError)


def _report(name: str, nb: NotebookNode, ran: list[Ran], *, strict: bool, device: str) -> Report:
    relative = texts.tolerance(device)
    cells = tuple(_cell(one, relative) for one in ran)
    evidence = {cell.id: _evidence(one, cell) for one, cell in zip(ran, cells, strict=True)}
    seconds = sum(one.result.seconds for one in ran if one.result is not None)
    return Report(name, device, relative, strict, cells, claims.judge(nb, evidence), seconds)


def _cell(one: Ran, relative: float) -> Cell:
    """Judge a cell by its outputs, where it has any."""
    status, why, compared = one.status, one.why, Comparison()
    stored = in_words(use.kind for use in one.artifacts if use.how == "store")
    from_store = f"with {stored} from the store" if stored else ""
    if status == "reproduced":
        compared = compare(one.saved.outputs, one.cell.outputs, relative)
        if compared.differences and not one.saved.outputs:
            status, why, compared = "not compared", "no outputs were saved to compare with", Comparison()
        elif compared.differences:
            status, why = ("not recomputed", one.rests_on) if one.rests_on else ("changed", from_store)
        elif stored:
            status, why = "not recomputed", f"the same outputs, {from_store}"
    elif status == "failed" and one.result is not None and one.result.status == "error":
        before = shown(one.saved.outputs).error
        if before is not None and one.result.error is not None and before[0] == one.result.error[0]:
            why += " (as when it was saved: tag the cell raises-exception to allow it)"
    return Cell(
        number=one.number,
        id=one.cell.id,
        turn=transcript.turn(one.cell),
        source=first_line(one.cell.source),
        status=status,
        why=why,
        edited=_edited(one.saved),
        differences=compared.differences,
        withheld=compared.withheld,
        artifacts=one.artifacts,
    )


def _evidence(one: Ran, cell: Cell) -> Evidence:
    unfit = ""
    if one.resultless or (cell.status == "not recomputed" and one.rests_on) or cell.status == "failed":
        unfit = _WITHOUT[cell.status]
    return Evidence(
        name=f"cell [{cell.number}]",
        saved=one.saved.outputs,
        fresh=one.cell.outputs,
        unfit=unfit,
        reproduced=one.status == "reproduced" and cell.status != "not compared" and not cell.differences,
        changed=cell.status == "changed",
        stored=bool(cell.stored),
    )


def _edited(cell: NotebookNode) -> bool:
    """Whether the source of a cell of ours is not the one that this program has run."""
    facts = cell.metadata.get("maia", {})
    if transcript.role(cell) == "person":
        return False
    known = facts.get("ran_sha256") or facts.get("wrote_sha256")
    return known is not None and known != transcript.digest(cell.source)


def _one_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def _save(investigation: Investigation, ran: list[Ran], out: Path | None) -> None:
    """Write the new outputs, a cell that has none keeps its own; what was edited before stays known as edited."""
    for one in ran:
        if one.resultless:
            one.cell.outputs, one.cell.execution_count = one.saved.outputs, one.saved.execution_count
        elif transcript.role(one.cell) != "person":
            one.cell.metadata["maia"]["ran_sha256"] = transcript.digest(one.cell.source)
    if out is not None:
        investigation.path = out
    investigation.save(note=False)
