"""A process that has imported heavy modules already, from which warm kernels are forked: the host's end of it.

`forkserver.py` is the process itself, `provisioner.py` hands its children to jupyter_client.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from maia_kernel.errors import KernelError

# Seconds for all the imports; a cold disk has been seen to need a minute for torch and transformers.
PRELOAD_TIMEOUT = 300.0
# Seconds for a forked child to become a process of its own, and for the zygote to end its children and itself.
PATIENCE = 20.0
# How much of the end of the zygote's standard error is read for its last line, bytes.
LAST_WORDS = 20_000


def available() -> bool:
    """Whether kernels can be forked here: on Linux 5.3 or newer; elsewhere heavy libraries do not survive a fork."""
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # an old kernel, or a container that forbids it
        return False
    return True


class Forked:
    """A process that the zygote has forked and reaps; the part of :class:`subprocess.Popen` that is used of a kernel.

    Attributes
    ----------
    pid : int
        Also its process group and its session.
    returncode : int or None
        The exit code, negative for a signal; None while it runs.
    cpu_seconds : float or None
        User and system time of the process and of the children that it waited for; None before its end, and where the
        zygote died first.
    """

    stdin = stdout = stderr = None

    def __init__(self, pid: int, channel: socket.SocketIO):
        self.pid = pid
        self.returncode: int | None = None
        self.cpu_seconds: float | None = None
        self._channel = channel

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end, `timeout` seconds at most; returns as :meth:`poll`."""
        if self.returncode is None and select.select([self._channel], [], [], timeout)[0]:
            # No last words: the zygote is dead, and its children are killed with it.
            end = _line(self._channel) or {"code": -signal.SIGKILL}
            self.returncode, self.cpu_seconds = end["code"], end.get("cpu")
            self._channel.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to this process alone."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill this process alone."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask this process alone to end."""
        self.send_signal(signal.SIGTERM)


class Zygote:
    """A process that imports modules once, and from then on forks kernels that have them, as a context manager::

        with Zygote(env=environment, preload=("torch",)) as zygote, Kernel(env=…, zygote=zygote) as kernel:
            kernel.run(cell)

    It begins to import when it is made, and is waited for when the first kernel is forked. To its user a forked kernel
    is like any other, except that Python itself, and a module that reads the environment when it is imported, have read
    the zygote's. When the process dies, its kernels die with it, and the next that is started begins with a new one.
    Neither the process nor its kernels outlive this object, or the interpreter. Threads may share it.

    Parameters
    ----------
    env : mapping, optional
        The whole environment of the process; by default, this process's with everything in it, keys too.
    preload : sequence of str
        Modules by their dotted names.

    Raises
    ------
    KernelError
        Kernels cannot be forked on this machine (see :func:`available`).
    """

    def __init__(self, *, env: Mapping[str, str] | None = None, preload: Sequence[str] = ()):
        if not available():
            raise KernelError("kernels can be forked only on Linux 5.3 or newer; start them without a zygote")
        self._env, self._preload = dict(os.environ if env is None else env), tuple(preload)
        self._lock = threading.Lock()
        self._closed = False
        self._process = _Process(self._env, self._preload)
        self._stop = weakref.finalize(self, self._process.close)

    def __enter__(self) -> Zygote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fork(self, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: IO[bytes]) -> Forked:
        """Fork a child that becomes an ipykernel.

        Parameters
        ----------
        arguments : sequence of str
            ipykernel's own: ``-f`` and the connection file.
        env : mapping
            Its whole environment.
        cwd : Path
            Its working directory.
        log : file
            Where its standard output and error go; needed no longer than this call.

        Raises
        ------
        KernelError
            A module cannot be imported, the process died, or the system cannot fork.
        """
        with self._lock:
            if self._closed:
                raise KernelError("the zygote is closed; make another, or start the kernel without one")
            process = self._process
            if process.dead:
                self._stop()
                process = self._process = _Process(self._env, self._preload)
                self._stop = weakref.finalize(self, process.close)
            process.wait_until_ready()
        wanted = {"arguments": list(arguments), "env": dict(env), "cwd": str(cwd)}
        return process.fork(json.dumps(wanted).encode() + b"\n", log)

    def close(self) -> None:
        """End the process and its kernels; may be called twice."""
        self._closed = True
        self._stop()  # before the lock, whose holder may be waiting for the imports
        with self._lock:
            self._stop()


class _Process:
    """One run of the fork server, and the host's end of the socket to it."""

    def __init__(self, env: Mapping[str, str], preload: Sequence[str]):
        self._owner = os.getpid()
        self._ready = False
        # Packets: each is one order with its descriptors, so that threads need no lock to send them.
        self._socket, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        command = [sys.executable, "-m", "maia_kernel.driver.forkserver", str(far.fileno()), *preload]
        with far:
            # A session of its own: Ctrl-C in the terminal is for the driver.
            self._popen = subprocess.Popen(
                command, env=env, pass_fds=[far.fileno()], stdin=subprocess.DEVNULL, stdout=self._log,
                stderr=self._log, start_new_session=True,
            )  # fmt: skip

    @property
    def dead(self) -> bool:
        """Whether it has ended; until somebody has waited for its imports, that is left to be found there."""
        return self._ready and self._popen.poll() is not None

    def wait_until_ready(self) -> None:
        """Wait for the imports."""
        if self._ready:
            return
        if not select.select([self._socket], [], [], PRELOAD_TIMEOUT)[0]:
            self.close()
            raise KernelError(f"the modules to preload were not imported within {PRELOAD_TIMEOUT:g} s")
        self._ready = True
        if not self._socket.recv(16):
            raise KernelError(f"the modules to preload cannot be imported: {self._end()}")

    def fork(self, wanted: bytes, log: IO[bytes]) -> Forked:
        """Order a child, and tell it what to be."""
        near, far = socket.socketpair()
        near.settimeout(PATIENCE)
        channel = near.makefile("rb", buffering=0)
        born: dict[str, Any] = {}
        try:
            with near, far:
                socket.send_fds(self._socket, [b"fork"], [far.fileno(), log.fileno()])
                far.close()  # else its end would never be seen
                near.sendall(wanted)
                born = _line(channel)
        except TimeoutError:
            raise KernelError(f"no kernel was forked within {PATIENCE:g} s") from None
        except OSError:
            pass  # nobody is there to whom anything could be sent
        if "pid" in born:
            return Forked(born["pid"], channel)
        channel.close()
        if "error" in born:
            raise KernelError(f"the system cannot fork: {born['error']}")
        if "code" in born:
            raise KernelError(f"the forked process stopped before it was a kernel (exit code {born['code']})")
        raise KernelError(
            f"the process from which kernels are forked died: {self._end()}; starting a kernel starts it anew"
        )

    def close(self) -> None:
        """End it, and with it its kernels."""
        if os.getpid() != self._owner:  # a forked child's exit is not ours
            return
        if self._ready:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        else:
            self._popen.kill()
        try:
            self._popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._socket.close()
        self._log.close()

    def _end(self) -> str:
        """Its last words and its exit code."""
        try:
            code = self._popen.wait(PATIENCE)
            size = os.fstat(self._log.fileno()).st_size
            text = os.pread(self._log.fileno(), LAST_WORDS, max(0, size - LAST_WORDS)).decode(errors="replace")
        except (subprocess.TimeoutExpired, ValueError, OSError):
            return "it was closed"
        lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
        return f"{lines[-1][:300] if lines else 'it said nothing'} (exit code {code})"


def _line(channel: socket.SocketIO) -> dict[str, Any]:
    """The next line of a channel; empty where there is none."""
    line = channel.readline()
    return dict(json.loads(line)) if line.endswith(b"\n") else {}
