"""Where things lie: the user's cache, and the stores of artifacts.

Notebooks hold names, the environment holds locations. Everything that looks for a place asks ``resolve``, a pure
function of the environment and the working directory. Ground floor: standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from maia_kernel.artifacts import FOLDER


@dataclass(frozen=True)
class Locations:
    """Places for one process.

    Attributes
    ----------
    cache : Path
        What can be made again (exemplar stores): ``MAIA_CACHE``, else ``XDG_CACHE_HOME/maia_kernel``, else
        ``~/.cache/maia_kernel``.
    stores : tuple of Path
        Stores of artifacts; the first is written to, all are read. They are those of ``MAIA_STORE``, that in the
        working directory where there is one, and that in the cache. Where nothing held is to be read, the first of
        ``MAIA_STORE`` alone.
    account : Path or None
        The file to which uses of artifacts are appended: ``MAIA_ACCOUNT``.
    recompute : bool
        Whether backends that are at hand are asked although something is held: ``MAIA_RECOMPUTE`` is not empty;
        ``strict`` leaves nothing to read.
    """

    cache: Path
    stores: tuple[Path, ...]
    account: Path | None
    recompute: bool


def resolve(environ: Mapping[str, str], cwd: Path) -> Locations:
    """Find every place that this program reads from or writes to.

    Parameters
    ----------
    environ : mapping
        The process environment (``os.environ``).
    cwd : Path
        The working directory, against which relative paths in the environment are read.
    """
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or cwd)
    if environ.get("MAIA_CACHE"):
        cache = Path(environ["MAIA_CACHE"])
    elif environ.get("XDG_CACHE_HOME"):
        cache = Path(environ["XDG_CACHE_HOME"]) / "maia_kernel"
    else:
        cache = home / ".cache" / "maia_kernel"
    cache = cwd / cache
    named = [cwd / folder for folder in environ.get("MAIA_STORE", "").split(os.pathsep) if folder]
    recompute = environ.get("MAIA_RECOMPUTE", "")
    if recompute == "strict" and named:
        stores = named[:1]
    else:
        stores = [*named, *([cwd / FOLDER] if (cwd / FOLDER).is_dir() else []), cache / "artifacts"]
    account = environ.get("MAIA_ACCOUNT")
    return Locations(
        cache, tuple(dict.fromkeys(stores)), cwd / account if account else None, recompute not in ("", "0")
    )
