"""The one-shot baseline: labels a unit from its exemplars alone, without an experiment, as well as that can be done.

It sees what an agent's first experiment shows (the exemplars and their blind descriptions) and answers in the grammar
of the truth: one word, an OR of two, an AND of two, or nothing. Of every such hypothesis it takes the likelihood of
the descriptions, and the prior that the kinds are as frequent as each other, and all hypotheses of one kind as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from maia_kernel.driver.messages import Message, Reply
from maia_kernel.driver.offline import evidence, experiments, phrases
from maia_kernel.driver.offline.evidence import Evidence, Words
from maia_kernel.driver.offline.reasoning import Plan

# The share of exemplars whose description misses the unit's concept: the describer errs, and masks cut.
MISSED = 0.12
# How likely it is, before anything is seen, that no hypothesis holds.
NOTHING = 0.1
# An OR's first concept brings this share of the exemplars; each is as likely as the others.
_MIXTURES = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)

Hypothesis = frozenset[Words]


class OneShot:
    """Answers in its second turn, from the exemplars that its first has shown; behind the Protocol of a VLM."""

    name = "one-shot"
    about = "a label from the exemplars alone, no experiments: rules, closed vocabulary, no language model"

    def reply(self, messages: Sequence[Message]) -> Reply:
        """The exemplars, then the label."""
        seen = evidence.read(messages)
        if not seen.exemplars and not seen.tried["exemplars"]:
            code = experiments.code(seen, Plan("exemplars"))
            return Reply(f"### Experiment: exemplars and blind descriptions\n\n```python\n{code}\n```")
        hypothesis, confidence = best(seen)
        stated = f"(turn 1; confidence {confidence:.2f})"
        labels = [phrases.label(seen, concept) for concept in sorted(hypothesis, key=sorted)]
        lines = [f"[LABEL {n}]: {text} {stated}" for n, text in enumerate(labels or ["no explanation found"], start=1)]
        return Reply(
            "[DESCRIPTION]: The likeliest hypothesis for the descriptions of the exemplars; nothing was tested. "
            "(Rules, closed vocabulary, no language model.)\n\n" + "\n\n".join(lines)
        )


def best(seen: Evidence) -> tuple[Hypothesis, float]:
    """The likeliest hypothesis and its posterior probability; an empty one where nothing is likelier.

    Parameters
    ----------
    seen : Evidence
        With its vocabulary and exemplars.
    """
    words = [word for family in seen.vocabulary.values() for word in family]
    pictures = [_Picture.of(described, seen.vocabulary) for _, described in seen.exemplars]
    pictures = [picture for picture in pictures if picture.words]
    if not pictures or not words:
        return frozenset(), 1.0
    logs = {frozenset[Words](): math.log(NOTHING)}
    for kind in (_single(words), _either(words), _both(words)):
        hypotheses = list(kind)
        prior = math.log((1 - NOTHING) / 3 / len(hypotheses))
        logs |= {hypothesis: prior + _evidence(hypothesis, pictures) for hypothesis in hypotheses}
    top = max(logs, key=lambda one: (logs[one], sorted(map(sorted, one))))
    return top, 1 / sum(math.exp(value - logs[top]) for value in logs.values())


@dataclass(frozen=True)
class _Picture:
    """One description: its words, and how likely each word of the vocabulary is to be in such a description by chance.

    A description of several objects has several chances for every word of an object; one that a mask has cut down to
    an object says nothing about the background.
    """

    words: Words
    chances: Mapping[str, float]

    @classmethod
    def of(cls, described: Words, vocabulary: Mapping[str, Sequence[str]]) -> _Picture:
        counts = {family: len(described & set(words)) for family, words in vocabulary.items()}
        objects = max((counts[family] for family in counts if family not in ("background", "light")), default=0)
        chances: dict[str, float] = {}
        for family, words in vocabulary.items():
            tries = min(counts[family], 1) if family in ("background", "light") else max(objects, counts[family])
            # Never 0: what a description leaves out may yet be there.
            chances |= dict.fromkeys(words, max(0.02, 1 - (1 - 1 / len(words)) ** tries))
        return cls(described, chances)


def _single(words: Sequence[str]) -> Iterator[Hypothesis]:
    yield from (frozenset({frozenset({word})}) for word in words)


def _either(words: Sequence[str]) -> Iterator[Hypothesis]:
    yield from (frozenset({frozenset({one}), frozenset({other})}) for one, other in combinations(words, 2))


def _both(words: Sequence[str]) -> Iterator[Hypothesis]:
    yield from (frozenset({frozenset(pair)}) for pair in combinations(words, 2))


def _evidence(hypothesis: Hypothesis, pictures: Sequence[_Picture]) -> float:
    """Log likelihood of the descriptions under a hypothesis, over that by chance."""
    first, *second = sorted(hypothesis, key=sorted)
    ratios = [_ratio(first, picture) for picture in pictures]
    if not second:
        return sum(map(math.log, ratios))
    others = [_ratio(second[0], picture) for picture in pictures]
    mixtures = [
        sum(math.log(share * one + (1 - share) * other) for one, other in zip(ratios, others, strict=True))
        for share in _MIXTURES
    ]
    most = max(mixtures)
    return most + math.log(sum(math.exp(value - most) for value in mixtures) / len(mixtures))


def _ratio(concept: Words, picture: _Picture) -> float:
    """How much likelier a concept makes a description than chance does."""
    chance = math.prod(picture.chances[word] for word in concept)
    return (1 - MISSED) / chance if concept <= picture.words else MISSED / (1 - chance)
