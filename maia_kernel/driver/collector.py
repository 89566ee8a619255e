"""Turns the messages that a running cell publishes into the cell's outputs.

Knows the words of the Jupyter message protocol and of nbformat, and no sockets: `kernel.py` receives, this gathers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode
from nbformat.notebooknode import from_dict


@dataclass
class _Stream:
    """What was written to one stream without another output in between; joined only when it is looked at."""

    name: str
    chunks: list[str] = field(default_factory=list)
    node: NotebookNode | None = None


class Collector:
    """The outputs of one running cell, in the order of their arrival.

    Messages that belong to an earlier cell (a thread that still prints) are gathered like the running cell's own: the
    agent sees them where they happened to appear, and nothing that it has seen before changes. For the same reason
    an update of a display that an earlier cell showed becomes an output of this cell.

    Parameters
    ----------
    clean : callable
        Output node -> output node; applied to every output once, to a stream after each change.
    """

    def __init__(self, clean: Callable[[NotebookNode], NotebookNode]):
        self._clean = clean
        self._items: list[_Stream | NotebookNode] = []
        self._displays: dict[str, list[NotebookNode]] = {}
        self._clear_on_next = False

    def add(self, kind: str, content: Mapping[str, Any]) -> bool:
        """Take one message; returns whether the outputs changed. Other kinds (``comm_msg``, …) are left alone."""
        if kind == "clear_output":
            if content.get("wait"):
                self._clear_on_next = True
                return False
            return self._clear()
        if kind not in ("stream", "display_data", "execute_result", "update_display_data", "error"):
            return False
        if self._clear_on_next:
            self._clear()
        if kind == "stream":
            self._write(str(content.get("name", "stdout")), str(content.get("text", "")))
        elif kind == "error":
            self._items.append(self._clean(_error(content)))
        else:
            self._show(kind, content)
        return True

    def note(self, text: str) -> None:
        """Append a line of our own, where the reader of the output sees it."""
        self._write("stderr", f"\n[{text}]\n")

    def outputs(self) -> list[NotebookNode]:
        """The outputs so far, as nbformat v4 nodes; a later message never changes a list that was given out."""
        return [self._written(item) if isinstance(item, _Stream) else item for item in self._items]

    def _clear(self) -> bool:
        had = bool(self._items)
        self._items.clear()
        self._displays.clear()
        self._clear_on_next = False
        return had

    def _write(self, name: str, text: str) -> None:
        last = self._items[-1] if self._items else None
        if not isinstance(last, _Stream) or last.name != name:
            last = _Stream(name)
            self._items.append(last)
        last.chunks.append(text)
        last.node = None

    def _written(self, stream: _Stream) -> NotebookNode:
        if stream.node is None:
            text = "".join(stream.chunks)
            stream.chunks = [text]
            stream.node = self._clean(NotebookNode(output_type="stream", name=stream.name, text=text))
        return stream.node

    def _show(self, kind: str, content: Mapping[str, Any]) -> None:
        node = self._clean(_bundle(kind, content))
        transient = content.get("transient")
        display_id = transient.get("display_id") if isinstance(transient, Mapping) else None
        if not isinstance(display_id, str):
            self._items.append(node)
            return
        shown = self._displays.setdefault(display_id, [])
        if kind == "update_display_data" and shown:
            for old in shown:
                new = NotebookNode(old)
                new["data"], new["metadata"] = node["data"], node["metadata"]
                position = next(i for i, item in enumerate(self._items) if item is old)
                self._items[position] = new
                shown[shown.index(old)] = new
        else:
            self._items.append(node)
            shown.append(node)


def _bundle(kind: str, content: Mapping[str, Any]) -> NotebookNode:
    data, metadata = content.get("data"), content.get("metadata")
    node = NotebookNode(
        output_type="execute_result" if kind == "execute_result" else "display_data",
        data=_valid(data) if isinstance(data, Mapping) else NotebookNode(),
        metadata=from_dict(dict(metadata)) if isinstance(metadata, Mapping) else NotebookNode(),
    )
    if kind == "execute_result":
        count = content.get("execution_count")
        node["execution_count"] = count if isinstance(count, int) else None
    return node


def _valid(data: Mapping[str, Any]) -> NotebookNode:
    """A bundle as nbformat allows it: anything but JSON is text, whatever the cell has published."""
    return from_dict(
        {mime: value if mime.endswith("json") or isinstance(value, str) else str(value) for mime, value in data.items()}
    )


def _error(content: Mapping[str, Any]) -> NotebookNode:
    lines = content.get("traceback")
    return NotebookNode(
        output_type="error",
        ename=str(content.get("ename", "")),
        evalue=str(content.get("evalue", "")),
        traceback=[str(line) for line in lines] if isinstance(lines, list) else [],
    )
