"""The offline experimenter: finds what is there, says when it does not know, and keeps to the public API."""

from __future__ import annotations

import ast
import random
import sys
from collections.abc import Callable

import pytest
from word_world import WordWorld, investigate

from maia_kernel.driver import cells
from maia_kernel.driver.messages import Message, Text
from maia_kernel.driver.offline import OfflineExperimenter, evidence, measures, reasoning
from maia_kernel.scenes.neurons import Neuron, neurons
from maia_kernel.scenes.scene import ATTRIBUTES, VOCABULARY, Scene, present

Truth = Callable[[Scene], float]
PUBLIC = {"call_neuron", "dataset_exemplars", "text2image", "edit_images", "describe_images", "display", "measure"}
WORLD = neurons(100)


def truth(neuron: Neuron) -> Truth:
    """A neuron's activation of a scene whose words are known for certain."""

    def at_objects(scene: Scene, word: str) -> list[int]:
        return [n for n, one in enumerate(scene.things) if word in (one.shape, one.colour, one.texture, one.size)]

    def holds(scene: Scene) -> bool:
        words = neuron.words
        if neuron.form == "left":
            first, second = (at_objects(scene, word) for word in words)
            return any(scene.things[a].x < scene.things[b].x for a in first for b in second if a != b)
        return {
            "object": lambda: bool(set.intersection(*(set(at_objects(scene, word)) for word in words))),
            "image": lambda: set(words) <= present(scene),
            "repeated": lambda: len(at_objects(scene, words[0])) > 1,
            "exactly": lambda: len(scene.things) == neuron.count,
            "not": lambda: words[0] not in present(scene),
            "same": lambda: any(
                all(getattr(a, family) == getattr(b, family) for family in words)
                for n, a in enumerate(scene.things)
                for b in scene.things[:n]
            ),
        }[neuron.form]()

    if neuron.form == "any":
        strengths = dict(zip(neuron.words, neuron.strengths, strict=True))
        return lambda scene: max((strengths[word] for word in present(scene) if word in strengths), default=0.0)
    return lambda scene: float(holds(scene))


def concluded(said: list[Message]) -> frozenset[frozenset[str]]:
    return frozenset(reasoning.concluded(evidence.read(said)))


@pytest.mark.parametrize("kind", ["mono", "or", "and"])
def test_it_finds_what_is_there_with_at_most_80_pictures(kind):
    right = 0
    for seed, neuron in enumerate(WORLD[kind][:16]):
        world = WordWorld(truth(neuron), seed=seed)
        said = investigate(world)
        right += concluded(said) == neuron.concepts
        assert world.pictures <= 80
    assert right >= 15


def test_it_is_not_sure_of_what_its_words_cannot_say():
    sure_and_wrong = 0
    for seed, neuron in enumerate(WORLD["beyond"]):
        said = investigate(WordWorld(truth(neuron), seed=seed))
        labels = cells.parse(said[-1].text).final.labels
        claimed = concluded(said) not in (frozenset(), neuron.concepts)
        sure_and_wrong += claimed and max(label.confidence for label in labels) >= 0.5
    assert sure_and_wrong <= 3  # of 32


def test_it_says_when_nothing_explains_a_unit():
    honest = 0
    for seed in range(20):
        said = investigate(WordWorld(lambda _: 0.0, noise=0.5, seed=seed))
        honest += "no explanation found" in said[-1].text
    assert honest >= 18


def test_it_tells_whether_one_object_must_have_both_words():
    told = {}
    for form in ("object", "image"):
        neuron = Neuron("and", form, ("circle", "red"))
        told[form] = cells.parse(investigate(WordWorld(truth(neuron)))[-1].text).final.labels[0].text
    assert told == {"object": "red circles", "image": "circles together with red objects"}


def test_confidence_falls_with_what_the_answer_leaves_active():
    alone = Neuron("mono", "any", ("star",), (1.0,))
    whole = investigate(WordWorld(truth(alone)))
    noisy = random.Random(0)
    partly = investigate(WordWorld(lambda scene: max(truth(alone)(scene), noisy.random() < 0.3)))
    (sure,), (unsure,) = (cells.parse(said[-1].text).final.labels for said in (whole, partly))
    assert sure.confidence > 0.9
    assert unsure.confidence < sure.confidence - 0.2


def test_the_answer_names_effect_evidence_and_what_was_ruled_out():
    said = investigate(WordWorld(truth(WORLD["and"][0])))
    final = cells.parse(said[-1].text).final
    assert final is not None
    headings = [message.text.split("\n")[0] for message in said if message.role == "assistant"]
    for turn in final.labels[0].turns:
        experiment = headings[turn - 1].partition("Experiment: ")[2]
        assert experiment.startswith(("probes", "pairs", "binding", "edits"))
    assert "over 'none of these'" in final.description
    assert "Ruled out" in final.description
    assert "no language model" in final.description


def test_it_never_draws_more_than_80_pictures():
    for seed in range(20):
        rng = random.Random(seed)
        weights = {word: rng.gauss(0, 1) for word in ATTRIBUTES}
        world = WordWorld(lambda scene, w=weights: sum(w[word] for word in present(scene)), noise=0.5, seed=seed)
        investigate(world)
        assert world.pictures <= 80


def test_where_the_control_is_as_active_as_the_exemplars_nothing_is_ruled_out():
    final = cells.parse(investigate(WordWorld(truth(Neuron("beyond", "not", ("wood",)))))[-1].text).final
    assert final.labels[0].text == "no explanation found"
    assert "nearly as active as the exemplars" in final.description
    assert "%" not in final.description.partition("Intervals")[0]


