"""What the conversation has shown so far: read from the printed lines of earlier cells, and from nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from maia_kernel.driver.messages import Message

Words = frozenset[str]

_FAMILY = re.compile(r"^  (\w+): (\w+(?:, \w+)+)$", re.MULTILINE)
_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?"
_ACTIVATION = re.compile(rf"^exemplar (\d+): activation ({_NUMBER})$", re.MULTILINE)
_DESCRIPTION = re.compile(r"^exemplar (\d+): (?!activation )(.+)$", re.MULTILINE)
_SCREENED = re.compile(rf"^ +({_NUMBER}): (.+)$", re.MULTILINE)
_ROW = re.compile(rf"^(\S.*?) +(?:0 +none left|(\d+){rf' +({_NUMBER}|nan)' * 4})$", re.MULTILINE)
_QUESTION = re.compile(r"^\*\*Question\.\*\* *(.+)$", re.MULTILINE)
_HEADING = re.compile(r"^### (?:Turn \d+ · )?Experiment: (\w+)", re.MULTILINE)
_TURN = re.compile(r"^Output of turn (\d+)\b", re.MULTILINE)
# Ends of the names of conditions whose pictures were drawn for an earlier one.
TAKEN = (", as drawn", ", on one object")


@dataclass(frozen=True)
class Row:
    """One condition as ``tools.measure`` printed it, without the pictures that failed where it says so.

    Attributes
    ----------
    n, mean, sd, low, high
        Size, mean, standard deviation, smallest and largest activation.
    turn : int
        In which it was measured.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float
    turn: int


@dataclass(frozen=True)
class Evidence:
    """Everything that was read.

    Attributes
    ----------
    vocabulary : mapping
        Family -> the words that the generator can draw; empty for an open generator.
    exemplars : tuple
        ``(activation, words of the blind description)``, strongest first.
    screen : tuple
        ``(activation, words of the blind description)`` of the pictures of the screen.
    rows : mapping
        Name of a condition -> what was measured last.
    tried : Counter
        How often each experiment has been written.
    turns : mapping
        Experiment -> the turn that it was written in last.
    turn : int
        The number of the last turn.
    question : str
        What was asked last.
    pictures : int
        How many were generated or edited.
    """

    vocabulary: Mapping[str, tuple[str, ...]]
    exemplars: tuple[tuple[float, Words], ...] = ()
    screen: tuple[tuple[float, Words], ...] = ()
    rows: Mapping[str, Row] = field(default_factory=dict)
    tried: Counter[str] = field(default_factory=Counter)
    turns: Mapping[str, int] = field(default_factory=dict)
    turn: int = 0
    question: str = ""
    pictures: int = 0

    def family(self, word: str) -> str:
        """The family that a word belongs to."""
        return next(family for family, words in self.vocabulary.items() if word in words)


def read(messages: Sequence[Message]) -> Evidence:
    """Read a conversation."""
    vocabulary = _vocabulary(messages)
    known = {word for words in vocabulary.values() for word in words}
    activations: dict[int, float] = {}
    described: dict[int, Words] = {}
    screen: list[tuple[float, Words]] = []
    rows: dict[str, Row] = {}
    tried: Counter[str] = Counter()
    turns: dict[str, int] = {}
    turn, question, pictures = 0, "", 0
    for message, after in zip(messages, [*messages[1:], None], strict=True):
        if message.role == "assistant":
            told = _TURN.search(after.text) if after is not None else None
            turn = int(told[1]) if told else turn + 1
            for name in _HEADING.findall(message.text):
                tried[name] += 1
                turns[name] = turn
        elif message.role == "user":
            text = message.text
            question = (_QUESTION.findall(text) or [question])[-1]
            activations |= {int(rank): float(value) for rank, value in _ACTIVATION.findall(text)}
            described |= {int(rank): _words(line, known) for rank, line in _DESCRIPTION.findall(text)}
            screen += [(float(value), _words(line, known)) for value, line in _SCREENED.findall(text)]
            for name, n, *values in _ROW.findall(text):
                pictures += 0 if name in rows or name.endswith(TAKEN) else int(n or 0)
                if n:
                    mean, sd, low, high = map(_number, values)
                    rows[name] = Row(int(n), mean, sd, low, high, turn)
                else:  # all its pictures have failed: what was said of them before does not hold
                    rows.pop(name, None)
    ranks = sorted(activations.keys() & described.keys())
    exemplars = tuple((activations[rank], described[rank]) for rank in ranks)
    return Evidence(vocabulary, exemplars, tuple(screen), rows, tried, turns, turn, question, pictures + len(screen))


def _vocabulary(messages: Sequence[Message]) -> dict[str, tuple[str, ...]]:
    """The lines by which ``load`` says what a closed generator can draw."""
    for message in messages:
        _, marker, rest = message.text.partition("the generator draws only these words:\n")
        if marker and message.role == "user":
            return {family: tuple(words.split(", ")) for family, words in _FAMILY.findall(rest)}
    return {}


def _words(text: str, known: set[str]) -> Words:
    """The vocabulary's words in a text; one that the describer is unsure of does not count."""
    sure = re.sub(r"\bperhaps \w+", "", text)
    return frozenset(re.findall(r"[a-z]+", sure.lower())) & known


def _number(text: str) -> float:
    return 0.0 if text == "nan" else float(text)
