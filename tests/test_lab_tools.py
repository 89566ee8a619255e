"""Tools do what their docstrings say, for experiments written for MAIA too, and answer wrong calls with right ones."""

from __future__ import annotations

import ast
import io
import math
from collections.abc import Sequence
from typing import Any

import lab_standins
import numpy as np
import pytest
from lab_standins import WORLD, square
from PIL import Image

from maia_kernel.errors import BadCall, BadImage, UnknownName
from maia_kernel.lab import generators
from maia_kernel.lab.images import recall
from maia_kernel.lab.load import load
from maia_kernel.lab.measuring import effects_over, table
from maia_kernel.lab.plots import strip_plot
from maia_kernel.lab.system import System
from maia_kernel.lab.tools import Tools

MODEL = "lab_standins:build"


@pytest.fixture(scope="module")
def loaded() -> tuple[System, Tools]:
    return load(MODEL, "maps", 0, seed=3, **WORLD)


@pytest.fixture
def system(loaded: tuple[System, Tools]) -> System:
    return loaded[0]


@pytest.fixture
def tools(loaded: tuple[System, Tools]) -> Tools:
    return loaded[1]


def pixels(images: list[Image.Image]) -> list[bytes]:
    return [image.tobytes() for image in images]


# -- MAIA's experiments ----------------------------------------------------------------------------------------------

BY_POSITION = """
import statistics

exemplar_data = tools.dataset_exemplars(system)
for activation, image in exemplar_data:
    tools.display(image, f"Activation: {activation:.4f}")

prompts = ["a red square", "a blue square", "a white square"] * 2
images = tools.text2image(prompts)
activations, masked_images = system.call_neuron(images)
for prompt, activation, masked in zip(prompts, activations, masked_images):
    tools.display(f"{prompt}: {activation}", masked)

def mean_of(prompt, n=3):
    values, _ = system.call_neuron(tools.text2image([prompt] * n))
    return statistics.mean(values)

means = {colour: mean_of(f"a {colour} square") for colour in ["red", "green"]}

edits = ["make it red"] * len(images[:2])
all_images, all_prompts = tools.edit_images(images[:2], edits)
edited_activations, edited_masked = system.call_neuron(all_images)
titles = [f"{p} ({a:.2f})" for p, a in zip(all_prompts, edited_activations)]
descriptions = tools.describe_images(edited_masked, titles)
tools.display(descriptions)
tools.display(tools.summarize_images([image for _, image in exemplar_data[:5]]))
"""
BY_KEYWORD = (
    BY_POSITION.replace("text2image([prompt] * n)", "text2image(prompt_list=[prompt] * n)")
    .replace("text2image(prompts)", "text2image(prompt_list=prompts)")
    .replace("call_neuron(images)", "call_neuron(image_list=images)")
    .replace("edit_images(images[:2], edits)", "edit_images(base_images=images[:2], editing_prompts=edits)")
    .replace("describe_images(edited_masked, titles)", "describe_images(image_list=edited_masked, image_title=titles)")
    .replace("summarize_images([", "summarize_images(image_list=[")
    .replace("dataset_exemplars(system)", "dataset_exemplars(system=system)")
)


