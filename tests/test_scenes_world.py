"""The four parts of the embedded world, as the lab uses them."""

import inspect

import numpy as np
import pytest

from maia_kernel.lab.images import remember
from maia_kernel.scenes.language import text_of
from maia_kernel.scenes.scene import VOCABULARY, Scene
from maia_kernel.scenes.world import Captioner, Gallery, Painter, Retoucher, scene_of


@pytest.fixture(scope="module")
def retoucher():
    return Retoucher()


def paint(prompt, seed=0):
    return Painter().generate([prompt], [seed])[0][0]


def test_a_prompt_and_a_seed_give_one_picture():
    first, second = (Painter().generate(["a red circle", "a red circle"], [1, 2]) for _ in range(2))
    assert [image.tobytes() for image, _ in first] == [image.tobytes() for image, _ in second]
    assert first[0][0].tobytes() != first[1][0].tobytes()
    assert (first[0][0].size, first[0][1]) == ((64, 64), ())


def test_notes_belong_to_their_prompt():
    notes = [notes for _, notes in Painter().generate(["a star", "a dragon and a star"], [0, 0])]
    assert notes == [(), ("does not know the word 'dragon'",)]


def test_the_painter_says_what_it_can_draw():
    painter = Painter()
    assert painter.vocabulary == VOCABULARY
    assert "for example" in painter.grammar
    for values in painter.vocabulary.values():
        for value in values:
            assert painter.generate([value], [0])[0][1] in ((), painter.generate(["grass"], [0])[0][1])


def test_the_dataset_is_fixed_and_counts_from_both_ends():
    gallery = Gallery()
    assert len(gallery) == 4096
    assert gallery[5].tobytes() == Gallery()[5].tobytes() == gallery[5 - 4096].tobytes()
    assert gallery[5].tobytes() != gallery[6].tobytes()
    assert isinstance(scene_of(gallery[5]), Scene)
    with pytest.raises(IndexError):
        gallery[4096]


def test_no_network_was_trained_on_the_dataset():
    from maia_kernel.scenes import train, train_detectors, train_subjects, training

    assert 'f"gallery/' in inspect.getsource(Gallery)
    assert 'f"{stream}/' in inspect.getsource(training.batches)
    for module in (train, train_detectors, train_subjects, training):
        assert 'f"gallery/' not in inspect.getsource(module)


def test_an_edited_picture_differs_where_the_edit_is(retoucher):
    image = paint("a large red plain circle on sand by day")
    scene = scene_of(image)
    edited, notes = retoucher.edit([image], ["make the circle blue"], [0])[0]
    rows, columns = np.nonzero(np.any(np.asarray(image) != np.asarray(edited), axis=2))
    assert notes == ()
    assert np.hypot(columns + 0.5 - scene.things[0].x, rows + 0.5 - scene.things[0].y).max() < 18
    assert text_of(scene_of(edited)) == "a large blue plain circle on sand by day"


def test_an_edit_that_matches_nothing_returns_the_picture_itself(retoucher):
    image = paint("a large red plain circle on sand by day")
    edited, notes = retoucher.edit([image], ["remove the star"], [0])[0]
    assert edited is image
    assert "nothing matches 'the star'" in notes[0]


def test_a_masked_picture_is_edited_in_its_original(retoucher):
    image = paint("a large red plain circle on sand by day")
    masked = remember(image.point(lambda value: value // 4), original=image, mask=np.zeros((64, 64), bool))
    direct, through = retoucher.edit([image, masked], ["make it night"] * 2, [0, 0])
    assert direct[0].tobytes() == through[0].tobytes()


def test_a_picture_without_a_scene_is_read_from_its_pixels(retoucher):
    image = paint("a large red plain circle on sand by day")
    image.info.clear()
    edited, notes = retoucher.edit([image], ["replace the circle with a star"], [0])[0]
    assert text_of(scene_of(edited)) == "a large red plain star on sand by day"
    assert notes[0].startswith("this picture was read from its pixels")


def test_the_captioner_sees_what_the_painter_drew_and_the_retoucher_changed(retoucher):
    captioner = Captioner()
    before = paint("a large red striped circle and a small blue plain star on grass at night", seed=3)
    after = retoucher.edit([before], ["replace the circle with a heart"], [0])[0][0]
    assert captioner.describe([before, after]) == [
        "a large red striped circle and a small blue plain star on grass at night",
        "a large red striped heart and a small blue plain star on grass at night",
    ]
    assert captioner.summarize([before, after]).startswith("[COMMON]: ")


def test_revisions_tell_the_parts_apart(retoucher):
    revisions = {Painter().revision, Gallery().revision, retoucher.revision, Captioner().revision}
    assert len(revisions) == 4
    assert Painter().revision == Painter().revision
    assert {Painter.name, Gallery.name, Retoucher.name, Captioner.name} == {"scenes"}
