"""Owns the table of datasets in which exemplars are searched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from PIL import Image

from maia_kernel.lab import names
from maia_kernel.lab.images import as_image

__all__ = ["DATASETS", "Dataset", "find_dataset", "pictures"]

DATASETS: Mapping[str, str] = {
    "scenes": "maia_kernel.scenes.world:Gallery",
}


class Dataset(Protocol):
    """Pictures by number; the same number always gives the same picture. Making one is cheap.

    Attributes
    ----------
    name : str
        Short name for people.
    revision : str
        Changes whenever a picture or their order does.
    """

    name: str
    revision: str

    def __len__(self) -> int:
        """Return the number of pictures."""

    def __getitem__(self, index: int) -> Image.Image:
        """Return a picture."""


def find_dataset(name: str) -> Dataset:
    """Open a dataset by name (a key of `DATASETS`, or ``"package.module:Class"``); raises UnknownName."""
    dataset: Dataset = names.find("dataset", name, DATASETS)()
    return dataset


def pictures(dataset: Dataset) -> Iterator[Image.Image]:
    """Yield all pictures in order."""
    for index in range(len(dataset)):
        yield as_image(dataset[index])
