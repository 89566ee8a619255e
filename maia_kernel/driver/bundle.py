"""Owns the bundle: one zip with a notebook and exactly the artifacts that it uses."""

from __future__ import annotations

import io
import os
import re
import shutil
import stat
import tempfile
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from nbformat.v4 import new_code_cell

from maia_kernel import artifacts
from maia_kernel.artifacts import Scratch, Use, beside
from maia_kernel.driver import transcript
from maia_kernel.driver.fileformat import encode, parse
from maia_kernel.driver.verify.report import in_words
from maia_kernel.driver.verify.rerun import Ran, Watch, run_cells
from maia_kernel.driver.withholding import LEFT_OUT, without_dataset_images
from maia_kernel.errors import KernelError, MissingArtifact, NotebookError, UsageError
from maia_kernel.locations import resolve

_WHEN = (1980, 1, 1, 0, 0, 0)  # the same notebook and artifacts give the same bytes
_PACKED = (".png", ".safetensors")  # no smaller when compressed
# What a bundle may hold at most when it is unpacked: files; bytes of one, by its suffix; bytes in all.
MOST = 100_000
LARGEST = {".ipynb": 1 << 30, ".json": 4 << 20, ".png": 64 << 20, ".txt": 64 << 20, ".safetensors": 8 << 30}
WHOLE = 16 << 30
_NAME = re.compile(
    rf"[^/\x00-\x1f]{{1,200}}\.ipynb|{artifacts.FOLDER}/(?:files/[0-9a-f]{{2}}/[0-9a-f]{{64}}\.(?:png|txt|safetensors)"
    r"|\w{1,40}/[^/\x00-\x1f]{3,250}/[0-9a-f]{2}/[0-9a-f]{64}\.json)"
)
# Not in the name of a notebook in a zip: control and format characters and lone halves of one; what systems forbid.
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
_FORBIDDEN = '/\\:*?"<>|'
_LONGEST = 200  # bytes of a notebook's name without its suffix
_DIRECTORY = re.compile(rf"{artifacts.FOLDER}/(?:[^/\x00-\x1f]{{1,250}}/){{0,3}}")
# Runs after the notebook's own cells, and is no part of it.
_KEEP_WEIGHTS = """
from maia_kernel.errors import UsageError as _UsageError
from maia_kernel.lab.stored import keep_weights as _keep
from maia_kernel.lab.system import System as _System
_systems = [_one for _one in globals().values() if isinstance(_one, _System)]
if not _systems:
    raise _UsageError("no variable of the notebook is a System")
for _one in _systems:
    _keep(_one)
"""


@dataclass(frozen=True)
class Bundled:
    """What a bundle holds.

    Attributes
    ----------
    path : Path
        The zip.
    bytes : int
        Its size.
    artifacts : dict of str to int
        How many of which kind.
    withheld : int
        Pictures that were taken out of the notebook.
    name : str
        What the notebook is called in the zip, where that is not its own name; else empty.
    failed : tuple of str
        Cells that did not run, each with the reason: what they need may be missing from the bundle.
    """

    path: Path
    bytes: int
    artifacts: dict[str, int]
    withheld: int = 0
    name: str = ""
    failed: tuple[str, ...] = ()

    def __str__(self) -> str:
        """A few lines for a person."""
        held = in_words(Counter(self.artifacts).elements())
        lines = [f"{self.path}: {self.bytes / 1e6:.2f} MB, the notebook and {held or 'no artifacts, for it uses none'}"]
        if self.name:
            lines.append(f"the notebook is called {self.name} there")
        if self.withheld:
            what = (
                "1 picture of the notebook is"
                if self.withheld == 1
                else f"{self.withheld} pictures of the notebook are"
            )
            lines.append(f"{what} left out: grey ones stand in the outputs, '{LEFT_OUT}' in the links of texts")
        if self.failed:
            lines.append("these cells did not run; what they need is not in the bundle:")
            lines += [f"  {line}" for line in self.failed]
        return "\n".join(lines)


