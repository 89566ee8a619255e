"""Percepts to words: blind descriptions of pictures, of the unmasked part only where a mask is remembered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maia_kernel.lab.images import original_of, recall
from maia_kernel.scenes.language import LIGHT_PHRASES, enumerated, object_text
from maia_kernel.scenes.perception import Guess, Percept, Sighting, perceive
from maia_kernel.scenes.scene import MOST, OBJECT_FAMILIES, RADIUS, SIDE, VOCABULARY, Scene, Thing

UNSURE = 0.6  # below this confidence a word is preceded by "perhaps"
INSIDE = 0.3  # of an object's disc in the mask, from which on the object counts
FILLS = 0.15  # of the mask in an object's disc, from which on it counts as well: units often fire at an object's edge
GROUND = 0.5  # of the mask outside the discs of these objects, from which on background and light count
_SIZES = ("large", "medium", "small")


@dataclass(frozen=True)
class View:
    """What of a picture is to be described.

    Attributes
    ----------
    sightings : tuple of Sighting
        From large to small, then from left to right.
    background, light : Guess or None
        None where a mask shows little besides objects: then the rest of the picture is not what it is about.
    masked : bool
        Whether only a part of the picture is seen.
    """

    sightings: tuple[Sighting, ...]
    background: Guess | None
    light: Guess | None
    masked: bool = False


def views(images: Sequence[Image.Image]) -> list[View]:
    """Look at pictures. A masked picture is seen through its mask, on the original that it was made from."""
    percepts = perceive([original_of(image) for image in images])
    return [_view(percept, recall(image, "mask")) for image, percept in zip(images, percepts, strict=True)]


def _view(percept: Percept, mask: NDArray[np.bool_] | None) -> View:
    seen = sorted(percept.sightings, key=lambda s: (_SIZES.index(s.size.value), s.x))
    if mask is None:
        return View(tuple(seen), percept.background, percept.light)
    shown = np.asarray(mask, dtype=bool)
    discs = {sighting: _disc(sighting, shown.shape) for sighting in seen}
    kept = tuple(sighting for sighting, disc in discs.items() if _is_shown(disc, shown))
    ground = shown & ~np.any([discs[sighting] for sighting in kept], axis=0) if kept else shown
    if ground.sum() < GROUND * shown.sum() or not shown.any():
        return View(kept, None, None, masked=True)
    return View(kept, percept.background, percept.light, masked=True)


def _disc(sighting: Sighting, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows, columns = ((np.arange(n) + 0.5) * SIDE / n for n in shape)
    distance = np.hypot(columns - sighting.x, rows[:, None] - sighting.y)
    return np.asarray(distance <= RADIUS[sighting.size.value])


def _is_shown(disc: NDArray[np.bool_], mask: NDArray[np.bool_]) -> bool:
    both = float((disc & mask).sum())
    return both >= INSIDE * max(int(disc.sum()), 1) or both >= FILLS * max(int(mask.sum()), 1)


def describe(image_view: View) -> str:
    """A view in words, "a large red striped circle on perhaps grass at night"; "nothing" where all is masked.

    A mask that keeps ground alone gives "grass at night"; "no objects on grass at night" is said of whole pictures.
    """
    things = [
        object_text({family: _hedged(getattr(sighting, family)) for family in OBJECT_FAMILIES})
        for sighting in image_view.sightings
    ]
    words = [enumerated(things)] if things else []
    if image_view.background and image_view.light:
        light = image_view.light
        if things:
            words += ["on"]
        elif not image_view.masked:  # behind a mask there may be objects
            words += ["no objects on"]
        words += [_hedged(image_view.background)]
        words += [("perhaps " if light.confidence < UNSURE else "") + LIGHT_PHRASES[light.value]]
    return " ".join(words) or "nothing"


def _hedged(guess: Guess) -> str:
    return guess.value if guess.confidence >= UNSURE else f"perhaps {guess.value}"


def summarize(image_views: Sequence[View]) -> str:
    """What pictures have in common: every word seen surely in more than half of them, the most frequent first."""
    counts: Counter[str] = Counter()
    for view in image_views:
        guesses = [getattr(sighting, family) for sighting in view.sightings for family in OBJECT_FAMILIES]
        guesses += [guess for guess in (view.background, view.light) if guess]
        counts.update({guess.value for guess in guesses if guess.confidence >= UNSURE})
    total = len(image_views)
    order = [word for words in VOCABULARY.values() for word in words]
    common = sorted((w for w in order if 2 * counts[w] > total), key=lambda w: (-counts[w], order.index(w)))
    listed = ", ".join(f"{word} ({counts[word]} of {total})" for word in common)
    return f"[COMMON]: {listed or 'nothing that more than half of the images show'}"


def scene_seen(percept: Percept) -> Scene:
    """The scene that a picture seems to show; tilts and the grain of the background are not seen and become 0."""
    things = tuple(
        Thing(
            **{family: getattr(sighting, family).value for family in OBJECT_FAMILIES},
            x=round(min(max(sighting.x, 0.0), SIDE), 2),
            y=round(min(max(sighting.y, 0.0), SIDE), 2),
        )
        for sighting in percept.sightings[:MOST]
    )
    return Scene(things, percept.background.value, percept.light.value)
