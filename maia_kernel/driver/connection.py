"""A kernel process and the sockets to it; with `provisioner.py`, the only importer of jupyter_client.

`kernel.py` is its only user. Opened once and closed once: a restarted kernel is a new connection.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maia_kernel.errors import KernelError

if TYPE_CHECKING:
    import zmq

    from maia_kernel.driver.provisioner import ForkedProvisioner
    from maia_kernel.driver.zygote import Zygote

# Seconds: a cold disk has been seen to need a quarter of a minute to import ipykernel.
START_TIMEOUT = 60.0
# Seconds for the kernel to leave by itself before it is killed.
LEAVE_TIMEOUT = 1.0
# Milliseconds without a message after which a closed connection is taken to be empty.
LAST_WORDS = 50
# A Unix socket's path has at most 104 bytes on some systems; the names of the sockets need a few.
LONGEST_FOLDER = 90

Message = tuple[str, str, dict[str, Any]]


@dataclass(frozen=True)
class Limits:
    """How much one cell may put out; beyond that it is interrupted, and the rest is left out.

    Attributes
    ----------
    text : int
        Bytes written to stdout and stderr (as JSON). Anything larger is nothing that a person or a model would read.
    total : int
        Bytes of everything. Updates of a display that is already there do not count, and ``clear_output`` starts anew.
    """

    text: int = 1_000_000
    total: int = 50_000_000


class Connection:
    """A kernel process, its control, shell and iopub sockets, and the folder in which they lie."""

    def __init__(self, name: str, env: Mapping[str, str], cwd: Path, limits: Limits, zygote: Zygote | None = None):
        self._name, self._env, self._cwd, self._limits, self._zygote = name, dict(env), cwd, limits, zygote
        self._pid = os.getpid()
        self._folder: Path | None = None
        self._manager: Any = None
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._drain: _Drain | None = None
        self._code: int | None = None
        self._closed = False
        self.cpu_seconds: float | None = None  # of a forked process that has ended

    def open(self) -> None:
        """Start the process and wait for its first words.

        Raises
        ------
        KernelError
            The kernelspec is missing, or the kernel does not come up.
        """
        import zmq
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
        from jupyter_client.manager import KernelManager

        if not self._cwd.is_dir():
            raise KernelError(f"the kernel's working directory {self._cwd} does not exist; make it first")
        self._folder = _folder()
        self._context = zmq.Context()
        where: dict[str, Any] = {"transport": "tcp"}
        if os.name == "posix" and zmq.has("ipc"):
            where = {"transport": "ipc", "ip": str(self._folder / "k")}
        self._manager = KernelManager(
            kernel_name=self._name, context=self._context, connection_file=str(self._folder / "k.json"), **where
        )
        try:
            _ = self._manager.kernel_spec
        except NoSuchKernel:
            known = ", ".join(sorted(KernelSpecManager().find_kernel_specs())) or "none"
            raise KernelError(
                f"there is no Jupyter kernel named '{self._name}' (installed: {known}); choose one of "
                "these in JupyterLab, or install it: 'maia kernelspec install --name …'"
            ) from None
        if self._zygote is not None:
            self._manager.provisioner = self._provisioner(self._zygote)
        log = self._folder / "log"
        with log.open("wb") as stderr:
            try:
                self._manager.start_kernel(env=self._env, cwd=str(self._cwd), stdout=stderr, stderr=stderr)
            except Exception as error:  # whatever a provisioner may raise
                why = ": ".join(filter(None, (_one_line(str(error)), _last_line(log))))
                raise KernelError(f"the kernel '{self._name}' cannot be started: {why}") from error
        self._connect()
        self._handshake(log)

    def _provisioner(self, zygote: Zygote) -> ForkedProvisioner:
        """Stands in for the one that the kernel manager would look up for the kernelspec."""
        from maia_kernel.driver.provisioner import ForkedProvisioner

        manager = self._manager
        provisioner = ForkedProvisioner(kernel_id=manager.kernel_id, kernel_spec=manager.kernel_spec, parent=manager)
        provisioner.zygote = zygote
        return provisioner

    def _connect(self) -> None:
        import zmq

        assert self._context is not None
        info = self._manager.get_connection_info(session=True)
        self._session = info["session"]
        sockets = []
        for kind, channel in ((zmq.DEALER, "shell"), (zmq.SUB, "iopub")):
            socket = self._context.socket(kind)
            socket.linger = 0
            socket.reconnect_ivl = 10  # ms; the kernel is not there yet, and the default of 100 would be waited for
            if channel == "iopub":
                socket.rcvhwm = 0
                socket.subscribe(b"")
            join = ":" if info["transport"] == "tcp" else "-"
            socket.connect(f"{info['transport']}://{info['ip']}{join}{info[f'{channel}_port']}")
            sockets.append(socket)
        self._shell, iopub = sockets
        self._wake, far = self._context.socket(zmq.PAIR), self._context.socket(zmq.PAIR)
        self._wake.bind("inproc://wake")
        far.connect("inproc://wake")
        # A session of its own: what it remembers of signatures is no business of two threads.
        self._drain = _Drain(iopub, far, self._manager.get_connection_info(session=True)["session"], self._limits)
        self._drain.start()
        self._poller = zmq.Poller()
        self._poller.register(self._shell, zmq.POLLIN)
        self._poller.register(self._wake, zmq.POLLIN)

    def _handshake(self, log: Path) -> None:
        """Wait for a reply on the shell and for one message on iopub, which shows that the subscription stands.

        What the kernel prints before its first cell (its debugger's remarks, warnings of libraries) belongs to no
        cell. It may also arrive after this, and is known by its parent.
        """
        assert self._drain is not None
        ends = time.monotonic() + START_TIMEOUT
        ask_at, replied = 0.0, False
        self._drain.notify = True
        while not (replied and self._drain.heard):
            now = time.monotonic()
            if now >= ask_at and (replied or not ask_at):
                # Asked again only when the answer came before the subscription did.
                message = self._session.msg("kernel_info_request")
                self._drain.nobody.add(message["header"]["msg_id"])
                self._session.send(self._shell, message)
                ask_at = now + 0.1
            if not self.wait(0.02) and (code := self.exit_code()) is not None:
                last = _last_line(log)
                raise KernelError(
                    f"the kernel '{self._name}' stopped while starting (exit code {code}"
                    f"{': ' + last if last else ''}); try 'python -m ipykernel --version' in the same environment"
                )
            replied = replied or any(True for _ in self._replies())
            if now > ends:
                raise KernelError(f"the kernel '{self._name}' did not answer within {START_TIMEOUT:g} s of its start")
        self._drain.notify = False
        self.take()

    def send(self, source: str, *, notify: bool) -> str:
        """Ask for a cell to be executed; returns the request's id. `notify`: wake the caller at every output."""
        code = source.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate cannot travel
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,  # there is no queue that could be stopped
        }
        message = self._session.msg("execute_request", content)
        request = str(message["header"]["msg_id"])
        if self._drain is not None and not self._closed:
            self._drain.begin(request, notify)
            self._session.send(self._shell, message)
        return request

    def wait(self, seconds: float) -> bool:
        """Wait for something to happen, no longer than this; returns whether it did."""
        if self._drain is None or self._closed:
            return False
        ready = dict(self._poller.poll(round(seconds * 1000)))
        if self._wake in ready:
            self._wake.recv()
            self._drain.woken = False
        return bool(ready)

    def reply(self, request: str) -> dict[str, Any] | None:
        """The reply to this request, if it has come; replies to earlier ones that nobody waits for are dropped."""
        found = None
        for parent, content in self._replies():
            if parent == request:
                found = content
        return found

    def _replies(self) -> Iterator[tuple[str, dict[str, Any]]]:
        while not self._closed:
            _, message = self._session.recv(self._shell)
            if message is None:
                return
            yield message["parent_header"].get("msg_id", ""), message["content"]

    def take(self) -> Iterator[Message]:
        """The messages that have come on iopub since the last call: (type, parent's id, content)."""
        while self._drain is not None and self._drain.messages:
            yield self._drain.messages.popleft()

    @property
    def flooded(self) -> str:
        """What the running cell put out too much of; empty while it did not."""
        return self._drain.flooded if self._drain is not None else ""

    def exit_code(self) -> int | None:
        """The exit code of the process, None while it runs."""
        from jupyter_core.utils import run_sync

        if self._code is None and not self._closed and self._manager is not None and self._manager.has_kernel:
            self._code = run_sync(self._manager.provisioner.poll)()
        return self._code if not self._closed or self._code is not None else 0

    def interrupt(self) -> None:
        """Interrupt what runs, in the way that the kernelspec asks for."""
        if not self._closed and self._manager is not None and self._manager.has_kernel:
            self._manager.interrupt_kernel()
            _close_loop()

    def close(self, now: bool = False) -> None:
        """Stop the process (`now`: without asking it first) and what it left in its process group; let go of the rest.

        Messages that have arrived by then can still be taken.
        """
        if self._closed or os.getpid() != self._pid:  # a forked child's exit is not ours
            return
        try:
            if self._manager is not None and self._manager.has_kernel:
                self._end_process(now)
        finally:
            self._closed = True
            if self._drain is not None:
                self._drain.stop(self._wake)
            if self._context is not None:
                self._context.destroy(linger=0)
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
            _close_loop()

    def _end_process(self, now: bool) -> None:
        if not now and self.exit_code() is None:
            self._manager.request_shutdown()
        ends = time.monotonic() + (0 if now else LEAVE_TIMEOUT)
        while self.exit_code() is None and time.monotonic() < ends:
            time.sleep(0.005)
        # Also for a process that has left: its children may still be there.
        self._manager.shutdown_kernel(now=True)
        if self._code is None:
            self._code = -9
        forked = getattr(self._manager.provisioner, "forked", None)
        self.cpu_seconds = forked.cpu_seconds if forked is not None else None


