"""The live kernel: starts it, runs cells in it, stops it.

`connection.py` holds the process and the sockets, and alone imports jupyter_client; what to do with a cell that raises,
loops, floods or kills is decided here.

Three sockets matter. The shell socket carries the request and its reply, and belongs to the caller's thread. The iopub
socket carries the outputs; a thread of its own reads it all the time, because zmq drops what nobody reads, the message
that ends the cell included. A pair between the two threads wakes the caller, so that nothing here sleeps or waits in
steps: a trivial cell costs what it costs in raw jupyter_client. The heartbeat is not used; the process is asked itself.

Where the kernel runs is the business of jupyter_client's provisioners (named in the kernelspec): everything here goes
through the kernel manager and works in the same way for a kernel in a cage.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from nbformat import NotebookNode

from maia_kernel.artifacts import Scratch, Use
from maia_kernel.driver import outputs
from maia_kernel.driver.collector import Collector
from maia_kernel.driver.connection import Connection, Limits
from maia_kernel.driver.zygote import Zygote
from maia_kernel.errors import KernelError

# How long a wait for messages lasts before the process is asked whether it lives, s.
TICK = 0.02
# A cell that was interrupted and has not ended after this time loses its kernel, s.
PATIENCE = 5.0
# The reply is there and the message that ends the outputs is not: zmq lost it under a flood. No longer than this, s.
SILENCE = 4.0
# Outputs are published at most this often, s; a callback may well write a file.
PUBLISH_EVERY = 0.1


@dataclass(frozen=True)
class Result:
    """How a cell ended.

    Attributes
    ----------
    status : {"ok", "error", "timeout", "died"}
        "error": it raised; "timeout": it was interrupted, or its kernel killed, after its time was over; "died": the
        kernel is gone, by itself or because the cell could not be stopped, and must be restarted.
    error : (str, str) or None
        Name and message of the exception, where there was one (also for a cell that was interrupted).
    seconds : float
        Wall time.
    note : str
        What else a reader should know, in one line; empty where there is nothing.
    artifacts : tuple of Use
        What the cell asked backends and stores for, where the kernel has a scratch folder and the cell has ended.
    """

    status: Literal["ok", "error", "timeout", "died"]
    error: tuple[str, str] | None = None
    seconds: float = 0.0
    note: str = ""
    artifacts: tuple[Use, ...] = ()


class Kernel:
    """A live kernel, as a context manager::

        with Kernel(env=environment, cwd=folder) as kernel:
            result = kernel.run(cell, timeout=60)

    The process never outlives this object: it is stopped by ``with``, by :meth:`shutdown`, when the object is
    collected, at the interpreter's exit, and by the kernel itself when the interpreter was killed. All methods belong
    to one thread, except :meth:`interrupt`.

    Parameters
    ----------
    env : mapping, optional
        The kernel's whole environment (the kernelspec's own entries and ``JPY_PARENT_PID`` are added); by default, this
        process's with everything in it, keys too.
    cwd : Path, optional
        The kernel's working directory; by default, this process's.
    kernel_name : str
        The kernelspec.
    limits : Limits
        How much a cell may put out.
    zygote : Zygote, optional
        Where to fork the process from, which then has modules imported already; by default it is started cold.
    scratch : Scratch, optional
        Where the kernel leaves artifacts, already entered: those of a cell that has ended are adopted, those of one
        that was stopped or has killed its kernel are discarded.

    Attributes
    ----------
    cpu_seconds : float or None
        After :meth:`shutdown`, what the forked processes of this object have used, user and system time, together with
        their children that they waited for; None before, and where a process was not forked.
    """

    def __init__(
        self,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        kernel_name: str = "python3",
        limits: Limits | None = None,
        zygote: Zygote | None = None,
        scratch: Scratch | None = None,
    ):
        self._env = dict(os.environ if env is None else env) | (scratch.environment if scratch is not None else {})
        self._cwd = Path.cwd() if cwd is None else cwd.absolute()
        self._name = kernel_name
        self._limits = limits or Limits()
        self._zygote = zygote
        self._scratch = scratch
        self.cpu_seconds: float | None = None
        self._live: Connection | None = None
        self._stop: weakref.finalize[..., Kernel] | None = None
        self._clean = partial(outputs.clean, roots=_roots(self._env, self._cwd))

    def __enter__(self) -> Kernel:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    @property
    def alive(self) -> bool:
        """Whether the kernel's process runs."""
        return self._live is not None and self._live.exit_code() is None

    def start(self) -> None:
        """Start the process and wait until it answers; nothing happens where it already runs.

        Raises
        ------
        KernelError
            The kernelspec is missing, or the kernel does not come up.
        """
        if self.alive:
            return
        self.shutdown()
        live = Connection(self._name, self._env, self._cwd, self._limits, self._zygote)
        self._live = live
        # Bound to the connection, not to self, which it would keep alive.
        self._stop = weakref.finalize(self, live.close)
        try:
            live.open()
        except BaseException:
            self.shutdown()
            raise

    def shutdown(self) -> None:
        """Stop the process, and what it has started in its process group; may be called at any time, and twice."""
        if self._stop is not None:
            self._stop()
        if self._live is not None and self._live.cpu_seconds is not None:
            self.cpu_seconds = (self.cpu_seconds or 0.0) + self._live.cpu_seconds
        self._live = self._stop = None

    def restart(self) -> None:
        """A new process with nothing in it, under the same settings.

        Raises
        ------
        KernelError
            As :meth:`start`.
        """
        self.shutdown()
        self.start()

    def interrupt(self) -> None:
        """Interrupt the running cell, which then ends with a KeyboardInterrupt of its own; may come from any thread."""
        if self._live is not None:
            self._live.interrupt()

    def run(
        self, cell: NotebookNode, *, timeout: float | None = None, on_output: Callable[[], None] | None = None
    ) -> Result:
        """Run a code cell; its outputs and its execution count are replaced in place, whatever happens.

        Requests for keyboard input are refused (the cell gets an error at once). A cell that puts out more than the
        limits is interrupted; the rest is left out, and a line in the output says so. What a thread of an earlier cell
        prints, also between cells, is put into the cell that runs then, or next. What was printed in the last
        fifth of a second before the process died may be lost: ipykernel had not sent it.

        Parameters
        ----------
        cell : NotebookNode
            An nbformat v4 code cell.
        timeout : float, optional
            Seconds after which the cell is interrupted, and killed with its kernel 5 s later if that does not help.
        on_output : callable, optional
            Called in this thread when the cell's outputs have changed, at most ten times a second.

        Raises
        ------
        KernelError
            The kernel was never started. One that has died is not an error: the result says so.
        """
        live = self._live
        if live is None:
            raise KernelError("the kernel is not running; call start() first")
        cell.outputs, cell.execution_count = [], None
        watch = _Watch(live, cell, Collector(self._clean), on_output)
        ended = False
        try:
            result = watch.until_done(timeout)
            ended = result.status in ("ok", "error")
        except BaseException:
            # The caller goes (Ctrl-C, or its callback failed): the cell must not go on behind its back.
            live.interrupt()
            raise
        finally:
            watch.publish()
            if self._scratch is not None and not ended:
                self._scratch.discard()
        return _with_artifacts(result, self._scratch) if ended and self._scratch is not None else result


