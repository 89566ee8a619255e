"""Trains the networks of the embedded world and writes weights, logs and checksums.

    python -m maia_kernel.scenes.train all --out DIR --threads 1

Every picture is drawn when it is needed and seen once. With one thread the same machine gives the same weights.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from maia_kernel.scenes.networks import CELL, CELLS, CHECKSUMS, WEIGHTS, Detector, Subject, normalise
from maia_kernel.scenes.perception import APART, decode
from maia_kernel.scenes.render import pixels
from maia_kernel.scenes.scene import ATTRIBUTES, OBJECT_FAMILIES, SIDE, VOCABULARY, Scene, present, random_scene

log = logging.getLogger(__name__)

BATCH = 32  # fastest on one thread
SUBJECT_STEPS, SPARSE_STEPS, CAPTIONER_STEPS = 2400, 500, 3200
PENALTY = 0.005  # on the mean over units of layer3's largest activations
CAPTIONER_COUNTS = (0, 1, 2, 2, 3, 3, 4)  # objects per scene: edits leave none, or four
NOISE = 2.0  # of 255, on the captioner's pictures: they may have been through a JPEG
EXPLAINED = 0.9  # area under the ROC curve from which one attribute explains a unit


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
    optimiser = torch.optim.AdamW(network.parameters(), lr=peak, weight_decay=0.02, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, peak, total_steps=steps, pct_start=0.15)
    network.train()
    start, mean = time.monotonic(), 0.0
    for step in range(steps):
        loss = loss_of(step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        mean += (loss.item() - mean) / (step % say_every + 1)
        if (step + 1) % say_every == 0 or step + 1 == steps:
            seconds = time.monotonic() - start
            log.info("  step %5d  pictures %7d  loss %.4f  %5.0f s", step + 1, (step + 1) * BATCH, mean, seconds)


# -- the network under study ----------------------------------------------------------------------------------------

# Shapes and textures are harder to see than the rest, and would be learned last and least.
_HARD = (*VOCABULARY["shape"], *VOCABULARY["texture"])
_EMPHASIS = torch.tensor([4.0 if word in _HARD else 1.0 for word in ATTRIBUTES])


def presence(scenes: Sequence[Scene]) -> Tensor:
    """Which attributes each scene shows, ``(N, 32)`` of 0 and 1."""
    shown = [present(scene) for scene in scenes]
    return torch.tensor([[float(word in words) for word in ATTRIBUTES] for words in shown])


def fit_subject(network: Subject, steps: int = SUBJECT_STEPS, sparse_steps: int = SPARSE_STEPS) -> None:
    """Learn to name the attributes; then go on with an L1 penalty on the largest activation of each unit of layer3.

    The penalty makes units answer to few attributes, so that more of them can be explained by one.
    """
    for stream, count, peak, weight in (("subject", steps, 4e-3, 0.0), ("sparse", sparse_steps, 2e-3, PENALTY)):
        log.info("subject: %d pictures, L1 penalty %g", count * BATCH, weight)
        source = batches(f"train/{stream}", count, (1, 2, 3))

        def loss_of(_: int, source: Iterator[tuple[list[Scene], Tensor]] = source, weight: float = weight) -> Tensor:
            scenes, x = next(source)
            last = network.features(x)
            error = functional.binary_cross_entropy_with_logits(
                network.head(last), presence(scenes), weight=_EMPHASIS, reduction="sum"
            )
            return error / (BATCH * float(_EMPHASIS.sum())) + weight * last.amax((2, 3)).mean()

        descend(network, count, peak, loss_of)
        best = explained(network, [random_scene(f"validation/{i}") for i in range(min(512, count * BATCH))])
        log.info("  layer3 units that one attribute explains so far: %.3f", (best > EXPLAINED).mean())


def areas(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Area under the ROC curve of every unit for every attribute.

    Parameters
    ----------
    scores : array (N, U)
        Activations.
    truth : array (N, A) of bool
        Presences.

    Returns
    -------
    array (U, A)
        0 to 1; ties count half.
    """
    ranks = np.empty(scores.shape)
    for unit, column in enumerate(scores.T):
        _, place, times = np.unique(column, return_inverse=True, return_counts=True)
        ranks[:, unit] = (np.cumsum(times) - (times - 1) / 2)[place]
    positive = truth.sum(0)
    sums = ranks.T @ truth
    found: NDArray[np.float64] = (sums - positive * (positive + 1) / 2) / np.maximum(
        positive * (len(truth) - positive), 1
    )
    return found


