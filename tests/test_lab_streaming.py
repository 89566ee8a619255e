"""Statistics over a stream equal those over everything at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maia_kernel.lab.streaming import Best, Tail, lattice

IMAGES, SIDE, UNITS = 500, 8, 6
SCALES = np.array([0.01, 0.3, 1, 5, 40, 1000], np.float32)


def noise(side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(IMAGES, side, side, UNITS)).astype(np.float32) * SCALES


def rising() -> np.ndarray:
    return noise() * np.exp(np.linspace(-6, 6, IMAGES, dtype=np.float32))[:, None, None, None]


def best_first() -> np.ndarray:
    ordered = np.sort(noise().reshape(-1, UNITS), axis=0)[::-1]
    return np.ascontiguousarray(ordered).reshape(IMAGES, SIDE, SIDE, UNITS)


STREAMS = {
    "noise": noise(),
    "after a ReLU": np.maximum(noise(), 0),
    "mostly silent": np.maximum(noise() - 2.6 * SCALES, 0),
    "constant": np.full((IMAGES, SIDE, SIDE, UNITS), 0.7, np.float32),
    "negative": -1 - np.abs(noise()),
    "rising": rising(),
    "falling": rising()[::-1].copy(),
    "best first": best_first(),
    "best last": best_first()[::-1].copy(),
    "a vector": noise(1),
    "far from zero": noise() * 1e-4 + 1000,
    "odd width": noise(13),
}


def through(values: np.ndarray, step: int, **options: bool) -> Tail:
    tail = Tail(UNITS, values.size // UNITS, 0.99, **options)
    for i in range(0, len(values), step):
        part = torch.from_numpy(values[i : i + step])
        tail.update(part, part.amax((1, 2)))
    return tail


@pytest.mark.parametrize("step", [7, 64, 1000])
@pytest.mark.parametrize("stream", STREAMS)
def test_the_quantile_of_a_stream_is_within_its_bound(stream: str, step: int) -> None:
    values = STREAMS[stream]
    flat = values.reshape(-1, UNITS)
    true = np.quantile(flat, 0.99, axis=0, method="inverted_cdf")
    tail = through(values, step)
    if not tail.certain:
        tail = through(values, step, hopeful=False)
        assert tail.certain
    error = np.abs(tail.thresholds() - true)
    assert (error <= (flat.max(0) - flat.min(0)) / 255 + 1e-6 * np.abs(true)).all()
    assert (tail.thresholds()[true == flat.min(0)] == true[true == flat.min(0)]).all()


def test_a_random_order_needs_no_second_pass_and_an_unlucky_one_is_noticed() -> None:
    assert through(STREAMS["noise"], 20).certain
    assert through(STREAMS["after a ReLU"], 20).certain
    assert not through(STREAMS["best first"], 20).certain


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (3, 5), (4, 4), (8, 8), (7, 7), (13, 13), (16, 16), (56, 56), (1, 197)]
)
def test_a_lattice_is_spread_evenly_over_a_map(height: int, width: int) -> None:
    rows, columns = np.divmod(lattice(height, width, 2048).numpy(), width)
    assert min(height * width, 8) <= len(rows) <= 24
    if height >= 8:  # every quarter of the map has its share, and no row or column has them all
        quarters = np.bincount((rows >= height / 2) * 2 + (columns >= width / 2), minlength=4)
        assert quarters.min() >= len(rows) / 8
        assert max(np.bincount(rows).max(), np.bincount(columns).max()) <= 4


def test_values_that_are_not_finite_are_refused() -> None:
    tail = Tail(1, 4, 0.99)
    with pytest.raises(ValueError, match="infinite or NaN"):
        tail.update(torch.zeros(1, 2, 2, 1), torch.tensor([[float("nan")]]))


@pytest.mark.parametrize("step", [1, 13, 700])
def test_the_best_of_a_stream_are_the_best_of_all_and_ties_go_to_the_lower_number(step: int) -> None:
    count, k = 1500, 20
    values = np.random.default_rng(1).integers(-30, 30, (count, UNITS)).astype(np.float32)  # full of ties
    values[values == 0] = np.where(np.arange((values == 0).sum()) % 2, 0.0, -0.0)
    best = Best(UNITS, k)
    for i in range(0, count, step):
        best.update(i, torch.from_numpy(values[i : i + step]))
    activations, numbers = best.result()
    order = np.stack([np.lexsort((np.arange(count), -values[:, unit]))[:k] for unit in range(UNITS)])
    np.testing.assert_array_equal(numbers.numpy(), order)
    np.testing.assert_array_equal(activations.numpy(), np.take_along_axis(values.T, order, 1))


def test_fewer_images_than_asked_for_are_all_kept() -> None:
    best = Best(1, 64)
    best.update(0, torch.tensor([[1.0], [3.0], [2.0]]))
    activations, numbers = best.result()
    assert activations.tolist() == [[3.0, 2.0, 1.0]]
    assert numbers.tolist() == [[1, 2, 0]]
