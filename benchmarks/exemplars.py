"""Exemplars of all units of all layers against the bare forward pass, in one run on one thread.

    python benchmarks/exemplars.py [--rounds 3] [--images 4096]

Both do the same batches, in turns batch by batch, so that a machine that is busy with other things slows both; which
comes first alternates. What counts is CPU time, summed over a round; the median of the rounds is the result. Reading
and preprocessing pictures is outside both. Peak memory is that of fresh processes that search few and many pictures.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from maia_kernel.lab.datasets import find_dataset
from maia_kernel.lab.exemplars import scan
from maia_kernel.lab.models import batches, load_model

LAYERS = ["layer1", "layer2", "layer3", "logits"]


def calibrated(module: nn.Module, inputs: list[Tensor]) -> nn.Module:
    """Let batch norm measure what a random network does, so that its units are neither silent nor exploding."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # type: ignore[assignment]
    with torch.no_grad():
        module.train()
        for batch in inputs:
            module(batch)
    return module.eval().to(memory_format=torch.channels_last)


def scenes(images: int) -> tuple[nn.Module, list[str], list[Tensor]]:
    """The embedded world's network on its own dataset."""
    model, dataset = load_model("scenes"), find_dataset("scenes")
    return model.module, LAYERS, list(batches(model, (dataset[i] for i in range(images))))


def resnet18(images: int) -> tuple[nn.Module, list[str], list[Tensor]]:
    """A random ResNet-18 on enlarged pictures of the embedded world, 224 px."""
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic")
    torch.manual_seed(0)
    dataset, model = find_dataset("scenes"), load_model("scenes")
    small = torch.cat(list(batches(model, (dataset[i] for i in range(images)))))
    large = nn.functional.interpolate(small, size=224, mode="bilinear").contiguous(memory_format=torch.channels_last)
    inputs = list(large.split(8))
    return calibrated(ResNetModel(config), inputs[:4]), [f"encoder.stages.{i}" for i in range(4)], inputs


def passes(module: nn.Module, layers: list[str], inputs: list[Tensor]) -> tuple[float, float]:
    """Return CPU seconds of one bare forward pass over all batches, and of one search, done in turns."""
    bare = 0.0

    def forward(batch: Tensor) -> None:
        nonlocal bare
        started = time.process_time()
        with torch.inference_mode():
            module(batch)
        bare += time.process_time() - started

    def turns() -> Iterator[Tensor]:
        for i, batch in enumerate(inputs):
            if i % 2 == 0:
                forward(batch)
            yield batch
            if i % 2:
                forward(batch)

    feeds = iter([turns()])  # a second pass, should the search need one, counts as part of the search
    started = time.process_time()
    scan(module, layers, lambda: next(feeds, iter(inputs)), sum(len(batch) for batch in inputs))
    return bare, time.process_time() - started - bare


def peak(images: int) -> None:
    """Print this process's peak memory in MiB after a search of a number of pictures."""
    module, layers, inputs = scenes(512)
    rounds = range(images // 512)
    scan(module, layers, lambda: (batch for _ in rounds for batch in inputs), 512 * len(rounds))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        peak(options.peak)
        return
    for name, made in (("scenes, 64 px", scenes(options.images)), ("ResNet-18, 224 px", resnet18(256))):
        passes(made[0], made[1], made[2][:4])  # warm-up
        rounds = [passes(*made) for _ in range(options.rounds if made[2][0].shape[3] == 64 else 1)]
        images = sum(len(batch) for batch in made[2])
        bare = statistics.median(row[0] for row in rounds)
        ratio = statistics.median(row[1] / row[0] for row in rounds)
        each = ", ".join(f"{row[1] / row[0]:.3f}" for row in rounds)
        print(f"{name}: bare {bare / images * 1e3:.2f} ms per image, search {ratio:.3f}x (by round: {each})")
    few, many = (
        float(subprocess.run([sys.executable, __file__, "--peak", str(n)], check=True, capture_output=True).stdout)
        for n in (1024, 10240)
    )
    print(f"peak memory: {few:.0f} MiB after 1,024 pictures, {many:.0f} MiB after 10,240 ({many / few:.3f}x)")


if __name__ == "__main__":
    main()
