"""The one-shot baseline: right where exemplars suffice, and behind the Protocol of a VLM."""

from __future__ import annotations

import random

from word_world import LOADED

from maia_kernel.bench.baselines import CHANCES, OneShot, best
from maia_kernel.bench.claims import read
from maia_kernel.driver import cells
from maia_kernel.driver.messages import Message, Text
from maia_kernel.driver.offline.evidence import Evidence
from maia_kernel.scenes.scene import VOCABULARY

Concepts = frozenset[frozenset[str]]
SEEDS = 10
FAMILY = {word: family for family, words in VOCABULARY.items() for word in words}


def exemplars(truth: Concepts, seed: int, first: float = 0.5) -> Evidence:
    """Fifteen descriptions of one object each, one in twenty of them without the concept."""
    rng = random.Random(seed)
    described = []
    for _ in range(15):
        values = {
            family: rng.choices(words, [CHANCES[word] for word in words])[0] for family, words in VOCABULARY.items()
        }
        ordered = sorted(truth, key=sorted)
        concept = ordered[0] if len(ordered) == 1 or rng.random() < first else ordered[1]
        if rng.random() > 0.05:
            values |= {FAMILY[word]: word for word in concept}
        described.append((5.0, frozenset(values.values())))
    return Evidence(VOCABULARY, tuple(described))


def concepts(*texts: str) -> Concepts:
    return frozenset(frozenset(text.split()) for text in texts)


def found(truth: Concepts, **options: float) -> float:
    return sum(best(exemplars(truth, seed, **options))[0] == truth for seed in range(SEEDS)) / SEEDS


def test_it_finds_what_exemplars_show():
    assert found(concepts("star")) >= 0.8
    assert found(concepts("snow")) >= 0.8
    assert found(concepts("orange star")) >= 0.8
    assert found(concepts("orange", "heart")) >= 0.6


def test_an_or_whose_second_word_the_exemplars_hardly_show_is_missed():
    assert found(concepts("orange", "heart"), first=0.97) <= 0.3


def test_what_is_frequent_among_all_exemplars_is_no_finding():
    """Fourteen of fifteen exemplars of anything may be "medium"; fourteen that are "small" mean something."""
    medium = best(exemplars(concepts("medium"), 1))
    small = best(exemplars(concepts("small"), 1))
    assert medium[0] != concepts("medium") or medium[1] < 0.5
    assert small[0] == concepts("small")


def test_it_says_nothing_of_chance_and_is_less_sure_of_less():
    truth = concepts("star")
    chance = [best(exemplars(frozenset({frozenset[str]()}), seed)) for seed in range(SEEDS)]
    assert sum(not hypothesis for hypothesis, _ in chance) >= 0.6 * SEEDS
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
    seen = exemplars(concepts("orange star"), 1)
    lines = [f"exemplar {n}: activation 5.000" for n in range(1, 16)]
    lines += [f"exemplar {n}: {' '.join(words)}" for n, (_, words) in enumerate(seen.exemplars, start=1)]
    said += [Message("assistant", (Text("### Experiment: exemplars"),)), Message("user", (Text("\n".join(lines)),))]
    final = cells.parse(OneShot().reply(said).text).final
    assert final is not None
    answer = read(final.labels)
    assert answer.concepts == concepts("orange star")
    assert 0.5 < answer.confidence <= 1
    assert final.labels[0].turns == (1,)


def test_experiments_that_show_nothing_end_in_an_abstention():
    said = [Message("user", (Text(LOADED),)), Message("assistant", (Text("### Experiment: exemplars"),))]
    final = cells.parse(OneShot().reply(said).text).final
    assert final is not None
    assert read(final.labels).abstained
