"""The notebook as messages: deterministic, complete, the same after every round trip."""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from maia_kernel.driver import cells, transcript
from maia_kernel.driver.messages import Image, Message, Reply, Text
from maia_kernel.driver.notebook import Investigation, setup_sources

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
FINAL = "[DESCRIPTION]: red things\n[LABEL 1]: red (turns 1)"


@pytest.fixture
def investigation() -> Investigation:
    """Setup, a question, one turn with two code cells, the second not reached."""
    notebook = Investigation.new(Path("unused.ipynb"), agent="a", task="describe")
    notebook.add("header", "# header")
    notebook.add("system", "You are a scientist.")
    notebook.add("setup", setup_sources({"model": "scenes", "unit": 3})[0], code=True)
    notebook.add("user", "What?")
    reply = "Look.\n```python\nprint('a')\n```\nThen\n```python\nprint('b')\n```"
    first, second = notebook.append(cells.parse(reply), Reply(reply))
    first.outputs = [
        new_output("stream", name="stdout", text="exemplar 1\n"),
        new_output("display_data", {"image/png": PIXEL, "text/plain": "exemplar 1"}),
        new_output("error", ename="ValueError", evalue="no", traceback=["\x1b[31mValueError\x1b[0m: no"]),
    ]
    notebook.ran(first, failed=True)
    notebook.not_run(second)
    return notebook


def roles(messages: list[Message]) -> list[str]:
    return [message.role for message in messages]


def test_roles_alternate_and_the_header_is_never_sent(investigation):
    said = investigation.messages()
    assert roles(said) == ["system", "user", "assistant", "user"]
    assert "header" not in "".join(message.text for message in said)


def test_the_assistant_hears_its_own_reply(investigation):
    reply = "Look.\n\n```python\nprint('a')\n```\n\nThen\n\n```python\nprint('b')\n```"
    assert investigation.messages()[2] == Message("assistant", (Text(reply),))


def test_outputs_answer_in_order_and_the_cell_that_was_not_reached_says_so(investigation):
    parts = investigation.messages()[3].parts
    assert isinstance(parts[1], Image)
    assert parts[1].data == PIXEL
    assert parts[0] == Text("Output of turn 1, code cell 1 of 2:\n\nexemplar 1")
    assert "ValueError: no" in parts[2].text
    assert "Output of turn 1, code cell 2 of 2:\n\n(not run: the turn ended at an earlier cell)" in parts[2].text
    assert "\x1b" not in parts[2].text


def test_a_dropped_picture_leaves_its_caption(investigation):
    code = next(cell for cell in investigation.nb.cells if cell.source == "print('a')")
    code.metadata["maia"]["elided"] = True
    parts = investigation.messages()[3].parts
    assert not any(isinstance(part, Image) for part in parts)
    assert "exemplar 1" in parts[0].text


def test_the_same_bytes_after_nbformat_wrote_and_read_it(investigation, tmp_path):
    before = [message.wire() for message in investigation.messages()]
    nbformat.write(investigation.nb, tmp_path / "a.ipynb")
    assert [message.wire() for message in Investigation.open(tmp_path / "a.ipynb").messages()] == before


def test_appending_turns_keeps_the_prefix(investigation):
    before = [message.wire() for message in investigation.messages()]
    reply = "```python\nx = 1\n```"
    investigation.append(cells.parse(reply), Reply(reply))
    assert [message.wire() for message in investigation.messages()][: len(before)] == before


def test_a_persons_cells_speak_and_split_the_turn(investigation):
    at = next(i for i, cell in enumerate(investigation.nb.cells) if cell.source == "Then")
    ran = new_code_cell("1 + 1", outputs=[new_output("execute_result", {"text/plain": "2"}, execution_count=7)])
    investigation.nb.cells[at:at] = [new_markdown_cell("Mind the beach."), ran]
    said = investigation.messages()
    assert roles(said) == ["system", "user", "assistant", "user", "assistant", "user"]
    assert "Mind the beach." in said[3].text
    assert "A person ran this:\n```python\n1 + 1\n```\n\n2" in said[3].text
    assert "7" not in said[3].text


def test_a_copied_cell_is_a_persons(investigation):
    original = next(cell for cell in investigation.nb.cells if cell.source == "print('a')")
    pasted = copy.deepcopy(original)
    pasted["id"] = "another"
    investigation.nb.cells.append(pasted)
    assert transcript.role(pasted) == "person"
    assert "A person ran this" in investigation.messages()[-1].text


def test_edits_are_told(investigation):
    code = next(cell for cell in investigation.nb.cells if cell.source == "print('a')")
    code.source = "print('c')"
    look = next(cell for cell in investigation.nb.cells if cell.source == "Look.")
    look.source = "Look closely."
    answer = investigation.messages()[3].text
    assert "a person has edited this cell; this output is older than the code" in answer
    assert "A person has edited your text" in answer


def test_a_notice_without_its_metadata_still_speaks(investigation):
    investigation.note(cells.Notice("format", "Send code."))
    with_metadata = investigation.messages()[-1].text
    del investigation.nb.cells[-1].metadata["maia"]
    assert investigation.messages()[-1].text == with_metadata
    assert "Send code." in with_metadata


def test_a_notebook_without_our_metadata_is_a_conversation_of_a_person():
    nb = nbformat.v4.new_notebook(cells=[new_markdown_cell("Hello"), new_code_cell("x"), new_code_cell("")])
    said = transcript.messages(nb)
    assert roles(said) == ["user"]
    wrote = "A person wrote this; it has not been run:"
    assert said[0].text == f"Hello\n\n{wrote}\n```python\nx\n```\n\n(no output)"
    nb.cells[1].execution_count = 3
    assert "A person ran this:" in transcript.messages(nb)[0].text


def test_metadata_of_any_kind_is_survived(investigation):
    before = [message.wire() for message in investigation.messages()]
    investigation.nb.metadata["maia"]["wire"] = None
    investigation.nb.cells[-1].metadata["maia"]["usage"] = "much"
    assert [message.wire() for message in investigation.messages()] == before
    investigation.nb.cells[-1].metadata["maia"]["turn"] = "x"
    assert investigation.messages()
    assert transcript.ledger(investigation.nb).tokens == 0


def test_a_runner_that_empties_skipped_cells_changes_nothing(investigation):
    before = investigation.messages()
    skipped = next(cell for cell in investigation.nb.cells if cell.source == "print('b')")
    skipped.outputs = []
    assert investigation.messages() == before


def test_turns_and_tokens_are_counted_from_the_cells(investigation):
    reply = Reply("done\n" + FINAL, usage={"prompt_tokens": 100, "completion_tokens": 20})
    investigation.append(cells.parse(reply.text), reply)
    spent = transcript.ledger(investigation.nb)
    assert (spent.turns, spent.tokens) == (2, 120)
