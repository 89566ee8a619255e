"""Owns what a unit is: how its map and its activation are read from the output of its layer.

A further kind of unit (a direction, a sparse latent) is one more class with the methods of `Unit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from maia_kernel.errors import UnitOutOfRange, UsageError

__all__ = ["Channel", "Element", "Unit", "positions", "unit_of"]


class Unit(Protocol):
    """One unit of a layer."""

    @property
    def index(self) -> int:
        """Its number in the layer."""

    @property
    def pooling(self) -> str:
        """How a map becomes an activation, in words ("max over an 8x8 map")."""

    def maps(self, output: Tensor) -> Tensor:
        """Return the unit's activation maps (N, h, w) in a layer's output; copies."""

    def activations(self, maps: Tensor) -> Tensor:
        """Return one activation (N,) per map."""


@dataclass(frozen=True)
class Channel:
    """A channel of a spatial layer, output (N, C, h, w); its activation is the largest value of its map.

    Attributes
    ----------
    index : int
        Channel number.
    height, width : int
        Size of the map.
    """

    index: int
    height: int
    width: int

    @property
    def pooling(self) -> str:
        size = f"{self.height}x{self.width}"
        article = "an" if size[0] == "8" or size.startswith(("11x", "18x")) else "a"
        return f"max over {article} {size} map"

    def maps(self, output: Tensor) -> Tensor:
        return output[:, self.index].clone()

    def activations(self, maps: Tensor) -> Tensor:
        return maps.amax((1, 2))


@dataclass(frozen=True)
class Element:
    """An element of a vector such as a logit, output (N, C); its map has one position, so a mask keeps all or nothing.

    Attributes
    ----------
    index : int
        Element number.
    """

    index: int

    @property
    def pooling(self) -> str:
        return "the value itself (no map)"

    def maps(self, output: Tensor) -> Tensor:
        return output[:, self.index, None, None].clone()

    def activations(self, maps: Tensor) -> Tensor:
        return maps[:, 0, 0]


def positions(output: Tensor) -> Tensor:
    """View a layer's output as (N, h, w, C): a vector has one position.

    Raises
    ------
    UsageError
        For an output that is neither (N, C) nor (N, C, h, w).
    """
    if output.ndim == 4:
        return output.permute(0, 2, 3, 1)
    if output.ndim == 2:
        return output[:, None, None, :]
    raise UsageError(
        f"this layer gives a tensor of shape {tuple(output.shape)}; name a layer that gives (N, units) or "
        "(N, units, height, width)"
    )


def unit_of(shape: tuple[int, int, int], index: int, layer: str, *, spatial: bool) -> Unit:
    """Return unit number ``index`` of a layer with (units, height, width).

    Raises
    ------
    UnitOutOfRange
        Naming the range.
    """
    units, height, width = shape
    if not 0 <= index < units:
        raise UnitOutOfRange(f"unit {index} is out of range: {layer} has units 0 to {units - 1}")
    return Channel(index, height, width) if spatial else Element(index)
