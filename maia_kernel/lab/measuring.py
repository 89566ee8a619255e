"""Owns the report of a controlled comparison: the table that `measure` prints and the value that it returns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL.Image import Image

from maia_kernel.lab.manipulation import Check
from maia_kernel.lab.statistics import Effect, compare

__all__ = ["Measurement", "effects_over", "table"]

_NAME = 32  # characters of the first column, at least
_COLUMN = 8  # of a column of figures, at least
_SMALL = 0.1  # where all activations are nearer to zero, three decimals would show too little of them
_DIGITS = 4  # significant ones of the largest activation then
_DECIMALS = range(3, 21)  # after the point


@dataclass(frozen=True, repr=False)
class Measurement:
    """What `tools.measure` found.

    Attributes
    ----------
    conditions : dict of str to list of float
        Activations by condition, one per image.
    images : dict of str to list of PIL.Image.Image
        The images by condition, in the same order.
    effects : tuple of Effect
        Every other condition over the control, with the fields `condition`, `control`, `difference` (of the means),
        `low` and `high` (its 95 % interval), `d` (standardised) and `p`.
    checks : dict of str to list of (Check or None)
        The manipulation check by condition, one per image, with `ok`, `missing`, `leaked`, `unwanted` and `seen`; None
        for an image that was neither drawn nor edited here, or whose description says nothing in the generator's words.
        Empty where the generator is an open one, or the describer failed.
    effects_checked : tuple of Effect
        The effects without the images that failed the check.
    """

    conditions: dict[str, list[float]]
    images: dict[str, list[Image]] = field(default_factory=dict)
    effects: tuple[Effect, ...] = ()
    checks: dict[str, list[Check | None]] = field(default_factory=dict)
    effects_checked: tuple[Effect, ...] = ()

    def __repr__(self) -> str:
        """Stay short: a cell may end with the call that made this."""
        count = sum(len(values) for values in self.conditions.values())
        return f"<Measurement: {len(self.conditions)} conditions, {count} images, {len(self.effects)} effects>"


def effects_over(conditions: Mapping[str, Sequence[float]], control: str) -> tuple[Effect, ...]:
    """Compare every other condition that has images with the control."""
    base = conditions[control]
    return tuple(
        compare(name, values, control, base)
        for name, values in conditions.items()
        if name != control and values and base
    )


def table(conditions: Mapping[str, Sequence[float]], effects: Sequence[Effect]) -> str:
    """Return the lines of the report.

    sd is the sample's standard deviation, nan for a single image, as is everything that would need two. A condition
    without images is said to have none left. Figures have three decimals; more where all of them are small, and wider
    columns where any is large, never an exponent.
    """
    places = _places(conditions)
    rows = {name: _figures(values, places) for name, values in conditions.items()}
    wide = max(_NAME, *(len(name) + 2 for name in conditions))
    column = max([_COLUMN, *(len(figure) + 1 for row in rows.values() for figure in row)])
    lines = [f"{'condition':<{wide}}{'n':>4}" + "".join(f"{head:>{column}}" for head in ("mean", "sd", "min", "max"))]
    for name, row in rows.items():
        cells = "".join(f"{figure:>{column}}" for figure in row) or "    none left"
        lines.append(f"{name:<{wide}}{len(conditions[name]):>4}{cells}")
    for effect in effects:
        lines.append(
            f"effect of '{effect.condition}' over '{effect.control}': difference {effect.difference:.{places}f} "
            f"[{effect.low:.{places}f}, {effect.high:.{places}f}], d {effect.d:.2f}, p {effect.p:.4f}"
        )
    return "\n".join(lines)


def _places(conditions: Mapping[str, Sequence[float]]) -> int:
    """Decimals that keep what differs visible."""
    largest = max((abs(value) for values in conditions.values() for value in values if math.isfinite(value)), default=0)
    if not 0 < largest < _SMALL:
        return _DECIMALS[0]
    return min(_DIGITS - 1 - math.floor(math.log10(largest)), _DECIMALS[-1])


def _figures(values: Sequence[float], places: int) -> list[str]:
    """Mean, standard deviation, minimum and maximum; nothing of no values."""
    if not values:
        return []
    numbers = np.asarray(values, float)
    spread = float(numbers.std(ddof=1)) if len(numbers) > 1 else float("nan")
    return [f"{figure:.{places}f}" for figure in (numbers.mean(), spread, numbers.min(), numbers.max())]
