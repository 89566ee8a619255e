"""How fast the renderer of the embedded world is, beside a Pillow renderer that supersamples.

    python benchmarks/renderer.py [--pictures 2000]

Both draw the same scenes in one run, in turns, on one thread: background, light, shadow, rim, pattern. The baseline is
written as one would with care: it supersamples (4x) only the box of each object, takes its backgrounds lit from a
prepared image, and pastes through masks. The ratio is what counts; the times are this machine's.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from maia_kernel.scenes.materials import LIGHT_ON_THINGS, TILE, ground
from maia_kernel.scenes.render import PAINT, RIM, SHADOW, picture
from maia_kernel.scenes.scene import RADIUS, SIDE, Scene, Thing, random_scene

FINE = 4  # subpixels along a side


@cache
def tile(background: str, light: str) -> Image.Image:
    """The background's material with the light on it, seen once per part of the picture."""
    room = TILE - SIDE + 1
    whole = np.zeros((TILE, TILE, 3), np.uint8)
    for top in range(0, room, SIDE):
        for left in range(0, room, SIDE):
            part = ground(background, light, top * room + left).transpose(1, 2, 0)
            whole[top : top + SIDE, left : left + SIDE] = np.clip(part, 0, 255)
    return Image.fromarray(whole)


def corners(shape: str) -> list[tuple[float, float]]:
    """The outline of a shape in units of its radius; round ones are drawn as ellipses instead."""
    if shape == "square":
        return [(-0.83, -0.83), (0.83, -0.83), (0.83, 0.83), (-0.83, 0.83)]
    if shape == "cross":
        a, b = 0.34, 1.0
        quarter = [(a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b)]
        return quarter + [(-x, -y) for x, y in quarter]
    if shape == "heart":
        angles = [2 * math.pi * i / 72 for i in range(72)]
        up = [13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t) for t in angles]
        return [(16 * math.sin(t) ** 3 / 15.5, -(u + 2.5) / 14.5) for t, u in zip(angles, up, strict=True)]
    radii, down = ([1.2] * 3, 0.18) if shape == "triangle" else ([1.18, 0.52] * 5, 0.05)
    turns = [2 * math.pi * i / len(radii) - math.pi / 2 for i in range(len(radii))]
    return [(r * math.cos(t), r * math.sin(t) + down) for r, t in zip(radii, turns, strict=True)]


class Pen:
    """Draws into a fine mask over one object's box, in the object's own axes."""

    def __init__(self, thing: Thing, reach: int):
        self.side, self.tilt = 2 * reach * FINE, math.radians(thing.angle)
        self.middle = (reach + thing.x % 1) * FINE, (reach + thing.y % 1) * FINE
        self.image = Image.new("L", (self.side, self.side))
        self.draw = ImageDraw.Draw(self.image)

    def point(self, u: float, v: float) -> tuple[float, float]:
        cos, sin = math.cos(self.tilt) * FINE, math.sin(self.tilt) * FINE
        return self.middle[0] + u * cos - v * sin, self.middle[1] + u * sin + v * cos

    def polygon(self, points: list[tuple[float, float]], value: int = 255) -> None:
        self.draw.polygon([self.point(u, v) for u, v in points], fill=value)

    def disc(self, u: float, v: float, radius: float, value: int = 255) -> None:
        x, y = self.point(u, v)
        r = radius * FINE
        self.draw.ellipse((x - r, y - r, x + r, y + r), fill=value)

    def mask(self) -> Image.Image:
        return self.image.reduce(FINE)


