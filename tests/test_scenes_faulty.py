"""The faulty generator and editor fail as often as they say, remember what failed, and the check finds it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maia_kernel.errors import UnknownName
from maia_kernel.lab.generators import find_editor, find_generator
from maia_kernel.lab.images import dim, recall
from maia_kernel.lab.load import load
from maia_kernel.scenes.audit import audit
from maia_kernel.scenes.edits import edit
from maia_kernel.scenes.faulty import FAULT, FaultyPainter, FaultyRetoucher
from maia_kernel.scenes.language import text_of
from maia_kernel.scenes.scene import OBJECT_FAMILIES, Scene, present, random_scene
from maia_kernel.scenes.world import Painter, Retoucher, scene_of, shown

PROMPT = "a large red striped circle on grass at night"
SAID = ("large", "red", "striped", "circle", "grass", "night")


@pytest.fixture(scope="module")
def drawn():
    return FaultyPainter().generate([PROMPT] * 600, range(600))


def near(count, total, probability):
    """Within four standard deviations of what is expected."""
    return abs(count - total * probability) < 4 * math.sqrt(total * probability * (1 - probability))


# -- the generator ---------------------------------------------------------------------------------------------------


def test_each_attribute_is_ignored_in_a_tenth_of_the_pictures(drawn):
    for word in SAID:
        ignored = sum(word not in present(scene_of(image)) for image, _ in drawn)
        assert near(ignored, len(drawn), FAULT), word
    sound = sum(recall(image, "faults") == () for image, _ in drawn)
    assert near(sound, len(drawn), (1 - FAULT) ** len(SAID))


def test_what_was_ignored_is_remembered_and_not_told(drawn):
    for image, notes in drawn:
        shown_instead = present(scene_of(image))
        expected = {f"{word} ignored" for word in SAID if word not in shown_instead}
        assert {fault.partition(":")[0] for fault in recall(image, "faults")} == expected
        assert all(fault.split(": ")[1] in shown_instead for fault in recall(image, "faults"))
        assert notes == ()


def test_faults_are_a_function_of_the_seed_alone(drawn):
    again = FaultyPainter().generate([PROMPT] * 600, range(600))
    assert [recall(image, "faults") for image, _ in again] == [recall(image, "faults") for image, _ in drawn]
    assert [image.tobytes() for image, _ in again] == [image.tobytes() for image, _ in drawn]
    alone = FaultyPainter().generate(["a star", PROMPT], [3, 5])[1][0]
    assert alone.tobytes() == drawn[5][0].tobytes()


def test_what_is_not_ignored_is_as_the_flawless_painter_draws_it(drawn):
    flawless = Painter().generate([PROMPT] * 600, range(600))
    sound = [i for i, (image, _) in enumerate(drawn) if not recall(image, "faults")]
    assert all(drawn[i][0].tobytes() == flawless[i][0].tobytes() for i in sound)


def test_a_value_kept_out_is_not_drawn_instead():
    prompt = "a red circle, no white, no black, no blue, no green, no purple, no orange"
    colours = {scene_of(image).things[0].colour for image, _ in FaultyPainter().generate([prompt] * 200, range(200))}
    assert colours == {"red", "yellow"}


def test_notes_on_a_prompt_are_those_of_the_flawless_painter():
    prompts = ["a red dragon", "five dark stars", "", "no objects"] * 30
    notes = [[notes for _, notes in painter.generate(prompts, range(120))] for painter in (FaultyPainter(), Painter())]
    assert notes[0] == notes[1]


# -- the editor ------------------------------------------------------------------------------------------------------


def edited(instruction, count=600):
    """For each of many scenes of one object: before, the flawless result, the faulty one, its faults and notes."""
    retoucher = FaultyRetoucher()
    for seed in range(count):
        before = random_scene(f"faulty/{seed}", counts=(1,))
        text = instruction.format(shape=before.things[0].shape)
        right, _ = edit(before, text, seed)
        image, notes = retoucher.edit([shown(before)], [text], [seed])[0]
        yield before, right, scene_of(image), recall(image, "faults"), notes


def differing(one: Scene, other: Scene) -> set[str]:
    """Families in which two scenes of one object differ."""
    found = {family for family in ("background", "light") if getattr(one, family) != getattr(other, family)}
    return found | {f for f in OBJECT_FAMILIES if getattr(one.things[0], f) != getattr(other.things[0], f)}


def test_a_change_is_left_out_or_leaks_in_a_tenth_of_the_edits_each():
    left_out = leaked = total = 0
    for before, right, result, faults, notes in edited("paint the {shape} purple"):
        if before == right:
            assert faults == ()
            assert before == result
            continue
        total += 1
        wrong = differing(right, result)
        assert ("colour" in wrong) == ("purple not applied" in faults)
        assert bool(wrong) == bool(faults)
        assert len(wrong) == len(faults) <= 2
        assert notes == ()
        left_out += "purple not applied" in faults
        leaked += any(fault.startswith("leaked: ") for fault in faults)
    assert near(left_out, total, FAULT)
    assert near(leaked, total, FAULT)


def test_an_edit_of_two_attributes_may_be_done_by_half():
    outcomes = {
        tuple(sorted(differing(before, result)))
        for before, _, result, _, _ in edited("make the {shape} purple and dotted")
    }
    assert {("colour", "texture"), ("colour",), ("texture",)} <= outcomes


def test_an_object_may_stay_and_an_added_one_may_be_another():
    stayed = [faults for before, _, result, faults, _ in edited("remove the {shape}", 300) if result.things]
    assert near(len(stayed), 300, FAULT)
    assert all("not removed" in faults[0] for faults in stayed)
    added = [
        (right.things[-1], result.things[-1], faults) for _, right, result, faults, _ in edited("add a blue ring", 300)
    ]
    assert near(sum(new.shape != "ring" for _, new, _ in added), 300, FAULT)
    assert near(sum(new.colour != "blue" for _, new, _ in added), 300, FAULT)
    assert all((new == right) == (not any("ignored" in fault for fault in faults)) for right, new, faults in added)


def test_an_object_that_failed_to_grow_stays_where_it_was():
    for before, _, result, faults, _ in edited("make the {shape} large", 300):
        if "large not applied" in faults:
            assert (result.things[0].x, result.things[0].y) == (before.things[0].x, before.things[0].y)
            break
    else:
        pytest.fail("no such edit among 300")


def test_an_edit_that_matches_nothing_leaves_a_copy_that_blames_nobody():
    base = next(image for image, _ in FaultyPainter().generate([PROMPT] * 40, range(40)) if recall(image, "faults"))
    result, notes = FaultyRetoucher().edit([base], ["remove the dragon"], [0])[0]
    assert result.tobytes() == base.tobytes()
    assert recall(result, "faults") == () != recall(base, "faults")
    assert notes


def test_a_masked_or_foreign_picture_is_edited_as_the_flawless_editor_does():
    picture = shown(random_scene("masked", counts=(1,)))
    masked = dim(picture, np.zeros((64, 64), bool))
    for image in (masked, picture.copy().point(lambda value: value)):
        pairs = [one.edit([image], ["make it day"], [1])[0] for one in (Retoucher(), FaultyRetoucher())]
        assert pairs[0][1] == pairs[1][1]
        assert pairs[1][0].size == (64, 64)
    assert text_of(scene_of(picture))


# -- both ------------------------------------------------------------------------------------------------------------


def test_they_are_found_by_name_and_told_from_the_flawless_ones():
    painter, retoucher = find_generator("scenes-faulty"), find_editor("scenes-faulty")
    assert (painter.name, retoucher.name) == ("scenes-faulty", "scenes-faulty")
    assert len({painter.revision, retoucher.revision, Painter().revision, Retoucher().revision}) == 4
    assert (painter.vocabulary, painter.grammar) == (Painter.vocabulary, Painter.grammar)
    with pytest.raises(UnknownName, match="scenes-faulty"):
        find_generator("scenes-faulti")


def test_the_check_names_the_pictures_that_failed(capsys):
    _, tools = load("scenes", "layer3", 17, generator="scenes-faulty", editor="scenes-faulty")
    capsys.readouterr()
    scores = audit(tools)
    assert capsys.readouterr().out == ""
    assert [scores[name]["pictures"] for name in ("prompts", "edits", "all")] == [200, 100, 300]
    for score in scores.values():
        assert score["failed"] > 10
        assert score["precision"] > 0.95
        assert score["recall"] > 0.95


def test_the_check_raises_almost_no_alarm_where_nothing_fails():
    _, tools = load("scenes", "layer3", 17)
    score = audit(tools)["all"]
    assert (score["pictures"], score["failed"]) == (300, 0)
    assert score["named"] <= 9
