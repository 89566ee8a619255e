"""Models, layers and units are found by name; what is not there is answered with what is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lab_standins import COLOURS, ColourNet, build, square
from PIL import Image

from maia_kernel.errors import BadCall, UnitOutOfRange, UnknownName, UsageError
from maia_kernel.lab import models, names, units

NAME = "lab_standins:build"


def test_layers_are_listed_with_units_and_map_sizes() -> None:
    listed = models.layers(models.load_model(NAME), square("red", 0))
    assert [(layer.name, layer.units, layer.height, layer.width, layer.spatial) for layer in listed] == [
        ("maps", 3, 8, 8, True),
        ("after.0", 3, 8, 8, True),
        ("after.1", 3, 8, 8, True),
        ("after", 3, 8, 8, True),
        ("logits", 3, 1, 1, False),
    ]


def test_a_wrong_model_or_builder_is_answered_with_near_names() -> None:
    with pytest.raises(UnknownName, match="unknown model 'scense'; did you mean scenes"):
        models.load_model("scense")
    with pytest.raises(UnknownName, match="did you mean build"):
        models.load_model("lab_standins:biuld")
    for name in ("no_such_package.module:build", "lab_standins:", ":build", "a b:c"):
        with pytest.raises(UnknownName):
            names.check("model", name, models.MODELS)


def test_the_revision_is_that_of_the_weights() -> None:
    first, second = models.load_model(NAME), models.load_model(NAME)
    assert first.revision == second.revision
    with torch.no_grad():
        second.module.logits.weight[0, 0] += 1e-6
    assert models.Model("other", second.module, second.preprocess).revision != first.revision


def test_units_are_named_by_number_or_name_and_out_of_range_says_the_range() -> None:
    model = models.load_model(NAME)
    logits = models.layer_of(model, "logits", square("red", 0))
    assert [models.unit_number(model, logits, unit) for unit in (2, "2", np.int64(2), "blue")] == [2, 2, 2, 2]
    for unit in (3, -1, "3"):
        with pytest.raises(UnitOutOfRange, match="logits has units 0 to 2"):
            models.unit_number(model, logits, unit)
    with pytest.raises(UnknownName, match="did you mean green"):
        models.unit_number(model, logits, "greem")
    maps = models.layer_of(model, "maps", square("red", 0))
    with pytest.raises(UsageError, match="have no names"):
        models.unit_number(model, maps, "red")
    for wrong in (True, 1.5, None):
        with pytest.raises(BadCall):
            models.unit_number(model, maps, wrong)  # type: ignore[arg-type]


def test_a_layer_that_gives_no_units_is_refused() -> None:
    with pytest.raises(UsageError, match=r"shape \(1, 3, 4, 4, 4\)"):
        units.positions(torch.zeros(1, 3, 4, 4, 4))


def test_units_read_their_own_map() -> None:
    output = torch.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2).float()
    channel = units.Channel(1, 2, 2)
    assert torch.equal(channel.maps(output), output[:, 1])
    assert channel.activations(channel.maps(output)).tolist() == [7, 19]
    element = units.Element(2)
    assert element.activations(element.maps(output[:, :, 0, 0])).tolist() == [8, 20]
    assert [units.Channel(0, n, n).pooling for n in (7, 8, 11, 18)] == [
        "max over a 7x7 map",
        "max over an 8x8 map",
        "max over an 11x11 map",
        "max over an 18x18 map",
    ]


def test_batches_hold_pictures_of_one_size_and_no_more_than_so_many_pixels() -> None:
    module, _ = build()
    model = models.Model("m", module, lambda image: torch.zeros(3, image.height, image.width))
    pictures = [Image.new("RGB", size) for size in [(8, 8)] * 5 + [(8, 4)] + [(8, 8)]]
    shapes = [tuple(batch.shape) for batch in models.batches(model, pictures, pixels=4 * 8 * 8)]
    assert shapes == [(4, 3, 8, 8), (1, 3, 8, 8), (1, 3, 4, 8), (1, 3, 8, 8)]
    assert list(models.batches(model, [])) == []


def test_the_stand_in_does_what_the_tests_assume() -> None:
    model = models.load_model(NAME)
    assert isinstance(model.module, ColourNet)
    batch = next(models.batches(model, [square(colour, 3) for colour in COLOURS]))
    activations = model.module(batch)
    assert activations.argmax(1).tolist()[:3] == [0, 1, 2]
