"""A file that others write, too: read, and replaced so that nothing that somebody else wrote is ever lost."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from maia_kernel.errors import UsageError

_EXCHANGE = 2  # RENAME_EXCHANGE of Linux
_HERE = -100  # AT_FDCWD: paths are relative to the working directory


class SharedFile:
    """A file of ours that somebody else may replace or rewrite at any time.

    A reader sees the whole of one version. On Linux a new version is *exchanged* with what is there: had somebody else
    written in the last instant, his version goes back and is reported instead. Elsewhere the file is looked at just
    before it is replaced, which leaves some microseconds. A program that rewrites a file in place (JupyterLab does)
    and had opened it before the exchange is noticed, too: the version that went is watched until the next write.

    Parameters
    ----------
    path : Path
        The file; need not exist.
    """

    def __init__(self, path: Path):
        self.path = path
        self._real = Path(os.path.realpath(path))  # a link stays one
        self._seen: tuple[int, ...] | None = None  # of the version that this object has read or written last
        self._rescued: list[bytes] = []  # versions of others that were displaced unseen
        self._gone: tuple[int, tuple[int, ...]] | None = None  # the version before it: open file, signature

    def __del__(self) -> None:
        if self._gone is not None:
            os.close(self._gone[0])

    def read(self) -> bytes:
        """Read the file; raises OSError."""
        with self._real.open("rb") as file:
            raw = file.read()
            self._seen = _signature(file.fileno())
        return raw

    def news(self) -> bytes | None:
        """What somebody else has written since our last read or write; None where nobody has, or it was removed."""
        if self._rescued:
            return self._rescued.pop(0)
        if self._gone is not None and _signature(self._gone[0]) != self._gone[1]:
            file = self._gone[0]
            size = os.fstat(file).st_size
            raw = os.pread(file, size, 0)
            self._gone = file, _signature(file)
            return raw
        with contextlib.suppress(FileNotFoundError):
            if self._seen is not None and _signature(self._real) != self._seen:
                return self.read()
        return None

    def unchanged(self) -> bool:
        """Whether nobody has written since the last read or write."""
        if self._rescued:
            return False
        gone = self._gone is None or _signature(self._gone[0]) == self._gone[1]
        with contextlib.suppress(FileNotFoundError):
            return gone and _signature(self._real) == self._seen
        return gone

    def write(self, raw: bytes) -> bool:
        """Put a new version there: temporary file, fsync, exchange.

        Returns
        -------
        bool
            False where :meth:`news` has something, which must be looked at first: nothing was written.

        Raises
        ------
        OSError
            The file exists and was never read, the folder cannot be written, or the disk is full; the file is as it
            was.
        """
        with tempfile.NamedTemporaryFile(dir=self._real.parent, prefix=f".{self._real.name}.", delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
                temporary.chmod(_mode(self._real))
                ours = _signature(file.fileno())
                if not self._swap(temporary, ours):
                    return False
            finally:
                temporary.unlink(missing_ok=True)
        self._seen = ours
        return True

    def _swap(self, temporary: Path, ours: tuple[int, ...]) -> bool:
        """Let the new version take the place of the one that was seen last, and no other's."""
        try:
            before = _signature(self._real)
        except FileNotFoundError:
            self._forget()
            return self._create(temporary)
        if self._seen is None:
            raise _exists()
        if before != self._seen:
            return False
        old = os.open(self._real, os.O_RDONLY)
        if not _exchange(temporary, self._real):
            temporary.replace(self._real)
        elif _signature(temporary) != before:
            self._rescued.append(temporary.read_bytes())  # who reads ours meanwhile may overwrite it
            _exchange(temporary, self._real)
            os.close(old)
            if _signature(temporary) != ours:  # written while ours was there, for a moment
                self._rescued.append(temporary.read_bytes())
            return False
        self._forget()
        self._gone = old, before
        return True

    def _create(self, temporary: Path) -> bool:
        """Put the file where none is; False where somebody else has put it back meanwhile."""
        try:
            self._real.hardlink_to(temporary)
        except FileExistsError:
            if self._seen is None:
                raise _exists() from None
            return False
        except OSError:  # a file system without links
            temporary.rename(self._real)
        return True

    def _forget(self) -> None:
        if self._gone is not None:
            # The last to close a file that is gone frees its blocks, which can take longer than writing as many.
            threading.Thread(target=os.close, args=(self._gone[0],)).start()
            self._gone = None


@contextlib.contextmanager
def alone(path: Path, folder: Path) -> Iterator[None]:
    """Work on a file as the only process of this program that does; where nothing can be locked, without a check.

    Parameters
    ----------
    path : Path
        The file, by whatever name.
    folder : Path
        Where locks are kept; made if need be.

    Raises
    ------
    UsageError
        Another process works on it.
    """
    try:
        import fcntl

        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(os.path.realpath(path).encode("utf-8", "replace")).hexdigest()[:16]
        lock = (folder / name).open("w")
    except (ImportError, OSError):
        yield
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another maia process is working on {path}; let it end first") from None
        yield


def _signature(file: int | Path) -> tuple[int, ...]:
    """What tells one version from another: the inode, its size, and when it was written."""
    facts = os.stat(file)
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns


def _exists() -> FileExistsError:
    return FileExistsError(errno.EEXIST, "it exists already")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two files in one step; False where the system cannot."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0


def _mode(path: Path) -> int:
    """Permissions of the file that is replaced, else those that a new file would have."""
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
