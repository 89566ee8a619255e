"""Many investigations at once: a few threads, and for each investigation a kernel forked from one warm process."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from maia_kernel.artifacts import Scratch
from maia_kernel.driver import outputs
from maia_kernel.driver.agent import Limits, run, setup
from maia_kernel.driver.cells import Notice, Turn
from maia_kernel.driver.investigate import Nobody, Study, draft, kernel_environment, require
from maia_kernel.driver.kernel import Kernel, Result
from maia_kernel.driver.messages import Text
from maia_kernel.driver.notebook import Investigation
from maia_kernel.driver.vlm import VLM
from maia_kernel.driver.zygote import Zygote, available
from maia_kernel.errors import KernelError, LimitReached, VLMError

T = TypeVar("T")

# What the warm process imports; a name only, for the host has nothing of it.
PRELOAD = ("maia_kernel.bench.warm",)
# Run after the answer and not saved: what the agent has drawn and edited.
_COUNT = "print(tools.images_made)"
_HOPELESS = 3  # the agent is out of reach when it failed in the first investigations that ended
_PATIENCE = 10.0  # seconds that investigations are given to end after Ctrl-C


@dataclass(frozen=True)
class Job:
    """One investigation to be made: what of, by whom, and the notebook that it becomes."""

    study: Study
    agent: VLM
    path: Path


@dataclass(frozen=True)
class Spent:
    """How an investigation went, as its notebook's metadata keeps it (``maia.bench``).

    Attributes
    ----------
    images : int or None
        Pictures generated and edited; None where it is not known (a kernel that died took its count along).
    seconds : float or None
        Of one core, in the kernel and in the thread that drove it, loading included; None without a warm kernel.
    failure : str
        Why it ended without an answer; empty for one that has answered.
    """

    images: int | None
    seconds: float | None
    failure: str = ""


def ended(nb: NotebookNode) -> Spent | None:
    """How an investigation of a bench ended; None for one that was broken off."""
    facts: Any = nb.metadata.get("maia", {}).get("bench")
    return Spent(facts["images"], facts["seconds"], facts["failure"]) if facts else None


@contextlib.contextmanager
def warm_kernels() -> Iterator[Zygote | None]:
    """The process that kernels are forked from; None where that is not possible, and kernels are started cold."""
    if not available():
        yield None
        return
    with Zygote(env=kernel_environment(os.environ), preload=PRELOAD) as zygote:
        yield zygote


def check(studies: Iterable[Study], agent: VLM, zygote: Zygote | None) -> None:
    """Load each study once, so that a wrong name is told before anything is written, and exemplars are at hand.

    Raises
    ------
    UsageError, KernelError
        The setup cells fail.
    """
    for study in studies:
        ask(study, agent, "", zygote)


def ask(study: Study, agent: VLM, code: str, zygote: Zygote | None) -> str:
    """What a cell prints in a kernel in which a study is loaded; nothing is saved.

    Raises
    ------
    UsageError, KernelError
        A setup cell fails; the cell fails.
    """
    notebook, cell = draft(study, agent, task="describe", question=None, folder=None), new_code_cell(code)
    with Kernel(env=kernel_environment(os.environ), zygote=zygote) as kernel:
        require(setup(notebook, kernel, Nobody()))
        result = kernel.run(cell)
    if result.status != "ok":
        raise KernelError(f"a cell of the bench failed: {result.error or result.note}")
    return _printed(cell)


def conduct(
    job: Job, limits: Limits, zygote: Zygote | None, stop: threading.Event
) -> tuple[NotebookNode, VLMError | None]:
    """Make one investigation; what ends it early is noted in its notebook, an error of the agent is returned as well.

    An unfinished notebook at its path is begun anew. Artifacts are not kept: hundreds of notebooks would leave tens of
    thousands, and a bench that is run again would be measured with what it had found before.
    """
    job.path.unlink(missing_ok=True)
    with Scratch() as scratch:
        environment = kernel_environment(os.environ)
        kernel = Kernel(env=environment, cwd=job.path.parent, zygote=zygote, scratch=scratch)
        return _conduct(job, limits, kernel, stop)


def _conduct(job: Job, limits: Limits, kernel: Kernel, stop: threading.Event) -> tuple[NotebookNode, VLMError | None]:
    notebook = draft(job.study, job.agent, task="describe", question=None, folder=None)
    notebook.path = job.path
    began = time.thread_time()
    failure, images, unreached = "", None, None
    try:
        with kernel:
            loaded = setup(notebook, kernel, Nobody())
            if loaded.status != "ok":
                raise KernelError(f"the setup cells failed: {loaded.error or loaded.note}")
            notebook.save()
            try:
                run(notebook, job.agent, kernel, limits, _Stoppable(stop))
            finally:
                images = _images_made(notebook, kernel)
    except (LimitReached, VLMError, KernelError) as error:
        failure, unreached = str(error), error if isinstance(error, VLMError) else None
    seconds = None if kernel.cpu_seconds is None else kernel.cpu_seconds + time.thread_time() - began
    notebook.nb.metadata["maia"]["bench"] = {"images": images, "seconds": seconds, "failure": failure}
    notebook.save()
    return notebook.nb, unreached


def conduct_all(
    jobs: Sequence[Job], *, limits: Limits, zygote: Zygote | None, workers: int
) -> Iterator[tuple[Job, NotebookNode]]:
    """Make investigations in several threads; yields each with its notebook as it ends, in any order.

    When the caller stops listening, as after Ctrl-C, the investigations that run are broken off at their next cell.
    Their notebooks are valid and unfinished.

    Raises
    ------
    VLMError
        The first ``_HOPELESS`` investigations that ended all failed with one: an endpoint is dead, or refuses the key.
    """
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Job, NotebookNode, VLMError | None] | BaseException] = queue.SimpleQueue()
    stop = threading.Event()
    for job in jobs:
        waiting.put(job)

    def work() -> None:
        with contextlib.suppress(queue.Empty, _Stopped):
            while not stop.is_set():
                job = waiting.get_nowait()
                try:
                    done.put((job, *_again(partial(conduct, job, limits, zygote, stop))))
                except _Stopped:
                    raise
                except BaseException as error:  # neither the agent's nor the kernel's failure: the caller's to see
                    done.put(error)
                    return

    threads = [threading.Thread(target=work, daemon=True, name=f"bench {n}") for n in range(min(workers, len(jobs)))]
    for thread in threads:
        thread.start()
    hopeless = True
    try:
        for number in range(1, len(jobs) + 1):
            outcome = done.get()
            if isinstance(outcome, BaseException):
                raise outcome
            job, nb, unreached = outcome
            hopeless = hopeless and unreached is not None
            if unreached and hopeless and number == _HOPELESS:
                raise unreached
            yield job, nb
    finally:
        stop.set()
        until = time.monotonic() + _PATIENCE
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


def _again(make: Callable[[], T], times: int = 3) -> T:
    """Begin an investigation anew when the interpreter itself stumbled.

    CPython 3.11 and 3.12 count how deep a syntax tree is for all threads together, so that two threads that parse at
    the same moment can make one of them fail with a SystemError ("recursion depth mismatch", their issue 106905).
    """
    for _ in range(times - 1):
        with contextlib.suppress(SystemError):
            return make()
    return make()


def _images_made(notebook: Investigation, kernel: Kernel) -> int | None:
    """How many pictures were made; None after a restart, which begins to count anew."""
    restarted = any(cell.metadata.get("maia", {}).get("kind") == "restart" for cell in notebook.nb.cells)
    if restarted or not kernel.alive:
        return None
    cell = new_code_cell(_COUNT)
    if kernel.run(cell, timeout=10).status != "ok":
        return None
    said = _printed(cell)
    return int(said) if said.isdigit() else None


def _printed(cell: NotebookNode) -> str:
    return "".join(part.text for part in outputs.parts(cell.outputs) if isinstance(part, Text)).strip()


class _Stopped(BaseException):
    """The command is being ended; not an Exception, so that nothing on its way takes it for a failure."""


class _Stoppable(Nobody):
    """A watcher that ends an investigation at the next occasion once the event is set."""

    def __init__(self, stop: threading.Event):
        self._stop = stop

    def waiting(self, turn: int) -> None:
        self._look()

    def replied(self, turn: int, reply: Turn) -> None:
        self._look()

    def running(self, cell: NotebookNode) -> None:
        self._look()

    def ran(self, cell: NotebookNode, result: Result) -> None:
        self._look()

    def noticed(self, notice: Notice) -> None: ...

    def _look(self) -> None:
        if self._stop.is_set():
            raise _Stopped
