"""The one-shot baseline: labels a unit from its exemplars alone, without an experiment, as well as that can be done.

It sees what an agent's first experiment shows (the exemplars and their blind descriptions) and answers in the grammar
of the truth: one word, an OR of two, an AND of two, or nothing. It takes the hypothesis with the largest posterior
probability. The kinds are as likely as each other beforehand, and so are the hypotheses of one kind. Under a hypothesis
nearly every description holds its concept; every other word is there by chance, and the chance is the describer's and
the exemplars' own: it differs from word to word (``CHANCES``), and from unit to unit (a beta distribution around that,
integrated out), because what happens to go along with a concept goes along with it in many of its exemplars.

That it finds hardly any OR is not its fault: where one of two words excites a unit more than the other, the fifteen
strongest exemplars rarely show the other at all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from maia_kernel.driver.messages import Message, Reply
from maia_kernel.driver.offline import evidence, experiments
from maia_kernel.driver.offline.evidence import Evidence, Words
from maia_kernel.driver.offline.reasoning import Plan
from maia_kernel.scenes.scene import VOCABULARY

# How often a described exemplar has each word of a family that its unit is not about, where the family is described at
# all. Measured on the exemplars of world 1001, which is otherwise not used: detectors are surest of certain pictures,
# so that "medium" and "dotted" are frequent among the exemplars of anything.
_CHANCES = {
    "shape": (0.31, 0.17, 0.11, 0.07, 0.06, 0.08, 0.11, 0.10),
    "colour": (0.13, 0.10, 0.11, 0.12, 0.15, 0.20, 0.09, 0.11),
    "texture": (0.16, 0.14, 0.49, 0.21),
    "size": (0.08, 0.80, 0.12),
    "background": (0.29, 0.22, 0.13, 0.19, 0.10, 0.08),
    "light": (0.07, 0.37, 0.57),
}
CHANCES = {
    word: chance
    for family, chances in _CHANCES.items()
    for word, chance in zip(VOCABULARY[family], chances, strict=True)
}
UNKNOWN = 0.2  # for a word that is not among them
# How little the chances of one unit's exemplars tell of another's: the sum of the beta distribution's parameters. Like
# MISSED, the best of a few values on world 1001.
CONCENTRATION = 2.0
# The share of exemplars whose description misses the unit's concept: the describer errs, and masks cut.
MISSED = 0.04
# How likely it is, before anything is seen, that no hypothesis holds.
NOTHING = 0.03
# The shares of the exemplars that an OR's first concept may bring, each as likely as the others.
_MIXTURES = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
_GRID = tuple((step + 0.5) / 24 for step in range(24))
_GROUNDS = ("background", "light")

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
        labels = [" together with ".join(sorted(concept)) for concept in sorted(hypothesis, key=sorted)]
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
    pictures = [_Picture.of(described, seen.vocabulary) for _, described in seen.exemplars if described]
    if not pictures or not words:
        return frozenset(), 1.0
    chance = {word: _by_chance(word, pictures) for word in words}
    pairs = list(combinations(words, 2))
    kind = math.log((1 - NOTHING) / 3)
    logs: dict[Hypothesis, float] = {frozenset(): math.log(NOTHING)}
    for word in words:
        logs[_either(word)] = kind - math.log(len(words)) + _needed({word}, pictures) - chance[word]
    for one, other in pairs:
        prior, by_chance = kind - math.log(len(pairs)), chance[one] + chance[other]
        logs[_both(one, other)] = prior + _needed({one, other}, pictures) - by_chance
        logs[_either(one, other)] = prior + _sufficing(one, other, pictures) - by_chance
    top = max(logs, key=lambda hypothesis: (logs[hypothesis], sorted(map(sorted, hypothesis))))
    return top, math.exp(logs[top] - _log_sum(list(logs.values())))


@dataclass(frozen=True)
class _Picture:
    """One description: its words, and how many chances every word of the vocabulary had to be in it.

    A description of several objects has several for every word of an object; one that a mask has cut down to an object
    has none for backgrounds.
    """

    words: Words
    tries: Mapping[str, int]

    @classmethod
    def of(cls, described: Words, vocabulary: Mapping[str, Sequence[str]]) -> _Picture:
        counts = Counter({family: len(described & set(words)) for family, words in vocabulary.items()})
        objects = max((counts[family] for family in counts if family not in _GROUNDS), default=0)
        tries = {family: min(counts[family], 1) if family in _GROUNDS else objects for family in vocabulary}
        return cls(described, {word: tries[family] for family, words in vocabulary.items() for word in words})

    def chance(self, word: str, rate: float) -> float:
        """The probability of a word by chance; never 0 or 1, for describers err."""
        return min(max(1 - (1 - rate) ** self.tries[word], 0.005), 0.995)


def _either(*words: str) -> Hypothesis:
    return frozenset(frozenset({word}) for word in words)


def _both(*words: str) -> Hypothesis:
    return frozenset({frozenset(words)})


def _by_chance(word: str, pictures: Sequence[_Picture]) -> float:
    """Log probability of where a word stands and where not, for a unit that has nothing to do with it."""
    a = CONCENTRATION * CHANCES.get(word, UNKNOWN)
    b = CONCENTRATION - a
    weights = [(a - 1) * math.log(rate) + (b - 1) * math.log(1 - rate) for rate in _GRID]
    seen = [
        sum(
            math.log(picture.chance(word, rate) if word in picture.words else 1 - picture.chance(word, rate))
            for picture in pictures
        )
        for rate in _GRID
    ]
    return _log_sum([weight + value for weight, value in zip(weights, seen, strict=True)]) - _log_sum(weights)


def _needed(words: set[str], pictures: Sequence[_Picture]) -> float:
    """Log probability where all of these words are needed; what misses them may do so in several ways."""
    ways = 2 ** len(words) - 1
    return sum(math.log(1 - MISSED if words <= picture.words else MISSED / ways) for picture in pictures)


def _sufficing(one: str, other: str, pictures: Sequence[_Picture]) -> float:
    """Log probability where either of two words suffices; the other one is then there by chance."""
    rates = CHANCES.get(one, UNKNOWN), CHANCES.get(other, UNKNOWN)
    mixtures = []
    for share in _MIXTURES:
        total = 0.0
        for picture in pictures:
            has, also = one in picture.words, other in picture.words
            first, second = picture.chance(one, rates[0]), picture.chance(other, rates[1])
            by_one = share * has * (second if also else 1 - second)
            by_other = (1 - share) * also * (first if has else 1 - first)
            total += math.log((1 - MISSED) * (by_one + by_other) if has or also else MISSED)
        mixtures.append(total)
    return _log_sum(mixtures) - math.log(len(mixtures))


def _log_sum(values: Sequence[float]) -> float:
    most = max(values)
    return most + math.log(sum(math.exp(value - most) for value in values))
