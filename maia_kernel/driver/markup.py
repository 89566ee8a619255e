"""Markdown that somebody else wrote, made safe to look at: no raw HTML, nothing that a page would fetch.

A model's text may hold ``<img src=…>``, ``![](https://…)`` or a diagram with pictures in it; whoever opens the
notebook would then ask a stranger's server for them. What looks like this is shown as the text that it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

# The start of a tag, a comment or a declaration. "a < b", "p<0.05", "$x<y$" and <https://…> are none.
_TAG = r"<(?=[a-z][\w-]*(?:[\s/>\ufeff]|\Z)|/[a-z]|[!?])"
_IMAGE = r"!(?=\[)"
_RISK = re.compile(f"{_TAG}|{_IMAGE}", re.IGNORECASE)
# What is met from left to right in a paragraph. A backslash before a tag is taken with it: a URL before it would
# swallow the backslash alone.
_INLINE = re.compile(
    rf"(?P<tag>\\?{_TAG})|(?P<escaped>\\.)|(?P<ticks>`+)|(?P<image>{_IMAGE})", re.IGNORECASE | re.DOTALL
)
# JupyterLab takes formulas out before it looks for code: only without them is it certain what is code. At last it puts
# them back, into links' addresses, too: where a formula ends the address and adds a style to the link, url() fetches.
_RISK_BESIDE_FORMULAS = re.compile(rf"{_TAG}|{_IMAGE}|url(?=\()", re.IGNORECASE)
_FORMULA = re.compile(r"\$.*\$|\\begin\{|\\\\[(\[]", re.DOTALL)
# The end of a table's cell, struck-out text and a link with a backtick in it come before code spans.
_NO_SPAN = re.compile(r"[|~]|[:@.][^\s`]+`")
_DIAGRAM = re.compile(r"((?:`{3,}|~{3,})[^\S\r\n]*)(?=\ufeff*mermaid)", re.IGNORECASE)


def neutralise(markdown: str) -> str:
    r"""Make raw HTML and pictures of a text harmless, so that opening it fetches nothing.

    ``<b>`` becomes ``&lt;b>`` and ``![a](b)`` becomes ``\![a](b)``: both are shown as written, the latter with a link
    to the picture. Code (fenced, indented, spans) is left alone, and so is what only looks like a tag. A ``mermaid``
    block loses its language, for JupyterLab would draw it, pictures included. Doing it twice is doing it once.

    Readers disagree on what is code where the text holds formulas, a fence is not closed, indented code does not stand
    apart, a span crosses lines or stands in a table; and an entity would spoil a formula. There a space does the same
    (``< b>``), in code, too.

    Parameters
    ----------
    markdown : str
        Any text; it need not be well-formed.

    Returns
    -------
    str
        Text with the same number of lines.
    """
    markdown = _DIAGRAM.sub(r"\1text ", markdown)
    if _FORMULA.search(markdown):
        return _RISK_BESIDE_FORMULAS.sub(r"\g<0> ", markdown)
    if not _RISK.search(markdown):
        return markdown
    return "".join(_parts(re.split(r"(?<=\n)|(?<=\r)(?!\n)", markdown)))


def _parts(lines: list[str]) -> Iterator[str]:
    """The text again, block by block."""
    # With HTML switched off, blocks are found as they will be once there is none.
    parser = MarkdownIt("commonmark").disable(["html_block", "inline"])
    at = 0
    for token in parser.parse("".join(lines)):
        if token.map is None or token.type not in ("fence", "code_block", "inline") or token.map[0] < at:
            continue
        yield from map(_prose, lines[at : token.map[0]])
        block = lines[slice(*token.map)]
        at = token.map[0] + len(block)
        if token.type == "inline":
            yield _prose("".join(block))
        elif token.type == "fence":
            yield _spaced(block[0])
            yield from block[1:] if _closed(token, block) else map(_spaced, block[1:])
        else:
            apart = token.level == 0 and (token.map[0] == 0 or not lines[token.map[0] - 1].strip("\r\n"))
            yield from block if apart else map(_spaced, block)
    yield from map(_prose, lines[at:])


def _closed(fence: Token, lines: list[str]) -> bool:
    last = lines[-1].strip(" \t\r\n>")
    return len(lines) > 1 and len(last) >= len(fence.markup) and set(last) == {fence.markup[0]}


def _prose(text: str) -> str:
    """A paragraph, or a line between blocks, with its risks escaped, but for those in code spans."""
    uncertain = _NO_SPAN.search(text)
    made, at = [], 0
    while found := _INLINE.search(text, at):
        made.append(text[at : found.start()])
        at = found.end()
        piece = found[0]
        if found["tag"]:
            piece = "&lt;"
        elif found["image"]:
            piece = r"\!"
        elif found["ticks"] and (end := re.compile(rf"(?<!`){piece}(?!`)").search(text, at)):
            span = text[at : end.end()]
            piece += _spaced(span) if uncertain or "\n" in span or "\r" in span else span
            at = end.end()
        made.append(piece)
    return "".join([*made, text[at:]])


def _spaced(text: str) -> str:
    return _RISK.sub(r"\g<0> ", text)
