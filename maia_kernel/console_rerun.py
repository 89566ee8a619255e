"""What a person sees of a re-run: a bar while it goes, then cells, claims, and in the end what to make of it."""

from __future__ import annotations

import shlex
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from maia_kernel.driver.verify.claims import Claim
from maia_kernel.driver.verify.report import Cell, Report, in_words

_WIDTH = 80  # columns where nobody says how many there are
_ID = 12  # characters of a cell's id, at most
_DETAILS = 4  # differences of one cell that are shown
_COLOURS = {
    "reproduced": "green",
    "changed": "red",
    "failed": "red",
    "missing": "red",
    "not recomputed": "yellow",
    "not compared": "yellow",
    "not run": "dim",
    "stands": "green",
    "fell": "red",
    "cannot be judged": "yellow",
}
_STATUS = max(map(len, ("reproduced", "not recomputed", "not compared")))


class Rerun:
    """Shows a re-run on a terminal or in a log, as a context manager.

    Parameters
    ----------
    quiet : bool
        Show no progress.
    """

    def __init__(self, *, quiet: bool = False):
        self._console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
        self._log = Console(highlight=False, stderr=True, soft_wrap=True)
        columns = (
            MofNCompleteColumn(separator=" of "),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
        )
        show = self._log.is_terminal and not quiet
        self._bar = Progress(*columns, console=self._log, transient=True, disable=not show)
        self._task = self._bar.add_task("starting a kernel", total=None)

    def __enter__(self) -> Rerun:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def tell(self, done: int, total: int, what: str) -> None:
        """How far it is."""
        what = textwrap.shorten(what, max(10, self._log.width - 45), placeholder="…")
        self._bar.update(self._task, completed=done, total=total, description=what)

    def say(self, text: str) -> None:
        """Lines as they are."""
        self._console.print(Text(text), soft_wrap=True)

    def show(self, report: Report) -> None:
        """The report: one line per cell, more about those that did not reproduce, claims, and a summary."""
        wide = min(_ID, max((len(cell.id) for cell in report.cells), default=0))
        for cell in report.cells:
            self._line(_cell_line(cell, wide), cell.status, cell.source)
            for detail in _details(cell):
                self._detail(detail)
        if report.claims:
            self._console.print()
        for claim in report.claims:
            self._line(f"claim {claim.number}  ", claim.verdict, claim.label, wide=len("cannot be judged"))
            self._detail(_about(claim, report))
        self._console.print()
        self._console.print(Text(_summary(report), "bold"))
        for line in _next(report):
            self._console.print(Text(line, "dim"), soft_wrap=True)

    def _line(self, head: str, status: str, what: str, *, wide: int = _STATUS) -> None:
        line = Text(head)
        line.append(f"{status:<{wide}}  ", _COLOURS[status])
        line.append(what)
        line.truncate(self._console.width, overflow="ellipsis")
        self._console.print(line, no_wrap=True)

    def _detail(self, text: str) -> None:
        width = self._console.width
        for line in textwrap.wrap(text, max(width, 40), initial_indent=" " * 6, subsequent_indent=" " * 8):
            self._console.print(Text(line, "dim"), soft_wrap=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _cell_line(cell: Cell, wide: int) -> str:
    turn = f"turn {cell.turn}" if cell.turn else ""
    return f"{f'[{cell.number}]':>5} {cell.id[:wide]:<{wide}}  {turn:<7}  "


def _details(cell: Cell) -> Iterator[str]:
    """What is to be said of a cell beyond its status."""
    if cell.edited:
        yield "edited since its outputs were made"
    if cell.why:
        yield cell.why
    shown = cell.differences if len(cell.differences) <= _DETAILS + 1 else cell.differences[:_DETAILS]
    yield from map(str, shown)
    if rest := Counter(one.kind for one in cell.differences[len(shown) :]):
        yield f"and {', '.join(f'{_count(count, _NOUN[kind])}' for kind, count in rest.items())} more"
    if cell.withheld:
        yield f"{_count(cell.withheld, 'picture')} not compared: left out of the bundle"
    if cell.unlike:
        yield f"made anew, and not as the store holds it: {in_words(use.kind for use in cell.unlike)}"


_NOUN = {"number": "number", "text": "line", "picture": "picture", "error": "error", "output": "count"}


def _about(claim: Claim, report: Report) -> str:
    """Why a claim was judged so, and on what it rests."""
    numbers = {cell.id: f"[{cell.number}]" for cell in report.cells}
    about = claim.why
    if claim.changed:
        about += f"; rests on {', '.join(numbers[cell] for cell in claim.changed)}, which changed"
    if claim.stored and claim.verdict != "cannot be judged":
        about += f"; pictures in {', '.join(numbers[cell] for cell in claim.stored)} came from the store"
    return about


def _summary(report: Report) -> str:
    cells = Counter(cell.status for cell in report.cells)
    claims = Counter(claim.verdict for claim in report.claims)
    parts = [f"{cells.pop('reproduced', 0)} of {_count(len(report.cells), 'cell')} reproduced"]
    parts += [f"{count} {status}" for status, count in cells.items()]
    if not claims:
        return ", ".join(parts)
    stand = "stands" if len(report.claims) == 1 else "stand"
    judged = [f"{claims.pop('stands', 0)} of {_count(len(report.claims), 'claim')} {stand}"]
    judged += [f"{count} {verdict}" for verdict, count in claims.items()]
    return f"{', '.join(parts)}\n{', '.join(judged)}"


def _next(report: Report) -> list[str]:
    """What it was measured by, and what to do now."""
    path = shlex.quote(report.notebook)
    written = shlex.quote(report.written) if report.written else ""
    lines = [f"on {report.device}; numbers may differ by {report.tolerance:g} of themselves and by one last digit"]
    if report.of("missing"):
        lines.append("what is missing comes with a bundle of the notebook, or with the backend that is named above")
    if report.damaged:
        lines.append(f"the store is damaged: {_count(report.damaged, 'artifact')} of it had to be made anew")
    if any(cell.edited for cell in report.of("changed")):
        keep = f"the new outputs are in {written}" if written else f"keep the new outputs: maia rerun {path} --in-place"
        lines.append(f"{keep}; have them interpreted: maia continue {written or path}")
    elif written and report.of("failed", "changed"):
        lines.append(f"the new outputs are in {written}")
    elif report.of("failed", "changed"):
        lines.append(f"look at the new outputs: maia rerun {path} --out NEW.ipynb")
    if report.of("not compared"):
        now = f"{written} has some now" if written else f"save some: maia rerun {path} --in-place"
        lines.append(f"not compared: cells without saved outputs, which --strict counts against the notebook; {now}")
    if report.of("not recomputed"):
        lines.append(
            "strict: what was not recomputed counts against the notebook"
            if report.strict
            else "with --strict, what was not recomputed would count against the notebook"
        )
    return lines
