"""Owns the artifact store: what backends returned, under the address of what they were asked for.

A store is a list of folders; reads search all of them, writes go to the first. Each folder can be looked through by a
person, and by several processes at once::

    text2image/<backend>@<revision>/1f/1f….json    the record: request, facts, hash of each file; written last
    files/9c/9c….png                               the payloads, named by their sha256

A record's name is the sha256 of its request. Everything is written under another name and renamed, and verified by hash
when it is read: what is damaged counts as absent. Without fsync: what a power cut spoils is found out and made again.

A kernel runs an agent's code and writes to a folder of its own. What a finished cell has left there is adopted by
`Scratch`, on the host's side, which believes nothing: regular files only, of proper names, sizes and hashes. Ground
floor: standard library only.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, cast

from maia_kernel.records import (
    FORMAT,
    KINDS,
    Artifact,
    Damaged,
    address_of,
    copy,
    part,
    place_of,
    put_record,
    read,
    read_bytes,
    record_bytes,
    record_of,
    write,
)

__all__ = ["FOLDER", "GREY", "KINDS", "Artifact", "Scratch", "Store", "Use", "address_of", "beside", "copy"]

How = Literal["made", "store", "recomputed"]

FOLDER = "maia_artifacts"  # beside a notebook
GREY = (128, 128, 128)  # of the placeholder for a picture that was left out
_ADDRESS = re.compile(r"(\w+)/([^/\\\0]{3,250})/([0-9a-f]{2})/([0-9a-f]{64})\.json")
_DEVICE = re.compile(r"[\w:.\- ]{1,60}")
_LONG_WHAT = 200  # characters
_ACCOUNT = 64 << 20  # bytes, at most, of one kernel's account


@dataclass(frozen=True)
class Use:
    """One artifact that a cell asked for.

    Attributes
    ----------
    kind : str
        A key of `KINDS`.
    address : str
        Path of the record relative to a store; empty where it could not be kept.
    how : {"made", "store", "recomputed"}
        "made": nothing was held; "store": taken from there; "recomputed": made again although it was held.
    same : bool or None
        Whether what was recomputed equals what was held.
    what : str
        What was asked for, in a few words.
    """

    kind: str
    address: str
    how: How
    same: bool | None = None
    what: str = ""


def beside(notebook: Path) -> Path:
    """Return the store of the notebooks in a folder."""
    return notebook.parent / FOLDER


# -- the kernel's side ----------------------------------------------------------------------------------------------


class Store:
    """Artifacts by request.

    Parameters
    ----------
    folders : sequence of Path
        Where to look, in this order; they need not exist. The first is written to.
    account : Path, optional
        A file to which every use is appended, one line of JSON each.
    recompute : bool
        Whether backends that are at hand are to be asked although something is held. It is for the caller to do so.

    Attributes
    ----------
    trouble : str
        Why the last `put` could not be kept; empty while all is well.
    """

    def __init__(self, folders: Sequence[Path], account: Path | None = None, recompute: bool = False):
        self.folders = tuple(folders)
        self.account = account
        self.recompute = recompute
        self.trouble = ""
        self._damaged: set[str] = set()

    def get(self, request: Mapping[str, Any]) -> Artifact | None:
        """Return what is held for a request, verified by hash; None where nothing is, or only what is damaged.

        What some folder holds as a whole is preferred to what others hold without its dataset pictures.
        """
        address = address_of(request)
        partial = None
        for folder in self.folders:
            try:
                artifact = read(folder, address, self.folders)[0]
            except Damaged:
                self._damaged.add(address)
                if self.account is None:
                    logging.getLogger(__name__).warning("the artifact %s is damaged and counts as missing", address)
                continue
            except OSError:
                continue
            if artifact.whole:
                return artifact
            partial = partial or artifact
        return partial

    def holds(self, request: Mapping[str, Any]) -> bool:
        """Whether there is a record for a request; it may be damaged."""
        address = address_of(request)
        return any((folder / address).exists() for folder in self.folders)

    def put(
        self,
        request: Mapping[str, Any],
        facts: Mapping[str, Any],
        files: Sequence[bytes] = (),
        *,
        dataset: Collection[int] = (),
    ) -> bool:
        """Keep what a backend returned in the first folder.

        Parameters
        ----------
        request, facts, files
            As those of an `Artifact`.
        dataset : collection of int
            Which files are pictures of a dataset, or show parts of one.

        Returns
        -------
        bool
            False where it cannot be written, which is no error: `trouble` then says why; and for a store without
            folders.
        """
        if not self.folders:
            return False
        suffix = KINDS[request["kind"]]
        entries: list[dict[str, Any]] = []
        try:
            for i, data in enumerate(files):
                digest = hashlib.sha256(data).hexdigest()
                entries.append(
                    {"name": digest + suffix, "sha256": digest} | ({"dataset": True} if i in dataset else {})
                )
                write(self.folders[0] / place_of(entries[-1]["name"]), data)
            record = {"format": FORMAT, "request": dict(request), "facts": dict(facts), "files": entries}
            write(self.folders[0] / address_of(request), record_bytes(record))
        except OSError as error:
            self.trouble = str(error.strerror)
            return False
        return True

    def revisions(self, kind: str, backend: str) -> tuple[str, ...]:
        """Return the revisions of a backend of which the first folder that knows it holds anything."""
        return tuple(sorted({str(request["revision"]) for request in self.search(kind, backend)}))

    def search(self, kind: str, backend: str, **parts: object) -> list[Mapping[str, Any]]:
        """Return the requests about a backend in the first folder that holds any with these parts; slow."""
        for folder in self.folders:
            found = []
            for record in sorted(folder.glob(f"{kind}/{glob.escape(part(backend))}@*/??/*.json")):
                with contextlib.suppress(OSError, Damaged):
                    request = record_of(record.read_bytes(), record.relative_to(folder).as_posix())["request"]
                    if request["backend"] == backend and parts.items() <= request.items():
                        found.append(request)
            if found:
                return found
        return []

    def used(self, request: Mapping[str, Any], how: How, same: bool | None = None, what: str = "") -> None:
        """Write into the account that a cell has asked for something."""
        address = address_of(request)
        if how != "store" and address in self._damaged:
            what = f"{what} (what was held is damaged)"
        self._tell({"kind": request["kind"], "address": address, "how": how, "same": same, "what": what[:_LONG_WHAT]})

    def runs_on(self, device: str) -> None:
        """Write into the account which device the subject model runs on."""
        self._tell({"device": device})

    def _tell(self, line: Mapping[str, Any]) -> None:
        if self.account is not None:
            try:
                handle = os.open(self.account, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                try:
                    os.write(handle, json.dumps(line).encode() + b"\n")
                finally:
                    os.close(handle)
            except OSError as error:
                self.trouble = str(error.strerror)


# -- the host's side ------------------------------------------------------------------------------------------------


class Scratch:
    """The folder that one kernel writes to, and the host's way to adopt from it; a context manager.

    Parameters
    ----------
    keep : sequence of Path
        Stores that adopted artifacts are written to: that beside the notebook, that in the user's cache. Without any,
        they last as long as this object does.
    read : sequence of Path
        Further stores for the kernel to read.
    recompute : bool
        Whether backends that are at hand are asked although something is held. What then differs replaces, in the
        stores that are kept, what was held there.
    strict : bool
        Recompute without any store to read, and with an empty cache.

    Attributes
    ----------
    device : str
        What the subject model runs on, "cpu" until a cell has said so.
    trouble : str
        Why something could not be adopted; empty while all is well.
    """

    def __init__(
        self, keep: Sequence[Path] = (), read: Sequence[Path] = (), *, recompute: bool = False, strict: bool = False
    ):
        self._keep = tuple(Path(folder).absolute() for folder in keep)
        self._read = tuple(Path(folder).absolute() for folder in read)
        self._recompute, self._strict = recompute or strict, strict
        self._folder: Path | None = None
        self._read_so_far = 0
        self._uses: dict[Use, None] = {}
        self.device = "cpu"
        self.trouble = ""

    def __enter__(self) -> Scratch:
        self._folder = Path(tempfile.mkdtemp(prefix="maia-")).resolve()
        self._store.mkdir()
        self._keep = self._keep or (self._folder / "adopted",)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    @property
    def _home(self) -> Path:
        assert self._folder is not None, "use Scratch in a with statement"
        return self._folder

    @property
    def _store(self) -> Path:
        return self._home / "artifacts"

    @property
    def _account(self) -> Path:
        return self._home / "account.jsonl"

    @property
    def folders(self) -> tuple[Path, ...]:
        """All stores, that of the kernel first: where `copy` finds what a cell has used."""
        return tuple(dict.fromkeys((self._store, *self._keep, *self._read)))

    @property
    def environment(self) -> dict[str, str]:
        """What a kernel needs to know of all this, as environment variables."""
        readable = (self._store,) if self._strict else self.folders
        told = {"MAIA_STORE": os.pathsep.join(map(str, readable)), "MAIA_ACCOUNT": str(self._account)}
        told["MAIA_RECOMPUTE"] = "strict" if self._strict else "1" if self._recompute else ""
        return {**told, "MAIA_CACHE": str(self._home / "cache")} if self._strict else told

    def adopt(self) -> tuple[Use, ...]:
        """Return what the cell that has just finished asked for, each thing once, after keeping what it left."""
        uses = dict.fromkeys(use for line in self._news() if (use := self._understood(line)) is not None)
        self._uses |= uses
        return tuple(self._adopted(use) for use in uses)

    def also_keep(self, folder: Path) -> None:
        """Keep what was adopted so far, and from now on, in one more store."""
        self._keep = (*self._keep, folder.absolute())
        for use in self._uses:
            self._adopted(use)

    def discard(self) -> None:
        """Forget what a cell that did not finish has asked for and left."""
        for _ in self._news():
            pass
        shutil.rmtree(self._store, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._store.mkdir()

    def _news(self) -> Iterator[Any]:
        """The new lines of the account that are JSON."""
        try:
            data = read_bytes(self._home, self._account.name, _ACCOUNT, wary=True)
        except OSError:
            return
        news, self._read_so_far = data[self._read_so_far :], len(data)
        for line in news.splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                yield json.loads(line)

    def _understood(self, line: Any) -> Use | None:
        """A line of the account; None where it is none of a use."""
        if not isinstance(line, dict):
            return None
        device = line.get("device")
        if isinstance(device, str) and _DEVICE.fullmatch(device):
            self.device = device
        address, how, same = line.get("address"), line.get("how"), line.get("same")
        place = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if place is None or place[1] not in KINDS or place[3] != place[4][:2]:
            return None
        if how not in ("made", "store", "recomputed") or not (same is None or isinstance(same, bool)):
            return None
        said = " ".join(str(line.get("what", ""))[:_LONG_WHAT].split())
        what = "".join(filter(str.isprintable, said))  # it may be shown on a terminal
        return Use(place[1], place[0], cast(How, how), same, what)

    def _adopted(self, use: Use) -> Use:
        """Keep the artifact of a use; one that is nowhere, or not what it should be, has no address."""
        # Weights are kept by who asked for them only: those that came with a bundle do not become this user's.
        targets = self._keep if use.kind != "weights" or use.how == "made" else ()
        for source in self.folders:
            fresh = source == self._store
            try:
                artifact, record = read(source, use.address, self.folders, wary=fresh)
            except (OSError, Damaged):
                continue
            like = None if fresh else source
            for target in targets:
                try:
                    if self._is_due(target, use, fresh):
                        put_record(target, artifact, record, like=like)
                    like = like or target
                except OSError as error:
                    self.trouble = f"{use.kind}: {error.strerror}"
            return use
        return Use(use.kind, "", use.how, use.same, use.what)

    def _is_due(self, target: Path, use: Use, fresh: bool) -> bool:
        """Whether a store lacks what was used, or holds it damaged, or something else than was recomputed."""
        if not fresh:
            return not (target / use.address).exists()
        try:
            return not read(target, use.address, (target,))[0].whole or (self._recompute and use.same is False)
        except (OSError, Damaged):
            return True
