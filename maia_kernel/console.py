"""The command line's one console: what a person sees of a run, on a terminal or in a log."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from pathlib import Path

from nbformat import NotebookNode
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.status import Status

from maia_kernel.driver import transcript
from maia_kernel.driver.cells import Markdown, Notice, Turn
from maia_kernel.driver.kernel import Result
from maia_kernel.driver.notebook import Investigation
from maia_kernel.driver.vlm import OFFLINE, VLM


class Terminal:
    """A watcher that writes plain lines, and on a terminal a status line that comes and goes.

    Parameters
    ----------
    quiet : bool
        Say only how it ended.
    """

    def __init__(self, *, quiet: bool = False):
        self._console = Console(highlight=False, soft_wrap=True)
        self._quiet = quiet
        self._status: Status | None = None
        self._since = time.monotonic()

    def begins(self, vlm: VLM, what: str, question: str | None) -> None:
        """What is investigated, by whom, and where pictures are sent."""
        self.say(escape(f"{what}; agent {vlm.name}: {vlm.about}"))
        if question and vlm.name == OFFLINE:
            self.say("the offline experimenter cannot read questions: it only says what raises the unit's activation")
        if endpoint := getattr(vlm, "endpoint", None):
            self.say(escape(f"pictures of the dataset will be sent to {endpoint}"))

    def say(self, line: str) -> None:
        """One line, in rich's markup."""
        if not self._quiet:
            self._console.print(line)

    def waiting(self, turn: int) -> None:
        self._busy(f"turn {turn}: the agent is thinking")

    def replied(self, turn: int, reply: Turn) -> None:
        self._idle()
        first = next((cell.source for cell in reply.cells if isinstance(cell, Markdown)), "")
        self.say(f"[bold]turn {turn}[/bold]  {escape(_summary(first))}")

    def running(self, cell: NotebookNode) -> None:
        # A line of progress is all that a setup cell shows while it runs.
        last = cell.outputs[-1] if cell.get("outputs") else {}
        progress = str(last.get("text", "")) if transcript.role(cell) == "setup" else ""
        what = "loading" if transcript.role(cell) == "setup" else "running a cell"
        self._busy(f"{what}{f': {escape(_summary(progress))}' if progress else ''}")

    def ran(self, cell: NotebookNode, result: Result) -> None:
        self._idle()
        if result.status == "ok" and result.note:
            self.say(f"        [yellow]{escape(result.note)}[/yellow]")
        if transcript.role(cell) == "setup":
            return  # what goes wrong there ends the run with a line of its own
        pictures = sum("image/png" in output.get("data", {}) for output in cell.outputs)
        lines = sum(str(output.get("text", "")).count("\n") for output in cell.outputs)
        shown = f"{_count(pictures, 'picture')}, {_count(lines, 'line')}"
        end = "" if result.status == "ok" else f"  [red]{escape(_end(result))}[/red]"
        self.say(f"        [dim]cell  {result.seconds:5.1f} s  {shown}[/dim]{end}")

    def noticed(self, notice: Notice) -> None:
        self.say(f"        [yellow]notice ({notice.kind})[/yellow] {escape(_summary(notice.text))}")
        for line in notice.text.splitlines():
            if line.startswith("- "):
                self.say(f"          {escape(line)}")

    def restoring(self, done: int, total: int) -> None:
        if done < total:
            self._busy(f"restoring the kernel: cell {done} of {total}")
        else:
            self._idle()
            self.say(f"the kernel is restored [dim]({time.monotonic() - self._since:.1f} s)[/dim]")

    def ended(self, notebook: Investigation) -> None:
        """The conclusion, the notebook's path and what can be done with it."""
        self._idle()
        path = shlex.quote(str(notebook.path))
        if notebook.final is not None:
            facts = notebook.final.metadata["maia"]
            self._console.print(f"\n[bold]description[/bold]  {escape(facts.get('description', ''))}")
            for number, label in enumerate(facts.get("labels", []), start=1):
                turns = ", ".join(map(str, label["turns"]))
                basis = f"turns {turns}" if turns else "no evidence named"
                basis += f"; confidence {label['confidence']:.2f}" if "confidence" in label else ""
                self._console.print(f"[bold]label {number}[/bold]      {escape(label['text'])} [dim]({basis})[/dim]")
        self._console.print(f"\n[bold]notebook[/bold]     {escape(path)}", soft_wrap=True)
        again = " --question '…'" if notebook.final is not None else ""
        if again and notebook.nb.metadata["maia"]["agent"] == OFFLINE:
            again = f" --agent MODEL{again}"  # rules read no questions
        for what, program, rest in (
            ("open", "maia", f"lab {path}"),
            ("re-run", "maia", f"rerun {path}"),
            ("continue", "maia", f"continue {path}{again}"),
        ):
            self._console.print(f"[dim]{what:<12} {escape(_command(program))} {escape(rest)}[/dim]")

    def _busy(self, what: str) -> None:
        if self._quiet or not self._console.is_terminal:
            return
        if self._status is None:
            self._status = self._console.status(what)
            self._status.start()
        else:
            self._status.update(what)

    def _idle(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


class Bench:
    """What a person sees of many investigations: a bar on a terminal, else a line now and then; then the results.

    Parameters
    ----------
    folder : Path
        Where the notebooks are.
    """

    WIDTH = 100  # columns of the tables where nobody says how many there are
    EVERY = 30.0  # seconds between two lines in a log

    def __init__(self, folder: Path) -> None:
        self._folder = escape(shlex.quote(str(folder)))
        self._console = Console(highlight=False, width=None if sys.stdout.isatty() else self.WIDTH)
        self._log = Console(highlight=False, stderr=True, soft_wrap=True)
        columns = (
            MofNCompleteColumn(separator=" of "),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        self._bar = Progress(*columns, console=self._log, transient=True, disable=not self._log.is_terminal)
        self._task = self._bar.add_task("", total=None)
        self._told = time.monotonic()

    def __enter__(self) -> Bench:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.stop()
        if kind is KeyboardInterrupt:
            self._log.print(f"the same command with --out {self._folder} goes on from here")

    def begins(self, vlm: VLM, investigations: int, turns: int) -> None:
        """What it may cost, before anything is sent."""
        if endpoint := getattr(vlm, "endpoint", None):
            self._log.print(
                escape(
                    f"{_count(investigations, 'investigation')} of up to {_count(turns, 'request')} each will be sent "
                    f"to {endpoint}, pictures included"
                )
            )

    def tell(self, done: int, total: int, what: str) -> None:
        """How far it is."""
        self._bar.update(self._task, completed=done, total=total, description=escape(what))
        if not self._log.is_terminal and (time.monotonic() - self._told >= self.EVERY or done == total):
            self._log.print(f"{done} of {_count(total, 'investigation')}")
            self._told = time.monotonic()

    def show(self, what: RenderableType) -> None:
        """Tables; in a file, without the spaces that fill their lines up."""
        if self._console.is_terminal:
            self._console.print(what)
            return
        with self._console.capture() as captured:
            self._console.print(what)
        self._console.file.write("\n".join(line.rstrip() for line in captured.get().split("\n")))

    def ended(self, made: int, seconds: float) -> None:
        """Where the notebooks are, and how long it took."""
        took = f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.0f} s"
        self._console.print(f"\n[bold]notebooks[/bold]  {self._folder}", soft_wrap=True)
        self._console.print(f"[bold]took[/bold]       {took} for {_count(made, 'investigation')}")


def _command(program: str) -> str:
    """How to call a program of this environment: by its name where the shell finds it, else by its path."""
    own = Path(sys.executable).with_name(program)
    if not own.exists() or shutil.which(program) == str(own):
        return program
    return shlex.quote(str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own))


def _summary(text: str, most: int = 100) -> str:
    """The first line that says something."""
    lines = [line.strip("#*> ").strip() for line in text.splitlines()]
    line = next((line for line in lines if line), "")
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _end(result: Result) -> str:
    return ": ".join(result.error) if result.error else f"{result.status}: {result.note}"
