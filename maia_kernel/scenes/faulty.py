"""A generator and an editor that fail as real diffusion models do: they ignore what was asked for, and edits leak.

They say nothing about it in their notes. What went wrong is remembered on the picture, ``recall(image, "faults")``, as
short texts, none where nothing went wrong. All of it is a pure function of the seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from maia_kernel.lab.images import remember
from maia_kernel.scenes import edits, language
from maia_kernel.scenes.language import Phrase, Request
from maia_kernel.scenes.scene import (
    OBJECT_FAMILIES,
    RADIUS,
    SIDE,
    TIGHTEST,
    VOCABULARY,
    Scene,
    Thing,
    clearance,
    draw,
    pick,
)
from maia_kernel.scenes.world import PICTURES, WORDS, Painter, Retoucher, revision_of, scene_in, shown

FAULT = 0.1  # probability that one attribute asked for is ignored, and that an edit changes one more
_SCENERY = ("background", "light")


class FaultyPainter(Painter):
    """A painter that ignores each attribute that a prompt names with probability ``FAULT``.

    It draws another value instead, from the seed. Attributes as those of ``Painter``.
    """

    name = "scenes-faulty"

    def __init__(self) -> None:
        self.revision = revision_of(*PICTURES, *WORDS, "faulty")

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[tuple[Image.Image, tuple[str, ...]]]:
        """One image per prompt and seed, as ``Painter`` gives them, faults included."""
        drawn = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            request, faults = _ignoring(language.parse(prompt), seed)
            scene, notes = language.scene_of(request, seed)
            drawn.append((remember(shown(scene), faults=faults), notes))
        return drawn


class FaultyRetoucher(Retoucher):
    """An editor that does not apply each asked change, and changes one more attribute, with probability ``FAULT``.

    What it changes unasked belongs to an object that it edits, or to the scene; to any object where it edits none.
    Attributes as those of ``Retoucher``.
    """

    name = "scenes-faulty"

    def __init__(self) -> None:
        super().__init__()
        self.revision = f"{self.revision}-{revision_of('faulty')}"

    def _edit(self, image: Image.Image, instruction: str, seed: int) -> tuple[Image.Image, tuple[str, ...]]:
        scene, reading = scene_in(image)
        edited, notes = edits.edit(scene, instruction, seed)
        if edited == scene:  # a copy: what the picture remembers of its own making is not this edit's
            return remember(image.copy(), faults=()), notes
        spoiled, faults = _spoiled(scene, edited, instruction, seed)
        return remember(shown(spoiled), faults=faults), (*reading, *notes)


def _ignoring(request: Request, seed: object) -> tuple[Request, tuple[str, ...]]:
    """The request with other values in place of those that are ignored, and what was ignored."""
    faults: list[str] = []
    phrases = tuple(
        Phrase(_drawn_instead(phrase.said, faults, request.excluded, seed, i), phrase.count)
        for i, phrase in enumerate(request.phrases)
    )
    said = {family: getattr(request, family) for family in _SCENERY if getattr(request, family)}
    scenery: dict[str, Any] = _drawn_instead(said, faults, request.excluded, seed)
    return replace(request, phrases=phrases, **scenery), tuple(faults)


def _drawn_instead(
    said: Mapping[str, str], faults: list[str], excluded: Iterable[str], *keys: object
) -> dict[str, str]:
    values = dict(said)
    for family, value in said.items():
        other = _other(family, {value, *excluded}, *keys)
        if other and draw(*keys, family, "ignored") < FAULT:
            values[family] = other
            faults.append(f"{value} ignored: {other}")
    return values


def _other(family: str, but: Iterable[str], *keys: object) -> str:
    """A value that is none of these; empty where there is none."""
    allowed = [value for value in VOCABULARY[family] if value not in set(but)]
    return pick(allowed, *keys, family, "instead") if allowed else ""


# -- edits ----------------------------------------------------------------------------------------------------------


def _spoiled(before: Scene, after: Scene, instruction: str, seed: object) -> tuple[Scene, tuple[str, ...]]:
    """What becomes of a flawless edit, and what went wrong with it."""
    faults: list[str] = []
    origins = _origins(before.things, after.things)
    things: list[Thing] = []
    edited: set[int] = set()  # positions in ``things`` of the objects that were to be changed
    asked: dict[int, set[str]] = {}
    for i, old in enumerate(before.things):
        if i not in origins:
            if draw(seed, i, "unremoved") < FAULT:
                faults.append(f"{old.shape} not removed")
                things.append(old)
            continue
        new = after.things[origins[i]]
        changed = {family for family in OBJECT_FAMILIES if getattr(new, family) != getattr(old, family)}
        if changed:
            edited.add(len(things))
        asked[len(things)] = changed
        things.append(_half_changed(old, new, changed, faults, seed, i))
    for k, new in enumerate(after.things):
        if k not in origins.values():
            things.append(_half_added(new, things, instruction, faults, seed, k))
    scenery: dict[str, Any] = {}
    for family in _SCENERY:
        value = getattr(after, family)
        if value != getattr(before, family) and draw(seed, family, "unapplied") < FAULT:
            faults.append(f"{value} not applied")
            value = getattr(before, family)
        scenery[family] = value
    scene = replace(after, things=tuple(things), **scenery)
    kept = {family for family in _SCENERY if getattr(after, family) == getattr(before, family)}
    places = [(i, family) for i in sorted(edited or asked) for family in OBJECT_FAMILIES if family not in asked[i]]
    if draw(seed, "leak") < FAULT:
        scene = _leaked(scene, [*places, *((-1, family) for family in sorted(kept))], faults, seed)
    return scene, tuple(faults)


def _origins(before: Sequence[Thing], after: Sequence[Thing]) -> dict[int, int]:
    """From the number of each object that an edit kept to its number afterwards.

    Objects keep their order and tilt, and their place unless they grew.
    """
    found: dict[int, int] = {}
    start = 0
    for k, new in enumerate(after):
        for i in range(start, len(before)):
            old = before[i]
            here = (old.x, old.y) == (new.x, new.y) or RADIUS[new.size] > RADIUS[old.size]
            if old.angle == new.angle and here:
                found[i], start = k, i + 1
                break
    return found


def _half_changed(old: Thing, new: Thing, changed: set[str], faults: list[str], *keys: object) -> Thing:
    for family in sorted(changed):
        if draw(*keys, family, "unapplied") < FAULT:
            faults.append(f"{getattr(new, family)} not applied")
            values: dict[str, Any] = {family: getattr(old, family)}
            new = replace(new, **values)
            if family == "size":  # it need not move aside
                new = replace(new, x=old.x, y=old.y)
    return new


def _half_added(new: Thing, others: Sequence[Thing], instruction: str, faults: list[str], *keys: object) -> Thing:
    named = {(family, value) for phrase in language.parse(instruction).phrases for family, value in phrase.said.items()}
    for family in OBJECT_FAMILIES:
        value = getattr(new, family)
        other = _other(family, {value, *_too_large(family, new, others)}, *keys)
        if other and (family, value) in named and draw(*keys, family, "ignored") < FAULT:
            faults.append(f"{value} ignored: {other}")
            values: dict[str, Any] = {family: other}
            new = replace(new, **values)
    return new


def _leaked(scene: Scene, places: Sequence[tuple[int, str]], faults: list[str], seed: object) -> Scene:
    """The scene with one of these attributes changed; an object is named by its number, the scene by -1."""
    if not places:
        return scene
    number, family = places[int(draw(seed, "leak", "place") * len(places))]
    owner: Thing | Scene = scene if number < 0 else scene.things[number]
    value = getattr(owner, family)
    others = [thing for i, thing in enumerate(scene.things) if i != number]
    too_large = _too_large(family, owner, others) if isinstance(owner, Thing) else []
    other = _other(family, {value, *too_large}, seed, "leak")
    if not other:
        return scene
    faults.append(f"leaked: {other} for {value}")
    values: dict[str, Any] = {family: other}
    if isinstance(owner, Scene):
        return replace(scene, **values)
    things = list(scene.things)
    things[number] = replace(owner, **values)
    return replace(scene, things=tuple(things))


def _too_large(family: str, thing: Thing, others: Sequence[Thing]) -> list[str]:
    """Sizes for which there is no room where the object stands."""
    taken = [(other.x, other.y, RADIUS[other.size]) for other in others]
    edge = min(thing.x, thing.y, SIDE - thing.x, SIDE - thing.y)
    return [
        size
        for size, radius in RADIUS.items()
        if family == "size" and (edge < radius or clearance(thing.x, thing.y, radius, taken) < TIGHTEST)
    ]
