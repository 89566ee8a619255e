"""What restoring a saved investigation costs, beyond starting a kernel and importing what its first cell imports.

    python benchmarks/restore.py [--rounds 5]

An investigation of the embedded world with 12 code cells (two of set-up; exemplars, descriptions, edits, eight
measurements; 100 pictures), unedited. Three things take turns, all in kernels forked from one process:

- imports: start a kernel and import what `load` needs;
- full store: `maia continue` up to the moment when the agent is asked, everything in the store;
- no store: the same with an empty store and exemplars in the cache.

Medians, in seconds; the bound is 2 s for a full store beyond the imports.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from nbformat.v4 import new_code_cell

from maia_kernel import investigate
from maia_kernel.artifacts import beside
from maia_kernel.driver.investigate import PRELOAD, kernel_environment
from maia_kernel.driver.kernel import Kernel
from maia_kernel.driver.messages import Message, Reply
from maia_kernel.driver.resume import resume
from maia_kernel.driver.vlm import ScriptedVLM
from maia_kernel.driver.zygote import Zygote

BOUND = 2.0
FINAL = "[DESCRIPTION]: things\n[LABEL 1]: things (turn 1)"
CELLS = [
    "exemplars = tools.dataset_exemplars(system)\nmasked = [image for _, image in exemplars]\n"
    "print(tools.describe_images(masked, [f'exemplar {i}' for i in range(len(masked))]))\ntools.display(*exemplars)",
    "edited, names = tools.edit_images(masked[:4], ['make the background water'] * 4)\n"
    "print(system.call_neuron(edited)[0])\nprint(tools.summarize_images(masked))",
    *(
        f"tools.measure({{'with': 'a {colour} circle on sand', 'without': 'a {colour} square on sand'}}, repeats=6)"
        for colour in ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
    ),
]


class Asked(Exception):
    """The moment when the agent is asked."""


class Stopwatch:
    """A model that ends the run when it is asked."""

    name, about = "scripted", "for benchmarks"

    def reply(self, messages: Sequence[Message]) -> Reply:
        raise Asked


def restore(path: Path, zygote: Zygote) -> None:
    try:
        resume(path, agent=Stopwatch(), question="And?", zygote=zygote)
    except Asked:
        return
    raise AssertionError("the agent was not asked")


def imports(zygote: Zygote) -> None:
    with Kernel(zygote=zygote) as kernel:
        kernel.run(new_code_cell(f"import {', '.join(PRELOAD)}"))


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description="restoring an investigation from its store")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {"imports": [], "full store": [], "no store": []}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MAIA_CACHE"] = str(Path(folder) / "cache")
        path, copy = Path(folder) / "a.ipynb", Path(folder) / "copy" / "a.ipynb"
        copy.parent.mkdir()
        with Zygote(env=kernel_environment(os.environ), preload=PRELOAD) as zygote:
            investigate(
                agent=ScriptedVLM([*(f"```python\n{cell}\n```" for cell in CELLS), FINAL]), out=path, zygote=zygote
            )
            for _ in range(rounds):
                times["imports"].append(seconds(lambda: imports(zygote)))
                shutil.copy(path, copy)
                shutil.copytree(beside(path), beside(copy), dirs_exist_ok=True)
                times["full store"].append(seconds(lambda: restore(copy, zygote)))
                shutil.copy(path, copy)
                shutil.rmtree(beside(copy))
                shutil.rmtree(Path(folder) / "cache" / "artifacts")
                times["no store"].append(seconds(lambda: restore(copy, zygote)))
    base = statistics.median(times["imports"])
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"{name:<12}{middle:6.2f} s{middle - base:8.2f} s beyond the imports")
    beyond = statistics.median(times["full store"]) - base
    share = beyond / (statistics.median(times["no store"]) - base)
    print(f"full store: {beyond:.2f} s (bound {BOUND:g} s), {share:.2f} of what it takes without one")
    return 0 if beyond <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
