"""The offline experimenter: finds what is there, says when it does not know, and keeps to the public API."""

from __future__ import annotations

import ast
import random
import sys
from collections.abc import Callable

import pytest
from word_world import FAMILY, VOCABULARY, Picture, WordWorld, investigate

from maia_kernel.driver import cells
from maia_kernel.driver.messages import Message, Text
from maia_kernel.driver.offline import OfflineExperimenter, evidence, reasoning

Truth = Callable[[Picture], float]
PUBLIC = {"call_neuron", "dataset_exemplars", "text2image", "edit_images", "describe_images", "display", "measure"}


def unit(kind: str, seed: int) -> tuple[set[frozenset[str]], Truth]:
    """A unit with a known truth, on which size has a say and every word a little."""
    rng = random.Random(seed)
    first, second = (rng.choice(VOCABULARY[one]) for one in rng.sample(sorted(VOCABULARY.keys() - {"size"}), 2))
    little = {word: rng.gauss(0, 0.25) for word in FAMILY}
    wanted = {
        "one": {frozenset([first])},
        "or": {frozenset([first]), frozenset([second])},
        "and": {frozenset([first, second])},
    }[kind]

    def truth(picture: Picture) -> float:
        size = {"small": 0.7, "medium": 1.0, "large": 1.2}[next(word for word in picture if FAMILY[word] == "size")]
        holds = any(concept <= picture for concept in wanted)
        return max(0.0, 4 * size * holds + sum(little[word] for word in picture))

    return wanted, truth


@pytest.mark.parametrize("kind", ["one", "or", "and"])
def test_it_finds_what_is_there(kind):
    right = 0
    for seed in range(20):
        wanted, truth = unit(kind, seed)
        said = investigate(WordWorld(truth, noise=0.4, seed=seed))
        right += set(reasoning.concluded(evidence.read(said))) == wanted
    assert right >= 18


def test_it_says_when_nothing_explains_a_unit():
    honest = 0
    for seed in range(20):
        said = investigate(WordWorld(lambda _: 0.0, noise=0.5, seed=seed))
        honest += "no explanation found" in said[-1].text
    assert honest >= 18


def test_the_answer_names_effect_evidence_and_what_was_ruled_out():
    said = investigate(WordWorld(unit("and", 3)[1]))
    final = cells.parse(said[-1].text).final
    assert final is not None
    headings = [message.text.split("\n")[0] for message in said if message.role == "assistant"]
    for turn in final.labels[0].turns:
        assert headings[turn - 1].startswith(("### Experiment: pairs", "### Experiment: edits"))
    assert "over 'none of these'" in final.description
    assert "Ruled out" in final.description
    assert "no language model" in final.description


def test_every_turn_before_the_answer_states_hypotheses_and_one_experiment():
    said = investigate(WordWorld(unit("or", 1)[1]))
    for message in [message for message in said if message.role == "assistant"][:-1]:
        turn = cells.parse(message.text)
        assert "**Hypotheses**" in message.text
        assert sum(isinstance(cell, cells.Code) for cell in turn.cells) == 1
        assert turn.notices == ()


def test_its_cells_use_the_public_api_and_the_standard_library_only():
    code = [
        cell.source
        for kind in ("one", "or", "and")
        for message in investigate(WordWorld(unit(kind, 2)[1]))
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
    said = investigate(WordWorld(unit("one", 5)[1]))
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
    assert evidence.read(said).rows[reasoning.CONTROL].mean == 0.5


CONTROLS = [("none of these", 0.5), ("none of these either", 0.9)]


def test_it_says_that_it_cannot_read_questions():
    asked = "**Question.** Is this unit about the beach?\n\nThe unit under study is unit 1."
    text = OfflineExperimenter().reply([Message("user", (Text(asked),)), Message("assistant", (Text("x"),))] * 2).text
    assert "closed vocabulary" in text
    world = WordWorld(unit("one", 1)[1])
    said = investigate(world)
    said[1] = Message("user", (Text(f"{said[1].text}\n\n{asked}"),))
    assert "I cannot read questions" in OfflineExperimenter().reply(said[:-1]).text
