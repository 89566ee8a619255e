"""Scenes as values: stable draws, room between objects, JSON."""

import itertools
import json
import math

import pytest

from maia_kernel.errors import BadCall
from maia_kernel.scenes.scene import (
    MOST,
    RADIUS,
    SIDE,
    TIGHTEST,
    VOCABULARY,
    Scene,
    Thing,
    draw,
    free_spot,
    from_json,
    present,
    random_scene,
    to_json,
)


def apart(scene):
    """Smallest centre distance over the sum of radii."""
    pairs = itertools.combinations(scene.things, 2)
    return min((math.hypot(a.x - b.x, a.y - b.y) / (RADIUS[a.size] + RADIUS[b.size]) for a, b in pairs), default=9)


def test_draws_are_pinned_to_their_keys():
    assert draw("gallery/0", "count") == pytest.approx(0.42653518649146255, abs=1e-15)
    assert draw("a", 1) != draw("a", 2)


def test_objects_stay_inside_and_apart():
    for seed in range(300):
        scene = random_scene(f"room/{seed}", counts=(1, 2, 3, 4))
        assert apart(scene) >= TIGHTEST
        assert all(RADIUS[t.size] < t.x < SIDE - RADIUS[t.size] for t in scene.things)
        assert all(RADIUS[t.size] < t.y < SIDE - RADIUS[t.size] for t in scene.things)


def test_every_word_of_the_vocabulary_is_drawn_evenly():
    seen = [random_scene(f"even/{seed}") for seed in range(600)]
    for family in ("background", "light"):
        for value in VOCABULARY[family]:
            share = sum(getattr(scene, family) == value for scene in seen) / len(seen)
            assert share == pytest.approx(1 / len(VOCABULARY[family]), abs=0.07)
    assert {len(scene.things) for scene in seen} == {1, 2, 3}
    assert frozenset().union(*map(present, seen)) == frozenset(v for values in VOCABULARY.values() for v in values)


def test_a_scene_survives_json():
    scene = random_scene(5)
    assert from_json(json.loads(json.dumps(to_json(scene)))) == scene


@pytest.mark.parametrize(
    ("change", "message"),
    [({"light": "noon"}, "choose from day, dusk, night"), ({"things": [{}]}, "not a scene")],
)
def test_what_is_no_scene_is_named(change, message):
    with pytest.raises(BadCall, match=message):
        from_json({**to_json(random_scene(5)), **change})


def test_one_more_object_finds_room_or_none():
    two = random_scene("two", counts=(2,))
    x, y = free_spot(two, "small", 0)
    more = Scene((*two.things, Thing("star", "red", "plain", "small", x, y)), two.background, two.light)
    assert apart(more) >= TIGHTEST
    packed = Scene(
        tuple(Thing("circle", "red", "plain", "large", x, y) for x in (16, 48) for y in (16, 48)), "sand", "day"
    )
    assert len(packed.things) == MOST
    assert free_spot(packed, "large", 0) is None
