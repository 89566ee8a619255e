"""Pictures: deterministic, antialiased, every word visible."""

from dataclasses import replace

import numpy as np
import pytest

from maia_kernel.errors import UnknownName
from maia_kernel.scenes import materials, shapes
from maia_kernel.scenes.render import PAINT, picture, pixels
from maia_kernel.scenes.scene import RADIUS, SIDE, VOCABULARY, Scene, Thing, random_scene

ONE = Scene((Thing("circle", "red", "plain", "large", 32.0, 32.0),), "grass", "day", grain=9)


def variant(**changes):
    thing = {key: value for key, value in changes.items() if key in Thing.__dataclass_fields__}
    scene = {key: value for key, value in changes.items() if key not in thing}
    return pixels(replace(ONE, things=(replace(ONE.things[0], **thing),), **scene)).astype(int)


def test_a_picture_is_a_function_of_its_scene():
    scene = random_scene(3)
    image = picture(scene)
    assert (image.size, image.mode) == ((SIDE, SIDE), "RGB")
    assert np.array_equal(pixels(scene), np.asarray(image))
    assert np.array_equal(pixels(scene), pixels(random_scene(3)))


@pytest.mark.parametrize("family", VOCABULARY)
def test_every_word_of_a_family_looks_different(family):
    looks = [variant(**{family: value}) for value in VOCABULARY[family]]
    for i, a in enumerate(looks):
        for b in looks[:i]:
            assert np.abs(a - b).max(axis=2).astype(bool).mean() > 0.02


@pytest.mark.parametrize("light", VOCABULARY["light"])
def test_colours_can_be_told_in_every_light(light):
    middles = [variant(colour=colour, light=light)[32, 32] for colour in VOCABULARY["colour"]]
    for i, a in enumerate(middles):
        for b in middles[:i]:
            assert np.abs(a - b).sum() > 40


def test_the_middle_of_a_plain_object_has_its_colour_by_day():
    for colour, (base, _, _) in PAINT.items():
        assert np.abs(variant(colour=colour)[32, 32] - base).max() <= 1


def test_edges_are_antialiased():
    white = variant(colour="white", background="water", light="night")
    row = white[32, :, 0]
    assert len(set(row[16:22].tolist())) >= 3  # ground, rim and fill, with steps between


def test_an_object_changes_its_own_box_only():
    reach = int(1.25 * RADIUS["small"] + 5)
    changed = np.argwhere(np.any(variant(size="small") != variant(size="small", colour="blue"), axis=2))
    assert len(changed)
    assert np.abs(changed - 32).max() <= reach


def test_the_light_dims_the_night():
    means = [variant(light=light).mean() for light in ("day", "dusk", "night")]
    assert means[0] > means[1] > means[2]


def test_tables_are_signed_distances():
    step = 2 * shapes.REACH / shapes.STEPS
    for shape in VOCABULARY["shape"]:
        table = shapes.table(shape)
        slope = np.hypot(*np.gradient(table.astype(float), step))
        assert np.median(slope) == pytest.approx(1, abs=0.02)
        area = (table < 0).sum() * step**2
        assert 0.9 < area < 3.2


def test_unknown_names_are_errors():
    with pytest.raises(UnknownName, match="hexagon"):
        shapes.table("hexagon")
    with pytest.raises(UnknownName, match="lava"):
        materials.ground("lava", "day", 0)
