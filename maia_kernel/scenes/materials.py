"""The six backgrounds and three lights: a large tile per pair, from which pictures take their crop.

Noise comes from ``numpy.random.RandomState``, whose streams are frozen for good; the tiles are the same everywhere.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maia_kernel.errors import UnknownName
from maia_kernel.scenes.scene import SIDE

TILE = 256  # pixels along a side

Floats = NDArray[np.floating[Any]]

# Factors on red, green and blue: what the light leaves of a background, and of an object. Objects keep more, so that
# their colours can be told at night.
LIGHT_ON_GROUND = {"day": (1.0, 1.0, 1.0), "dusk": (1.0, 0.74, 0.60), "night": (0.30, 0.36, 0.55)}
LIGHT_ON_THINGS = {"day": (1.0, 1.0, 1.0), "dusk": (1.0, 0.88, 0.80), "night": (0.76, 0.78, 0.90)}


def ground(background: str, light: str, grain: int) -> Floats:
    """The picture before anything stands in it, ``(3, SIDE, SIDE)`` in 0 to 255, a fresh array.

    Colours come first: NumPy then works along rows of pixels, twice as fast as along three colours.
    """
    room = TILE - SIDE + 1
    left, top = grain % room, grain // room % room
    return _tile(background)[:, top : top + SIDE, left : left + SIDE] * glow(light)


@cache
def glow(light: str) -> Floats:
    """How the light falls, ``(3, SIDE, SIDE)``: by day evenly, at dusk from the right, at night a pool of moonlight."""
    if light not in LIGHT_ON_GROUND:
        raise UnknownName("light", light, LIGHT_ON_GROUND)
    axis = np.linspace(-1, 1, SIDE)
    x, y = np.meshgrid(axis, axis)
    shade = {
        "day": 1.0 - 0.05 * y,
        "dusk": 0.94 + 0.16 * x - 0.06 * y,
        "night": 0.80 + 0.55 * np.exp(-1.2 * ((x + 0.35) ** 2 + (y + 0.45) ** 2)),
    }[light]
    fall: Floats = (shade * np.array(LIGHT_ON_GROUND[light])[:, None, None]).astype(np.float32)
    fall.setflags(write=False)
    return fall


@cache
def _tile(background: str) -> Floats:
    if background not in _MATERIALS:
        raise UnknownName("background", background, _MATERIALS)
    noise = np.random.RandomState(list(_MATERIALS).index(background))
    tile: Floats = np.clip(_MATERIALS[background](noise), 0, 255).transpose(2, 0, 1).astype(np.float32, order="C")
    tile.setflags(write=False)
    return tile


def _cloud(noise: np.random.RandomState, across: float, down: float) -> Floats:
    """Smooth noise of mean 0 and deviation 1; lumps of about these sizes in pixels, seamless at the tile's edges."""
    fx, fy = np.meshgrid(np.fft.fftfreq(TILE), np.fft.fftfreq(TILE))
    keep = np.exp(-2 * np.pi**2 * ((fx * across / 2) ** 2 + (fy * down / 2) ** 2))
    field = np.fft.ifft2(np.fft.fft2(noise.standard_normal((TILE, TILE))) * keep).real
    even: Floats = (field - field.mean()) / field.std()
    return even


def _blend(amount: Floats, low: tuple[int, int, int], high: tuple[int, int, int]) -> Floats:
    part = np.clip(amount, 0, 1)[..., None]
    return np.array(low) * (1 - part) + np.array(high) * part


def _grass(noise: np.random.RandomState) -> Floats:
    blades = np.maximum(_cloud(noise, 1.2, 5.0), _cloud(noise, 1.2, 4.0))
    return _blend(0.38 + 0.24 * blades + 0.08 * _cloud(noise, 24, 24), (74, 124, 44), (164, 204, 96))


def _water(noise: np.random.RandomState) -> Floats:
    y = np.arange(TILE)[:, None] + 3.2 * _cloud(noise, 22, 10)
    wave = np.sin(2 * np.pi * y / 8.0 + 1.1 * _cloud(noise, 14, 6))
    crest = np.clip(wave * 1.9 - 0.85 + 0.35 * _cloud(noise, 9, 3), 0, 1)
    return _blend(0.9 * crest, (62, 150, 186), (186, 232, 240)) + 5 * _cloud(noise, 30, 14)[..., None]


def _sand(noise: np.random.RandomState) -> Floats:
    x, y = np.meshgrid(np.arange(TILE), np.arange(TILE))
    ripple = np.sin(2 * np.pi * (x + y) / 16.0 + 1.3 * _cloud(noise, 40, 40))
    return _blend(0.55 + 0.16 * ripple + 0.13 * _cloud(noise, 0.6, 0.6), (198, 164, 112), (242, 218, 172))


def _snow(noise: np.random.RandomState) -> Floats:
    soft = _blend(0.62 + 0.26 * _cloud(noise, 16, 12), (196, 212, 234), (250, 252, 255))
    flakes = noise.random_sample((TILE, TILE)) < 0.02
    return np.where(flakes[..., None], 255.0, soft + 2 * noise.standard_normal((TILE, TILE, 1)))


def _brick(noise: np.random.RandomState) -> Floats:
    x, y = np.meshgrid(np.arange(TILE), np.arange(TILE))
    row = y // 8
    shifted = x + 8 * (row % 2)
    joint = (y % 8 < 1) | (shifted % 16 < 1)
    tone = noise.standard_normal((TILE // 8, TILE // 16 + 1))[row, shifted // 16 % (TILE // 16 + 1)]
    clay = _blend(0.5 + 0.2 * tone + 0.1 * _cloud(noise, 1.5, 1.5), (128, 78, 66), (184, 126, 106))
    return np.where(joint[..., None], np.array((206, 196, 184)), clay)


def _wood(noise: np.random.RandomState) -> Floats:
    x, y = np.meshgrid(np.arange(TILE), np.arange(TILE))
    board = x // 16
    tone = noise.standard_normal(TILE // 16)[board]
    veins = np.sin(2 * np.pi * x / 5.0 + 2.0 * _cloud(noise, 5, 50))
    plank = _blend(0.5 + 0.14 * tone + 0.14 * veins + 0.08 * _cloud(noise, 1, 14), (122, 86, 54), (196, 154, 106))
    ends = (y + 97 * board) % 128 < 1
    return np.where(((x % 16 < 1) | ends)[..., None], np.array((74, 50, 34)), plank)


_MATERIALS = {"grass": _grass, "water": _water, "sand": _sand, "snow": _snow, "brick": _brick, "wood": _wood}
