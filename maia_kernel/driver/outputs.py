"""Turns the outputs of cells into what is said about them: clean outputs for the file, parts for a message."""

from __future__ import annotations

from collections.abc import Mapping

from nbformat import NotebookNode

from maia_kernel.driver.normalise import scrub, settle


def clean_text(text: str, roots: Mapping[str, str] | None = None) -> str:
    return scrub(text, roots)


def clean(output: NotebookNode, roots: Mapping[str, str] | None = None) -> NotebookNode:
    if output.output_type == "stream":
        output["text"] = scrub(settle(output["text"]), roots)
    return output
