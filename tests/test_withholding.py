"""Pictures of a dataset, taken out of notebooks made by hand."""

from __future__ import annotations

import base64
import io
import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from maia_kernel.driver.withholding import without_dataset_images


def png(size: tuple[int, int]) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", size, (9, 9, 9)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(("kind", "kept"), [("generated", 1), ("plot", 1), ("dataset", 0), ("", 0), ("other", 0)])
def test_a_picture_is_kept_only_when_it_is_known_to_be_none_of_the_dataset(kind, kept):
    metadata = {"image/png": {"maia": kind}} if kind else {}
    data = {"image/png": png((30, 20)), "text/plain": "activation 1.5", "text/html": "<img src='data:image/png;…'>"}
    nb = new_notebook(cells=[new_code_cell("x", outputs=[new_output("display_data", data, metadata=metadata)])])
    cleared, count = without_dataset_images(nb)
    (output,) = cleared.cells[0].outputs
    assert (output.data["image/png"] == data["image/png"]) is bool(kept)
    assert output.data["text/plain"] == "activation 1.5"
    assert nb.cells[0].outputs[0].data["image/png"] == data["image/png"]
    if not kept:
        assert Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).size == (30, 20)
        assert (count, set(output.data)) == (1, {"image/png", "text/plain"})


def test_other_places_for_pictures():
    nb = new_notebook(
        cells=[
            new_markdown_cell("![a](attachment:a.png)", attachments={"a.png": {"image/jpeg": "/9j/secret"}}),
            new_code_cell("x", outputs=[new_output("display_data", {"image/svg+xml": "<svg/>", "text/plain": "a"})]),
            new_code_cell("x", outputs=[new_output("display_data", {"text/html": "<b>table</b>", "text/plain": "a"})]),
        ]
    )
    cleared, count = without_dataset_images(nb)
    assert count == 2
    assert "secret" not in json.dumps(cleared)
    assert "svg" not in json.dumps(cleared)
    assert cleared.cells[2].outputs == nb.cells[2].outputs
    nbformat.validate(cleared)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("![a](data:image/png;base64,SECRET==) and so on", "![a](picture-left-out) and so on"),
        ("![a](<data:image/png;base64,SECRET>)", "![a](<picture-left-out>)"),
        ("[a]: DATA:image/jpeg;base64,SECRET\nb", "[a]: picture-left-out\nb"),
        ('<img src="data:image/png;base64,SEC\nSECRET" alt="x">', '<img src="picture-left-out" alt="x">'),
        ("<img src='data:image/svg+xml,<svg>SECRET</svg>'>", "<img src='picture-left-out'>"),
        ("![a](data:;base64,SECRET)", "![a](picture-left-out)"),
        ("metadata: a, data:image/… is a kind of URL", "metadata: a, data:image/… is a kind of URL"),
    ],
)
def test_pictures_in_texts_are_replaced_by_words(text, left):
    nb = new_notebook(cells=[new_markdown_cell(text), new_code_cell(text)])
    cleared, count = without_dataset_images(nb)
    assert [cell.source for cell in cleared.cells] == [left, text]
    assert count == (text != left)
