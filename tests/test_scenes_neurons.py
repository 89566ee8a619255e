"""The truth about the synthetic neurons: as listed, made from a seed, and what the network computes from pixels."""

import subprocess
import sys

import pytest
import torch

from maia_kernel.errors import BadCall, UsageError
from maia_kernel.lab.models import load_model
from maia_kernel.lab.system import System
from maia_kernel.scenes import neurons as truth
from maia_kernel.scenes.neurons import BOUND, LAYERS, UNITS, Neuron, mixed, neurons
from maia_kernel.scenes.render import picture
from maia_kernel.scenes.responses import Eye, Units, build
from maia_kernel.scenes.scene import ATTRIBUTES, OBJECT_FAMILIES, VOCABULARY, Scene, Thing, random_scene

FAMILY = {word: family for family, words in VOCABULARY.items() for word in words}


def test_each_layer_has_its_units_and_no_two_are_alike():
    for layer, units in neurons().items():
        assert len(units) == UNITS >= 30
        assert len({(unit.form, unit.words, unit.count) for unit in units}) == UNITS
        assert all(unit.kind == layer for unit in units)
    assert {unit.words[0] for unit in neurons()["mono"]} == set(ATTRIBUTES)


def test_some_conjunctions_want_one_object_and_the_list_says_which():
    bound = [unit.form == "object" for unit in neurons()["and"]]
    assert bound == [True] * BOUND + [False] * (UNITS - BOUND)
    assert "on one object" in neurons()["and"][0].rule
    assert "anywhere in the picture" in neurons()["and"][BOUND].rule


def test_words_of_a_disjunction_have_strengths_and_the_first_is_the_strongest():
    for unit in neurons()["or"]:
        assert unit.strengths[0] == 1 >= unit.strengths[1] >= truth.WEAKEST
        assert len(unit.concepts) == 2


def test_what_is_beyond_the_grammar_has_no_concepts_but_for_a_disjunction_of_three():
    forms = {unit.form for unit in neurons()["beyond"]}
    assert forms == {"left", "repeated", "exactly", "not", "same", "any"}
    for unit in neurons()["beyond"]:
        assert len(unit.concepts) == (3 if unit.form == "any" else 0)


def test_another_seed_is_another_world_and_the_same_seed_the_same():
    assert neurons(1) == neurons(1)
    for layer in ("or", "and"):
        assert len({unit.rule for unit in neurons(0)[layer]} & {unit.rule for unit in neurons(1)[layer]}) < UNITS / 4
    assert mixed(0) != mixed(1)
    assert sorted(mixed(0)) == sorted((layer, unit) for layer in LAYERS for unit in range(UNITS))


