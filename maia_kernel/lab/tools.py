"""Owns what the agent may call besides the system: pictures, edits, descriptions, measurements, display."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from PIL.Image import Image

from maia_kernel.errors import BadCall, UnknownName
from maia_kernel.lab import generators
from maia_kernel.lab.calls import Received, receive
from maia_kernel.lab.describers import Describer
from maia_kernel.lab.images import as_image, as_images, is_image, original_of
from maia_kernel.lab.manipulation import drawn_from, edited_from, examine, sound
from maia_kernel.lab.measuring import Measurement, effects_over, table
from maia_kernel.lab.payloads import hash_of_original
from maia_kernel.lab.plots import strip_plot
from maia_kernel.lab.showing import say, show, show_picture
from maia_kernel.lab.stored import StoredDescriber, StoredEditor, StoredGenerator
from maia_kernel.lab.system import System, cut_exemplars

__all__ = ["Tools"]

T = TypeVar("T")


@receive(
    dataset_exemplars=Received("exemplar_data = tools.dataset_exemplars(system)"),
    text2image=Received('images = tools.text2image(["a red circle", "a blue star"])', {"prompt_list": "prompts"}),
    edit_images=Received(
        'all_images, all_prompts = tools.edit_images(images, ["replace the circle with a star"] * len(images))',
        {"base_images": "images", "editing_prompts": "instructions"},
    ),
    describe_images=Received(
        'tools.describe_images(masked_images, [f"exemplar {i}" for i in range(len(masked_images))])',
        {"image_list": "images", "image_title": "titles", "image_titles": "titles"},
    ),
    summarize_images=Received("tools.summarize_images(masked_images)", {"image_list": "images"}),
    measure=Received(
        'tools.measure({"with circle": "a red circle on sand", "without": "a red square on sand"}, repeats=6)'
    ),
)
class Tools:
    """Experiments on the unit under study.

    Wherever an image is expected, anything image-like will do: a PIL image, a data URL or base64 string, bytes, a path,
    a numpy array or a torch tensor. Where a masked image is given, `call_neuron` and `edit_images` use its original.
    Images are reproducible: the same call gives the same images, another `variation` gives others.

    Attributes
    ----------
    images_made : int
        Number of images generated and edited so far.

    Examples
    --------
    Start with the dataset images that excite the unit most, then test what they have in common.

    >>> exemplar_data = tools.dataset_exemplars(system)
    >>> for activation, image in exemplar_data:
    ...     tools.display(image, f"activation {activation:.3f}")
    >>> masked_images = [image for _, image in exemplar_data]
    >>> print(tools.summarize_images(masked_images))
    """

    def __init__(
        self,
        system: System,
        generator: str | generators.Generator = "scenes",
        editor: str | generators.Editor = "scenes",
        describer: str | Describer = "scenes",
        *,
        seed: int = 0,
    ):
        self._system = system
        self._generator = StoredGenerator(generator, system._store)
        self._editor = StoredEditor(editor, system._store)
        self._describer = StoredDescriber(describer, system._store)
        self._seed = seed
        self.images_made = 0

    def dataset_exemplars(self, system: System, count: int = 15) -> list[tuple[float, Image]]:
        """Return the dataset images that excite the unit most.

        Parameters
        ----------
        system : System
            The system under study.
        count : int
            How many, at most 64. Looking beyond the first 15 helps where these all show one of several concepts.

        Returns
        -------
        list of (float, PIL.Image.Image)
            Activation and masked image (only what excites the unit is bright), the largest activation first.

        Examples
        --------
        >>> for activation, image in tools.dataset_exemplars(system):
        ...     tools.display(image, f"activation {activation:.3f}")
        """
        if not isinstance(system, System):
            raise BadCall("dataset_exemplars: the argument is the system; call tools.dataset_exemplars(system)")
        if not isinstance(count, int) or count < 1:
            raise BadCall(f"dataset_exemplars: count is a number from 1 to 64, not {count!r}")
        return cut_exemplars(system, count)

    def text2image(self, prompts: Sequence[str], *, variation: int = 0) -> list[Image]:
        """Draw one image per prompt.

        Parameters
        ----------
        prompts : list of str
            A prompt that stands in the list several times gives as many different images.
        variation : int
            Another number gives other images of the same prompts.

        Returns
        -------
        list of PIL.Image.Image
            In the order of the prompts. What the generator could not draw is printed.

        Examples
        --------
        Minimal pairs: everything but one attribute stays the same.

        >>> prompts = ["a large red circle on sand by day", "a large red square on sand by day"]
        >>> activations, masked_images = system.call_neuron(tools.text2image(prompts))
        >>> for prompt, activation, image in zip(prompts, activations, masked_images):
        ...     tools.display(image, f"{prompt}: {activation:.3f}")
        """
        requests = _texts(prompts, "text2image", "prompts", 'tools.text2image(["a red circle", "a blue star"])')
        seeds = generators.seeds(self._seed, self._generator, [(prompt,) for prompt in requests], variation)
        drawn = _noted(self._generator.generate(requests, seeds), requests) if requests else []
        self.images_made += len(drawn)
        return [drawn_from(picture, prompt, notes) for (picture, notes), prompt in zip(drawn, requests, strict=True)]

    def edit_images(
        self, images: Sequence[object], instructions: Sequence[str], *, variation: int = 0
    ) -> tuple[list[Image], list[str]]:
        """Change images by instruction, and return originals and edited images side by side.

        Parameters
        ----------
        images : list of images or of prompts
            What to edit; a prompt is drawn first. A single image is edited by every instruction.
        instructions : list of str
            One per image; a single instruction is applied to every image.
        variation : int
            Another number gives other images, where the editor leaves room.

        Returns
        -------
        all_images : list of PIL.Image.Image
            Interleaved: first original, first edited, second original, second edited, …
        all_prompts : list of str
            Of an original its prompt, or "Original Image" where an image was given; of an edited image its
            instruction.

        Examples
        --------
        Does the activation fall when the suspected cause is taken away?

        >>> images = ["a red circle on sand", "a red circle on water"]
        >>> edits = ["remove the circle", "make the circle blue"]
        >>> all_images, all_prompts = tools.edit_images(images, edits)
        >>> activations, masked_images = system.call_neuron(all_images)
        >>> for prompt, activation, image in zip(all_prompts, activations, masked_images):
        ...     tools.display(image, f"{prompt}: {activation:.3f}")
        """
        usage = "tools.edit_images(images, instructions) with one instruction per image"
        edits = _texts(instructions, "edit_images", "instructions", usage)
        originals, names = self._bases(images, variation)
        if len(originals) == 1:
            originals, names = originals * len(edits), names * len(edits)
        elif len(edits) == 1:
            edits = edits * len(originals)
        if len(originals) != len(edits):
            raise BadCall(f"edit_images: {len(originals)} images but {len(edits)} instructions; call {usage}")
        requests = [(hash_of_original(image), edit) for image, edit in zip(originals, edits, strict=True)]
        seeds = generators.seeds(self._seed, self._editor, requests, variation)
        pictures = [one for one, _ in _noted(self._editor.edit(originals, edits, seeds), edits)] if edits else []
        self.images_made += len(pictures)
        edited = [edited_from(*one) for one in zip(pictures, originals, edits, strict=True)]
        return _interleaved(originals, edited), _interleaved(names, edits)

    def describe_images(self, images: Sequence[object], titles: Sequence[str] | str | None = None) -> str:
        """Describe images blindly: the describer sees the images and nothing else, no hypothesis and no title.

        Parameters
        ----------
        images : list of images
            Of a masked image only what is unmasked is described.
        titles : list of str
            One per image; heads its description.

        Returns
        -------
        str
            One line per image, "title: description".

        Examples
        --------
        What stands in the bright regions of the exemplars?

        >>> exemplar_data = tools.dataset_exemplars(system)
        >>> masked_images = [image for _, image in exemplar_data]
        >>> titles = [f"exemplar {i}, activation {activation:.3f}" for i, (activation, _) in enumerate(exemplar_data)]
        >>> print(tools.describe_images(masked_images, titles))
        """
        pictures = as_images(images)
        if titles is None:
            titles = [f"image {i}" for i in range(1, len(pictures) + 1)]
        heads = _texts(titles, "describe_images", "titles", "tools.describe_images(images, titles)")
        if len(heads) == 1 < len(pictures):
            heads = [f"{heads[0]} {i}" for i in range(1, len(pictures) + 1)]
        if len(heads) != len(pictures):
            raise BadCall(
                f"describe_images: {len(pictures)} images but {len(heads)} titles; call tools.describe_images(images, "
                "titles) with one title per image"
            )
        texts = self._describer.describe(pictures) if pictures else []
        return "\n".join(f"{head}: {' '.join(text.split())}" for head, text in zip(heads, texts, strict=True))

    def summarize_images(self, images: Sequence[object]) -> str:
        """Say what images have in common, blindly.

        Parameters
        ----------
        images : list of images
            Of masked images only what is unmasked counts.

        Returns
        -------
        str
            A text that starts with "[COMMON]: ".

        Examples
        --------
        >>> print(tools.summarize_images([image for _, image in tools.dataset_exemplars(system)]))
        """
        pictures = as_images(images)
        if not pictures:
            raise BadCall("summarize_images: the list is empty; call tools.summarize_images(images) with images in it")
        text = self._describer.summarize(pictures)
        return text if text.startswith("[COMMON]: ") else f"[COMMON]: {text}"

    def display(self, *items: object) -> None:
        """Show text, numbers, images, lists of these, (activation, image) pairs and matplotlib figures, in order.

        Parameters
        ----------
        *items
            A string right after an image is the image's caption.

        Examples
        --------
        >>> tools.display("Largest first:", *tools.dataset_exemplars(system)[:5])
        >>> image = tools.text2image(["a green ring in snow"])[0]
        >>> tools.display(image, "a green ring in snow")
        """
        show(*items)

    def measure(
        self,
        conditions: Mapping[str, object],
        control: str | None = None,
        repeats: int = 4,
        variation: int = 0,
    ) -> Measurement:
        """Compare the unit's activation between named conditions: a controlled experiment in one call.

        Prints for each condition the number of images and the mean, standard deviation, minimum and maximum of the
        activation; for each condition but the control its effect over the control: the difference of the means with a
        95 % interval, the standardised difference d (Hedges' g) and the p value of a permutation test. Shows all
        activations in a plot.

        Where the generator has a vocabulary, a manipulation check follows: which images, drawn from a prompt or edited,
        do not show what was asked for, or show what was kept out or an edit changed unasked, by a blind description
        (wrong for about one image in a hundred; counts are not checked); then the table and the effects without these
        images, hollow in the plot.

        Parameters
        ----------
        conditions : dict
            From the name of a condition to a prompt (drawn `repeats` times), a list of prompts (each drawn once), or a
            list of images.
        control : str
            The condition that the others are compared with; the last one unless given.
        repeats : int
            Images per single prompt. With fewer than 4 the interval says little.
        variation : int
            Another number gives other images of the same prompts: a replication.

        Returns
        -------
        Measurement
            `.conditions` (dict of lists of activations), `.images` (dict of lists of images), `.effects` (one per
            condition but the control, each with `.condition`, `.control`, `.difference`, `.low`, `.high`, `.d`, `.p`),
            `.checks` (dict of lists, one per image, each None or with `.ok`, `.missing`, `.leaked`, `.unwanted`,
            `.seen`), `.effects_checked` (the effects without the images that failed).

        Examples
        --------
        Is it the circle, the colour, or both?

        >>> result = tools.measure({
        ...     "red circle": "a red circle on sand by day",
        ...     "blue circle": "a blue circle on sand by day",
        ...     "red square": "a red square on sand by day",
        ...     "blue square": "a blue square on sand by day",
        ... }, control="blue square", repeats=6)
        >>> tools.display(result.images["red circle"][0], "one of the red circles")
        """
        usage = "tools.measure({'with': prompt, 'without': prompt})"
        if not isinstance(conditions, Mapping) or not conditions:
            raise BadCall(f"measure: conditions is a dict from names to prompts or images; call {usage}")
        named = {str(name): value for name, value in conditions.items()}
        control = list(named)[-1] if control is None else str(control)
        if control not in named:
            raise UnknownName("condition for control", control, named)
        if not isinstance(repeats, int) or repeats < 1:
            raise BadCall(f"measure: repeats is a number from 1, not {repeats!r}")
        images = {name: self._pictures_of(name, value, repeats, variation) for name, value in named.items()}
        flat, _ = self._system.call_neuron([image for group in images.values() for image in group])
        values: dict[str, list[float]] = {}
        for name, group in images.items():
            values[name], flat = flat[: len(group)], flat[len(group) :]
        effects = effects_over(values, control)
        say(table(values, effects))
        checks, lines = examine(images, self._generator.vocabulary, self._describer)
        for line in lines:
            say(line)
        kept = sound(values, checks)
        effects_checked = effects if kept == values else effects_over(kept, control)
        if kept != values:
            say(f"without the pictures that failed:\n{table(kept, effects_checked)}")
        failed = {name: [check is not None and not check.ok for check in group] for name, group in checks.items()}
        show_picture(strip_plot(values, failed=failed), plain=f"strip plot of {len(values)} conditions", origin="plot")
        return Measurement(values, images, effects, checks, effects_checked)

    def _bases(self, images: object, variation: int) -> tuple[list[Image], list[str]]:
        """Return what to edit: originals, and for each its prompt or "Original Image"."""
        given = [images] if isinstance(images, str) or is_image(images) else images
        if not isinstance(given, Iterable):
            raise BadCall(f"edit_images: images is a list of images or prompts, not a {type(images).__name__}")
        bases = list(given)
        drawn = [isinstance(base, str) and not is_image(base) for base in bases]
        prompts = [str(base) for base, is_prompt in zip(bases, drawn, strict=True) if is_prompt]
        fresh = iter(self.text2image(prompts, variation=variation))
        originals = [
            next(fresh) if is_prompt else original_of(as_image(base))
            for base, is_prompt in zip(bases, drawn, strict=True)
        ]
        names = [str(base) if is_prompt else "Original Image" for base, is_prompt in zip(bases, drawn, strict=True)]
        return originals, names

    def _pictures_of(self, name: str, value: object, repeats: int, variation: int) -> list[Image]:
        """Return the images of one condition of `measure`."""
        if isinstance(value, str) and not is_image(value):
            return self.text2image([value] * repeats, variation=variation)
        if isinstance(value, (list, tuple)) and not value:
            raise BadCall(f"measure: condition '{name}' is empty; give a prompt, a list of prompts or a list of images")
        if isinstance(value, (list, tuple)) and all(isinstance(part, str) and not is_image(part) for part in value):
            return self.text2image(list(value), variation=variation)
        return [original_of(image) for image in as_images(value)]

    def __repr__(self) -> str:
        return (
            f"<Tools: generator {self._generator.name}, editor {self._editor.name}, describer {self._describer.name}>"
        )


def _texts(values: object, call: str, what: str, usage: str) -> list[str]:
    """Return a list of strings; a single string counts as a list of one."""
    if isinstance(values, str):
        return [values]
    if not isinstance(values, Iterable):
        raise BadCall(f"{call}: {what} is a list of strings, not a {type(values).__name__}; call {usage}")
    texts = list(values)
    for i, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            found = "empty" if isinstance(text, str) else f"a {type(text).__name__}"
            raise BadCall(f"{call}: {what} holds strings, but number {i} is {found}; call {usage}")
    return texts


def _noted(drawn: generators.Drawn, requests: Sequence[str]) -> generators.Drawn:
    """Print what a backend has to say about its pictures, each thing once, and return what it drew."""
    notes = [
        f"note on '{text}': {note}" for (_, several), text in zip(drawn, requests, strict=True) for note in several
    ]
    for note in dict.fromkeys(notes):
        say(note)
    return drawn


def _interleaved(first: Sequence[T], second: Sequence[T]) -> list[T]:
    return [value for pair in zip(first, second, strict=True) for value in pair]
