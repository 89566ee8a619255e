"""Backends behind the store: asked once, compared when asked again, stood in for where they are not at hand."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lab_standins
import numpy as np
import pytest
from lab_standins import square
from PIL import Image

from maia_kernel.artifacts import Store, address_of, copy
from maia_kernel.errors import MissingArtifact, NotAtHand, UnknownName, UsageError
from maia_kernel.lab import images
from maia_kernel.lab.images import dim, recall, remember
from maia_kernel.lab.stored import StoredDescriber, StoredEditor, StoredGenerator
from maia_kernel.scenes.world import scene_of

MASK = np.zeros((64, 64), bool)
MASK[:32] = True


@pytest.fixture
def account(tmp_path: Path) -> Path:
    return tmp_path / "account.jsonl"


@pytest.fixture
def store(tmp_path: Path, account: Path) -> Store:
    return Store([tmp_path / "store"], account)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Installs the module ``own_world`` on this machine, or takes it away."""
    folder = tmp_path / "site"
    folder.mkdir()
    shutil.copy(lab_standins.__file__, folder / "own_world.py")

    def at_hand(here: bool) -> None:
        monkeypatch.setattr(sys, "path", [*([str(folder)] if here else []), *filter(str(folder).__ne__, sys.path)])
        monkeypatch.delitem(sys.modules, "own_world", raising=False)
        importlib.invalidate_caches()

    at_hand(True)
    return at_hand


def told(account: Path) -> list[tuple[str, str, bool | None]]:
    """What the account says since the last time, kinds that only speak of backends left out."""
    lines = [json.loads(line) for line in account.read_text().splitlines()] if account.exists() else []
    account.write_text("")
    return [(line["kind"], line["how"], line["same"]) for line in lines if "_" in line["kind"] or "2" in line["kind"]]


def again(store: Store, *, recompute: bool = False, folder: Path | None = None) -> Store:
    """The store of another process."""
    return Store([folder, *store.folders] if folder else store.folders, store.account, recompute)


def equal(one: Image.Image, other: Image.Image) -> bool:
    return one.mode == other.mode and one.size == other.size and one.tobytes() == other.tobytes()


class Counting(lab_standins.Painter):
    """Counts what it draws; as an object it is asked every time."""

    drawn = 0

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[tuple[Image.Image, tuple[str, ...]]]:
        Counting.drawn += len(prompts)
        return super().generate(prompts, seeds)


def test_a_generator_is_asked_once_for_a_picture_and_its_notes_come_back(store: Store, account: Path) -> None:
    Counting.drawn = 0
    prompts = ["a red square", "a blue dragon", "a red square"]
    first = StoredGenerator(f"{__name__}:Counting", store).generate(prompts, [1, 2, 3])
    second = StoredGenerator(f"{__name__}:Counting", again(store)).generate([*prompts, "a green square"], [1, 2, 3, 4])
    assert Counting.drawn == 4
    assert all(equal(one, other) for (one, _), (other, _) in zip(first, second, strict=False))
    assert [notes for _, notes in second] == [(), ("does not know the word 'dragon'",), (), ()]
    assert [how for _, how, _ in told(account)] == ["made"] * 3 + ["store"] * 3 + ["made"]
    assert images.origin_of(second[0][0]) == images.origin_of(first[0][0]) == "generated"


def test_an_object_is_asked_every_time_and_nothing_of_it_is_kept(store: Store, account: Path, tmp_path: Path) -> None:
    Counting.drawn = 0
    for _ in range(2):
        ((picture, _),) = StoredGenerator(Counting(), store).generate(["a red square"], [1])
    assert Counting.drawn == 2
    assert images.origin_of(picture) == "generated"
    assert told(account) == []
    assert not (tmp_path / "store").exists()


EDITS = ["replace the circle with a star", "make it night", "make the circle blue", "remove the heart"]


