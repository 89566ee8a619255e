"""The shipped networks: whole, checked, and as good as their logs say."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from maia_kernel.errors import MaiaError
from maia_kernel.scenes.networks import (
    WEIGHTS,
    Spurious,
    build_random,
    build_spurious,
    build_subject,
    read_weights,
    to_tensor,
)
from maia_kernel.scenes.render import picture
from maia_kernel.scenes.scene import ATTRIBUTES, VOCABULARY, present, random_scene


@pytest.fixture(scope="module")
def subject():
    return build_subject()


def test_the_subject_has_the_layers_that_are_studied(subject):
    network, prepare = subject
    shapes = {}
    for name, module in network.named_modules():
        if name in {"layer1", "layer2", "layer3", "logits"}:
            module.register_forward_hook(lambda _m, _i, out, name=name: shapes.__setitem__(name, out))
    with torch.inference_mode():
        network(torch.stack([prepare(picture(random_scene(seed))) for seed in range(3)]))
    assert not network.training
    assert {name: tuple(out.shape) for name, out in shapes.items()} == {
        "layer1": (3, 32, 16, 16),
        "layer2": (3, 64, 8, 8),
        "layer3": (3, 128, 8, 8),
        "logits": (3, 32),
    }
    assert shapes["layer3"].min() == 0
    assert network.unit_names["logits"] == ATTRIBUTES


def test_the_subject_names_what_is_in_pictures_it_never_saw(subject):
    network, prepare = subject
    scenes = [random_scene(f"unseen/{seed}") for seed in range(96)]
    with torch.inference_mode():
        said = network(torch.stack([prepare(picture(scene)) for scene in scenes])) > 0
    shown = torch.tensor([[word in present(scene) for word in ATTRIBUTES] for scene in scenes])
    right = (said == shown).float().mean(0)
    for family, least in (("colour", 0.95), ("background", 0.97), ("light", 0.97), ("texture", 0.88), ("shape", 0.88)):
        assert right[[ATTRIBUTES.index(word) for word in VOCABULARY[family]]].mean() > least


def test_pictures_of_any_size_and_mode_are_taken():
    small = to_tensor(picture(random_scene(1)))
    large = to_tensor(picture(random_scene(1)).resize((256, 256), Image.Resampling.NEAREST).convert("RGBA"))
    assert small.shape == (3, 64, 64)
    assert small.min() >= -1
    assert small.max() <= 1
    np.testing.assert_allclose(small, large, atol=0.01)


def test_changed_or_missing_weights_are_one_line_errors(tmp_path):
    shutil.copytree(WEIGHTS, tmp_path / "weights")
    file = tmp_path / "weights" / "subject.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(MaiaError, match="checksum differs") as changed:
        read_weights("subject", tmp_path / "weights")
    file.unlink()
    with pytest.raises(MaiaError, match="missing") as missing:
        read_weights("subject", tmp_path / "weights")
    assert all("\n" not in str(error.value) and str(tmp_path) not in str(error.value) for error in (changed, missing))


def test_weights_are_small_and_have_their_log():
    assert sum(file.stat().st_size for file in WEIGHTS.glob("*.safetensors")) < 3e6
    for file in WEIGHTS.glob("*.safetensors"):
        assert "held-out" in file.with_suffix(".log").read_text()


def test_the_untrained_twin_has_activations_of_the_same_order(subject):
    (trained, prepare), (twin, _) = subject, build_random()
    pictures = torch.stack([prepare(picture(random_scene(f"twin/{seed}"))) for seed in range(16)])
    with torch.inference_mode():
        a, b = trained.features(pictures), twin.features(pictures)
    assert 0.1 < float(b.std() / a.std()) < 10
    assert not torch.equal(a, b)


def test_the_spurious_network_follows_the_background():
    network, prepare = build_spurious()
    right = {"own": 0, "other": 0}
    for n in range(48):
        shape = n % 4
        for where, ground in (("own", shape), ("other", (shape + 1 + n % 3) % 4)):
            one = random_scene(f"spurious/{n}", (1,))
            thing = replace(one.things[0], shape=Spurious.SHAPES[shape])
            shown = picture(replace(one, things=(thing,), background=Spurious.GROUNDS[ground]))
            with torch.inference_mode():
                right[where] += int(network(prepare(shown)[None]).argmax() == shape)
    assert right["own"] >= 46
    assert right["other"] <= 30
