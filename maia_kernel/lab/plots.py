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
    axes = figure.add_axes((0.36, 0.45 / height, 0.62, 1 - 0.53 / height))
    rows = [np.asarray(numbers, float) for numbers in conditions.values()]
    values = np.concatenate(rows)
    spread = np.concatenate(
        [row + np.random.default_rng(row).uniform(-_JITTER, _JITTER, len(one)) for row, one in enumerate(rows)]
    )
    marks = [(failed or {}).get(name) or [False] * len(numbers) for name, numbers in conditions.items()]
    hollow = np.concatenate([np.asarray(mark, bool) for mark in marks])
    for some, face, edge in ((~hollow, "#90cdf4", "#2b6cb0"), (hollow, "white", "#a0aec0")):
        axes.plot(values[some], spread[some], "o", markersize=4, markerfacecolor=face, markeredgecolor=edge)
    filled = [row for row, one in enumerate(rows) if len(one)]
    low, high = ([row + side for row in filled] for side in (-0.38, 0.38))
    axes.vlines([rows[row].mean() for row in filled], low, high, color="#c53030", linewidth=2)
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
