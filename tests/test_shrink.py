"""Pictures are re-encoded, and nothing else of a notebook changes."""

from __future__ import annotations

import base64
import io
import json
import os

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from maia_kernel.driver.shrink import shrink
from maia_kernel.errors import NotebookError, UsageError


def pictures(path):
    nb = json.loads(path.read_text())
    cells = [cell for cell in nb["cells"] if cell["cell_type"] == "code"]
    bundles = [output.get("data", {}) for cell in cells for output in cell["outputs"]]
    return [bundle["image/png"] for bundle in bundles if "image/png" in bundle]


def opened(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


def png(image, **options):
    made = io.BytesIO()
    image.save(made, "PNG", **options)
    return base64.b64encode(made.getvalue()).decode()


def shown(*texts):
    """A notebook with these as the PNGs of its one code cell."""
    outputs = [
        new_output(
            "display_data", data={"image/png": text, "text/plain": "x"}, metadata={"image/png": {"maia": "plot"}}
        )
        for text in texts
    ]
    return new_notebook(cells=[new_markdown_cell("text"), new_code_cell("1", outputs=outputs)])


def gradient(mode="RGB"):
    ramp = np.add.outer(np.arange(60), np.arange(80)).astype(np.uint8)
    return Image.fromarray(np.stack([ramp, ramp // 2, 255 - ramp], axis=-1)).convert(mode)


@pytest.fixture
def copy(finished, tmp_path):
    path = tmp_path / "copy.ipynb"
    path.write_bytes(finished.read_bytes())
    return path


def without_pictures(path):
    nb = json.loads(path.read_text())
    for cell in nb["cells"]:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("image/png", None)
    return nb


def test_an_investigation_becomes_smaller_and_no_pixel_changes(finished, copy):
    before, after = shrink(copy)
    assert (before, after) == (finished.stat().st_size, copy.stat().st_size)
    assert after < 0.9 * before
    assert without_pictures(copy) == without_pictures(finished)
    assert list(json.loads(copy.read_text())) == list(json.loads(finished.read_text()))
    for old, new in zip(pictures(finished), pictures(copy), strict=True):
        assert opened(new).mode == opened(old).mode
        assert opened(new).tobytes() == opened(old).tobytes()
    once = copy.read_bytes()
    assert shrink(copy) == (after, after)
    assert copy.read_bytes() == once


def test_fewer_colours(finished, copy):
    lossless = shrink(copy)[1]
    assert shrink(copy, colours=16)[1] < lossless
    assert without_pictures(copy) == without_pictures(finished)
    for old, new in zip(pictures(finished), pictures(copy), strict=True):
        assert opened(new).size == opened(old).size
        assert len(opened(new).convert("RGBA").getcolors(256)) <= 16


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P", "I;16"])
def test_every_kind_of_png_and_what_it_holds_beside_its_pixels(tmp_path, mode):
    texts = PngInfo()
    texts.add_text("Software", "a plotting library")
    image = Image.fromarray(np.arange(4800, dtype=np.uint16).reshape(60, 80)) if mode == "I;16" else gradient(mode)
    nbformat.write(shown(png(image, compress_level=0, pnginfo=texts, dpi=(72, 72))), tmp_path / "a.ipynb")
    before, after = shrink(tmp_path / "a.ipynb")
    assert after < before
    (text,) = pictures(tmp_path / "a.ipynb")
    assert opened(text).tobytes() == image.tobytes()
    assert opened(text).info["Software"] == "a plotting library"
    assert opened(text).info["dpi"] == pytest.approx((72, 72), abs=0.1)


def test_transparency_survives_fewer_colours(tmp_path):
    image = gradient("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    nbformat.write(shown(png(image, compress_level=0)), tmp_path / "a.ipynb")
    shrink(tmp_path / "a.ipynb", colours=8)
    (text,) = pictures(tmp_path / "a.ipynb")
    assert opened(text).convert("RGBA").getchannel("A").getextrema() == (0, 0)


def test_the_bytes_around_the_pictures_stay_whoever_wrote_them(tmp_path):
    """Another indentation and key order, split base64, a picture's text in a source, a pasted picture, a BOM."""
    text = png(gradient(), compress_level=0)
    nb = shown(text)
    nb.cells[1].source = f'x = {{"image/png": "{text}"}}\nβ'
    nb.cells[0]["attachments"] = {"a.png": {"image/png": text}}
    data = json.loads(nbformat.writes(nb))
    lines = data["cells"][1]["outputs"][0]["data"]
    lines["image/png"] = base64.encodebytes(base64.b64decode(text)).decode().splitlines(keepends=True)
    path = tmp_path / "a.ipynb"
    path.write_text("\ufeff" + json.dumps(dict(reversed(data.items())), indent=3, ensure_ascii=False), "utf-8")
    raw = path.read_text("utf-8")
    shrink(path)
    changed = path.read_text("utf-8")
    assert len(changed) < len(raw)
    after = json.loads(changed.removeprefix("\ufeff"))
    small = after["cells"][1]["outputs"][0]["data"]["image/png"]
    assert opened(small).tobytes() == gradient().tobytes()
    assert after["cells"][0]["attachments"]["a.png"]["image/png"] == small
    assert list(after) == list(reversed(data))
    lines["image/png"] = small
    data["cells"][0]["attachments"]["a.png"]["image/png"] = small
    assert after == data


def test_broken_pictures_stay_as_they_are(tmp_path):
    whole = base64.b64decode(png(gradient(), compress_level=0))
    damaged = bytearray(whole)
    damaged[60] ^= 1
    broken = [whole[:-500], bytes(damaged), b"\x89PNG\r\n\x1a\n", b"GIF89a", b""]
    texts = [base64.b64encode(raw).decode() for raw in broken]
    nbformat.write(shown(*texts, "no base64 *", png(gradient(), compress_level=0)), tmp_path / "a.ipynb")
    before, after = shrink(tmp_path / "a.ipynb", colours=4)
    assert after < before
    assert pictures(tmp_path / "a.ipynb")[:-1] == [*texts, "no base64 *"]


def test_a_file_that_cannot_become_smaller_is_not_written(tmp_path):
    path = tmp_path / "a.ipynb"
    nbformat.write(shown(), path)
    os.utime(path, (1, 1))
    shrink(path)
    assert path.stat().st_mtime == 1


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"nbformat": 3, "worksheets": []}', b"\xff\xfe"])
def test_what_is_no_notebook_is_refused_and_not_touched(tmp_path, raw):
    path = tmp_path / "a.ipynb"
    path.write_bytes(raw)
    with pytest.raises(NotebookError, match=r"a\.ipynb") as error:
        shrink(path)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == raw


def test_a_folder_that_cannot_be_written(copy, monkeypatch):
    raw = copy.read_bytes()
    # Root may write everywhere, so that permissions would not do.
    monkeypatch.setattr("maia_kernel.driver.files.tempfile.NamedTemporaryFile", _no_space)
    with pytest.raises(UsageError, match=r"cannot save .*No space"):
        shrink(copy)
    assert copy.read_bytes() == raw


def _no_space(**_):
    raise OSError(28, "No space left on device")


def test_a_notebook_that_is_not_there(tmp_path):
    with pytest.raises(NotebookError, match="cannot read"):
        shrink(tmp_path / "absent.ipynb")
