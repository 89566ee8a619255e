"""The truth about the synthetic neurons: what each responds to, made from a world seed. No network, no pixels.

    python -m maia_kernel.scenes.neurons --world-seed 0

prints the list that stands beside this file as ``neurons.tsv``. Four layers: ``mono`` (one word), ``or`` (two words,
either of which suffices, the second a little weaker), ``and`` (two words that are needed together; the first
``BOUND`` units want both on one object, the others anywhere in the picture) and ``beyond`` (rules that no disjunction
of two, and no pair of words can say). ``mixed`` holds all of them in a shuffled order.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from pathlib import Path
from typing import TypeVar

from maia_kernel.scenes.scene import ATTRIBUTES, OBJECT_FAMILIES, VOCABULARY, draw

LAYERS = ("mono", "or", "and", "beyond")
UNITS = 32  # of each layer
BOUND = 8  # of the layer "and" want both words on one object
WEAKEST = 0.6  # strength of an OR's further words, at least; the first has 1
LIST = Path(__file__).with_name("neurons.tsv")  # of world seed 0

T = TypeVar("T")
Concepts = frozenset[frozenset[str]]

_FAMILY = {word: family for family, words in VOCABULARY.items() for word in words}
_OF_OBJECTS = tuple(word for word in ATTRIBUTES if _FAMILY[word] in OBJECT_FAMILIES)


@dataclass(frozen=True)
class Neuron:
    """One synthetic neuron.

    Attributes
    ----------
    kind : str
        Its layer: "mono", "or", "and" or "beyond".
    form : str
        How the words are joined: "any", "object" (all on one object), "image" (all in the picture), "left" (an object
        of the first word left of one of the second), "repeated" (at least two objects of the word), "exactly" (so many
        objects), "not" (nothing of the word) or "same" (two objects that agree in these families).
    words : tuple of str
        Words of the vocabulary; families of it where the form is "same"; none where it is "exactly".
    strengths : tuple of float
        One per word for the form "any": the activation that the word alone can bring, 0 to 1.
    count : int
        Of objects, where the form is "exactly".
    """

    kind: str
    form: str
    words: tuple[str, ...] = ()
    strengths: tuple[float, ...] = ()
    count: int = 0

    @property
    def concepts(self) -> Concepts:
        """The truth as a disjunction of conjunctions of words; empty where it has no such form."""
        if self.form == "any":
            return frozenset(frozenset((word,)) for word in self.words)
        return frozenset((frozenset(self.words),)) if self.form in ("object", "image") else frozenset()

    @property
    def rule(self) -> str:
        """The truth in words, such as "red AND circle, on one object"."""
        first, second = (*self.words, "", "")[:2]
        return {
            "any": " OR ".join(self.words),
            "object": f"{' AND '.join(self.words)}, on one object",
            "image": f"{' AND '.join(self.words)}, anywhere in the picture",
            "left": f"{first} left of {second}",
            "repeated": f"{first} at least twice",
            "exactly": f"exactly {self.count} object{'s' if self.count != 1 else ''}",
            "not": f"NOT {first}",
            "same": f"two objects of the same {' and '.join(self.words)}",
        }[self.form]


@lru_cache(maxsize=4)
def neurons(world_seed: int = 0) -> dict[str, tuple[Neuron, ...]]:
    """The neurons of a world: layer -> ``UNITS`` of them, no two alike in a layer."""
    layers = {
        "mono": [Neuron("mono", "any", (word,), (1.0,)) for word in _shuffled(ATTRIBUTES, world_seed, "mono")],
        "or": _disjunctions("or", 2, UNITS, world_seed),
        "and": _conjunctions(world_seed),
        "beyond": _beyond(world_seed),
    }
    return {layer: tuple(units) for layer, units in layers.items()}


def mixed(world_seed: int = 0) -> tuple[tuple[str, int], ...]:
    """The order of the layer ``mixed``: its unit ``i`` is the unit ``(layer, number)`` at place ``i``."""
    return tuple(_shuffled(list(product(LAYERS, range(UNITS))), world_seed, "mixed"))


def table(world_seed: int = 0) -> str:
    """The list of a world, tab-separated: layer, unit, unit of ``mixed``, rule, strengths."""
    place = {unit: number for number, unit in enumerate(mixed(world_seed))}
    lines = ["layer\tunit\tmixed\trule\tstrengths"]
    for layer, units in neurons(world_seed).items():
        for number, unit in enumerate(units):
            strengths = " ".join(f"{strength:.2f}" for strength in unit.strengths)
            lines.append(f"{layer}\t{number}\t{place[layer, number]}\t{unit.rule}\t{strengths}")
    return "\n".join(lines) + "\n"


def _disjunctions(kind: str, size: int, count: int, world_seed: int) -> list[Neuron]:
    found = []
    for words in _shuffled(list(combinations(ATTRIBUTES, size)), world_seed, kind, size)[:count]:
        order = _shuffled(words, world_seed, kind, *words)
        weaker = [WEAKEST + (1 - WEAKEST) * draw(world_seed, kind, *order, n) for n in range(1, size)]
        found.append(Neuron(kind, "any", tuple(order), (1.0, *(round(strength, 2) for strength in weaker))))
    return found


def _conjunctions(world_seed: int) -> list[Neuron]:
    """No two scene words of one family: a picture has one background and one light."""
    apart = [pair for pair in combinations(_OF_OBJECTS, 2) if _FAMILY[pair[0]] != _FAMILY[pair[1]]]
    bound = _shuffled(apart, world_seed, "object")[:BOUND]
    scene = [pair for pair in combinations(ATTRIBUTES, 2) if _FAMILY[pair[0]] != _FAMILY[pair[1]]]
    free = [pair for pair in scene + list(combinations(_OF_OBJECTS, 2)) if pair not in bound]
    free = _shuffled(sorted(set(free)), world_seed, "image")[: UNITS - BOUND]
    return [Neuron("and", "object", pair) for pair in bound] + [Neuron("and", "image", pair) for pair in free]


def _beyond(world_seed: int) -> list[Neuron]:
    ordered = [(a, b) for a, b in product(_OF_OBJECTS, repeat=2) if a != b]
    left = [Neuron("beyond", "left", pair) for pair in _shuffled(ordered, world_seed, "left")[:7]]
    words = _shuffled(_OF_OBJECTS, world_seed, "repeated")[:4]
    counted = [Neuron("beyond", "repeated", (word,)) for word in words]
    counted += [Neuron("beyond", "exactly", count=count) for count in (1, 2, 3)]
    # "Not day" would be "dusk or night": words of the small families are left out.
    denied = [*VOCABULARY["shape"], *VOCABULARY["colour"], *VOCABULARY["background"]]
    without = [Neuron("beyond", "not", (word,)) for word in _shuffled(denied, world_seed, "not")[:6]]
    agreeing = [(family,) for family in OBJECT_FAMILIES] + list(combinations(OBJECT_FAMILIES, 2))
    same = [Neuron("beyond", "same", families) for families in _shuffled(agreeing, world_seed, "same")[:6]]
    return [*left, *counted, *without, *_disjunctions("beyond", 3, 6, world_seed), *same]


def _shuffled(values: Sequence[T], *keys: object) -> list[T]:
    """The values in an order that is a function of the keys."""
    return [value for _, value in sorted((draw(*keys, place), value) for place, value in enumerate(values))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the list of a world."""
    parser = argparse.ArgumentParser(prog="python -m maia_kernel.scenes.neurons", description=__doc__)
    parser.add_argument("--world-seed", type=int, default=0)
    sys.stdout.write(table(parser.parse_args(arguments).world_seed))


if __name__ == "__main__":
    main()
