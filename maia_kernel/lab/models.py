"""Owns the table of subject models: from a name to a network, its preprocessing and a list of its layers.

A builder is a function that returns ``(module, preprocess)``: a ``torch.nn.Module`` and a function
from an RGB PIL image to a tensor (3, H, W). The module may carry optional attributes: ``unit_names``, a mapping
from a layer to the names of its units; ``unit_layers``, the layers whose exemplars are searched together; and
``sealed``, a sentence that says why an agent may not look into it. A builder that takes an argument is given the
revision that stands behind an ``@`` in the model's name.
"""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from maia_kernel.artifacts import Store
from maia_kernel.errors import BadCall, UnknownName, UsageError
from maia_kernel.lab import names, tracing
from maia_kernel.lab.units import Unit, positions, unit_of
from maia_kernel.locations import resolve

__all__ = [
    "MODELS",
    "Layer",
    "Model",
    "batches",
    "layer_of",
    "layers",
    "load_model",
    "unit_number",
    "with_stored_weights",
]

MODELS: Mapping[str, str] = {
    "scenes": "maia_kernel.scenes.networks:build_subject",
    "scenes-random": "maia_kernel.scenes.networks:build_random",
    "scenes-spurious": "maia_kernel.scenes.networks:build_spurious",
    "scenes-neurons": "maia_kernel.scenes.responses:build",
}

_PIXELS = 8 * 224 * 224  # of one batch: small enough for a CPU's caches, large enough that calls cost little


@dataclass(frozen=True)
class Model:
    """A subject network, ready to run.

    Attributes
    ----------
    name : str
        As in the notebook.
    module : torch.nn.Module
        In eval mode, channels last.
    preprocess : callable
        PIL RGB image -> tensor (3, H, W).
    stored : bool
        Whether its weights come from an artifact store, and not from its builder.
    """

    name: str
    module: nn.Module
    preprocess: Callable[[Image.Image], Tensor]
    stored: bool = False

    @cached_property
    def revision(self) -> str:
        """Hex sha256 over names, types and bytes of all weights and buffers."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.module.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    @cached_property
    def preprocessing(self) -> str:
        """Fingerprint of the preprocessing: shape and mean of what it makes of a fixed picture."""
        y, x = np.mgrid[0:64, 0:64]
        ramp = np.stack([4 * x, 4 * y, 2 * (x + y)], 2).astype(np.uint8)
        tensor = self.preprocess(Image.fromarray(ramp)).float()
        return f"{tuple(tensor.shape)} " + " ".join(f"{value:.3f}" for value in tensor.mean((1, 2)).tolist())

    def unit_names(self, layer: str) -> tuple[str, ...]:
        """Return the names of a layer's units, empty where they have none."""
        table: Mapping[str, tuple[str, ...]] = getattr(self.module, "unit_names", None) or {}
        return tuple(table.get(layer, ()))


@dataclass(frozen=True)
class Layer:
    """A layer whose units can be studied.

    Attributes
    ----------
    name : str
        Dotted module path.
    units : int
        Number of channels, or of elements of a vector.
    height, width : int
        Size of a unit's map; 1 and 1 for a vector.
    spatial : bool
        Whether its units have maps.
    """

    name: str
    units: int
    height: int
    width: int
    spatial: bool

    def unit(self, index: int) -> Unit:
        """Return one of its units; raises UnitOutOfRange."""
        return unit_of((self.units, self.height, self.width), index, self.name, spatial=self.spatial)


def load_model(name: str) -> Model:
    """Build a model by name.

    Parameters
    ----------
    name : str
        A key of `MODELS`, or ``"package.module:builder"``; with ``@revision`` where the builder knows several.

    Raises
    ------
    UnknownName
        Listing near matches.
    UsageError
        For a revision of a model that has none.
    """
    builder = names.find("model", name, MODELS)
    plain, _, revision = name.partition("@")
    if revision and not inspect.signature(builder).parameters:
        raise UsageError(f"the model '{plain}' has no revisions; leave out '@{revision}'")
    module, preprocess = builder(revision) if revision else builder()
    return Model(name, module.eval().requires_grad_(False).to(memory_format=torch.channels_last), preprocess)