class _Drain(threading.Thread):
    """Reads iopub all the time, counts what comes, and wakes the caller when something is worth waking for."""

    def __init__(self, iopub: zmq.Socket[bytes], wake: zmq.Socket[bytes], session: Any, limits: Limits):
        super().__init__(name="maia-kernel-iopub", daemon=True)
        self.messages: deque[Message] = deque()
        self.heard = self.notify = self.woken = False
        self.flooded = ""
        self._iopub, self._wake, self._session, self._limits = iopub, wake, session, limits
        self.nobody = {""}  # parents of messages that belong to no cell
        self._request = ""
        self._text = self._total = 0

    def begin(self, request: str, notify: bool) -> None:
        """A new cell: count from zero, and wake for the end of this request."""
        self._text = self._total = 0
        self.flooded, self.notify, self._request = "", notify, request

    def stop(self, near: zmq.Socket[bytes]) -> None:
        """End the thread after what has already arrived was read; to be called when the process is gone."""
        if threading.current_thread() is not self:  # a collection may have been set off in this very thread
            near.send(b"stop")
            self.join()

    def run(self) -> None:
        import zmq

        poller = zmq.Poller()
        poller.register(self._iopub, zmq.POLLIN)
        poller.register(self._wake, zmq.POLLIN)
        told = False
        while not told:
            told = self._wake in dict(poller.poll())
            self._read()
        while self._iopub.poll(LAST_WORDS):
            self._read()
        self._iopub.close()
        self._wake.close()

    def _read(self) -> None:
        import zmq

        while True:
            try:
                frames = self._iopub.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = self._parse(frames)
            except (ValueError, TypeError, KeyError, IndexError):
                continue  # not from our kernel, or not a message: the signature does not fit
            self.heard = True
            if message is not None:
                self.messages.append(message)
            ended = message is not None and message[0] == "status" and message[1] == self._request
            if (ended or self.notify or self.flooded) and not self.woken:
                self.woken = True
                self._wake.send(b"")

    def _parse(self, frames: list[bytes]) -> Message | None:
        _, frames = self._session.feed_identities(frames)
        kind = str(self._session.unpack(frames[1])["msg_type"])
        parent = str(self._session.unpack(frames[2]).get("msg_id", ""))
        room = -1 if parent in self.nobody else self._room(kind, len(frames[4]))
        if room < 0:
            return None  # not even unpacked: a flood must cost less here than it costs the kernel
        content = self._session.deserialize(frames)["content"]
        if kind == "stream":
            content["text"] = content["text"][:room]
        return kind, parent, content

    def _room(self, kind: str, size: int) -> int:
        """How much of a message still fits under the limits, in bytes; -1 for nothing."""
        if kind == "clear_output":
            self._text = self._total = 0
        if kind not in ("stream", "display_data", "execute_result", "update_display_data", "error"):
            return size
        if self.flooded:
            return -1
        counted = 0 if kind == "update_display_data" else size
        room = self._limits.total - self._total
        self._total += counted
        what = f"more than {self._limits.total:,} bytes of output"
        if kind == "stream":
            if self._limits.text - self._text < room:
                room, what = self._limits.text - self._text, f"more than {self._limits.text:,} bytes of text"
            self._text += counted
        if size <= room:
            return size
        self.flooded = what
        return room if kind == "stream" else -1


def _folder() -> Path:
    """A new private folder with a short absolute path."""
    folder = Path(tempfile.mkdtemp(prefix="maia-")).absolute()
    if len(str(folder)) > LONGEST_FOLDER and os.name == "posix":
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="maia-", dir="/tmp"))
    return folder


def _close_loop() -> None:
    """Close the event loop that jupyter_core keeps for each thread, and would leave open when the thread ends."""
    from jupyter_core.utils import ensure_event_loop

    if threading.current_thread() is not threading.main_thread():
        loop = ensure_event_loop()  # its next call makes a new one where this one is closed
        if not loop.is_running():  # else it is the caller's
            loop.close()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((_one_line(line) for line in reversed(lines) if line.strip()), "")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