def bundle(
    notebook: Path, out: Path, *, dataset_images: bool = True, model: bool = False, watch: Watch | None = None
) -> Bundled:
    """Write one zip with a notebook and the artifacts that it uses; the same as ``maia bundle``.

    The notebook is run once, in a fresh kernel, to learn what it uses; what no store holds yet is made, and kept in
    the user's cache. In the zip it stands as it is, byte for byte, unless pictures are left out.

    Parameters
    ----------
    notebook : Path
    out : Path
        The zip; must not exist.
    dataset_images : bool
        Whether pictures of the dataset go along, in the notebook and in the artifacts.
    model : bool
        Whether the subject model's weights go along.
    watch : callable, optional
        As that of :func:`rerun`.

    Raises
    ------
    NotebookError
        The notebook cannot be read.
    UsageError
        The zip cannot be written; the setup cells name something that does not exist.
    KernelError
        The setup cells fail.
    """
    _check(out)
    try:
        raw = notebook.read_bytes()
    except OSError as error:
        raise NotebookError(f"cannot read {notebook}: {error.strerror}") from error
    nb = parse(notebook, raw)
    withheld = 0
    if not dataset_images:
        cleared, withheld = without_dataset_images(nb)
        raw = encode(cleared) if withheld else raw
    places = resolve(os.environ, Path.cwd())
    if model:
        nb.cells.append(new_code_cell(_KEEP_WEIGHTS))
    with (
        tempfile.TemporaryDirectory(prefix="maia-bundle-") as folder,
        Scratch([places.cache / "artifacts"], [beside(notebook), *places.stores]) as scratch,
    ):
        ran = run_cells(nb, notebook.parent, scratch, watch=watch)
        _require(ran, model=model)
        store = Path(folder) / artifacts.FOLDER
        uses = dict.fromkeys(use for one in ran for use in one.artifacts if model or use.kind != "weights")
        held, lost = _collect(uses, scratch, store, dataset_images=dataset_images)
        failed = [
            f"[{one.number}] {one.status}: {one.why}" for one in ran if one.why and not transcript.skipped(one.cell)
        ]
        name = _named(notebook.name)
        _write(out, name, raw, store)
    return Bundled(out, out.stat().st_size, held, withheld, name if name != notebook.name else "", (*failed, *lost))


