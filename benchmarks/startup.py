"""How long ``maia --help`` takes, beside a bare Python: a command line should answer at once.

    python benchmarks/startup.py

Both are started in turn, and medians are compared, so that a busy machine slows them alike.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 25
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "maia --help": [str(Path(sys.executable).with_name("maia")), "--help"],
}


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in medians.items():
        print(f"{name:<16}{value * 1000:8.1f} ms")
    print(f"ratio           {medians['maia --help'] / medians['python -c pass']:8.2f}   (at most 5)")


if __name__ == "__main__":
    main()
