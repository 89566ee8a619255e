"""An investigation from Python: what the kernel is given, where the notebook goes, what is left when it fails."""

from __future__ import annotations

import os
from pathlib import Path

from maia_kernel import investigate
from maia_kernel.driver import cells, transcript
from maia_kernel.driver.investigate import Study, destination, kernel_environment
from maia_kernel.driver.messages import Reply
from maia_kernel.driver.resume import resume
from maia_kernel.driver.vlm import ScriptedVLM

FINAL = "[DESCRIPTION]: red things\n[LABEL 1]: red (turn 1)"


def test_no_key_reaches_the_kernel():
    secrets = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "HF_TOKEN": "k", "AWS_SECRET_ACCESS_KEY": "k"}
    kept = kernel_environment({**secrets, "JUPYTER_TOKEN": "k", "PATH": "/bin", "HOME": "/h", "MAIA_CACHE": "/m"})
    assert "k" not in kept.values()
    assert {"PATH": "/bin", "HOME": "/h", "MAIA_CACHE": "/m"}.items() <= kept.items()


def test_a_cell_of_the_agent_cannot_print_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key-1234")
    look = "```python\nimport os\nprint(sorted(os.environ), 'secret-key-1234' in str(os.environ))\n```"
    vlm = ScriptedVLM([look, FINAL])
    notebook = investigate(agent=vlm, out=tmp_path / "a.ipynb")
    assert notebook.final is not None
    assert "False" in vlm.requests[1][-1].text
    assert "OPENAI_API_KEY" not in vlm.requests[1][-1].text


def test_a_question_of_ones_own_and_a_named_unit(tmp_path):
    vlm = ScriptedVLM([FINAL])
    notebook = investigate("scenes", "logits", "red", question="Is it really red?", agent=vlm, out=tmp_path / "a.ipynb")
    assert notebook.nb.metadata["maia"]["task"] == "question"
    asked = vlm.requests[0][-1].text
    assert "Is it really red?" in asked
    assert "of scenes, 'red'; activation" in asked


def test_going_on_restores_the_kernel_and_keeps_what_is_there(tmp_path):
    first = "```python\nnumbers = [1, 2, 3]\nprint(sum(numbers))\n```"
    investigate(agent=ScriptedVLM([first, FINAL]), out=tmp_path / "a.ipynb")
    vlm = ScriptedVLM(["```python\nprint('again', sum(numbers))\n```", FINAL])
    notebook = resume(tmp_path / "a.ipynb", agent=vlm, question="And twice?")
    assert notebook.turn == 4
    assert "And twice?" in vlm.requests[0][-1].text
    assert "again 6" in vlm.requests[1][-1].text
    answers = [cell for cell in notebook.nb.cells if transcript.role(cell) == "final"]
    assert [cell.metadata["maia"]["turn"] for cell in answers] == [2, 4]


def test_a_run_that_was_killed_in_a_cell_goes_on_without_it(tmp_path):
    """What kill -9 leaves: the reply on disk, its cells without outputs and without a mark that they ran."""
    path = tmp_path / "a.ipynb"
    notebook = investigate(agent=ScriptedVLM([FINAL]), out=path)
    del notebook.nb.cells[-1]
    reply = "```python\nwhile True: pass\n```\n```python\nprint('second')\n```"
    notebook.append(cells.parse(reply), Reply(reply))
    notebook.save()
    vlm = ScriptedVLM([FINAL])
    again = resume(path, agent=vlm)
    assert again.final is not None
    assert "was broken off" in vlm.requests[0][-1].text
    assert "not run" in vlm.requests[0][-1].text


def test_a_new_name_for_every_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert destination(None, Study()) == Path("investigations/scenes-layer3-17.ipynb")
    os.mkdir("investigations")
    Path("investigations/scenes-layer3-17.ipynb").touch()
    assert destination(None, Study()) == Path("investigations/scenes-layer3-17-2.ipynb")
