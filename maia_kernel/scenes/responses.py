"""The synthetic neurons as a network: their truth applied to what a detector finds in the pixels.

The detector is not the captioner: it is narrower, and was trained from another seed on other pictures. Its
probabilities are made soft, so that activations are graded, as the detection scores of MAIA's synthetic neurons are
(Rott Shaham et al. 2024, section 4.2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from maia_kernel.errors import UsageError
from maia_kernel.scenes.networks import CELL, CELLS, Detector, read_weights, to_tensor
from maia_kernel.scenes.neurons import LAYERS, Neuron, mixed, neurons, table
from maia_kernel.scenes.perception import gather
from maia_kernel.scenes.scene import ATTRIBUTES, MOST, OBJECT_FAMILIES, RADIUS, SIDE, VOCABULARY

MAP = 16  # activation maps are MAP x MAP
SOFTNESS = 4.0  # the detector's logits are divided by it
GAP = 4.0  # pixels between two centres from which on one object is rather left of the other than not
_EDGE = 1.5  # pixels over which that changes

_PLACE = {word: place for place, word in enumerate(ATTRIBUTES)}
_OF_OBJECTS = sum(len(VOCABULARY[family]) for family in OBJECT_FAMILIES)  # the first words of ATTRIBUTES
_STARTS = dict(zip(VOCABULARY, accumulate((len(words) for words in VOCABULARY.values()), initial=0), strict=False))


@dataclass(frozen=True)
class Sight:
    """What the detector finds in N pictures; a picture has ``MOST`` places for objects, empty ones have confidence 0.

    Attributes
    ----------
    objects : Tensor (N, MOST, 23)
        For each object and each word about objects, confidence times probability.
    scene : Tensor (N, 32)
        Probabilities of backgrounds and lights; 0 for words about objects.
    confidence : Tensor (N, MOST)
        That there is an object.
    x : Tensor (N, MOST)
        Centres, in pixels from the left.
    discs : Tensor (N, MOST, MAP, MAP)
        1 where an object is, else 0.
    """

    objects: Tensor
    scene: Tensor
    confidence: Tensor
    x: Tensor
    discs: Tensor

    def best(self, word: str) -> Tensor:
        """How sure it is that a word holds somewhere in the picture, (N,)."""
        if _PLACE[word] < _OF_OBJECTS:
            return self.objects[:, :, _PLACE[word]].amax(1)
        return self.scene[:, _PLACE[word]]


class Eye(nn.Module):
    """Pictures (N, 3, 64, 64) to a :class:`Sight`."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = Detector(Detector.NARROW)

    def forward(self, x: Tensor) -> Sight:
        parts = self.detector(x)
        count = len(x)
        centres = (torch.arange(CELLS) + 0.5) * CELL
        across = (parts["offset"][:, 0] * CELL + centres).numpy()
        down = (parts["offset"][:, 1] * CELL + centres[:, None]).numpy()
        objectness = parts["object"][:, 0].sigmoid().numpy()
        votes = torch.zeros(count, MOST, CELLS, CELLS)
        confidence, where = torch.zeros(count, MOST), torch.zeros(count, MOST, 2)
        for n in range(count):
            for place, (sure, weight) in enumerate(gather(objectness[n], across[n], down[n])):
                votes[n, place] = torch.from_numpy(weight)
                confidence[n, place] = sure
                where[n, place] = torch.tensor([(across[n] * weight).sum(), (down[n] * weight).sum()])
        soft = [
            (torch.einsum("nchw,nmhw->nmc", parts[family], votes) / SOFTNESS).softmax(2) for family in OBJECT_FAMILIES
        ]
        scene = torch.zeros(count, len(ATTRIBUTES))
        for family in ("background", "light"):
            start = _STARTS[family]
            scene[:, start : start + len(VOCABULARY[family])] = (parts[family] / SOFTNESS).softmax(1)
        sizes = soft[OBJECT_FAMILIES.index("size")].argmax(2)
        discs = _discs(where, sizes) * (confidence > 0)[:, :, None, None]
        return Sight(torch.cat(soft, 2) * confidence[:, :, None], scene, confidence, where[:, :, 0], discs)


def _discs(where: Tensor, sizes: Tensor) -> Tensor:
    middle = (torch.arange(MAP) + 0.5) * SIDE / MAP
    radius = torch.tensor([RADIUS[size] for size in VOCABULARY["size"]])[sizes]
    distance = torch.hypot(middle - where[:, :, 0, None, None], middle[:, None] - where[:, :, 1, None, None])
    return (distance <= radius[:, :, None, None]).float()


class Units(nn.Module):
    """One layer: a sight to maps (N, units, MAP, MAP), 0 to 1.

    An object that makes a unit respond is shown by its disc; what is about the scene, or about an absence, lies on the
    ground between the objects.
    """

    def __init__(self, units: tuple[Neuron, ...]):
        super().__init__()
        self._units = units

    def forward(self, sight: Sight) -> Tensor:
        answers = [_FORMS[unit.form](unit, sight) for unit in self._units]
        at_objects = torch.stack([objects for objects, _ in answers], 1)  # (N, units, MOST)
        at_ground = torch.stack([ground for _, ground in answers], 1)  # (N, units)
        shown = (at_objects[..., None, None] * sight.discs[:, None]).amax(2)
        bare = 1 - sight.discs.amax(1)
        return torch.maximum(shown, at_ground[..., None, None] * bare[:, None])


class Mixed(nn.Module):
    """All units of all layers in one order."""

    def __init__(self, order: list[int]):
        super().__init__()
        self.register_buffer("order", torch.tensor(order))

    def forward(self, maps: list[Tensor]) -> Tensor:
        assert isinstance(self.order, Tensor)
        return torch.cat(maps, 1)[:, self.order]


