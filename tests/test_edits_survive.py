"""Random sequences of what people and programs do to a notebook: it stays valid, is read in one way, and goes on."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from maia_kernel.driver import transcript
from maia_kernel.driver.agent import Limits, run, setup
from maia_kernel.driver.investigate import Nobody
from maia_kernel.driver.kernel import Kernel
from maia_kernel.driver.notebook import Investigation
from maia_kernel.driver.resume import resume
from maia_kernel.driver.vlm import ScriptedVLM
from maia_kernel.driver.zygote import Zygote
from maia_kernel.errors import MaiaError

FINAL = "[DESCRIPTION]: said-4 red things\n[LABEL 1]: red (turn 1)"
WORDS = re.compile(r"said-\d|ran-\d")


@pytest.fixture(scope="module")
def made(bare_zygote: Zygote | None, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Three turns and an answer; every piece of a reply holds a word of its own."""
    notebook = Investigation.new(tmp_path_factory.mktemp("made") / "a.ipynb", agent="scripted", task="describe")
    notebook.add("header", "# A unit")
    notebook.add("system", "You are a scientist.")
    notebook.add("setup", "base = 10", code=True, tags=["parameters"])
    notebook.add("user", "What?")
    replies = [
        f"Hypothesis said-{n}.\n\n```python\nprompt_{n} = 'a red circle'\nprint('ran-{n}', prompt_{n}, base)\n```"
        for n in (1, 2, 3)
    ]
    with Kernel(zygote=bare_zygote) as kernel:
        setup(notebook, kernel, Nobody())
        run(notebook, ScriptedVLM([*replies, FINAL]), kernel, Limits(), Nobody())
    return notebook.path.read_bytes()


# -- what people and programs do: to a notebook as JSON, with two numbers that choose a cell and a place ---------------


def change_a_prompt(nb: dict, at: int, to: int) -> None:
    cell = nb["cells"][at % len(nb["cells"])]
    cell["source"] = source(cell).replace("'a red circle'", f"'a blue star {to}'")


def rewrite_a_text(nb: dict, at: int, to: int) -> None:
    cell = nb["cells"][at % len(nb["cells"])]
    if cell["cell_type"] == "markdown":
        cell["source"] = f"My own thought, number {to}."


def delete(nb: dict, at: int, to: int) -> None:
    if len(nb["cells"]) > 1:
        del nb["cells"][at % len(nb["cells"])]


def move(nb: dict, at: int, to: int) -> None:
    cell = nb["cells"].pop(at % len(nb["cells"]))
    nb["cells"].insert(to % (len(nb["cells"]) + 1), cell)


def split(nb: dict, at: int, to: int) -> None:
    """JupyterLab copies the metadata to both halves."""
    position = at % len(nb["cells"])
    first = nb["cells"][position]
    lines = source(first).splitlines(keepends=True)
    second = json.loads(json.dumps(first))
    first["source"], second["source"] = "".join(lines[:1]).rstrip("\n"), "".join(lines[1:])
    new_id((first, second)[to % 2], nb, to)
    nb["cells"].insert(position + 1, second)


def merge(nb: dict, at: int, to: int) -> None:
    """JupyterLab keeps the metadata of the active cell."""
    position = at % len(nb["cells"])
    if position + 1 < len(nb["cells"]):
        first, second = nb["cells"][position : position + 2]
        kept = (first, second)[to % 2]
        kept["source"] = f"{source(first)}\n{source(second)}"
        nb["cells"][position : position + 2] = [kept]


def copy(nb: dict, at: int, to: int) -> None:
    double = json.loads(json.dumps(nb["cells"][at % len(nb["cells"])]))
    new_id(double, nb, to)
    nb["cells"].insert(to % (len(nb["cells"]) + 1), double)


def cut_and_paste(nb: dict, at: int, to: int) -> None:
    move(nb, at, to)
    new_id(nb["cells"][to % len(nb["cells"])], nb, to)


