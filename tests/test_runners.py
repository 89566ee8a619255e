"""A finished investigation in other people's runners: the same activations, on the kernelspec python3."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from maia_kernel import System, Tools

ACTIVATION = re.compile(r"-?\d+\.\d+")


def call(program: str, *arguments: str) -> None:
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr[-2000:]


def shown(nb: NotebookNode) -> list[str]:
    """All text that the code cells printed, stream by stream."""
    outputs = [output for cell in nb.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.text for output in outputs if output.output_type == "stream"]


def same(before: Path, after: Path) -> None:
    old, new = ("".join(shown(nbformat.read(path, as_version=4))) for path in (before, after))
    assert ACTIVATION.sub("#", old) == ACTIVATION.sub("#", new)
    numbers = [list(map(float, ACTIVATION.findall(text))) for text in (old, new)]
    assert len(numbers[0]) > 100
    assert numbers[1] == pytest.approx(numbers[0], abs=1e-4)


def pictures(path: Path) -> list[str]:
    nb = nbformat.read(path, as_version=4)
    outputs = [output for cell in nb.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.data["image/png"].strip() for output in outputs if "image/png" in output.get("data", {})]


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    path = tmp_path / "copy.ipynb"
    path.write_bytes(finished.read_bytes())
    return path


def test_jupyter_execute(finished, copy):
    call("jupyter", "execute", "--inplace", str(copy))
    same(finished, copy)
    assert pictures(copy) == pictures(finished)


def test_nbconvert(finished, copy):
    call("jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", str(copy))
    same(finished, copy)


def test_papermill(finished, copy, tmp_path):
    call("papermill", str(copy), str(tmp_path / "out.ipynb"))
    same(finished, tmp_path / "out.ipynb")


def test_papermill_with_another_unit_investigates_that_unit(finished, copy, tmp_path):
    call("papermill", str(copy), str(tmp_path / "out.ipynb"), "-p", "UNIT", "7")
    text = "".join(shown(nbformat.read(tmp_path / "out.ipynb", as_version=4)))
    assert "unit 7 of 128 in layer3" in text
    system = System("scenes", "layer3", 7)
    best, _ = Tools(system).dataset_exemplars(system)[0]
    assert f"exemplar 1: activation {best:.4g}" in text
