"""How conditions are called in tables, and what is read from their rows: shares, effects, pooled replicates."""

from __future__ import annotations

import math

from maia_kernel.driver.offline.evidence import Evidence, Row, Words

CONTROL = "none of these"
# From this part of the exemplars' mean on a control is so active that nothing can be told from it.
EVERYWHERE = 0.8


def name(hypothesis: Words) -> str:
    """Pictures that hold a hypothesis."""
    return " + ".join(sorted(hypothesis))


def again(hypothesis: Words) -> str:
    """Further pictures that hold a hypothesis."""
    return f"{name(hypothesis)}, again"


def apart(pair: Words) -> str:
    """Both words of a pair, on two objects."""
    return f"{name(pair)}, on two objects"


def drawn(hypothesis: Words) -> str:
    """The pictures that the edits start from."""
    return f"{name(hypothesis)}, as drawn"


def changed(hypothesis: Words, what: str) -> str:
    """The condition in which one word, or a whole family for comparison, has been edited away."""
    return f"{name(hypothesis)}, {what} changed"


def share(seen: Evidence, row: Row | None) -> float:
    """How far a condition goes from the control (0) to the exemplars' mean activation (1)."""
    low, high = scale(seen)
    return (row.mean - low) / (high - low) if row and high > low else 0.0


def scale(seen: Evidence) -> tuple[float, float]:
    """The activation without any of the words that stand out, and the mean of the exemplars."""
    control = seen.rows.get(CONTROL)
    quiet = sorted(value for value, _ in seen.screen)[: max(1, len(seen.screen) // 8)]
    low = control.mean if control else (sum(quiet) / len(quiet) if quiet else 0.0)
    strong = [value for value, _ in seen.exemplars]
    return low, (sum(strong) / len(strong) if strong else low)


def everywhere(seen: Evidence) -> bool:
    """Whether the control is nearly as active as the exemplars."""
    low, high = scale(seen)
    return CONTROL in seen.rows and (high <= low or low >= EVERYWHERE * high > 0)


def contrast(row: Row | None, other: Row | None) -> tuple[float, float, float]:
    """Difference of two conditions with its 95 % interval (Welch's t)."""
    if row is None or other is None or min(row.n, other.n) < 2:
        return 0.0, -math.inf, math.inf
    difference = row.mean - other.mean
    parts = [one.sd**2 / one.n for one in (row, other)]
    spread = sum(part**2 / (one.n - 1) for part, one in zip(parts, (row, other), strict=True))
    half = _quantile(sum(parts) ** 2 / spread if spread else math.inf) * math.sqrt(sum(parts))
    return difference, difference - half, difference + half


def measured(seen: Evidence, hypothesis: Words) -> Row | None:
    """The pictures of a hypothesis, those of a replication included."""
    row, more = seen.rows.get(name(hypothesis)), seen.rows.get(again(hypothesis))
    if row is None or more is None:
        return row or more
    n = row.n + more.n
    mean = (row.n * row.mean + more.n * more.mean) / n
    squares = sum((one.n - 1) * one.sd**2 + one.n * (one.mean - mean) ** 2 for one in (row, more))
    return Row(n, mean, math.sqrt(squares / (n - 1)), min(row.low, more.low), max(row.high, more.high), more.turn)


def _quantile(freedom: float) -> float:
    """The 0.975 quantile of Student's t, within 2 % from 3 degrees of freedom on (Abramowitz and Stegun 26.7.5)."""
    z = 1.959964
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