@torch.no_grad()
def explained(network: Subject, scenes: Sequence[Scene]) -> NDArray[np.float64]:
    """For each unit of layer3 the largest area under the ROC curve that any one attribute reaches."""
    network.eval()
    tops = [network.features(pictures(scenes[i : i + 64])).amax((2, 3)) for i in range(0, len(scenes), 64)]
    best: NDArray[np.float64] = areas(torch.cat(tops).numpy(), presence(scenes).numpy() > 0).max(1)
    return best


@torch.no_grad()
def untrained(steps: int = 16, seed: int = 1) -> Subject:
    """The same architecture without training, its batch norm calibrated in three passes over ``steps`` batches."""
    torch.manual_seed(seed)
    twin = Subject()
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    twin.train()
    for _ in range(3):
        for _, x in batches("train/calibration", steps, (1, 2, 3)):
            twin(x)
    return twin.eval()


@torch.no_grad()
def report_subject(network: Subject, count: int = 1024) -> None:
    """Log held-out accuracies, and the share of layer3 that one attribute explains, beside an untrained twin."""
    scenes = [random_scene(f"test/subject/{i}") for i in range(count)]
    network.eval()
    logits = torch.cat([network(pictures(scenes[i : i + 64])) for i in range(0, count, 64)])
    right = ((logits > 0) == (presence(scenes) > 0)).float().mean(0)
    for family, words in VOCABULARY.items():
        share = float(torch.stack([right[ATTRIBUTES.index(word)] for word in words]).mean())
        log.info("  held-out presence accuracy  %-10s %.4f", family, share)
    for name, one in (("trained", network), ("untrained twin", untrained(max(1, count // 64)))):
        best = explained(one, scenes)
        share = float((best > EXPLAINED).mean())
        log.info("  layer3 units that one attribute explains (AUC > %g): %.3f  (%s)", EXPLAINED, share, name)


# -- the captioner --------------------------------------------------------------------------------------------------


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


def fit_captioner(network: Detector, steps: int = CAPTIONER_STEPS) -> None:
    """Learn to find and name objects."""
    log.info("captioner: %d pictures", steps * BATCH)
    source = batches("train/captioner", steps, CAPTIONER_COUNTS)
    noise = NOISE / 127.5 * torch.randn(8, BATCH, SIDE, SIDE, 3).permute(0, 1, 4, 2, 3)

    def loss_of(step: int) -> Tensor:
        scenes, x = next(source)
        return detector_loss(network(x + noise[step % len(noise)]), grid_targets(scenes))

    descend(network, steps, 4e-3, loss_of)


@torch.no_grad()
def report_captioner(network: Detector, count: int = 1024) -> None:
    """Log how many objects are found, and how many attributes of those are right, on held-out scenes."""
    scenes = [random_scene(f"test/captioner/{i}", CAPTIONER_COUNTS) for i in range(count)]
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


# -- the command ----------------------------------------------------------------------------------------------------


def halve(network: nn.Module) -> None:
    """Round the weights to half precision in place, as they will be shipped; accuracies are measured after it."""
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(value.half().float())


def ship(network: nn.Module, name: str, folder: Path) -> None:
    """Write weights as fp16 and their line in the checksum file."""
    file = folder / f"{name}.safetensors"
    state = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
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


def train(name: str, folder: Path, scale: float = 1.0, tests: int = 1024) -> None:
    """Train one network and write ``NAME.safetensors``, ``NAME.log`` and its checksum.

    Parameters
    ----------
    name : str
        "subject" or "captioner".
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
        torch.manual_seed(0)
        if name == "subject":
            subject = Subject().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            fit_subject(subject, max(2, round(SUBJECT_STEPS * scale)), max(2, round(SPARSE_STEPS * scale)))
            halve(subject)
            report_subject(subject, tests)
            ship(subject, name, folder)
        else:
            detector = Detector().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            fit_captioner(detector, max(2, round(CAPTIONER_STEPS * scale)))
            halve(detector)
            report_captioner(detector, tests)
            ship(detector, name, folder)
        log.info(
            "  %.0f s in all, torch %s, %d thread", time.monotonic() - start, torch.__version__, torch.get_num_threads()
        )
    finally:
        log.removeHandler(handler)
        handler.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of this script."""
    parser = argparse.ArgumentParser(prog="python -m maia_kernel.scenes.train", description=__doc__)
    parser.add_argument("network", choices=("subject", "captioner", "all"), nargs="?", default="all")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for weights and logs (default: the package)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1; more changes the last digits)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    log.addHandler(logging.StreamHandler(sys.stderr))
    for name in ("subject", "captioner") if options.network == "all" else (options.network,):
        train(name, options.out)


if __name__ == "__main__":
    main()
