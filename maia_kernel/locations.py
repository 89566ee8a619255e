"""Where things lie: the user's cache and configuration.

Notebooks hold names, the environment holds locations. Everything that looks for a place asks ``resolve``, a pure
function of the environment and the working directory. Ground floor: standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Locations:
    """Places for one process.

    Attributes
    ----------
    cache : Path
        What can be made again (exemplar stores): ``MAIA_CACHE``, else ``XDG_CACHE_HOME/maia_kernel``, else
        ``~/.cache/maia_kernel``.
    """

    cache: Path


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
    return Locations(cache=cwd / cache)
