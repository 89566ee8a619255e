"""``load`` checks first, loads in silence, seeds, and says what it loaded; in a real kernel, too."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lab_standins
import numpy as np
import pytest
import torch
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel
from lab_standins import WORLD

from maia_kernel.errors import UnitOutOfRange, UnknownName
from maia_kernel.lab import load as loading
from maia_kernel.lab import models
from maia_kernel.lab.load import load
from maia_kernel.lab.stored import keep_weights

MODEL = "lab_standins:build"


def test_the_summary_is_one_print_that_says_what_was_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    system, _ = load(MODEL, "maps", "2", **WORLD)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert max(map(len, captured.out.splitlines())) <= 100
    assert captured.out.replace("\n  (", " (") == (
        f"unit 2 of 3 in maps of {MODEL}; activation: max over an 8x8 map; mask threshold {system.threshold:.3g} "
        "(0.99 quantile over positions of the dataset)\n"
        "dataset squares (120 images); generator painter; editor retoucher; describer captioner\n"
        "the generator draws only these words:\n"
        "  colour: red, green, blue, white\n"
        "Write a colour, as in 'a red square'.\n"
        "Name the new colour, as in 'make it blue'.\n"
    )


def test_loading_seeds_every_generator_of_random_numbers() -> None:
    def numbers(seed: int) -> tuple[float, float, float]:
        load(MODEL, "maps", 0, seed=seed, **WORLD)
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    first = numbers(5)
    assert numbers(5) == first
    assert all(a != b for a, b in zip(numbers(6), first, strict=True))


def test_weights_that_lie_beside_the_notebook_are_said_to_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "maia_artifacts").mkdir()
    monkeypatch.chdir(tmp_path)
    keep_weights(load(MODEL, "maps", 0, **WORLD)[0])
    before = capsys.readouterr().out

    def other() -> tuple[torch.nn.Module, Any]:
        module, preprocess = lab_standins.ColourNet(), lab_standins.to_tensor
        with torch.no_grad():
            module.maps.weight *= 2
        return module, preprocess

    monkeypatch.setattr(lab_standins, "build", other)
    system, _ = load(MODEL, "maps", 0, **WORLD)
    line = f"the weights of {MODEL} are those kept beside the notebook; this machine's differ\n"
    assert capsys.readouterr().out.replace(line, "", 1) == before
    assert system.call_neuron([lab_standins.square("red", 1)])[0] == [1.0]


def test_a_cache_that_cannot_be_written_is_said_and_nothing_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "file"))
    _, tools = load(MODEL, "maps", 0, **WORLD)
    tools.text2image(["a red square"])
    out = capsys.readouterr().out
    assert out.count("note: what is drawn and described here is not kept for the next time (Not a directory)") == 1


def test_numbers_do_not_depend_on_tf32() -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    load(MODEL, "maps", 0, **WORLD)
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("kind", ["model", "dataset", "generator", "editor", "describer"])
def test_every_name_is_checked_before_anything_is_loaded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "load_model", lambda name: pytest.fail("loaded before all names were checked"))
    given = {"model": MODEL, **WORLD, kind: "scense"}
    with pytest.raises(UnknownName, match=f"unknown {kind} 'scense'; did you mean scenes"):
        load(given.pop("model"), "maps", 0, **given)


def test_a_wrong_layer_or_unit_is_found_before_exemplars_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maia_kernel.lab.subjects.open_store", lambda *_: pytest.fail("searched too early"))
    with pytest.raises(UnknownName, match="did you mean logits"):
        load(MODEL, "logit", 0, **WORLD)
    with pytest.raises(UnitOutOfRange):
        load(MODEL, "maps", 99, **WORLD)


def test_a_progress_line_disappears_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "write", written.append)
    line = loading._ProgressLine("searching")
    line.clear()
    assert written == []
    line(1, 10)
    line.clear()
    assert written == ["\rsearching: 1 of 10 images", "\r\x1b[K"]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingKernelClient]:
    environ = os.environ | {
        "PYTHONPATH": str(Path(__file__).parent),
        "MAIA_CACHE": str(tmp_path_factory.mktemp("cache")),
    }
    manager, client = start_new_kernel(kernel_name="python3", env=environ)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()


def outputs(client: BlockingKernelClient, code: str) -> list[dict[str, Any]]:
    """What a front end would show after a cell: clear_output honoured, streams joined."""
    found: list[dict[str, Any]] = []

    def hook(message: dict[str, Any]) -> None:
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "clear_output":
            found.clear()
        elif kind in ("stream", "display_data", "execute_result", "error"):
            found.append({"kind": kind, **content})

    client.execute_interactive(code, output_hook=hook, timeout=120)
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_in_a_kernel_a_search_leaves_nothing_behind_and_pictures_are_png(kernel: BlockingKernelClient) -> None:
    code = f"from maia_kernel import load\nsystem, tools = load({MODEL!r}, 'maps', 0, **{WORLD!r})"
    first = outputs(kernel, code)  # builds the store
    second = outputs(kernel, code)  # reads it
    assert [output["kind"] for output in first] == ["stream"], first
    assert first == second
    assert first[0]["text"].startswith("unit 0 of 3 in maps")
    shown = outputs(kernel, "tools.display(*tools.dataset_exemplars(system)[:2])\nprint('end')\nsystem")
    assert [output["kind"] for output in shown] == [
        "display_data",
        "stream",
        "display_data",
        "stream",
        "execute_result",
    ]
    assert shown[1]["text"].startswith("activation")
    assert shown[3]["text"].endswith("end\n")
    assert set(shown[0]["data"]) == {"image/png", "text/plain"}
    (picture,) = outputs(kernel, "tools.text2image(['a red square'])[0]")
    assert set(picture["data"]) == {"image/png", "text/plain"}
    (failed,) = outputs(kernel, "tools.measure('red')")
    assert failed["ename"] == "BadCall"
