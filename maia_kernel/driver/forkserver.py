"""The process that kernels are forked from: imports modules, then waits; each of its children becomes an ipykernel.

`zygote.py` starts it, as ``python -m maia_kernel.driver.forkserver DESCRIPTOR MODULE …``, and holds the other end of
the socket. It says there when the modules are imported. After that, every packet that comes is the order to fork; with
it come two descriptors, a channel and a log. On the channel the child reads what it is to be and tells its number, and
this process tells in the end how the child ended. All of it is JSON, one object on a line.

Nothing here may start a thread, an event loop, CUDA or a zmq context: none of them survives a fork.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

# What a kernel imports until its first cell has ended, besides what these import themselves.
KERNEL = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.extensions.storemagic",
    "sqlite3",
    "tornado.platform.asyncio",
)
# The environment of the imports: what ipykernel tells matplotlib, which reads it when it is imported; and that torch
# shall look for devices in a way that a fork survives.
IMPORTING = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
# How often it is asked whether the parent is still there, ms. That its end of the socket is closed is seen at once,
# unless another process has inherited it.
LOOK_FOR_PARENT = 1000
# <linux/prctl.h>
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Birth:
    """What a child has from its parent: the channel to the host, the descriptor of its log, the parent's number."""

    channel: socket.socket
    log: int
    parent: int


def main() -> None:
    """Import, serve, and in a child become a kernel."""
    descriptor, *modules = sys.argv[1:]
    host = socket.socket(fileno=int(descriptor))
    del sys.path[0]  # the working directory of whoever started this; a kernel puts its own there
    parent = os.getppid()
    given = dict(os.environ)
    os.environ.update(IMPORTING | given)
    if not _preload((*KERNEL, *modules), parent):
        return
    added = {key: value for key, value in os.environ.items() if key not in IMPORTING | given}
    prctl = ctypes.CDLL(None).prctl
    host.send(b"ready")
    birth = _serve(host, parent)
    if birth is None:
        return
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == birth.parent:  # else it went before it was watched
        _become(birth, added)


def _preload(modules: Iterable[str], parent: int) -> bool:
    """Import what kernels shall have; returns whether somebody still waits for it."""
    gc.disable()  # what a collection frees before the fork leaves holes, which children fill, copying the page
    for name in modules:
        importlib.import_module(name)
        if os.getppid() != parent:
            return False
    started = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if started:
        sys.exit(f"a preloaded module has started threads, which a fork loses: {', '.join(started)}")
    if "torch.cuda" in sys.modules and sys.modules["torch.cuda"].is_initialized():
        sys.exit("a preloaded module uses CUDA already, which no fork survives")
    gc.freeze()
    return True


def _serve(host: socket.socket, parent: int) -> Birth | None:
    """Fork when ordered to, tell of the children that end; returns in each child, and here when the host has gone."""
    children: dict[int, tuple[int, socket.socket]] = {}  # what tells of its end: its number, its channel
    poller = select.poll()
    poller.register(host, select.POLLIN)
    while os.getppid() == parent:
        for ready, _ in poller.poll(LOOK_FOR_PARENT):
            if ready in children:
                poller.unregister(ready)
                _reap(ready, *children.pop(ready))
                continue
            order, descriptors, _, _ = socket.recv_fds(host, 16, 2, socket.MSG_CMSG_CLOEXEC)
            if not order:
                _end(children)
                return None
            birth = Birth(socket.socket(fileno=descriptors[0]), descriptors[1], os.getpid())
            pid = _fork(birth)
            if pid == 0:
                host.close()
                for watch, (_, channel) in children.items():
                    os.close(watch)
                    channel.close()
                return birth
            os.close(birth.log)
            if pid is not None:
                watch = os.pidfd_open(pid)
                children[watch] = pid, birth.channel
                poller.register(watch, select.POLLIN)
    _end(children)
    return None


def _fork(birth: Birth) -> int | None:
    with warnings.catch_warnings():
        # Newer Pythons warn of threads; the ones that are there are OpenBLAS's, which looks after its own at a fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return os.fork()
        except OSError as error:
            _tell(birth.channel, error=str(error))
            birth.channel.close()
            return None


def _reap(watch: int, pid: int, channel: socket.socket) -> None:
    _, status, usage = os.wait4(pid, 0)
    os.close(watch)
    _tell(channel, code=os.waitstatus_to_exitcode(status), cpu=usage.ru_utime + usage.ru_stime)
    channel.close()


def _end(children: dict[int, tuple[int, socket.socket]]) -> None:
    """The host is gone: no kernel stays, nor what it has started in its process group."""
    for pid, _ in children.values():
        for kill in (os.killpg, os.kill):  # a newborn may not have come as far as to have a group of its own
            with contextlib.suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)


def _tell(channel: socket.socket, **facts: object) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        channel.sendall(json.dumps(facts).encode() + b"\n")


def _become(birth: Birth, added: dict[str, str]) -> None:
    """Become the kernel that the host asks for: to its user, one that was started cold and has imported the modules.

    Parameters
    ----------
    birth : Birth
        What it has from its parent.
    added : dict
        What the modules have put into the environment when they were imported.
    """
    with birth.channel.makefile("rb") as lines:
        wanted = json.loads(lines.readline())
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, standard in ((nothing, 0), (birth.log, 1), (birth.log, 2)):
        os.dup2(descriptor, standard)
    os.close(nothing)
    os.close(birth.log)
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(added | wanted["env"])
    time.tzset()
    if "numpy.random" in sys.modules:  # Python's own generator sees to itself at a fork
        sys.modules["numpy.random"].seed()
    launcher = importlib.util.find_spec("ipykernel_launcher")
    sys.argv = [str(launcher.origin) if launcher else "ipykernel_launcher", *wanted["arguments"]]
    sys.orig_argv = [sys.executable, "-m", "ipykernel_launcher", *wanted["arguments"]]
    gc.enable()

    from ipykernel.kernelapp import IPKernelApp

    _tell(birth.channel, pid=os.getpid())
    birth.channel.close()
    # ipykernel reads the number of its parent from the environment when it is imported, which was long ago.
    IPKernelApp.launch_instance(wanted["arguments"], parent_handle=birth.parent)
    # What is registered for the end is done: the user's names are let go, the history is written, the sockets closed.
    # To take the modules apart as well would copy every page that they share, which takes 0.3 s with torch.
    atexit._run_exitfuncs()
    os._exit(0)


if __name__ == "__main__":
    main()
