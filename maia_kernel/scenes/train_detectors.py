"""Trains the two networks that find and name objects: the captioner's, and the one behind the synthetic neurons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from maia_kernel.scenes.networks import CELL, CELLS, Detector
from maia_kernel.scenes.perception import APART, decode
from maia_kernel.scenes.scene import OBJECT_FAMILIES, SIDE, VOCABULARY, Scene, random_scene
from maia_kernel.scenes.training import BATCH, batches, descend, halve, log, pictures

STEPS = 3200
COUNTS = (0, 1, 2, 2, 3, 3, 4)  # objects per scene: edits leave none, or four
NOISE = 2.0  # of 255: the pictures may have been through a JPEG


def grid_targets(scenes: Sequence[Scene]) -> dict[str, Tensor]:
    """What the detector should say: every cell whose centre is within ``APART`` of an object's answers for it.

    Returns
    -------
    dict
        ``object (N, 8, 8)``; ``offset (N, 2, 8, 8)`` in cells; per family ``(N, 8, 8)`` classes, -100 where nothing
        is; ``background`` and ``light`` ``(N,)``.
    """
    n = len(scenes)
    centres = (np.arange(CELLS) + 0.5) * CELL
    offset = np.zeros((n, 2, CELLS, CELLS), np.float32)
    nearest = np.full((n, CELLS, CELLS), APART)
    classes = {family: np.full((n, CELLS, CELLS), -100) for family in OBJECT_FAMILIES}
    for i, scene in enumerate(scenes):
        for thing in scene.things:
            across, down = np.meshgrid(thing.x - centres, thing.y - centres)
            mine = np.hypot(across, down) < nearest[i]
            nearest[i][mine] = np.hypot(across, down)[mine]
            offset[i, 0][mine], offset[i, 1][mine] = across[mine] / CELL, down[mine] / CELL
            for family, values in classes.items():
                values[i][mine] = VOCABULARY[family].index(getattr(thing, family))
    whole = {f: np.array([VOCABULARY[f].index(getattr(s, f)) for s in scenes]) for f in ("background", "light")}
    arrays = {"object": (nearest < APART).astype(np.float32), "offset": offset, **classes, **whole}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def detector_loss(parts: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
    """Objectness, offsets of the cells that have an object, and a cross entropy per family."""
    there = target["object"]
    loss = 6 * functional.binary_cross_entropy_with_logits(parts["object"][:, 0], there)
    distance = functional.smooth_l1_loss(parts["offset"], target["offset"], reduction="none", beta=0.1).sum(1)
    loss = loss + 2 * (distance * there).sum() / there.sum().clamp(min=1)
    weights = {"shape": 2.0, "colour": 1.0, "texture": 1.5, "size": 1.0, "background": 0.4, "light": 0.4}
    for family, weight in weights.items():
        entropy = functional.cross_entropy(parts[family], target[family], reduction="none")
        counted = (target[family] >= 0).float()
        loss = loss + weight * (entropy * counted).sum() / counted.sum().clamp(min=1)
    return loss


def fit(network: Detector, name: str, steps: int = STEPS) -> None:
    """Learn to find and name objects, on pictures of this network's own."""
    log.info("%s: %d pictures", name, steps * BATCH)
    source = batches(f"train/{name}", steps, COUNTS)
    noise = NOISE / 127.5 * torch.randn(8, BATCH, SIDE, SIDE, 3).permute(0, 1, 4, 2, 3)

    def loss_of(step: int) -> Tensor:
        scenes, x = next(source)
        return detector_loss(network(x + noise[step % len(noise)]), grid_targets(scenes))

    descend(network, steps, 4e-3, loss_of)


@torch.no_grad()
def report(network: Detector, name: str, count: int = 1024) -> None:
    """Log how many objects are found, and how many attributes of those are right, on held-out scenes."""
    scenes = [random_scene(f"test/{name}/{i}", COUNTS) for i in range(count)]
    network.eval()
    percepts = [p for i in range(0, count, 64) for p in decode(network(pictures(scenes[i : i + 64])))]
    right = dict.fromkeys((*OBJECT_FAMILIES, "background", "light"), 0)
    objects = matched = seen = whole = 0
    for scene, percept in zip(scenes, percepts, strict=True):
        objects, seen, wrong = objects + len(scene.things), seen + len(percept.sightings), False
        for family in ("background", "light"):
            hit = getattr(percept, family).value == getattr(scene, family)
            right[family], wrong = right[family] + hit, wrong or not hit
        for thing in scene.things:
            near = [s for s in percept.sightings if np.hypot(s.x - thing.x, s.y - thing.y) < APART]
            matched, wrong = matched + bool(near), wrong or not near
            for family in OBJECT_FAMILIES if near else ():
                hit = getattr(near[0], family).value == getattr(thing, family)
                right[family], wrong = right[family] + hit, wrong or not hit
        whole += not wrong and len(scene.things) == len(percept.sightings)
    log.info(
        "  held-out objects: found %.4f of %d, %.4f of those seen are there",
        matched / objects,
        objects,
        matched / max(seen, 1),
    )
    for family, hits in right.items():
        total = matched if family in OBJECT_FAMILIES else count
        log.info("  held-out accuracy  %-10s %.4f", family, hits / max(total, 1))
    log.info("  whole pictures without any mistake %.4f", whole / count)


def captioner(folder: Path, scale: float, tests: int) -> nn.Module:
    """Train what the blind descriptions come from."""
    return _trained((24, 48, 96), "captioner", 0, scale, tests)


def detector(folder: Path, scale: float, tests: int) -> nn.Module:
    """Train what the synthetic neurons are made of: narrower, from another seed, on other pictures."""
    return _trained(Detector.NARROW, "detector", 1, scale, tests)


def _trained(widths: tuple[int, int, int], name: str, seed: int, scale: float, tests: int) -> nn.Module:
    torch.manual_seed(seed)
    network: Detector = Detector(widths).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fit(network, name, max(2, round(STEPS * scale)))
    halve(network)
    report(network, name, tests)
    return network
