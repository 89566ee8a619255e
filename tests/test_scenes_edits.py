"""Edit instructions: many phrasings, minimal pairs, and a word about whatever does not match."""

from dataclasses import replace

import pytest

from maia_kernel.scenes.edits import edit
from maia_kernel.scenes.language import parse, scene_of, text_of
from maia_kernel.scenes.scene import RADIUS, SIDE, TIGHTEST, Scene, Thing, clearance, pick

CIRCLE, SQUARE, STAR = "a small red plain circle", "a medium green striped square", "a large blue dotted star"
START = scene_of(parse(f"{CIRCLE}, {SQUARE} and {STAR} on grass by day"), 3)[0]


def after(instruction, scene=START):
    edited, notes = edit(scene, instruction, 1)
    return text_of(edited), notes


def text(circle=CIRCLE, square=SQUARE, star=STAR, place="grass by day"):
    things = [thing for thing in (circle, square, star) if thing]
    return f"{', '.join(things[:-1])}{' and ' if things[:-1] else ''}{things[-1]} on {place}"


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("replace the circle with a star", text(circle="a small red plain star")),
        ("Swap the red circle for a small yellow cross.", text(circle="a small yellow plain cross")),
        ("turn the circle into a heart", text(circle="a small red plain heart")),
        ("change the circle to a ring", text(circle="a small red plain ring")),
        ("substitute a heart for the star", text(star="a large blue dotted heart")),
        ("a heart instead of the star", text(star="a large blue dotted heart")),
        ("make the circle a triangle", text(circle="a small red plain triangle")),
        ("change the colour of the square to blue", text(square="a medium blue striped square")),
        ("change the color of the green square from green to blue", text(square="a medium blue striped square")),
        ("change the square's colour to blue", text(square="a medium blue striped square")),
        ("make the square blue", text(square="a medium blue striped square")),
        ("paint the square blue", text(square="a medium blue striped square")),
        ("the square should be blue", text(square="a medium blue striped square")),
        ("change green to blue", text(square="a medium blue striped square")),
        ("make the red one yellow", text(circle="a small yellow plain circle")),
        ("change the texture of the star to striped", text(star="a large blue striped star")),
        ("replace the dots with stripes", text(star="a large blue striped star")),
        ("add stripes to the circle", text(circle="a small red striped circle")),
        ("give the circle stripes", text(circle="a small red striped circle")),
        ("remove the stripes from the square", text(square="a medium green plain square")),
        ("remove the stripes", text(square="a medium green plain square")),
        ("make the star small", text(star="a small blue dotted star")),
        ("make the star smaller", text(star="a medium blue dotted star")),
        ("shrink the star", text(star="a medium blue dotted star")),
        ("make the star small and red", text(star="a small red dotted star")),
        ("remove the star", text(star="")),
        ("please erase the blue star from the picture", text(star="")),
        ("get rid of the large star", text(star="")),
        ("make the background water", text(place="water by day")),
        ("change the background from grass to water", text(place="water by day")),
        ("replace the grass with water", text(place="water by day")),
        ("put it on snow", text(place="snow by day")),
        ("make it night", text(place="grass at night")),
        ("change the lighting to dusk", text(place="grass at dusk")),
        ("turn day into night", text(place="grass at night")),
        ("make the scene take place at night", text(place="grass at night")),
        ("at night", text(place="grass at night")),
        ("remove the star and make it night", text(star="", place="grass at night")),
        ("remove the star, then make the circle blue", text(circle="a small blue plain circle", star="")),
        ("remove all objects", "no objects on grass by day"),
        (
            "make everything black",
            text(*(t.replace(c, "black") for t, c in ((CIRCLE, "red"), (SQUARE, "green"), (STAR, "blue")))),
        ),
    ],
)
def test_instructions_are_followed(instruction, expected):
    assert after(instruction) == (expected, ())


def test_an_edit_is_a_minimal_pair():
    edited, _ = edit(START, "replace the circle with a star", 1)
    assert edited == replace(START, things=(replace(START.things[0], shape="star"), *START.things[1:]))


def test_added_objects_move_nothing_and_have_room():
    edited, notes = edit(START, "add a small red ring", 1)
    new = edited.things[-1]
    assert (edited.things[:-1], notes) == (START.things, ())
    assert (new.size, new.colour, new.shape) == ("small", "red", "ring")
    assert clearance(new.x, new.y, RADIUS["small"], [(t.x, t.y, RADIUS[t.size]) for t in START.things]) >= TIGHTEST
    assert len({edit(START, "add a small red ring", seed)[0].things[-1].x for seed in range(8)}) > 1


def test_what_grows_moves_only_to_have_room():
    corner = Scene((Thing("star", "red", "plain", "small", 9.0, 9.0),), "sand", "day")
    edited, notes = edit(corner, "make the star large", 0)
    assert edited.things[0].x == pytest.approx(RADIUS["large"] + 1.5)
    assert "moved" in notes[0]
    middle = Scene((replace(corner.things[0], x=SIDE / 2, y=SIDE / 2),), "sand", "day")
    assert edit(middle, "enlarge the star", 0) == (
        replace(middle, things=(replace(middle.things[0], size="medium"),)),
        (),
    )


@pytest.mark.parametrize(
    ("instruction", "note"),
    [
        ("make the heart blue", "nothing matches 'the heart': no such object is in the picture"),
        ("remove the yellow circle", "nothing matches"),
        ("replace the water with snow", "nothing matches 'water'"),
        ("make the circle red", "nothing changes"),
        ("make it day", "already"),
        ("add a dragon", "does not know the word 'dragon'"),
        ("frobnicate the circle", "does not understand the instruction"),
        ("remove the background", "cannot be removed"),
        ("", "does not understand"),
    ],
)
def test_what_does_not_match_is_reported_and_changes_nothing(instruction, note):
    edited, notes = edit(START, instruction, 0)
    assert edited == START
    assert any(note in one for one in notes)
    assert all("\n" not in one for one in notes)


def test_ambiguous_instructions_change_all_and_say_so():
    twins = scene_of(parse("two small red plain circles on sand by day"), 0)[0]
    assert after("make the circle blue", twins)[0] == (
        "a small blue plain circle and a small blue plain circle on sand by day"
    )
    assert "2 objects match" in after("make the circle blue", twins)[1][0]
    assert after("make both circles blue", twins)[1] == ()
    assert after("remove one of the circles", twins) == ("a small red plain circle on sand by day", ())


def test_a_fifth_object_is_refused():
    four = scene_of(parse("four small circles"), 0)[0]
    assert edit(four, "add a star", 0) == (four, edit(four, "add a star", 0)[1])
    assert "at most 4 objects" in edit(four, "add a star", 0)[1][0]


def test_no_jumble_of_words_is_silently_ignored():
    words = [
        "make",
        "turn",
        "replace",
        "with",
        "the",
        "all",
        "circle",
        "star",
        "red",
        "it",
        "night",
        "background",
        "add",
    ]
    words += ["remove", "to", "into", "one", "larger", "stripes", ",", "then", "change", "colour", "dragon", "on", "no"]
    for seed in range(600):
        sentence = " ".join(pick(words, seed, i) for i in range(2 + seed % 6))
        edited, notes = edit(START, sentence, seed)
        assert edited != START or notes, sentence
