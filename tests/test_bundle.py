"""`maia bundle` and `maia unbundle`: exactly what a notebook uses, on another machine, and zips that are none."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from maia_kernel.cli import main
from maia_kernel.driver.bundle import bundle, unbundle
from maia_kernel.driver.verify import rerun
from maia_kernel.errors import KernelError, NotebookError, UsageError

pytestmark = pytest.mark.xdist_group("bundle")  # the bundles of all tests are made once

SHIPPED = Path(__file__).parent.parent / "notebooks" / "snow-at-dusk.ipynb"
PAINTER = '''
from PIL import Image

class Painter:
    """A generator that another machine does not have."""
    name, revision, vocabulary, grammar = "painter", "r1", None, "anything"

    def generate(self, prompts, seeds):
        colours = {"red": (200, 20, 20), "blue": (20, 20, 200)}
        return [(Image.new("RGB", (64, 64), colours[prompt]), ()) for prompt in prompts]
'''
SETUP = """from maia_kernel import load
system, tools = load("scenes", "layer3", 17, generator="painter_elsewhere:Painter")"""
CELLS = (
    'result = tools.measure({"red": "red", "blue": "blue"}, repeats=2)\ntools.display(result.images["red"][0], "red")',
    "best = tools.dataset_exemplars(system)[0]\ntools.display(best)",
    "print(round(system.call_neuron(tools.text2image(['blue']))[0][0], 3))",
)


def written(path: Path, *sources: str) -> Path:
    nb = new_notebook()
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for number, source in enumerate(sources, start=1):
        nb.cells.append(new_code_cell(source, id=f"c{number}"))
    nb.cells[0].metadata["maia"] = {"role": "setup", "cell_id": "c1"}
    nbformat.write(nb, path)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a notebook that was run with a generator, and two bundles of it; the generator is gone."""
    folder = tmp_path_factory.mktemp("made")
    module = folder / "painters" / "painter_elsewhere.py"
    module.parent.mkdir()
    module.write_text(PAINTER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(module.parent))
        patch.setenv("MAIA_CACHE", str(folder / "cache"))
        path = written(folder / "work.ipynb", SETUP, *CELLS)
        assert rerun(path, in_place=True).of("failed", "missing") == ()
        bundle(path, folder / "whole.zip")
        bundle(path, folder / "again.zip")
        bundle(path, folder / "grey.zip", dataset_images=False)
    module.unlink()
    return folder


@pytest.fixture
def elsewhere(made, tmp_path, monkeypatch) -> Path:
    """Another machine: another place, no artifacts in the cache. What was found in the dataset is kept, for speed."""
    shutil.copytree(made / "cache", tmp_path / "cache", ignore=shutil.ignore_patterns("artifacts"))
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "cache"))
    return tmp_path


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_a_bundle_holds_the_notebook_byte_for_byte_and_exactly_what_it_uses(made):
    with zipfile.ZipFile(made / "whole.zip") as archive:
        assert archive.read("work.ipynb") == (made / "work.ipynb").read_bytes()
    kinds = Counter(name.split("/")[1] for name in names(made / "whole.zip") if "/" in name)
    assert kinds["text2image"] == 4  # twice red, twice blue; the blue one of the last cell is the first of them
    assert kinds["exemplars"] == kinds["generator"] == 1
    assert names(made / "whole.zip") == ["work.ipynb", *sorted(names(made / "whole.zip")[1:])]


def test_the_same_notebook_gives_the_same_bytes(made):
    assert (made / "whole.zip").read_bytes() == (made / "again.zip").read_bytes()