class _Watch:
    """One cell that runs: gathers what comes, and decides when it is over."""

    def __init__(
        self, live: Connection, cell: NotebookNode, collector: Collector, on_output: Callable[[], None] | None
    ):
        self._live, self._cell, self._collector, self._on_output = live, cell, collector, on_output
        self._request = ""
        self._idle = False
        self._changed = False
        self._heard = self._published = self._began = time.monotonic()

    def publish(self) -> None:
        self._cell.outputs = self._collector.outputs()
        self._changed = False

    def until_done(self, timeout: float | None) -> Result:
        live = self._live
        self._request = live.send(self._cell.source, notify=self._on_output is not None)
        reason: Literal["", "timeout", "flood"] = ""
        kill_at = None
        reply: dict[str, Any] | None = None
        while not (reply and self._idle):
            heard = live.wait(TICK)
            if reply is None and (reply := live.reply(self._request)):
                self._heard = time.monotonic()  # a cell may have been silent for long: patience begins with the reply
            self._take()
            now = time.monotonic()
            if reply:
                if now - self._heard > SILENCE:
                    break
            elif not heard and (code := live.exit_code()) is not None:
                self._rest()
                return self._result("died", note=f"the kernel died: {_exit(code)}")
            elif kill_at is not None and now >= kill_at:
                live.close(now=True)
                self._rest()
                return self._killed(reason, timeout)
            elif kill_at is None and (live.flooded or (timeout is not None and now - self._began >= timeout)):
                reason, kill_at = "flood" if live.flooded else "timeout", now + PATIENCE
                live.interrupt()
        self._left_out()
        return self._finished(reply or {}, reason, timeout)

    def _take(self) -> None:
        """Take the messages that have arrived, and let the caller know where that is due."""
        for kind, parent, content in self._live.take():
            self._heard = time.monotonic()
            if kind == "status":
                self._idle |= parent == self._request and content.get("execution_state") == "idle"
            elif kind == "execute_input":
                if parent == self._request:
                    self._cell.execution_count = content.get("execution_count")
            else:
                self._changed |= self._collector.add(kind, content)
        if self._changed and self._on_output and time.monotonic() - self._published >= PUBLISH_EVERY:
            self.publish()
            self._on_output()
            self._published = time.monotonic()

    def _rest(self) -> None:
        """The process is gone: take what it had sent, and let go of what is left of it."""
        self._live.close(now=True)
        self._take()
        self._left_out()

    def _left_out(self) -> None:
        if self._live.flooded:
            self._collector.note(f"the rest of the output was left out: {self._live.flooded}")

    def _finished(self, reply: dict[str, Any], reason: str, timeout: float | None) -> Result:
        for payload in reply.get("payload") or ():
            if payload.get("source") == "page":  # the text of `help?`, which JupyterLab shows in a pager
                text = payload.get("data", {}).get("text/plain", "")
                self._collector.add("display_data", {"data": {"text/plain": text}})
            elif payload.get("source") == "ask_exit":
                self._rest()
                return self._result("died", note="the cell called exit() or quit(), which ends the kernel")
        error = None
        if reply.get("status") == "error":
            error = str(reply.get("ename", "")), outputs.clean_text(str(reply.get("evalue", "")))
        if reason == "timeout":
            return self._result("timeout", error, f"interrupted after {timeout:g} s")
        note = ""
        if self._live.flooded:
            note = f"{'interrupted: ' if reason else ''}{self._live.flooded}"
        return self._result("error" if error else "ok", error, note)

    def _killed(self, reason: str, timeout: float | None) -> Result:
        why = f"its {timeout:g} s were over" if reason == "timeout" else self._live.flooded
        note = f"{why}; it did not stop when interrupted; the kernel was killed and must be restarted"
        return self._result("timeout" if reason == "timeout" else "died", note=note)

    def _result(
        self, status: Literal["ok", "error", "timeout", "died"], error: tuple[str, str] | None = None, note: str = ""
    ) -> Result:
        return Result(status, error, time.monotonic() - self._began, note)


