"""What the training of every network of the embedded world shares: fresh pictures, descent, shipping.

Every picture is drawn when it is needed and seen once.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from maia_kernel.scenes.networks import CHECKSUMS, normalise
from maia_kernel.scenes.render import pixels
from maia_kernel.scenes.scene import Scene, random_scene

log = logging.getLogger("maia_kernel.scenes.train")

BATCH = 32  # fastest on one thread


def batches(stream: str, steps: int, counts: Sequence[int]) -> Iterator[tuple[list[Scene], Tensor]]:
    """Fresh scenes and their pictures, ``(BATCH, 3, 64, 64)``, from a named stream of seeds."""
    for step in range(steps):
        scenes = [random_scene(f"{stream}/{step * BATCH + i}", counts) for i in range(BATCH)]
        yield scenes, pictures(scenes)


def pictures(scenes: Sequence[Scene]) -> Tensor:
    """Scenes as the networks take them, ``(N, 3, 64, 64)``, channels last."""
    bytes_ = torch.from_numpy(np.stack([pixels(scene) for scene in scenes])).permute(0, 3, 1, 2)
    return normalise(bytes_)


def descend(
    network: nn.Module, steps: int, peak: float, loss_of: Callable[[int], Tensor], say_every: int = 200
) -> None:
    """AdamW with a one-cycle learning rate; ``loss_of(step)`` gives the loss of the next batch."""
    learned = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=peak, weight_decay=0.02, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, peak, total_steps=steps, pct_start=0.15)
    network.train()
    start, mean = time.monotonic(), 0.0
    for step in range(steps):
        loss = loss_of(step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learned, 5.0)
        optimiser.step()
        schedule.step()
        mean += (loss.item() - mean) / (step % say_every + 1)
        if (step + 1) % say_every == 0 or step + 1 == steps:
            seconds = time.monotonic() - start
            log.info("  step %5d  pictures %7d  loss %.4f  %5.0f s", step + 1, (step + 1) * BATCH, mean, seconds)


def halve(network: nn.Module) -> None:
    """Round the weights to half precision in place, as they will be shipped; accuracies are measured after it."""
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(value.half().float())


def ship(network: nn.Module, name: str, folder: Path) -> None:
    """Write weights as fp16 (those that are the network's ``OWN``) and their line in the checksum file."""
    file = folder / f"{name}.safetensors"
    own = getattr(network, "OWN", ("",))
    state = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items() if k.startswith(own)}
    save_file({key: value.contiguous() for key, value in state.items()}, file)
    file.chmod(0o644)  # safetensors leaves it to its owner alone
    sums = folder / CHECKSUMS
    lines = sums.read_text(encoding="utf-8").splitlines() if sums.exists() else []
    lines = [line for line in lines if line.strip() and line.split()[1] != file.name]
    lines.append(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}")
    sums.write_text("\n".join(sorted(lines, key=lambda line: line.split()[1])) + "\n", encoding="utf-8")
    log.info(
        "  %s: %d parameters, %.0f KB",
        file.name,
        sum(p.numel() for p in network.parameters()),
        file.stat().st_size / 1000,
    )
