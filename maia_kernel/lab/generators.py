"""Owns the tables of generators and editors, and the seeds of their pictures.

Every picture is seeded from content: what was asked for, not when. Editing one cell of a notebook therefore leaves
the pictures of all others as they were.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from PIL import Image

from maia_kernel.lab import names

__all__ = ["EDITORS", "GENERATORS", "Editor", "Generator", "content_seed", "find_editor", "find_generator", "seeds"]

GENERATORS: Mapping[str, str] = {
    "scenes": "maia_kernel.scenes.world:Painter",
    "scenes-faulty": "maia_kernel.scenes.faulty:FaultyPainter",
}
EDITORS: Mapping[str, str] = {
    "scenes": "maia_kernel.scenes.world:Retoucher",
    "scenes-faulty": "maia_kernel.scenes.faulty:FaultyRetoucher",
}

Drawn = list[tuple[Image.Image, tuple[str, ...]]]  # pictures, each with notes for the caller


class Generator(Protocol):
    """Text to image. Making one is cheap: what is heavy is loaded with the first picture.

    What it remembers of a picture for later (``images.remember``) is JSON, tuples included, so that a picture from the
    artifact store is as good as one that was just drawn.

    Attributes
    ----------
    name : str
        Short name for people.
    revision : str
        Changes whenever the picture of a prompt and a seed does.
    vocabulary : dict of str to tuple of str, or None
        All that a closed generator can draw, by family; None for an open one.
    grammar : str
        How a prompt is written, in a sentence or two.
    """

    name: str
    revision: str
    vocabulary: dict[str, tuple[str, ...]] | None
    grammar: str

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> Drawn:
        """Draw one picture per prompt and seed."""


class Editor(Protocol):
    """Image and instruction to image; attributes as those of a `Generator`."""

    name: str
    revision: str
    grammar: str

    def edit(self, images: Sequence[Image.Image], instructions: Sequence[str], seeds: Sequence[int]) -> Drawn:
        """Change one picture per instruction and seed; one that matches nothing leaves it as it is, with a note."""


def find_generator(name: str) -> Generator:
    """Return a generator by name (a key of `GENERATORS`, or ``"package.module:Class"``); raises UnknownName."""
    generator: Generator = names.find("generator", name, GENERATORS)()
    return generator


def find_editor(name: str) -> Editor:
    """Return an editor by name (a key of `EDITORS`, or ``"package.module:Class"``); raises UnknownName."""
    editor: Editor = names.find("editor", name, EDITORS)()
    return editor


def content_seed(*parts: str | int) -> int:
    """Return a seed, 0 to 2**63 - 1, that is a function of its parts only (sha256 of them as JSON)."""
    digest = hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seeds(seed: int, backend: Generator | Editor, requests: Sequence[Sequence[str]], variation: int) -> list[int]:
    """Return one seed per request of a call; equal requests are told apart by their occurrence.

    Parameters
    ----------
    seed : int
        The notebook's.
    backend : Generator or Editor
        Its name and revision count.
    requests : sequence of sequences of str
        What is asked for: ``(prompt,)``, or ``(hash of the picture, instruction)``.
    variation : int
        Another number, other pictures.
    """
    occurrences: Counter[tuple[str, ...]] = Counter()
    result = []
    for request in requests:
        key = tuple(request)
        result.append(content_seed(seed, backend.name, backend.revision, *key, occurrences[key], variation))
        occurrences[key] += 1
    return result