def shape_mask(thing: Thing, reach: int, shrink: float = 0.0) -> Image.Image:
    """Coverage of one object; ``shrink`` pixels off its edge."""
    radius, pen = RADIUS[thing.size], Pen(thing, reach)
    if thing.shape == "circle":
        pen.disc(0, 0, 0.93 * radius - shrink)
    elif thing.shape == "ring":
        pen.disc(0, 0, 1.01 * radius - shrink)
        pen.disc(0, 0, 0.35 * radius + shrink, 0)
    elif thing.shape == "crescent":
        pen.disc(-0.06 * radius, 0, 1.08 * radius - shrink)
        pen.disc(0.58 * radius, 0, 0.82 * radius + shrink, 0)
    else:
        scale = radius - shrink / 0.7
        pen.polygon([(x * scale, y * scale) for x, y in corners(thing.shape)])
    return pen.mask()


def pattern_mask(thing: Thing, reach: int) -> Image.Image:
    """Coverage of the pattern, beyond the object's edge too."""
    radius, pen = RADIUS[thing.size], Pen(thing, reach)
    if thing.texture == "striped":
        period = 3.4 + 0.2 * radius
        for i in range(-int(reach / period) - 1, int(reach / period) + 2):
            low, high = i * period, (i + 0.5) * period
            pen.polygon([(-reach, low), (reach, low), (reach, high), (-reach, high)])
        return pen.mask()
    step = 3.3 + 0.19 * radius if thing.texture == "dotted" else 2.2 + 0.16 * radius
    span = range(-int(reach / step) - 1, int(reach / step) + 2)
    for i in span:
        for j in span:
            if thing.texture == "dotted":
                pen.disc(i * step, j * step, 0.29 * step)
            elif (i + j) % 2 == 0:
                u, v = i * step, j * step
                pen.polygon([(u, v), (u + step, v), (u + step, v + step), (u, v + step)])
    return pen.mask()


def baseline(scene: Scene) -> Image.Image:
    """The same picture by Pillow alone."""
    room = TILE - SIDE + 1
    left, top = scene.grain % room // SIDE * SIDE, scene.grain // room % room // SIDE * SIDE
    canvas = tile(scene.background, scene.light).crop((left, top, left + SIDE, top + SIDE))
    for thing in scene.things:
        reach = int(1.25 * RADIUS[thing.size] + 2.5)
        at = int(thing.x) - reach, int(thing.y) - reach
        base, pattern, rim = (
            tuple(round(c * f) for c, f in zip(paint, LIGHT_ON_THINGS[scene.light], strict=True))
            for paint in PAINT[thing.colour]
        )
        outer = shape_mask(thing, reach)
        shade = outer.point([round(value * SHADOW[2]) for value in range(256)])
        canvas.paste((0, 0, 0), (at[0] + round(SHADOW[0]), at[1] + round(SHADOW[1])), shade)
        canvas.paste(rim, at, outer)
        fill = Image.new("RGB", outer.size, base)
        if thing.texture != "plain":
            fill.paste(pattern, (0, 0), pattern_mask(thing, reach))
        canvas.paste(fill, at, shape_mask(thing, reach, RIM))
    return canvas


def seconds(draw: Callable[[Scene], Image.Image], scenes: list[Scene]) -> float:
    start = time.process_time()
    for scene in scenes:
        draw(scene)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000, help="scenes of one to three objects, drawn by both")
    count = parser.parse_args().pictures
    scenes = [random_scene(f"benchmark/{i}") for i in range(count)]
    ways = {"maia_kernel.scenes (distance tables, NumPy)": picture, "Pillow, 4x supersampled boxes": baseline}
    spent = dict.fromkeys(ways, 0.0)
    for draw in ways.values():
        seconds(draw, scenes[:200])  # tables and tiles are made on first use
    for start in range(0, count, 100):
        for name, draw in ways.items():
            spent[name] += seconds(draw, scenes[start : start + 100])
    print(f"{'renderer':42s} {'ms per picture':>14s} {'pictures/s':>11s} {'ratio':>6s}")
    slowest = max(spent.values())
    for name, total in spent.items():
        print(f"{name:42s} {1000 * total / count:14.3f} {count / total:11.0f} {slowest / total:6.2f}")


if __name__ == "__main__":
    main()
