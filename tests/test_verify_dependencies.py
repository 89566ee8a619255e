"""Which cells rest on which, by the names that they need and assign."""

from __future__ import annotations

import pytest

from maia_kernel.driver.verify.dependencies import Resting, assigned, needed


@pytest.mark.parametrize(
    ("source", "needs", "assigns"),
    [
        ("a = b + 1", {"b"}, {"a"}),
        ("a = a + 1", {"a"}, {"a"}),
        ("a += b", {"a", "b"}, {"a"}),
        ("base = probes['x'][:4]\nprint(base)", {"probes", "print"}, {"base"}),
        ("for i, x in enumerate(xs):\n    print(i, x)", {"xs", "enumerate", "print"}, {"i", "x"}),
        ("[x for x in xs if x > limit]", {"xs", "limit"}, set()),
        ("{k: v for k, v in d.items()}", {"d"}, set()),
        ("def f(a, *rest, key=default):\n    local = a\n    return local + outer", {"default", "outer"}, {"f"}),
        ("g = lambda a: a + b", {"b"}, {"g"}),
        ("class A(B):\n    x = y", {"B", "y"}, {"A"}),
        ("import numpy as np, os.path\nfrom a import b as c", set(), {"np", "os", "c"}),
        ("with open(p) as f:\n    text = f.read()", {"open", "p"}, {"f", "text"}),
        ("results['x'] = y\nobj.a.b = z", {"results", "y", "obj", "z"}, {"results", "obj"}),
        ("try:\n    pass\nexcept E as error:\n    print(error)", {"E", "print"}, {"error"}),
        ("if (n := len(xs)) > 1:\n    print(n)", {"len", "xs", "print"}, {"n"}),
        ("x: int = y", {"y"}, {"x"}),
        ("%matplotlib inline\n!ls\na = b", {"b"}, {"a"}),
        ("tools.measure?\na = b", {"b"}, {"a"}),
        ("this is no Python", set(), set()),
        ("", set(), set()),
    ],
)
def test_names(source, needs, assigns):
    assert (needed(source), assigned(source)) == (needs, assigns)


UNDEFINED = ("NameError", "name 'pictures' is not defined")


def test_a_name_error_rests_on_the_cell_that_should_have_assigned_it():
    resting = Resting()
    resting.ended(1, "pictures = tools.text2image(prompts)", result=False)
    assert resting.on("show(pictures)", UNDEFINED) == 1
    assert resting.on("show(other)", ("NameError", "name 'other' is not defined")) is None
    assert resting.on("show(pictures)", ("ValueError", "no")) is None  # else it would have been a NameError


def test_a_name_that_another_cell_assigned_after_all():
    resting = Resting()
    resting.ended(1, "pictures = 1", result=False)
    resting.ended(2, "pictures = 2", result=True)
    assert resting.on("show(pictures)", UNDEFINED) is None


def test_a_cell_with_a_value_that_should_have_been_replaced():
    resting = Resting()
    resting.ended(1, "pictures = 1", result=True)
    resting.ended(2, "pictures = tools.text2image(prompts)", result=False)
    assert resting.on("show(pictures)", None) == 2
    assert resting.on("pictures = 3\nshow(pictures)", None) is None