def with_stored_weights(model: Model, store: Store) -> Model:
    """Load the weights that a store holds for a model, where they are others than the model's own.

    Raises
    ------
    UsageError
        They do not fit, or there are several.
    """
    # Not those in the user's cache: they would change the model for every other notebook.
    cache = resolve(os.environ, Path.cwd()).cache / "artifacts"
    held = Store([folder for folder in store.folders if folder != cache])
    revisions = held.revisions("weights", model.name)
    if not revisions or model.revision in revisions:
        return model
    if len(revisions) > 1:
        raise UsageError(f"there are {len(revisions)} sets of weights for {model.name} beside the notebook; keep one")
    request = {"kind": "weights", "backend": model.name, "revision": revisions[0]}
    artifact = held.get(request)
    if artifact is None or artifact.files[0] is None:
        return model
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        model.module.load_state_dict(load(artifact.files[0]))
    except (RuntimeError, SafetensorError) as error:
        raise UsageError(
            f"the weights of {model.name} beside the notebook do not fit the model that is here"
        ) from error
    store.used(request, "store", what=f"the weights of {model.name}")
    return Model(model.name, model.module, model.preprocess, stored=True)


def batches(model: Model, images: Iterable[Image.Image], *, pixels: int = _PIXELS) -> Iterator[Tensor]:
    """Preprocess pictures into channels-last batches (N, 3, H, W) of one size and at most so many ``pixels`` each."""
    group: list[Tensor] = []
    for image in images:
        tensor = model.preprocess(image)
        full = len(group) >= max(1, pixels // tensor[0].numel())
        if group and (full or tensor.shape != group[0].shape):
            yield torch.stack(group).contiguous(memory_format=torch.channels_last)
            group = []
        group.append(tensor)
    if group:
        yield torch.stack(group).contiguous(memory_format=torch.channels_last)


def _shape(name: str, output: Tensor) -> Layer:
    view = positions(output)
    return Layer(name, view.shape[3], view.shape[1], view.shape[2], spatial=output.ndim == 4)


def layer_of(model: Model, layer: str, probe: Image.Image) -> Layer:
    """Measure one layer with a forward pass of a picture.

    Raises
    ------
    UnknownName, UsageError
        For a layer that does not exist, is never called, or gives something else than units.
    """
    tracing.submodule(model.module, layer, model.name)
    (batch,) = batches(model, [probe])
    return tracing.watch(model.module, {layer: lambda output: _shape(layer, output)}, batch)[layer]


def layers(model: Model, probe: Image.Image) -> list[Layer]:
    """List every layer whose units can be studied, in the order of the forward pass.

    Parameters
    ----------
    model : Model
        The model.
    probe : PIL.Image.Image
        A picture of the size that the model is used with.
    """
    seen: dict[str, Layer] = {}
    handles = []

    def hook_for(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _arguments: object, output: object) -> None:
            tensor = tracing.first_tensor(output)
            if tensor is not None and tensor.ndim in (2, 4):
                seen.setdefault(name, _shape(name, tensor))

        return hook

    (batch,) = batches(model, [probe])
    try:
        for name, module in model.module.named_modules():
            if name:
                handles.append(module.register_forward_hook(hook_for(name)))
        with torch.inference_mode():
            model.module(batch)
    finally:
        for handle in handles:
            handle.remove()
    return list(seen.values())


def unit_number(model: Model, layer: Layer, unit: int | str) -> int:
    """Return a unit's number from its number or name.

    Raises
    ------
    UnknownName
        For a name that the layer does not have.
    UnitOutOfRange
        For a number that it does not have.
    BadCall
        For anything else.
    """
    if isinstance(unit, str) and not unit.strip().lstrip("-").isdigit():
        known = model.unit_names(layer.name)
        if not known:
            raise UsageError(f"the units of {layer.name} have no names; give a number from 0 to {layer.units - 1}")
        if unit not in known:
            raise UnknownName(f"unit of {layer.name}", unit, known)
        return known.index(unit)
    if isinstance(unit, bool) or not isinstance(unit, (int, str, np.integer)):
        raise BadCall(f"a unit is a number from 0 to {layer.units - 1}, not {unit!r}")
    return layer.unit(int(unit)).index
