"""Owns the exemplar store: for every unit of the layers of a model the most activating pictures of a dataset.

One streaming pass finds, for all units of all layers at once, the k largest activations with the numbers of their
pictures, and the threshold for masks. No picture and no mask is kept: those are cut again for the few that somebody
looks at. The store is one safetensors file in the user's cache, with its provenance; one that does not belong to the
model, the dataset or this search is not used but made again.

    python -m maia_kernel.lab.exemplars --model scenes --dataset scenes

prepares a store with a progress bar on the terminal.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maia_kernel.errors import MaiaError, UsageError
from maia_kernel.lab import tracing
from maia_kernel.lab.datasets import Dataset, find_dataset, pictures
from maia_kernel.lab.models import Model, batches, layer_of, layers, load_model
from maia_kernel.lab.streaming import Best, Tail, lattice
from maia_kernel.lab.units import positions
from maia_kernel.locations import resolve

__all__ = ["KEPT", "QUANTILE", "Exemplars", "Found", "Progress", "open_store", "scan", "searched_layers"]

KEPT = 64  # per unit; the tools show 15, more are there for a search among "the rest"
QUANTILE = 0.99  # over positions, close to network dissection's 0.995 (Bau et al., CVPR 2017, section 2)
SPARSE_SHARE = 0.25  # of the largest activation: the threshold of a unit whose quantile is 0
_FORMAT = 3

Progress = Callable[[int, int], None]  # pictures done, pictures in all


@dataclass(frozen=True)
class Found:
    """What the search found for the units of one layer.

    Attributes
    ----------
    activations : torch.Tensor
        (units, k) float32, the largest first.
    images : torch.Tensor
        (units, k) int32, numbers of pictures in the dataset.
    quantiles : torch.Tensor
        (units,) float32, the 0.99 quantile over all positions of all pictures.
    """

    activations: Tensor
    images: Tensor
    quantiles: Tensor


@dataclass(frozen=True)
class Exemplars:
    """A store in memory.

    Attributes
    ----------
    provenance : mapping
        What it was made from, and how.
    layers : mapping of str to Found
        By layer.
    """

    provenance: Mapping[str, Any]
    layers: Mapping[str, Found]

    def threshold(self, layer: str, unit: int) -> tuple[float, str]:
        """Return a unit's mask threshold and the rule that it comes from, in words."""
        found = self.layers[layer]
        quantile = float(found.quantiles[unit])
        if quantile != 0:
            return quantile, f"{QUANTILE:g} quantile over positions of the dataset"
        largest = float(found.activations[unit, 0])
        return SPARSE_SHARE * largest, f"{SPARSE_SHARE:g} of the largest activation; the {QUANTILE:g} quantile is 0"

    def best(self, layer: str, unit: int, count: int) -> list[tuple[float, int]]:
        """Return (activation, number of the picture) of a unit, best first."""
        found = self.layers[layer]
        rows = zip(found.activations[unit, :count].tolist(), found.images[unit, :count].tolist(), strict=True)
        return [(float(activation), int(image)) for activation, image in rows]


def scan(
    module: nn.Module,
    names: Sequence[str],
    inputs: Callable[[], Iterable[Tensor]],
    total: int,
    *,
    kept: int = KEPT,
    progress: Progress | None = None,
) -> dict[str, Found]:
    """Search exemplars and quantiles of all units of several layers in one pass.

    Pictures in an unlucky order (all that excite a unit come first) need a second pass for the layers concerned; see
    `streaming.Tail`. Memory depends on the number of units, not on that of pictures.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    names : sequence of str
        Layers.
    inputs : callable
        Returns the batches (N, 3, H, W), in the order of the pictures; called once per pass.
    total : int
        Number of pictures in all batches.
    kept : int
        Exemplars per unit.
    progress : callable, optional
        Called after each batch with the pictures done and their total.

    Returns
    -------
    dict of str to Found
        Ties between activations go to the lower number; for the error of the quantiles see `streaming.Tail`
        and `streaming.lattice`.

    Raises
    ------
    MaiaError
        When a layer gives values that are not finite.
    """
    best, tails = _scan_once(module, names, inputs(), total, kept, progress, hopeful=True)
    again = [name for name in names if not tails[name].certain]
    if again:
        tails |= _scan_once(module, again, inputs(), total, kept, progress, hopeful=False)[1]
    return {name: Found(*best[name].result(), torch.from_numpy(tails[name].thresholds())) for name in names}