class Neurons(nn.Module):
    """The layers ``mono``, ``or``, ``and``, ``beyond`` and ``mixed`` of one world."""

    sealed = "what the synthetic neurons are made of is the truth that an investigation is to find"
    unit_layers = (*LAYERS, "mixed")

    def __init__(self, world_seed: int = 0):
        super().__init__()
        self.eye = Eye()
        world = neurons(world_seed)
        for layer, units in world.items():
            self.add_module(layer, Units(units))
        starts = dict(zip(world, accumulate((len(units) for units in world.values()), initial=0), strict=False))
        self.mixed = Mixed([starts[layer] + number for layer, number in mixed(world_seed)])
        # A model's revision is the hash of its buffers and weights: the truth belongs to it.
        digest = hashlib.sha256(table(world_seed).encode()).digest()
        self.register_buffer("truth", torch.from_numpy(np.frombuffer(digest, np.uint8).copy()))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (N, 3, 64, 64) to the maps of ``mixed``."""
        sight = self.eye(x)
        maps: Tensor = self.mixed([self.get_submodule(layer)(sight) for layer in LAYERS])
        return maps


def build(world_seed: str = "0") -> tuple[nn.Module, Callable[[Image.Image], Tensor]]:
    """The model ``scenes-neurons``, or ``scenes-neurons@7`` for the neurons of world seed 7.

    Raises
    ------
    UsageError
        For a world seed that is no number from 0.
    """
    if not world_seed.isdecimal():
        raise UsageError(f"scenes-neurons@{world_seed}: a world seed is a number from 0")
    network = Neurons(int(world_seed))
    network.eye.detector.load_state_dict(read_weights("detector")[0])
    return network.eval(), to_tensor


# -- what a unit answers: (at each object (N, MOST), at the ground (N,)) -----------------------------------------------


def _any(unit: Neuron, sight: Sight) -> tuple[Tensor, Tensor]:
    at_objects, at_ground = torch.zeros_like(sight.confidence), torch.zeros(len(sight.confidence))
    for word, strength in zip(unit.words, unit.strengths, strict=True):
        if _PLACE[word] < _OF_OBJECTS:
            at_objects = torch.maximum(at_objects, strength * sight.objects[:, :, _PLACE[word]])
        else:
            at_ground = torch.maximum(at_ground, strength * sight.scene[:, _PLACE[word]])
    return at_objects, at_ground


def _object(unit: Neuron, sight: Sight) -> tuple[Tensor, Tensor]:
    scores = sight.objects[:, :, [_PLACE[word] for word in unit.words]]
    return scores.amin(2), torch.zeros(len(scores))


def _image(unit: Neuron, sight: Sight) -> tuple[Tensor, Tensor]:
    both = torch.stack([sight.best(word) for word in unit.words]).amin(0)
    of_objects = [_PLACE[word] for word in unit.words if _PLACE[word] < _OF_OBJECTS]
    at_objects = torch.zeros_like(sight.confidence)
    if of_objects:
        at_objects = torch.minimum(sight.objects[:, :, of_objects].amax(2), both[:, None])
    return at_objects, both if len(of_objects) < len(unit.words) else torch.zeros_like(both)


def _left(unit: Neuron, sight: Sight) -> tuple[Tensor, Tensor]:
    first, second = (sight.objects[:, :, _PLACE[word]] for word in unit.words)
    before = ((sight.x[:, None, :] - sight.x[:, :, None] - GAP) / _EDGE).sigmoid()
    pairs = torch.minimum(first[:, :, None], second[:, None, :]) * before * ~torch.eye(MOST, dtype=torch.bool)
    return torch.maximum(pairs.amax(2), pairs.amax(1)), torch.zeros(len(pairs))


def _repeated(unit: Neuron, sight: Sight) -> tuple[Tensor, Tensor]:
    scores = sight.objects[:, :, _PLACE[unit.words[0]]]
    return torch.minimum(scores, scores.sort(1, descending=True).values[:, 1:2]), torch.zeros(len(scores))


def _exactly(unit: Neuron, sight: Sight) -> tuple[Tensor, Tensor]:
    ranked = sight.confidence.sort(1, descending=True).values
    so_many = torch.minimum(ranked[:, unit.count - 1], 1 - ranked[:, unit.count])
    return torch.minimum(sight.confidence, so_many[:, None]), torch.zeros_like(so_many)


def _not(unit: Neuron, sight: Sight) -> tuple[Tensor, Tensor]:
    return torch.zeros_like(sight.confidence), 1 - sight.best(unit.words[0])


def _same(unit: Neuron, sight: Sight) -> tuple[Tensor, Tensor]:
    agree = torch.minimum(sight.confidence[:, :, None], sight.confidence[:, None, :])
    for family in unit.words:
        start = _STARTS[family]
        scores = sight.objects[:, :, start : start + len(VOCABULARY[family])]
        odds = scores / scores.sum(2, keepdim=True).clamp(min=1e-6)
        agree = agree * torch.einsum("nic,njc->nij", odds, odds)
    return (agree * ~torch.eye(MOST, dtype=torch.bool)).amax(2), torch.zeros(len(agree))


_FORMS: dict[str, Callable[[Neuron, Sight], tuple[Tensor, Tensor]]] = {
    "any": _any,
    "object": _object,
    "image": _image,
    "left": _left,
    "repeated": _repeated,
    "exactly": _exactly,
    "not": _not,
    "same": _same,
}
