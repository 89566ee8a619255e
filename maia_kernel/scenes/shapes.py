"""The outlines of the eight shapes, as tables of signed distances.

A table holds, for each point of a square grid over [-REACH, REACH]², the distance to the outline in units of the
object's radius, negative inside. One table per shape is enough for every size and rotation: distances scale.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maia_kernel.errors import UnknownName

REACH = 2.4  # radii; holds every point that the renderer may ask for: corners of a small object's box and its shadow
STEPS = 448  # grid points along a side: 0.15 pixels for the largest object

Floats = NDArray[np.floating[Any]]


@cache
def table(shape: str) -> Floats:
    """Signed distances of one shape, ``(STEPS, STEPS)``, rows from top to bottom.

    Raises
    ------
    UnknownName
        For a shape that is not in the vocabulary.
    """
    if shape not in _OUTLINES:
        raise UnknownName("shape", shape, _OUTLINES)
    axis = (np.arange(STEPS) + 0.5) * (2 * REACH / STEPS) - REACH
    x, y = np.meshgrid(axis, axis)
    distance: Floats = _OUTLINES[shape](x, y).astype(np.float32)
    distance.setflags(write=False)
    return distance


def _disc(x: Floats, y: Floats, radius: float) -> Floats:
    return np.hypot(x, y) - radius


def _polygon(x: Floats, y: Floats, corners: list[tuple[float, float]]) -> Floats:
    """Exact distance to a closed polygon; the sign by the even-odd rule."""
    nearest = np.full_like(x, np.inf)
    inside = np.zeros(x.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        dx, dy = bx - ax, by - ay
        along = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        nearest = np.minimum(nearest, (x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2)
        if dy != 0:
            inside ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) * dx / dy)
    return np.sqrt(nearest) * np.where(inside, -1.0, 1.0)


def _spokes(radii: list[float], turn: float = -90.0) -> list[tuple[float, float]]:
    """Corners at even angles, at these distances from the centre; the first one points up."""
    step = 2 * math.pi / len(radii)
    start = math.radians(turn)
    return [(r * math.cos(start + i * step), r * math.sin(start + i * step)) for i, r in enumerate(radii)]


def _circle(x: Floats, y: Floats) -> Floats:
    return _disc(x, y, 0.93)


def _square(x: Floats, y: Floats) -> Floats:
    return _polygon(x, y, [(-0.83, -0.83), (0.83, -0.83), (0.83, 0.83), (-0.83, 0.83)])


def _triangle(x: Floats, y: Floats) -> Floats:
    return _polygon(x, y - 0.18, _spokes([1.2] * 3))


def _star(x: Floats, y: Floats) -> Floats:
    return _polygon(x, y - 0.05, _spokes([1.18, 0.52] * 5))


def _ring(x: Floats, y: Floats) -> Floats:
    return np.abs(np.hypot(x, y) - 0.68) - 0.33


def _cross(x: Floats, y: Floats) -> Floats:
    a, b = 0.34, 1.0
    return _polygon(
        x,
        y,
        [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)],
    )


def _heart(x: Floats, y: Floats) -> Floats:
    corners = []
    for i in range(72):  # the well-known curve 16 sin³ t, 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t
        t = 2 * math.pi * i / 72
        up = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        corners.append((16.0 * math.sin(t) ** 3 / 15.5, -(up + 2.5) / 14.5))
    return _polygon(x, y, corners)


def _crescent(x: Floats, y: Floats) -> Floats:
    return np.maximum(_disc(x + 0.06, y, 1.08), -_disc(x - 0.58, y, 0.82))


_OUTLINES = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
    "heart": _heart,
    "crescent": _crescent,
}
