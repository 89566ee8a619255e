"""The report of a measurement is legible at every scale, and a describer that fails does not lose it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import lab_standins
import pytest
from lab_standins import WORLD
from PIL import Image

from maia_kernel.lab.load import load
from maia_kernel.lab.measuring import effects_over, table
from maia_kernel.lab.tools import Tools

VALUES = {"with": [4.5, 1.25, 3.125, 2.0], "without": [1.0, 0.5, -0.75, 0.25], "left": []}


def scaled(by: float) -> list[str]:
    conditions = {name: [value * by for value in values] for name, values in VALUES.items()}
    return table(conditions, effects_over(conditions, "without")).splitlines()


def test_ordinary_figures_have_three_decimals_in_columns_of_eight() -> None:
    assert scaled(1)[:4] == [
        "condition                          n    mean      sd     min     max",
        "with                               4   2.719   1.416   1.250   4.500",
        "without                            4   0.250   0.736  -0.750   1.000",
        "left                               0    none left",
    ]
    assert " difference 2.469 [" in scaled(1)[4]


def test_small_figures_keep_four_digits() -> None:
    assert scaled(1e-5)[:3] == [
        "condition                          n        mean          sd         min         max",
        "with                               4  0.00002719  0.00001416  0.00001250  0.00004500",
        "without                            4  0.00000250  0.00000736 -0.00000750  0.00001000",
    ]
    assert " difference 0.00002469 [" in scaled(1e-5)[4]


@pytest.mark.parametrize("by", [1e-30, 1e-9, 1e-5, 0.01, 1, 20, 100, 1e5, -1e5, 1e12])
def test_figures_of_every_scale_stand_apart_without_an_exponent(by: float) -> None:
    rows = [line.split() for line in scaled(by)[1:3]]
    assert [row[:2] for row in rows] == [["with", "4"], ["without", "4"]]
    assert all(re.fullmatch(r"-?\d+\.\d+", figure) for row in rows for figure in row[2:])
    if by > 1e-20:
        low, high = sorted((1.25 * by, 4.5 * by))
        figures = [float(figure) for figure in rows[0][2:]]
        assert figures == pytest.approx([2.71875 * by, 1.4158 * abs(by), low, high], rel=2e-3)


def test_a_table_of_which_nothing_is_left_has_its_heading() -> None:
    assert table({"a": [], "b": []}, ()).splitlines()[1].split() == ["a", "0", "none", "left"]


def test_what_was_measured_is_said_and_kept_where_the_describer_fails(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(lab_standins.Captioner):
        def describe(self, images: Sequence[Image.Image]) -> list[str]:
            assert capsys.readouterr().out.startswith("condition  ")
            raise ConnectionError("no answer\nfrom the service")

    system, _ = load("lab_standins:build", "maps", 0, seed=3, **WORLD)
    capsys.readouterr()
    tools = Tools(system, "lab_standins:Painter", "lab_standins:Retoucher", Broken())
    result = tools.measure({"red": "a red square", "blue": "a blue square"})
    says = "the manipulation check was not made: ConnectionError: no answer from the service"
    assert capsys.readouterr().out.splitlines()[0] == says
    assert (len(result.conditions["red"]), result.checks, result.effects_checked) == (4, {}, result.effects)
