"""What the captioner's network sees: pixels to objects, background and light, each with a confidence.

Nothing here looks at a remembered scene; a picture is its pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from maia_kernel.scenes.networks import CELL, CELLS, Detector, read_weights, to_tensor
from maia_kernel.scenes.scene import MOST, OBJECT_FAMILIES, VOCABULARY

SEEN = 0.5  # an object counts from this objectness on
APART = 6.5  # pixels; nearer centres are one object (the smallest objects are never nearer than 12.9)
BATCH = 32  # pictures per forward pass


@dataclass(frozen=True)
class Guess:
    """A word and the probability that the network gives it, 0 to 1."""

    value: str
    confidence: float


@dataclass(frozen=True)
class Sighting:
    """One object as seen.

    Attributes
    ----------
    shape, colour, texture, size : Guess
        Its attributes.
    x, y : float
        Its centre, in pixels of a 64 x 64 picture.
    confidence : float
        That there is an object at all, 0 to 1.
    """

    shape: Guess
    colour: Guess
    texture: Guess
    size: Guess
    x: float
    y: float
    confidence: float


@dataclass(frozen=True)
class Percept:
    """One picture as seen; the surest object comes first."""

    sightings: tuple[Sighting, ...]
    background: Guess
    light: Guess


@cache
def _detector() -> tuple[Detector, str]:
    weights, digest = read_weights("captioner")
    network = Detector()
    network.load_state_dict(weights)
    return network.eval(), digest


def digest() -> str:
    """SHA-256 of the network's weights, hexadecimal."""
    return _detector()[1]


def perceive(images: Sequence[Image.Image]) -> list[Percept]:
    """Look at pictures; those that are not 64 x 64 are scaled."""
    network, _ = _detector()
    percepts: list[Percept] = []
    for start in range(0, len(images), BATCH):
        with torch.inference_mode():
            percepts += decode(network(torch.stack([to_tensor(image) for image in images[start : start + BATCH]])))
    return percepts


def decode(parts: dict[str, Tensor]) -> list[Percept]:
    """The network's output, as :class:`Detector` gives it, to one percept per picture."""
    maps = {family: parts[family].softmax(1).numpy() for family in OBJECT_FAMILIES}
    objectness = parts["object"][:, 0].sigmoid().numpy()
    centres = (np.arange(CELLS) + 0.5) * CELL
    x = parts["offset"][:, 0].numpy() * CELL + centres
    y = parts["offset"][:, 1].numpy() * CELL + centres[:, None]
    whole = {family: parts[family].softmax(1).numpy() for family in ("background", "light")}
    return [
        Percept(
            tuple(
                _sighting(confidence, weight, x[n], y[n], {family: values[n] for family, values in maps.items()})
                for confidence, weight in gather(objectness[n], x[n], y[n])
            ),
            _guess("background", whole["background"][n]),
            _guess("light", whole["light"][n]),
        )
        for n in range(len(objectness))
    ]


def _guess(family: str, probabilities: NDArray[np.float32]) -> Guess:
    best = int(probabilities.argmax())
    return Guess(VOCABULARY[family][best], float(probabilities[best]))


def gather(
    objectness: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]
) -> list[tuple[float, NDArray[np.float32]]]:
    """Gather cells that point at one centre into one object, the surest first.

    Parameters
    ----------
    objectness : array (8, 8)
        That an object's centre is near, 0 to 1.
    x, y : array (8, 8)
        The centre that each cell points at, in pixels.

    Returns
    -------
    list of (float, array (8, 8))
        For each of at most ``MOST`` objects its confidence, and the weights of the cells' votes, which sum to 1.
    """
    left = objectness.copy()
    found: list[tuple[float, NDArray[np.float32]]] = []
    while len(found) < MOST and left.max() >= SEEN:
        row, column = np.unravel_index(int(left.argmax()), left.shape)
        near = np.hypot(x - x[row, column], y - y[row, column]) < APART
        found.append((float(left.max()), np.where(near, left, 0) / left[near].sum()))
        left[near] = 0
    return found


def _sighting(
    confidence: float,
    weight: NDArray[np.float32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    maps: dict[str, NDArray[np.float32]],
) -> Sighting:
    guesses = {family: _guess(family, (values * weight).sum((1, 2))) for family, values in maps.items()}
    return Sighting(**guesses, x=float((x * weight).sum()), y=float((y * weight).sum()), confidence=confidence)
