"""What an answer claims, in the wordings that agents use."""

from __future__ import annotations

import pytest

from maia_kernel.bench.claims import Claim, conjunctions, read
from maia_kernel.driver.cells import Label


def sets(*concepts: str) -> set[frozenset[str]]:
    return {frozenset(concept.split()) for concept in concepts}


WORDINGS = {
    "red circles": sets("red circle"),
    "circles that are red": sets("red circle"),
    "red objects together with circles": sets("red circle"),
    "Red discs": sets("red circle"),
    "a circle in scarlet": sets("red circle"),
    "objects that are both red and circle-shaped": sets("red circle"),
    "**red circles**": sets("red circle"),
    "crosses or stars": sets("cross", "star"),
    "crosses OR stars OR rings": sets("cross", "star", "ring"),
    "crosses/stars": sets("cross", "star"),
    "discs, or grass": sets("circle", "grass"),
    "red or blue circles": sets("red circle", "blue circle"),
    "red or blue objects": sets("red", "blue"),
    "red or circles": sets("red", "circle"),
    "red circles or any star": sets("red circle", "star"),
    "circles on grass or sand": sets("circle grass", "circle sand"),
    "grass or sand backgrounds": sets("grass", "sand"),
    "night-time scenes": sets("night"),
    "objects in the dark": sets("night"),
    "dark red squares": sets("red square"),
    "polka-dotted things": sets("dotted"),
    "circles (not squares)": sets("circle"),
    "circles, not squares": sets("circle"),
    "circles of any colour": sets("circle"),
    "circles, especially red ones": sets("circle"),
    "circles regardless of colour, size or texture": sets("circle"),
    "Circles. The unit fires less for squares.": sets("circle"),
    "one red circle": sets("red circle"),
    "red objects on snow at night": sets("red snow night"),
    "(red) OR (circle)": sets("red", "circle"),
    "(red AND circle)": sets("red circle"),
    "[red circle]": sets("red circle"),
    "red OR (circle AND striped)": sets("red", "circle striped"),
    "(red or blue) AND circle": sets("red circle", "blue circle"),
    "red circles (0.9 and 0.8)": sets("red circle"),
    "Concept: red circles": sets("red circle"),
    "Unit 12: red circles": sets("red circle"),
    "colour: yellow": sets("yellow"),
    "shape: circle": sets("circle"),
    "texture - striped": sets("striped"),
    "top activations: circles": sets("circle"),
    "circles - mostly at night": sets("circle"),
    "at least one circle": sets("circle"),
    "one or more stars": sets("star"),
    "more active for large objects": sets("large"),
    "red things at least partly": sets("red"),
    "red object at the top of the image": sets("red"),
    "circles, whether or not striped": sets("circle"),
    "nothing but circles": sets("circle"),
    "red, blue or green objects": sets("red", "blue", "green"),
    "red, blue or green circles": sets("red circle", "blue circle", "green circle"),
    "stars, crescents, or hearts": sets("star", "crescent", "heart"),
    "small, red circles or stars": sets("small red circle", "star"),
    "circular objects": sets("circle"),
    "round red things": sets("red circle"),
    "triangular things": sets("triangle"),
    "no explanation found": set(),
    "no explanation found (red was weak)": set(),
    "no consistent preference among objects": set(),
    "I could not find what the objects share": set(),
    "not sure": set(),
    "the unit does not respond to any object": set(),
    "No single concept explains this unit; red is weak": set(),
    "none": set(),
    "unknown": set(),
    "dogs": set(),
    "objects": set(),
    "": set(),
    "SELECTIVE": set(),
}


@pytest.mark.parametrize("text", WORDINGS)
def test_a_label_is_read(text):
    found = conjunctions(text)
    assert {words for words, _ in found} == WORDINGS[text]
    assert not any(beyond for _, beyond in found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("three circles", "circle"),
        ("at least two red objects", "red"),
        ("red objects left of circles", "red circle"),
        ("circles above squares", "circle square"),
        ("red circles without stripes", "red circle"),
        ("red objects but not circles", "red"),
        ("two objects of the same colour on grass", "grass"),
        ("two or more stars", "star"),
        ("more than one circle", "circle"),
        ("more circles than squares", "circle square"),
        ("red AND (NOT circle)", "red"),
        ("objects without stripes", ""),
        ("three objects", ""),
        ("exactly two objects", ""),
        ("Concept: three objects", ""),
        ("scenes without red objects", ""),
        ("objects of the same colour", ""),
        ("absence of red", ""),
        ("anything but red", ""),
        ("lack of red", ""),
        ("non-red objects", ""),
        ("circles other than red ones", "circle"),
        ("no circles: red objects", ""),
    ],
)
def test_what_a_conjunction_cannot_say_is_marked(text, words):
    assert conjunctions(text) == [(frozenset(words.split()), True)]


def test_several_labels_are_joined_and_equal_ones_are_one():
    answer = read([Label("crosses", ()), Label("a cross", ()), Label("stars", ())])
    assert answer.concepts == sets("cross", "star")
    assert len(answer.claims) == 2


def test_an_abstention_beside_a_claim_is_no_claim():
    assert read([Label("red circles"), Label("nothing else")]).concepts == sets("red circle")
    assert read([Label("no explanation found")]).abstained
    assert read([]).abstained


def test_an_answer_is_as_confident_as_its_least_confident_claim():
    answer = read([Label("crosses", (), 0.9), Label("stars", (), 0.3), Label("discs", (), None)])
    assert answer.claims[0] == Claim(frozenset({"cross"}), 0.9)
    assert answer.confidence == 0.3
    assert read([Label("crosses")]).confidence == 1.0
    assert read([Label("a cross", (), 0.2), Label("crosses", (), 0.8)]).confidence == 0.8