def clear_outputs(nb: dict, at: int, to: int) -> None:
    for cell in nb["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None


def drop_metadata_of_a_cell(nb: dict, at: int, to: int) -> None:
    nb["cells"][at % len(nb["cells"])]["metadata"] = {}


def drop_all_metadata(nb: dict, at: int, to: int) -> None:
    nb["metadata"] = {}
    for cell in nb["cells"]:
        cell["metadata"] = {}


def drop_the_notebooks_metadata(nb: dict, at: int, to: int) -> None:
    nb["metadata"].pop("maia", None)


def add_a_text(nb: dict, at: int, to: int) -> None:
    insert(nb, at, new_markdown_cell(f"Have you tried cats, number {to}?"))


def add_code(nb: dict, at: int, to: int) -> None:
    insert(nb, at, new_code_cell(f"mine = {to}\nprint('mine', mine)"))


def add_code_that_fails(nb: dict, at: int, to: int) -> None:
    insert(nb, at, new_code_cell("print(no_such_name)"))


def save_in_jupyterlab(nb: dict, at: int, to: int) -> None:
    """Sources as lists of lines, an empty cell at the end, times of execution."""
    insert(nb, len(nb["cells"]), new_code_cell())
    for cell in nb["cells"]:
        cell["source"] = source(cell).splitlines(keepends=True)
        if cell["cell_type"] == "code":
            cell["metadata"]["execution"] = {"iopub.status.busy": "2026-01-01T00:00:00Z"}


def save_in_vs_code(nb: dict, at: int, to: int) -> None:
    for cell in nb["cells"]:
        cell["metadata"].setdefault("vscode", {"languageId": "python"})
    nb["metadata"]["language_info"] = {"name": "python"}


def save_as_4_4(nb: dict, at: int, to: int) -> None:
    nb["nbformat_minor"] = 4
    for cell in nb["cells"]:
        cell.pop("id", None)


def run_by_papermill(nb: dict, at: int, to: int) -> None:
    for cell in nb["cells"]:
        cell["metadata"].setdefault("tags", [])
        cell["metadata"]["papermill"] = {"duration": 0.1, "status": "completed"}
    tagged = [n for n, cell in enumerate(nb["cells"]) if "parameters" in cell["metadata"]["tags"]]
    cell = new_code_cell("# Parameters\nbase = 20\n", metadata={"tags": ["injected-parameters"]})
    insert(nb, tagged[0] + 1 if tagged else 0, cell)
    nb["metadata"]["papermill"] = {"parameters": {"base": 20}}


def tag_as_skipped(nb: dict, at: int, to: int) -> None:
    nb["cells"][at % len(nb["cells"])]["metadata"]["tags"] = ["skip-execution"]


EDITS: list[Callable[[dict, int, int], None]] = [
    change_a_prompt,
    rewrite_a_text,
    delete,
    move,
    split,
    merge,
    copy,
    cut_and_paste,
    clear_outputs,
    drop_metadata_of_a_cell,
    drop_all_metadata,
    drop_the_notebooks_metadata,
    add_a_text,
    add_code,
    add_code_that_fails,
    save_in_jupyterlab,
    save_in_vs_code,
    save_as_4_4,
    run_by_papermill,
    tag_as_skipped,
]


def source(cell: dict) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def new_id(cell: dict, nb: dict, number: int) -> None:
    taken = {other.get("id") for other in nb["cells"]}
    if nb["nbformat_minor"] >= 5:
        cell["id"] = next(name for n in range(1000) if (name := f"new-{number + n}") not in taken)


def insert(nb: dict, at: int, cell: NotebookNode) -> None:
    if nb["nbformat_minor"] < 5:
        del cell["id"]
    nb["cells"].insert(at % (len(nb["cells"]) + 1), json.loads(json.dumps(cell)))


def words(nb: NotebookNode) -> list[str]:
    """The words of replies, wherever they stand now; notices quote them, too."""
    sources = [cell.source for cell in nb.cells if transcript.role(cell) != "notice"]
    return sorted(word for source in sources for word in WORDS.findall(source))


@given(
    edits=st.lists(st.tuples(st.sampled_from(EDITS), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=6)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
def test_whatever_is_done_to_a_notebook_it_goes_on_and_no_reply_is_lost(edits, made, bare_zygote):
    data = json.loads(made)
    for edit, at, to in edits:
        edit(data, at, to)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ipynb"
        path.write_text(json.dumps(data))
        edited = Investigation.open(path)
        nbformat.validate(edited.nb)
        said = edited.messages()
        assert said == Investigation.open(path).messages()
        before = words(edited.nb)

        vlm = ScriptedVLM(["Then said-9.\n```python\nprint('ran-9')\n```", FINAL.replace("said-4", "said-8")])
        refused = None
        try:
            resume(path, agent=vlm, question="And now?", zygote=bare_zygote)
        except MaiaError as error:
            refused = str(error)
        if refused is not None:
            assert "\n" not in refused
            assert words(Investigation.open(path).nb) == before
            return
        after = Investigation.open(path)
        nbformat.validate(after.nb)
        assert words(after.nb) == sorted([*before, "ran-9", "said-8", "said-9"])
        assert after.messages() == Investigation.open(path).messages()
        heard = "\n".join(message.text for message in vlm.requests[0])
        assert set(before) <= set(WORDS.findall(heard))
        assert "ran-9" in vlm.requests[1][-1].text
