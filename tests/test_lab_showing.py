"""What a cell shows: text as text, pictures as PNG with their caption, nothing else, the same bytes every time."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import RichOutput, capture_output
from lab_standins import square
from PIL import Image

from maia_kernel.errors import BadImage
from maia_kernel.lab import showing
from maia_kernel.lab.images import dim, identity, placeholder, png_bytes, remember

SMALL = square("red", 0)


@pytest.fixture(autouse=True)
def shell() -> Iterator[InteractiveShell]:
    """A real IPython, so that pictures are published rather than named."""
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def shown(*items: object) -> tuple[str, list[RichOutput]]:
    with capture_output() as captured:
        showing.show(*items)
    return captured.stdout, captured.outputs


def decoded(output: RichOutput) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))


def test_a_string_after_a_picture_is_its_caption_beside_it_and_in_its_plain_text() -> None:
    text, outputs = shown("before", SMALL, "a red square", "after", 3.5, None)
    assert text == "before\na red square\nafter\n3.5\nNone\n"
    assert [output.data["text/plain"] for output in outputs] == ["a red square"]
    assert set(outputs[0].data) == {"image/png", "text/plain"}


def test_a_picture_without_caption_says_its_size() -> None:
    text, outputs = shown(SMALL, SMALL, "of the second")
    assert text == "of the second\n"
    assert [output.data["text/plain"] for output in outputs] == ["picture, 64x64 pixels", "of the second"]


def test_small_pictures_are_enlarged_pixel_by_pixel_and_large_ones_left() -> None:
    (output,) = shown(SMALL)[1]
    image = decoded(output)
    assert image.size == (192, 192)
    assert np.array_equal(np.array(image)[1::3, 1::3], np.array(SMALL))
    assert [decoded(shown(Image.new("RGB", (n, n)))[1][0]).width for n in (1, 50, 100, 150, 300)] == [
        192,
        200,
        200,
        150,
        300,
    ]


@pytest.mark.parametrize(
    "item",
    [
        [SMALL, SMALL],
        (SMALL, [SMALL]),
        [np.array(SMALL), torch.from_numpy(np.array(SMALL))],
        [png_bytes(SMALL), base64.b64encode(png_bytes(SMALL)).decode()],
        {"one": SMALL, "more": [SMALL]},
    ],
)
def test_everything_image_like_and_lists_of_it_are_pictures(item: object) -> None:
    _, outputs = shown(item)
    assert len(outputs) == 2
    assert outputs[0].data["image/png"] == outputs[1].data["image/png"]


def test_pairs_of_activation_and_image_are_captioned() -> None:
    text, outputs = shown([(2.34567, SMALL), (np.float32(1.5), SMALL)])
    assert text == "activation 2.346\nactivation 1.500\n"
    assert [output.data["text/plain"] for output in outputs] == ["activation 2.346", "activation 1.500"]


def test_numbers_arrays_of_numbers_and_words_are_text() -> None:
    text, outputs = shown("dogs", [1, 2.5], np.array([1.0, 2.0]), np.full((2, 2), 7.5), {"a": 1}, __file__)
    assert outputs == []
    assert text == f"dogs\n1\n2.5\n[1. 2.]\n[[7.5 7.5]\n [7.5 7.5]]\na: 1\n{__file__}\n"


def test_a_figure_is_a_png_with_the_same_bytes_each_time() -> None:
    from matplotlib.figure import Figure

    def figure() -> Figure:
        made = Figure(figsize=(2, 1))
        made.subplots().plot([1, 2, 1])
        return made

    (first,), (second,) = shown(figure())[1], shown(figure(), "a curve")[1]
    assert first.data["image/png"] == second.data["image/png"]
    assert [first.data["text/plain"], second.data["text/plain"]] == ["figure", "a curve"]


def test_a_broken_picture_is_an_error_not_a_page_of_base64() -> None:
    with pytest.raises(BadImage):
        showing.show(base64.b64encode(png_bytes(SMALL)).decode()[:-50])


def test_outside_ipython_pictures_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    InteractiveShell.clear_instance()
    showing.show(SMALL, "a caption", SMALL)
    assert capsys.readouterr().out == "a caption\npicture, 64x64 pixels\n"


def test_ipython_shows_pil_images_as_level_one_png_only(shell: InteractiveShell) -> None:
    showing.configure_ipython()
    data: dict[str, Any] = shell.display_formatter.format(SMALL)[0]
    assert data["image/png"] == png_bytes(SMALL)
    assert "image/jpeg" not in data


def test_the_metadata_say_where_a_picture_comes_from(shell: InteractiveShell) -> None:
    dataset, drawn = (remember(SMALL.copy(), origin=origin) for origin in ("dataset", "generated"))
    masked = dim(dataset, np.ones((64, 64), bool))
    painted = drawn.copy()
    painted.paste(dataset, (1, 1))
    left_out = placeholder((64, 64), identity(SMALL))
    _, outputs = shown(SMALL, dataset, drawn, masked, dataset.crop((0, 0, 9, 9)), painted, left_out)
    said = [output.metadata.get("image/png", {}).get("maia") for output in outputs]
    assert said == [None, "dataset", "generated", "dataset", "dataset", None, "withheld"]
    with capture_output() as captured:
        showing.show_picture(png_bytes(SMALL), origin="plot")
    assert captured.outputs[0].metadata == {"image/png": {"maia": "plot"}}
    showing.configure_ipython()
    for picture, origin in ((SMALL, None), (dataset, "dataset"), (drawn, "generated")):
        data, metadata = shell.display_formatter.format(picture)
        assert data["image/png"] == png_bytes(picture)
        assert metadata.get("image/png") == (None if origin is None else {"maia": origin})