@pytest.mark.parametrize("name", ["scenes", "scenes-faulty"])
def test_editing_a_picture_from_the_store_gives_what_editing_the_fresh_one_gives(store: Store, name: str) -> None:
    prompts = ["a large red striped circle on sand by day", "a small circle and a star", "a circle at dusk"] * 4
    seeds = range(len(prompts))

    def drawn_and_edited(store: Store) -> list[tuple[Image.Image, tuple[str, ...]]]:
        generator, editor = StoredGenerator(name, store), StoredEditor(name, store)
        pictures = generator.generate(prompts, seeds)
        found = list(pictures)
        for instruction in EDITS:  # an edit of an edit of …
            found += editor.edit([one for one, _ in found[-len(prompts) :]], [instruction] * len(prompts), seeds)
        return found

    fresh = drawn_and_edited(store)
    kept = drawn_and_edited(again(store))
    # Only the drawn pictures come from the store: the edits are made anew, from what those remember.
    only_drawn = Store([store.folders[0].with_name("drawn")])
    shutil.copytree(store.folders[0] / "text2image", only_drawn.folders[0] / "text2image")
    shutil.copytree(store.folders[0] / "files", only_drawn.folders[0] / "files")
    edited_anew = drawn_and_edited(only_drawn)
    for one, *others in zip(fresh, kept, edited_anew, strict=True):
        for other in others:
            assert equal(one[0], other[0])
            assert one[1] == other[1]
            assert scene_of(one[0]) == scene_of(other[0]) is not None
            assert recall(one[0], "faults") == recall(other[0], "faults")
    assert any("nothing matches" in " ".join(notes) for _, notes in kept)


def test_an_edit_that_changes_nothing_hands_back_the_very_picture(store: Store, account: Path) -> None:
    picture = remember(square("red", 1), origin="generated", prompt="a red square", note={1, 2})
    for held in (store, again(store)):
        ((edited, notes),) = StoredEditor("scenes", held).edit([picture], ["sing"], [0])
        assert edited is picture
        assert notes
    assert [how for _, how, _ in told(account)] == ["made", "store"]
    assert images.origin_of(edited) == "generated"


def test_what_is_edited_from_a_picture_of_a_dataset_is_one(store: Store) -> None:
    base = remember(square("red", 1), origin="dataset")
    cropped = base.crop((0, 0, 40, 40))
    unknown = square("red", 2)
    for held in (store, again(store)):
        editor = StoredEditor("lab_standins:Retoucher", held)
        edited = editor.edit([base, cropped, unknown], ["make it blue"] * 3, [0, 1, 2])
        assert [images.origin_of(picture) for picture, _ in edited] == ["dataset", "dataset", None]
    record = json.loads(next(store.folders[0].glob("edit_images/*/*/*.json")).read_text())
    assert record["files"][0].get("dataset", False) is (record["facts"]["origin"] == "dataset")


def test_a_description_belongs_to_what_the_describer_sees(store: Store) -> None:
    red, wide = square("red", 1), ~MASK
    masked = [dim(red, MASK), dim(red, wide), dim(remember(red.copy(), origin="dataset"), MASK)]
    black = dim(Image.new("RGB", (64, 64)), MASK)  # equal to its dimmed self: only the mask tells them apart
    pictures = [red, *masked, black, dim(Image.new("RGB", (64, 64)), wide)]
    addresses = set()
    for picture in pictures:
        addresses.add(address_of({"kind": "describe", "backend": "b", "revision": "1", **images.identity(picture)}))
    assert len(addresses) == 5
    describer = StoredDescriber("scenes", store)
    assert describer.describe(pictures) == StoredDescriber("scenes", again(store)).describe(pictures)
    assert describer.summarize(pictures) == StoredDescriber("scenes", again(store)).summarize(pictures)


# -- recomputing ----------------------------------------------------------------------------------------------------


