"""Blind description: from pixels alone, hedged where unsure, and through a mask where there is one."""

import numpy as np
import pytest
from PIL import Image

from maia_kernel.lab.images import remember
from maia_kernel.scenes.captions import View, describe, scene_seen, summarize, views
from maia_kernel.scenes.language import parse, scene_of
from maia_kernel.scenes.perception import Guess, Percept, Sighting, perceive
from maia_kernel.scenes.render import picture
from maia_kernel.scenes.scene import OBJECT_FAMILIES, SIDE, Scene, Thing, random_scene

PAIR = Scene(
    (Thing("circle", "red", "striped", "large", 18.0, 20.0), Thing("star", "blue", "plain", "small", 48.0, 46.0)),
    "grass",
    "night",
)


def masked(scene, keep):
    """A picture as the lab masks it: the original remembered, the rest dimmed to a quarter."""
    original = picture(scene)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[keep] = True
    dimmed = np.where(mask[..., None], np.asarray(original), np.asarray(original) // 4).astype(np.uint8)
    return remember(Image.fromarray(dimmed), original=original, mask=mask)


def seen(value="circle", confidence=1.0, **guesses):
    sure = {
        "shape": Guess(value, confidence),
        "colour": Guess("red", 1.0),
        "texture": Guess("plain", 1.0),
        "size": Guess("small", 1.0),
    }
    return Sighting(**{**sure, **guesses}, x=32.0, y=32.0, confidence=1.0)


def test_descriptions_name_objects_from_large_to_small():
    assert (
        describe(views([picture(PAIR)])[0])
        == "a large red striped circle and a small blue plain star on grass at night"
    )


def test_most_attributes_of_unseen_scenes_are_right():
    scenes = [random_scene(f"look/{seed}") for seed in range(64)]
    right = total = found = things = 0
    for scene, percept in zip(scenes, perceive([picture(scene) for scene in scenes]), strict=True):
        for thing in scene.things:
            near = [s for s in percept.sightings if np.hypot(s.x - thing.x, s.y - thing.y) < 5]
            things, found = things + 1, found + len(near[:1])
            total += len(OBJECT_FAMILIES) * len(near[:1])
            right += sum(getattr(s, f).value == getattr(thing, f) for s in near[:1] for f in OBJECT_FAMILIES)
    assert found / things > 0.97
    assert right / total > 0.93


def test_perception_never_peeks_at_the_scene():
    image = picture(PAIR)
    liar = remember(image.copy(), scene=random_scene(1))
    assert describe(views([liar])[0]) == describe(views([image])[0])


def test_a_mask_on_an_object_shows_that_object_only():
    image = masked(PAIR, np.s_[8:32, 6:30])
    assert describe(views([image])[0]) == "a large red striped circle"


def test_a_mask_on_the_ground_shows_the_ground():
    assert describe(views([masked(PAIR, np.s_[50:62, 2:14])])[0]) == "grass at night"
    assert describe(views([picture(Scene((), "grass", "night"))])[0]) == "no objects on grass at night"


def test_a_mask_on_an_edge_shows_the_object_and_the_ground_beside_it():
    text = describe(views([masked(PAIR, np.s_[24:34, 26:40])])[0])
    assert text.endswith(" on grass at night")
    assert "circle" in text


def test_a_mask_that_keeps_nothing_shows_nothing():
    assert describe(views([masked(PAIR, np.s_[0:0, 0:0])])[0]) == "nothing"


def test_words_it_is_unsure_of_are_hedged():
    percept = Percept((seen(confidence=0.5),), Guess("sand", 0.9), Guess("dusk", 0.4))
    text = describe(View(percept.sightings, percept.background, percept.light))
    assert text == "a small red plain perhaps circle on sand perhaps at dusk"


def test_summaries_count_what_most_pictures_share():
    images = [picture(scene_of(parse("a large red circle on snow by day"), seed)[0]) for seed in range(4)]
    images += [picture(scene_of(parse("a small blue star on snow at night"), 0)[0])]
    text = summarize(views(images))
    assert text.startswith("[COMMON]: snow (5 of 5)")
    assert "circle (4 of 5)" in text
    assert "star" not in text
    assert summarize([]) == "[COMMON]: nothing that more than half of the images show"


def test_a_scene_is_read_back_with_its_places():
    scene = scene_seen(perceive([picture(PAIR)])[0])
    assert (scene.background, scene.light) == ("grass", "night")
    for read, true in zip(sorted(scene.things, key=lambda t: t.x), PAIR.things, strict=True):
        assert (read.shape, read.colour, read.texture, read.size) == (true.shape, true.colour, true.texture, true.size)
        assert (read.x, read.y) == (pytest.approx(true.x, abs=1.5), pytest.approx(true.y, abs=1.5))
