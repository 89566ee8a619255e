"""The investigation notebook: made, opened, appended to, saved. The state of a run lives nowhere else."""

from __future__ import annotations

import copy
import platform
import re
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from markdown_it import MarkdownIt
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output, new_raw_cell

from maia_kernel.driver import edits, transcript
from maia_kernel.driver.cells import Code, Final, Markdown, Notice, Turn
from maia_kernel.driver.fileformat import blank, encode, parse
from maia_kernel.driver.files import SharedFile
from maia_kernel.driver.markup import neutralise
from maia_kernel.driver.messages import Message, Reply
from maia_kernel.errors import NotebookError, UnknownName, UsageError

SCHEMA = 1
PATIENCE = 2.0  # seconds for somebody else to finish writing the file
MERGED = "The notebook was edited on disk during the run, and the edits were merged:"
_VERSIONS_OF = ("torch", "transformers", "ipykernel", "nbformat", "numpy", "pillow")


class Investigation:
    """A notebook that is a conversation.

    Attributes
    ----------
    path : Path
        Where it is saved.
    nb : NotebookNode
        The notebook itself; cells are filled in place.
    size : int
        Bytes of the file as it was saved last, 0 before.
    """

    def __init__(self, path: Path, nb: NotebookNode):
        self._file = SharedFile(path)
        self.nb = nb
        self.size = 0

    @property
    def path(self) -> Path:
        return self._file.path

    @path.setter
    def path(self, path: Path) -> None:
        self._file = SharedFile(path)

    @classmethod
    def new(cls, path: Path, *, agent: str, task: str) -> Investigation:
        """An empty investigation; nothing is written before :meth:`save`."""
        nb = blank()
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
        notebook = cls(path, NotebookNode())
        try:
            raw = notebook._file.read()
        except OSError as error:
            raise NotebookError(f"cannot read {path}: {error.strerror}") from error
        notebook.nb = parse(path, raw)
        return notebook

    def save(self, *, note: bool = True) -> list[Notice]:
        """Write the notebook so that a reader never sees half of it; what somebody else wrote meanwhile is merged.

        Parameters
        ----------
        note : bool
            Note the cells as they are now, so that later edits are measured by them.

        Returns
        -------
        list of Notice
            Which edits were found on disk; the notices stand in the notebook.

        Raises
        ------
        UsageError
            The folder cannot be written, or the disk is full; the file on disk is as it was.
        """
        told: list[Notice] = []
        try:
            while True:
                told += self._take_in()
                if note:
                    edits.note(self.nb)
                raw = encode(self.nb)
                if self._file.write(raw):
                    self.size = len(raw)
                    return told
        except OSError as error:
            raise UsageError(f"cannot save {self.path}: {error.strerror}") from error

    def _take_in(self) -> list[Notice]:
        """Merge what somebody else has written; the notices that were appended about it."""
        told = []
        began = time.monotonic()
        while (raw := self._file.news()) is not None:
            try:
                theirs = parse(self.path, raw)
            except NotebookError as error:
                # JupyterLab rewrites a file in place: half of it may be there.
                while self._file.unchanged() and time.monotonic() - began < PATIENCE:
                    time.sleep(0.01)
                if self._file.unchanged():
                    aside = self._put_aside(raw)
                    told.append(
                        Notice("merge", f"What was written to the notebook's file is kept in {aside.name}: {error}.")
                    )
                continue
            if said := edits.merge(self.nb, theirs):
                told.append(Notice("merge", f"{MERGED}\n\n{edits.in_words(said)}"))
        for notice in told:
            self.note(notice)
        return told

    def _put_aside(self, raw: bytes) -> Path:
        """Keep something unreadable that stood in the notebook's place in a new file beside it."""
        number = 1
        while True:
            aside = self.path.with_suffix(f".unreadable{f'-{number}' if number > 1 else ''}.ipynb")
            try:
                with aside.open("xb") as file:
                    file.write(raw)
                return aside
            except FileExistsError:
                number += 1

    def messages(self) -> list[Message]:
        """What the model is sent next (:func:`transcript.messages`)."""
        return transcript.messages(self.nb)

    @property
    def kernel_name(self) -> str:
        """The kernelspec that the notebook asks for."""
        return str(self.nb.metadata.get("kernelspec", {}).get("name") or "python3")

    @property
    def turn(self) -> int:
        """The number of the last turn; 0 before the first."""
        return transcript.ledger(self.nb).turns

    @property
    def final(self) -> NotebookNode | None:
        """The cell with the final answer, unless somebody has asked on, or edited the notebook, after it."""
        for cell in reversed(self.nb.cells):
            if not cell.source.strip():
                continue  # JupyterLab adds an empty cell when the last one is run
            name = transcript.role(cell)
            if name == "final":
                return cell
            if name in ("user", "assistant", "person") or transcript.is_merge(cell):
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
            if isinstance(part, Markdown):
                source = neutralise(_readable(part.source) if turn.final else part.source)
                cell = new_markdown_cell(source)
            else:
                source = part.source
                cell = new_code_cell(source)
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
        cell.metadata.setdefault("maia", NotebookNode())["ran_sha256"] = transcript.digest(cell.source)
        tags = cell.metadata.get("tags", [])
        if failed and "raises-exception" not in tags:
            cell.metadata["tags"] = [*tags, "raises-exception"]

    def not_run(self, cell: NotebookNode) -> None:
        """Say of a code cell that it was not reached, to the agent, to the reader and to other runners."""
        if cell.cell_type != "code":
            return  # a person has made it something else meanwhile
        cell.outputs = [new_output("stream", name="stdout", text=transcript.NOT_RUN + "\n")]
        cell.metadata["tags"] = ["skip-execution"]

    def retire(self, cell: NotebookNode) -> None:
        """Make a cell that never ended, or killed its kernel, a raw cell: no runner will hang on it."""
        if cell.cell_type != "code":
            return
        raw = new_raw_cell(cell.source, id=cell.id, metadata=cell.metadata)
        self.nb.cells[self.nb.cells.index(cell)] = raw

    def branch(self, name: str, path: Path) -> Investigation:
        """An investigation of its own, not yet saved, that ends with one of this one's cells.

        Parameters
        ----------
        name : str
            The id of the last cell, or the beginning of one.
        path : Path
            Where it will be saved.

        Raises
        ------
        UnknownName
            There is no such cell; near matches are named.
        """
        ids = [cell.id for cell in self.nb.cells]
        meant = [name] if name in ids else [one for one in ids if name and one.startswith(name)]
        if len(meant) != 1:
            raise UnknownName(f"cell of {self.path}", name, meant or ids)
        (name,) = meant
        nb = copy.deepcopy(self.nb)
        del nb.cells[ids.index(name) + 1 :]
        facts = nb.metadata.setdefault("maia", NotebookNode())
        facts["branched_from"] = {"run_id": facts.get("run_id"), "cell": name}
        facts["run_id"] = uuid4().hex
        kept = set(ids[: ids.index(name) + 1])
        facts["saved"] = [line for line in facts.get("saved", []) if str(line).partition(" ")[0] in kept]
        return Investigation(path, nb)

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
    """A final answer that renders: "[LABEL 1]: circles" can be a link's definition, and would vanish.

    In the middle of a paragraph it is none.
    """
    source = re.sub(r"[ \t]*\n(?:[ \t]*\n)*(?= {0,3}\[LABEL\b)", "  \n", source)
    definitions: dict[str, Any] = {}
    MarkdownIt("commonmark").parse(source, definitions)
    if definitions.get("references"):
        first = re.compile(r"^(?= {0,3}\[(?:DESCRIPTION|REASONING|BIAS|LABEL)\b)", re.MULTILINE)
        source = first.sub("**Answer.**  \n", source, count=1)
    return source


def _literal(value: object) -> str:
    return orjson.dumps(value).decode() if isinstance(value, str) else repr(value)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "maia_kernel": version("maia_kernel")}
    for name in _VERSIONS_OF:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
