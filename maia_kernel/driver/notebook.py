"""The investigation notebook as a file: made, opened, appended to, saved. The state of a run lives nowhere else."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

import nbformat
import orjson
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from nbformat.v4.rwbase import rejoin_lines, split_lines, strip_transient

from maia_kernel.driver import transcript
from maia_kernel.driver.cells import Code, Final, Markdown, Notice, Turn
from maia_kernel.driver.messages import Message, Reply
from maia_kernel.errors import NotebookError, UsageError

SCHEMA = 1
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_VERSIONS_OF = ("torch", "transformers", "ipykernel", "nbformat", "numpy", "pillow")


class Investigation:
    """A notebook that is a conversation.

    Attributes
    ----------
    path : Path
        Where it is saved.
    nb : NotebookNode
        The notebook itself; cells are filled in place.
    """

    def __init__(self, path: Path, nb: NotebookNode):
        self.path, self.nb = path, nb

    @classmethod
    def new(cls, path: Path, *, agent: str, task: str) -> Investigation:
        """An empty investigation; nothing is written before :meth:`save`."""
        nb = new_notebook()
        nb.metadata.update(kernelspec=dict(KERNELSPEC), language_info=_language_info())
        nb.metadata["maia"] = {
            "schema": SCHEMA,
            "run_id": uuid4().hex,
            "agent": agent,
            "task": task,
            "versions": _versions(),
            "wire": {"pictures": "each", "detail": None, "side": 1024},
        }
        return cls(path, nb)

    @classmethod
    def open(cls, path: Path) -> Investigation:
        """Read a notebook, with or without our metadata.

        Raises
        ------
        NotebookError
            One line: not there, not JSON, not a notebook, another major version, or not valid.
        """
        try:
            raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
        except OSError as error:
            raise NotebookError(f"cannot read {path}: {error.strerror}") from error
        try:
            data = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            what = "is empty" if not raw.strip() else f"is not JSON (line {error.lineno}): was it cut?"
            raise NotebookError(f"{path} {what}") from error
        if not isinstance(data, dict) or not isinstance(data.get("nbformat"), int):
            raise NotebookError(f"{path} is not a notebook")
        if data["nbformat"] != 4:
            raise NotebookError(f"{path} is of nbformat {data['nbformat']}; save it as version 4 in Jupyter first")
        try:
            if data.get("nbformat_minor", 0) < 5:
                data = nbformat.v4.upgrade(nbformat.from_dict(data), 4, data.get("nbformat_minor", 0))
            _settle_ids(path, data["cells"])
            nbformat.validate(data)
        except (nbformat.ValidationError, KeyError, TypeError, AttributeError, ValueError) as error:
            why = " ".join(str(getattr(error, "message", error)).split())
            raise NotebookError(f"{path} is not a valid notebook: {why[:200]}") from error
        return cls(path, rejoin_lines(nbformat.from_dict(data)))

    def save(self) -> None:
        """Write the notebook so that a reader never sees half of it: temporary file, fsync, replace.

        Raises
        ------
        UsageError
            The folder cannot be written, or the disk is full; the file on disk is as it was.
        """
        data = split_lines(strip_transient(_copy(self.nb)))
        raw = orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
        try:
            with tempfile.NamedTemporaryFile(dir=self.path.parent, prefix=f".{self.path.name}.", delete=False) as file:
                temporary = Path(file.name)
                try:
                    file.write(raw)
                    file.flush()
                    os.fsync(file.fileno())
                    temporary.chmod(_mode(self.path))
                    temporary.replace(self.path)
                except OSError:
                    temporary.unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise UsageError(f"cannot save {self.path}: {error.strerror}") from error

    def messages(self) -> list[Message]:
        """What the model is sent next (:func:`transcript.messages`)."""
        return transcript.messages(self.nb)

    @property
    def turn(self) -> int:
        """The number of the last turn; 0 before the first."""
        return transcript.ledger(self.nb).turns

    @property
    def final(self) -> NotebookNode | None:
        """The cell with the final answer, unless somebody has asked on after it."""
        for cell in reversed(self.nb.cells):
            if not cell.source.strip():
                continue  # JupyterLab adds an empty cell when the last one is run
            name = transcript.role(cell)
            if name == "final":
                return cell
            if name in ("user", "assistant", "person"):
                return None
        return None

    def add(self, role: str, source: str, *, code: bool = False, **metadata: Any) -> NotebookNode:
        """Append a cell of ours that is not part of a reply (header, system, setup, user)."""
        cell = new_code_cell(source) if code else new_markdown_cell(source)
        cell.metadata.update(metadata)
        return self._append(cell, role)

    def append(self, turn: Turn, reply: Reply) -> list[NotebookNode]:
        """Append a reply as cells; returns its code cells, not yet run."""
        number = self.turn + 1
        appended = []
        for part in turn.cells:
            source = _readable(part.source) if turn.final else part.source
            cell = new_markdown_cell(source) if isinstance(part, Markdown) else new_code_cell(source)
            appended.append(self._append(cell, "final" if turn.final else "assistant", number))
            cell.metadata["maia"]["wrote_sha256"] = transcript.digest(source)
        first = appended[0].metadata["maia"]
        first["finish_reason"] = reply.finish_reason
        if reply.usage:
            first["usage"] = dict(reply.usage)
        if turn.final:
            first.update(self._final(turn.final))
        code = [cell for cell, part in zip(appended, turn.cells, strict=True) if isinstance(part, Code)]
        for notice in turn.notices:
            self.note(notice)
        return code

    def note(self, notice: Notice) -> None:
        """Append a notice at the end of the current turn."""
        cell = new_markdown_cell(f"**Notice ({notice.kind}).** {notice.text}")
        self._append(cell, "notice", self.turn)
        cell.metadata["maia"]["kind"] = notice.kind

    def ran(self, cell: NotebookNode, *, failed: bool = False) -> None:
        """Note that a cell's outputs belong to its present source."""
        cell.metadata["maia"]["ran_sha256"] = transcript.digest(cell.source)
        if failed:
            cell.metadata["tags"] = ["raises-exception"]

    def not_run(self, cell: NotebookNode) -> None:
        """Say of a code cell that it was not reached, to the agent, to the reader and to other runners."""
        cell.outputs = [new_output("stream", name="stdout", text=transcript.NOT_RUN + "\n")]
        cell.metadata["tags"] = ["skip-execution"]

    def retire(self, cell: NotebookNode) -> None:
        """Make a cell that never ended, or killed its kernel, a raw cell: no runner will hang on it."""
        raw = new_raw_cell(cell.source, id=cell.id, metadata=cell.metadata)
        self.nb.cells[self.nb.cells.index(cell)] = raw

    def _append(self, cell: NotebookNode, role: str, turn: int | None = None) -> NotebookNode:
        cell.metadata["maia"] = {"role": role, "cell_id": cell.id} | ({"turn": turn} if turn else {})
        self.nb.cells.append(cell)
        return cell

    def _final(self, final: Final) -> dict[str, Any]:
        """The labels, each with its confidence and the cells of the turns that it names as evidence."""
        labels = [
            {
                "text": label.text,
                "turns": list(label.turns),
                "cells": [cell.id for turn in label.turns for cell in transcript.code_of_turn(self.nb, turn)],
            }
            | ({"confidence": label.confidence} if label.confidence is not None else {})
            for label in final.labels
        ]
        return {"description": final.description, "labels": labels}