@pytest.mark.slow
def test_a_shipped_notebook_from_a_bundle_reproduces_elsewhere(tmp_path):
    """In fresh processes with another hash seed, working directory, location and an empty cache."""

    def maia(*arguments: str, cache: str, seed: str) -> str:
        environment = {**os.environ, "MAIA_CACHE": str(tmp_path / cache), "PYTHONHASHSEED": seed}
        command = [sys.executable, "-m", "maia_kernel.cli", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=170)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        return done.stdout

    maia("bundle", str(SHIPPED), "--out", "a.zip", cache="one", seed="1")
    path = maia("unbundle", "a.zip", "--out", "elsewhere", cache="two", seed="2").strip()
    report = json.loads(maia("rerun", path, "--json", cache="two", seed="3"))
    assert {cell["status"] for cell in report["cells"]} == {"reproduced"}
    assert {claim["verdict"] for claim in report["claims"]} == {"stands"}
    assert (tmp_path / path).read_bytes() == SHIPPED.read_bytes()
    uses = [use for cell in report["cells"] for use in cell["artifacts"]]
    assert {(use["how"], use["same"]) for use in uses} == {("recomputed", True)}
    kept = {place.relative_to(tmp_path / "elsewhere" / "maia_artifacts").as_posix()
            for place in (tmp_path / "elsewhere" / "maia_artifacts").rglob("*.json")}  # fmt: skip
    assert {use["address"] for use in uses} == kept


@pytest.mark.slow
def test_it_re_runs_on_a_machine_without_the_generator_and_says_what_came_from_the_store(made, elsewhere, monkeypatch):
    monkeypatch.setenv("MAIA_CACHE", str(elsewhere / "empty"))
    path = unbundle(made / "whole.zip", elsewhere / "work")
    assert sorted(one.name for one in path.parent.iterdir()) == ["maia_artifacts", "work.ipynb"]
    before = path.read_bytes()
    report = rerun(path)
    assert report.holds
    assert [cell.status for cell in report.cells] == ["not recomputed"] * 2 + ["reproduced", "not recomputed"]
    assert report.cells[1].why == "the same outputs, with 4 drawn pictures from the store"
    assert {use.how for use in report.cells[2].artifacts} == {"recomputed"}
    assert path.read_bytes() == before
    assert main(["rerun", str(path), "--strict"]) == 1


def test_an_edited_prompt_is_a_missing_artifact_there(made, elsewhere):
    path = unbundle(made / "whole.zip", elsewhere / "work")
    path.write_text(path.read_text().replace("text2image(['blue'])", "text2image(['green'])"))
    report = rerun(path)
    assert [cell.status for cell in report.cells][-1] == "missing"
    assert "'green'" in report.cells[-1].why
    assert not report.holds


def test_without_dataset_images_there_are_none(made, elsewhere):
    path = unbundle(made / "grey.zip", elsewhere / "work")
    nb = nbformat.read(path, as_version=4)
    pictures = [output for cell in nb.cells for output in cell.outputs if "image/png" in output.get("data", {})]
    kinds = [output.metadata["image/png"]["maia"] for output in pictures]
    assert sorted(kinds) == ["generated", "plot", "withheld"]
    (grey,) = [output for output, kind in zip(pictures, kinds, strict=True) if kind == "withheld"]
    assert "activation" in grey.data["text/plain"]
    image = Image.open(io.BytesIO(base64.b64decode(grey.data["image/png"])))
    assert (image.size, image.convert("RGB").getcolors()) == ((192, 192), [(192 * 192, (128, 128, 128))])
    whole, left = (
        len([name for name in names(made / zip) if name.endswith(".png")]) for zip in ("whole.zip", "grey.zip")
    )
    assert left < whole
    report = rerun(path)
    assert report.holds
    assert report.cells[2].withheld == 1


def test_with_the_model_its_weights_go_along(made, elsewhere):
    path = written(elsewhere / "a.ipynb", 'from maia_kernel import System\nsystem = System("scenes", "layer3", 17)')
    bundled = bundle(path, elsewhere / "a.zip", model=True)
    assert bundled.artifacts["weights"] == 1
    assert [name for name in names(elsewhere / "a.zip") if name.endswith(".safetensors")]
    assert "keep_weights" not in path.read_text()
    again = unbundle(elsewhere / "a.zip", elsewhere / "b")
    assert rerun(again).holds


def test_cells_that_fail_are_said_and_bundled_all_the_same(tmp_path, capsys):
    path = written(tmp_path / "a.ipynb", "x = 1", "1 / 0", "print(x)")
    assert main(["bundle", str(path), "--out", str(tmp_path / "a.zip")]) == 0
    assert "[2] failed: ZeroDivisionError: division by zero" in capsys.readouterr().out
    assert names(tmp_path / "a.zip") == ["a.ipynb"]


