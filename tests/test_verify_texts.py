"""Two texts compared: words exactly, numbers within the tolerance, and which number changed."""

from __future__ import annotations

import pytest

from maia_kernel.driver.verify.texts import changes, tolerance

TABLE = """condition             n    mean      sd     min     max
a red circle          4   0.871   0.056   0.801   0.934
none of these         4   0.031   0.025   0.006   0.055
effect of 'a red circle' over 'none of these': difference 0.840 [0.789, 0.890], d 16.87, p 0.0286"""


def said(saved: str, fresh: str, relative: float = 1e-4) -> list[str]:
    return [str(change) for change in changes(saved, fresh, relative)]


def test_a_changed_number_is_named_by_the_words_before_it():
    assert said("exemplar 1: activation 3.121", "exemplar 1: activation 2.870") == [
        "exemplar 1: activation 3.121 -> 2.870 (-8.0 %)"
    ]


def test_a_number_of_a_table_is_named_by_its_row_and_column():
    assert said(TABLE, TABLE.replace("0.056", "0.112")) == ["a red circle, sd 0.056 -> 0.112 (+100.0 %)"]


def test_a_number_has_a_unit_and_needs_no_leading_zero():
    assert said("took 1.234s", "took 2.468s") == ["took 1.234 -> 2.468 (+100.0 %)"]
    assert said("p .5", "p .25") == ["p .5 -> .25 (-50.0 %)"]


@pytest.mark.parametrize("numbers", [("9" * 5000, "9" * 4999 + "8"), ("1e300", "1e-300"), ("1e-300", "1e300")])
def test_huge_numbers_are_named_without_a_percentage(numbers):
    (change,) = changes(f"x {numbers[0]}", f"x {numbers[1]}", 1e-4)
    assert (change.was, change.now) == numbers
    assert len(str(change)) < len("".join(numbers)) + 20


def test_a_number_without_words_of_its_own_is_counted():
    assert said(TABLE, TABLE.replace("0.789", "-0.789")) == [
        "effect of 'a red circle' over 'none of these': difference (number 2) 0.789 -> -0.789 (-200.0 %)"
    ]


@pytest.mark.parametrize(
    ("saved", "fresh", "agree"),
    [
        ("x 3.121", "x 3.122", True),  # one unit of the last digit
        ("x 3.121", "x 3.123", False),
        ("x 31210.5", "x 31212.5", True),  # 1e-4 of it
        ("x 12 of 16", "x 11 of 16", False),  # integers exactly
        ("x 100000", "x 100001", False),
        ("x 0.97", "x 0.9744", False),  # the finer of the two printed digits
        ("x 0.97", "x 0.9701", True),
        ("x 10", "x 9.999", True),  # %.4g drops what is 0
        ("x 1.2e-05", "x 1.3e-05", True),
        ("x 1.2e-05", "x 1.5e-05", False),
        ("x 1e-05", "x 2e-05", False),  # one unit of the last digit, and twice as much
        ("x 0.001", "x 0.002", True),  # so many decimals were asked for
        ("x 1", "x 0e999", False),
        ("x 1e999", "x 1e998", False),
        ("x 12345678901234567890", "x 12345678901234567891", False),
        ("x -0", "x 0", True),
        ("x -5", "x 5", False),
        ("took 1.234s", "took 1.235s", True),
        ("took 1.234s", "took 1.834s", False),
        ("took 0.5ms", "took 0.5s", False),
        ("x .5", "x .50001", True),
        ("commit 12345e6f", "commit 12346e6f", False),  # no exponent
        ("x nan", "x nan", True),
        ("x nan", "x 0.1", False),
        ("x inf", "x 1e9", False),
        ("version 1.2.3", "version 1.2.4", False),  # no number
        ("layer3", "layer4", False),
        ("p 0.000", "p -0.000", True),
        ("[0.1, -0.2]", "[0.1, 0.2]", False),
    ],
)
def test_when_numbers_agree(saved, fresh, agree):
    assert (said(saved, fresh) == []) is agree


def test_the_tolerance_is_the_device_s():
    assert tolerance("cpu") == 1e-4
    assert tolerance("cuda:0") == tolerance("mps") == 1e-3
    assert tolerance("something else") == 1e-4
    assert said("x 1000.0", "x 1000.9", tolerance("cpu"))
    assert not said("x 1000.0", "x 1000.9", tolerance("cuda"))


def test_words_are_compared_exactly():
    assert said("a small red ring\nb", "a small blue ring\nb") == ["a small red ring -> a small blue ring"]


def test_a_line_more_does_not_shift_the_others():
    assert said("a 1.5\nb 2.5\nc 3.5", "a 1.5\nnew\nb 2.5\nc 4.5") == ["new: new", "c 3.5 -> 4.5 (+28.6 %)"]
    assert said("a 1.5\nb 2.5\nc 3.5", "a 1.5\nc 3.5") == ["gone: b 2.5"]


def test_columns_that_move_with_a_longer_name_are_no_change_of_their_own():
    saved = TABLE.split("\n")[:3]
    fresh = [saved[0].replace("n ", "n         ", 1), saved[1].replace("circle ", "circle and more "), saved[2] + " "]
    assert said("\n".join(saved), "\n".join(fresh)) == [
        "a red circle 4 0.871 0.056 0.801 0.934 -> a red circle and more 4 0.871 0.056 0.801 0.934"
    ]


def test_spaces_count_where_nothing_else_changed():
    assert said("a  b", "a b") == ["spaces in: a b"]


def test_thousands_of_lines_do_not_take_long():
    lines = [f"line {number}: {number / 7:.3f}" for number in range(5_000)]
    assert len(changes("\n".join(lines), "\n".join(lines[1:]), 1e-4)) > 0
