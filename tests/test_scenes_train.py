"""The training script: a run of a second, its files, and the figures that its log states."""

import hashlib

import numpy as np
import pytest
import torch

from maia_kernel.scenes import train, train_detectors, train_subjects, training
from maia_kernel.scenes.networks import CHECKSUMS, Detector, read_weights
from maia_kernel.scenes.perception import decode
from maia_kernel.scenes.scene import VOCABULARY, random_scene
from maia_kernel.scenes.training import log as log_of_training


def test_a_tiny_run_of_every_network_leaves_weights_log_and_checksum(tmp_path):
    for name in train.NETWORKS:  # in their order: the spurious network begins with the subject's weights
        train.train(name, tmp_path, scale=1e-4, tests=32)
        log = (tmp_path / f"{name}.log").read_text()
        assert "held-out" in log
        assert "loss" in log or name == "random"
        data = (tmp_path / f"{name}.safetensors").read_bytes()
        assert f"{hashlib.sha256(data).hexdigest()}  {name}.safetensors\n" in (tmp_path / CHECKSUMS).read_text()
        weights, digest = read_weights(name, tmp_path)
        assert digest == hashlib.sha256(data).hexdigest()
        assert all(torch.equal(value, value.half().float()) for value in weights.values() if value.is_floating_point())
        assert not log_of_training.handlers
    subject, spurious = (read_weights(name, tmp_path)[0] for name in ("subject", "spurious"))
    assert {key.split(".")[0] for key in spurious} == {"layer3", "logits"}
    assert not torch.equal(subject["layer3.conv1.weight"], spurious["layer3.conv1.weight"])


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
        assert train_subjects.areas(scores, truth)[unit, attribute] == pytest.approx(pairs)


def test_a_perfect_detector_is_decoded_to_the_scene():
    scenes = [random_scene(f"perfect/{seed}", (0, 1, 2, 3, 4)) for seed in range(40)]
    target = train_detectors.grid_targets(scenes)
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
    (scenes, x), *_ = training.batches("tests/one", 1, (1, 2))
    target = train_detectors.grid_targets(scenes)
    losses = []
    training.descend(
        network, 12, 3e-3, lambda _: losses.append(train_detectors.detector_loss(network(x), target)) or losses[-1]
    )
    assert losses[-1] < 0.8 * losses[0]
