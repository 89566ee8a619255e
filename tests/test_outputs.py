"""Outputs of cells: clean for the file, parts for a message."""

from __future__ import annotations

import base64
import copy
import io
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat import NotebookNode
from nbformat.v4 import new_output
from PIL import Image as pil

from maia_kernel.driver.messages import Image, Text
from maia_kernel.driver.normalise import plain, scrub, settle
from maia_kernel.driver.outputs import Limits, clean, parts
from maia_kernel.driver.tracebacks import shorten


def encoded(size: tuple[int, int] = (8, 6), kind: str = "PNG", mode: str = "RGB") -> str:
    buffer = io.BytesIO()
    pil.radial_gradient("L").resize(size).convert(mode).save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def stream(text: str, name: str = "stdout") -> NotebookNode:
    return new_output("stream", name=name, text=text)


def shown(**data: Any) -> NotebookNode:
    mimes = {"plain": "text/plain", "png": "image/png", "jpeg": "image/jpeg", "html": "text/html"}
    return new_output("display_data", data={mimes.get(key, key.replace("_", "/")): v for key, v in data.items()})


def failed(*lines: str, name: str = "ValueError", value: str = "x") -> NotebookNode:
    return new_output("error", ename=name, evalue=value, traceback=list(lines))


def text(outputs: list[NotebookNode], **options: Any) -> str:
    (only,) = parts(outputs, **options)
    assert isinstance(only, Text)
    return only.text


# parts: order and choice


def test_text_and_pictures_stand_in_their_order():
    first, second = encoded(), encoded((6, 8))
    sequence = parts([stream("one\n"), shown(png=first, plain="a"), stream("two\n"), shown(png=second, plain="b")])
    assert sequence == [Text("one"), Image(first), Text("two"), Image(second)]


def test_neighbouring_texts_are_one_part():
    assert parts([stream("a\n"), stream("b\n", "stderr"), shown(plain="'c'")]) == [
        Text("a\nb\n'c'".replace("\n\n", "\n"))
    ]


def test_a_picture_is_preferred_to_text_and_text_to_html():
    assert parts([shown(png=encoded(), plain="caption", html="<b>")]) == [Image(encoded())]
    assert text([shown(plain="   a\n0  1", html="<table>")]) == "   a\n0  1"


def test_markdown_and_latex_are_taken_where_the_plain_text_says_nothing():
    plain_object = "<IPython.core.display.Markdown object>"
    assert text([shown(plain=plain_object, text_markdown="**a**")]) == "**a**"
    assert text([shown(plain=plain_object, text_latex="$a$")]) == "$a$"


def test_html_alone_is_not_sent_and_that_is_said():
    said = text([shown(plain="<IPython.core.display.HTML object>", html="<script>alert(1)</script>")])
    assert "alert" not in said
    assert "text/html" in said


def test_an_object_is_shown_by_its_repr():
    assert text([shown(plain="<function f at 0x7f12345678>")]) == "<function f at 0x…>"


def test_elided_pictures_leave_their_caption_or_a_note():
    captioned = shown(png=encoded(), plain="mask, activation 3.1")
    nameless = shown(png=encoded(), plain="<PIL.Image.Image image mode=RGB size=8x6>")
    figure = shown(png=encoded(), plain="<Figure size 640x480 with 1 Axes>")
    assert text([captioned], elided=True) == "mask, activation 3.1"
    assert text([nameless], elided=True) == text([figure], elided=True) == "[picture dropped]"


def test_nothing_gives_nothing():
    assert parts([]) == parts(None) == parts([stream(" \n")]) == []


# parts: pictures


def test_a_large_picture_is_scaled_down_and_that_is_said():
    image, note = parts([shown(png=encoded((300, 200)))], limits=Limits(side=100))
    assert isinstance(image, Image)
    assert isinstance(note, Text)
    assert pil.open(io.BytesIO(base64.b64decode(image.data))).size == (100, 67)
    assert "300x200" in note.text
    assert parts([shown(png=encoded((300, 200)))], limits=Limits(side=100)) == [image, note]


def test_jpeg_stays_jpeg_and_other_formats_become_png():
    (jpeg,) = parts([shown(jpeg=encoded(kind="JPEG"))])
    assert jpeg == Image(encoded(kind="JPEG"), "image/jpeg")
    for kind in ("GIF", "WEBP"):
        (converted,) = parts([shown(**{f"image_{kind.lower()}": encoded(kind=kind)})])
        assert isinstance(converted, Image)
        assert converted.mime == "image/png"
        assert pil.open(io.BytesIO(base64.b64decode(converted.data))).format == "PNG"


def test_the_mime_type_is_what_the_bytes_are():
    (image,) = parts([shown(png=encoded(kind="JPEG"))])
    assert image == Image(encoded(kind="JPEG"), "image/jpeg")