def _scan_once(
    module: nn.Module,
    names: Sequence[str],
    inputs: Iterable[Tensor],
    total: int,
    kept: int,
    progress: Progress | None,
    *,
    hopeful: bool,
) -> tuple[dict[str, Best], dict[str, Tail]]:
    best: dict[str, Best] = {}
    tails: dict[str, Tail] = {}
    looked_at: dict[str, Tensor] = {}
    done = 0

    def reader(name: str) -> Callable[[Tensor], None]:
        def read(output: Tensor) -> None:
            view = positions(output.float())
            if name not in best:
                best[name] = Best(view.shape[3], kept)
                looked_at[name] = lattice(view.shape[1], view.shape[2], total)
                tails[name] = Tail(view.shape[3], total * len(looked_at[name]), QUANTILE, hopeful=hopeful)
            tops = view.amax((1, 2))
            try:
                tails[name].update(view.flatten(1, 2).index_select(1, looked_at[name])[:, None], tops)
                best[name].update(done, tops)
            except ValueError as error:
                last = done + len(view) - 1
                raise MaiaError(f"{name} gives infinite or NaN activations on pictures {done} to {last}") from error

        return read

    readers = {name: reader(name) for name in names}
    for batch in inputs:
        tracing.watch(module, readers, batch)
        done += len(batch)
        if progress is not None:
            progress(done, total)
    if not done:
        raise UsageError("the dataset holds no pictures; exemplars need at least one")
    return best, tails


def searched_layers(model: Model, layer: str | None, dataset: Dataset) -> list[str]:
    """Return the layers that are searched together with ``layer``.

    These are the model's own choice (``module.unit_layers``), else its direct children that have units; a layer that is
    not among them is searched by itself.

    Raises
    ------
    UnknownName, UsageError
        For a layer that does not exist or has no units.
    """
    probe = next(pictures(dataset))
    together = list(getattr(model.module, "unit_layers", ()))
    together = together or [found.name for found in layers(model, probe) if "." not in found.name]
    if layer is None or layer in together:
        return together
    return [layer_of(model, layer, probe).name]


def open_store(model: Model, dataset: Dataset, layer: str | None = None, progress: Progress | None = None) -> Exemplars:
    """Read the store of a model and a dataset from the user's cache, or build it there.

    Several processes may ask at once: one builds, the others wait and read. Where the cache cannot be written the store
    is built in memory.

    Parameters
    ----------
    model, dataset
        What to search, and where.
    layer : str, optional
        The layer of interest; all layers that are searched by default unless given.
    progress : callable, optional
        Called with (done, total) while building, and not at all otherwise.
    """
    provenance: dict[str, Any] = {
        "format": _FORMAT,
        "model": model.name,
        "model_revision": model.revision,
        "preprocessing": model.preprocessing,
        "layers": searched_layers(model, layer, dataset),
        "dataset": dataset.name,
        "dataset_revision": dataset.revision,
        "images": len(dataset),
        "kept": KEPT,
        "quantile": QUANTILE,
    }
    path = _path(provenance)
    held = _read(path, provenance)
    if held is not None:
        return held
    with _one_at_a_time(path):
        held = _read(path, provenance)
        if held is not None:
            return held
        layers_of_it, total = provenance["layers"], len(dataset)
        found = scan(model.module, layers_of_it, lambda: batches(model, pictures(dataset)), total, progress=progress)
        store = Exemplars(provenance, found)
        with contextlib.suppress(OSError):
            _write(path, store)
    return store


def _path(provenance: Mapping[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(provenance, sort_keys=True).encode()).hexdigest()[:12]
    stem = re.sub(r"[^\w.]+", "_", f"{provenance['model']}-on-{provenance['dataset']}")[:80]
    return resolve(os.environ, Path.cwd()).cache / "exemplars" / f"{stem}-{digest}.safetensors"


def _read(path: Path, provenance: Mapping[str, Any]) -> Exemplars | None:
    """Return a store, or None when there is none, it is damaged, or it was made from something else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            if json.loads(file.metadata()["provenance"]) != provenance:
                return None
            parts = ("activations", "images", "quantiles")
            found = {
                layer: Found(*(file.get_tensor(f"{layer}/{part}") for part in parts)) for layer in provenance["layers"]
            }
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    return Exemplars(provenance, found)


def _write(path: Path, store: Exemplars) -> None:
    """Write atomically: a reader sees the whole store or none."""
    from safetensors.torch import save

    tensors = {}
    for layer, found in store.layers.items():
        tensors[f"{layer}/activations"] = found.activations.contiguous()
        tensors[f"{layer}/images"] = found.images.contiguous()
        tensors[f"{layer}/quantiles"] = found.quantiles.contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(save(tensors, metadata={"provenance": json.dumps(store.provenance)}))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock beside the store; without one (a read-only cache, no fcntl) processes merely build it twice."""
    try:
        import fcntl

        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("w")
    except (ImportError, OSError):
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare a store; writes to standard error only. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m maia_kernel.lab.exemplars", description="Prepare exemplars.")
    parser.add_argument("--model", default="scenes")
    parser.add_argument("--dataset", default="scenes")
    parser.add_argument("--layer", help="one layer of interest; all layers searched by default unless given")
    options = parser.parse_args(arguments)
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        model, dataset = load_model(options.model), find_dataset(options.dataset)
        with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(f"exemplars of {model.name} in {dataset.name}", total=len(dataset), visible=False)
            open_store(
                model,
                dataset,
                options.layer,
                lambda done, total: bar.update(task, completed=done, total=total, visible=True),
            )
    except MaiaError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
