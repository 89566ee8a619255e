"""Owns statistics of all units of a layer over a stream of batches, in memory that does not grow with the stream.

Two of them: the largest activations with the numbers of their images (`Best`), and an upper quantile over positions
(`Tail`). Both are as good as free beside the forward pass: `Best` merges rarely, and `Tail` looks only at values that
can still matter. The total number of values is known in advance; once enough values above some edge were counted, the
quantile lies above that edge for certain, and everything below it needs no counting any more.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Best", "Tail", "lattice"]

_BUFFER = 1024  # activations per unit that wait for the next merge
_BINS = 512
_VALUES = 2**15  # of a unit, about, that decide its quantile
_LEAST = 8  # positions of a map
_SMALLEST = -100  # exponent of the narrowest bin; far from float32's denormals
_OFTEN = 1.15  # how much the number of images grows between two looks at how far the floor can be raised
_FEW = 64  # images that say too little about those to come

_Floats = np.ndarray[Any, np.dtype[np.float32]]
_Ints = np.ndarray[Any, np.dtype[np.int64]]


class Best:
    """The k largest activations of every unit; of equal ones, those of the lowest image numbers.

    Parameters
    ----------
    units : int
        Number of units.
    k : int
        How many to keep.
    """

    def __init__(self, units: int, k: int):
        self._k = k
        self._keys = torch.empty((units, 0), dtype=torch.int64)
        self._waiting = torch.empty((_BUFFER, units))
        self._numbers = torch.empty(_BUFFER, dtype=torch.int64)
        self._filled = 0

    def update(self, first: int, activations: Tensor) -> None:
        """Take activations (N, units) of the images numbered ``first`` to ``first + N - 1``."""
        done = 0
        while done < len(activations):
            if self._filled == _BUFFER:
                self._merge()
            part = min(_BUFFER - self._filled, len(activations) - done)
            place = slice(self._filled, self._filled + part)
            self._waiting[place] = activations[done : done + part]
            self._numbers[place] = torch.arange(first + done, first + done + part)
            self._filled += part
            done += part

    def _merge(self) -> None:
        # One 64-bit key orders by activation, then by falling image number: the float's bits in an order-preserving
        # form above, the number's complement below. Adding 0.0 turns -0.0, whose bits are smaller, into 0.0.
        bits = (self._waiting[: self._filled].T.contiguous() + 0.0).view(torch.int32)
        bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)
        new = (bits.long() << 32) | (0xFFFFFFFF - self._numbers[: self._filled])
        keys = torch.cat([self._keys, new], 1)
        kept = min(self._k, keys.shape[1])
        self._keys = torch.from_numpy(np.partition(keys.numpy(), -kept)[:, -kept:])  # many times faster than topk
        self._filled = 0

    def result(self) -> tuple[Tensor, Tensor]:
        """Return activations (units, k), largest first, and image numbers (units, k), int32."""
        if self._filled:
            self._merge()
        keys = self._keys.sort(descending=True).values
        bits = (keys >> 32).int()
        bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)
        return bits.view(torch.float32).clone(), (0xFFFFFFFF - (keys & 0xFFFFFFFF)).int()


def lattice(height: int, width: int, images: int) -> Tensor:
    """Return positions evenly spread over a map, as row times width plus column: enough for a quantile over ``images``.

    Values near to each other are alike, so that all positions of many images say little more than some of them. There
    are about 32,768 values of a unit in all, and at least 8 an image; every position where there are no more. The 0.99
    quantile of 32,768 values is that of all positions at a rank within 0.99 +- 0.0011 (two binomial standard errors).
    """
    most = max(_LEAST, math.ceil(_VALUES / max(images, 1)))
    step = math.ceil(height * width / most)
    # A shift from row to row near the golden ratio keeps the positions apart (for a step of 2, a chessboard).
    shift = next(turn for turn in range(round(0.618 * step), 2 * step + 1) if math.gcd(turn, step) == 1)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.nonzero(((columns + shift * rows) % step == 0).flatten()).flatten()


class Tail:
    """An upper quantile of every unit over all positions of all images, by a histogram of its upper tail.

    The quantile of n values is their ``ceil(quantile * n)``-th smallest. It is exact when it equals the smallest value
    of all (a unit that is silent nearly everywhere). Otherwise the result lies in the same bin as the true value, and
    its error is below the width of a bin: **1/255 of the range** (largest minus smallest value of the unit). Bins
    are ``(i w, (i + 1) w]`` with w a power of two that doubles as the range grows, so that merging them is exact.

    Parameters
    ----------
    units : int
        Number of units.
    total : int
        How many values each unit will get in all, at most.
    quantile : float
        Between 0 and 1.
    hopeful : bool
        Drop what is irrelevant if the rest of the stream is like what was seen so far, with a margin of two or more,
        instead of what is irrelevant for certain. Faster; after data in an unlucky order `certain` is False, and a
        second pass is due.
    """

    def __init__(self, units: int, total: int, quantile: float, *, hopeful: bool = True):
        self._quantile = quantile
        self._total = total
        self._hopeful = hopeful
        self._seen = 0
        self._images = 0
        self._raised = 0
        self._counts: _Ints = np.zeros((units, _BINS), np.int64)
        self._exponent: _Ints = np.full(units, _SMALLEST, np.int64)
        self._start: _Ints = np.zeros(units, np.int64)  # number of the first bin
        self._floor: _Floats = np.full(units, np.inf, np.float32)  # values up to it are not in the bins
        self._top: _Floats = np.full(units, -np.inf, np.float32)
        self._end = np.full(units, -np.inf)  # upper edge of the last bin
        self._sealed = np.zeros(units, bool)  # the floor is no longer the smallest value of all

    def update(self, values: Tensor, tops: Tensor) -> None:
        """Take values (N, h, w, units) and their maxima (N, units), or those of more values.

        Raises
        ------
        ValueError
            For a maximum that is infinite or NaN.
        """
        count, height, width, _ = values.shape
        top = tops.amax(0).numpy()
        if not np.isfinite(top).all():
            raise ValueError("activations are infinite or NaN")
        self._grow(self._lowest(values), top)
        self._count(values.reshape(count * height, -1).numpy(), width)
        self._seen += count * height * width
        self._images += count
        if self._images >= _OFTEN * self._raised:
            self._raised = self._images
            self._raise_floor()

    @property
    def certain(self) -> bool:
        """Whether every quantile is what `thresholds` says."""
        last, _ = self._deciding(self._needed(self._seen))
        edge = np.ldexp((self._start + last + 1).astype(float), self._exponent)
        return bool((~self._sealed | ((last >= 0) & (edge >= self._floor))).all())

    def thresholds(self) -> _Floats:
        """Return the quantile of every unit, float32."""
        need = self._needed(self._seen)
        last, above = self._deciding(need)
        row = np.arange(len(last))
        part = (above[row, last] - need + 1) / np.maximum(self._counts[row, last], 1)
        inside = np.maximum(np.ldexp(self._start + last + part, self._exponent), self._floor)
        return np.where(last < 0, self._floor, np.minimum(inside, self._top)).astype(np.float32)

    def _deciding(self, need: int) -> tuple[_Ints, _Ints]:
        """Return each unit's bin of the need-th largest value, -1 for its floor, and the counts summed from the top."""
        above = np.cumsum(self._counts[:, ::-1], 1)[:, ::-1]
        return (above >= need).sum(1) - 1, above

    def _needed(self, count: int) -> int:
        """Return how many of the largest of ``count`` values decide the quantile."""
        # The margin is against rounding: 0.99 * 700 may come out a hair above 693.
        return count - max(1, math.ceil(self._quantile * count - 1e-9 * count)) + 1

    def _lowest(self, values: Tensor) -> _Floats:
        """Return the smallest value of each unit where that may lower a floor."""
        if self._seen and (self._sealed.all() or float(values.min()) >= self._floor[~self._sealed].max()):
            return self._floor
        return np.asarray(values.amin((0, 1, 2)).numpy())

    def _grow(self, low: _Floats, top: _Floats) -> None:
        """Make the bins of every unit reach from its smallest to its largest value."""
        if self._seen and low is self._floor and (top <= self._end).all():
            np.maximum(self._top, top, out=self._top)
            return
        if not self._seen:
            self._floor[:] = low
        self._top = np.maximum(self._top, top)
        fallen = ~self._sealed & (low < self._floor)
        floor = np.where(fallen, low, self._floor)
        bottom = floor if not self._seen else np.ldexp(self._start.astype(float), self._exponent)
        bottom = np.minimum(bottom, floor)
        span = np.maximum(self._top - bottom, 0.0)
        size = np.maximum(np.abs(self._top), np.abs(bottom))
        # Bins finer than floats can tell apart would need numbers beyond 2**22, where float arithmetic is inexact.
        width = np.maximum(span / (_BINS - 2), size * 2.0**-22)
        needed = np.ceil(np.log2(np.maximum(width, 2.0**_SMALLEST))).astype(np.int64)
        exponent = np.maximum(self._exponent, needed)
        wider = exponent - self._exponent
        start = self._start >> wider
        start = np.where(fallen | (self._seen == 0), np.floor(np.ldexp(bottom, -exponent)).astype(np.int64), start)
        moved = np.flatnonzero((wider > 0) | fallen)
        if self._seen and len(moved):
            bins = ((self._start[moved, None] + np.arange(_BINS)) >> wider[moved, None]) - start[moved, None]
            bins = np.clip(bins, 0, _BINS - 1) + np.arange(len(moved))[:, None] * _BINS  # only empty ones fall outside
            held = self._counts[moved]
            spread = np.bincount(bins.ravel(), weights=held.ravel(), minlength=held.size)  # exact up to 2**53
            self._counts[moved] = spread.reshape(held.shape).astype(np.int64)
            for unit in np.flatnonzero(fallen):  # what had been the smallest value so far is one no more
                below = self._seen - int(self._counts[unit].sum())
                place = math.ceil(math.ldexp(float(self._floor[unit]), -int(exponent[unit]))) - 1 - int(start[unit])
                self._counts[unit, place] += below
        self._exponent, self._start, self._floor = exponent, start, floor.astype(np.float32)
        self._end = np.ldexp((start + _BINS).astype(float), exponent)

    def _count(self, rows: _Floats, width: int) -> None:
        """Count the values above the floor; a row holds all units at ``width`` positions, one after another."""
        picked = np.flatnonzero(rows > np.tile(self._floor, width))  # long rows compare faster than short ones
        units = len(self._start)
        unit = picked - picked // units * units  # faster than %
        scaled = rows.reshape(-1).take(picked) * np.ldexp(np.float32(1), -self._exponent).take(unit)
        offset = np.arange(units) * _BINS - 1 - self._start
        place = np.ceil(scaled).astype(np.int64) + offset.take(unit)
        np.add.at(self._counts.reshape(-1), place, 1)  # few places: a bincount would touch every bin

    def _raise_floor(self) -> None:
        """Raise every floor to the highest edge that has enough values above it."""
        need = self._needed(self._total)
        if self._hopeful:
            if self._images < _FEW:
                return
            margin = 1.5 + 24 / math.sqrt(self._images)  # 4.5 after 64 images, 2.3 after 1,000
            need = min(need, math.ceil(margin * need * self._seen / self._total) + 8)
        last, _ = self._deciding(need)
        # Bins under the floor stay where they are. What they hold was counted when the floor was lower: too few, which
        # does no harm, because the deciding bin is found from the top.
        edge = np.ldexp((self._start + last).astype(float), self._exponent).astype(np.float32)
        self._floor = np.where(last >= 0, np.maximum(self._floor, edge), self._floor)
        self._sealed |= last >= 0
