"""Text of somebody else, made safe to look at. That JupyterLab agrees is tested in `test_jupyterlab.py`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from maia_kernel.driver.cells import parse
from maia_kernel.driver.markup import neutralise

PIECES = [
    *(
        "<img src=x>",
        "<b>",
        "</b>",
        "<div ",
        "<!-- ",
        "-->",
        "<?x",
        "<pre>",
        "![a](u)",
        "![L]",
        "[L]: u",
        '"',
        "<",
        ">",
    ),
    *("`", "``", "```", "~~~", "\n", "\n\n", "    ", "\t", "- ", "1. ", "> ", "# ", "|", "\n|-|-|\n", "\\", "a", "b c"),
    *(
        "$",
        "\\\\(",
        "\\begin{a}",
        "https://e.org",
        "<http://a`b>",
        "```mermaid\n",
        "\r\n",
        "~",
        "\n```\n",
        "[x](<u v>)",
    ),
]
texts = st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text()


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a < b and c > d",
            "p<0.05, n>3",
            "$x<y$ and $y>z$",
            "x <- y -> z",
            "3<b, c>d",
            "see <https://example.org/a>",
        ),
        *("mail <me@example.org>", "Wow! [a link](https://example.org)", "[LABEL 1]: red < blue (turns 1, 2)"),
        *(
            "`<b>` and ``<i> ` ![a](b)``",
            "```html\n<b>![a](b)</b>\n```",
            "~~~\n<b>\n~~~\nx",
            "Text\n\n    <b>code</b>\n",
        ),
        *(
            "- item\n  ```\n  <b>\n  ```",
            "[DESCRIPTION]: a\n[LABEL 1]: b",
            "&lt;b&gt;",
            "",
            "\\![a](b)",
            "```python\n1\n```",
        ),
    ],
)
def test_what_is_harmless_stays_as_it_is(text):
    assert neutralise(text) == text


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("<img src=x>", "&lt;img src=x>"),
        ("a<br>b<br/>", "a&lt;br>b&lt;br/>"),
        ("</div>", "&lt;/div>"),
        ("<!-- hidden -->", "&lt;!-- hidden -->"),
        ("\\<b>", "&lt;b>"),
        ("\\\\<b>", "\\\\&lt;b>"),
        ("![a](https://example.org/a.png)", "\\![a](https://example.org/a.png)"),
        ("![LABEL 1]\n\n[LABEL 1]: u", "\\![LABEL 1]\n\n[LABEL 1]: u"),
        ("`<b>` <b>", "`<b>` &lt;b>"),
        ("``` <b>\n<b>\n```", "``` < b>\n<b>\n```"),
        ("text\n    <b> is no code here", "text\n    &lt;b> is no code here"),
        ("| a | b |\n|---|---|\n| `` | ` <b> ` | `` |", "| a | b |\n|---|---|\n| `` | ` < b> ` | `` |"),
        ("$a$ <b> ![c](d) $e<f$", "$a$ < b> ! [c](d) $e<f$"),
        ('[x](<http://a$" style="cursor:url(b)" x="$>)', '[x](<http://a$" style="cursor:url (b)" x="$>)'),
        ("```mermaid\nflowchart\n```", "```text mermaid\nflowchart\n```"),
    ],
)
def test_what_would_be_shown_or_fetched_becomes_text(text, safe):
    assert neutralise(text) == safe


@given(texts)
def test_once_is_enough_and_no_line_is_lost(text):
    safe = neutralise(text)
    assert neutralise(safe) == safe
    assert len(safe.split("\n")) == len(text.split("\n"))


@given(texts)
def test_nothing_of_it_is_html_or_a_picture(text):
    blocks = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(neutralise(text))
    kinds = {token.type for block in blocks for token in [block, *(block.children or [])]}
    assert not kinds & {"html_block", "html_inline", "image"}


@given(texts)
def test_a_final_answer_stays_one(text):
    answer = "[DESCRIPTION]: red things, p < 0.05\n[LABEL 1]: red (turn 1)"
    assert neutralise(f"{text}\n\n{answer}").endswith(answer)
    assert parse(neutralise(answer)) == parse(answer)