def unbundle(bundle: Path, folder: Path) -> Path:
    """Unpack a bundle into a new folder; the same as ``maia unbundle``.

    Nothing is believed: only a notebook and its artifacts are unpacked, under their proper names, and no more of them
    than :data:`MOST`, :data:`LARGEST` and :data:`WHOLE` allow.

    Parameters
    ----------
    bundle : Path
        The zip.
    folder : Path
        Must not exist, or be empty.

    Returns
    -------
    Path
        The notebook.

    Raises
    ------
    UsageError
        It is no bundle, or the folder cannot be made; nothing is left behind.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists; name another folder with --out")
    base = folder if folder.exists() else folder.absolute().parent
    if not base.is_dir():
        raise UsageError(f"there is no folder {folder.parent}; make it first")
    try:
        with zipfile.ZipFile(bundle) as archive, tempfile.TemporaryDirectory(dir=base, prefix=".") as place:
            members = _members(archive, bundle)
            if sum(member.file_size for member in members) > shutil.disk_usage(place).free:
                raise UsageError(f"{bundle} does not fit on the disk of {folder}")
            whole = Path(place) / "bundle"
            whole.mkdir()
            for member in members:
                _unpack(archive, member, whole)
            name = next(member.filename for member in members if "/" not in member.filename)
            parse(bundle / name, (whole / name).read_bytes())
            if base != folder:
                whole.replace(folder)
            for part in whole.iterdir() if base == folder else ():
                part.replace(folder / part.name)
    except OSError as error:
        raise UsageError(f"cannot unpack {bundle}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise UsageError(f"{bundle} is no bundle, or damaged: {' '.join(str(error).split())}") from error
    return folder / name


def _check(out: Path) -> None:
    """Refuse early what cannot be written late."""
    if out.suffix != ".zip":
        raise UsageError(f"--out {out}: a bundle's name ends in .zip")
    if out.exists():
        raise UsageError(f"--out {out} exists; name another file, or remove it")
    if not out.parent.is_dir():
        raise UsageError(f"cannot write {out}: there is no folder {out.parent}; make it first")
    if not os.access(out.parent, os.W_OK):
        raise UsageError(f"cannot write {out}: no permission to write in {out.parent}")


def _require(ran: list[Ran], *, model: bool) -> None:
    """Refuse a notebook of which cannot be known what it uses."""
    for one in ran:
        if transcript.role(one.cell) == "setup" and one.why:
            raise KernelError(f"what the notebook uses cannot be known, for its setup cells do not run: {one.why}")
    if model and ran and ran[-1].why:
        error = ran[-1].result.error if ran[-1].result is not None else None
        why = error[1] if error is not None else ran[-1].why
        raise KernelError(f"the subject model's weights cannot be bundled: {why}")


def _named(name: str) -> str:
    """A name for the notebook that every system can unpack, and :func:`unbundle` does."""
    stem = re.sub(r"\.(?:ipynb|json)$", "", name, flags=re.IGNORECASE)
    safe = "".join("_" if _invisible(sign) or sign in _FORBIDDEN else sign for sign in stem)
    short = safe.encode()[:_LONGEST].decode(errors="ignore").strip(" .")
    return f"{short or 'notebook'}.ipynb"


def _invisible(sign: str) -> bool:
    return unicodedata.category(sign) in _INVISIBLE


def _collect(
    uses: Iterable[Use], scratch: Scratch, store: Path, *, dataset_images: bool
) -> tuple[dict[str, int], list[str]]:
    """Copy artifacts to a store; how many of each kind, and in words those that are nowhere."""
    kinds: dict[str, str] = {}
    lost = []
    for use in uses:
        try:
            if not use.address:
                raise MissingArtifact("it could not be kept")
            artifacts.copy(use.address, scratch.folders, store, dataset_images=dataset_images)
            kinds[use.address] = use.kind
        except MissingArtifact as error:
            lost.append(f"{use.kind} {use.what}: {error}")
    return dict(Counter(kinds.values())), lost


def _write(out: Path, name: str, raw: bytes, store: Path) -> None:
    """Write the zip under another name, and rename it: nobody sees half of it."""
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".") as folder:
            half = Path(folder) / out.name
            with zipfile.ZipFile(half, "x") as archive:
                _add(archive, name, io.BytesIO(raw), len(raw))
                for path in sorted(store.rglob("*")):
                    if path.is_file():
                        with path.open("rb") as file:
                            place = f"{store.name}/{path.relative_to(store).as_posix()}"
                            _add(archive, place, file, path.stat().st_size)
            with half.open("rb") as file:
                os.fsync(file.fileno())
            half.rename(out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from error


def _add(archive: zipfile.ZipFile, name: str, file: BinaryIO, size: int) -> None:
    entry = zipfile.ZipInfo(name, _WHEN)
    entry.create_system, entry.external_attr = 3, 0o644 << 16  # as on Linux, everywhere
    entry.compress_type = zipfile.ZIP_STORED if name.endswith(_PACKED) else zipfile.ZIP_DEFLATED
    entry.file_size = size
    with archive.open(entry, "w") as target:
        shutil.copyfileobj(file, target)


def _members(archive: zipfile.ZipFile, bundle: Path) -> list[zipfile.ZipInfo]:
    """What is to be unpacked; refuses a zip that a bundle cannot be, before anything is written."""
    if len(archive.infolist()) > MOST:
        raise UsageError(f"{bundle} holds more than {MOST:,} files: it is no bundle")
    seen: set[str] = set()
    members = []
    for member in archive.infolist():
        name = member.orig_filename
        if why := _unfit(member):
            raise UsageError(f"{bundle} is not unpacked: {ascii(name)[:120]} {why}")
        if name.casefold() in seen:
            raise UsageError(f"{bundle} is not unpacked: {ascii(name)[:120]} is in it twice")
        seen.add(name.casefold())
        if not name.endswith("/"):
            members.append(member)
    if sum(member.file_size for member in members) > WHOLE:
        raise UsageError(f"{bundle} is not unpacked: it would take more than {WHOLE >> 30} GiB")
    if sum("/" not in member.orig_filename for member in members) != 1:
        raise UsageError(f"{bundle} is no bundle: one notebook is expected at its top")
    return members


def _unfit(member: zipfile.ZipInfo) -> str:
    """Why an entry is not unpacked; empty where it may be."""
    name = member.orig_filename
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "is an absolute path"
    if "\\" in name or any(map(_invisible, name)):
        return "is no proper name"
    if ".." in name.split("/"):
        return "leads out of the folder"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind and kind != (stat.S_IFDIR if name.endswith("/") else stat.S_IFREG):
        return "is a link, or no regular file"
    if not (_DIRECTORY if name.endswith("/") else _NAME).fullmatch(name):
        return "is not what a bundle holds"
    most = LARGEST[Path(name).suffix] if not name.endswith("/") else 0
    return f"would take more than {most >> 20:,} MiB" if member.file_size > most else ""


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    path = folder / member.filename
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, path.open("xb") as target:
        shutil.copyfileobj(source, target)  # no more than the size that was looked at: zipfile stops there
