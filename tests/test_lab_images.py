"""Anything image-like becomes a picture; what a picture remembers holds only for its own pixels."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maia_kernel.errors import BadImage
from maia_kernel.lab import images


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))


def test_every_form_of_a_picture_reads_as_the_same_pixels(picture: Image.Image, tmp_path: Path) -> None:
    data = images.png_bytes(picture)
    text = base64.b64encode(data).decode()
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    array = np.array(picture)
    forms = {
        "PIL": picture,
        "palette": picture,
        "bytes": data,
        "bytearray": bytearray(data),
        "base64": text,
        "wrapped base64": "\n".join(text[i : i + 76] for i in range(0, len(text), 76)),
        "data URL": f"data:image/png;base64,{text}",
        "path": path,
        "path as string": str(path),
        "uint8": array,
        "int64": array.astype(int),
        "float": array / 255,
        "float32": (array / 255).astype(np.float32),
        "channels first": np.moveaxis(array, 2, 0),
        "tensor, channels first": torch.from_numpy(array).permute(2, 0, 1),
        "tensor, channels last": torch.from_numpy(array),
        "tensor of floats": torch.from_numpy(array).permute(2, 0, 1).float().requires_grad_() / 255,
    }
    for name, form in forms.items():
        read = images.as_image(form)
        assert read.mode == "RGB", name
        assert np.array_equal(np.array(read), array), name
        assert images.is_image(form), name


def test_grey_transparent_and_rotated_pictures_become_rgb_as_a_person_sees_them() -> None:
    assert images.as_image(np.full((4, 4), 0.5)).getpixel((0, 0)) == (128, 128, 128)
    assert images.as_image(Image.new("RGBA", (4, 4), (255, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)
    assert images.as_image(np.array([[True, False]])).getpixel((0, 0)) == (255, 255, 255)
    upright = Image.new("RGB", (10, 20))
    exif = upright.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    file = io.BytesIO()
    upright.save(file, "JPEG", exif=exif)
    assert images.as_image(file.getvalue()).size == (20, 10)


@pytest.mark.parametrize("word", ["dogs", "a red circle", "iVBORw0KGgo", "deadbeef" * 20, "", "/no/such/file.png"])
def test_words_are_not_images(word: str) -> None:
    assert not images.is_image(word)
    with pytest.raises(BadImage, match="not an image"):
        images.as_image(word)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.full((4, 4, 3), 3.7), "0-1"),
        (np.full((4, 4, 3), np.nan), "0-1"),
        (np.full((4, 4, 3), 999), "0-255"),
        (np.zeros((6, 5, 7)), "not an image"),
        (np.zeros((2, 4, 4, 3)), "as a list"),
        (np.zeros((0, 4, 3)), "no pixels"),
        (b"\x89PNG\r\n\x1a\n and then nothing", "cannot be read"),
        ("data:image/png,abc", "base64"),
        (12, "^int is not an image"),
        (None, "NoneType"),
        ((3.5, Image.new("RGB", (4, 4))), "pair"),
        (Path("no-such.png"), "no file"),
    ],
)
def test_what_cannot_be_read_says_why_in_one_line(value: object, says: str) -> None:
    with pytest.raises(BadImage, match=says) as raised:
        images.as_image(value)
    assert "\n" not in str(raised.value)


def test_a_list_names_the_element_that_is_wrong_and_one_image_is_a_list_of_one(picture: Image.Image) -> None:
    with pytest.raises(BadImage, match="image 1 of the list"):
        images.as_images([picture, "dogs"])
    assert len(images.as_images(picture)) == 1
    assert len(images.as_images(np.zeros((5, 4, 4, 3), np.uint8))) == 5
    assert images.as_images([]) == []
    with pytest.raises(BadImage, match="list of images"):
        images.as_images(7)


def test_a_picture_remembers_until_its_pixels_change(picture: Image.Image) -> None:
    images.remember(picture, scene="a star")
    images.remember(picture, mask=3)
    assert (images.recall(picture, "scene"), images.recall(picture, "mask")) == ("a star", 3)
    assert images.recall(picture.copy(), "scene") == "a star"
    assert images.recall(picture, "nothing") is None
    assert images.recall(picture.resize((8, 8)), "scene") is None
    assert images.recall(picture.crop((0, 0, 32, 23)), "scene") is None
    painted = picture.copy()
    painted.putpixel((0, 0), (1, 2, 3))
    assert images.recall(painted, "scene") is None
    images.remember(painted, colour="red")  # the new pixels were never said to be a star
    assert images.recall(painted, "scene") is None


def test_a_mask_dims_the_rest_to_a_quarter_and_remembers_its_original(picture: Image.Image) -> None:
    mask = np.zeros((24, 32), bool)
    mask[:12] = True
    masked = images.dim(picture, mask)
    before, after = np.array(picture), np.array(masked)
    assert np.array_equal(after[:12], before[:12])
    assert np.array_equal(after[12:], before[12:] // 4)
    assert images.original_of(masked) is picture
    assert np.array_equal(images.recall(masked, "mask"), mask)
    assert images.original_of(picture) is picture
    with pytest.raises(BadImage, match="does not fit"):
        images.dim(picture, mask.T)


@pytest.mark.parametrize(
    ("small", "size"), [((8, 8), (64, 64)), ((7, 5), (33, 21)), ((1, 1), (10, 12)), ((9, 9), (4, 5))]
)
def test_maps_are_enlarged_as_torch_does(small: tuple[int, int], size: tuple[int, int]) -> None:
    values = np.random.default_rng(1).normal(size=small).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], size=(size[1], size[0]), mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(images.enlarge(values, size), expected[0, 0].numpy(), atol=1e-5)


def test_png_bytes_are_deterministic_and_lossless(picture: Image.Image) -> None:
    assert images.png_bytes(picture) == images.png_bytes(images.remember(picture.copy(), scene=object()))
    assert np.array_equal(np.array(Image.open(io.BytesIO(images.png_bytes(picture)))), np.array(picture))


def test_a_grid_holds_every_picture(picture: Image.Image) -> None:
    sheet = images.grid([picture] * 5, gap=2)
    assert sheet.size == (3 * 34 - 2, 2 * 26 - 2)
    assert sheet.crop((34, 26, 66, 50)).tobytes() == picture.tobytes()
    assert images.grid([picture] * 5, columns=5).width == 5 * 36 - 4
    with pytest.raises(BadImage):
        images.grid([])
