"""Owns what of a result is kept in the artifact store, how it comes back from there, and when two results are the same.

What a backend remembers of a picture (`images.remember`) is kept as JSON and comes back with tuples in place of lists;
facts that are no JSON are lost with the store, so a backend remembers none that it needs again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from PIL import Image

from maia_kernel.artifacts import Artifact
from maia_kernel.lab.images import (
    as_image,
    content_hash,
    identity,
    origin_of,
    placeholder,
    png_bytes,
    recall,
    remember,
    remembered,
)

__all__ = [
    "Codec",
    "EditedCodec",
    "Kept",
    "PictureCodec",
    "SaidCodec",
    "TextCodec",
    "as_tuples",
    "facts_of",
    "hash_of_original",
    "is_placeholder",
    "unlike",
]

T = TypeVar("T")
Picture = tuple[Image.Image, tuple[str, ...]]  # with notes for the caller
_NOT_THE_BACKENDS = ("origin", "withheld")  # what is remembered on this side


@dataclass(frozen=True)
class Kept:
    """A result as the store takes it.

    Attributes
    ----------
    facts : dict
        JSON.
    files : tuple of bytes
        Payloads.
    dataset : tuple of int
        Which of them show pictures of a dataset.
    """

    facts: dict[str, Any]
    files: tuple[bytes, ...] = ()
    dataset: tuple[int, ...] = ()


class Codec(Protocol[T]):
    """One kind of result."""

    def keep(self, value: T) -> Kept:
        """Return a result as the store takes it."""

    def restore(self, artifact: Artifact) -> T:
        """Return what was kept; raises KeyError, TypeError or ValueError for what was not kept by this codec."""

    def unlike(self, value: T, artifact: Artifact) -> str:
        """Return how a result differs from what is held, in a few words; empty where it does not."""


class TextCodec:
    """A description."""

    def keep(self, value: str) -> Kept:
        return Kept({}, (value.encode("utf-8", "surrogatepass"),))

    def restore(self, artifact: Artifact) -> str:
        (data,) = artifact.files
        if data is None:
            raise ValueError("a text is never left out")
        return data.decode("utf-8", "surrogatepass")

    def unlike(self, value: str, artifact: Artifact) -> str:
        return "" if value == self.restore(artifact) else "the text differs"


class SaidCodec:
    """What a backend says of itself; what is held of another wording counts as not held.

    Parameters
    ----------
    said : mapping
        What it says now.
    """

    def __init__(self, said: Mapping[str, Any]):
        self._said = json.loads(json.dumps(said))

    def keep(self, value: Mapping[str, Any]) -> Kept:
        return Kept(dict(value))

    def restore(self, artifact: Artifact) -> Mapping[str, Any]:
        if artifact.facts != self._said:
            raise ValueError("another wording")
        return artifact.facts

    def unlike(self, value: Mapping[str, Any], artifact: Artifact) -> str:
        return ""


class PictureCodec:
    """A picture that was drawn, with the backend's notes.

    Parameters
    ----------
    origin : str or None
        Where the picture comes from; see `images.origin_of`.
    """

    def __init__(self, origin: str | None = "generated"):
        self._origin = origin

    def keep(self, value: Picture) -> Kept:
        image, notes = value
        facts = {
            "notes": list(notes),
            "size": list(image.size),
            "pixels": content_hash(image),
            "origin": self._origin,
            "remembered": facts_of(image),
        }
        return Kept(facts, (png_bytes(image),), (0,) if self._origin == "dataset" else ())

    def restore(self, artifact: Artifact) -> Picture:
        facts, (data,) = artifact.facts, artifact.files
        notes = tuple(map(str, facts["notes"]))
        if data is None:
            width, height = facts["size"]
            return placeholder((width, height), {"picture": facts["pixels"], "original": None, "mask": None}), notes
        image = remember(as_image(data), **as_tuples(facts["remembered"]))
        return self.marked(image, facts["origin"]), notes

    def unlike(self, value: Picture, artifact: Artifact) -> str:
        if not artifact.whole:
            return "" if content_hash(value[0]) == artifact.facts["pixels"] else "the picture differs"
        image, notes = self.restore(artifact)
        return unlike(value[0], image) or ("" if tuple(value[1]) == notes else "the notes differ")

    def marked(self, image: Image.Image, origin: str | None = None) -> Image.Image:
        """Let a picture remember where it comes from."""
        origin = origin or self._origin
        return image if origin is None else remember(image, origin=origin)


class EditedCodec(PictureCodec):
    """A picture that was edited; an editor may have handed back the very same one, or a copy of it.

    Parameters
    ----------
    base : PIL.Image.Image
        The picture before.
    """

    def __init__(self, base: Image.Image):
        super().__init__(origin_of(base))
        self._base = base

    def keep(self, value: Picture) -> Kept:
        image, notes = value
        if image is self._base:
            return Kept({"notes": list(notes), "unchanged": "itself"})
        if content_hash(image) == content_hash(self._base):
            before = remembered(self._base)
            new = {key: fact for key, fact in facts_of(image).items() if remembered(image)[key] is not before.get(key)}
            return Kept({"notes": list(notes), "unchanged": "a copy", "remembered": new})
        return super().keep(value)

    def restore(self, artifact: Artifact) -> Picture:
        unchanged = artifact.facts.get("unchanged")
        if unchanged is None:
            return super().restore(artifact)
        notes = tuple(map(str, artifact.facts["notes"]))
        if unchanged == "itself":
            return self._base, notes
        return remember(self._base.copy(), **as_tuples(artifact.facts["remembered"])), notes


def facts_of(image: Image.Image) -> dict[str, Any]:
    """Return what a backend has remembered of a picture and JSON can hold."""
    found = {}
    for key, fact in remembered(image).items():
        if key not in _NOT_THE_BACKENDS:
            try:
                json.dumps(fact, allow_nan=False)
            except (TypeError, ValueError):
                continue
            found[key] = fact
    return found


def as_tuples(value: Any) -> Any:
    """Return JSON with tuples in place of lists."""
    if isinstance(value, list):
        return tuple(map(as_tuples, value))
    return {key: as_tuples(part) for key, part in value.items()} if isinstance(value, Mapping) else value


def unlike(one: Image.Image, other: Image.Image) -> str:
    """Return how two pictures differ, in a few words; empty where no channel of any pixel does by more than 1/255."""
    if one.size != other.size:
        return f"{one.width}x{one.height} pixels in place of {other.width}x{other.height}"
    apart = np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max(2) > 1
    return f"{int(apart.sum())} pixels differ" if apart.any() else ""


def is_placeholder(image: Image.Image) -> bool:
    """Whether a picture stands for one that was left out."""
    return recall(image, "withheld") is not None


def hash_of_original(image: Image.Image) -> str:
    """Return the content hash of a picture that is to be edited; of a placeholder, that of what it stands for."""
    known = identity(image)
    return str(known["original"] or known["picture"])
