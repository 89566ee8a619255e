"""Owns what a notebook shows of a dataset, and takes it out: a grey picture of the same size stands in its place."""

from __future__ import annotations

import base64
import copy
import io
import re
from typing import Any

from nbformat import NotebookNode

from maia_kernel.artifacts import GREY
from maia_kernel.driver.verify.compare import kind_of
from maia_kernel.driver.verify.pixels import decoded

LEFT_OUT = "picture-left-out"  # in the link of a text, in a picture's place
KEPT = ("generated", "plot", "withheld")
_SIZE = (192, 192)  # of the placeholder for what has no size that could be read
_TEXTS = ("text/plain", "text/latex", "application/json")
# These may hold pictures, and are kept only without any.
_RICH = ("text/markdown", "text/html")
# A picture within a text: in quotation marks (of HTML), in pointed brackets, or up to where a link ends.
_DATA = r"data:(?:image/[^,\s\"'<>()]{0,100}|[^,\s\"'<>()]{0,100};base64),"
_INLINE = re.compile(rf"\"{_DATA}[^\"]*\"|'{_DATA}[^']*'|<{_DATA}[^<>\n]*>|{_DATA}[^\s)>\"'\]]*", re.IGNORECASE)


def without_dataset_images(nb: NotebookNode) -> tuple[NotebookNode, int]:
    """A copy of a notebook without pictures of a dataset, and how many were taken out.

    Kept is a picture whose metadata says that it was generated, or is a plot; where one comes from that says nothing is
    unknown, and it is taken out. Its ``text/plain``, which holds the activation, stays. Attachments of text cells go,
    and so do pictures in their links (``data:`` URLs) and other forms of outputs that can hold pictures.

    Parameters
    ----------
    nb : NotebookNode
        It is not changed.
    """
    cleared = copy.deepcopy(nb)
    count = 0
    for cell in cleared.cells:
        for output in cell.get("outputs", []):
            count += _withhold(output)
        if cell.cell_type != "code":
            cell.source, links = _INLINE.subn(_without, cell.source)
            count += links
        for files in cell.get("attachments", {}).values():
            for mime in list(files):
                del files[mime]
                files["image/png"] = _placeholder(_SIZE)
                count += 1
    cleared.metadata.pop("widgets", None)
    return cleared, count


def _without(link: re.Match[str]) -> str:
    """What stands in the place of a picture within a text; quotation marks stay."""
    return f"{link[0][0]}{LEFT_OUT}{link[0][-1]}" if link[0][0] in "\"'<" else LEFT_OUT


def _withhold(output: NotebookNode) -> int:
    """Take out of an output what may show a dataset's picture; returns how many pictures that were."""
    data = output.get("data")
    if not isinstance(data, dict):
        return 0
    size, taken = None, False
    for mime in list(data):
        if mime in _TEXTS or (mime in _RICH and not _shows_pictures(data[mime])) or kind_of(output, mime) in KEPT:
            continue
        picture = decoded(str(data[mime])) if mime.startswith("image/") and isinstance(data[mime], str) else None
        size = picture.size if picture is not None else size
        del data[mime]
        taken = True
    if not taken or any(mime.startswith("image/") for mime in data):  # another form of a picture that is kept
        return 0
    data["image/png"] = _placeholder(size or _SIZE)
    output.metadata["image/png"] = NotebookNode(maia="withheld")
    return 1


def _shows_pictures(text: Any) -> bool:
    joined = "".join(text) if isinstance(text, list) else str(text)
    return any(mark in joined.lower() for mark in ("<img", "<svg", "data:", "![", "<canvas", "<video", "url("))


def _placeholder(size: tuple[int, int]) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", size, GREY).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
