"""Owns the report of a controlled comparison: the table that `measure` prints and the value that it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL.Image import Image

from maia_kernel.lab.manipulation import Check
from maia_kernel.lab.statistics import Effect, compare

__all__ = ["Measurement", "effects_over", "table"]

_NAME = 32  # characters of the first column, at least


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
        The manipulation check by condition, one per image, with `ok`, `missing`, `leaked` and `seen`; None for an
        image that was neither drawn nor edited here. Empty where the generator is an open one.
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
    without images is said to have none left.
    """
    wide = max(_NAME, *(len(name) + 2 for name in conditions))
    lines = [f"{'condition':<{wide}}{'n':>4}{'mean':>8}{'sd':>8}{'min':>8}{'max':>8}"]
    for name, values in conditions.items():
        if not values:
            lines.append(f"{name:<{wide}}{0:>4}    none left")
            continue
        numbers = np.asarray(values, float)
        spread = float(numbers.std(ddof=1)) if len(numbers) > 1 else float("nan")
        figures = (numbers.mean(), spread, numbers.min(), numbers.max())
        lines.append(f"{name:<{wide}}{len(numbers):>4}" + "".join(f"{figure:>8.3f}" for figure in figures))
    for effect in effects:
        lines.append(
            f"effect of '{effect.condition}' over '{effect.control}': difference {effect.difference:.3f} "
            f"[{effect.low:.3f}, {effect.high:.3f}], d {effect.d:.2f}, p {effect.p:.4f}"
        )
    return "\n".join(lines)
