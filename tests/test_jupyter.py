"""JupyterLab's start and the kernelspec; what JupyterLab then shows is tested in `test_jupyterlab.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient

from maia_kernel.driver import jupyter
from maia_kernel.errors import NotebookError, UsageError


def maia(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "maia_kernel.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def started(monkeypatch):
    """What would be executed."""
    calls = []
    monkeypatch.setattr(jupyter.os, "execve", lambda *call: calls.append(call))
    return calls


def test_jupyterlab_of_this_environment_opens_the_notebook(finished, started, monkeypatch):
    monkeypatch.chdir(finished.parent)
    jupyter.open_lab(Path(finished.name))
    ((program, command, environment),) = started
    assert program == sys.executable
    assert command[:4] == [sys.executable, "-m", "jupyterlab", str(finished)]
    assert environment["JUPYTER_PREFER_ENV_PATH"] == "1"


def test_without_a_notebook_the_current_folder(tmp_path, started, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jupyter.open_lab(None)
    assert started[0][1][3] == str(tmp_path)


def test_without_jupyterlab_one_line_says_what_to_install(finished, started, monkeypatch):
    monkeypatch.setattr(jupyter, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'maia_kernel\[lab\]'"):
        jupyter.open_lab(finished)
    assert not started


def test_a_broken_notebook_is_said_before_anything_starts(tmp_path, started):
    (tmp_path / "a.ipynb").write_text('{"nbformat": 4, "cells": [')
    with pytest.raises(NotebookError, match="was it cut"):
        jupyter.open_lab(tmp_path / "a.ipynb")
    assert not started
    done = maia("lab", "absent.ipynb", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "maia: cannot read absent.ipynb: No such file or directory\n"


def test_the_kernelspec_serves_another_environment(tmp_path, finished):
    """Under the name python3 our notebooks run there as they are."""
    (tmp_path / "other").mkdir()
    done = maia("kernelspec", "install", "--name", "python3", "--prefix", "other", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "other/share/jupyter/kernels"
    assert str(Path("other/share/jupyter/kernels/python3")) in done.stdout
    spec = json.loads((folder / "python3/kernel.json").read_text())
    assert spec["argv"][0] == sys.executable
    assert spec["display_name"] == "Python 3 (maia_kernel)"

    nb = nbformat.read(finished, as_version=4)
    nb.cells = [cell for cell in nb.cells if cell.metadata.get("maia", {}).get("role") == "setup"]
    client = NotebookClient(nb, timeout=100, resources={"metadata": {"path": str(tmp_path)}})
    client.km = client.create_kernel_manager()
    client.km.kernel_spec_manager = KernelSpecManager(kernel_dirs=[str(folder)], ensure_native_kernel=False)
    assert client.km.kernel_spec.display_name == "Python 3 (maia_kernel)"
    client.execute()


def test_for_the_user_it_never_takes_the_place_of_python3(tmp_path):
    done = maia("kernelspec", "install", "--name", "python3", cwd=tmp_path, JUPYTER_DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 2
    assert "--prefix" in done.stderr
    assert not (tmp_path / "data").exists()
    done = maia("kernelspec", "install", cwd=tmp_path, JUPYTER_DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data/kernels/maia_kernel/kernel.json").exists()
    assert "Change Kernel…, Python 3 (maia_kernel)" in done.stdout


@pytest.mark.parametrize(("name", "prefix", "message"), [("a b", ".", "letters"), ("a", "absent", "no such folder")])
def test_wrong_calls(tmp_path, monkeypatch, name, prefix, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        jupyter.install_kernelspec(name, Path(prefix))


def test_a_prefix_that_cannot_be_written(tmp_path):
    (tmp_path / "share").write_text("a file in the way")
    with pytest.raises(UsageError, match="cannot install the kernelspec"):
        jupyter.install_kernelspec("a", tmp_path)
