"""A world of coloured squares for the tests of the lab: whatever a test asserts about it can be computed by hand.

Its parts are named as a user's own would be: ``"lab_standins:Squares"``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


def square(colour: str, seed: int, side: int = 16) -> Image.Image:
    """A square of a colour on black, somewhere."""
    random = np.random.default_rng(seed)
    pixels = np.zeros((64, 64, 3), np.uint8)
    y, x = random.integers(0, 64 - side, 2)
    pixels[y : y + side, x : x + side] = COLOURS[colour]
    return Image.fromarray(pixels)


class ColourNet(nn.Module):
    """``maps`` holds the mean of red, green, blue in each of 8x8 cells; what is above 0.5 makes the logits."""

    unit_layers = ("maps", "logits")

    def __init__(self) -> None:
        super().__init__()
        self.unit_names = {"logits": ("red", "green", "blue")}
        self.maps = nn.Conv2d(3, 3, 8, stride=8, bias=False)
        self.after = nn.Sequential(nn.ReLU(inplace=True), nn.Threshold(0.5, 0.0, inplace=True))
        self.unused = nn.ModuleList([nn.Identity()])
        self.logits = nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.maps.weight.copy_(torch.eye(3)[:, :, None, None].expand(3, 3, 8, 8) / 64)
            self.logits.weight.copy_(torch.eye(3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.logits(self.after(self.maps(x)).amax((2, 3)))
        return logits


def to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image.resize((64, 64)))).permute(2, 0, 1).float() / 255


def build() -> tuple[nn.Module, Callable[[Image.Image], Tensor]]:
    return ColourNet(), to_tensor


class Squares:
    name = "squares"
    revision = "1"

    def __len__(self) -> int:
        return 120

    def __getitem__(self, index: int) -> Image.Image:
        return square(list(COLOURS)[index % 4], index, side=4 + index % 20)


class Painter:
    name = "painter"
    revision = "1"
    grammar = "Write a colour, as in 'a red square'."

    def __init__(self) -> None:
        self.vocabulary = {"colour": tuple(COLOURS)}

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[tuple[Image.Image, tuple[str, ...]]]:
        drawn = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            colour = next((word for word in prompt.split() if word in COLOURS), "white")
            notes = tuple(f"does not know the word '{word}'" for word in prompt.split() if word == "dragon")
            drawn.append((square(colour, seed), notes))
        return drawn


class Retoucher:
    name = "retoucher"
    revision = "1"
    grammar = "Name the new colour, as in 'make it blue'."

    def edit(
        self, images: Sequence[Image.Image], instructions: Sequence[str], seeds: Sequence[int]
    ) -> list[tuple[Image.Image, tuple[str, ...]]]:
        edited = []
        for image, instruction, _ in zip(images, instructions, seeds, strict=True):
            colour = next((word for word in instruction.split() if word in COLOURS), None)
            pixels = np.array(image)
            if colour is not None:
                pixels[pixels.max(2) > 0] = COLOURS[colour]
            edited.append((Image.fromarray(pixels), () if colour else ("matches nothing",)))
        return edited


class Captioner:
    name = "captioner"
    revision = "1"

    def describe(self, images: Sequence[Image.Image]) -> list[str]:
        return [self._colour(image) for image in images]

    def summarize(self, images: Sequence[Image.Image]) -> str:
        return " and ".join(sorted({self._colour(image) for image in images}))

    def _colour(self, image: Image.Image) -> str:
        brightest = np.array(image).reshape(-1, 3).max(0)
        return next((name for name, colour in COLOURS.items() if tuple(brightest) == colour), "something dark")


WORLD = {
    "dataset": "lab_standins:Squares",
    "generator": "lab_standins:Painter",
    "editor": "lab_standins:Retoucher",
    "describer": "lab_standins:Captioner",
}
