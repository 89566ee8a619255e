"""Prompts: what is said is drawn, what is open varies, what is unknown is reported."""

import pytest

from maia_kernel.scenes.language import parse, scene_of, text_of
from maia_kernel.scenes.scene import MOST, pick, random_scene


def objects(text):
    return [
        " ".join(phrase.said.get(f, "") for f in ("size", "colour", "texture", "shape")).split()
        for phrase in parse(text).phrases
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a large red striped circle and a small blue star", ["large red striped circle", "small blue star"]),
        ("striped circle, red, large", ["large red striped circle"]),
        ("a circle that is red and striped", ["red striped circle"]),
        ("a circle with stripes", ["striped circle"]),
        ("a circle with a red colour and a checkerboard texture", ["red checkered circle"]),
        ("a red circle without a pattern", ["red plain circle"]),
        ("a heart-shaped thing", ["heart"]),
        ("a square object and a star shape", ["square", "star"]),
        ("a huge violet disc", ["large purple circle"]),
        ("a tiny polka-dot donut", ["small dotted ring"]),
        ("a medium-sized half moon", ["medium crescent"]),
        ("circle and star, both red", ["red circle", "red star"]),
        ("red circle blue star", ["red circle", "blue star"]),
        ("a red object", ["red"]),
        ("green", ["green"]),
    ],
)
def test_objects_are_read(text, expected):
    assert objects(text) == [words.split() for words in expected]
    assert parse(text).notes == ()


@pytest.mark.parametrize(
    ("text", "background", "light"),
    [
        ("a star on the lawn at sunset", "grass", "dusk"),
        ("at night, in the sea, a star", "water", "night"),
        ("wooden planks by day", "wood", "day"),
        ("a circle in the dark on a sandy beach", "sand", "night"),
        ("a photo of a snowy brick", "snow", ""),
    ],
)
def test_backgrounds_and_lights_are_read(text, background, light):
    assert (parse(text).background, parse(text).light) == (background, light)


@pytest.mark.parametrize(
    ("text", "counts"),
    [("two circles", {2}), ("3 red stars and a ring", {4}), ("circles", {2, 3}), ("one heart", {1}), ("grass", {1})],
)
def test_numbers_are_counted(text, counts):
    assert {len(scene_of(parse(text), seed)[0].things) for seed in range(12)} == counts


@pytest.mark.parametrize(
    "text", ["an empty beach", "no objects on sand", "sand without any objects", "nothing on sand"]
)
def test_empty_scenes_can_be_asked_for(text):
    scene, notes = scene_of(parse(text), 0)
    assert (scene.things, scene.background, notes) == ((), "sand", ())


def test_what_is_open_varies_and_what_is_said_does_not():
    scenes = [scene_of(parse("a circle"), seed)[0] for seed in range(20)]
    assert {scene.things[0].shape for scene in scenes} == {"circle"}
    for family in ("colour", "texture", "size"):
        assert len({getattr(scene.things[0], family) for scene in scenes}) >= 3
    assert len({scene.background for scene in scenes}) >= 3
    assert len({(scene.things[0].x, scene.things[0].y) for scene in scenes}) == 20


def test_prompts_that_differ_in_one_word_differ_in_one_attribute():
    red, blue = (scene_of(parse(f"a {colour} circle"), 4)[0] for colour in ("red", "blue"))
    assert text_of(red).replace("red", "blue") == text_of(blue)
    assert (red.things[0].x, red.grain) == (blue.things[0].x, blue.grain)


def test_negated_values_are_never_drawn():
    scenes = [scene_of(parse("a circle without stripes, not red, no snow"), seed)[0] for seed in range(60)]
    assert not {"striped", "red", "snow"} & {
        word for scene in scenes for word in (scene.things[0].texture, scene.things[0].colour, scene.background)
    }


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("a dragon on grass", "does not know the word 'dragon'"),
        ("a red and blue circle", "'blue' is ignored beside 'red'"),
        ("a circle to the left of a star", "'left' is ignored"),
        ("a circle on a blue background", "'blue' is ignored"),
        ("a circle, white background", "'white' is ignored"),
        ("a dark red circle", "'dark' is ignored"),
        ("a black circle with white dots", "'white' is ignored"),
        ("a circle or a star", "'or' is read as 'and'"),
        ("grass or water", "'water' is ignored beside 'grass'"),
        ("nine stars", "does not know the word 'nine'"),
        ("9 stars", f"at most {MOST} objects"),
        ("grass", "names no object"),
    ],
)
def test_what_has_no_meaning_is_reported(text, note):
    assert any(note in one for one in scene_of(parse(text), 0)[1])


def test_any_jumble_of_words_is_read():
    words = ["a", "two", "no", "and", "on", ",", "red", "circle", "stars", "object", "both", "without", "striped"]
    words += ["background", "grass", "night", "dragon", "or", "all", "dots"]
    for seed in range(300):
        text = " ".join(pick(words, seed, i) for i in range(9))
        scene, notes = scene_of(parse(text), seed)
        assert len(scene.things) <= MOST
        assert all(note and "\n" not in note for note in notes)


def test_texts_of_scenes_are_read_back():
    for seed in range(200):
        scene = random_scene(f"text/{seed}", counts=(0, 1, 2, 3, 4))
        again, notes = scene_of(parse(text_of(scene)), 1)
        assert (text_of(again), notes) == (text_of(scene), ())
