"""The loop with a real kernel and a scripted model: whatever the model does, a valid notebook is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from maia_kernel.driver import agent, cells, transcript
from maia_kernel.driver.agent import Limits, run
from maia_kernel.driver.investigate import Nobody
from maia_kernel.driver.kernel import Kernel
from maia_kernel.driver.messages import Reply
from maia_kernel.driver.notebook import Investigation
from maia_kernel.driver.vlm import ScriptedVLM
from maia_kernel.errors import LimitReached, VLMError

FINAL = "[DESCRIPTION]: red things\n[LABEL 1]: red (turn 1)"


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with Kernel() as live:
        yield live


@pytest.fixture
def notebook(tmp_path: Path) -> Investigation:
    fresh = Investigation.new(tmp_path / "a.ipynb", agent="scripted", task="describe")
    fresh.add("setup", "ready = 1", code=True)
    fresh.add("user", "What?")
    return fresh


def python(source: str) -> str:
    return f"Trying.\n```python\n{source}\n```"


def drive(notebook: Investigation, kernel: Kernel, *replies: str | Reply, **limits: float) -> ScriptedVLM:
    vlm = ScriptedVLM(replies)
    run(notebook, vlm, kernel, Limits(**limits), Nobody())
    nbformat.validate(nbformat.read(notebook.path, as_version=4))
    return vlm


def notices(notebook: Investigation) -> list[str]:
    return [cell.metadata["maia"]["kind"] for cell in notebook.nb.cells if transcript.role(cell) == "notice"]


def test_a_run_ends_with_the_final_answer(notebook, kernel):
    vlm = drive(notebook, kernel, python("print(6 * 7)"), FINAL)
    assert "42" in vlm.requests[1][-1].text
    assert notebook.final is not None
    assert Investigation.open(notebook.path).nb == notebook.nb


def test_an_error_ends_the_turn_and_is_shown(notebook, kernel):
    vlm = drive(notebook, kernel, python("1 / 0") + "\n" + python("print('unreached')"), FINAL)
    heard = vlm.requests[1][-1].text
    assert "ZeroDivisionError" in heard
    assert "(not run: the turn ended at an earlier cell)" in heard
    failed, unreached = transcript.code_of_turn(notebook.nb, 1)
    assert failed.metadata["tags"] == ["raises-exception"]
    assert unreached.metadata["tags"] == ["skip-execution"]


def test_a_cell_without_end_is_stopped_and_can_never_hang_a_runner(notebook, kernel):
    vlm = drive(notebook, kernel, python("print('before')\nwhile True: pass"), FINAL, cell_timeout=0.5)
    assert not list(transcript.code_of_turn(notebook.nb, 1))
    assert any(cell.cell_type == "raw" and "while True" in cell.source for cell in notebook.nb.cells)
    heard = vlm.requests[1]
    assert "while True" in heard[-2].text
    assert "before" in heard[-1].text
    assert notices(notebook) == ["limit"]


def test_a_cell_that_kills_its_kernel_gets_a_fresh_one_with_the_setup_run(notebook):
    with Kernel() as own:
        vlm = drive(notebook, own, python("import os\nos._exit(3)"), python("print('alive', ready)"), FINAL)
    assert notices(notebook) == ["restart"]
    assert "killed its kernel" in vlm.requests[1][-1].text
    assert "alive 1" in vlm.requests[2][-1].text


def test_a_reply_without_code_or_answer_is_asked_again(notebook, kernel):
    vlm = drive(notebook, kernel, "I wonder.", FINAL)
    assert notices(notebook) == ["format"]
    assert vlm.requests[1][-1].text.startswith("**Notice (format).**")


def test_an_answer_in_a_comment_does_not_end_the_run(notebook, kernel):
    vlm = drive(notebook, kernel, python("# [DESCRIPTION]: dogs\n# [LABEL 1]: dogs\nprint(1)"), FINAL)
    assert len(vlm.requests) == 2


def test_every_request_begins_with_the_one_before(notebook, kernel):
    replies = [python("print(1)"), "hm", python("1 / 0"), python("while True: pass"), python("print(2)"), FINAL]
    vlm = drive(notebook, kernel, *replies, cell_timeout=0.5)
    for earlier, later in zip(vlm.requests, vlm.requests[1:], strict=False):
        assert later[: len(earlier)] == earlier


def test_the_reply_is_on_disk_before_any_of_it_runs(notebook, kernel):
    look = f"import pathlib\nprint('on disk:', 'needle' in pathlib.Path({str(notebook.path)!r}).read_text())  # needle"
    vlm = drive(notebook, kernel, python(look), FINAL)
    assert "on disk: True" in vlm.requests[1][-1].text


def test_the_turn_limit_ends_the_run_and_says_so_before(notebook, kernel):
    with pytest.raises(LimitReached, match="2 turns"):
        drive(notebook, kernel, python("print(1)"), python("print(2)"), FINAL, turns=2)
    assert notices(notebook) == ["limit", "limit"]
    texts = [cell.source for cell in notebook.nb.cells if transcript.role(cell) == "notice"]
    assert "One turn is left" in texts[0]
    assert "was ended" in texts[1]
    nbformat.validate(nbformat.read(notebook.path, as_version=4))


def test_the_token_limit_counts_what_the_server_counted(notebook, kernel):
    reply = Reply(python("print(1)"), usage={"prompt_tokens": 900, "completion_tokens": 100})
    with pytest.raises(LimitReached, match="1000 tokens"):
        drive(notebook, kernel, reply, FINAL, tokens=1000)


def test_a_time_limit_of_nothing_ends_at_once(notebook, kernel):
    with pytest.raises(LimitReached, match="seconds"):
        drive(notebook, kernel, FINAL, seconds=0.0)


def test_a_model_that_stops_answering_leaves_a_notebook_that_goes_on(notebook, kernel):
    with pytest.raises(VLMError):
        drive(notebook, kernel, python("x = 5"))
    again = Investigation.open(notebook.path)
    drive(again, kernel, python("print(x)"), FINAL)
    assert again.turn == 3
    assert again.final is not None


def test_a_run_that_is_broken_off_in_a_cell_leaves_nothing_that_hangs(notebook, kernel):
    class Impatient(Nobody):
        def running(self, cell):
            if "while" in cell.source:
                raise KeyboardInterrupt

    vlm = ScriptedVLM([python("while True: pass") + "\n" + python("print('unreached')")])
    with pytest.raises(KeyboardInterrupt):
        run(notebook, vlm, kernel, Limits(), Impatient())
    kinds = [(cell.cell_type, cell.metadata.get("tags")) for cell in Investigation.open(notebook.path).nb.cells]
    assert ("raw", None) in kinds
    assert ("code", ["skip-execution"]) in kinds
    assert notices(notebook) == ["restart"]
    vlm = drive(notebook, kernel, FINAL)
    assert "was broken off" in vlm.requests[0][-1].text
    assert "not run" in vlm.requests[0][-1].text


def test_a_conversation_that_ends_with_the_agent_is_asked_to_go_on(notebook, kernel):
    notebook.append(cells.parse("I wait."), Reply("I wait."))
    del notebook.nb.cells[-1]  # the notice
    vlm = drive(notebook, kernel, FINAL)
    assert vlm.requests[0][-1].role == "user"


def test_the_conversation_of_a_notebook_can_be_replayed(notebook, kernel, tmp_path):
    drive(notebook, kernel, python("print('a')"), "hm", FINAL)
    again = Investigation.new(tmp_path / "b.ipynb", agent="scripted", task="describe")
    again.add("setup", "ready = 1", code=True)
    again.add("user", "What?")
    run(again, ScriptedVLM.replaying(notebook.messages()), kernel, Limits(), Nobody())
    assert again.messages() == notebook.messages()


def test_a_notebook_that_becomes_large_is_said_once(notebook, kernel, monkeypatch):
    monkeypatch.setattr(agent, "LARGE", 20_000)

    said = []

    class Listening(Nobody):
        def noticed(self, notice: cells.Notice) -> None:
            said.append(notice.text)

    replies = [python("print('a' * 9000)")] * 3
    run(notebook, ScriptedVLM([*replies, FINAL]), kernel, Limits(), Listening())
    assert ["maia shrink" in text for text in said] == [True]
