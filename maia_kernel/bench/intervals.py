"""Intervals for shares: Wilson's for one, Newcombe's for the difference of two."""

from __future__ import annotations

import math

Z = 1.959964  # the 0.975 quantile of the standard normal distribution


def wilson(share: float, n: float) -> tuple[float, float]:
    """The 95 % score interval of a share.

    Parameters
    ----------
    share : float
        0 to 1.
    n : float
        Independent cases that it rests on; the interval of none is [0, 1].

    Returns
    -------
    low, high : float

    References
    ----------
    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    if n <= 0:
        return 0.0, 1.0
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def newcombe(first: float, n: float, second: float, m: float) -> tuple[float, float]:
    """The 95 % interval of ``first - second``, two independent shares of ``n`` and of ``m`` cases.

    References
    ----------
    R. G. Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine 17
    (1998), method 10: hybrid of two Wilson intervals.
    """
    (low, high), (below, above) = wilson(first, n), wilson(second, m)
    difference = first - second
    return (
        difference - math.sqrt((first - low) ** 2 + (above - second) ** 2),
        difference + math.sqrt((high - first) ** 2 + (second - below) ** 2),
    )
