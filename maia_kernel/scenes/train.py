"""Trains the networks of the embedded world and writes weights, logs and checksums.

    python -m maia_kernel.scenes.train all --out DIR --threads 1

With one thread the same machine gives the same weights.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from maia_kernel.scenes import train_detectors, train_subjects
from maia_kernel.scenes.networks import WEIGHTS
from maia_kernel.scenes.training import log, ship

# In this order: the spurious network begins with what the subject has learned.
NETWORKS = {
    "subject": train_subjects.subject,
    "random": train_subjects.untrained_twin,
    "spurious": train_subjects.spurious,
    "captioner": train_detectors.captioner,
    "detector": train_detectors.detector,
}


def train(name: str, folder: Path, scale: float = 1.0, tests: int = 1024) -> None:
    """Train one network and write ``NAME.safetensors``, ``NAME.log`` and its checksum.

    Parameters
    ----------
    name : str
        One of ``NETWORKS``.
    folder : Path
        Made where it does not exist.
    scale : float
        Fraction of the steps to take; 1 for what is shipped.
    tests : int
        Held-out scenes that the accuracies are measured on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder / f"{name}.log", mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    start = time.monotonic()
    try:
        ship(NETWORKS[name](folder, scale, tests), name, folder)
        log.info(
            "  %.0f s in all, torch %s, %d thread", time.monotonic() - start, torch.__version__, torch.get_num_threads()
        )
    finally:
        log.removeHandler(handler)
        handler.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of this script."""
    parser = argparse.ArgumentParser(prog="python -m maia_kernel.scenes.train", description=__doc__)
    parser.add_argument("network", choices=(*NETWORKS, "all"), nargs="?", default="all")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for weights and logs (default: the package)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1; more changes the last digits)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    log.addHandler(logging.StreamHandler(sys.stderr))
    for name in NETWORKS if options.network == "all" else (options.network,):
        train(name, options.out)


if __name__ == "__main__":
    main()
