"""Make the picture of the README: an experiment of a shipped investigation in JupyterLab.

    make screenshot

Needs a chromium in the path.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from lab_browser import browser, idle, open_notebook, server  # noqa: E402

NOTEBOOK = ROOT / "notebooks" / "blue-or-water.ipynb"
HEADING = "probes of"  # the experiment that is shown, from its code on
SIZE = {"width": 1200, "height": 1000}


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        notebook = Path(shutil.copy(NOTEBOOK, scratch))
        with server(notebook, scratch) as url, browser(chromium, scratch, viewport=SIZE) as page:
            page.goto(f"{url}/lab?reset")
            open_notebook(page, notebook)
            idle(page)
            page.evaluate("() => jupyterapp.commands.execute('application:toggle-left-area')")
            page.evaluate(
                """heading => {
                    const cells = [...document.querySelectorAll('.jp-Notebook .jp-Cell')];
                    const text = cells.findIndex(cell => cell.querySelector('h3')?.innerText.includes(heading));
                    cells[text + 1].scrollIntoView();
                }""",
                HEADING,
            )
            page.mouse.move(SIZE["width"] / 2, SIZE["height"] / 2)
            page.wait_for_selector("text=/Idle$/ >> visible=true")
            page.screenshot(path=ROOT / "docs" / "investigation.png")


if __name__ == "__main__":
    main()
