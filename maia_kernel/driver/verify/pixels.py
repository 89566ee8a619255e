"""Owns the comparison of two pictures: decoded, pixel by pixel, so that how a file was packed does not count."""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

TOLERANCE = 1  # of 255, in any channel: what a batch of another size does to a generated picture
_READ = ("PNG", "JPEG", "GIF", "WEBP")


def difference(saved: str, fresh: str) -> str:
    """In words how two pictures differ; empty where they do not.

    Parameters
    ----------
    saved, fresh : str
        Base64, line breaks allowed, of a PNG, JPEG, GIF or WebP file.
    """
    if saved.split() == fresh.split():
        return ""
    was, now = decoded(saved), decoded(fresh)
    if was is None or now is None:
        return f"the {'saved' if was is None else 'new'} picture cannot be read"
    if was.size != now.size:
        return f"{was.width}x{was.height} -> {now.width}x{now.height} pixels"
    count, largest = _distance(was, now)
    if not count:
        return ""
    return f"{count:,} of {was.width * was.height:,} pixels differ, by up to {largest}/255"


def decoded(data: str) -> Image | None:
    """A picture in four channels; None where it cannot be read."""
    from PIL import Image as pil

    try:
        raw = base64.b64decode("".join(data.split()), validate=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a decompression bomb is a warning to Pillow
            with pil.open(io.BytesIO(raw), formats=_READ) as opened:
                return opened.convert("RGBA")
    except (binascii.Error, OSError, SyntaxError, ValueError, TypeError, Warning, pil.DecompressionBombError):
        return None


def _distance(one: Image, other: Image) -> tuple[int, int]:
    """How many pixels differ by more than the tolerance, and the largest difference of a channel."""
    from PIL import ImageChops

    red, *others = ImageChops.difference(one, other).split()
    for band in others:
        red = ImageChops.lighter(red, band)
    histogram = red.histogram()
    largest = max(value for value, count in enumerate(histogram) if count)
    return sum(histogram[TOLERANCE + 1 :]), largest
