"""Owns the files of an artifact store: records and payloads, written at once and verified by hash when read.

Ground floor: standard library only. See `artifacts.py` for what a store looks like.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from maia_kernel.errors import MissingArtifact

__all__ = [
    "KINDS",
    "Artifact",
    "Damaged",
    "address_of",
    "copy",
    "part",
    "place_of",
    "put_record",
    "read",
    "read_bytes",
    "record_of",
    "write",
]

# What there is, and the suffix of its files. The first four hold facts alone: what a backend, or the subject model with
# its unit and its dataset, says of itself, so that it can be spoken of where it is not at hand.
KINDS: Mapping[str, str] = {
    "generator": "",
    "editor": "",
    "describer": "",
    "subject": "",
    "text2image": ".png",
    "edit_images": ".png",
    "describe": ".txt",
    "summarize": ".txt",
    "exemplars": ".png",
    "weights": ".safetensors",
}
FORMAT = 1
_HASH = re.compile(r"[0-9a-f]{64}")
_LONG = 80  # characters of a backend's name or revision in the name of a folder
_RECORD, _FILE, _WEIGHTS = 4 << 20, 64 << 20, 8 << 30  # bytes, at most, that a wary reader takes


@dataclass(frozen=True)
class Artifact:
    """What a backend returned.

    Attributes
    ----------
    request : mapping
        What it was asked for: JSON, with at least ``kind``, ``backend`` and ``revision``.
    facts : mapping
        What else it said: JSON.
    files : tuple of (bytes or None)
        The payloads; None for one that was left out of a bundle (a dataset picture).
    """

    request: Mapping[str, Any]
    facts: Mapping[str, Any]
    files: tuple[bytes | None, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return None not in self.files


def address_of(request: Mapping[str, Any]) -> str:
    """Return the path of a request's record, relative to a store."""
    key = hashlib.sha256(_canonical(request)).hexdigest()
    folder = f"{part(str(request['backend']))}@{part(str(request['revision']))}"
    return f"{request['kind']}/{folder}/{key[:2]}/{key}.json"


def _canonical(request: Mapping[str, Any]) -> bytes:
    return json.dumps(request, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def part(text: str) -> str:
    """A text as a part of a folder's name."""
    name = quote(text, safe="")
    return name if len(name) <= _LONG else f"{name[: _LONG - 18]}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class Damaged(Exception):
    """A record or a payload that is not what its name says."""


def place_of(name: str) -> str:
    return f"files/{name[:2]}/{name}"


def record_bytes(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass") + b"\n"


def record_of(data: bytes, address: str) -> dict[str, Any]:
    """Read a record and check that it belongs where it lies."""
    try:
        record = json.loads(data)
        request, entries = record["request"], record["files"]
        if record["format"] != FORMAT or not isinstance(record["facts"], dict) or address_of(request) != address:
            raise Damaged(address)
        for entry in entries:
            if not _HASH.fullmatch(entry["sha256"]) or entry["name"] != entry["sha256"] + KINDS[request["kind"]]:
                raise Damaged(address)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(address) from error
    return cast(dict[str, Any], record)


def read(folder: Path, address: str, folders: Sequence[Path], *, wary: bool = False) -> tuple[Artifact, dict[str, Any]]:
    """Read and verify a record of one folder, with its files from any of them.

    Raises
    ------
    OSError
        There is no such record here.
    Damaged
        It is not what its name says, or a file of it is nowhere.
    """
    record = record_of(read_bytes(folder, address, _RECORD, wary=wary), address)
    most = _WEIGHTS if record["request"]["kind"] == "weights" else _FILE
    files: list[bytes | None] = []
    for entry in record["files"]:
        for place in dict.fromkeys((folder, *folders)):
            with contextlib.suppress(OSError):
                data = read_bytes(place, place_of(entry["name"]), most, wary=wary and place == folder)
                if hashlib.sha256(data).hexdigest() == entry["sha256"]:
                    files.append(data)
                    break
        else:
            if not entry.get("withheld"):
                raise Damaged(address)
            files.append(None)
    return Artifact(record["request"], record["facts"], tuple(files)), record


def read_bytes(folder: Path, relative: str, most: int, *, wary: bool) -> bytes:
    """Read a file; a wary reader, who names a folder without links in its path, follows none, nor waits for a pipe, and
    takes no more than ``most`` bytes.
    """
    path = os.path.join(folder, relative)
    if not wary:
        with open(path, "rb") as file:
            return file.read()
    if os.path.realpath(path) != os.path.join(folder, *relative.split("/")):
        raise FileNotFoundError(relative)
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            raise FileNotFoundError(relative)
        return file.read(most)


def write(path: Path, data: bytes, like: Path | None = None) -> None:
    """Write a file under its name at once, by a hard link to one that is like it where that works."""
    with contextlib.suppress(OSError):
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{os.urandom(6).hex()}.tmp")
    try:
        linked = False
        if like is not None:
            with contextlib.suppress(OSError, NotImplementedError):
                if like.read_bytes() == data:
                    os.link(like, temporary)
                    linked = True
        if not linked:
            temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def copy(address: str, folders: Sequence[Path], target: Path, *, dataset_images: bool = True) -> tuple[str, ...]:
    """Copy an artifact to another store.

    Parameters
    ----------
    address : str
        Of a `Use`.
    folders : sequence of Path
        Where to look for it.
    target : Path
        The other store.
    dataset_images : bool
        Whether to take along what shows pictures of a dataset; the record then says ``withheld: true`` of these files.

    Returns
    -------
    tuple of str
        What it consists of, relative to the store: the record, then the files.

    Raises
    ------
    MissingArtifact
        No folder holds it undamaged.
    OSError
        The other store cannot be written.
    """
    for folder in folders:
        try:
            artifact, record = read(folder, address, folders)
        except (OSError, Damaged):
            continue
        written = put_record(target, artifact, record, dataset_images=dataset_images)
        return (address, *written)
    raise MissingArtifact(f"the artifact {address} is in none of the stores, or damaged; run the notebook again")


def put_record(
    target: Path,
    artifact: Artifact,
    record: dict[str, Any],
    *,
    dataset_images: bool = True,
    like: Path | None = None,
) -> list[str]:
    """Write an artifact as it was read; ``like`` is a store whose files may be linked to."""
    written, entries = [], []
    for entry, data in zip(record["files"], artifact.files, strict=True):
        withheld = data is None or (not dataset_images and bool(entry.get("dataset")))
        entries.append({key: value for key, value in entry.items() if key != "withheld"})
        if data is None or withheld:
            entries[-1]["withheld"] = True
            continue
        place = place_of(entry["name"])
        write(target / place, data, None if like is None else like / place)
        written.append(place)
    address = address_of(artifact.request)
    write(target / address, record_bytes({**record, "files": entries}))
    return written