def test_line_breaks_in_base64_do_not_reach_a_message():
    data = encoded((40, 40))
    broken = "\n".join(data[i : i + 76] for i in range(0, len(data), 76)) + "\n"
    assert parts([shown(png=broken)]) == parts([shown(png=broken.splitlines(keepends=True))]) == [Image(data)]


@pytest.mark.parametrize(
    "data", ["dogs", "", "!!!", encoded((99, 99))[:200], encoded((99, 99), "JPEG")[:1200], 3, ["a"]]
)
def test_a_damaged_picture_is_a_note(data: object):
    for part in parts([NotebookNode(output_type="display_data", data={"image/png": data, "text/plain": "p"})]):
        assert isinstance(part, Text)


def test_more_pictures_than_allowed_are_counted():
    sequence = parts([shown(png=encoded(), plain="p")] * 5 + [stream("end")], limits=Limits(pictures=2))
    assert sequence[:2] == [Image(encoded())] * 2
    assert isinstance(sequence[2], Text)
    assert len(sequence) == 3
    assert "end" in sequence[2].text
    assert "3 more pictures" in sequence[2].text


# parts: text


def test_long_text_keeps_head_and_tail_and_says_how_much_is_missing():
    said = text([stream("HEAD" + "x" * 50_000 + "TAIL")], limits=Limits(characters=1000))
    assert said.startswith("HEAD")
    assert said.endswith("TAIL")
    assert "49,008 characters left out" in said
    assert len(said) < 1100


def test_captions_survive_a_flood_beside_them():
    outputs = [shown(plain="caption one"), shown(png=encoded()), stream("x" * 50_000), shown(png=encoded())]
    first, _, flood, _ = parts([*outputs, stream("caption two")][:4], limits=Limits(characters=500))
    assert first == Text("caption one")
    assert isinstance(flood, Text)
    assert len(flood.text) < 600


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("10%\r50%\r100%\n", "100%\n"),
        ("long line\rab", "abng line"),
        ("abc\b\bX", "aXc"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x07link\x1b]8;;\x07", "link"),
        ("\x1b[32m10%\x1b[0m\r\x1b[32m99%\x1b[0m", "99%"),
        ("nul\x00 bell\x07 tab\t", "nul bell tab\t"),
        ("ünïcödé 漢字 🐕", "ünïcödé 漢字 🐕"),
    ],
)
def test_text_is_what_a_terminal_shows(written: str, seen: str):
    assert plain(written) == seen


def test_lone_surrogates_are_replaced():
    said = text([stream("a\ud800b 🐕")])
    assert said == "a\N{REPLACEMENT CHARACTER}b 🐕"
    said.encode("utf-8")


# errors

TRACEBACK = """\
---------------------------------------------------------------------------
LinAlgError                               Traceback (most recent call last)
Cell In[7], line 2
      1 import numpy as np
----> 2 helper(np.zeros((2, 2)))

Cell In[3], line 9, in helper(a)
----> 9     return np.linalg.inv(a)

File /opt/env/lib/python3.11/site-packages/numpy/linalg/_linalg.py:647, in inv(a)
    645 SECRET OF THE LIBRARY
--> 647     ainv = _umath_linalg.inv(a)

File /opt/env/lib/python3.11/site-packages/numpy/linalg/_linalg.py:144, in _raise(err, flag)
--> 144     raise LinAlgError("Singular matrix")

LinAlgError: Singular matrix"""


def test_a_traceback_keeps_the_cells_frames_and_one_line_for_libraries():
    said = text([failed(*TRACEBACK.split("\n"), name="LinAlgError", value="Singular matrix")])
    assert said.splitlines() == [
        "LinAlgError  Traceback (most recent call last)",
        "Cell, line 2",
        "      1 import numpy as np",
        "----> 2 helper(np.zeros((2, 2)))",
        "Cell, line 9, in helper(a)",
        "----> 9     return np.linalg.inv(a)",
        "File site-packages/numpy/linalg/_linalg.py:144, in _raise(…) [and 1 frame above it]",
        "LinAlgError: Singular matrix",
    ]


def test_execution_counts_never_reach_a_message():
    counted = [failed("Cell In[41], line 3", "SyntaxError: no"), stream("Cell In[41], line 3\n")]
    result = new_output("execute_result", data={"text/plain": "7"}, execution_count=41)
    assert "41" not in text([*counted, result])


def test_recursion_is_shown_once():
    frames = ["Cell In[1], line 1, in f(n)\n----> 1 def f(n): return f(n+1)\n"] * 900
    said = shorten("\n".join([*frames, "RecursionError: maximum recursion depth exceeded"]))
    assert len(said.splitlines()) == 4
    assert "899 more times" in said


def test_a_long_message_keeps_its_end():
    said = text([failed("RuntimeError: " + "x" * 20_000 + " the reason")], limits=Limits(traceback=1000))
    assert said.endswith("the reason")
    assert len(said) < 1100


