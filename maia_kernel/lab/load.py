"""Owns `load`, the one call with which every notebook begins: a system, its tools, and a summary of both."""

from __future__ import annotations

import logging
import os
import random
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch

from maia_kernel.lab import names
from maia_kernel.lab.datasets import DATASETS
from maia_kernel.lab.describers import DESCRIBERS, Describer, find_describer
from maia_kernel.lab.generators import EDITORS, GENERATORS, Editor, Generator, find_editor, find_generator
from maia_kernel.lab.models import MODELS
from maia_kernel.lab.showing import configure_ipython, say
from maia_kernel.lab.system import System
from maia_kernel.lab.tools import Tools

__all__ = ["load"]

_LIBRARIES = ("torch", "transformers", "diffusers", "huggingface_hub", "matplotlib", "PIL")
_PATIENCE = 0.25  # seconds between two updates of the progress line


def load(
    model: str,
    layer: str,
    unit: int | str,
    *,
    dataset: str = "scenes",
    generator: str = "scenes",
    editor: str = "scenes",
    describer: str = "scenes",
    seed: int = 0,
) -> tuple[System, Tools]:
    """Load a model, one of its units, and the tools to study it.

    Seeds `random`, numpy and torch, and keeps torch to one thread unless ``OMP_NUM_THREADS`` says otherwise. Exemplars
    that are not in the user's cache yet are searched first. Prints a summary of what was loaded.

    Parameters
    ----------
    model : str
        Name of a model, or ``"package.module:builder"``.
    layer : str
        Dotted path of a layer.
    unit : int or str
        Number of a unit, or its name where units have names (``"red"``).
    dataset, generator, editor, describer : str
        Names, or ``"package.module:Class"``.
    seed : int
        Of all random choices.

    Returns
    -------
    system : System
    tools : Tools

    Raises
    ------
    UnknownName
        For a name that does not exist, with near matches; all names are checked before anything is loaded.
    UnitOutOfRange
        For a unit that the layer does not have.

    Examples
    --------
    >>> from maia_kernel import load
    >>> system, tools = load("scenes", "layer3", 17)
    """
    for kind, name, table in (
        ("model", model, MODELS),
        ("dataset", dataset, DATASETS),
        ("generator", generator, GENERATORS),
        ("editor", editor, EDITORS),
        ("describer", describer, DESCRIBERS),
    ):
        names.check(kind, name, table)
    _quiet()
    configure_ipython()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    painter, retoucher, teller = find_generator(generator), find_editor(editor), find_describer(describer)
    line = _ProgressLine("searching exemplars")
    try:
        system = System(model, layer, unit, dataset=dataset, progress=line)
    finally:
        line.clear()
    tools = Tools(system, painter, retoucher, teller, seed=seed)
    say(_summary(system, painter, retoucher, teller))
    return system, tools


def _summary(system: System, generator: Generator, editor: Editor, describer: Describer) -> str:
    lines = [
        str(system),
        f"dataset {system.dataset_name} ({system.dataset_size} images); generator {generator.name}; "
        f"editor {editor.name}; describer {describer.name}",
    ]
    if generator.vocabulary:
        lines.append("the generator draws only these words:")
        lines += [f"  {family}: {', '.join(words)}" for family, words in generator.vocabulary.items()]
    return "\n".join([*lines, *filter(None, (generator.grammar, editor.grammar))])


def _quiet() -> None:
    """Keep warnings and progress bars of libraries out of a notebook's outputs."""
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")


class _ProgressLine:
    """A line on standard error that is gone when the work is done: from a notebook's outputs, too."""

    def __init__(self, what: str):
        self._what = what
        self._shown = False
        self._next = 0.0
        self._clear = _how_to_clear()

    def __call__(self, done: int, total: int) -> None:
        if self._clear is not None and time.monotonic() >= self._next:
            sys.stderr.write(f"\r{self._what}: {done} of {total} images")
            sys.stderr.flush()
            self._shown = True
            self._next = time.monotonic() + _PATIENCE

    def clear(self) -> None:
        """Remove the line."""
        if self._shown and self._clear is not None:
            self._clear()


def _how_to_clear() -> Callable[[], object] | None:
    """Return what removes a line from where this process writes; None where nobody watches."""
    from IPython import get_ipython

    shell = get_ipython()  # type: ignore[no-untyped-call,unused-ignore]
    if shell is not None and hasattr(shell, "kernel"):
        from IPython.display import clear_output

        clear: Callable[[], object] = clear_output
        return clear
    if sys.stderr.isatty():
        return lambda: sys.stderr.write("\r\x1b[K")
    return None
