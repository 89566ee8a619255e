"""JupyterLab for a person: started on a notebook, or told of this environment where it is installed elsewhere."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from maia_kernel.driver.fileformat import KERNELSPEC
from maia_kernel.driver.notebook import Investigation
from maia_kernel.errors import UsageError

DISPLAY_NAME = "Python 3 (maia_kernel)"


def open_lab(notebook: Path | None) -> NoReturn:
    """Become JupyterLab of this environment; where it listens, and all else, is the user's Jupyter configuration.

    Parameters
    ----------
    notebook : Path or None
        What is opened; its folder is what JupyterLab shows. None: the current folder.

    Raises
    ------
    NotebookError
        It cannot be read, or is not a notebook; nothing was started.
    UsageError
        JupyterLab is not installed.
    """
    if find_spec("jupyterlab") is None:
        raise UsageError("JupyterLab is not installed here; pip install 'maia_kernel[lab]' brings it")
    target = Path.cwd()
    if notebook is not None:
        Investigation.open(notebook)
        target = notebook.absolute()
    command = [sys.executable, "-m", "jupyterlab", str(target)]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # of a container; Jupyter would not start
    # A kernelspec python3 of the user's must not take the place of this environment's.
    os.execve(sys.executable, command, {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"})


def install_kernelspec(name: str, prefix: Path | None) -> Path:
    """Tell a JupyterLab that is installed elsewhere of this environment.

    Parameters
    ----------
    name : str
        Of the kernelspec. Notebooks of investigations ask for ``python3``: under this name, in the other environment,
        they run without a choice. Under any other one chooses it once per notebook (Kernel, Change Kernel…).
    prefix : Path or None
        The other environment, as its ``sys.prefix`` says. None: every JupyterLab of this user.

    Returns
    -------
    Path
        The folder of the kernelspec.

    Raises
    ------
    UsageError
        A name that Jupyter does not take or that would replace the user's own Python, or a folder that cannot be
        written.
    """
    from ipykernel.kernelspec import install

    if prefix is None and name.lower() == KERNELSPEC["name"]:
        raise UsageError(
            f"--name {name} alone would replace Python in every JupyterLab of yours; add --prefix DIR, the environment "
            "that is meant, or choose another name"
        )
    if prefix is not None and not prefix.is_dir():
        raise UsageError(f"--prefix {prefix}: there is no such folder; give the other environment's sys.prefix")
    where = None if prefix is None else str(prefix)
    try:
        return Path(install(user=prefix is None, kernel_name=name, display_name=DISPLAY_NAME, prefix=where))
    except ValueError as error:
        raise UsageError(f"--name {name}: letters, digits, '.', '-' and '_' only") from error
    except OSError as error:
        raise UsageError(f"cannot install the kernelspec in {error.filename}: {error.strerror}") from error
