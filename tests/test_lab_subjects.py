"""What is known of a unit without its dataset, and without its model, and how it is compared when found again."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lab_standins
import numpy as np
import pytest
from lab_standins import square
from PIL import Image

from maia_kernel.artifacts import Store, copy
from maia_kernel.errors import BadCall, MissingArtifact, NotAtHand, UnknownName, UsageError
from maia_kernel.lab import images, subjects
from maia_kernel.lab.images import original_of, recall
from maia_kernel.lab.stored import keep_weights
from maia_kernel.lab.system import System, cut_exemplars
from maia_kernel.lab.tools import Tools

MODEL, DATASET = "own_model:build", "own_dataset:Squares"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store([tmp_path / "store"], tmp_path / "account.jsonl")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs the modules ``own_model`` and ``own_dataset`` on this machine, or takes them away, and its cache too."""
    source = Path(lab_standins.__file__).read_text()
    folders = {name: tmp_path / "site" / name for name in ("own_model", "own_dataset")}

    def has(model: bool = True, dataset: bool = True, change: Callable[[str], str] = str) -> None:
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        paths = [path for path in sys.path if not path.startswith(str(tmp_path))]
        for (name, folder), here in zip(folders.items(), (model, dataset), strict=True):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.py").write_text(change(source))
            monkeypatch.delitem(sys.modules, name, raising=False)
            paths += [str(folder)] * here
        monkeypatch.setattr(sys, "path", paths)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two versions of a file may be of one second
        importlib.invalidate_caches()

    has()
    return has


def studied(store: Store, unit: int | str = 0, layer: str = "maps", dataset: str = DATASET, **how: Any) -> System:
    """A system in another process."""
    return System(MODEL, layer, unit, dataset=dataset, store=Store(store.folders, store.account, **how))


def told(store: Store, kind: str) -> list[tuple[str, bool | None]]:
    """What the account says of one kind since the last time."""
    assert store.account is not None
    lines = [json.loads(line) for line in store.account.read_text().splitlines()]
    store.account.write_text("")
    return [(line["how"], line["same"]) for line in lines if line.get("kind") == kind]


def pixels(rows: list[tuple[float, Image.Image]]) -> list[Any]:
    """All there is to exemplars: activations, pictures, originals and masks."""
    return [
        (value, image.tobytes(), original_of(image).tobytes(), recall(image, "mask").tobytes()) for value, image in rows
    ]


