"""The embedded world behind the interfaces of the lab: generator, editor, dataset and describer.

The lab knows these four classes by name only; each offers what the same part of a real set-up offers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from maia_kernel.errors import BadCall
from maia_kernel.lab.images import original_of, recall, remember
from maia_kernel.scenes import edits, language, render
from maia_kernel.scenes.scene import VOCABULARY, Scene, from_json, random_scene, to_json

# What determines the pictures of this world; their bytes are its revision.
PICTURES = ("scene", "shapes", "materials", "render")
WORDS = ("lexicon", "language")
EDITS = (*PICTURES, *WORDS, "edits", "perception", "captions")


def revision_of(*modules: str) -> str:
    """A hash of the sources of these modules."""
    here = Path(__file__).parent
    text = "".join((here / f"{module}.py").read_text(encoding="utf-8") for module in modules)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def shown(scene: Scene) -> Image.Image:
    """The picture of a scene, which it remembers as JSON, so that the scene survives the artifact store."""
    return remember(render.picture(scene), scene=to_json(scene))


def scene_of(image: Image.Image) -> Scene | None:
    """The scene that a picture was drawn from; None where it remembers none."""
    data = recall(image, "scene")
    try:
        return from_json(data) if isinstance(data, Mapping) else None
    except BadCall:
        return None


class Painter:
    """Text to image: ``Painter().generate(["a red circle on grass"], [0])``.

    Attributes
    ----------
    name, revision : str
        "scenes", and a hash of the sources that determine a picture.
    vocabulary : dict
        Everything that can be drawn, by family.
    grammar : str
        How a prompt is written, with an example.
    """

    name = "scenes"
    vocabulary: dict[str, tuple[str, ...]] | None = VOCABULARY
    grammar = language.GRAMMAR

    def __init__(self) -> None:
        self.revision = revision_of(*PICTURES, *WORDS)

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[tuple[Image.Image, tuple[str, ...]]]:
        """One image per prompt and seed.

        Parameters
        ----------
        prompts : sequence of str
            See ``grammar``.
        seeds : sequence of int
            One per prompt; what a prompt leaves open is a function of its seed, and for one seed the same in all
            prompts.

        Returns
        -------
        list of (Image, tuple of str)
            A picture of 64 x 64 pixels, and notes on what of its prompt has no meaning here.
        """
        drawn = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            scene, notes = language.scene_of(language.parse(prompt), seed)
            drawn.append((shown(scene), notes))
        return drawn


class Retoucher:
    """Image and instruction to image: ``Retoucher().edit([image], ["replace the circle with a star"], [0])``.

    Attributes
    ----------
    name, revision : str
        "scenes", and a hash of the sources and of the weights that determine a picture.
    grammar : str
        How an instruction is written, with examples.
    """

    name = "scenes"
    grammar = edits.GRAMMAR

    def __init__(self) -> None:
        from maia_kernel.scenes import perception

        self.revision = f"{revision_of(*EDITS)}-{perception.digest()[:8]}"

    def edit(
        self, images: Sequence[Image.Image], instructions: Sequence[str], seeds: Sequence[int]
    ) -> list[tuple[Image.Image, tuple[str, ...]]]:
        """One edited image per image, instruction and seed.

        A picture that this world drew is drawn again with the one change. Of any other picture, or one that was
        cropped or painted on, the scene is first read from the pixels, as a note then says. A masked picture is
        edited in its original.

        Returns
        -------
        list of (Image, tuple of str)
            The very picture that was given where nothing matched, and notes on what did not.
        """
        return [self._edit(*one) for one in zip(images, instructions, seeds, strict=True)]

    def _edit(self, image: Image.Image, instruction: str, seed: int) -> tuple[Image.Image, tuple[str, ...]]:
        scene, reading = scene_in(image)
        edited, notes = edits.edit(scene, instruction, seed)
        return (image, notes) if edited == scene else (shown(edited), (*reading, *notes))


def scene_in(image: Image.Image) -> tuple[Scene, tuple[str, ...]]:
    """The scene that a picture was drawn from, else the scene that its pixels show, and a note that says so."""
    original = original_of(image)
    scene = scene_of(original)
    if scene is not None:
        return scene, ()
    from maia_kernel.scenes import captions, perception

    scene = captions.scene_seen(perception.perceive([original])[0])
    return scene, (f"this picture was read from its pixels and drawn anew as '{language.text_of(scene)}'",)


class Captioner:
    """Image to text, from pixels alone, by a network trained on other scenes.

    Attributes
    ----------
    name, revision : str
        "scenes", and a hash of the sources and of the weights.
    """

    name = "scenes"

    def __init__(self) -> None:
        from maia_kernel.scenes import perception

        self.revision = f"{revision_of('networks', 'perception', 'captions')}-{perception.digest()[:8]}"

    def describe(self, images: Sequence[Image.Image]) -> list[str]:
        """One line per image, "a large red striped circle and a small blue plain star on grass at night".

        Of a masked picture only what is unmasked is described: its objects, or the background where no object is.
        """
        from maia_kernel.scenes import captions

        return [captions.describe(view) for view in captions.views(images)]

    def summarize(self, images: Sequence[Image.Image]) -> str:
        """What the images have in common, after ``[COMMON]: ``."""
        from maia_kernel.scenes import captions

        return captions.summarize(captions.views(images))


class Gallery:
    """The dataset: 4096 random scenes of one to three objects; no network was trained on any of them."""

    name = "scenes"

    def __init__(self) -> None:
        self.revision = revision_of(*PICTURES)

    def __len__(self) -> int:
        return 4096

    def __getitem__(self, index: int) -> Image.Image:
        """The picture of this number, 0 to 4095; negative numbers count from the end."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"the dataset scenes has {len(self)} images; {index} is not among them")
        return shown(random_scene(f"gallery/{index % len(self)}"))