def _with_artifacts(result: Result, scratch: Scratch) -> Result:
    """The result with what the cell left; where some of it cannot be kept, the first such cell's note says so."""
    before, uses = scratch.trouble, scratch.adopt()
    trouble = f"artifacts are not kept ({scratch.trouble})" if scratch.trouble and not before else ""
    return replace(result, artifacts=uses, note="; ".join(filter(None, (result.note, trouble))))


def _exit(code: int) -> str:
    """What an exit code says, with the signal's name; kernels in a cage report 128 + signal."""
    number = -code if code < 0 else code - 128
    name = ""
    with contextlib.suppress(ValueError):
        name = signal.Signals(number).name if number > 0 else ""
    hint = ", often for lack of memory" if name == "SIGKILL" else ""
    return f"exit code {code}{f' ({name}{hint})' if name else ''}"


def _roots(env: Mapping[str, str], cwd: Path) -> dict[str, str]:
    """Folders whose names tell whose machine this is, and what stands for them in outputs."""
    named = {str(cwd): ".", env.get("HOME", ""): "~", env.get("TMPDIR", ""): "<tmp>"}
    if sys.prefix != sys.base_prefix:
        named[sys.prefix] = "<venv>"
    return {folder: name for folder, name in named.items() if len(folder.rstrip("/")) > 1}
