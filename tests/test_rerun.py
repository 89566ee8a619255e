"""`maia rerun`: what becomes of every cell and every claim, in real kernels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from maia_kernel import investigate
from maia_kernel.cli import main
from maia_kernel.driver import edits
from maia_kernel.driver.notebook import Investigation
from maia_kernel.driver.transcript import digest
from maia_kernel.driver.verify import Report, rerun
from maia_kernel.driver.vlm import ScriptedVLM
from maia_kernel.driver.zygote import Zygote, available
from maia_kernel.errors import KernelError, NotebookError, UsageError

SHIPPED = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
PROMPT = "a blue object, without medium, without water"  # stands in one cell of blue-or-water.ipynb, four times a list


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote | None]:
    """Forks the kernels that need the lab."""
    if not available():
        yield None
        return
    with Zygote(preload=("maia_kernel.lab.load",)) as zygote:
        yield zygote


def saved(path: Path, *sources: str | NotebookNode, kernel: str = "python3") -> Path:
    """A notebook whose outputs were made by running its cells here."""
    nb = written(path, *sources)
    rerun(path, in_place=True)
    if kernel != "python3":
        nb = nbformat.read(path, as_version=4)
        nb.metadata["kernelspec"]["name"] = kernel
        nbformat.write(nb, path)
    return path


def written(path: Path, *sources: str | NotebookNode) -> NotebookNode:
    """A notebook that was never run."""
    nb = new_notebook()
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for number, source in enumerate(sources, start=1):
        cell = new_code_cell(source) if isinstance(source, str) else source
        cell["id"] = f"c{number}"
        nb.cells.append(cell)
    nbformat.write(nb, path)
    return nb


def change(path: Path, edit: Callable[[NotebookNode], object]) -> Path:
    nb = nbformat.read(path, as_version=4)
    edit(nb)
    nbformat.write(nb, path)
    return path


def tagged(source: str, *tags: str) -> NotebookNode:
    return new_code_cell(source, metadata={"tags": list(tags)})


def statuses(report: Report) -> list[str]:
    return [cell.status for cell in report.cells]


# -- cells -----------------------------------------------------------------------------------------------------------


def test_what_reproduces_holds_and_the_file_is_not_touched(tmp_path):
    path = saved(tmp_path / "a.ipynb", "x = 1", "print('x', x)", "x + 1")
    before = path.read_bytes()
    report = rerun(path)
    assert (statuses(report), report.holds) == (["reproduced"] * 3, True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_changed_number_is_named_and_the_report_does_not_hold(tmp_path):
    path = saved(tmp_path / "a.ipynb", "x = 3.121", "print('activation', x)", "print('other')")
    change(path, lambda nb: nb.cells[0].update(source="x = 2.87"))
    report = rerun(path)
    assert statuses(report) == ["reproduced", "changed", "reproduced"]
    assert [str(one) for one in report.cells[1].differences] == ["activation 3.121 -> 2.87 (-8.0 %)"]
    assert not report.holds


def test_a_cell_that_raises_is_a_finding_and_the_rest_still_runs(tmp_path):
    path = saved(tmp_path / "a.ipynb", "x = 1", "print(x)", "print('after')")
    change(path, lambda nb: nb.cells[0].update(source="y = 1"))
    report = rerun(path)
    assert statuses(report) == ["reproduced", "failed", "reproduced"]
    assert report.cells[1].why == "NameError: name 'x' is not defined"


def test_a_cell_that_may_raise_is_compared_by_its_error(tmp_path):
    path = saved(tmp_path / "a.ipynb", tagged("raise ValueError('no')", "raises-exception"), "print(1)")
    assert rerun(path).holds
    change(path, lambda nb: nb.cells[0].update(source="raise ValueError('yes')"))
    report = rerun(path)
    assert [str(one) for one in report.cells[0].differences] == ["error: ValueError: no -> ValueError: yes"]
    change(path, lambda nb: nb.cells[0].update(source="pass"))
    assert [str(one) for one in rerun(path).cells[0].differences] == ["error: ValueError: no -> none"]


def test_skipped_raw_and_empty_cells_are_not_run(tmp_path):
    path = saved(
        tmp_path / "a.ipynb",
        "x = 1",
        tagged("1 / 0", "skip-execution"),
        new_raw_cell("while True: pass"),
        "",
        "print(x)",
    )
    report = rerun(path)
    assert (statuses(report), report.holds) == (["reproduced", "not run", "reproduced"], True)
    assert [cell.number for cell in report.cells] == [1, 2, 3]


def test_a_cell_whose_outputs_were_cleared_is_nothing_to_compare_with(tmp_path):
    path = saved(tmp_path / "a.ipynb", "print(1)", "x = 1")
    change(path, lambda nb: nb.cells[0].update(outputs=[], execution_count=None))
    report = rerun(path)
    assert (statuses(report), report.holds) == (["not compared", "reproduced"], True)
    assert not rerun(path, strict=True).holds


def test_what_follows_a_cell_that_kills_its_kernel_is_not_run(tmp_path):
    path = saved(tmp_path / "a.ipynb", "x = 1", "print(x)")
    change(path, lambda nb: nb.cells[0].update(source="import os; os._exit(3)"))
    report = rerun(path)
    assert (statuses(report), report.holds) == (["failed", "not run"], False)
    assert "exit code 3" in report.cells[0].why
    assert report.cells[1].why == "the kernel died in [1]"


def test_a_cell_that_takes_too_long_is_stopped(tmp_path):
    path = saved(tmp_path / "a.ipynb", "x = 1", "print(x)")
    change(path, lambda nb: nb.cells[0].update(source="x = 1\nwhile True: pass"))
    report = rerun(path, cell_timeout=0.5)
    assert (statuses(report), report.holds) == (["failed", "reproduced"], False)
    assert report.cells[0].why == "stopped after 0.5 s"


NOT_AT_HAND = "from maia_kernel.errors import NotAtHand, MissingArtifact\n"


def test_what_needs_a_model_that_is_not_here_is_not_recomputed_nor_is_what_rests_on_it(tmp_path, zygote):
    path = saved(tmp_path / "a.ipynb", "y = 2", "x = 1", "z = x + 1\nprint(z)", "print(y)", "print(z)")
    change(path, lambda nb: nb.cells[1].update(source=NOT_AT_HAND + "x = 1\nraise NotAtHand('no model here')"))
    change(path, lambda nb: nb.cells[1].update(source=nb.cells[1].source.replace("x = 1\nraise", "raise") + "\nx = 1"))
    report = rerun(path, zygote=zygote)
    assert statuses(report) == ["reproduced", "not recomputed", "not recomputed", "reproduced", "not recomputed"]
    assert [cell.why for cell in report.cells if cell.why] == [
        "no model here", "rests on [2], which was not recomputed", "rests on [3], which was not recomputed",
    ]  # fmt: skip
    assert report.holds
    assert not rerun(path, strict=True, zygote=zygote).holds


def test_a_value_that_should_have_been_replaced_is_no_change(tmp_path, zygote):
    path = saved(tmp_path / "a.ipynb", "x = 1", "x = 2", "print(x)")
    change(path, lambda nb: nb.cells[1].update(source=NOT_AT_HAND + "raise NotAtHand('no')\nx = 2"))
    report = rerun(path, zygote=zygote)
    assert statuses(report) == ["reproduced", "not recomputed", "not recomputed"]


def test_a_missing_artifact_is_named(tmp_path, zygote):
    path = saved(tmp_path / "a.ipynb", "x = 1", "print(x)")
    source = NOT_AT_HAND + "raise MissingArtifact('neither generator g nor a stored result for \"a red dog\"')\nx = 1"
    change(path, lambda nb: nb.cells[0].update(source=source))
    report = rerun(path, zygote=zygote)
    assert (statuses(report), report.holds) == (["missing", "not recomputed"], False)
    assert "a red dog" in report.cells[0].why


def test_an_edited_cell_of_ours_is_named(tmp_path):
    def mark(nb: NotebookNode) -> None:
        for cell in nb.cells:
            facts = {"role": "assistant", "turn": 1, "cell_id": cell.id, "ran_sha256": digest(cell.source)}
            cell.metadata["maia"] = {**facts, "wrote_sha256": digest(cell.source)}

    path = change(saved(tmp_path / "a.ipynb", "print(1)", "print(2)"), mark)
    change(path, lambda nb: nb.cells[1].update(source="print(1 + 1)"))
    report = rerun(path)
    assert [cell.edited for cell in report.cells] == [False, True]
    assert report.holds  # an edit that changes nothing that can be seen
    rerun(path, in_place=True)
    assert not any(cell.edited for cell in rerun(path).cells)


# -- where outputs go ------------------------------------------------------------------------------------------------


def test_new_outputs_are_written_where_it_is_asked(tmp_path):
    path = saved(tmp_path / "a.ipynb", "x = 1", "print(x)")
    change(path, lambda nb: nb.cells[0].update(source="x = 2"))
    before = path.read_bytes()
    rerun(path, out=tmp_path / "b.ipynb")
    assert path.read_bytes() == before
    assert nbformat.read(tmp_path / "b.ipynb", as_version=4).cells[1].outputs[0].text == "2\n"
    rerun(path, in_place=True)
    assert rerun(path).holds


def test_what_could_not_be_recomputed_keeps_its_outputs(tmp_path, zygote):
    path = saved(tmp_path / "a.ipynb", "print(1)", "print(2)")
    change(path, lambda nb: nb.cells[0].update(source=NOT_AT_HAND + "raise NotAtHand('no')"))
    rerun(path, in_place=True, zygote=zygote)
    assert nbformat.read(path, as_version=4).cells[0].outputs[0].text == "1\n"


def test_new_outputs_do_not_hide_what_was_edited_before(tmp_path):
    path = saved(tmp_path / "a.ipynb", "x = 1", "print(x)")
    nb = nbformat.read(path, as_version=4)
    edits.note(nb)
    nb.cells[0].source = "x = 2"
    nbformat.write(nb, path)
    said = edits.since(Investigation.open(path).nb).said
    assert said == ("a code cell of a person (`x = 2`) was changed",)
    rerun(path, out=tmp_path / "b.ipynb")
    rerun(path, in_place=True)
    for one in (path, tmp_path / "b.ipynb"):
        now = Investigation.open(one).nb
        assert (edits.since(now).said, now.cells[1].outputs[0].text) == (said, "2\n")


def test_an_existing_file_is_refused(tmp_path):
    path = saved(tmp_path / "a.ipynb", "print(1)")
    with pytest.raises(UsageError, match="exists"):
        rerun(path, out=path)


# -- the shipped notebooks, claims -----------------------------------------------------------------------------------


def measure(name: str, prompt: str) -> str:
    return f"```python\n{name} = tools.measure({{'with': '{prompt}', 'without': 'a plain object'}}, repeats=6)\n```"


@pytest.fixture(scope="module")
def investigated(tmp_path_factory, zygote) -> Path:
    """Three experiments, and a claim on each of the first two and on both."""
    replies = [
        measure("one", "a checkered object"),
        measure("two", "a large checkered object"),
        "```python\nprint('first of two:', f\"{two.conditions['with'][0]:.3f}\")\n```",
        measure("four", "a striped object"),
        "[DESCRIPTION]: checkers\n[LABEL 1]: checkered (turn 1)\n[LABEL 2]: large checkered (turn 2)\n"
        "[LABEL 3]: any checkered (turns 1, 2)\n[LABEL 4]: not striped (turn 4)\n[LABEL 5]: round",
    ]
    path = tmp_path_factory.mktemp("investigated") / "a.ipynb"
    investigate(agent=ScriptedVLM(replies), out=path, zygote=zygote)
    return path


def test_the_edited_cell_what_differs_and_the_claims_on_it_are_named_and_no_others(investigated, tmp_path, zygote):
    path = tmp_path / "edited.ipynb"
    path.write_bytes(investigated.read_bytes())
    assert rerun(path, zygote=zygote).holds
    path.write_text(path.read_text().replace("a large checkered object", "a large plain object"))
    report = rerun(path, zygote=zygote)
    assert not report.holds
    by_turn = {cell.turn: cell for cell in report.cells if cell.turn}
    assert [cell.turn for cell in report.cells if cell.edited] == [2]
    assert [cell.turn for cell in report.cells if cell.status != "reproduced"] == [2, 3]
    assert next(str(one) for one in by_turn[3].differences).startswith("first of two ")
    assert [claim.label for claim in report.claims if claim.changed] == ["large checkered", "any checkered"]
    verdicts = ["stands", "fell", "fell", "stands", "cannot be judged"]
    assert [claim.verdict for claim in report.claims] == verdicts
    assert {claim.changed for claim in report.claims if claim.changed} == {(by_turn[2].id,)}


@pytest.mark.slow
def test_an_edited_prompt_in_a_shipped_notebook(tmp_path, zygote):
    shipped = next(path for path in SHIPPED if path.stem == "blue-or-water")
    text = shipped.read_text()
    assert PROMPT in text
    path = tmp_path / "edited.ipynb"
    path.write_text(text.replace(PROMPT, PROMPT.replace("blue", "red")))
    report = rerun(path, zygote=zygote)
    assert [cell.turn for cell in report.cells if cell.edited] == [3]
    assert [cell.turn for cell in report.cells if cell.status != "reproduced"] == [3, 4]
    assert [claim.verdict for claim in report.claims] == ["fell", "fell"]
    assert "'blue' over 'none of these': was +" in report.claims[0].why


@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_notebooks_reproduce_elsewhere(path, tmp_path):
    """In a fresh process with another hash seed, working directory, location and an empty cache."""
    notebook = tmp_path / "elsewhere" / path.name
    notebook.parent.mkdir()
    notebook.write_bytes(path.read_bytes())
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "MAIA_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "maia_kernel.cli", "rerun", str(notebook), "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert {cell["status"] for cell in report["cells"]} == {"reproduced"}
    assert {claim["verdict"] for claim in report["claims"]} <= {"stands"}
    assert notebook.read_bytes() == path.read_bytes()


# -- broken input ----------------------------------------------------------------------------------------------------


BROKEN = {
    "cut": ('{"cells": [', "not JSON"),
    "empty": ("", "is empty"),
    "list": ("[]", "is not a notebook"),
    "old": ('{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}', "nbformat 3"),
}


@pytest.mark.parametrize(("text", "said"), BROKEN.values(), ids=list(BROKEN))
def test_broken_notebooks_are_refused_in_one_line(text, said, tmp_path, capsys):
    path = tmp_path / "a.ipynb"
    path.write_text(text)
    with pytest.raises(NotebookError, match=said):
        rerun(path)
    assert main(["rerun", str(path)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert path.read_text() == text


def test_two_cells_with_one_id_are_refused(tmp_path):
    path = tmp_path / "a.ipynb"
    nb = written(path, "x = 1", "x = 2")
    nb.cells[1]["id"] = nb.cells[0]["id"]
    path.write_text(json.dumps(nb))
    with pytest.raises(NotebookError, match="two cells with the id c1"):
        rerun(path)


def test_a_notebook_of_another_program_has_cells_and_no_claims(tmp_path):
    path = saved(tmp_path / "a.ipynb", new_markdown_cell("# Notes"), "print(1)")
    report = rerun(path)
    assert (statuses(report), report.claims, report.holds) == (["reproduced"], (), True)


def test_a_kernelspec_that_is_not_installed(tmp_path):
    path = saved(tmp_path / "a.ipynb", "print(1)", kernel="julia-0.3")
    before = path.read_bytes()
    with pytest.raises(KernelError, match=r"no Jupyter kernel named 'julia-0\.3' \(installed: .*python3"):
        rerun(path)
    assert path.read_bytes() == before


def test_a_setup_cell_that_names_nothing_that_exists_ends_it_in_one_line(tmp_path, zygote):
    def mark(nb: NotebookNode) -> None:
        nb.cells[0].metadata["maia"] = {"role": "setup", "cell_id": "c1"}

    path = tmp_path / "a.ipynb"
    written(path, "from maia_kernel import load\nsystem, tools = load('scenez', 'layer3', 17)", "print(1)")
    change(path, mark)
    with pytest.raises(UsageError, match="unknown model 'scenez'"):
        rerun(path, zygote=zygote)


def test_the_report_as_json(tmp_path, capsys):
    path = saved(tmp_path / "a.ipynb", "x = 1.5", "print('mean', x, float('nan'))")
    change(path, lambda nb: nb.cells[0].update(source="x = 2.5"))
    assert main(["rerun", str(path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["schema"], report["holds"], report["tolerance"]["relative"]) == (1, False, 1e-4)
    (difference,) = report["cells"][1]["differences"]
    assert difference == {
        "kind": "number",
        "what": "mean",
        "was": "1.5",
        "now": "2.5",
        "relative": pytest.approx(2 / 3),
    }
