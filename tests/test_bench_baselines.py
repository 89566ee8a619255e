"""The one-shot baseline: right where exemplars suffice, and behind the Protocol of a VLM."""

from __future__ import annotations

import random

from word_world import FAMILY, LOADED, VOCABULARY

from maia_kernel.bench.baselines import OneShot, best
from maia_kernel.bench.claims import read
from maia_kernel.driver import cells
from maia_kernel.driver.messages import Message, Text
from maia_kernel.driver.offline.evidence import Evidence

Concepts = frozenset[frozenset[str]]


def exemplars(truth: Concepts, seed: int, first: float = 0.5) -> Evidence:
    """Fifteen descriptions of one object each, one in ten of them without the concept."""
    rng = random.Random(seed)
    described = []
    for _ in range(15):
        values = {family: rng.choice(words) for family, words in VOCABULARY.items()}
        ordered = sorted(truth, key=sorted)
        concept = ordered[0] if len(ordered) == 1 or rng.random() < first else ordered[1]
        if rng.random() > 0.1:
            values |= {FAMILY[word]: word for word in concept}
        described.append((5.0, frozenset(values.values())))
    return Evidence({family: tuple(words) for family, words in VOCABULARY.items()}, tuple(described))


def concepts(*texts: str) -> Concepts:
    return frozenset(frozenset(text.split()) for text in texts)


def found(truth: Concepts, **options: float) -> float:
    return sum(best(exemplars(truth, seed, **options))[0] == truth for seed in range(20)) / 20


def test_it_finds_what_exemplars_show():
    assert found(concepts("circle")) >= 0.9
    assert found(concepts("night")) >= 0.8
    assert found(concepts("red circle")) >= 0.9
    assert found(concepts("circle", "grass")) >= 0.8


def test_an_or_whose_second_word_the_exemplars_hardly_show_is_missed():
    assert found(concepts("circle", "grass"), first=0.95) <= 0.4


def test_it_says_nothing_of_chance_and_is_less_sure_of_less():
    truth = concepts("circle")
    chance = [best(exemplars(frozenset({frozenset[str]()}), seed)) for seed in range(20)]
    assert sum(not hypothesis for hypothesis, _ in chance) >= 12
    few = Evidence(exemplars(truth, 1).vocabulary, exemplars(truth, 1).exemplars[:3])
    assert best(few)[1] < best(exemplars(truth, 1))[1] <= 1


def test_no_exemplars_are_no_explanation():
    assert best(Evidence({"colour": ("red", "blue")})) == (frozenset(), 1.0)


def test_it_answers_in_its_second_turn():
    said = [Message("user", (Text(LOADED),))]
    turn = cells.parse(OneShot().reply(said).text)
    (code,) = [cell for cell in turn.cells if isinstance(cell, cells.Code)]
    assert "dataset_exemplars" in code.source
    assert turn.final is None
    seen = exemplars(concepts("red circle"), 3)
    lines = [f"exemplar {n}: activation 5.000" for n in range(1, 16)]
    lines += [f"exemplar {n}: {' '.join(words)}" for n, (_, words) in enumerate(seen.exemplars, start=1)]
    said += [Message("assistant", (Text("### Experiment: exemplars"),)), Message("user", (Text("\n".join(lines)),))]
    final = cells.parse(OneShot().reply(said).text).final
    assert final is not None
    answer = read(final.labels)
    assert answer.concepts == concepts("red circle")
    assert 0.5 < answer.confidence <= 1
    assert final.labels[0].turns == (1,)


def test_experiments_that_show_nothing_end_in_an_abstention():
    said = [Message("user", (Text(LOADED),)), Message("assistant", (Text("### Experiment: exemplars"),))]
    final = cells.parse(OneShot().reply(said).text).final
    assert final is not None
    assert read(final.labels).abstained
