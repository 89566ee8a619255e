"""The walls of the house: who may import whom. The linter keeps a part of them; this test keeps them all."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "maia_kernel"
GROUND_FLOOR = ("errors.py", "records.py", "artifacts.py", "locations.py")


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def crossings(folder: str, *forbidden: str) -> list[str]:
    found = []
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        for name in imported(path):
            if any(name == one or name.startswith(one + ".") for one in forbidden):
                found.append(f"{path.relative_to(PACKAGE)}: {name}")
    return found


def test_the_driver_knows_neither_torch_nor_the_lab():
    forbidden = ("torch", "transformers", "diffusers", "maia_kernel.lab", "maia_kernel.scenes")
    assert crossings("driver", *forbidden) == []


@pytest.mark.parametrize("folder", ["lab", "scenes"])
def test_the_kernel_side_does_not_know_the_driver(folder):
    assert crossings(folder, "maia_kernel.driver", "maia_kernel.cli", "openai", "jupyter_client") == []


def test_the_lab_does_not_import_the_embedded_world():
    assert crossings("lab", "maia_kernel.scenes") == []


def test_the_bench_knows_the_driver_and_what_needs_no_torch():
    within = ("scene", "lexicon", "neurons")
    world = {name.stem for name in (PACKAGE / "scenes").glob("*.py")} - {*within, "__init__"}
    forbidden = ("torch", "openai", "maia_kernel.lab", *(f"maia_kernel.scenes.{name}" for name in sorted(world)))
    crossed = crossings("bench", *forbidden)
    assert {line.split(":")[0] for line in crossed} == {"bench/warm.py"}  # runs inside of a kernel's process
    assert not any(crossings("bench", "maia_kernel.bench.warm"))
    for name in within:
        assert not any(line.startswith(f"scenes/{name}.py") for line in crossings("scenes", "torch", "maia_kernel.lab"))


def test_only_one_module_speaks_to_kernels_and_one_to_models():
    everywhere = {line for folder in ("driver",) for line in crossings(folder, "jupyter_client", "openai")}
    allowed = {f"driver/{name}.py" for name in ("connection", "provisioner", "vlm")}
    assert {line.split(":")[0] for line in everywhere} <= allowed


@pytest.mark.parametrize("name", GROUND_FLOOR)
def test_the_ground_floor_needs_the_standard_library_only(name):
    below = {f"maia_kernel.{one.removesuffix('.py')}" for one in GROUND_FLOOR[: GROUND_FLOOR.index(name)]}
    for module in imported(PACKAGE / name):
        is_below = any(module == one or module.startswith(f"{one}.") for one in below)
        assert is_below or module.split(".")[0] in sys.stdlib_module_names, module


def test_a_crossing_would_be_found(tmp_path):
    (tmp_path / "bad.py").write_text("def f():\n    from maia_kernel.lab import tools\n")
    assert "maia_kernel.lab.tools" in list(imported(tmp_path / "bad.py"))
