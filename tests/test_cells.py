"""Replies of every shape become cells; nothing raises, nothing that was invented is run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maia_kernel.driver.cells import EMPTY_REPLY, Code, Label, Markdown, Turn, fence, parse

FINAL = "[DESCRIPTION]: fires for red things\n[LABEL 1]: red objects (turns 2, 5)\n[LABEL 2]: sunsets"


def code(turn: Turn) -> list[str]:
    return [cell.source for cell in turn.cells if isinstance(cell, Code)]


def kinds(turn: Turn) -> list[str]:
    return [notice.kind for notice in turn.notices]


def test_prose_and_code_alternate_in_reading_order():
    turn = parse("First.\n```python\na = 1\n```\nThen.\n\n```py\nb = 2\n```\nDone?")
    assert turn.cells == (Markdown("First."), Code("a = 1"), Markdown("Then."), Code("b = 2"), Markdown("Done?"))
    assert turn.notices == ()
    assert turn.final is None


@pytest.mark.parametrize("language", ["python", "py", "Python", "python3", "{python}", "ipython"])
def test_languages_that_mean_python(language):
    assert code(parse(f"```{language}\nx = 1\n```")) == ["x = 1"]


def test_a_block_without_a_language_is_code_when_it_reads_like_a_program():
    assert code(parse("Try:\n```\nimages = tools.text2image(['a dog'])\n```")) == [
        "images = tools.text2image(['a dog'])"
    ]


@pytest.mark.parametrize("output", ["Activation: 3.2", "3.2\n4.1", "the dog is 0.3", "{'a': 1}"])
def test_a_block_that_reads_like_an_output_is_not_run(output):
    turn = parse(f"I expect\n```\n{output}\n```")
    assert code(turn) == []
    assert kinds(turn) == ["format"]


def test_invented_outputs_beside_code_stay_text():
    turn = parse("```python\nprint(1)\n```\nOutput:\n```\nprint(2)\n```\n```text\n[LABEL 1]: x\n```")
    assert code(turn) == ["print(1)"]
    assert turn.cells[1] == Markdown("Output:\n```\nprint(2)\n```\n```text\n[LABEL 1]: x\n```")
    assert turn.final is None


def test_an_unclosed_block_is_run_when_it_is_python():
    assert code(parse("```python\nx = 1\nprint(x)")) == ["x = 1\nprint(x)"]


def test_an_unclosed_block_that_is_not_python_is_not_run():
    turn = parse("```python\nx = 1\nNow we wait for the result.")
    assert code(turn) == []
    assert kinds(turn) == ["format"]


def test_a_reply_cut_inside_code_runs_nothing_that_was_cut():
    turn = parse("```python\na = 1\n```\n```python\nfor image in images:", finish_reason="length")
    assert code(turn) == ["a = 1"]
    assert kinds(turn) == ["truncated"]


def test_a_final_answer_that_was_cut_does_not_count():
    assert parse(FINAL, finish_reason="length").final is None


def test_tildes_longer_fences_and_lists_are_understood():
    text = "1. one\n   ~~~python\n   a = '''\n   ```\n   '''\n   ~~~\n\n````py\nb = 1\n````"
    assert code(parse(text)) == ["a = '''\n```\n'''", "b = 1"]


def test_prose_alone_is_asked_for_code():
    turn = parse("I think it likes dogs.")
    assert turn.cells == (Markdown("I think it likes dogs."),)
    assert kinds(turn) == ["format"]


def test_an_empty_reply_keeps_its_place_in_the_conversation():
    turn = parse(" \n")
    assert turn.cells == (Markdown(EMPTY_REPLY),)
    assert kinds(turn) == ["format"]


def test_the_final_answer_with_its_evidence():
    final = parse("I am done.\n\n" + FINAL).final
    assert final is not None
    assert final.description == "fires for red things"
    assert final.labels == (Label("red objects", (2, 5)), Label("sunsets"))


@pytest.mark.parametrize("form", ["**[{}]**: {}", "**[{}]:** {}", "### [{}]: {}", "  [{}] {}"])
def test_emphasis_around_tags_is_forgiven(form):
    final = parse(form.format("DESCRIPTION", "dogs") + "\n" + form.format("LABEL 1", "dogs")).final
    assert final is not None
    assert final.labels[0].text == "dogs"


@pytest.mark.parametrize(
    "text",
    [
        "# the tags in prose: write [DESCRIPTION]: and [LABEL 1]: later",
        "> [DESCRIPTION]: a\n> [LABEL 1]: b",
        "    [DESCRIPTION]: a\n    [LABEL 1]: b",
        "```text\n[DESCRIPTION]: a\n[LABEL 1]: b\n```",
        "[DESCRIPTION]: only",
        "[LABEL 1]: only",
        "[DESCRIPTION]:\n[LABEL 1]:",
    ],
)
def test_what_is_not_a_final_answer(text):
    assert parse(text).final is None


def test_a_final_answer_in_a_comment_of_code_does_not_end_the_run():
    turn = parse("```python\n# [DESCRIPTION]: dogs\n# [LABEL 1]: dogs\nx = 1\n```")
    assert turn.final is None
    assert turn.notices == ()


def test_a_final_answer_beside_code_is_asked_for_again():
    turn = parse(FINAL + "\n```python\nx = 1\n```")
    assert turn.final is None
    assert code(turn) == ["x = 1"]
    assert kinds(turn) == ["format"]


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("red (turns 2, 5)\nThanks for reading.", Label("red", (2, 5))),
        ("red (Turn 2)", Label("red", (2,))),
        ("red (turns 2–4 and 6).", Label("red", (2, 3, 4, 6))),
        ("red (a colour)", Label("red (a colour)")),
        ("red (turns 2, 5; confidence 0.9)", Label("red", (2, 5), 0.9)),
        ("red (turn 2, confidence: 85 %)", Label("red", (2,), 0.85)),
        ("red (confidence .7)", Label("red", (), 0.7)),
        ("red (turn 3; confidence 7)", Label("red", (3,))),
    ],
)
def test_the_turns_behind_a_label(line, label):
    final = parse(f"[DESCRIPTION]: d\n[LABEL 1]: {line}").final
    assert final is not None
    assert final.labels == (label,)


def test_what_a_model_thought_aloud_is_neither_code_nor_answer():
    turn = parse(f"<think>\n{FINAL}\n```python\nx = 1\n```\n</think>\nNow I wait.")
    assert turn.final is None
    assert code(turn) == []
    assert kinds(turn) == ["format"]
    assert parse(f"<think>hm</think>\n{FINAL}").final is not None


def test_a_template_that_is_echoed_is_no_answer():
    assert parse("[DESCRIPTION]: ...\n[LABEL 1]: <…>").final is None


def test_the_other_tasks_answers():
    bias = parse("[BIAS]: labradors in snow are missed").final
    verdict = parse("[REASONING]: the beach does not matter\n[LABEL]: selective").final
    assert bias is not None
    assert bias.description == "labradors in snow are missed"
    assert verdict is not None
    assert verdict.labels == (Label("SELECTIVE"),)


def test_a_fence_is_longer_than_any_inside_it():
    source = "s = '''\n````\n'''"
    assert code(parse(fence(source))) == [source]


PIECES = [*"`~ab \n\t[]#*:.>-1\r\x00\ud800", "```python\n", "\n```\n", "[LABEL 1]: a", "[DESCRIPTION]: b", "f(1)"]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_no_reply_raises_and_none_is_lost_silently(text):
    turn = parse(text)
    assert turn.cells
    assert turn.notices or turn.final or code(turn)
    for cell in turn.cells:
        cell.source.encode("utf-8")
