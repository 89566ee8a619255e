"""Owns forward hooks: reading the outputs of named modules in one forward pass that ends as early as it can.

    outputs = trace(module, ["layer3"], batch)          # {"layer3": a copy of its output}

Modules are named by their dotted path. A hook lives as long as the call, and reads the *first* call of its module (a
module that is shared inside a network is called several times).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from maia_kernel.errors import UnknownName, UsageError

__all__ = ["first_tensor", "submodule", "trace", "watch"]

T = TypeVar("T")


class _AllSeen(BaseException):
    """Leaves the forward pass; not an Exception, so that no model's own ``except Exception`` swallows it."""


def submodule(module: nn.Module, layer: str, model_name: str = "the model") -> nn.Module:
    """Return the module at a dotted path.

    Raises
    ------
    UnknownName
        With near matches; paths near the root come first where nothing is near.
    """
    if layer:
        with contextlib.suppress(AttributeError):
            return module.get_submodule(layer)
    paths = sorted((path for path, _ in module.named_modules() if path), key=lambda path: path.count("."))
    raise UnknownName(f"layer of {model_name}", layer, paths)


def first_tensor(output: object) -> Tensor | None:
    """Return the tensor that a module's output is about.

    That is the output itself, the first tensor of a tuple or list, or of a mapping (the model outputs of transformers
    are mappings, main value first); None when there is none.
    """
    if isinstance(output, Tensor):
        return output
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, (tuple, list)) else ()
    for part in parts:
        tensor = first_tensor(part)
        if tensor is not None:
            return tensor
    return None


def watch(module: nn.Module, read: Mapping[str, Callable[[Tensor], T]], inputs: Tensor) -> dict[str, T]:
    """Run a module until every watched layer was called, and return what the readers made of their outputs.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    read : mapping of str to callable
        For each layer a function of its output tensor. It runs inside the hook: what it keeps it must copy, because
        later in-place operations of the network may change the tensor.
    inputs : torch.Tensor
        A batch (N, 3, H, W).

    Raises
    ------
    UnknownName
        For a layer that does not exist.
    UsageError
        For a layer that the forward pass never calls, or whose output holds no tensor.
    """
    found: dict[str, T] = {}
    handles = []

    def hook_for(layer: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _arguments: Any, output: Any) -> None:
            if layer in found:
                return
            tensor = first_tensor(output)
            if tensor is None:
                raise UsageError(f"layer '{layer}' returns a {type(output).__name__} without a tensor; name another")
            found[layer] = read[layer](tensor)
            if len(found) == len(read):
                raise _AllSeen

        return hook

    try:
        for layer in read:
            handles.append(submodule(module, layer).register_forward_hook(hook_for(layer)))
        with torch.inference_mode():
            module(inputs)
    except _AllSeen:
        pass
    finally:
        for handle in handles:
            handle.remove()
    for layer in read:
        if layer not in found:
            inner = [name for name, _ in submodule(module, layer).named_modules(prefix=layer) if name != layer]
            hint = f"it is a container: name one of its parts, such as '{inner[0]}'" if inner else "name another"
            raise UsageError(f"layer '{layer}' is never called in the forward pass; {hint}")
    return found


def trace(module: nn.Module, layers: Sequence[str], inputs: Tensor) -> dict[str, Tensor]:
    """Return copies of the outputs of named layers; see `watch`."""
    return watch(module, dict.fromkeys(layers, torch.clone), inputs)
