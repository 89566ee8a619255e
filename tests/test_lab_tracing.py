"""Hooks read what a layer gave, not what became of it, and stop the network there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lab_standins import ColourNet
from torch import Tensor, nn

from maia_kernel.errors import UnknownName, UsageError
from maia_kernel.lab import tracing


def batch() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) - 0.5


def test_an_output_is_read_before_later_layers_change_it_in_place() -> None:
    net, inputs = ColourNet(), batch()
    expected = nn.functional.conv2d(inputs, net.maps.weight, stride=8)
    assert (expected < 0).any()  # the in-place ReLU that follows would remove these
    torch.testing.assert_close(tracing.trace(net, ["maps", "logits"], inputs)["maps"], expected)


def test_the_forward_pass_ends_at_the_last_layer_asked_for() -> None:
    net, calls = ColourNet(), []
    net.after.register_forward_hook(lambda *_: calls.append("after"))
    tracing.trace(net, ["maps"], batch())
    assert calls == []
    tracing.trace(net, ["logits"], batch())
    assert calls == ["after"]


def test_no_hook_outlives_the_call_even_when_the_network_fails() -> None:
    net = ColourNet()
    with pytest.raises(RuntimeError):
        tracing.trace(net, ["maps"], torch.zeros(1, 5, 64, 64))
    tracing.trace(net, ["maps"], batch())
    assert not any(module._forward_hooks for module in net.modules())


def test_a_wrong_layer_is_answered_with_near_ones() -> None:
    with pytest.raises(UnknownName, match="did you mean maps"):
        tracing.trace(ColourNet(), ["map"], batch())
    with pytest.raises(UnknownName, match="choose from maps, after, unused, logits"):
        tracing.submodule(ColourNet(), "xyzzy")
    with pytest.raises(UnknownName):
        tracing.submodule(ColourNet(), "")


def test_a_module_that_is_never_called_is_said_to_be_a_container() -> None:
    with pytest.raises(UsageError, match=r"never called.*'unused\.0'"):
        tracing.trace(ColourNet(), ["unused"], batch())


class Wraps(nn.Module):
    def __init__(self, wrap: Any):
        super().__init__()
        self.inner = nn.Identity()
        self.inner.forward = lambda x: wrap(x)  # type: ignore[method-assign]

    def forward(self, x: Tensor) -> Any:
        return self.inner(x)


@pytest.mark.parametrize("wrap", [lambda x: (x, None), lambda x: {"logits": x}, lambda x: ([x, 1],)])
def test_the_tensor_inside_another_output_is_found(wrap: Any) -> None:
    inputs = batch()
    torch.testing.assert_close(tracing.trace(Wraps(wrap), ["inner"], inputs)["inner"], inputs)


def test_an_output_without_a_tensor_is_an_error() -> None:
    with pytest.raises(UsageError, match="returns a str"):
        tracing.trace(Wraps(lambda x: "text"), ["inner"], batch())


def test_of_a_shared_module_the_first_call_is_read() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()
            self.end = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            first: Tensor = self.relu(x)
            return self.end(self.relu(first - 0.2))

    inputs = batch()
    torch.testing.assert_close(tracing.trace(Twice(), ["relu", "end"], inputs)["relu"], inputs.relu())
