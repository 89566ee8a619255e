"""Owns `load`, the one call with which every notebook begins: a system, its tools, and a summary of both."""

from __future__ import annotations

import logging
import os
import random
import sys
import textwrap
import time
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from maia_kernel.artifacts import Store
from maia_kernel.lab.asking import open_artifacts
from maia_kernel.lab.datasets import DATASETS
from maia_kernel.lab.describers import DESCRIBERS, Describer
from maia_kernel.lab.generators import EDITORS, GENERATORS, Editor, Generator
from maia_kernel.lab.models import MODELS
from maia_kernel.lab.showing import configure_ipython, say
from maia_kernel.lab.stored import StoredDescriber, StoredEditor, StoredGenerator, check
from maia_kernel.lab.system import System
from maia_kernel.lab.tools import Tools

__all__ = ["load"]

_LIBRARIES = ("torch", "transformers", "diffusers", "huggingface_hub", "matplotlib", "PIL")
_WIDE = 100  # columns of what is printed
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

    Seeds `random`, numpy and torch, turns TF32 off, and keeps torch to one thread unless ``OMP_NUM_THREADS`` says
    otherwise. Exemplars that are not in the user's cache yet are searched first. Prints a summary of what was loaded.

    What is drawn, edited, described and found is kept in the artifact store, and comes from there the next time; so
    does what an instrument, the dataset or the model that is not on this machine once returned.

    Parameters
    ----------
    model : str
        Name of a model, or ``"package.module:builder"``.
    layer : str
        Dotted path of a layer.
    unit : int or str
        Number of a unit, or its name where units have names (``"red"``).
    dataset, generator, editor, describer : str
        Names, or ``"package.module:Class"``; with ``@revision``, only that revision of it will do.
    seed : int
        Of all random choices.

    Returns
    -------
    system : System
    tools : Tools

    Raises
    ------
    UnknownName
        For a name that neither this machine nor the store knows, with near matches; all names are checked before
        anything is loaded.
    UnitOutOfRange
        For a unit that the layer does not have.

    Examples
    --------
    >>> from maia_kernel import load
    >>> system, tools = load("scenes", "layer3", 17)
    """
    store = open_artifacts()
    plain = dataset.partition("@")[0]
    check("model", model, MODELS, lambda: bool(store.search("subject", model)))
    check("dataset", dataset, DATASETS, lambda: bool(store.search("subject", model, dataset=plain)))
    for kind, name, table in (
        ("generator", generator, GENERATORS),
        ("editor", editor, EDITORS),
        ("describer", describer, DESCRIBERS),
    ):
        check(kind, name, table, partial(_is_known, store, kind, name))
    _quiet()
    configure_ipython()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    # The same numbers on every device, as far as that goes.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    painter, retoucher = StoredGenerator(generator, store), StoredEditor(editor, store)
    teller = StoredDescriber(describer, store)
    line = _ProgressLine("searching exemplars")
    try:
        system = System(model, layer, unit, dataset=dataset, progress=line, store=store)
    finally:
        line.clear()
    tools = Tools(system, painter, retoucher, teller, seed=seed)
    say(_summary(system, painter, retoucher, teller))
    return system, tools


def _is_known(store: Store, kind: str, name: str) -> bool:
    return bool(store.search(kind, name.partition("@")[0]))


def _summary(system: System, generator: Generator, editor: Editor, describer: Describer) -> str:
    lines = [
        str(system),
        f"dataset {system.dataset_name} ({system.dataset_size} images); generator {generator.name}; "
        f"editor {editor.name}; describer {describer.name}",
    ]
    if system._subject.model is not None and system._subject.model.stored:
        lines.append(f"the weights of {system.model_name} are those kept beside the notebook; this machine's differ")
    if generator.vocabulary:
        lines.append("the generator draws only these words:")
        lines += [f"  {family}: {', '.join(words)}" for family, words in generator.vocabulary.items()]
    lines += filter(None, (generator.grammar, editor.grammar))
    # JupyterLab breaks a line that is too long in the middle of a word.
    return "\n".join(part for line in lines for part in textwrap.wrap(line, _WIDE, subsequent_indent="  "))


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
