"""The investigation as a file: what is written is whole, valid, and what was meant."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
import pytest
from markdown_it import MarkdownIt

from maia_kernel.driver import cells
from maia_kernel.driver.messages import Reply
from maia_kernel.driver.notebook import Investigation, setup_sources
from maia_kernel.errors import NotebookError, UsageError


@pytest.fixture
def notebook(tmp_path: Path) -> Investigation:
    fresh = Investigation.new(tmp_path / "a.ipynb", agent="scripted", task="describe")
    fresh.add("user", "What?")
    return fresh


def turn(notebook: Investigation, text: str) -> list:
    return notebook.append(cells.parse(text), Reply(text))


def test_a_saved_notebook_is_valid_and_the_same_when_opened(notebook):
    turn(notebook, "Ünïcode \u2028 text\n```python\nx = 1\nprint(x)\n```")
    notebook.save()
    on_disk = nbformat.read(notebook.path, as_version=4)
    nbformat.validate(on_disk)
    assert (on_disk.nbformat, on_disk.nbformat_minor) == (4, 5)
    assert on_disk.metadata.kernelspec.name == "python3"
    assert {"codemirror_mode", "pygments_lexer", "version"} <= on_disk.metadata.language_info.keys()
    assert Investigation.open(notebook.path).nb == notebook.nb


def test_saving_leaves_nothing_beside_the_file(notebook):
    notebook.save()
    notebook.save()
    assert [path.name for path in notebook.path.parent.iterdir()] == ["a.ipynb"]


def test_a_save_that_fails_keeps_the_file_on_disk(notebook, monkeypatch):
    notebook.save()
    before = notebook.path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    turn(notebook, "more")
    with pytest.raises(UsageError, match="No space left on device"):
        notebook.save()
    assert notebook.path.read_bytes() == before
    assert [path.name for path in notebook.path.parent.iterdir()] == ["a.ipynb"]


def test_a_new_file_has_the_permissions_of_any_new_file(notebook):
    notebook.save()
    (notebook.path.parent / "plain").write_text("")
    assert notebook.path.stat().st_mode == (notebook.path.parent / "plain").stat().st_mode


def test_the_parameters_cell_holds_literals_only():
    source, loading = setup_sources({"model": 'a "b"', "layer": "layer3", "unit": 17, "seed": 0})
    names: dict = {}
    exec(source, names)
    assert (names["MODEL"], names["UNIT"]) == ('a "b"', 17)
    assert "load(MODEL, LAYER, UNIT" in loading


def test_labels_are_linked_to_the_cells_of_the_turns_they_name(notebook):
    (code,) = turn(notebook, "```python\nx = 1\n```")
    turn(notebook, "[DESCRIPTION]: d\n[LABEL 1]: red (turn 1)\n[LABEL 2]: blue")
    facts = notebook.final.metadata["maia"]
    assert facts["description"] == "d"
    assert facts["labels"][0] == {"text": "red", "turns": [1], "cells": [code.id]}
    assert facts["labels"][1] == {"text": "blue", "turns": [], "cells": []}


def test_a_final_answer_renders_whole(notebook):
    turn(notebook, "Done.\n\n[DESCRIPTION]: d e f\n\n[LABEL 1]: rings (turns 3, 5)\n\n[LABEL 2]: stars")
    html = MarkdownIt("commonmark").render(notebook.final.source)
    for line in ("[DESCRIPTION]: d e f", "[LABEL 1]: rings (turns 3, 5)", "[LABEL 2]: stars"):
        assert line in html
        assert f"\n{line}" in notebook.final.source


@pytest.mark.parametrize(
    "answer",
    [
        "[DESCRIPTION]: circles\n[LABEL 1]: circles (turn 1)",
        "I am done.\n\n[DESCRIPTION]: circles\n\n[LABEL 1]: circles",
        "[BIAS]: texture",
        "[REASONING]: spurious\n\n[LABEL]: SPURIOUS",
    ],
)
def test_the_shortest_answers_render_whole_and_are_read_again(notebook, answer):
    turn(notebook, answer)
    html = MarkdownIt("commonmark").render(notebook.final.source)
    assert all(line in html for line in answer.splitlines())
    assert cells.parse(notebook.final.source).final == cells.parse(answer).final


def test_an_empty_cell_at_the_end_changes_nothing(notebook):
    turn(notebook, "[DESCRIPTION]: d\n[LABEL 1]: red")
    notebook.nb.cells.append(nbformat.v4.new_code_cell(""))
    assert notebook.final is not None


def test_a_question_after_the_answer_reopens_it(notebook):
    turn(notebook, "[DESCRIPTION]: d\n[LABEL 1]: red")
    assert notebook.final is not None
    notebook.add("user", "And at night?")
    assert notebook.final is None


def test_a_retired_cell_can_no_longer_run(notebook):
    (code,) = turn(notebook, "```python\nwhile True: pass\n```")
    notebook.retire(code)
    notebook.save()
    cell = Investigation.open(notebook.path).nb.cells[-1]
    assert (cell.cell_type, cell.source, cell.id) == ("raw", "while True: pass", code.id)


def test_a_notebook_of_4_4_gets_ids(notebook):
    notebook.save()
    data = json.loads(notebook.path.read_text())
    data["nbformat_minor"] = 4
    for cell in data["cells"]:
        del cell["id"]
    notebook.path.write_text(json.dumps(data))
    opened = Investigation.open(notebook.path)
    assert opened.nb.nbformat_minor == 5
    assert opened.messages()[0].text == "What?"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ('{"cells": [', "is not JSON"),
        ("[1]", "not a notebook"),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": null}', "not a valid notebook"),
        ('{"nbformat": 4, "nbformat_minor": "x", "metadata": {}, "cells": [1]}', "not a valid notebook"),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"id": []}]}', "not a valid notebook"),
        ('{"nbformat": 3, "worksheets": [], "cells": []}', "nbformat 3"),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{}]}', "not a valid notebook"),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [%s, %s]}', "two cells with the id a"),
    ],
)
def test_broken_notebooks_are_refused_in_one_line(tmp_path, content, says):
    cell = '{"id": "a", "cell_type": "markdown", "metadata": {}, "source": ""}'
    path = tmp_path / "broken.ipynb"
    path.write_text(content.replace("%s", cell))
    with pytest.raises(NotebookError, match=says) as caught:
        Investigation.open(path)
    assert "\n" not in str(caught.value)
    assert path.read_text() == content.replace("%s", cell)


def test_a_notebook_that_is_not_there(tmp_path):
    with pytest.raises(NotebookError, match="No such file"):
        Investigation.open(tmp_path / "none.ipynb")
