"""Fresh outputs against saved ones: what counts and what does not, on outputs made by hand."""

from __future__ import annotations

import base64
import io

from nbformat import NotebookNode
from nbformat.v4 import new_output
from PIL import Image

from maia_kernel.driver.verify.compare import compare
from maia_kernel.driver.verify.texts import tolerance


def said(saved: list[NotebookNode], fresh: list[NotebookNode]) -> list[str]:
    return [str(one) for one in compare(saved, fresh, tolerance("cpu")).differences]


def printed(text: str, name: str = "stdout") -> NotebookNode:
    return new_output("stream", name=name, text=text)


def png(image: Image.Image, **options: object) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return base64.b64encode(buffer.getvalue()).decode()


def shown(image: Image.Image, caption: str = "", kind: str = "", **options: object) -> NotebookNode:
    data = {"image/png": png(image, **options)} | ({"text/plain": caption} if caption else {})
    return new_output("display_data", data, metadata={"image/png": {"maia": kind}} if kind else {})


def grey(level: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("RGB", size, (level, level, level))


def test_how_a_runner_splits_streams_does_not_count():
    picture = shown(grey(7))
    saved = [printed("a\nb\n"), printed("w\n", "stderr"), picture, printed("c\n")]
    fresh = [printed("a\n"), printed("w\n", "stderr"), printed("b\n"), printed("c\n"), picture]
    assert said(saved, fresh) == []


def test_execution_counts_metadata_and_addresses_do_not_count():
    saved = new_output("execute_result", {"text/plain": "<A object at 0x7f00aa00bb00>"}, execution_count=3)
    fresh = new_output("execute_result", {"text/plain": "<A object at 0x7f11cc22dd33>"}, execution_count=5)
    fresh.metadata["x"] = 1
    assert said([saved], [fresh]) == []


def test_standard_output_is_not_standard_error():
    assert said([printed("a\n")], [printed("a\n", "stderr")]) == ["gone: a", "new: a"]


def test_results_are_compared():
    saved, fresh = (new_output("execute_result", {"text/plain": text}) for text in ("315032", "315033"))
    assert said([saved], [fresh]) == ["in '315032': 315032 -> 315033 (+0.0 %)"]


def test_tables_in_html_alone_are_compared():
    saved, fresh = (new_output("display_data", {"text/html": f"<b>{text}</b>"}) for text in ("one", "two"))
    assert len(said([saved], [fresh])) == 1


def test_pictures_are_compared_by_pixels_not_by_bytes():
    assert said([shown(grey(100), compress_level=1)], [shown(grey(100), compress_level=9)]) == []
    assert said([shown(grey(100))], [shown(grey(101))]) == []
    palette = grey(100).convert("P", palette=Image.Palette.ADAPTIVE)
    assert said([shown(grey(100))], [shown(palette)]) == []


def test_a_changed_picture_says_how_many_pixels_and_by_how_much():
    image = grey(100)
    image.putpixel((3, 4), (100, 160, 100))
    image.putpixel((3, 5), (102, 100, 100))
    assert said([shown(grey(100), "a ring")], [shown(image, "a ring")]) == [
        "picture 1 (a ring): 2 of 64 pixels differ, by up to 60/255"
    ]


def test_a_picture_of_another_size():
    assert said([shown(grey(1))], [shown(grey(1, (8, 9)))]) == ["picture 1: 8x8 -> 8x9 pixels"]


def test_a_number_in_a_caption_is_said_once():
    saved = [shown(grey(1), "activation 1.50"), printed("activation 1.50\n")]
    fresh = [shown(grey(1), "activation 2.50"), printed("activation 2.50\n")]
    assert said(saved, fresh) == ["activation 1.50 -> 2.50 (+66.7 %)"]


def test_pictures_more_or_fewer():
    assert said([shown(grey(1))], []) == ["number of pictures: 1 -> 0"]


def test_a_withheld_picture_is_not_compared_but_its_activation_is():
    saved = shown(grey(128), "activation 1.50", "withheld")
    result = compare([saved], [shown(grey(9), "activation 1.50", "dataset")], 1e-4)
    assert (result.differences, result.withheld) == ((), 1)
    assert said([saved], [shown(grey(9), "activation 2.50")]) == ["activation 1.50 -> 2.50 (+66.7 %)"]
    assert compare([shown(grey(9))], [shown(grey(128), "", "withheld")], 1e-4).withheld == 1


def test_a_picture_that_cannot_be_read():
    broken = new_output("display_data", {"image/png": "iVBORw0KGgo="})
    assert said([broken], [broken]) == []
    assert said([shown(grey(1))], [broken]) == ["picture 1: the new picture cannot be read"]


def test_errors_are_compared_by_name_and_message():
    def error(name: str, message: str, line: int) -> NotebookNode:
        return new_output("error", ename=name, evalue=message, traceback=[f"Cell In[{line}], line {line}"])

    assert said([error("ValueError", "no", 3)], [error("ValueError", "no", 9)]) == []
    assert said([error("ValueError", "no", 3)], [error("KeyError", "no", 3)]) == [
        "error: ValueError: no -> KeyError: no"
    ]
    assert said([error("ValueError", "no", 3)], []) == ["error: ValueError: no -> none"]


def test_what_is_malformed_counts_as_empty():
    assert compare([None, 3, {"output_type": "stream"}, {"data": 3}], [], 1e-4).differences == ()  # type: ignore[list-item]
