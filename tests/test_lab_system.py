"""A system measures its unit as a hand-written forward pass would, and masks what excites it."""

from __future__ import annotations

import base64

import numpy as np
import pytest
import torch
from lab_standins import COLOURS, build, square, to_tensor

from maia_kernel.errors import BadCall, BadImage, UnitOutOfRange, UnknownName
from maia_kernel.lab.images import png_bytes, recall
from maia_kernel.lab.system import System, cut_exemplars

MODEL, DATASET = "lab_standins:build", "lab_standins:Squares"


@pytest.fixture(scope="module")
def system() -> System:
    return System(MODEL, "maps", 0, dataset=DATASET)


def test_activations_equal_a_forward_pass_by_hand(system: System) -> None:
    pictures = [square(colour, seed) for seed, colour in enumerate([*COLOURS, *COLOURS])]  # more than a batch
    module, _ = build()
    with torch.no_grad():
        maps = module.maps(torch.stack([to_tensor(picture) for picture in pictures]))
    activations, masked = system.call_neuron(pictures)
    assert activations == pytest.approx(maps[:, 0].amax((1, 2)).tolist(), abs=1e-6)
    assert all(isinstance(value, float) and value == round(value, 6) for value in activations)
    assert [picture.size for picture in masked] == [(64, 64)] * 8


def test_masks_keep_what_is_strictly_above_the_threshold(system: System) -> None:
    red, green = square("red", 5), square("green", 5)
    _, (kept, dimmed) = system.call_neuron([red, green])
    mask = recall(kept, "mask")
    inside = np.array(red)[:, :, 0] > 0
    assert 0 < mask.sum() < mask.size / 4
    assert (np.array(kept)[mask] == np.array(red)[mask]).all()
    assert (np.array(kept)[~mask] == np.array(red)[~mask] // 4).all()
    assert inside[mask].mean() > 0.5
    assert not recall(dimmed, "mask").any()
    assert (np.array(dimmed) == np.array(green) // 4).all()
    assert recall(kept, "original") is red


def test_a_masked_picture_is_measured_as_its_original(system: System) -> None:
    before, masked = system.call_neuron([square("red", 1), square("white", 2)])
    assert system.call_neuron(masked)[0] == before


def test_anything_image_like_is_measured_and_keywords_of_maia_work(system: System) -> None:
    picture = square("red", 9)
    expected = system.call_neuron([picture])[0]
    text = base64.b64encode(png_bytes(picture)).decode()
    assert system.call_neuron(image_list=[text, np.array(picture), to_tensor(picture)])[0] == expected * 3
    assert system.call_neuron(picture)[0] == expected
    assert system.call_neuron([]) == ([], [])


def test_pictures_of_other_sizes_get_masks_of_their_own_size(system: System) -> None:
    _, (wide, _) = system.call_neuron([square("red", 3).resize((100, 40)), square("red", 3)])
    assert wide.size == (100, 40)
    assert recall(wide, "mask").shape == (40, 100)


def test_exemplars_are_the_best_first_with_the_activations_of_call_neuron(system: System) -> None:
    best = cut_exemplars(system, 15)
    activations = [activation for activation, _ in best]
    assert len(best) == 15
    assert activations == sorted(activations, reverse=True)
    assert system.call_neuron([image for _, image in best])[0] == pytest.approx(activations, abs=1e-5)


def test_a_logit_has_a_name_and_its_mask_keeps_all_or_nothing() -> None:
    system = System(MODEL, "logits", "green", dataset=DATASET)
    assert (system.unit, system.neuron_num, system.unit_name) == (1, 1, "green")
    activations, masked = system.call_neuron([square("green", 1, side=30), square("red", 1)])
    assert activations[0] > activations[1]
    assert not recall(masked[1], "mask").any()


def test_what_a_system_says_of_itself(system: System) -> None:
    assert (system.model_name, system.layer, system.unit, system.neuron_num) == (MODEL, "maps", 0, 0)
    assert isinstance(system.model, torch.nn.Module)
    assert str(system) == (
        f"unit 0 of 3 in maps of {MODEL}; activation: max over an 8x8 map; "
        f"mask threshold {system.threshold:.3g} (0.99 quantile over positions of the dataset)"
    )
    assert repr(system) == f"<System: {system}>"


def test_wrong_calls_say_what_to_do(system: System) -> None:
    with pytest.raises(UnknownName, match="did you mean maps"):
        System(MODEL, "map", 0, dataset=DATASET)
    with pytest.raises(UnitOutOfRange, match="maps has units 0 to 2"):
        System(MODEL, "maps", 3, dataset=DATASET)
    with pytest.raises(BadImage, match=r"'dogs' is not an image; .*tools\.text2image"):
        system.call_neuron(["dogs"])
    with pytest.raises(BadCall, match=r"call activations, masked_images = system\.call_neuron\(images\)"):
        system.call_neuron()  # type: ignore[call-arg]
    with pytest.raises(BadCall, match="under two names"):
        system.call_neuron(images=[], image_list=[])  # type: ignore[call-arg]
    with pytest.raises(BadImage, match="pair"):
        system.call_neuron(cut_exemplars(system, 2))
