"""The embedded world behind the interfaces of the lab: generator, editor, dataset and describer.

The lab knows these four classes by name only; each offers what the same part of a real set-up offers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from maia_kernel.lab.images import remember
from maia_kernel.scenes import language, render
from maia_kernel.scenes.scene import VOCABULARY, Scene, random_scene

# What determines the pictures of this world; their bytes are its revision.
_SOURCES = ("scene", "shapes", "materials", "render", "lexicon", "language")


def _revision(*modules: str) -> str:
    here = Path(__file__).parent
    text = "".join((here / f"{module}.py").read_text(encoding="utf-8") for module in modules)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _shown(scene: Scene) -> Image.Image:
    return remember(render.picture(scene), scene=scene)


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
        self.revision = _revision(*_SOURCES)

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
            drawn.append((_shown(scene), notes))
        return drawn


class Gallery:
    """The dataset: 4096 random scenes of one to three objects; no network was trained on any of them."""

    name = "scenes"

    def __init__(self) -> None:
        self.revision = _revision("scene", "shapes", "materials", "render")

    def __len__(self) -> int:
        return 4096

    def __getitem__(self, index: int) -> Image.Image:
        """The picture of this number, 0 to 4095; negative numbers count from the end."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"the dataset scenes has {len(self)} images; {index} is not among them")
        return _shown(random_scene(f"gallery/{index % len(self)}"))