def test_a_hit_spares_the_search(store: Store, machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    first = studied(store)
    rows = cut_exemplars(first, 15)
    machine()
    monkeypatch.setattr(subjects, "open_store", lambda *_: pytest.fail("searched again"))
    monkeypatch.setattr(subjects, "pictures", lambda *_: pytest.fail("looked into the dataset"))
    second = studied(store)
    assert (str(second), second.threshold) == (str(first), first.threshold)
    assert pixels(cut_exemplars(second, 15)) == pixels(rows)
    assert all(images.origin_of(one) == images.origin_of(original_of(one)) == "dataset" for _, one in rows)
    assert told(store, "exemplars") == [("made", None), ("store", None)]


def test_with_a_pinned_revision_the_dataset_is_not_even_opened(
    store: Store, machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = cut_exemplars(studied(store, dataset=f"{DATASET}@1"), 3)
    monkeypatch.setattr(subjects, "find_dataset", lambda *_: pytest.fail("opened"))
    assert pixels(cut_exemplars(studied(store, dataset=f"{DATASET}@1"), 3)) == pixels(rows)


def test_without_the_dataset_exemplars_are_there_and_the_model_answers(
    store: Store, machine: Callable[..., None]
) -> None:
    first = studied(store)
    rows = cut_exemplars(first, 15)
    expected = first.call_neuron([square("red", 1), rows[0][1]])[0]
    machine(dataset=False)
    for recompute in (False, True):
        second = studied(store, recompute=recompute)
        assert str(second) == str(first)
        assert pixels(cut_exemplars(second, 15)) == pixels(rows)
        assert pixels(cut_exemplars(second, 7)) == pixels(rows[:7])
        assert second.call_neuron([square("red", 1), cut_exemplars(second, 1)[0][1]])[0] == expected
        with pytest.raises(
            MissingArtifact, match=r"^no store holds the 16 exemplars of .*, and the dataset own_dataset:"
        ):
            cut_exemplars(second, 16)
    with pytest.raises(UnknownName, match="unknown dataset"):
        studied(store, 1)


@pytest.mark.parametrize(("layer", "unit"), [("maps", 0), ("logits", "green"), ("maps", "2")])
def test_without_the_model_exemplars_and_all_it_says_of_itself_are_there(
    store: Store, machine: Callable[..., None], layer: str, unit: int | str
) -> None:
    first = studied(store, unit, layer)
    rows = cut_exemplars(first, 15)
    for dataset in (True, False):
        machine(model=False, dataset=dataset)
        for recompute in (False, True):
            second = studied(store, unit, layer, recompute=recompute)
            for name in ("model_name", "layer", "unit", "neuron_num", "unit_name", "threshold", "dataset_size"):
                assert getattr(second, name) == getattr(first, name)
            assert (str(second), repr(second)) == (str(first), repr(first))
            assert pixels(cut_exemplars(second, 15)) == pixels(rows)
            with pytest.raises(NotAtHand, match=r"^the subject model own_model:build is not on this machine"):
                second.call_neuron([square("red", 1)])
            with pytest.raises(NotAtHand, match="not on this machine"):
                second.model  # noqa: B018
            with pytest.raises(NotAtHand):
                Tools(second, **{k: v for k, v in lab_standins.WORLD.items() if k != "dataset"}).measure({"a": "a red"})
    with pytest.raises(UnknownName, match="unknown model 'own_model:build'"):
        studied(store, 1, layer)


def test_a_wrong_unit_is_an_error_as_ever(store: Store, machine: Callable[..., None]) -> None:
    studied(store)
    for unit, error in (
        (3, UsageError),
        ("-1", UsageError),
        ("red", UsageError),
        (1.5, UsageError),
        (True, UsageError),
    ):
        with pytest.raises((error, BadCall)):
            studied(store, unit)


def test_exemplars_are_found_again_and_compared(store: Store, machine: Callable[..., None]) -> None:
    cut_exemplars(studied(store), 5)
    machine()
    told(store, "exemplars")
    system = studied(store, recompute=True)
    cut_exemplars(system, 5)
    text = store.account.read_text() if store.account else ""
    assert '"device": "cpu"' in text
    assert told(store, "exemplars") == [("recomputed", True)]
    (record,) = store.folders[0].glob("exemplars/*/*/*.json")
    original = record.read_text()
    facts = json.loads(original)["facts"]["exemplars"]
    for change, same in ((1 + 5e-5, True), (1 + 2e-4, False)):
        facts[2]["activation"] *= change
        record.write_text(json.dumps({**json.loads(original), "facts": {"exemplars": facts}}))
        cut_exemplars(system, 5)
        assert ("number 3 has activation" in store.account.read_text()) is not same  # type: ignore[union-attr]
        assert told(store, "exemplars") == [("recomputed", same)]
        record.write_text(original)


def test_another_dataset_under_the_same_name_is_searched_anew(store: Store, machine: Callable[..., None]) -> None:
    old = studied(store)
    machine(change=lambda text: text.replace("return 120", "return 60").replace('revision = "1"', 'revision = "2"'))
    new = studied(store)
    assert (old.dataset_size, new.dataset_size) == (120, 60)
    assert studied(store, dataset=f"{DATASET}@1").dataset_size == 120
    with pytest.raises(UnknownName, match="unknown revision of the dataset"):
        studied(store, dataset=f"{DATASET}@3")
    machine(dataset=False)
    with pytest.raises(UsageError, match="name one \\(own_dataset:Squares@1 or own_dataset:Squares@2\\)"):
        studied(store)
    assert studied(store, dataset=f"{DATASET}@2").dataset_size == 60


def test_exemplars_whose_pictures_were_left_out(store: Store, machine: Callable[..., None], tmp_path: Path) -> None:
    rest = {key: value for key, value in lab_standins.WORLD.items() if key != "dataset"}
    first = studied(store)
    tools = Tools(first, **rest)
    rows = tools.dataset_exemplars(first, 4)
    texts = tools.describe_images([image for _, image in rows]), tools.summarize_images([image for _, image in rows])
    part = Store([tmp_path / "part"], store.account)
    for record in store.folders[0].glob("*/*/??/*.json"):
        copy(record.relative_to(store.folders[0]).as_posix(), store.folders, part.folders[0], dataset_images=False)
    for model, dataset in ((True, False), (False, False)):
        machine(model=model, dataset=dataset)
        second = studied(part)
        tools = Tools(second, **rest)
        grey = tools.dataset_exemplars(second, 4)
        assert [value for value, _ in grey] == [value for value, _ in rows]
        assert all(image.size == (64, 64) and len(image.getcolors()) == 1 for _, image in grey)
        assert {images.origin_of(image) for _, image in grey} == {"withheld"}
        left_out = [image for _, image in grey]
        assert (tools.describe_images(left_out), tools.summarize_images(left_out)) == texts
        with pytest.raises(NotAtHand, match="placeholder" if model else "subject model"):
            second.call_neuron(left_out)
    machine()
    again = studied(part)
    assert pixels(cut_exemplars(again, 4)) == pixels(rows)
    assert told(part, "exemplars")[-1] == ("recomputed", True)


def test_weights_kept_beside_a_notebook_are_loaded_where_this_machines_differ(
    store: Store, machine: Callable[..., None], cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = studied(store)
    expected = first.call_neuron([square("red", 1), square("white", 2)])[0]
    rows = cut_exemplars(first, 3)
    keep_weights(first)
    assert told(store, "weights") == [("made", None)]
    machine()
    assert studied(store)._subject.model.stored is False  # type: ignore[union-attr]
    machine(change=lambda text: text.replace("/ 64)", "/ 32)"))
    second = studied(store)
    assert second.call_neuron([square("red", 1), square("white", 2)])[0] == expected
    assert pixels(cut_exemplars(second, 3)) == pixels(rows)
    assert ("store", None) in told(store, "weights")
    own = System(MODEL, "maps", 0, dataset=DATASET, store=Store([tmp_path / "other"]))
    assert own.call_neuron([square("red", 1)])[0] == pytest.approx([2 * expected[0]])
    # What lies in the user's cache changes no model.
    shutil.copytree(store.folders[0] / "weights", cache / "artifacts" / "weights")
    shutil.copytree(store.folders[0] / "files", cache / "artifacts" / "files")
    own = System(MODEL, "maps", 0, dataset=DATASET, store=Store([tmp_path / "other", cache / "artifacts"]))
    assert own.call_neuron([square("red", 1)])[0] == pytest.approx([2 * expected[0]])
    machine(
        change=lambda text: text.replace("nn.Linear(3, 3,", "nn.Linear(3, 4,").replace("self.logits.weight.copy_", "id")
    )
    with pytest.raises(UsageError, match="do not fit"):
        studied(store)


ELSEWHERE = """
import hashlib, sys
from maia_kernel import load
system, tools = load("own_model:build", "maps", 0, dataset="own_dataset:Squares", generator="own_model:Painter",
                     editor="own_model:Retoucher", describer="own_model:Captioner")
rows = tools.dataset_exemplars(system)
drawn = tools.text2image(["a red square", "a blue dragon"])
pictures, prompts = tools.edit_images(drawn + [rows[0][1]], ["make it blue"])
print(tools.describe_images(pictures, prompts))
print([activation for activation, _ in rows], tools.summarize_images([image for _, image in rows]))
print(hashlib.sha256(b"".join(one.tobytes() for one in [*pictures, *[image for _, image in rows]])).hexdigest())
"""


@pytest.mark.slow
def test_a_script_gives_the_same_where_nothing_of_it_is_at_hand(machine: Callable[..., None], tmp_path: Path) -> None:
    def output(folder: str, seed: str, *sites: str) -> str:
        (tmp_path / folder).mkdir()
        if folder == "there":
            shutil.copytree(tmp_path / "here" / "cache" / "artifacts", tmp_path / folder / "maia_artifacts")
        environ = os.environ | {
            "PYTHONHASHSEED": seed,
            "MAIA_CACHE": str(tmp_path / folder / "cache"),
            "PYTHONPATH": os.pathsep.join(str(tmp_path / "site" / site) for site in sites),
        }
        command = [sys.executable, "-c", ELSEWHERE]
        done = subprocess.run(command, cwd=tmp_path / folder, env=environ, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    here = output("here", "1", "own_model", "own_dataset")
    assert output("there", "2") == here
    assert "note on 'a blue dragon': does not know the word 'dragon'" in here
    assert np.mean([len(line) for line in here.splitlines()]) > 10
