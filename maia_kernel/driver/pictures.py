"""Makes the pictures of outputs fit for a message: checked, PNG or JPEG, no larger than allowed."""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from typing import TYPE_CHECKING

from maia_kernel.driver.messages import Image

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

_WIRE = {"PNG": "image/png", "JPEG": "image/jpeg"}
_READ = (*_WIRE, "GIF", "WEBP")


def picture(data: str, side: int) -> tuple[Image, str]:
    """A picture of an output as part of a message.

    Parameters
    ----------
    data : str
        Base64, line breaks allowed, of a PNG, JPEG, GIF (its first frame) or WebP file.
    side : int
        The longest side allowed, in pixels; a larger picture is scaled down (area average, which needs no tuning and
        is the same everywhere).

    Returns
    -------
    (Image, str)
        The picture, and a remark for its reader: empty when the picture is as it was.

    Raises
    ------
    ValueError
        It is not such a picture, or damaged.
    """
    from PIL import Image as pil

    try:
        compact = "".join(data.split())
        raw = base64.b64decode(compact, validate=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a decompression bomb is a warning to Pillow
            with pil.open(io.BytesIO(raw), formats=_READ) as opened:
                size, kind = opened.size, opened.format or ""
                if kind in _WIRE and max(size) <= side:
                    opened.verify()
                    if kind == "JPEG" and not raw.rstrip(b"\0").endswith(b"\xff\xd9"):
                        raise ValueError("the picture is cut off")
                    return Image(compact, _WIRE[kind]), ""
                small = _scaled(opened, side)
    except (binascii.Error, OSError, SyntaxError, ValueError, TypeError, Warning, pil.DecompressionBombError) as error:
        raise ValueError("the picture cannot be read") from error
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=90) if kind == "JPEG" else small.save(buffer, "PNG")
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    remark = ""
    if small.size != size:
        remark = f"scaled down from {size[0]}x{size[1]} to {small.size[0]}x{small.size[1]} pixels"
    return Image(encoded, _WIRE["JPEG" if kind == "JPEG" else "PNG"]), remark


def _scaled(image: PILImage, side: int) -> PILImage:
    from PIL import Image as pil

    see_through = "A" in image.getbands() or "transparency" in image.info
    flat = image.convert("RGB" if image.format == "JPEG" or not see_through else "RGBA")
    longest = max(flat.size)
    if longest <= side:
        return flat
    width, height = (max(1, round(length * side / longest)) for length in flat.size)
    return flat.resize((width, height), pil.Resampling.BOX)
