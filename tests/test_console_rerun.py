"""What a person is told after a re-run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from maia_kernel.artifacts import Use
from maia_kernel.cli import main
from maia_kernel.console_rerun import Rerun
from maia_kernel.driver.verify import Report, rerun
from maia_kernel.driver.verify.report import Cell


def saved(path: Path, *sources: str) -> Path:
    """A notebook whose outputs were made by running its cells here."""
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in sources]), path)
    rerun(path, in_place=True)
    return path


def change(path: Path, edit: Callable[[NotebookNode], object]) -> None:
    nb = nbformat.read(path, as_version=4)
    edit(nb)
    nbformat.write(nb, path)


@pytest.mark.parametrize("written", ["", "b.ipynb"])
def test_a_person_is_told_how_new_outputs_of_an_edited_cell_are_interpreted(written, capsys):
    cell = Cell(1, "c1", 0, "x", "changed", edited=True)
    Rerun(quiet=True).show(Report("a.ipynb", "cpu", 1e-4, False, (cell,), written=written))
    printed = capsys.readouterr().out
    assert f"; have them interpreted: maia continue {written or 'a.ipynb'}\n" in printed
    assert ("--in-place" in printed) is (not written)


def test_a_person_is_told_of_a_damaged_store(tmp_path, capsys):
    uses = [
        Use("text2image", "a", "recomputed", None, f"'a ring' ({what})")
        for what in ("damaged", "what was held is damaged")
    ]
    cells = tuple(Cell(1, "c1", 0, "x", "reproduced", artifacts=(use,)) for use in uses)
    Rerun(quiet=True).show(Report("a.ipynb", "cpu", 1e-4, False, cells))
    assert "the store is damaged: 1 artifact of it had to be made anew\n" in capsys.readouterr().out
    Rerun(quiet=True).show(Report("a.ipynb", "cpu", 1e-4, False, cells[:1]))
    assert "damaged" not in capsys.readouterr().out


def test_the_report_for_a_person(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = saved(Path("a.ipynb"), "x = 1.5", "print('mean', x)")
    change(path, lambda nb: nb.cells[0].update(source="x = 2.5"))
    assert main(["rerun", str(path)]) == 1
    printed = capsys.readouterr()
    assert "mean 1.5 -> 2.5 (+66.7 %)" in printed.out
    assert "1 of 2 cells reproduced, 1 changed" in printed.out
    assert all(len(line) <= 80 for line in printed.out.splitlines())
    assert printed.err == ""


def test_a_person_is_told_where_new_outputs_are_and_what_could_not_be_compared(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = saved(Path("a.ipynb"), "x = 1.5", "print('mean', x)", "print('other')")
    change(path, lambda nb: (nb.cells[0].update(source="x = 2.5"), nb.cells[2].update(outputs=[])))
    assert main(["rerun", str(path)]) == 1
    printed = capsys.readouterr().out
    assert "1 changed, 1 not compared" in printed
    assert "save some: maia rerun a.ipynb --in-place" in printed
    assert main(["rerun", str(path), "--in-place"]) == 1
    printed = capsys.readouterr().out
    assert "the new outputs are in a.ipynb\n" in printed
    assert "--in-place" not in printed