def test_cells_behind_a_kernel_that_died_are_said_and_skipped_ones_are_not(tmp_path):
    path = written(tmp_path / "a.ipynb", "x = 1", "1 / 0", "import os; os._exit(3)", "print(x)")
    nb = nbformat.read(path, as_version=4)
    nb.cells[1].metadata["tags"] = ["skip-execution"]
    nbformat.write(nb, path)
    failed = bundle(path, tmp_path / "a.zip").failed
    assert [line.split(":")[0] for line in failed] == ["[3] failed", "[4] not run"]


def test_there_are_no_weights_of_a_notebook_without_a_system(tmp_path, capsys):
    path = written(tmp_path / "a.ipynb", "x = 1")
    assert main(["bundle", str(path), "--out", str(tmp_path / "a.zip"), "--with-model"]) == 1
    printed = capsys.readouterr()
    assert "weights cannot be bundled: no variable of the notebook is a System" in printed.err
    assert (printed.out, printed.err.count("\n"), list(tmp_path.iterdir())) == ("", 1, [path])


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("nb.json", "nb.ipynb"),
        ("x.IPYNB", "x.ipynb"),
        ("v1.2", "v1.2.ipynb"),
        ("a:b.ipynb", "a_b.ipynb"),
        ("C: study.ipynb", "C_ study.ipynb"),
        ("a\\b.ipynb", "a_b.ipynb"),
        ("a\nb\u202ec.ipynb", "a_b_c.ipynb"),
        ("é" * 110 + ".ipynb", "é" * 100 + ".ipynb"),
        (".ipynb", "notebook.ipynb"),
        ("été 1.ipynb", "été 1.ipynb"),
    ],
)
def test_a_bundle_can_be_unpacked_whatever_its_notebook_is_called(name, called, tmp_path):
    path = tmp_path / name
    nbformat.write(new_notebook(), tmp_path / "a.ipynb")
    (tmp_path / "a.ipynb").rename(path)
    bundled = bundle(path, tmp_path / "a.zip")
    assert names(tmp_path / "a.zip") == [called]
    assert (f"is called {called} there" in str(bundled)) is (name != called)
    assert unbundle(tmp_path / "a.zip", tmp_path / "b") == tmp_path / "b" / called


def test_a_notebook_whose_setup_fails_is_not_bundled(tmp_path):
    path = written(tmp_path / "a.ipynb", "1 / 0", "print(1)")
    with pytest.raises(KernelError, match="setup cells do not run: ZeroDivisionError"):
        bundle(path, tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("out", "said"), [("a.zip", "exists"), ("b.tar", "ends in .zip"), ("no/b.zip", "no folder")])
def test_where_a_bundle_cannot_be_written(out, said, tmp_path):
    (tmp_path / "a.zip").write_text("mine")
    path = written(tmp_path / "a.ipynb", "print(1)")
    with pytest.raises(UsageError, match=said):
        bundle(path, tmp_path / out)
    assert (tmp_path / "a.zip").read_text() == "mine"


# -- bundles that are none -------------------------------------------------------------------------------------------

NOTEBOOK = nbformat.writes(new_notebook())
RECORD = f"maia_artifacts/text2image/a@b/aa/{'a' * 64}.json"
FILE = f"maia_artifacts/files/aa/{'a' * 64}.png"


