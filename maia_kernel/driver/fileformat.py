"""A notebook as bytes: read strictly, with one line for whatever is wrong, and written as Jupyter writes it."""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
import orjson
from nbformat import NotebookNode
from nbformat.v4 import new_notebook
from nbformat.v4.rwbase import rejoin_lines, split_lines, strip_transient

from maia_kernel.errors import NotebookError

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def blank() -> NotebookNode:
    """A notebook without cells that JupyterLab does not mark as changed when it opens it."""
    nb = new_notebook()
    nb.metadata.update(kernelspec=dict(KERNELSPEC), language_info=_language_info())
    return nb


def parse(path: Path, raw: bytes) -> NotebookNode:
    """Bytes as a valid notebook of nbformat 4.5, with or without our metadata.

    Parameters
    ----------
    path : Path
        For errors only.
    raw : bytes
        What stands in the file.

    Raises
    ------
    NotebookError
        One line: not JSON, not a notebook, another major version, or not valid.
    """
    try:
        data = orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        cut = ": was it cut?" if error.pos >= len(raw.decode("utf-8", "replace").rstrip()) - 1 else ""
        what = "is empty" if not raw.strip() else f"is not JSON (line {error.lineno}){cut}"
        raise NotebookError(f"{path} {what}") from error
    if not isinstance(data, dict) or not isinstance(data.get("nbformat"), int):
        raise NotebookError(f"{path} is not a notebook")
    if data["nbformat"] != 4:
        raise NotebookError(f"{path} is of nbformat {data['nbformat']}; save it as version 4 in Jupyter first")
    if not isinstance(data.get("cells"), list):
        raise NotebookError(f"{path} is not a valid notebook: it has no list of cells")
    try:
        _drop_what_is_not_ours(data)
        _settle_ids(path, data["cells"])
        data["nbformat_minor"] = max(5, data["nbformat_minor"])  # all that 4.5 adds to earlier ones are the ids
        nbformat.validate(data)
    except (nbformat.ValidationError, KeyError, TypeError, AttributeError, ValueError) as error:
        why = " ".join(str(getattr(error, "message", error)).split())
        raise NotebookError(f"{path} is not a valid notebook: {why[:200]}") from error
    return rejoin_lines(nbformat.from_dict(data))


def encode(nb: NotebookNode) -> bytes:
    """A notebook as bytes; the same notebook gives the same bytes."""
    data = split_lines(strip_transient(_copy(nb)))
    return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


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


def _copy(nb: NotebookNode) -> NotebookNode:
    """A copy that shares strings: ``split_lines`` works in place, and pictures need not be copied."""
    if isinstance(nb, dict):
        return NotebookNode({key: _copy(value) for key, value in nb.items()})
    return [_copy(value) for value in nb] if isinstance(nb, list) else nb


def _drop_what_is_not_ours(data: dict[str, Any]) -> None:
    """Take out what stands in the place of our metadata and is not even of its kind."""
    for holder in (data, *data["cells"]):
        facts = holder.get("metadata", {})
        if not isinstance(facts.get("maia", {}), dict):
            del facts["maia"]


def _settle_ids(path: Path, cells: list[dict[str, Any]]) -> None:
    """Give every cell the id that it had when it was ours, else its own, else a new one; refuse two with the same.

    Formats before 4.5 have no ids, writers that claim 4.5 forget them, and a cell that is cut and pasted is given
    another. Our metadata still knows the id. A copy, whose original is there, keeps its own.
    """
    taken = [cell["id"] for cell in cells if "id" in cell]
    for name, times in Counter(taken).items():
        if times > 1:
            raise NotebookError(f"{path} has two cells with the id {name}; give one of them another")
    used = set(taken)
    for position, cell in enumerate(cells):
        ours = cell.get("metadata", {}).get("maia", {})
        known = ours.get("cell_id") if isinstance(ours, dict) else None
        if isinstance(known, str) and known not in used:
            cell["id"] = known
        elif "id" not in cell:
            cell["id"] = hashlib.sha256(f"{position} {cell.get('source')}".encode()).hexdigest()[:8]
        used.add(cell["id"])
