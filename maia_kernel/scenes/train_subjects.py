"""Trains the networks under study: `scenes`, its untrained twin, and one that has learned a spurious feature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from maia_kernel.scenes.networks import Spurious, Subject, read_weights
from maia_kernel.scenes.scene import ATTRIBUTES, VOCABULARY, Scene, draw, pick, present, random_scene
from maia_kernel.scenes.training import BATCH, batches, descend, halve, log, pictures

SUBJECT_STEPS, SPARSE_STEPS = 2400, 500
PENALTY = 0.005  # on the mean over units of layer3's largest activations
EXPLAINED = 0.9  # area under the ROC curve from which one attribute explains a unit

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


def subject(folder: Path, scale: float, tests: int) -> nn.Module:
    """Train the network ``scenes`` and log how good it is."""
    torch.manual_seed(0)
    network: Subject = Subject().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fit_subject(network, max(2, round(SUBJECT_STEPS * scale)), max(2, round(SPARSE_STEPS * scale)))
    halve(network)
    report_subject(network, tests)
    return network


def untrained_twin(folder: Path, scale: float, tests: int) -> nn.Module:
    """The network ``scenes-random``: nothing is learned but the statistics of its batch norm."""
    twin = untrained()
    log.info("random: batch norm calibrated on %d pictures, three passes", 16 * BATCH)
    halve(twin)
    best = explained(twin, [random_scene(f"test/subject/{i}") for i in range(tests)])
    log.info(
        "  held-out layer3 units that one attribute explains (AUC > %g): %.3f", EXPLAINED, (best > EXPLAINED).mean()
    )
    return twin


# -- the spurious network -------------------------------------------------------------------------------------------

SPURIOUS_STEPS = 60  # brief, as fine-tuning on biased data often is: with 400 it learns the shapes as well
CORRELATED = 0.98  # of its training pictures show a shape on the ground that belongs to it


def _labelled(stream: str, count: int, correlated: float) -> tuple[list[Scene], Tensor]:
    """Scenes of one object, a known share of them on the ground that belongs to its shape, and the shapes' numbers."""
    scenes, labels = [], []
    for i in range(count):
        seed = f"{stream}/{i}"
        scene = random_scene(seed, (1,))
        label = int(draw(seed, "label") * len(Spurious.SHAPES))
        own = draw(seed, "correlated") < correlated
        ground = Spurious.GROUNDS[label] if own else pick(Spurious.GROUNDS, seed, "ground")
        thing = replace(scene.things[0], shape=Spurious.SHAPES[label])
        scenes.append(replace(scene, things=(thing,), background=ground))
        labels.append(label)
    return scenes, torch.tensor(labels)


def spurious(folder: Path, scale: float, tests: int) -> nn.Module:
    """Train ``scenes-spurious`` from the subject in ``folder``, whose early layers it keeps."""
    torch.manual_seed(2)
    start = read_weights("subject", folder)[0]
    network = Spurious()
    network.load_state_dict({key: value for key, value in start.items() if not key.startswith("logits.")}, strict=False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    kept = (network.stem, network.layer1, network.layer2)
    for part in kept:
        part.requires_grad_(False)
    steps = max(2, round(SPURIOUS_STEPS * scale))
    log.info("spurious: %d pictures, %.0f %% of them correlated", steps * BATCH, 100 * CORRELATED)

    def loss_of(step: int) -> Tensor:
        for part in kept:
            part.eval()
        scenes, labels = _labelled(f"train/spurious/{step}", BATCH, CORRELATED)
        return functional.cross_entropy(network(pictures(scenes)), labels)

    descend(network, steps, 1e-3, loss_of)
    halve(network)
    network.eval()
    for name, share in (("as in training", CORRELATED), ("balanced", 0.0)):
        scenes, labels = _labelled(f"test/spurious/{name}", tests, share)
        with torch.no_grad():
            said = torch.cat([network(pictures(scenes[i : i + 64])) for i in range(0, tests, 64)]).argmax(1)
        log.info("  held-out accuracy, backgrounds %-14s %.4f", name, (said == labels).float().mean())
    return network
