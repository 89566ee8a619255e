"""Statistics of two samples, against values worked out by hand or by enumeration."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maia_kernel.lab import statistics

A, B = [3.0, 4.0, 5.0], [1.0, 2.0, 3.0]


def test_hedges_g_is_the_corrected_standardised_difference() -> None:
    assert statistics.hedges_g(A, B) == pytest.approx(2.0 * (1 - 3 / 15))  # both variances 1, n + m = 6
    assert statistics.hedges_g(B, A) == -statistics.hedges_g(A, B)


def test_hedges_g_of_samples_without_spread() -> None:
    assert statistics.hedges_g([2, 2], [1, 1]) == math.inf
    assert statistics.hedges_g([1, 1], [2, 2]) == -math.inf
    assert math.isnan(statistics.hedges_g([1, 1], [1, 1]))
    assert math.isnan(statistics.hedges_g([1], [1, 2]))


def test_the_exact_permutation_test_counts_splits() -> None:
    assert statistics.permutation_p([10, 11, 12], [1, 2, 3]) == pytest.approx(2 / 20)  # the two extreme splits of 20
    assert statistics.permutation_p([1, 2], [1, 2]) == 1
    assert statistics.permutation_p([5, 5, 5], [5, 5]) == 1
    assert math.isnan(statistics.permutation_p([], [1]))


def test_the_random_permutation_test_agrees_with_theory_and_is_never_zero() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(0.8, 1, 30).tolist(), random.normal(0, 1, 30).tolist()
    t = (np.mean(a) - np.mean(b)) / math.sqrt((np.var(a, ddof=1) + np.var(b, ddof=1)) / 30)
    assert statistics.permutation_p(a, b) == pytest.approx(math.erfc(t / math.sqrt(2)), abs=0.01)
    assert 0 < statistics.permutation_p([100.0 + x for x in a], b) < 0.001
    assert statistics.permutation_p(a, b) == statistics.permutation_p(a, b)


def test_the_bootstrap_interval_covers_the_difference_about_as_often_as_it_says() -> None:
    covered = 0
    for i in range(200):
        random = np.random.default_rng(i)
        low, high = statistics.bootstrap_interval(random.normal(2, 1, 20), random.normal(0, 1, 20))
        covered += low <= 2 <= high
    assert 0.88 <= covered / 200 <= 0.99
    assert statistics.bootstrap_interval(A, B) == statistics.bootstrap_interval(A, B)
    assert all(math.isnan(end) for end in statistics.bootstrap_interval([1], [1, 2]))
