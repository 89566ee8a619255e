"""Where things lie, for each situation that a kernel may find itself in."""

from __future__ import annotations

from pathlib import Path

import pytest

from maia_kernel.locations import resolve

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
