"""The networks of the embedded world: their architectures, and loading their shipped weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from maia_kernel.errors import MaiaError
from maia_kernel.scenes.scene import ATTRIBUTES, SIDE, VOCABULARY

WEIGHTS = Path(__file__).parent / "weights"
CHECKSUMS = "SHA256SUMS"
CELLS = 8  # the last map of both networks is CELLS x CELLS
CELL = SIDE / CELLS  # pixels


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm around a shortcut; its output has passed a ReLU.

    Parameters
    ----------
    width_in, width : int
        Channels.
    stride : int
        Of the first convolution.
    """

    def __init__(self, width_in: int, width: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(inner + self.shortcut(x))


def _stem(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU())


class Subject(nn.Module):
    """The network under study: says of each attribute whether it is in the picture.

    ``layer1`` (32 units, 16 x 16), ``layer2`` (64, 8 x 8) and ``layer3`` (128, 8 x 8) are outputs of a ReLU;
    ``logits`` has one unit per attribute, named in ``unit_names["logits"]``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _stem(24)
        self.layer1 = Residual(24, 32, 2)
        self.layer2 = Residual(32, 64, 2)
        self.layer3 = Residual(64, 128)
        self.logits = nn.Linear(2 * 128, len(ATTRIBUTES))
        self.unit_names = {"logits": ATTRIBUTES}

    def features(self, x: Tensor) -> Tensor:
        """Pictures ``(N, 3, 64, 64)`` as :func:`to_tensor` makes them to the last map ``(N, 128, 8, 8)``."""
        last: Tensor = self.layer3(self.layer2(self.layer1(self.stem(x))))
        return last

    def head(self, last: Tensor) -> Tensor:
        """The last map to logits ``(N, 32)``."""
        logits: Tensor = self.logits(torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Pictures ``(N, 3, 64, 64)`` to logits ``(N, 32)``."""
        return self.head(self.features(x))


class Spurious(Subject):
    """A network that has learned a spurious feature: it names the one object's shape, and looks at the background.

    In training ``SHAPES[i]`` stood on ``GROUNDS[i]`` in 98 % of the pictures. Stem, ``layer1`` and ``layer2`` are
    the subject's; ``logits`` has one unit per shape.
    """

    SHAPES: ClassVar[tuple[str, ...]] = VOCABULARY["shape"][:4]
    GROUNDS: ClassVar[tuple[str, ...]] = VOCABULARY["background"][:4]
    OWN: ClassVar[tuple[str, ...]] = ("layer3.", "logits.")  # all that its file holds

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Linear(2 * 128, len(self.SHAPES))
        self.unit_names = {"logits": self.SHAPES}


class Detector(nn.Module):
    """Finds objects: for each cell of an 8 x 8 grid whether an object's centre is near, which object, and where.

    The captioner is one, and what drives the synthetic neurons is a narrower one of its own. ``PARTS`` names the
    slices of the output channels; ``background`` and ``light`` are one answer per picture.

    Parameters
    ----------
    widths : (int, int, int)
        Channels of the stem, of the 16 x 16 maps and of the 8 x 8 maps.
    """

    NARROW: ClassVar[tuple[int, int, int]] = (24, 40, 80)

    PARTS: ClassVar[dict[str, int]] = {
        "object": 1,
        "offset": 2,
        "shape": len(VOCABULARY["shape"]),
        "colour": len(VOCABULARY["colour"]),
        "texture": len(VOCABULARY["texture"]),
        "size": len(VOCABULARY["size"]),
    }

    def __init__(self, widths: tuple[int, int, int] = (24, 48, 96)) -> None:
        super().__init__()
        first, second, third = widths
        self.trunk = nn.Sequential(
            _stem(first), Residual(first, second, 2), Residual(second, third, 2), Residual(third, third)
        )
        self.cells = nn.Conv2d(third, sum(self.PARTS.values()), 1)
        self.whole = nn.Linear(2 * third, len(VOCABULARY["background"]) + len(VOCABULARY["light"]))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Pictures ``(N, 3, 64, 64)`` to logits by part: ``(N, C, 8, 8)``, and ``(N, C)`` for the whole picture."""
        last = self.trunk(x)
        parts: dict[str, Tensor] = dict(
            zip(self.PARTS, self.cells(last).split(list(self.PARTS.values()), 1), strict=True)
        )
        whole = self.whole(torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1))
        count = len(VOCABULARY["background"])
        return {**parts, "background": whole[:, :count], "light": whole[:, count:]}


def to_tensor(image: Image.Image) -> Tensor:
    """A picture as the networks take it: ``(3, 64, 64)``, about -1 to 1; any other size is scaled."""
    image = image.convert("RGB")
    if image.size != (SIDE, SIDE):
        image = image.resize((SIDE, SIDE), Image.Resampling.BOX if image.width > SIDE else Image.Resampling.BICUBIC)
    return normalise(torch.from_numpy(np.array(image)).permute(2, 0, 1))


def normalise(pixels: Tensor) -> Tensor:
    """Bytes 0 to 255 to about -1 to 1."""
    return pixels.float() / 127.5 - 1.0


def read_weights(name: str, folder: Path = WEIGHTS) -> tuple[dict[str, Tensor], str]:
    """The shipped weights of one network, verified.

    Parameters
    ----------
    name : str
        "subject", "random", "spurious", "captioner" or "detector".
    folder : Path
        Where the files and their ``SHA256SUMS`` lie.

    Returns
    -------
    weights : dict
        By parameter name, float32.
    digest : str
        SHA-256 of the file, hexadecimal.

    Raises
    ------
    MaiaError
        Where a file is missing, or is not the one that was shipped.
    """
    file = folder / f"{name}.safetensors"
    try:
        data = file.read_bytes()
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise MaiaError(
            f"the weights of '{name}' are missing ({error.strerror}: {file.name}); reinstall maia_kernel "
            f"or run 'python -m maia_kernel.scenes.train'"
        ) from error
    expected = {line.split()[1]: line.split()[0] for line in lines if line.strip()}
    digest = hashlib.sha256(data).hexdigest()
    if expected.get(file.name) != digest:
        raise MaiaError(
            f"the weights in {file.name} are not those that were shipped (checksum differs); "
            "reinstall maia_kernel or run 'python -m maia_kernel.scenes.train'"
        )
    return {
        key: value.float() if value.is_floating_point() else value for key, value in load_tensors(data).items()
    }, digest


def build_subject() -> tuple[nn.Module, Callable[[Image.Image], Tensor]]:
    """The network ``scenes`` in eval mode, and what turns a picture into its input."""
    return _filled(Subject(), read_weights("subject")[0])


def build_random() -> tuple[nn.Module, Callable[[Image.Image], Tensor]]:
    """The network ``scenes-random``: as ``scenes``, its weights as they were drawn, its batch norm calibrated."""
    return _filled(Subject(), read_weights("random")[0])


def build_spurious() -> tuple[nn.Module, Callable[[Image.Image], Tensor]]:
    """The network ``scenes-spurious``."""
    subject = read_weights("subject")[0]
    shared = {key: value for key, value in subject.items() if not key.startswith(Spurious.OWN)}
    return _filled(Spurious(), shared | read_weights("spurious")[0])


def _filled(network: nn.Module, weights: dict[str, Tensor]) -> tuple[nn.Module, Callable[[Image.Image], Tensor]]:
    network.load_state_dict(weights)
    return network.eval(), to_tensor
