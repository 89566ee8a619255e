"""The exemplar store holds what brute force finds, belongs to its model and dataset, and outlives damage to files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from lab_standins import ColourNet, Squares
from torch import Tensor

from maia_kernel.errors import MaiaError, UnknownName, UsageError
from maia_kernel.lab import exemplars
from maia_kernel.lab.datasets import pictures
from maia_kernel.lab.models import Model, batches, load_model
from maia_kernel.lab.streaming import lattice
from maia_kernel.lab.tracing import trace


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "exemplars"


@pytest.fixture
def model() -> Model:
    return load_model("lab_standins:build")


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def test_the_search_equals_brute_force(model: Model) -> None:
    everything = torch.cat(list(batches(model, pictures(Squares()))))
    outputs = trace(model.module, ["maps", "logits"], everything)
    store = exemplars.open_store(model, Squares())
    assert list(store.layers) == ["maps", "logits"]
    for layer, output in outputs.items():
        values = output.reshape(len(output), 3, -1)
        tops = values.amax(2).numpy()
        for unit in range(3):
            order = np.lexsort((np.arange(len(tops)), -tops[:, unit]))[: exemplars.KEPT]
            assert store.layers[layer].images[unit].tolist() == order.tolist()
            np.testing.assert_array_equal(store.layers[layer].activations[unit].numpy(), tops[order, unit])
            positions = (
                values[:, unit, lattice(*output.shape[2:], len(output)) if output.ndim == 4 else slice(None)]
                .numpy()
                .ravel()
            )
            true = np.quantile(positions, 0.99, method="inverted_cdf")
            assert abs(float(store.layers[layer].quantiles[unit]) - true) <= np.ptp(values[:, unit].numpy()) / 255
    assert store.best("maps", 0, 15) == store.best("maps", 0, 64)[:15]


def test_an_unlucky_order_costs_a_second_pass_and_gives_the_same(model: Model) -> None:
    cells = torch.rand(400, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    cells *= torch.exp(-torch.arange(400) / 20)[:, None, None, None]
    passes: list[int] = []

    def inputs() -> Iterator[Tensor]:
        passes.append(1)
        return (batch.repeat_interleave(8, 2).repeat_interleave(8, 3) for batch in cells.split(8))

    def backwards() -> Iterator[Tensor]:
        return (batch.repeat_interleave(8, 2).repeat_interleave(8, 3) for batch in cells.flip(0).split(8))

    found = exemplars.scan(model.module, ["maps"], inputs, 400)
    usual = exemplars.scan(model.module, ["maps"], backwards, 400)
    assert len(passes) == 2
    torch.testing.assert_close(found["maps"].quantiles, usual["maps"].quantiles, atol=1 / 255, rtol=0)
    assert torch.equal(found["maps"].activations, usual["maps"].activations)


def test_a_store_is_built_once_and_read_afterwards(model: Model, cache: Path) -> None:
    steps: list[tuple[int, int]] = []
    built = exemplars.open_store(model, Squares(), "maps", lambda done, total: steps.append((done, total)))
    assert steps[-1] == (120, 120)
    read = exemplars.open_store(model, Squares(), "logits", lambda *_: pytest.fail("it is built already"))
    assert torch.equal(built.layers["maps"].images, read.layers["maps"].images)
    assert len(files(cache)) == 1
    assert not list(cache.glob(".*"))
    assert files(cache)[0].stat().st_size < 10_000


def test_a_layer_that_is_not_searched_by_default_gets_a_store_of_its_own(model: Model, cache: Path) -> None:
    assert list(exemplars.open_store(model, Squares(), "after.0").layers) == ["after.0"]
    exemplars.open_store(model, Squares())
    assert len(files(cache)) == 2
    with pytest.raises(UnknownName, match="after"):
        exemplars.open_store(model, Squares(), "aftr")


def test_a_store_of_other_weights_another_dataset_or_preprocessing_is_not_used(model: Model) -> None:
    class Others(Squares):
        revision = "2"

    def built(model: Model, dataset: Squares) -> bool:
        steps: list[int] = []
        exemplars.open_store(model, dataset, progress=lambda done, _: steps.append(done))
        return bool(steps)

    assert built(model, Squares())
    assert not built(model, Squares())
    assert built(model, Others())
    assert built(Model(model.name, model.module, lambda image: model.preprocess(image) * 0.9), Squares())
    other = ColourNet()
    with torch.no_grad():
        other.maps.weight *= 2
    assert built(Model(model.name, other, model.preprocess), Squares())


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_a_damaged_or_foreign_file_is_built_again(model: Model, cache: Path, damage: str) -> None:
    good = exemplars.open_store(model, Squares())
    (path,) = files(cache)
    data = path.read_bytes()
    replaced = {"cut": data[:-100], "empty": b"", "other": data.replace(b"squares", b"circles")}[damage]
    path.write_bytes(replaced)
    steps: list[int] = []
    again = exemplars.open_store(model, Squares(), progress=lambda done, _: steps.append(done))
    assert steps
    assert torch.equal(again.layers["maps"].images, good.layers["maps"].images)
    assert path.read_bytes() == data


def test_without_a_writable_cache_the_store_is_made_in_memory(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where the cache's folder should be")
    monkeypatch.setenv("MAIA_CACHE", str(blocked))
    assert exemplars.open_store(model, Squares()).best("maps", 0, 1)


def test_thresholds_of_silent_units_are_a_share_of_their_largest_activation() -> None:
    found = exemplars.Found(torch.tensor([[8.0], [5.0]]), torch.tensor([[3], [4]]), torch.tensor([0.0, 2.5]))
    store = exemplars.Exemplars({}, {"maps": found})
    assert store.threshold("maps", 0) == (2.0, "0.25 of the largest activation; the 0.99 quantile is 0")
    assert store.threshold("maps", 1) == (2.5, "0.99 quantile over positions of the dataset")


def test_activations_that_are_not_finite_and_empty_datasets_are_errors(model: Model) -> None:
    bad = torch.full((2, 3, 64, 64), float("nan"))
    with pytest.raises(MaiaError, match=r"maps gives infinite or NaN .* pictures 0 to 1"):
        exemplars.scan(model.module, ["maps"], lambda: iter([bad]), 2)
    with pytest.raises(UsageError, match="no pictures"):
        exemplars.scan(model.module, ["maps"], lambda: iter([]), 0)


def command(*arguments: str) -> subprocess.Popen[str]:
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    line = [sys.executable, "-m", "maia_kernel.lab.exemplars", *arguments]
    return subprocess.Popen(line, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_several_processes_prepare_one_store_in_silence(model: Model, cache: Path) -> None:
    names = ("--model", "lab_standins:build", "--dataset", "lab_standins:Squares")
    running = [command(*names) for _ in range(2)]
    for process in running:
        out, _ = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, "")
    assert len(files(cache)) == 1
    assert exemplars.open_store(model, Squares(), progress=lambda *_: pytest.fail("not used")).layers


def test_the_command_says_what_is_wrong_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert exemplars.main(["--model", "scense"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "unknown model 'scense'; did you mean scenes or scenes-random or scenes-neurons?\n"
