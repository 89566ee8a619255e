"""Owns the subject of an investigation: a model, the unit under study, and what the unit does on pictures."""

from __future__ import annotations

from collections.abc import Iterable

from PIL.Image import Image
from torch import nn

from maia_kernel.errors import BadCall
from maia_kernel.lab import models, tracing
from maia_kernel.lab.calls import Received, receive
from maia_kernel.lab.datasets import find_dataset, pictures
from maia_kernel.lab.exemplars import Progress, open_store
from maia_kernel.lab.images import as_image, as_images, dim, enlarge, original_of

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
        The network itself, for white-box work; raises BadCall for a model that keeps its inside to itself.
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
    ):
        subject = models.load_model(model_name)
        self._dataset = find_dataset(dataset)
        self._layer = models.layer_of(subject, layer, next(pictures(self._dataset)))
        self._unit = self._layer.unit(models.unit_number(subject, self._layer, unit))
        self._subject = subject
        self._exemplars = open_store(subject, self._dataset, layer, progress)
        self.model_name = model_name
        self.dataset_name, self.dataset_size = self._dataset.name, len(self._dataset)
        self.layer = layer
        self.unit = self.neuron_num = self._unit.index
        known = subject.unit_names(layer)
        self.unit_name = known[self.unit] if known else None
        self.threshold, self._rule = self._exemplars.threshold(layer, self.unit)

    @property
    def model(self) -> nn.Module:
        """The network itself."""
        sealed = getattr(self._subject.module, "sealed", "")
        if sealed:
            raise BadCall(f"system.model is not for looking at here: {sealed}; study the unit with system.call_neuron")
        return self._subject.module

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
        activations: list[float] = []
        masked: list[Image] = []
        for batch in models.batches(self._subject, originals, pixels=_PIXELS):
            maps = tracing.watch(self._subject.module, {self.layer: self._unit.maps}, batch)[self.layer].float()
            activations += [round(value, 6) for value in self._unit.activations(maps).tolist()]
            for activation_map in maps.numpy():
                original = originals[len(masked)]
                masked.append(dim(original, enlarge(activation_map, original.size) > self.threshold))
        return activations, masked

    def __str__(self) -> str:
        name = f", '{self.unit_name}'" if self.unit_name else ""
        return (
            f"unit {self.unit} of {self._layer.units} in {self.layer} of {self.model_name}{name}; "
            f"activation: {self._unit.pooling}; mask threshold {self.threshold:.3g} ({self._rule})"
        )

    def __repr__(self) -> str:
        return f"<System: {self}>"


def cut_exemplars(system: System, count: int) -> list[tuple[float, Image]]:
    """Return (activation, masked picture) of a system's best exemplars, best first, at most as many as were kept."""
    best = system._exemplars.best(system.layer, system.unit, count)
    _, masked = system.call_neuron([as_image(system._dataset[number]) for _, number in best])
    return [(round(activation, 6), image) for (activation, _), image in zip(best, masked, strict=True)]
