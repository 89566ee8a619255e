"""Owns the plot that `measure` shows: one row of dots per condition."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["strip_plot"]

_WIDTH, _ROW, _AXIS = 6.4, 0.32, 0.55  # inches
_DPI = 90
_JITTER = 0.22  # of a row, at most


def strip_plot(
    conditions: Mapping[str, Sequence[float]],
    axis: str = "activation",
    failed: Mapping[str, Sequence[bool]] | None = None,
) -> bytes:
    """Draw one row of dots per condition, with its mean as a line.

    Parameters
    ----------
    conditions : mapping of str to sequence of float
        Finite values.
    axis : str
        What the values are.
    failed : mapping of str to sequence of bool, optional
        Which of them to draw as hollow dots; the mean is that of all.

    Returns
    -------
    bytes
        A PNG; the same values always give the same bytes (with one version of matplotlib).
    """
    # Without pyplot: a figure of its own needs no backend and leaves nothing open behind it.
    from matplotlib.figure import Figure

    height = _ROW * len(conditions) + _AXIS
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI)
    figure.subplots_adjust(left=0.36, right=0.98, top=1 - 0.08 / height, bottom=0.45 / height)
    axes = figure.subplots()
    for row, (name, numbers) in enumerate(conditions.items()):
        values = np.asarray(numbers, float)
        spread = row + np.random.default_rng(row).uniform(-_JITTER, _JITTER, len(values))
        hollow = np.array((failed or {}).get(name) or [False] * len(values), bool)
        for some, face, edge in ((~hollow, "#90cdf4", "#2b6cb0"), (hollow, "white", "#a0aec0")):
            axes.plot(values[some], spread[some], "o", markersize=4, markerfacecolor=face, markeredgecolor=edge)
        if len(values):
            axes.plot([values.mean()] * 2, [row - 0.38, row + 0.38], color="#c53030", linewidth=2)
    axes.axvline(0, color="#222222", linewidth=0.8)
    axes.set_yticks(range(len(conditions)), [_short(name) for name in conditions])
    axes.set_ylim(len(conditions) - 0.5, -0.5)
    axes.tick_params(left=False, labelsize=8)
    axes.set_xlabel(axis, fontsize=8)
    axes.grid(axis="x", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["left", "top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None}, pil_kwargs={"compress_level": 1})
    return buffer.getvalue()


def _short(name: str, most: int = 36) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
