"""Owns the one plot that `measure` shows, drawn without matplotlib: ten milliseconds, and the same bytes everywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

__all__ = ["strip_plot", "ticks"]

_ROW, _LEFT, _WIDTH, _TOP, _BOTTOM = 30, 190, 540, 12, 40  # pixels
_INK, _PALE, _DOT, _MEAN = "#222222", "#dddddd", "#2b6cb0", "#c53030"


def ticks(low: float, high: float) -> list[float]:
    """Return three to seven round numbers that lie in a range (1, 2 or 5 times a power of ten apart)."""
    raw = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def strip_plot(conditions: Mapping[str, Sequence[float]], axis: str = "activation") -> Image.Image:
    """Draw one row of dots per condition, with its mean as a line; equal values are stacked.

    Parameters
    ----------
    conditions : mapping of str to sequence of float
        Finite values.
    axis : str
        What the values are.
    """
    values = [value for row in conditions.values() for value in row]
    low, high = min([0.0, *values]), max([0.0, *values])
    margin = (high - low or 1.0) * 0.05
    low, high = low - margin, high + margin
    height = _TOP + _ROW * len(conditions) + _BOTTOM
    sheet = Image.new("RGB", (_WIDTH, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    bottom = height - _BOTTOM

    def x(value: float) -> int:
        return round(_LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - 16))

    for tick in ticks(low, high):
        draw.line([x(tick), _TOP, x(tick), bottom], fill=_INK if tick == 0 else _PALE)
        draw.text((x(tick), bottom + 4), f"{tick:g}", fill=_INK, font=font, anchor="mt")
    draw.text(((_LEFT + _WIDTH) // 2, height - 4), axis, fill=_INK, font=font, anchor="mb")
    for row, (name, numbers) in enumerate(conditions.items()):
        y = _TOP + _ROW * row + _ROW // 2
        label = name if len(name) <= 28 else name[:27] + "…"
        draw.text((_LEFT - 10, y), label, fill=_INK, font=font, anchor="rm")
        taken: list[int] = []
        for number in sorted(numbers):
            place = x(number)
            step = sum(abs(place - other) < 5 for other in taken)  # dots that would cover this one
            up = y + (step + 1) // 2 * (4 if step % 2 else -4)
            taken.append(place)
            draw.ellipse([place - 3, up - 3, place + 3, up + 3], outline=_DOT, fill="#90cdf4")
        if numbers:
            mean = x(sum(numbers) / len(numbers))
            draw.line([mean, y - 11, mean, y + 11], fill=_MEAN, width=2)
    return sheet
