"""What a kernel that is forked from a warm process costs beside one that is started cold: time and memory.

    python benchmarks/zygote.py [--rounds 5]

Both kernels have torch and transformers' AutoModel and AutoImageProcessor imported when their first cell has ended:

- cold: a kernel is started, and its first cell imports them;
- forked: from a zygote that has imported them; its first cell has the same imports, and finds them done.

Measured from the start to the end of the first cell, in turn, so that other load on the machine meets both. The first
cell prints 200 lines besides, one message each, all of which must arrive.

Memory is read from ``/proc/PID/smaps_rollup``, of two kernels of each kind that are alive together: of a cold one its
proportional set size (PSS: what it shares with others counts in part), of a forked one what it has for itself (USS: its
private pages), which is what one more of them costs. PSS of the forked ones would fall with their number.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

from nbformat.v4 import new_code_cell

from maia_kernel.driver.kernel import Kernel
from maia_kernel.driver.zygote import Zygote, available

MODULES = ("torch", "transformers.models.auto.modeling_auto", "transformers.models.auto.image_processing_auto")
LINES = 200
FIRST = f"""
import os, sys
import torch
from transformers import AutoImageProcessor, AutoModel
for number in range({LINES}):
    print('line', number)
    sys.stdout.flush()
print(os.getpid())
"""
TIME, MEMORY = 1 / 15, 1 / 3


def first_cell(kernel: Kernel) -> tuple[float, int, int]:
    """Start a kernel and run its first cell: seconds, lines that did not arrive, the process."""
    began = time.perf_counter()
    kernel.start()
    cell = new_code_cell(FIRST)
    result = kernel.run(cell, timeout=300)
    seconds = time.perf_counter() - began
    if result.status != "ok":
        sys.exit(f"the cell did not run as it should: {result}")
    lines = "".join(output.text for output in cell.outputs if output.get("name") == "stdout").split("\n")
    return seconds, sum(f"line {number}" not in lines for number in range(LINES)), int(lines[-2])


def memory(pid: int) -> tuple[float, float]:
    """PSS and USS of a process, MB."""
    lines = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]]
    size = {name.rstrip(":"): int(kilobytes) / 1024 for name, kilobytes, *_ in lines}
    return size["Pss"], size["Private_Clean"] + size["Private_Dirty"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each kernel is started (5)")
    rounds = parser.parse_args().rounds
    if not available():
        print("kernels cannot be forked on this machine; nothing to measure")
        return
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with Zygote(env=env, preload=MODULES) as zygote:
        began = time.perf_counter()
        with Kernel(env=env, zygote=zygote) as kernel:
            first_cell(kernel)
        print(f"{'zygote ready, once':<24}{time.perf_counter() - began:>8.2f} s")
        sys.exit(measure(env, zygote, rounds))


def measure(env: dict[str, str], zygote: Zygote, rounds: int) -> int:
    """Print the tables; returns how many bounds are missed."""
    ways: dict[str, Zygote | None] = {"cold": None, "forked": zygote}
    times: dict[str, list[float]] = {way: [] for way in ways}
    lost = 0
    for _ in range(rounds):
        for way, parent in ways.items():
            with Kernel(env=env, zygote=parent) as kernel:
                seconds, missing, _ = first_cell(kernel)
            times[way].append(seconds)
            lost += missing
    kernels = {way: [Kernel(env=env, zygote=parent) for _ in range(2)] for way, parent in ways.items()}
    try:
        pids = {way: [first_cell(kernel)[2] for kernel in kernels[way]] for way in ways}
        sizes = {way: [memory(pid) for pid in pids[way]] for way in ways}
    finally:
        for kernel in (*kernels["cold"], *kernels["forked"]):
            kernel.shutdown()
    cold, forked = statistics.mean(pss for pss, _ in sizes["cold"]), statistics.mean(uss for _, uss in sizes["forked"])
    ratio = statistics.median(a / b for a, b in zip(times["forked"], times["cold"], strict=True))
    print(f"start to first cell done{'median':>8}{'fastest':>9}  s, {rounds} rounds")
    for way, values in times.items():
        print(f"{way:<24}{statistics.median(values):>8.3f}{min(values):>9.3f}")
    print(f"{'forked / cold':<24}{ratio:>8.3f}{'':>9}   (at most {TIME:.3f})")
    print(f"{'lines lost':<24}{lost:>8}{'':>9}   (0)")
    print("memory with those imports, MB")
    print(f"{'cold (PSS)':<24}{cold:>8.0f}")
    print(f"{'one more forked (USS)':<24}{forked:>8.0f}")
    print(f"{'forked / cold':<24}{forked / cold:>8.3f}{'':>9}   (at most {MEMORY:.3f})")
    return sum((ratio > TIME, lost > 0, forked / cold > MEMORY))


if __name__ == "__main__":
    main()