def test_the_list_in_the_package_is_what_the_command_prints():
    command = [sys.executable, "-m", "maia_kernel.scenes.neurons", "--world-seed", "0"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == truth.LIST.read_text()


@pytest.fixture(scope="module")
def eye():
    return build()[0].eye


def answer(eye: Eye, unit: Neuron, *scenes: Scene) -> list[float]:
    _, prepare = build()
    with torch.inference_mode():
        sight = eye(torch.stack([prepare(picture(scene)) for scene in scenes]))
        return Units((unit,))(sight).amax((1, 2, 3)).tolist()


def scene(*things: str, background: str = "grass", light: str = "day") -> Scene:
    spots = [(16.0, 32.0), (48.0, 32.0)]
    made = []
    for text, (x, y) in zip(things, spots, strict=False):
        said = {FAMILY[word]: word for word in text.split()}
        plain = {"shape": "circle", "colour": "red", "texture": "plain", "size": "medium"} | said
        made.append(Thing(**plain, x=x, y=y))
    return Scene(tuple(made), background, light)


HOLDS = [
    (Neuron("mono", "any", ("star",), (1.0,)), scene("star"), scene("ring")),
    (Neuron("mono", "any", ("night",), (1.0,)), scene("star", light="night"), scene("star")),
    (Neuron("or", "any", ("star", "snow"), (1.0, 0.8)), scene("ring", background="snow"), scene("ring")),
    (Neuron("and", "object", ("blue", "star")), scene("blue star", "red ring"), scene("red star", "blue ring")),
    (Neuron("and", "image", ("blue", "star")), scene("red star", "blue ring"), scene("red star", "green ring")),
    (Neuron("and", "image", ("star", "sand")), scene("star", background="sand"), scene("star")),
    (Neuron("beyond", "left", ("star", "ring")), scene("star", "ring"), scene("ring", "star")),
    (Neuron("beyond", "repeated", ("star",)), scene("star", "star"), scene("star", "ring")),
    (Neuron("beyond", "exactly", count=2), scene("star", "ring"), scene("star")),
    (Neuron("beyond", "not", ("star",)), scene("ring"), scene("star", "ring")),
    (Neuron("beyond", "same", ("colour",)), scene("blue star", "blue ring"), scene("blue star", "red ring")),
]


@pytest.mark.parametrize(("unit", "yes", "no"), HOLDS, ids=[unit.rule for unit, _, _ in HOLDS])
def test_the_network_sees_in_pixels_what_the_truth_says(eye, unit, yes, no):
    there, absent = answer(eye, unit, yes, no)
    assert there > 0.5
    assert absent < 0.25
    assert absent >= 0
    assert there <= 1


def test_activations_are_graded_not_all_or_nothing(eye):
    scenes = [random_scene(f"graded/{n}") for n in range(40)]
    values = answer(eye, neurons()["mono"][1], *scenes)
    active = [value for value in values if value > 0.5]
    assert len({round(value, 3) for value in active}) > 0.8 * len(active) > 3


def test_an_object_that_counts_is_where_the_map_is_high(eye):
    _, prepare = build()
    with torch.inference_mode():
        sight = eye(prepare(picture(scene("star", "ring")))[None])
        (star,) = Units((Neuron("mono", "any", ("star",), (1.0,)),))(sight)[0]
        (bare,) = Units((Neuron("mono", "any", ("grass",), (1.0,)),))(sight)[0]
    assert star[:, :8].max() > 0.5 > 0.25 > star[:, 8:].max()
    assert bare[0, 0] > 0.5
    assert bare[8, 4] == 0  # where the star is


def test_mixed_holds_the_units_of_all_layers(eye):
    module, prepare = build("3")
    seen = {}
    for name in (*LAYERS, "mixed"):
        module.get_submodule(name).register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out))
    with torch.inference_mode():
        module(prepare(picture(random_scene("mixed")))[None])
    for number, (layer, unit) in enumerate(mixed(3)):
        assert torch.equal(seen["mixed"][0, number], seen[layer][0, unit])


def test_the_truth_is_out_of_reach_of_public_names():
    system = System("scenes-neurons", "mixed", 3)
    with pytest.raises(BadCall, match="not for looking at"):
        _ = system.model
    public = {name: getattr(system, name) for name in dir(system) if not name.startswith("_") and name != "model"}
    rule = neurons()[mixed()[3][0]][mixed()[3][1]].rule
    assert rule not in " ".join(map(str, public.values())) + str(system) + repr(system)


def test_worlds_are_revisions_of_one_model():
    assert load_model("scenes-neurons@1").revision != load_model("scenes-neurons").revision
    assert load_model("scenes-neurons@0").revision == load_model("scenes-neurons").revision
    for name in ("scenes-neurons@x", "scenes-neurons@-1", "scenes@1"):
        with pytest.raises(UsageError) as error:
            load_model(name)
        assert "\n" not in str(error.value)


def test_families_of_objects_come_first_in_the_vocabulary():
    assert tuple(VOCABULARY)[: len(OBJECT_FAMILIES)] == OBJECT_FAMILIES