@pytest.mark.parametrize("code", [BY_POSITION, BY_KEYWORD])
def test_code_written_for_maia_runs_unchanged(
    code: str, system: System, tools: Tools, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (code is BY_POSITION) or code.count("_list=") == 5
    cell: dict[str, Any] = {"system": system, "tools": tools}
    exec(compile(code, "cell", "exec"), cell)
    assert len(cell["exemplar_data"]) == 15
    assert cell["means"]["red"] > 0.5 > cell["means"]["green"]
    assert cell["all_prompts"] == ["Original Image", "make it red"] * 2
    assert cell["edited_activations"][3] > cell["edited_activations"][2] == 0
    assert cell["descriptions"].splitlines()[3].startswith("make it red (1.00): red")
    shown = capsys.readouterr().out
    assert shown.count("Activation: ") == 15
    assert "[COMMON]: " in shown


# -- pictures --------------------------------------------------------------------------------------------------------


def test_a_prompt_said_five_times_gives_five_pictures_and_the_same_five_again(tools: Tools) -> None:
    five = pixels(tools.text2image(["a red square"] * 5))
    assert len(set(five)) == 5
    assert pixels(tools.text2image(["a red square"] * 5)) == five
    among_others = tools.text2image(["a blue square", "a red square", "a white square", "a red square"])
    assert pixels(among_others)[1::2] == five[:2]
    assert pixels(tools.text2image("a red square")) == five[:1]
    assert not set(pixels(tools.text2image(["a red square"] * 5, variation=1))) & set(five)


def test_seeds_depend_on_everything_that_they_should(system: System, tools: Tools) -> None:
    class Later:
        name, revision = "painter", "2"

    class Same:
        name, revision = "painter", "1"

    def seed(seed: int = 0, backend: Any = Same, request: tuple[str, ...] = ("p",), variation: int = 0) -> int:
        return generators.seeds(seed, backend(), [request], variation)[0]

    others = [seed(1), seed(backend=Later), seed(request=("q",)), seed(variation=1), seed(request=("p", "p"))]
    assert len({seed(), *others}) == 6
    assert seed() == generators.content_seed(0, "painter", "1", "p", 0, 0)
    assert generators.content_seed("a", "b") != generators.content_seed("ab")
    assert 0 <= seed() < 2**63


def test_what_a_backend_cannot_do_is_printed_once_per_prompt(tools: Tools, capsys: pytest.CaptureFixture[str]) -> None:
    images = tools.text2image(["a red dragon", "a red dragon", "a red square"])
    tools.edit_images(images[:1], ["make it louder"])
    assert capsys.readouterr().out.splitlines() == [
        "note on 'a red dragon': does not know the word 'dragon'",
        "note on 'make it louder': matches nothing",
    ]


def test_edits_come_interleaved_with_what_they_were_made_from(system: System, tools: Tools) -> None:
    red = square("red", 4)
    images, prompts = tools.edit_images([red, "a blue square"], ["make it green", "make it white"])
    assert prompts == ["Original Image", "make it green", "a blue square", "make it white"]
    assert images[0] is red
    assert pixels(images[2:3]) == pixels(tools.text2image(["a blue square"]))
    assert [np.array(image).max((0, 1)).tolist() for image in images] == [
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [255, 255, 255],
    ]


def test_one_image_takes_several_edits_and_one_edit_several_images(tools: Tools) -> None:
    images, prompts = tools.edit_images("a red square", ["make it blue", "make it green"])
    assert prompts == ["a red square", "make it blue", "a red square", "make it green"]
    assert images[0] is images[2]
    images, prompts = tools.edit_images([square("red", 1), square("red", 2)], "make it blue")
    assert prompts == ["Original Image", "make it blue"] * 2


def test_a_masked_image_is_edited_as_its_original(system: System, tools: Tools) -> None:
    red = square("red", 4)
    _, masked = system.call_neuron([red])
    images, _ = tools.edit_images(masked, ["make it blue"])
    assert images[0] is red


# -- descriptions ----------------------------------------------------------------------------------------------------


def test_descriptions_are_headed_by_their_titles(tools: Tools) -> None:
    pictures = [square("red", 0), square("blue", 0)]
    assert tools.describe_images(pictures, ["first", "second"]) == "first: red\nsecond: blue"
    assert tools.describe_images(pictures) == "image 1: red\nimage 2: blue"
    assert tools.describe_images(pictures, "probe") == "probe 1: red\nprobe 2: blue"
    assert tools.describe_images(pictures[0], "it") == "it: red"
    assert tools.summarize_images(pictures) == "[COMMON]: blue and red"


# -- measurements ----------------------------------------------------------------------------------------------------


def test_measure_prints_a_table_and_effects_and_returns_them(tools: Tools, capsys: pytest.CaptureFixture[str]) -> None:
    conditions = {
        "with red": "a red square",
        "half": ["a red square", "a blue square"],
        "without": [square("blue", 1)] * 3,
    }
    result = tools.measure(conditions, repeats=6)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "condition                          n    mean      sd     min     max"
    assert lines[1].startswith("with red                           6   ")
    assert lines[3] == "without                            3   0.000   0.000   0.000   0.000"
    effect = result.effects[0]
    assert lines[4] == (
        f"effect of 'with red' over 'without': difference {effect.difference:.3f} "
        f"[{effect.low:.3f}, {effect.high:.3f}], d {effect.d:.2f}, p {effect.p:.4f}"
    )
    assert [len(values) for values in result.conditions.values()] == [6, 2, 3]
    assert [(e.condition, e.control) for e in result.effects] == [("with red", "without"), ("half", "without")]
    assert effect.low <= effect.difference <= effect.high
    assert effect.p == pytest.approx(1 / math.comb(9, 3))
    assert pixels(result.images["with red"]) == pixels(tools.text2image(["a red square"] * 6))
    assert repr(result) == "<Measurement: 3 conditions, 11 images, 2 effects>"


def test_the_control_can_be_named_and_a_variation_is_a_replication(
    tools: Tools, capsys: pytest.CaptureFixture[str]
) -> None:
    conditions = {"red": "a red square", "blue": "a blue square"}
    first = tools.measure(conditions, control="red")
    again = tools.measure(conditions, "red", 4)
    other = tools.measure(conditions, control="red", variation=1)
    assert first.effects[0].difference < 0
    assert first.effects == again.effects
    assert pixels(first.images["red"]) != pixels(other.images["red"])
    one = tools.measure({"only": "a red square"}, repeats=1)
    assert one.effects == ()
    assert "nan" in capsys.readouterr().out.splitlines()[-3]


class Careless(lab_standins.Painter):
    """Draws every third prompt in white, whatever it asks for."""

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[tuple[Image.Image, tuple[str, ...]]]:
        return super().generate(["white" if i % 3 == 2 else prompt for i, prompt in enumerate(prompts)], seeds)


CHECKED = {"red": "a red square", "blue": "a blue square", "given": [square("green", 1)] * 4}


def test_where_all_pictures_are_as_asked_one_line_says_so(tools: Tools, capsys: pytest.CaptureFixture[str]) -> None:
    result = tools.measure(CHECKED, repeats=6)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == "manipulation check: 12 of 12 pictures show what was asked for"
    assert not any(line.startswith("without") for line in lines)
    assert [check is not None and check.ok for check in result.checks["red"]] == [True] * 6
    assert result.checks["given"] == [None] * 4
    assert result.effects_checked == result.effects


def test_pictures_that_failed_are_named_and_left_out_of_a_second_table(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    careless = Tools(system, Careless(), "lab_standins:Retoucher", "lab_standins:Captioner")
    result = careless.measure(CHECKED, repeats=6)
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("manipulation check: 8 of 12 pictures show what was asked for")
    assert lines[at + 1 : at + 6] == [
        "  'red' number 3: asked for red, seen: white",
        "  'red' number 6: asked for red, seen: white",
        "  'blue' number 3: asked for blue, seen: white",
        "  'blue' number 6: asked for blue, seen: white",
        "without the pictures that failed:",
    ]
    kept = {
        name: [v for i, v in enumerate(values) if name == "given" or i % 3 < 2]
        for name, values in result.conditions.items()
    }
    assert (
        result.effects_checked
        == effects_over(kept, "given")
        != result.effects
        == effects_over(result.conditions, "given")
    )
    assert lines[at + 6 : -1] == table(kept, result.effects_checked).splitlines()
    assert lines[:at] == table(result.conditions, result.effects).splitlines()


def test_a_condition_that_loses_all_its_pictures_has_none_left(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    careless = Tools(system, "lab_standins:Painter", "lab_standins:Retoucher", "lab_standins:Captioner")
    images, _ = careless.edit_images("a red square", ["leave it blue-ish"])  # read by the editor as nothing
    result = careless.measure({"edited": images[1::2], "red": "a red square"})
    lines = capsys.readouterr().out.splitlines()
    assert images[1] is not images[0]
    assert lines[-4:-2] == ["condition" + lines[-4][9:], "edited                             0    none left"]
    assert [e.condition for e in result.effects] == ["edited"]
    assert result.effects_checked == ()


def test_a_long_list_of_failures_ends_with_a_count(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    careless = Tools(system, Careless(), "lab_standins:Retoucher", "lab_standins:Captioner")
    careless.measure({"red": "a red square"}, repeats=45)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("  'red' number ") for line in lines) == 12
    assert "  and 3 more" in lines


def test_pictures_of_an_open_generator_are_not_checked(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    painter = lab_standins.Painter()
    painter.vocabulary = None  # type: ignore[assignment]
    result = Tools(system, painter, "lab_standins:Retoucher", "lab_standins:Captioner").measure(CHECKED)
    assert "manipulation" not in capsys.readouterr().out
    assert (result.checks, result.effects_checked) == ({}, result.effects)


def test_a_strip_plot_marks_what_failed() -> None:
    rows = {"with": [3.0, 3.1, 4.0]}
    assert strip_plot(rows, failed={"with": [False, True, False]}) != strip_plot(rows)
    assert strip_plot(rows, failed={"with": [False] * 3}) == strip_plot(rows, failed={}) == strip_plot(rows)


def test_a_strip_plot_shows_its_rows_and_the_same_bytes_every_time() -> None:
    rows = {"with": [3.0, 3.1, 4.0], "without a very long name that does not fit": [0.1, 0.2], "empty": []}
    assert strip_plot(rows) == strip_plot(rows)
    sizes = [Image.open(io.BytesIO(strip_plot(some))).height for some in (rows, {"with": [3.0]})]
    assert sizes[0] > sizes[1]
    assert strip_plot({"a": [0.0]}) != strip_plot({"a": [1.0, 2.0]})


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        ("tools.text2image()", BadCall, "call images = tools.text2image"),
        ("tools.text2image([3])", BadCall, "number 0 is a int"),
        ("tools.text2image(['a', ' '])", BadCall, "number 1 is empty"),
        ("tools.text2image(7)", BadCall, "a list of strings, not a int"),
        ("tools.text2image(['a'], seed=1)", BadCall, "unexpected keyword"),
        ("tools.edit_images([image] * 3, ['a', 'b'])", BadCall, "3 images but 2 instructions"),
        ("tools.edit_images([3], ['a'])", BadImage, "int is not an image"),
        ("tools.edit_images(3, ['a'])", BadCall, "list of images or prompts"),
        ("tools.describe_images([image] * 3, ['a', 'b'])", BadCall, "3 images but 2 titles"),
        ("tools.describe_images(['dogs'], ['a'])", BadImage, "'dogs'"),
        ("tools.summarize_images([])", BadCall, "empty"),
        ("tools.dataset_exemplars()", BadCall, r"tools.dataset_exemplars\(system\)"),
        ("tools.dataset_exemplars(17)", BadCall, "argument is the system"),
        ("tools.dataset_exemplars(system, 0)", BadCall, "from 1 to 64"),
        ("tools.measure('a red square')", BadCall, "dict from names"),
        ("tools.measure({})", BadCall, "dict from names"),
        ("tools.measure({'a': []})", BadCall, "'a' is empty"),
        ("tools.measure({'a': 'red'}, control='b')", UnknownName, "condition for control 'b'"),
        ("tools.measure({'a': 'red'}, repeats=0)", BadCall, "from 1"),
        ("tools.measure({'a': 3})", BadImage, "list of images"),
    ],
)
def test_a_wrong_call_raises_one_line_that_says_how(
    call: str, error: type[Exception], says: str, system: System, tools: Tools
) -> None:
    cell = {"system": system, "tools": tools, "image": square("red", 0)}
    with pytest.raises(error, match=says) as raised:
        eval(call, cell)
    assert "\n" not in str(raised.value)


# -- the reference that the VLM reads --------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", [System, Tools])
def test_every_public_method_is_documented_with_an_example_that_parses(owner: type) -> None:
    documented = [owner, *(method for name, method in vars(owner).items() if name[0] != "_" and callable(method))]
    assert len(documented) >= 2
    for thing in documented:
        text = thing.__doc__
        assert text, thing
        assert "Examples\n" in text, thing
        code = [line.strip()[4:] for line in text.splitlines() if line.strip().startswith((">>>", "..."))]
        ast.parse("\n".join(code))


def test_the_examples_run(system: System, tools: Tools, capsys: pytest.CaptureFixture[str]) -> None:
    for owner in (System, Tools):
        for thing in [owner, *(method for name, method in vars(owner).items() if not name.startswith("_"))]:
            lines = [line.strip() for line in (thing.__doc__ or "").splitlines()]
            code = "\n".join(line[4:] for line in lines if line.startswith((">>>", "...")))
            exec(compile(code, "example", "exec"), {"system": system, "tools": tools})
    assert "activation" in capsys.readouterr().out


def test_public_attributes_are_those_documented(system: System, tools: Tools) -> None:
    for one in (system, tools):
        public = [name for name in vars(one) if not name.startswith("_")]
        assert [name for name in public if f"\n    {name} : " in (type(one).__doc__ or "")] == public


def test_images_that_were_made_are_counted(system: System, tools: Tools) -> None:
    before = tools.images_made
    drawn = tools.text2image(["red", "blue"])
    tools.edit_images(drawn, ["paint it green"])
    assert tools.images_made == before + 4


def test_a_masked_exemplar_remembers_its_original(system: System, tools: Tools) -> None:
    assert recall(tools.dataset_exemplars(system, 1)[0][1], "original") is not None