def test_what_is_at_hand_is_recomputed_and_compared(store: Store, account: Path, tmp_path: Path) -> None:
    def drawn(store: Store) -> Image.Image:
        return StoredGenerator("lab_standins:Painter", store).generate(["a red square"], [1])[0][0]

    picture = drawn(store)
    scratch = tmp_path / "scratch"
    told(account)
    assert equal(drawn(again(store, recompute=True, folder=scratch)), picture)
    assert told(account) == [("text2image", "recomputed", True)]
    assert not (scratch / "text2image").exists()

    request = json.loads(next(store.folders[0].glob("text2image/*/*/*.json")).read_text())["request"]
    held = store.get(request)
    assert held is not None
    other = np.array(picture)
    other[0, :5] += 1  # a difference that a float in another order makes
    store.put(request, {**held.facts}, [images.png_bytes(Image.fromarray(other))])
    assert equal(drawn(again(store, recompute=True)), picture)
    assert told(account) == [("text2image", "recomputed", True)]
    other[1, :5] += 2
    store.put(request, {**held.facts}, [images.png_bytes(Image.fromarray(other))])
    assert equal(drawn(again(store, recompute=True, folder=scratch)), picture)
    assert "5 pixels differ" in account.read_text()
    assert told(account) == [("text2image", "recomputed", False)]
    assert equal(drawn(Store([scratch])), picture)


def test_a_text_is_compared_exactly(store: Store, account: Path) -> None:
    picture = square("red", 1)
    StoredDescriber("lab_standins:Captioner", store).describe([picture])
    request = json.loads(next(store.folders[0].glob("describe/*/*/*.json")).read_text())["request"]
    store.put(request, {}, [b"red."])
    assert StoredDescriber("lab_standins:Captioner", again(store)).describe([picture]) == ["red."]
    again_ = StoredDescriber("lab_standins:Captioner", again(store, recompute=True))
    assert again_.describe([picture]) == ["red"]
    assert "the text differs" in account.read_text()


def test_a_record_that_something_else_wrote_counts_as_missing(store: Store) -> None:
    StoredGenerator("lab_standins:Painter", store).generate(["a red square"], [1])
    request = json.loads(next(store.folders[0].glob("text2image/*/*/*.json")).read_text())["request"]
    for facts, files in (
        ({}, [b"PNG"]),
        ({"notes": 3}, []),
        ({"notes": [], "remembered": {}, "origin": None}, [b"no"]),
    ):
        store.put(request, facts, files)
        ((picture, _),) = StoredGenerator("lab_standins:Painter", again(store)).generate(["a red square"], [1])
        assert equal(picture, square("red", 1))


def test_a_store_that_cannot_be_written_is_said_once_and_breaks_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    generator = StoredGenerator("lab_standins:Painter", Store([tmp_path / "file"]))
    for _ in range(2):
        assert generator.generate(["a red square"], [1])
    assert capsys.readouterr().out == (
        "note: what is drawn and described here is not kept for the next time (Not a directory)\n"
    )


# -- on another machine ---------------------------------------------------------------------------------------------


def test_a_backend_that_is_not_at_hand_is_stood_in_for(store: Store, world: Callable[[bool], None]) -> None:
    def all_of_it(store: Store) -> list[Any]:
        generator = StoredGenerator("own_world:Painter", store)
        editor, describer = StoredEditor("own_world:Retoucher", store), StoredDescriber("own_world:Captioner", store)
        pictures = generator.generate(["a red square", "a dragon"], [1, 2])
        edited = editor.edit([one for one, _ in pictures], ["make it blue", "make it sing"], [0, 1])
        found = [(one.tobytes(), notes) for one, notes in (*pictures, *edited)]
        said = [generator.name, generator.revision, generator.vocabulary, generator.grammar, editor.grammar]
        looked = [one for one, _ in edited]
        return [*found, *said, describer.name, *describer.describe(looked), describer.summarize(looked)]

    here = all_of_it(store)
    world(False)
    assert all_of_it(again(store)) == here
    assert all_of_it(again(store, recompute=True)) == here
    generator = StoredGenerator("own_world:Painter", again(store))
    with pytest.raises(
        MissingArtifact, match=r"^no store holds the picture of 'a star', and the generator 'own_world:"
    ):
        generator.generate(["a red square", "a star"], [1, 1])
    with pytest.raises(MissingArtifact, match="the edit 'turn it'"):
        StoredEditor("own_world:Retoucher", again(store)).edit([square("red", 1)], ["turn it"], [0])
    with pytest.raises(MissingArtifact, match="the description of picture"):
        StoredDescriber("own_world:Captioner", again(store)).describe([square("red", 99)])