def setup_sources(parameters: Mapping[str, object]) -> tuple[str, str]:
    """The two cells that every investigation begins with: literals only, then the call that loads.

    Parameters
    ----------
    parameters : mapping
        ``model``, ``layer``, ``unit``, ``dataset``, ``generator``, ``editor``, ``describer``, ``seed``.
    """
    remarks = {
        "MODEL": "one per line: papermill does not see tuples",
        "GENERATOR": "text -> image",
        "EDITOR": "image + instruction -> image",
        "DESCRIBER": "image -> text",
    }
    lines = []
    for name, value in parameters.items():
        line = f"{name.upper()} = {_literal(value)}"
        remark = remarks.get(name.upper())
        lines.append(f"{line:<27} # {remark}" if remark else line)
    loading = (
        "from maia_kernel import load\n\n"
        "system, tools = load(MODEL, LAYER, UNIT, dataset=DATASET,\n"
        "                     generator=GENERATOR, editor=EDITOR, describer=DESCRIBER, seed=SEED)"
    )
    return "\n".join(lines), loading


def _readable(source: str) -> str:
    """A final answer that renders: behind a blank line "[LABEL 1]: circles" is a link's definition, and vanishes."""
    return re.sub(r"[ \t]*\n(?:[ \t]*\n)*(?= {0,3}\[(?:LABEL|BIAS)\b)", "  \n", source)


def _literal(value: object) -> str:
    return orjson.dumps(value).decode() if isinstance(value, str) else repr(value)


def _language_info() -> dict[str, Any]:
    # Complete, or JupyterLab fills it in and marks the notebook as changed as soon as it is opened.
    return {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
        "version": platform.python_version(),
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "maia_kernel": version("maia_kernel")}
    for name in _VERSIONS_OF:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _mode(path: Path) -> int:
    """Permissions of the file that is replaced, else those that a new file would have."""
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _copy(nb: NotebookNode) -> NotebookNode:
    """A copy that shares strings: ``split_lines`` works in place, and pictures need not be copied."""
    if isinstance(nb, dict):
        return NotebookNode({key: _copy(value) for key, value in nb.items()})
    return [_copy(value) for value in nb] if isinstance(nb, list) else nb


def _settle_ids(path: Path, cells: list[Any]) -> None:
    """Give ids to cells that lack one (writers that claim 4.5 forget them), and refuse two cells with the same."""
    seen = set()
    for cell in cells:
        if isinstance(cell, dict) and cell.setdefault("id", uuid4().hex[:8]) in seen:
            raise NotebookError(f"{path} has two cells with the id {cell['id']}; give one of them another")
        seen.add(cell["id"] if isinstance(cell, dict) else None)
