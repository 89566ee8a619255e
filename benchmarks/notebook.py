"""What saving a long investigation costs beside ``nbformat.write``.

    python benchmarks/notebook.py [--rounds 9]

A notebook of 300 cells with 600 PNGs (some 16 MB in all). The three ways of saving take turns:

- nbformat.write: truncates the file, validates, no fsync;
- ours: the list of cells is noted, the file on disk looked at, written to a temporary file, fsync, exchanged;
- ours, edited: somebody else has changed a cell on disk, which is read, merged and told, first.

Medians, and the median of the ratios within a round; the bound for the second to the first is 1/3.
"""

from __future__ import annotations

import argparse
import base64
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat.v4 import new_output

from maia_kernel.driver import cells
from maia_kernel.driver.messages import Reply
from maia_kernel.driver.notebook import Investigation

BOUND = 1 / 3
TURNS, PICTURES, BYTES = 100, 6, 20_000


def made(path: Path) -> Investigation:
    """300 cells: a hundred turns of text and two code cells, three pictures and a line each."""
    dice = random.Random(0)
    notebook = Investigation.new(path, agent="benchmark", task="describe")
    for turn in range(TURNS):
        text = f"Turn {turn}.\n```python\nfirst({turn})\n```\n```python\nsecond({turn})\n```"
        for cell in notebook.append(cells.parse(text), Reply(text)):
            for number in range(PICTURES // 2):
                data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + dice.randbytes(BYTES)).decode()
                shown = {"image/png": data, "text/plain": f"activation {number}"}
                cell.outputs.append(new_output("display_data", data=shown))
            cell.outputs.append(new_output("stream", name="stdout", text="activation 1.234\n" * 15))
            notebook.ran(cell)
    notebook.save()
    return notebook


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def edit(path: Path) -> None:
    """As another program does, in a moment."""
    raw = path.read_bytes()
    before, after = (b"first(1)", b"first(1) ") if b'"first(1)"' in raw else (b"first(1) ", b"first(1)")
    other = path.with_name("other")
    other.write_bytes(raw.replace(b'"' + before + b'"', b'"' + after + b'"', 1))
    os.replace(other, path)


def main() -> int:
    parser = argparse.ArgumentParser(description="saving, beside nbformat.write")
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {"nbformat.write": [], "ours": [], "ours, edited": []}
    with tempfile.TemporaryDirectory() as folder:
        notebook = made(Path(folder) / "a.ipynb")
        size = notebook.path.stat().st_size / 1e6
        pictures = sum("data" in output for cell in notebook.nb.cells for output in cell.get("outputs", ()))
        for _ in range(rounds):
            times["nbformat.write"].append(seconds(lambda: nbformat.write(notebook.nb, Path(folder) / "b.ipynb")))
            times["ours"].append(seconds(notebook.save))
            edit(notebook.path)
            times["ours, edited"].append(seconds(notebook.save))
    print(f"{len(notebook.nb.cells) - rounds} cells, {pictures} pictures, {size:.1f} MB")
    for name, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(values, times["nbformat.write"], strict=True))
        print(f"{name:<16}{1e3 * statistics.median(values):8.1f} ms{ratio:8.2f}")
    ratio = statistics.median(a / b for a, b in zip(times["ours"], times["nbformat.write"], strict=True))
    print(f"ours / nbformat.write {ratio:.2f} (bound {BOUND:.2f}): {'ok' if ratio <= BOUND else 'MISSED'}")
    return 0 if ratio <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