def test_without_anything_in_the_store_the_name_is_unknown(store: Store, world: Callable[[bool], None]) -> None:
    world(False)
    with pytest.raises(UnknownName, match="unknown generator 'own_world:Painter'"):
        StoredGenerator("own_world:Painter", store)
    with pytest.raises(UnknownName, match="did you mean scenes"):
        StoredEditor("scense", store)


@pytest.mark.parametrize("failure", ["ImportError('no CUDA here')", "OSError('weights are missing')"])
def test_a_backend_that_cannot_be_made_is_not_at_hand(
    store: Store, tmp_path: Path, world: Callable[[bool], None], failure: str
) -> None:
    before = StoredGenerator("own_world:Painter", store).generate(["a red square"], [1])
    path = tmp_path / "site" / "own_world.py"
    path.write_text(
        path.read_text() + f"\ndef fail(self): raise {failure}\nPainter.__init__ = Retoucher.__init__ = fail\n"
    )
    world(True)
    after = StoredGenerator("own_world:Painter", again(store)).generate(["a red square"], [1])
    assert equal(before[0][0], after[0][0])
    with pytest.raises((ImportError, OSError), match=r"here|missing"):
        StoredEditor("own_world:Retoucher", again(store))


def test_a_revision_is_pinned_by_name(store: Store, tmp_path: Path, world: Callable[[bool], None]) -> None:
    def drawn(name: str) -> bytes:
        return StoredGenerator(name, again(store)).generate(["a red square"], [1])[0][0].tobytes()

    old = drawn("own_world:Painter")
    path = tmp_path / "site" / "own_world.py"
    path.write_text(path.read_text().replace('revision = "1"', 'revision = "2"').replace("(255, 0, 0)", "(250, 0, 0)"))
    world(True)
    new = drawn("own_world:Painter")
    assert new != old
    assert drawn("own_world:Painter@1") == old
    assert drawn("own_world:Painter@2") == new
    with pytest.raises(UnknownName, match=r"unknown revision of the generator 'own_world:Painter' '3'; choose from 2"):
        drawn("own_world:Painter@3")
    world(False)
    with pytest.raises(UsageError, match="name one: own_world:Painter@1 or own_world:Painter@2"):
        drawn("own_world:Painter")
    assert drawn("own_world:Painter@1") == old


# -- pictures that were left out ------------------------------------------------------------------------------------


def test_descriptions_and_edits_of_pictures_that_were_left_out_are_found(store: Store, tmp_path: Path) -> None:
    base = remember(square("red", 1), origin="dataset")
    ((edited, _),) = StoredEditor("scenes", store).edit([base], ["make it night"], [0])
    texts = StoredDescriber("scenes", store).describe([base, edited])
    for record in store.folders[0].glob("*/*/??/*.json"):
        copy(record.relative_to(store.folders[0]).as_posix(), store.folders, tmp_path / "part", dataset_images=False)
    assert not list((tmp_path / "part").rglob("*.png"))
    elsewhere = Store([tmp_path / "part"])
    left_out = images.placeholder(base.size, images.identity(base))
    for held in (elsewhere, again(elsewhere, recompute=True)):
        ((grey, _),) = StoredEditor("scenes", held).edit([left_out], ["make it night"], [0])
        assert (grey.getpixel((5, 5)), grey.size) == ((128, 128, 128), (64, 64))
        assert images.origin_of(grey) == images.origin_of(left_out) == "withheld"
        assert StoredDescriber("scenes", held).describe([left_out, grey]) == texts
        with pytest.raises(NotAtHand, match="was left out"):
            StoredEditor("scenes", held).edit([left_out], ["make it day"], [0])
    # Where the picture is at hand after all, it is edited.
    ((whole, _),) = StoredEditor("scenes", elsewhere).edit([base], ["make it night"], [0])
    assert equal(whole, edited)
