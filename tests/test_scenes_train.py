"""The training script: a run of a second, its files, and the figures that its log states."""

import hashlib
import logging

import numpy as np
import pytest
import torch

from maia_kernel.scenes import train
from maia_kernel.scenes.networks import CHECKSUMS, Detector, read_weights
from maia_kernel.scenes.perception import decode
from maia_kernel.scenes.scene import VOCABULARY, random_scene


@pytest.mark.parametrize("name", ["subject", "captioner"])
def test_a_tiny_run_leaves_weights_log_and_checksum(name, tmp_path):
    train.train(name, tmp_path, scale=1e-4, tests=32)
    log = (tmp_path / f"{name}.log").read_text()
    assert "held-out" in log
    assert "loss" in log
    data = (tmp_path / f"{name}.safetensors").read_bytes()
    assert (tmp_path / CHECKSUMS).read_text() == f"{hashlib.sha256(data).hexdigest()}  {name}.safetensors\n"
    weights, digest = read_weights(name, tmp_path)
    assert digest == hashlib.sha256(data).hexdigest()
    assert all(torch.equal(value, value.half().float()) for value in weights.values() if value.is_floating_point())
    assert not logging.getLogger(train.__name__).handlers


def test_training_is_deterministic(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for folder in ("a", "b"):
            train.train("captioner", tmp_path / folder, scale=1e-4, tests=8)
    finally:
        torch.set_num_threads(threads)
    assert (tmp_path / "a" / CHECKSUMS).read_text() == (tmp_path / "b" / CHECKSUMS).read_text()


def test_areas_agree_with_counting_pairs():
    random = np.random.default_rng(0)
    scores, truth = random.integers(0, 5, (40, 3)).astype(float), random.random((40, 2)) < 0.4
    for unit, attribute in np.ndindex(3, 2):
        inside, outside = scores[truth[:, attribute], unit], scores[~truth[:, attribute], unit]
        pairs = np.sign(inside[:, None] - outside).mean() / 2 + 0.5
        assert train.areas(scores, truth)[unit, attribute] == pytest.approx(pairs)


def test_a_perfect_detector_is_decoded_to_the_scene():
    scenes = [random_scene(f"perfect/{seed}", (0, 1, 2, 3, 4)) for seed in range(40)]
    target = train.grid_targets(scenes)
    parts = {"object": (target["object"][:, None] * 2 - 1) * 9, "offset": target["offset"]}
    for family, words in VOCABULARY.items():
        classes = torch.nn.functional.one_hot(target[family].clamp(min=0), len(words)).float() * 20
        parts[family] = classes.movedim(-1, 1)
    for scene, percept in zip(scenes, decode(parts), strict=True):
        told = sorted(
            (s.x, s.y, s.shape.value, s.colour.value, s.texture.value, s.size.value) for s in percept.sightings
        )
        true = sorted((t.x, t.y, t.shape, t.colour, t.texture, t.size) for t in scene.things)
        assert [row[2:] for row in told] == [row[2:] for row in true]
        np.testing.assert_allclose([row[:2] for row in told], [row[:2] for row in true], atol=1e-3)
        assert (percept.background.value, percept.light.value) == (scene.background, scene.light)


def test_the_loss_falls_on_one_batch():
    torch.manual_seed(0)
    network = Detector()
    (scenes, x), *_ = train.batches("tests/one", 1, (1, 2))
    target = train.grid_targets(scenes)
    losses = []
    train.descend(network, 12, 3e-3, lambda _: losses.append(train.detector_loss(network(x), target)) or losses[-1])
    assert losses[-1] < 0.8 * losses[0]