def test_an_error_without_traceback_is_its_message():
    assert text([failed(name="KeyError", value="'a'")]) == "KeyError: 'a'"


# clean


@pytest.mark.parametrize(
    ("found", "left"),
    [
        ("/home/anna/x.py", "~/x.py"),
        ("see /Users/anna.b/data, please", "see ~/data, please"),
        ("/homely/anna", "/homely/anna"),
        ("http://host/home/anna", "http://host/home/anna"),
        ("'/root'", "'~'"),
        ("/opt/py/lib/python3.11/site-packages/torch/nn/a.py:3", "site-packages/torch/nn/a.py:3"),
        ("~/.venv/lib/python3.12/site-packages/a.py", "site-packages/a.py"),
        ("/usr/lib/python3.11/json/decoder.py", "python3.11/json/decoder.py"),
        ("/srv/code/maia_kernel/lab/system.py:12", "maia_kernel/lab/system.py:12"),
        ("/tmp/ipykernel_4242/123456.py:3: UserWarning", "Cell:3: UserWarning"),
        ("invalid syntax (2285918444.py, line 1)", "invalid syntax (Cell, line 1)"),
        ("/tmp/tmpab12_x9z/a.png", "<tmp>/a.png"),
        ("/tmp/mine/a.png", "<tmp>/mine/a.png"),
        ("/var/folders/zz/zyx/T/tmpab12_x9z", "<tmp>"),
        ("<Image size=64x64 at 0x7F00AA11BB22>", "<Image size=64x64 at 0x…>"),
        ("colour 0xff00ff, at 0xff", "colour 0xff00ff, at 0xff"),
        ("\x1b[32m/a/site-packages/b.py\x1b[39m", "\x1b[32msite-packages/b.py\x1b[39m"),
        ("1/2 and a/b", "1/2 and a/b"),
        ("/data/anna/x /data/annabel", "~/x /data/annabel"),
    ],
)
def test_what_tells_the_machine_or_the_run_is_scrubbed(found: str, left: str):
    assert scrub(found, {"/data/anna": "~"}) == left
    assert scrub(left, {"/data/anna": "~"}) == left


def test_clean_reaches_all_text_and_no_picture():
    secret = "/home/anna/x at 0x7f00aa11bb22"
    outputs = [
        stream(f"\x1b[31m10%\r{secret}"),
        shown(plain=secret, html=f"<i>{secret}</i>", application_json={"a": [secret]}, png=encoded()),
        failed(f"\x1b[31m{secret}\x1b[0m", value=secret),
    ]
    before = copy.deepcopy(outputs)
    cleaned = [clean(output) for output in outputs]
    assert outputs == before
    assert "anna" not in str(cleaned)
    assert "0x7f" not in str(cleaned)
    assert cleaned[1].data["image/png"] == encoded()
    assert cleaned[2].traceback[0].startswith("\x1b[31m"), "JupyterLab shows colours"
    assert [clean(output) for output in cleaned] == cleaned


def test_parts_are_the_same_from_clean_and_from_raw_outputs():
    raw = [stream("a\rb /tmp/tmpab12_x9z\n"), failed(*TRACEBACK.split("\n")), shown(plain="<f at 0x7f00aa11bb22>")]
    assert parts([clean(output) for output in raw]) == parts(raw)


@pytest.mark.parametrize("nasty", ["/" * 300_000, "a/" * 200_000, "site-packages " + "/x" * 200_000, "\r\b" * 200_000])
def test_long_text_takes_no_long_time(nasty: str):
    began = time.perf_counter()
    clean(stream(nasty))
    parts([stream(nasty)])
    assert time.perf_counter() - began < 30, "quadratic would be minutes"


PICTURE = encoded()
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None), max_size=30) | st.just(PICTURE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
MALFORMED = st.fixed_dictionaries(
    {},
    optional={
        "output_type": st.sampled_from(["stream", "error", "display_data", "execute_result", "x", None]),
        "text": ANYTHING,
        "data": ANYTHING | st.dictionaries(st.sampled_from(["text/plain", "image/png", "text/html"]), ANYTHING),
        "traceback": ANYTHING,
        "ename": ANYTHING,
        "evalue": ANYTHING,
    },
)


@settings(max_examples=100, deadline=None)
@given(st.lists(MALFORMED | ANYTHING, max_size=3), st.booleans())
def test_malformed_outputs_never_raise(outputs: list[Any], elided: bool):
    nodes = [NotebookNode(output) if isinstance(output, dict) else output for output in outputs]
    for part in parts(nodes, elided=elided):
        (part.text if isinstance(part, Text) else part.data).encode("utf-8")
    cleaned = [clean(node) for node in nodes]
    assert [clean(node) for node in cleaned] == cleaned


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab/~.\r\b\n \x1b[3m:\\'\ud800"), max_size=60))
def test_normalising_twice_changes_nothing(written: str):
    once = scrub(settle(written))
    assert scrub(settle(once)) == once
