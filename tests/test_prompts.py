"""Prompts are files, and the API reference is what the sources say."""

from __future__ import annotations

import inspect
import re

import pytest

from maia_kernel.driver import prompts
from maia_kernel.errors import UnknownName, UsageError

FACTS = {"model": "m", "layer": "l", "unit": 3, "question": "Why?", "api": "class System:", "seed": 0}


def test_the_shipped_prompts_take_their_placeholders():
    assert prompts.tasks() == ["describe", "question"]
    assert "unit 3 in layer `l` of the model `m`" in prompts.render("task-describe", FACTS)
    assert "Why?" in prompts.render("task-question", FACTS)
    system = prompts.render("system", FACTS)
    assert "class System:" in system
    assert "[DESCRIPTION]:" in system
    assert not re.search(r"\$\w", system)


def test_a_users_folder_replaces_single_prompts(tmp_path):
    (tmp_path / "task-describe.md").write_text("Mine: $unit costs $$5")
    assert prompts.render("task-describe", FACTS, tmp_path) == "Mine: 3 costs $5"
    assert "scientist" in prompts.render("system", FACTS, tmp_path)


def test_an_unknown_task_lists_those_that_exist():
    with pytest.raises(UnknownName, match="describe"):
        prompts.render("task-descrbe", FACTS)


def test_a_placeholder_that_does_not_exist(tmp_path):
    (tmp_path / "task-describe.md").write_text("$nope")
    with pytest.raises(UsageError, match="bad placeholder 'nope'"):
        prompts.render("task-describe", FACTS, tmp_path)


def test_a_folder_that_is_none_or_holds_no_prompt(tmp_path):
    with pytest.raises(UsageError, match="is not a folder"):
        prompts.check_folder(tmp_path / "none")
    with pytest.raises(UsageError, match="holds no prompt"):
        prompts.check_folder(tmp_path)
    prompts.check_folder(prompts.SHIPPED)


def test_the_reference_holds_every_public_call_with_its_docstring():
    from maia_kernel import System, Tools

    reference = prompts.api_reference()
    for cls in (System, Tools):
        assert f"class {cls.__name__}:" in reference
        for name, member in inspect.getmembers(cls, inspect.isfunction):
            if name.startswith("_"):
                continue
            assert f"    def {name}(" in reference, name
            assert member.__doc__, name
            for line in inspect.cleandoc(member.__doc__).splitlines():
                assert line.strip() in reference, (name, line)
    assert "__init__" not in reference
