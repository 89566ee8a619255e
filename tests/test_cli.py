"""The command line, as a person meets it: in processes of its own, with a server on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from maia_kernel import cli

FINAL = "[DESCRIPTION]: red things\n[LABEL 1]: red (turn 1)"


def maia(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "maia_kernel.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=170)


def test_a_run_alone_leaves_a_finished_notebook(tmp_path):
    done = maia("run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "investigations").glob("*.ipynb")
    assert (tmp_path / "investigations" / "maia_artifacts").is_dir()
    assert str(path.relative_to(tmp_path)) in done.stdout
    assert "label 1" in done.stdout
    assert "maia continue" in done.stdout
    nb = nbformat.read(path, as_version=4)
    nbformat.validate(nb)
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert sum("image/png" in output.get("data", {}) for cell in code for output in cell.outputs) > 15
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    assert "**Hypotheses**" in text
    assert "\n[LABEL 1]:" in text
    assert "rules, closed vocabulary, no language model" in nb.cells[0].source
    raw = path.read_text()
    assert str(tmp_path) not in raw
    assert str(Path.home()) + "/" not in raw


def test_a_server_drives_a_whole_run(tmp_path, chat_server):
    """Code that raises, code without end, no code, several blocks, an answer only in a comment, the answer."""
    chat_server.answer(
        "Compare.\n```python\nimages = tools.text2image(['a red circle', 'a blue star'])\n"
        "for a, im in zip(*system.call_neuron(images)):\n    tools.display(im, f'Activation: {a}')\n```",
        "```python\nsystem.call_neuron()\n```",
        "```python\nwhile True:\n    pass\n```",
        "Hm.",
        "One\n```python\nx = 1\n```\nTwo\n```python\nprint(x + 1)\n```",
        "```python\n# [DESCRIPTION]: dogs\n# [LABEL 1]: dogs\nprint('going on')\n```",
        FINAL,
    )
    done = maia(
        *("run", "--agent", "some-model", "--base-url", chat_server.url),
        *("--cell-timeout", "3", "--out", "a.ipynb"),
        cwd=tmp_path,
        OPENAI_API_KEY="secret-key-1234",
    )
    assert done.returncode == 0, done.stderr
    assert f"pictures of the dataset will be sent to {chat_server.url}" in done.stdout
    assert len(chat_server.requests) == 7
    for earlier, later in zip(chat_server.requests, chat_server.requests[1:], strict=False):
        assert later["messages"][: len(earlier["messages"])] == earlier["messages"]
    pictures = [part for part in chat_server.requests[1]["messages"][-1]["content"] if part["type"] == "image_url"]
    assert len(pictures) == 2
    assert "secret-key" not in (tmp_path / "a.ipynb").read_text()

    # It executes in another runner without hanging on the cell that had no end.
    nb = nbformat.read(tmp_path / "a.ipynb", as_version=4)
    client = NotebookClient(nb, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    client.execute()


def test_messages_are_the_same_after_a_round_trip_and_hold_every_picture(tmp_path, finished):
    before = maia("messages", str(finished), cwd=tmp_path).stdout
    nb = nbformat.read(finished, as_version=4)
    nbformat.write(nb, tmp_path / "again.ipynb")
    assert maia("messages", "again.ipynb", cwd=tmp_path).stdout == before
    content = [part for message in json.loads(before) if message["role"] == "user" for part in message["content"]]
    sent = [part["image_url"]["url"] for part in content if isinstance(part, dict) and part["type"] == "image_url"]
    shown = [
        "data:image/png;base64," + output.data["image/png"].replace("\n", "")
        for cell in nb.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert sent == shown
    assert len(shown) > 15


def test_a_caption_is_sent_next_to_its_picture(tmp_path, finished):
    wire = json.loads(maia("messages", str(finished), cwd=tmp_path).stdout)
    answer = next(message["content"] for message in wire if "exemplar 1: activation" in json.dumps(message["content"]))
    at = next(i for i, part in enumerate(answer) if part["type"] == "image_url")
    assert answer[at + 1]["text"].startswith("exemplar 1: activation")
    assert answer[at + 2]["type"] == "image_url"


WRONG_CALLS = {
    "unknown model": (["--model", "scnes"], "unknown model 'scnes'; did you mean scenes"),
    "unknown layer": (["--layer", "layer9"], "layer3"),
    "unit out of range": (["--unit", "100000"], "100000"),
    "unknown generator": (["--generator", "dalle"], "unknown generator 'dalle'"),
    "unknown task": (["--task", "describ"], "describe"),
    "folder that does not exist": (["--out", "none/a.ipynb"], "there is no folder none"),
    "folder that cannot be written": (["--out", "/proc/a.ipynb"], "/proc"),
    "not a notebook's name": (["--out", "a.txt"], ".ipynb"),
    "existing file": (["--out", "there.ipynb"], "exists"),
    "missing key": (["--agent", "gpt-5"], "OPENAI_API_KEY"),
    "prompts that do not exist": (["--prompts", "nowhere"], "nowhere"),
}


@pytest.mark.parametrize("wrong", WRONG_CALLS)
def test_a_wrong_call_is_one_line_and_leaves_nothing(tmp_path, wrong):
    (tmp_path / "there.ipynb").write_text("precious")
    arguments, says = WRONG_CALLS[wrong]
    done = maia("run", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.startswith("maia: ")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there.ipynb"]
    assert (tmp_path / "there.ipynb").read_text() == "precious"


@pytest.mark.parametrize("verb", ["messages", "continue"])
def test_a_broken_notebook_is_one_line(tmp_path, verb, capsys):
    path = tmp_path / "broken.ipynb"
    path.write_text('{"cells": [')
    assert cli.main([verb, str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "is not JSON" in error
    assert path.read_text() == '{"cells": ['


def test_a_notebook_without_anything_in_it_asks_nothing(tmp_path, capsys):
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "empty.ipynb")
    assert cli.main(["continue", str(tmp_path / "empty.ipynb")]) == 2
    assert "asks nothing" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["run", "--max-turns", "0"], ["run", "--cell-timeout", "-1"], ["dance"], []])
def test_arguments_that_argparse_refuses_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2


def test_a_run_that_hits_its_limit_exits_with_1_and_can_be_continued(tmp_path, chat_server):
    run = ("--agent", "m", "--base-url", chat_server.url, "--quiet")
    chat_server.answer("```python\nprint('one')\n```", FINAL)
    done = maia("run", *run, "--max-turns", "1", "--out", "a.ipynb", cwd=tmp_path)
    assert done.returncode == 1
    assert "1 turns" in done.stderr
    done = maia("continue", "a.ipynb", *run, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "red things" in done.stdout
    done = maia("continue", "a.ipynb", cwd=tmp_path)
    assert done.returncode == 0
    assert "finished" in done.stdout


def test_a_server_that_refuses_ends_the_run_with_1(tmp_path, chat_server):
    done = maia("run", "--agent", "m", "--base-url", chat_server.url, "--out", "a.ipynb", cwd=tmp_path)
    assert done.returncode == 1
    assert "answered 404" in done.stderr
    nbformat.validate(nbformat.read(tmp_path / "a.ipynb", as_version=4))


def test_doctor_says_what_there_is_and_no_key(tmp_path):
    done = maia("doctor", cwd=tmp_path, OPENAI_API_KEY="secret-key-1234")
    assert done.returncode == 0, done.stdout
    assert "OPENAI_API_KEY" in done.stdout
    assert "secret" not in done.stdout
    assert "torch" in done.stdout


def test_version(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out.startswith("maia_kernel ")
