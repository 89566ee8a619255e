"""Scene to picture: antialiased, a pure function of the scene, about two thousand pictures a second on one core."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maia_kernel.scenes import shapes
from maia_kernel.scenes.materials import LIGHT_ON_THINGS, ground
from maia_kernel.scenes.scene import RADIUS, SIDE, Scene, Thing

Floats = NDArray[np.floating[Any]]

# Red, green and blue of each colour, of its pattern, and of its rim.
PAINT = {
    "red": ((222, 36, 40), (255, 172, 164), (96, 6, 16)),
    "orange": ((250, 130, 14), (146, 58, 0), (124, 52, 0)),
    "yellow": ((255, 222, 20), (158, 116, 0), (120, 88, 0)),
    "green": ((20, 146, 62), (150, 226, 150), (4, 66, 28)),
    "blue": ((34, 78, 224), (158, 194, 255), (10, 26, 104)),
    "purple": ((140, 44, 180), (222, 168, 250), (60, 8, 84)),
    "white": ((252, 252, 252), (158, 162, 170), (96, 100, 110)),
    "black": ((24, 24, 28), (104, 106, 114), (160, 162, 170)),
}
RIM = 0.9  # pixels
SHADOW = (1.6, 2.0, 0.34)  # pixels right and down, and its depth


def picture(scene: Scene) -> Image.Image:
    """The scene as an RGB image of ``SIDE`` x ``SIDE`` pixels."""
    return Image.fromarray(pixels(scene))


def pixels(scene: Scene) -> NDArray[np.uint8]:
    """The scene as an array ``(SIDE, SIDE, 3)`` of 0 to 255."""
    canvas = ground(scene.background, scene.light, scene.grain)
    for thing in scene.things:
        _paint(canvas, thing, scene.light)
    np.minimum(canvas, 255, out=canvas)
    canvas += 0.5  # rounds to the nearest
    return np.ascontiguousarray(canvas.astype(np.uint8).transpose(1, 2, 0))


def _paint(canvas: Floats, thing: Thing, light: str) -> None:
    """Lay shadow, rim and fill of one object over its part of the canvas, in place."""
    radius = RADIUS[thing.size]
    reach = 1.25 * radius + 1.5
    left, right = max(0, int(thing.x - reach)), min(SIDE, int(thing.x + reach + SHADOW[0]) + 1)
    top, bottom = max(0, int(thing.y - reach)), min(SIDE, int(thing.y + reach + SHADOW[1]) + 1)
    part = canvas[:, top:bottom, left:right]
    tilt = math.radians(thing.angle)
    cos, sin = math.cos(tilt), math.sin(tilt)
    x = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - thing.x)
    y = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - thing.y))[:, None]
    u, v = cos * x + sin * y, cos * y - sin * x  # the object's own axes, in pixels

    distance = _distances(thing.shape, radius, u, v)
    dx, dy = SHADOW[0], SHADOW[1]
    cast = _distances(thing.shape, radius, u - (cos * dx + sin * dy), v - (cos * dy - sin * dx))
    part *= 1 - SHADOW[2] * _cover(0.5 - cast / 2)

    base, pattern, rim = _palette(thing.colour, light)
    fill = base if thing.texture == "plain" else base + _pattern(thing.texture, radius, u, v) * (pattern - base)
    part += _cover(0.5 - distance) * (rim - part)
    part += _cover(0.5 - RIM - distance) * (fill - part)


def _distances(shape: str, radius: float, u: Floats, v: Floats) -> Floats:
    """Signed distances in pixels, looked up; the table reaches beyond every point of an object's box."""
    per_pixel = shapes.STEPS / (2 * shapes.REACH * radius)
    middle = shapes.STEPS / 2
    column = (u * per_pixel + middle).astype(np.int32)
    row = (v * per_pixel + middle).astype(np.int32)
    found: Floats = shapes.table(shape).take(row * shapes.STEPS + column) * radius
    return found


def _cover(share: Floats) -> Floats:
    """Clip to 0 to 1; half the time of ``np.clip`` on arrays as small as these."""
    covered: Floats = np.minimum(np.maximum(share, 0), 1)
    return covered


def _pattern(texture: str, radius: float, u: Floats, v: Floats) -> Floats:
    """How much of the pattern's tone each point has, 0 to 1; edges are one pixel wide, as those of the outlines."""
    inside: Floats  # signed distance to the pattern's edge in pixels, positive inside, near enough
    if texture == "striped":
        period = 3.4 + 0.2 * radius
        inside = period / (2 * math.pi) * np.sin(2 * math.pi / period * v) * 1.6
    elif texture == "dotted":
        period = 3.3 + 0.19 * radius
        inside = 0.29 * period - np.hypot(u - period * np.rint(u / period), v - period * np.rint(v / period))
    else:
        cell = 2.2 + 0.16 * radius
        inside = cell / math.pi * 1.8 * np.sin(math.pi / cell * u) * np.sin(math.pi / cell * v)
    return _cover(0.5 + inside)


@cache
def _palette(colour: str, light: str) -> tuple[Floats, Floats, Floats]:
    factors = np.array(LIGHT_ON_THINGS[light], dtype=np.float32)
    base, pattern, rim = ((np.array(rgb, dtype=np.float32) * factors)[:, None, None] for rgb in PAINT[colour])
    return base, pattern, rim