def test_an_unsure_answer_is_called_a_guess():
    noisy = random.Random(1)
    said = investigate(WordWorld(lambda scene: max("star" in present(scene), noisy.random() < 0.25)))
    final = cells.parse(said[-1].text).final
    assert final.labels[0].confidence < 0.5
    assert "A guess, not a finding" in final.description


def test_experiments_that_cannot_be_read_are_not_called_a_result(monkeypatch):
    monkeypatch.setattr(WordWorld, "measure", lambda *_, **__: sys.stdout.write("a table of another kind\n"))
    final = cells.parse(investigate(WordWorld(truth(WORLD["mono"][0])))[-1].text).final
    assert "Nothing was tested" in final.description
    assert final.labels[0].confidence is None


def test_a_condition_that_lost_all_its_pictures_is_forgotten():
    table = "condition   n    mean      sd     min     max\nred   4   0.800   0.100   0.700   0.900\n"
    lost = "without the pictures that failed:\nred   0    none left\n"
    assert "red" in evidence.read([Message("user", (Text(table),))]).rows
    assert evidence.read([Message("user", (Text(table + lost),))]).rows == {}


def test_pictures_of_the_screen_that_hold_what_was_left_out_are_no_evidence_for_something_else():
    lines = ["  0.900: a blue circle on sand by day", "  0.900: a blue ring on sand by day"]
    lines += [f"  {value}: a {colour} {shape} on {ground} by day" for value, colour, shape, ground in SCREENED]
    exemplars = [f"exemplar {rank}: activation 0.9\nexemplar {rank}: a blue star" for rank in range(1, 16)]
    vocabulary = "the generator draws only these words:\n" + "".join(
        f"  {family}: {', '.join(words)}\n" for family, words in VOCABULARY.items()
    )
    text = "\n".join([vocabulary, *exemplars, *lines])
    seen = evidence.read([Message("user", (Text(text),))])
    assert "blue" in reasoning.leads(seen)
    assert reasoning.further(seen) == ["brick"]


SCREENED = [
    (value, colour, shape, ground)
    for value, ground in ((0.8, "brick"), (0.0, "sand"))
    for colour, shape in (("red", "heart"), ("green", "cross"), ("white", "circle"))
]


def test_every_turn_before_the_answer_states_hypotheses_and_one_experiment():
    said = investigate(WordWorld(truth(WORLD["or"][1])))
    for message in [message for message in said if message.role == "assistant"][:-1]:
        turn = cells.parse(message.text)
        assert "**Hypotheses**" in message.text
        assert sum(isinstance(cell, cells.Code) for cell in turn.cells) == 1
        assert turn.notices == ()


def test_its_cells_use_the_public_api_and_the_standard_library_only():
    code = [
        cell.source
        for kind in ("mono", "or", "and")
        for message in investigate(WordWorld(truth(WORLD[kind][2])))
        if message.role == "assistant"
        for cell in cells.parse(message.text).cells
        if isinstance(cell, cells.Code)
    ]
    assert len(code) > 12
    for node in (node for source in code for node in ast.walk(ast.parse(source))):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= sys.stdlib_module_names
        assert not isinstance(node, ast.ImportFrom)
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_")
            if isinstance(node.value, ast.Name) and node.value.id in ("system", "tools"):
                assert node.attr in PUBLIC


def test_it_is_a_pure_function_of_the_messages():
    said = investigate(WordWorld(truth(WORLD["mono"][5])))
    for length in range(2, len(said), 2):
        assert OfflineExperimenter().reply(said[:length]).text == said[length].text


def test_experiments_that_fail_are_tried_again_and_then_left():
    said = [
        Message("system", (Text("api"),)),
        Message("user", (Text("the generator draws only these words:\n  a: b, c"),)),
    ]
    for _ in range(20):
        text = OfflineExperimenter().reply(said).text
        said += [Message("assistant", (Text(text),)), Message("user", (Text("ValueError: nothing works"),))]
        if cells.parse(text).final:
            break
    assert "no explanation found" in text
    assert text.count("### Experiment") == 0


def test_without_a_closed_vocabulary_it_does_not_pretend():
    text = OfflineExperimenter().reply([Message("user", (Text("What does the unit do?"),))]).text
    final = cells.parse(text).final
    assert final is not None
    assert "closed vocabulary" in final.description


def test_words_that_the_describer_is_unsure_of_do_not_count():
    said = [
        Message("user", (Text("the generator draws only these words:\n  colour: red, blue\n"),)),
        Message("user", (Text("exemplar 1: activation 3.5\n\nexemplar 1: a perhaps red circle on blue"),)),
    ]
    assert evidence.read(said).exemplars == ((3.5, frozenset({"blue"})),)


def test_a_second_control_changes_nothing_that_was_measured_against_the_first():
    table = "condition  n    mean      sd     min     max\n{}   8   {:.3f}   0.100   0.000   1.000"
    said = [Message("user", (Text("the generator draws only these words:\n  colour: red, blue\n"),))]
    said += [Message("user", (Text(table.format(name, mean)),)) for name, mean in CONTROLS]
    assert evidence.read(said).rows[measures.CONTROL].mean == 0.5


CONTROLS = [("none of these", 0.5), ("none of these either", 0.9)]


def test_it_says_that_it_cannot_read_questions():
    asked = "**Question.** Is this unit about the beach?\n\nThe unit under study is unit 1."
    text = OfflineExperimenter().reply([Message("user", (Text(asked),)), Message("assistant", (Text("x"),))] * 2).text
    assert "closed vocabulary" in text
    world = WordWorld(truth(WORLD["mono"][1]))
    said = investigate(world)
    said[1] = Message("user", (Text(f"{said[1].text}\n\n{asked}"),))
    assert "I cannot read questions" in OfflineExperimenter().reply(said[:-1]).text
