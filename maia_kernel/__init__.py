"""maia_kernel: an interpretability agent that works in a Jupyter notebook.

Four names, imported on first use so that ``import maia_kernel`` costs nothing:

``load``
    a model, one of its units and the tools to study it (what the second cell of every investigation calls);
``investigate``
    the same as ``maia run``, from Python;
``System``, ``Tools``
    what the agent sees, for use by hand.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["System", "Tools", "investigate", "load"]

_HOME = {
    "System": "maia_kernel.lab.system",
    "Tools": "maia_kernel.lab.tools",
    "investigate": "maia_kernel.driver.investigate",
    "load": "maia_kernel.lab.load",
}

if TYPE_CHECKING:
    from maia_kernel.driver.investigate import investigate
    from maia_kernel.lab.load import load
    from maia_kernel.lab.system import System
    from maia_kernel.lab.tools import Tools


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'maia_kernel' has no attribute '{name}'")
