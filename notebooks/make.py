"""Makes the notebooks of this folder anew, with the commands that the README shows.

Run it from the repository's root: ``make notebooks``. The investigations are what ``maia run`` leaves; the tutorial
is written below and executed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

HERE = Path(__file__).parent
INVESTIGATIONS = {
    "blue-or-water.ipynb": "--model scenes-neurons --layer or --unit 1",
    "crosses-or-stars.ipynb": "--unit 5",
    "snow-at-dusk.ipynb": "--unit 90",
    "no-explanation.ipynb": "--model scenes-random --unit 27",
}


def main() -> None:
    for name, study in INVESTIGATIONS.items():
        (HERE / name).unlink(missing_ok=True)
        command = [sys.executable, "-m", "maia_kernel.cli", "run", *study.split(), "--out", str(HERE / name)]
        subprocess.run(command, check=True)
    tutorial(HERE / "tutorial.ipynb")


def tutorial(path: Path) -> None:
    """Write the tutorial from the cells in ``tutorial.py``, and execute it."""
    from maia_kernel.driver.notebook import Investigation

    blank = Investigation.new(path, agent="a person", task="tutorial")
    nb = new_notebook(metadata={key: blank.nb.metadata[key] for key in ("kernelspec", "language_info")})
    for number, (kind, source) in enumerate(_cells((HERE / "tutorial.py").read_text("utf-8"))):
        cell = new_markdown_cell(source) if kind == "markdown" else new_code_cell(source)
        cell["id"] = f"tutorial-{number}"
        nb.cells.append(cell)
    client = NotebookClient(nb, kernel_name="python3", record_timing=False, store_widget_state=False)
    client.execute(cwd=str(path.parent))
    path.unlink(missing_ok=True)
    Investigation(path, nb).save()
    nbformat.validate(nbformat.read(path, as_version=4))


def _cells(text: str) -> list[tuple[str, str]]:
    """Cut a script in the percent format (``# %%`` and ``# %% [markdown]``) into cells."""
    found = []
    for part in text.split("# %%")[1:]:
        first, _, rest = part.partition("\n")
        if "[markdown]" in first:
            rest = "\n".join(line.removeprefix("#").removeprefix(" ") for line in rest.splitlines())
        found.append(("markdown" if "[markdown]" in first else "code", rest.strip()))
    return found


if __name__ == "__main__":
    main()
