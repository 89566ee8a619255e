"""Owns pictures: anything image-like becomes a PIL image, remembers where it came from, and is masked, tiled, encoded.

Nothing here needs torch. Whether a value is an image is decided by its type and by magic numbers, never by trying:
the string ``"dogs"`` is valid base64 and still is not an image.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from maia_kernel.artifacts import GREY
from maia_kernel.errors import BadImage

__all__ = [
    "as_image",
    "as_images",
    "content_hash",
    "dim",
    "enlarge",
    "grid",
    "identity",
    "is_image",
    "origin_of",
    "original_of",
    "placeholder",
    "png_bytes",
    "recall",
    "remember",
    "remembered",
]

_KEY = "maia_kernel"
_ACCEPTED = "a PIL image, data URL, base64 string, bytes, path, numpy array or torch tensor"
_DIMMED = 4  # what a mask does not keep is divided by this


# -- memory ---------------------------------------------------------------------------------------------------------


def content_hash(image: Image.Image) -> str:
    """Hex sha256 of a picture's mode, size and pixels; metadata and file format do not count."""
    digest = hashlib.sha256(f"{image.mode} {image.width} {image.height} ".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def remember(image: Image.Image, **facts: object) -> Image.Image:
    """Attach facts to a picture, valid as long as its pixels stay as they are.

    Parameters
    ----------
    image : PIL.Image.Image
        Changed in place (its ``info`` only) and returned.
    **facts
        ``scene``, ``original``, ``mask`` …; facts remembered earlier for the same pixels are kept.
    """
    digest = content_hash(image)
    held = image.info.get(_KEY)
    earlier = held[1] if held is not None and held[0] == digest else {}
    image.info[_KEY] = (digest, {**earlier, **facts})
    return image


def recall(image: Image.Image, key: str) -> Any:
    """Return a fact remembered with these very pixels.

    Returns
    -------
    object or None
        None when it was never remembered, or when the picture was cropped, resized or painted on since
        (PIL carries ``info`` along through those).
    """
    held = image.info.get(_KEY)
    if held is None or key not in held[1] or held[0] != content_hash(image):
        return None
    return held[1][key]


def remembered(image: Image.Image) -> dict[str, Any]:
    """Return all facts remembered with these very pixels."""
    held = image.info.get(_KEY)
    return dict(held[1]) if held is not None and held[0] == content_hash(image) else {}


def original_of(image: Image.Image) -> Image.Image:
    """Return the picture that a masked picture was made from; any other picture is its own original."""
    original = recall(image, "original")
    return original if isinstance(original, Image.Image) else image


def origin_of(image: Image.Image) -> str | None:
    """Return where a picture comes from: "dataset", "generated", "withheld", or None where that is not known.

    What was cut out of a picture of a dataset, or made from it by resizing or painting, still comes from there.
    """
    held = image.info.get(_KEY)
    origin = None if held is None else held[1].get("origin")
    return origin if origin in ("dataset", "withheld") or recall(image, "origin") else None


def identity(image: Image.Image) -> dict[str, str | None]:
    """Return hashes of all that a describer may see of a picture: itself, its original and its mask.

    Of a placeholder they are those of the picture that it stands for.
    """
    facts = remembered(image)
    if "withheld" in facts:
        return dict(facts["withheld"])
    original, mask = facts.get("original"), facts.get("mask")
    return {
        "picture": content_hash(image),
        "original": None if original is None else content_hash(original),
        "mask": None if mask is None else hashlib.sha256(f"{mask.shape} ".encode() + mask.tobytes()).hexdigest(),
    }


def placeholder(size: tuple[int, int], stands_for: Mapping[str, str | None]) -> Image.Image:
    """Return a grey picture in place of one that was left out, which knows the `identity` of that one."""
    return remember(Image.new("RGB", size, GREY), withheld=dict(stands_for), origin="withheld")


# -- reading --------------------------------------------------------------------------------------------------------


def _has_magic(head: bytes) -> bool:
    """Whether bytes start like a PNG, JPEG, GIF, BMP, TIFF or WebP file."""
    return head.startswith(
        (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*")
    ) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def _decode_text(text: str) -> bytes | None:
    """Return the bytes of a data URL or of base64 that holds an image; None for any other text."""
    body = text.strip()
    if body[:5].lower() == "data:":
        head, comma, body = body.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise BadImage("a data URL must look like 'data:image/png;base64,...'")
    elif len(body) < 64:  # shorter than the smallest picture file: a word, a prompt, a title
        return None
    else:
        try:
            start = base64.b64decode("".join(body[:64].split())[:32], validate=True)
        except (binascii.Error, ValueError):
            return None
        if not _has_magic(start):
            return None
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadImage("the base64 text of an image is damaged or cut short") from None


def is_image(value: object, *, paths: bool = True) -> bool:
    """Tell by type and magic number whether ``as_image`` should be asked to read a value.

    Parameters
    ----------
    value : object
        Anything.
    paths : bool
        Whether a string that names an existing file counts.
    """
    if isinstance(value, Image.Image):
        return True
    if isinstance(value, str):
        if value.lstrip()[:11].lower() == "data:image/":
            return True
        try:
            return _decode_text(value) is not None or (paths and _is_file(value))
        except BadImage:
            return not value.lstrip().lower().startswith("data:")
    if isinstance(value, (bytes, bytearray)):
        return _has_magic(bytes(value[:16]))
    if isinstance(value, os.PathLike):
        return paths
    return _is_tensor(value) or (isinstance(value, np.ndarray) and value.ndim in (2, 3))


def as_image(value: object) -> Image.Image:
    """Read anything image-like.

    Parameters
    ----------
    value : image-like
        A PIL image; a data URL, a base64 string of an image file or the path of an existing file; bytes of an image
        file; a numpy array, uint8 or float in 0-1, of shape (H, W), (H, W, C) or (C, H, W) with C = 1, 3 or 4; a torch
        tensor of the same, where channels come first if both readings are possible.

    Returns
    -------
    PIL.Image.Image
        Mode RGB; transparency is laid on white. An RGB image is returned as it is, with what it remembers.

    Raises
    ------
    BadImage
        When the value is none of these, or cannot be decoded.
    """
    if isinstance(value, Image.Image):
        return _as_rgb(value)
    if isinstance(value, str):
        data = _decode_text(value)
        if data is not None:
            return _decode(data, "the encoded image")
        if _is_file(value):
            return _decode(Path(value).read_bytes(), f"the file {value!r}")
        shown = value if len(value) <= 40 else value[:37] + "..."
        raise BadImage(f"the string {shown!r} is not an image; give {_ACCEPTED}; tools.text2image([...]) draws prompts")
    if isinstance(value, (bytes, bytearray)):
        return _decode(bytes(value), "the bytes")
    if isinstance(value, os.PathLike):
        path = Path(os.fspath(value))
        if not path.is_file():
            raise BadImage(f"there is no file '{path}'")
        return _decode(path.read_bytes(), f"the file '{path}'")
    if _is_tensor(value):
        return _from_array(_tensor_to_numpy(value), channels_first=True)
    if isinstance(value, np.ndarray):
        return _from_array(value, channels_first=False)
    if isinstance(value, tuple) and len(value) == 2 and is_image(value[1]):
        raise BadImage("this is an (activation, image) pair; pass its second element: [image for _, image in pairs]")
    raise BadImage(f"{type(value).__name__} is not an image; give {_ACCEPTED}")


def as_images(values: object) -> list[Image.Image]:
    """Read a list of image-like values; a single one counts as a list of one, a 4-D array as a list of its pictures."""
    if isinstance(values, (str, bytes, bytearray)) or is_image(values):
        return [as_image(values)]
    if not isinstance(values, Iterable):
        raise BadImage(f"{type(values).__name__} is not a list of images; give a list of {_ACCEPTED}")
    images = []
    for i, value in enumerate(values):
        try:
            images.append(as_image(value))
        except BadImage as error:
            raise BadImage(f"image {i} of the list: {error}") from None
    return images


def _is_file(text: str) -> bool:
    try:
        return len(text) < 4096 and Path(text).is_file()
    except (OSError, ValueError):  # too long for the file system, or a null byte
        return False


def _is_tensor(value: object) -> bool:
    """A 2-D or 3-D torch tensor, told without importing torch."""
    return type(value).__module__.partition(".")[0] == "torch" and getattr(value, "ndim", 0) in (2, 3)


def _tensor_to_numpy(tensor: Any) -> np.ndarray[Any, Any]:
    tensor = tensor.detach().cpu()
    return np.asarray(tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy())


def _decode(data: bytes, what: str) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadImage(
            f"{what} cannot be read as an image ({str(error).splitlines()[0] or type(error).__name__})"
        ) from None
    return _as_rgb(ImageOps.exif_transpose(image))


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.width == 0 or image.height == 0:
        raise BadImage("the image is empty (0 pixels)")
    if image.mode == "RGB":
        return image
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image.convert("RGB")


def _from_array(array: np.ndarray[Any, Any], *, channels_first: bool) -> Image.Image:
    if array.ndim == 3:
        last, first = array.shape[2] in (1, 3, 4), array.shape[0] in (1, 3, 4)
        if first and (channels_first or not last):
            array = np.moveaxis(array, 0, 2)
        elif not last:
            raise BadImage(f"an array of shape {array.shape} is not an image; give (H, W), (H, W, 3) or (3, H, W)")
        if array.shape[2] == 1:
            array = array[:, :, 0]
    elif array.ndim != 2:
        raise BadImage(f"an array of shape {array.shape} is not one image; pass its pictures as a list")
    if array.size == 0:
        raise BadImage(f"an array of shape {array.shape} holds no pixels")
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= -1e-3 and high <= 1 + 1e-3):  # false for NaN, too
            raise BadImage(
                f"a float array must lie in 0-1 (this one: {low:.3g} to {high:.3g}); rescale it or give uint8"
            )
        array = np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
    elif array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype != np.uint8:
        low, high = int(array.min()), int(array.max())
        if low < 0 or high > 255:
            raise BadImage(f"an integer array must lie in 0-255 (this one: {low} to {high})")
        array = array.astype(np.uint8)
    return _as_rgb(Image.fromarray(np.ascontiguousarray(array)))


# -- making ---------------------------------------------------------------------------------------------------------


def png_bytes(image: Image.Image) -> bytes:
    """Encode as PNG at compress level 1: about six times faster than the default, a few percent larger."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _bilinear(source: int, target: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Matrix (target, source) of linear interpolation between pixel centres, edges repeated."""
    centre = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    low = np.floor(centre).astype(int)
    part = centre - low
    matrix = np.zeros((target, source), np.float32)
    rows = np.arange(target)
    np.add.at(matrix, (rows, low), 1 - part)
    np.add.at(matrix, (rows, np.minimum(low + 1, source - 1)), part)
    return matrix


def enlarge(activation_map: np.ndarray[Any, Any], size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Enlarge an activation map (h, w) bilinearly to ``size``, a picture's (width, height).

    Pixel centres are aligned as in ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)``.
    """
    width, height = size
    low_rows, low_columns = activation_map.shape
    rows, columns = _bilinear(low_rows, height), _bilinear(low_columns, width)
    return rows @ np.asarray(activation_map, np.float32) @ columns.T


def dim(image: Image.Image, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> Image.Image:
    """Dim what a mask does not keep to a quarter, without an outline (an outline is itself a stimulus).

    Parameters
    ----------
    image : PIL.Image.Image
        RGB.
    mask : numpy.ndarray
        Booleans (H, W), True where the picture is kept.

    Returns
    -------
    PIL.Image.Image
        A new picture that remembers ``original`` and ``mask``.
    """
    pixels = np.array(image)
    if mask.shape != pixels.shape[:2]:
        raise BadImage(f"a mask of shape {mask.shape} does not fit a picture of {image.height}x{image.width} pixels")
    masked = np.where(mask[:, :, None], pixels, pixels // _DIMMED)
    return remember(Image.fromarray(masked), original=image, mask=mask, origin=origin_of(image))


def grid(images: Sequence[Image.Image], columns: int | None = None, *, gap: int = 4) -> Image.Image:
    """Tile pictures on white, row by row, each centred in a cell as large as the largest of them.

    Parameters
    ----------
    images : sequence of PIL.Image.Image
        At least one.
    columns : int, optional
        As close to a square as possible unless given.
    gap : int
        Pixels between cells.
    """
    if not images:
        raise BadImage("a grid needs at least one image")
    columns = max(1, min(len(images), columns or math.ceil(math.sqrt(len(images)))))
    rows = math.ceil(len(images) / columns)
    width, height = max(image.width for image in images), max(image.height for image in images)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for i, image in enumerate(images):
        x, y = i % columns * (width + gap), i // columns * (height + gap)
        sheet.paste(image, (x + (width - image.width) // 2, y + (height - image.height) // 2))
    return sheet
