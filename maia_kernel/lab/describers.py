"""Owns the table of describers: image to text, blind to every hypothesis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from PIL import Image

from maia_kernel.lab import names

__all__ = ["DESCRIBERS", "Describer", "find_describer"]

DESCRIBERS: Mapping[str, str] = {
    "scenes": "maia_kernel.scenes.world:Captioner",
}


class Describer(Protocol):
    """Image to text; of a masked picture it describes what is unmasked. Making one is cheap.

    Attributes
    ----------
    name, revision : str
        As those of a generator.
    """

    name: str
    revision: str

    def describe(self, images: Sequence[Image.Image]) -> list[str]:
        """Return one description per picture."""

    def summarize(self, images: Sequence[Image.Image]) -> str:
        """Return what the pictures have in common."""


def find_describer(name: str) -> Describer:
    """Return a describer by name (a key of `DESCRIBERS`, or ``"package.module:Class"``); raises UnknownName."""
    describer: Describer = names.find("describer", name, DESCRIBERS)()
    return describer