def zipped(path: Path, *entries: tuple[str, str], edit: Callable[[zipfile.ZipInfo], None] | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in entries:
            entry = zipfile.ZipInfo(name)
            if edit is not None:
                edit(entry)
            archive.writestr(entry, text)
    return path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/etc/evil.json", "is an absolute path"),
        ("C:/evil.ipynb", "is an absolute path"),
        ("C:evil.ipynb", "is an absolute path"),
        ("../evil.ipynb", "leads out of the folder"),
        ("maia_artifacts/../../evil.json", "leads out of the folder"),
        ("maia_artifacts\\evil.json", "is no proper name"),
        ("e\u202evil.ipynb", "is no proper name"),
        ("e\x85vil.ipynb", "is no proper name"),
        ("e\nvil.ipynb", "is no proper name"),
        ("evil.py", "is not what a bundle holds"),
        ("maia_artifacts/evil.sh", "is not what a bundle holds"),
        (RECORD.replace(".json", ".py"), "is not what a bundle holds"),
        (FILE.replace("aa/", "aa/b/"), "is not what a bundle holds"),
        (".bashrc", "is not what a bundle holds"),
        ("second.ipynb", "one notebook is expected"),
        ("A.ipynb", "is in it twice"),
    ],
)
def test_names_that_no_bundle_holds(name, said, tmp_path, capsys):
    path = zipped(tmp_path / "b.zip", ("a.ipynb", NOTEBOOK), (name, "x"))
    assert main(["unbundle", str(path), "--out", str(tmp_path / "in" / "b")]) == 2  # no folder "in", first
    (tmp_path / "in").mkdir()
    capsys.readouterr()
    assert main(["unbundle", str(path), "--out", str(tmp_path / "in" / "b")]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert list((tmp_path / "in").iterdir()) == []
    assert sorted(one.name for one in tmp_path.iterdir()) == ["b.zip", "in"]


def test_links_duplicates_and_nothing_are_refused(tmp_path):
    def link(entry: zipfile.ZipInfo) -> None:
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16

    with pytest.raises(UsageError, match="is a link"):
        unbundle(zipped(tmp_path / "a.zip", ("a.ipynb", "/etc/passwd"), edit=link), tmp_path / "b")
    with pytest.warns(UserWarning, match="Duplicate"), pytest.raises(UsageError, match="twice"):
        unbundle(zipped(tmp_path / "c.zip", ("a.ipynb", NOTEBOOK), ("a.ipynb", NOTEBOOK)), tmp_path / "b")
    with pytest.raises(UsageError, match="one notebook is expected"):
        unbundle(zipped(tmp_path / "d.zip"), tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("raw", [b"", b"no zip", b"PK\x03\x04 cut"])
def test_what_is_no_zip(raw, tmp_path):
    (tmp_path / "a.zip").write_bytes(raw)
    with pytest.raises(UsageError, match=r"a\.zip is no bundle, or damaged"):
        unbundle(tmp_path / "a.zip", tmp_path / "b")
    with pytest.raises(UsageError, match="cannot unpack"):
        unbundle(tmp_path / "none.zip", tmp_path / "b")


def test_a_damaged_bundle_leaves_nothing_behind(tmp_path):
    path = zipped(tmp_path / "a.zip", ("a.ipynb", NOTEBOOK), (FILE, "picture" * 99))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"picture", b"pictore"))
    with pytest.raises(UsageError, match="damaged"):
        unbundle(path, tmp_path / "b")
    assert list(tmp_path.iterdir()) == [path]


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    def packed(entry: zipfile.ZipInfo) -> None:
        entry.compress_type = zipfile.ZIP_DEFLATED

    path = zipped(tmp_path / "a.zip", ("a.ipynb", NOTEBOOK), (RECORD, "0" * (5 << 20)), edit=packed)
    assert path.stat().st_size < 50_000
    with pytest.raises(UsageError, match="would take more than 4 MiB"):
        unbundle(path, tmp_path / "b")
    monkeypatch.setattr("maia_kernel.driver.bundle.WHOLE", 1 << 20)
    with pytest.raises(UsageError, match="would take more than 0 GiB"):
        unbundle(zipped(tmp_path / "c.zip", ("a.ipynb", NOTEBOOK), (FILE, "0" * (2 << 20))), tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_bundle_whose_notebook_is_none(tmp_path):
    with pytest.raises(NotebookError, match="not JSON"):
        unbundle(zipped(tmp_path / "a.zip", ("a.ipynb", NOTEBOOK[:20])), tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_where_a_bundle_is_unpacked(tmp_path):
    path = zipped(tmp_path / "a.zip", ("a.ipynb", NOTEBOOK), ("maia_artifacts/", ""), (RECORD, "{}"), (FILE, "x"))
    (tmp_path / "empty").mkdir()
    assert unbundle(path, tmp_path / "empty") == tmp_path / "empty" / "a.ipynb"
    assert unbundle(path, tmp_path / "new") == tmp_path / "new" / "a.ipynb"
    for folder in (tmp_path / "empty", tmp_path / "new"):
        assert sorted(one.name for one in folder.iterdir()) == ["a.ipynb", "maia_artifacts"]
        assert (folder / FILE).read_text() == "x"
    with pytest.raises(UsageError, match="exists"):
        unbundle(path, tmp_path / "new")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) & 0o700 == 0o700
