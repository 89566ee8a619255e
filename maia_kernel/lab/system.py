"""Owns the subject of an investigation: a model, the unit under study, and what the unit does on pictures."""

from __future__ import annotations

from collections.abc import Iterable

from PIL.Image import Image
from torch import nn

from maia_kernel.artifacts import Store
from maia_kernel.errors import BadCall, NotAtHand
from maia_kernel.lab import models, tracing
from maia_kernel.lab.asking import open_artifacts
from maia_kernel.lab.calls import Received, receive
from maia_kernel.lab.exemplars import Progress
from maia_kernel.lab.images import as_images, dim, enlarge, original_of, recall
from maia_kernel.lab.subjects import Subject

__all__ = ["System", "cut_exemplars"]

_PIXELS = 4 * 224 * 224  # of a batch; four pictures are fastest on one CPU thread at 224 px, with channels last


@receive(
    call_neuron=Received("activations, masked_images = system.call_neuron(images)", {"image_list": "images"}),
)
class System:
    """A vision model and the one unit of it that is under study.

    Attributes
    ----------
    model_name : str
        Name of the model.
    layer : str
        Dotted path of the layer in the model.
    unit : int
        Number of the unit in the layer (a channel, or an element of a vector such as a logit).
    neuron_num : int
        The same number.
    unit_name : str or None
        Name of the unit where it has one (of a class, for a logit).
    threshold : float
        Activation above which a position of the map counts as active; masks keep what is strictly above it.
    model : torch.nn.Module
        The network itself, for white-box work; raises BadCall for a model that keeps its inside to itself, NotAtHand
        for one that is not on this machine.
    dataset_name : str
        Name of the dataset that exemplars come from.
    dataset_size : int
        Number of its images.

    Examples
    --------
    Which of two concepts drives the unit?

    >>> images = tools.text2image(["a red circle on sand by day", "a blue circle on sand by day"])
    >>> activations, masked_images = system.call_neuron(images)
    >>> for activation, image in zip(activations, masked_images):
    ...     tools.display(image, f"activation {activation:.3f}")
    """

    def __init__(
        self,
        model_name: str,
        layer: str,
        unit: int | str,
        *,
        dataset: str = "scenes",
        progress: Progress | None = None,
        store: Store | None = None,
    ):
        self._store = open_artifacts() if store is None else store
        self._subject = Subject(model_name, layer, unit, dataset, self._store, progress)
        facts = self._subject.facts
        self.model_name, self.layer = model_name, layer
        self.unit = self.neuron_num = facts.unit
        self.unit_name = facts.unit_name
        self.threshold = facts.threshold
        self.dataset_name, self.dataset_size = facts.dataset_name, facts.dataset_size

    @property
    def model(self) -> nn.Module:
        """The network itself."""
        module = self._subject.at_hand().module
        sealed = getattr(module, "sealed", "")
        if sealed:
            raise BadCall(f"system.model is not for looking at here: {sealed}; study the unit with system.call_neuron")
        return module

    def call_neuron(self, images: Iterable[object]) -> tuple[list[float], list[Image]]:
        """Measure the unit's activation on pictures, and show where in each picture it is active.

        Parameters
        ----------
        images : list of images
            Any number. Of a masked image the original is used.

        Returns
        -------
        activations : list of float
            One per image: the largest value of the unit's activation map (of a logit, its value).
        masked_images : list of PIL.Image.Image
            One per image, where the map exceeds `system.threshold`; the rest is dimmed to a quarter. An image without
            any such place is dimmed as a whole.

        Examples
        --------
        Is the activation about the object or about its background?

        >>> prompts = ["a star on grass", "a star on water", "no objects on grass", "no objects on water"]
        >>> activations, masked_images = system.call_neuron(tools.text2image(prompts))
        >>> for prompt, activation in zip(prompts, activations):
        ...     print(f"{prompt}: {activation:.3f}")
        """
        originals = [original_of(image) for image in as_images(images)]
        model, unit = self._subject.at_hand(), self._subject.unit
        for i, image in enumerate(originals):
            if recall(image, "withheld"):
                raise NotAtHand(
                    f"image {i} is a placeholder: pictures of the dataset {self.dataset_name} were left out of the "
                    "artifacts; run this where the dataset is at hand"
                )
        activations: list[float] = []
        masked: list[Image] = []
        for batch in models.batches(model, originals, pixels=_PIXELS):
            maps = tracing.watch(model.module, {self.layer: unit.maps}, batch)[self.layer].float()
            activations += [round(value, 6) for value in unit.activations(maps).tolist()]
            for activation_map in maps.numpy():
                original = originals[len(masked)]
                masked.append(dim(original, enlarge(activation_map, original.size) > self.threshold))
        return activations, masked

    def __str__(self) -> str:
        facts = self._subject.facts
        name = f", '{self.unit_name}'" if self.unit_name else ""
        return (
            f"unit {self.unit} of {facts.units} in {self.layer} of {self.model_name}{name}; "
            f"activation: {self._subject.unit.pooling}; mask threshold {self.threshold:.3g} ({facts.rule})"
        )

    def __repr__(self) -> str:
        return f"<System: {self}>"


def cut_exemplars(system: System, count: int) -> list[tuple[float, Image]]:
    """Return (activation, masked picture) of a system's best exemplars, best first, at most as many as were kept."""
    return system._subject.exemplars(count, system.call_neuron)
