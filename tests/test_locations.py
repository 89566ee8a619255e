"""Where things lie, for each situation that a kernel may find itself in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from maia_kernel.locations import Locations, resolve

SITUATIONS = {
    "a person's shell": ({"HOME": "/h"}, "/h/.cache/maia_kernel"),
    "a cache folder of the desktop": ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/x/maia_kernel"),
    "a run, or a test, with its own": ({"HOME": "/h", "XDG_CACHE_HOME": "/x", "MAIA_CACHE": "/m"}, "/m"),
    "a relative path, from papermill's folder": ({"HOME": "/h", "MAIA_CACHE": "here"}, "/somewhere/here"),
    "Windows": ({"USERPROFILE": "/u"}, "/u/.cache/maia_kernel"),
    "no home at all": ({}, "/somewhere/.cache/maia_kernel"),
    "empty values": ({"HOME": "/h", "XDG_CACHE_HOME": "", "MAIA_CACHE": ""}, "/h/.cache/maia_kernel"),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_cache(situation):
    environ, cache = SITUATIONS[situation]
    assert resolve(environ, Path("/somewhere")).cache == Path(cache)


def situations(folder: Path) -> dict[str, tuple[Mapping[str, str], Path, Locations]]:
    """Environment and working directory of a kernel, and what it should find; there is a store beside the notebook."""
    notebook, caller = folder / "notebook", folder / "caller"
    scratch, beside, cache = Path("/scratch/artifacts"), notebook / "maia_artifacts", Path("/h/.cache/maia_kernel")
    home, held = {"HOME": "/h"}, cache / "artifacts"
    told = {**home, "MAIA_ACCOUNT": "/scratch/account.jsonl"}
    account = Path("/scratch/account.jsonl")
    run = {**told, "MAIA_STORE": f"{scratch}:{beside}:{held}", "MAIA_RECOMPUTE": ""}
    caged = {"HOME": "/nowhere", "MAIA_CACHE": str(cache), **{key: run[key] for key in run if key != "HOME"}}
    return {
        "a kernel of a run": (run, notebook, Locations(cache, (scratch, beside, held), account, False)),
        "the caged kernel of a run": (caged, notebook, Locations(cache, (scratch, beside, held), account, False)),
        "a run in another folder": (
            {**run, "MAIA_STORE": str(scratch)},
            caller,
            Locations(cache, (scratch, held), account, False),
        ),
        "a re-run": (
            {**run, "MAIA_RECOMPUTE": "1"},
            notebook,
            Locations(cache, (scratch, beside, held), account, True),
        ),
        "a strict re-run": (
            {**told, "MAIA_STORE": str(scratch), "MAIA_RECOMPUTE": "strict", "MAIA_CACHE": "/scratch/cache"},
            notebook,
            Locations(Path("/scratch/cache"), (scratch,), account, True),
        ),
        "a person's JupyterLab, or nbclient": (home, notebook, Locations(cache, (beside, held), None, False)),
        "papermill, in its caller's folder": (home, caller, Locations(cache, (held,), None, False)),
        "papermill, told where": (
            {**home, "MAIA_STORE": "../notebook/maia_artifacts"},
            caller,
            Locations(cache, (caller / "../notebook/maia_artifacts", held), None, False),
        ),
        "empty and odd values": (
            {**home, "MAIA_STORE": "::", "MAIA_ACCOUNT": "", "MAIA_RECOMPUTE": "0"},
            notebook,
            Locations(cache, (beside, held), None, False),
        ),
        "strict, without a store": (
            {**home, "MAIA_RECOMPUTE": "strict"},
            caller,
            Locations(cache, (held,), None, True),
        ),
    }


@pytest.mark.parametrize("situation", situations(Path()))
def test_the_stores(situation: str, tmp_path: Path) -> None:
    (tmp_path / "notebook" / "maia_artifacts").mkdir(parents=True)
    environ, cwd, expected = situations(tmp_path)[situation]
    assert resolve(environ, cwd) == expected
