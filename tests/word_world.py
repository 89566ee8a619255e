"""A world of words for the experimenter's tests: a picture is its scene, a unit is a function of scenes, no pixels.

It speaks as ``load``, ``System`` and ``Tools`` do, costs microseconds, and its truth is known, so that the decisions
can be tried on many units. That the real instruments speak in the same way is tested with the real ones.
"""

from __future__ import annotations

import contextlib
import io
import random
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from maia_kernel.driver import cells
from maia_kernel.driver.messages import Message, Text
from maia_kernel.driver.offline import OfflineExperimenter
from maia_kernel.scenes import edits
from maia_kernel.scenes.language import parse, scene_of, text_of
from maia_kernel.scenes.scene import VOCABULARY, Scene, random_scene

LOADED = (
    "unit 1 of 8 in layer3 of words; activation: max over an 8x8 map; mask threshold 2.31\n"
    "the generator draws only these words:\n"
    + "".join(f"  {family}: {', '.join(words)}\n" for family, words in VOCABULARY.items())
    + "A prompt names an object.\n"
)


@cache
def gallery() -> tuple[Scene, ...]:
    return tuple(random_scene(f"words/{number}") for number in range(2048))


@dataclass(frozen=True)
class Measured:
    images: dict[str, list[Scene]]


class WordWorld:
    """``system`` and ``tools`` at once.

    Parameters
    ----------
    truth : callable
        The activation of a scene.
    noise : float
        Standard deviation of what is added to it.
    """

    def __init__(self, truth: Callable[[Scene], float], noise: float = 0.05, seed: int = 0):
        self._truth, self._noise, self._seed = truth, noise, seed
        self._random = random.Random(seed)
        self.pictures = 0

    def text2image(self, prompts: Sequence[str], variation: int = 0) -> list[Scene]:
        self.pictures += len(prompts)
        times: Counter[str] = Counter()
        drawn = []
        for prompt in prompts:
            times[prompt] += 1
            drawn.append(scene_of(parse(prompt), f"{self._seed}/{variation}/{prompt}/{times[prompt]}")[0])
        return drawn

    def edit_images(self, images: Sequence[Scene], instructions: Sequence[str]) -> tuple[list[Scene], list[str]]:
        self.pictures += len(images)
        both: list[Scene] = []
        for image, instruction in zip(images, instructions, strict=True):
            both += [image, edits.edit(image, instruction, 0)[0]]
        return both, [text for instruction in instructions for text in ("Original Image", instruction)]

    def call_neuron(self, images: Sequence[Scene]) -> tuple[list[float], list[Scene]]:
        return [self._truth(image) + self._random.gauss(0, self._noise) for image in images], list(images)

    def dataset_exemplars(self, system: object) -> list[tuple[float, Scene]]:
        values, _ = self.call_neuron(gallery())
        return sorted(zip(values, gallery(), strict=True), key=lambda one: one[0], reverse=True)[:15]

    def describe_images(self, images: Sequence[Scene], titles: Sequence[str]) -> str:
        return "\n".join(f"{title}: {text_of(one)}" for title, one in zip(titles, images, strict=True))

    def display(self, *items: object) -> None:
        for item in items:
            if isinstance(item, str):
                sys.stdout.write(f"{item}\n")

    def measure(self, conditions: dict, control: str, variation: int = 0) -> Measured:
        lines = [f"{'condition':<34}{'n':>4}{'mean':>8}{'sd':>8}{'min':>8}{'max':>8}"]
        images = {}
        for name, given in conditions.items():
            images[name] = self.text2image(given, variation) if isinstance(given[0], str) else given
            values, _ = self.call_neuron(images[name])
            numbers = (statistics.mean(values), statistics.stdev(values), min(values), max(values))
            lines.append(f"{name:<34}{len(values):>4}" + "".join(f"{number:>8.3f}" for number in numbers))
        sys.stdout.write("\n".join(lines) + "\n")
        return Measured(images)


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
