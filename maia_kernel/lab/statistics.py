"""Owns the statistics of a comparison of two samples: effect size, interval, test. All of it deterministic."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Effect", "bootstrap_interval", "compare", "hedges_g", "permutation_p"]

_RESAMPLES = 5000
_EXACT = 20_000  # up to this many splits are enumerated: all of 8 against 8


@dataclass(frozen=True)
class Effect:
    """A condition against a control.

    Attributes
    ----------
    condition, control : str
        Their names.
    difference : float
        Mean of the condition minus mean of the control, in units of activation.
    low, high : float
        95 % bootstrap interval of the difference; NaN when a sample has fewer than two values.
    d : float
        Standardised difference (Hedges' g); NaN when undefined.
    p : float
        Two-sided permutation p value.
    """

    condition: str
    control: str
    difference: float
    low: float
    high: float
    d: float
    p: float


def hedges_g(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the standardised mean difference of a over b with Hedges' correction for small samples.

    The difference is divided by the pooled standard deviation and multiplied by ``1 - 3 / (4 (n + m) - 9)`` (Hedges
    1981, Journal of Educational Statistics 6, 107-128). NaN with fewer than two values in a sample, or when neither
    varies and the means agree; infinite when neither varies and they differ.
    """
    n, m = len(a), len(b)
    if n < 2 or m < 2:
        return math.nan
    difference = float(np.mean(a) - np.mean(b))
    pooled = math.sqrt(((n - 1) * float(np.var(a, ddof=1)) + (m - 1) * float(np.var(b, ddof=1))) / (n + m - 2))
    if pooled <= 1e-12 * max(1.0, abs(difference)):
        return math.copysign(math.inf, difference) if abs(difference) > 1e-12 else math.nan
    return difference / pooled * (1 - 3 / (4 * (n + m) - 9))


def bootstrap_interval(
    a: Sequence[float], b: Sequence[float], *, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of mean(a) - mean(b).

    Both samples are drawn anew with replacement, 5000 times (Efron and Tibshirani 1993, An Introduction to the
    Bootstrap, chapter 13). NaN with fewer than two values in a sample. With four values such an interval is too
    narrow by about a quarter: it says where the difference lies, not more.

    Parameters
    ----------
    a, b : sequence of float
        The samples.
    level : float
        Coverage asked for.
    seed : int
        Of the resampling.
    """
    if len(a) < 2 or len(b) < 2:
        return math.nan, math.nan
    random = np.random.default_rng(seed)
    first, second = np.asarray(a, float), np.asarray(b, float)
    means = first[random.integers(0, len(a), (_RESAMPLES, len(a)))].mean(1)
    means -= second[random.integers(0, len(b), (_RESAMPLES, len(b)))].mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def permutation_p(a: Sequence[float], b: Sequence[float], *, seed: int = 0) -> float:
    """Return the two-sided p value of the difference of means under exchange of the samples.

    Exact (all splits of the pooled values) up to 20,000 splits; otherwise from 5000 random ones, counted with the
    observed split so that it is never 0 (Phipson and Smyth 2010, Statistical Applications in Genetics and Molecular
    Biology 9). NaN when a sample is empty.

    Parameters
    ----------
    a, b : sequence of float
        The samples.
    seed : int
        Of the random splits.
    """
    n, m = len(a), len(b)
    if not n or not m:
        return math.nan
    pooled = np.concatenate([np.asarray(a, float), np.asarray(b, float)])
    total = float(pooled.sum())
    if math.comb(n + m, n) <= _EXACT:
        chosen = np.array(list(itertools.combinations(range(n + m), n)))
        counted = 0
    else:
        random = np.random.default_rng(seed)
        chosen = random.permuted(np.tile(np.arange(n + m), (_RESAMPLES, 1)), axis=1)[:, :n]
        counted = 1
    sums = pooled[chosen].sum(1)
    differences = np.abs(sums / n - (total - sums) / m)
    observed = abs(float(np.mean(a) - np.mean(b)))
    extreme = int((differences >= observed - 1e-9 * max(1.0, observed)).sum())
    return (extreme + counted) / (len(chosen) + counted)


def compare(condition: str, a: Sequence[float], control: str, b: Sequence[float]) -> Effect:
    """Compare a condition's values with a control's."""
    low, high = bootstrap_interval(a, b)
    return Effect(condition, control, float(np.mean(a) - np.mean(b)), low, high, hedges_g(a, b), permutation_p(a, b))
