"""Owns what a cell shows: text on standard output, pictures as PNG with their caption as plain text.

Nothing else is published (no HTML, JPEG or widgets), and the same picture always gives the same bytes.
"""

from __future__ import annotations

import base64
import io
import numbers
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from maia_kernel.errors import BadImage
from maia_kernel.lab.images import as_image, is_image, origin_of, png_bytes

__all__ = ["configure_ipython", "say", "show", "show_picture"]

_SIDE = 192  # pixels: what people can look at; smaller pictures are enlarged to about this


def say(text: str) -> None:
    """Write a line of text where the cell's output goes."""
    sys.stdout.write(text + "\n")


def show(*items: object) -> None:
    """Show items in order; a string right after a picture is its caption."""
    queue = list(_flat(items))
    i = 0
    while i < len(queue):
        item, caption = queue[i]
        following = queue[i + 1] if i + 1 < len(queue) else None
        picture = _picture(item)
        if picture is None:
            say(item if isinstance(item, str) else str(item))
        elif caption is not None:
            show_picture(picture, caption)
        elif following is not None and isinstance(following[0], str) and not is_image(following[0], paths=False):
            show_picture(picture, following[0])
            i += 1
        else:
            show_picture(picture)
        i += 1


def show_picture(
    picture: Image.Image | bytes, caption: str | None = None, *, plain: str | None = None, origin: str | None = None
) -> None:
    """Publish a picture, with its caption as text beside it and in its ``text/plain``.

    Outside a kernel only text is written. Where the picture comes from stands in the output's metadata.

    Parameters
    ----------
    picture : PIL.Image.Image or bytes
        Bytes are a ready PNG.
    caption : str, optional
        Text beside the picture.
    plain : str, optional
        What stands for the picture where it cannot be shown; the caption unless given, else its size.
    origin : str, optional
        Where the picture comes from; what it remembers unless given.
    """
    from IPython import get_ipython

    if isinstance(picture, bytes):
        data, standing = picture, "figure"
    else:
        data, standing = png_bytes(_enlarged(picture)), f"picture, {picture.width}x{picture.height} pixels"
        origin = origin or origin_of(picture)
    plain = plain or caption or standing
    if get_ipython() is not None:  # type: ignore[no-untyped-call,unused-ignore]
        from IPython.display import publish_display_data

        shown = {"image/png": base64.b64encode(data).decode("ascii"), "text/plain": plain}
        publish_display_data(shown, metadata={"image/png": _metadata(origin)} if origin else {})
        if caption is not None:
            say(caption)
    else:
        say(plain)


def configure_ipython() -> None:
    """Let IPython show PIL images as PNG at compress level 1, and not as JPEG beside it."""
    from IPython import get_ipython

    shell = get_ipython()  # type: ignore[no-untyped-call,unused-ignore]
    if shell is not None and shell.display_formatter is not None:
        formatters = shell.display_formatter.formatters
        formatters["image/png"].for_type(Image.Image, _formatted)
        formatters["image/jpeg"].for_type(Image.Image, lambda image: None)


def _formatted(image: Image.Image) -> bytes | tuple[bytes, dict[str, str]]:
    """A picture as IPython wants it: with metadata where there is any."""
    origin = origin_of(image)
    return (png_bytes(image), _metadata(origin)) if origin else png_bytes(image)


def _metadata(origin: str) -> dict[str, str]:
    return {"maia": origin}


def _flat(items: object) -> Any:
    """Yield (item, caption or None) from nested lists, tuples, dictionaries and (activation, image) pairs."""
    if isinstance(items, tuple) and len(items) == 2 and _is_number(items[0]) and is_image(items[1], paths=False):
        yield items[1], f"activation {float(items[0]):.3f}"
    elif isinstance(items, Mapping):
        for key, value in items.items():
            if is_image(value, paths=False):
                yield value, str(key)
            elif isinstance(value, (list, tuple, Mapping)):
                yield f"{key}:", None
                yield from _flat(value)
            else:
                yield f"{key}: {value}", None
    elif isinstance(items, (list, tuple)):
        for item in items:
            yield from _flat(item)
    else:
        yield items, None


def _is_number(value: object) -> bool:
    return isinstance(value, (numbers.Real, np.number)) and not isinstance(value, bool)


def _picture(item: object) -> Image.Image | bytes | None:
    """Return an item as something to look at, None when it is text."""
    if hasattr(item, "savefig"):  # a matplotlib figure, without importing matplotlib
        buffer = io.BytesIO()
        item.savefig(buffer, format="png", metadata={"Software": None}, pil_kwargs={"compress_level": 1})
        return buffer.getvalue()
    if not is_image(item, paths=False):
        return None
    try:
        return as_image(item)
    except BadImage:
        if isinstance(item, (Image.Image, str, bytes, bytearray)):
            raise
        return None  # an array of numbers that are no pixels


def _enlarged(image: Image.Image) -> Image.Image:
    """Enlarge a small picture by a whole factor, pixel by pixel, so that nothing is blurred."""
    factor = round(_SIDE / max(image.size))
    if factor < 2:
        return image
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
