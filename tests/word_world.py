"""A world of words for the experimenter's tests: a picture is its attributes, a unit is a function of them.

It speaks as ``load``, ``System`` and ``Tools`` do, costs microseconds, and its truth is known, so that the decisions
can be tried on hundreds of units. That the real instruments speak in the same way is tested with the real ones.
"""

from __future__ import annotations

import contextlib
import io
import random
import re
import statistics
import sys
from collections.abc import Callable, Sequence

from maia_kernel.driver import cells
from maia_kernel.driver.messages import Message, Text
from maia_kernel.driver.offline import OfflineExperimenter

VOCABULARY = {
    "shape": ["circle", "square", "triangle", "star", "ring", "cross", "heart", "crescent"],
    "colour": ["red", "orange", "yellow", "green", "blue", "purple", "white", "black"],
    "texture": ["plain", "striped", "dotted", "checkered"],
    "size": ["small", "medium", "large"],
    "background": ["grass", "water", "sand", "snow", "brick", "wood"],
    "light": ["day", "dusk", "night"],
}
FAMILY = {word: family for family, words in VOCABULARY.items() for word in words}
LOADED = (
    "unit 1 of 8 in layer3 of words; activation: max over an 8x8 map; mask threshold 2.31\n"
    "the generator draws only these words:\n"
    + "".join(f"  {family}: {', '.join(words)}\n" for family, words in VOCABULARY.items())
    + "A prompt names an object.\n"
)

Picture = frozenset[str]


def words_of(text: str) -> dict[str, str]:
    return {FAMILY[word]: word for word in re.findall(r"[a-z]+", text) if word in FAMILY}


class WordWorld:
    """``system`` and ``tools`` at once.

    Parameters
    ----------
    truth : callable
        The activation of a picture.
    noise : float
        Standard deviation of what is added to it.
    """

    def __init__(self, truth: Callable[[Picture], float], noise: float = 0.2, seed: int = 0):
        self._truth, self._noise = truth, noise
        self._random = random.Random(seed)
        self.pictures = 0

    def _picture(self, fixed: dict[str, str]) -> Picture:
        return frozenset(fixed.get(family) or self._random.choice(words) for family, words in VOCABULARY.items())

    def text2image(self, prompts: Sequence[str]) -> list[Picture]:
        self.pictures += len(prompts)
        return [self._picture(words_of(prompt)) for prompt in prompts]

    def edit_images(self, images: Sequence[Picture], edits: Sequence[str]) -> tuple[list[Picture], list[str]]:
        self.pictures += len(images)
        both: list[Picture] = []
        for image, edit in zip(images, edits, strict=True):
            old = {FAMILY[word]: word for word in image}
            *_, new = (word for word in re.findall(r"[a-z]+", edit) if word in FAMILY)
            both += [image, frozenset((old | {FAMILY[new]: new}).values())]
        return both, [text for edit in edits for text in ("Original Image", edit)]

    def call_neuron(self, images: Sequence[Picture]) -> tuple[list[float], list[Picture]]:
        return [self._truth(image) + self._random.gauss(0, self._noise) for image in images], list(images)

    def dataset_exemplars(self, system: object) -> list[tuple[float, Picture]]:
        many = [self._picture({}) for _ in range(4096)]
        values, _ = self.call_neuron(many)
        return sorted(zip(values, many, strict=True), key=lambda one: one[0], reverse=True)[:15]

    def describe_images(self, images: Sequence[Picture], titles: Sequence[str]) -> str:
        return "\n".join(f"{title}: {' '.join(sorted(one))}" for title, one in zip(titles, images, strict=True))

    def display(self, *items: object) -> None:
        for item in items:
            if isinstance(item, str):
                sys.stdout.write(f"{item}\n")

    def measure(self, conditions: dict, control: str, repeats: int = 4, variation: int = 0) -> None:
        lines = [f"{'condition':<34}{'n':>4}{'mean':>8}{'sd':>8}{'min':>8}{'max':>8}"]
        for name, given in conditions.items():
            prompts = [given] * repeats if isinstance(given, str) else given
            images = self.text2image(prompts) if isinstance(prompts[0], str) else prompts
            values, _ = self.call_neuron(images)
            numbers = (statistics.mean(values), statistics.stdev(values), min(values), max(values))
            lines.append(f"{name:<34}{len(values):>4}" + "".join(f"{number:>8.3f}" for number in numbers))
        sys.stdout.write("\n".join(lines) + "\n")


def investigate(world: WordWorld, most_turns: int = 12) -> list[Message]:
    """Drive the offline experimenter through a world of words; the whole conversation."""
    said = [Message("system", (Text("api"),)), Message("user", (Text(LOADED + "\nWhat?"),))]
    names: dict = {"system": world, "tools": world}
    for _ in range(most_turns):
        reply = OfflineExperimenter().reply(said)
        said.append(Message("assistant", (Text(reply.text),)))
        turn = cells.parse(reply.text)
        if turn.final:
            return said
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            for cell in turn.cells:
                if isinstance(cell, cells.Code):
                    exec(cell.source, names)
        said.append(Message("user", (Text(f"Output:\n\n{shown.getvalue()}"),)))
    raise AssertionError("the experimenter does not come to an end")
