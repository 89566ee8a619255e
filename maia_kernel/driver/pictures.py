"""Makes the pictures of outputs fit for a message: checked, PNG or JPEG, no larger than allowed."""

from __future__ import annotations

import base64
import binascii
import io
import string
import warnings
from typing import TYPE_CHECKING

from maia_kernel.driver.messages import Image

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

_WIRE = {"PNG": "image/png", "JPEG": "image/jpeg"}
_READ = (*_WIRE, "GIF", "WEBP")
_BASE64 = (string.ascii_letters + string.digits + "+/=").encode()
_PNG_HEAD, _PNG_TAIL = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\0\0\0\0IEND\xaeB`\x82"


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
        It is not such a picture, or cut off, or damaged as far as can be told without decoding it.
    """
    from PIL import Image as pil

    try:
        if _small_png(data, side):
            return Image(data), ""
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


def _small_png(data: str, side: int) -> bool:
    """Whether this is a whole PNG file no larger than allowed, by its first and last bytes.

    A conversation of a hundred turns holds 1500 pictures, all of which go through here for every request: decoding
    each would take seconds.
    """
    if len(data) % 4 or not data.startswith("iVBORw0KGgo") or data.encode().translate(None, _BASE64):
        return False
    head, tail = base64.b64decode(data[:32]), base64.b64decode(data[-20:])
    width, height = int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    return (
        head.startswith(_PNG_HEAD) and tail.endswith(_PNG_TAIL) and 0 < min(width, height) <= max(width, height) <= side
    )


def _scaled(image: PILImage, side: int) -> PILImage:
    from PIL import Image as pil

    see_through = "A" in image.getbands() or "transparency" in image.info
    flat = image.convert("RGB" if image.format == "JPEG" or not see_through else "RGBA")
    longest = max(flat.size)
    if longest <= side:
        return flat
    width, height = (max(1, round(length * side / longest)) for length in flat.size)
    return flat.resize((width, height), pil.Resampling.BOX)
