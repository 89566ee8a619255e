"""The artifact store: found again by request, whole or not at all, by several processes; and what the host adopts."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from maia_kernel.artifacts import Artifact, Scratch, Store, Use, address_of, beside, copy
from maia_kernel.errors import MissingArtifact

PNG = b"\x89PNG a picture"


def request(**parts: object) -> dict[str, Any]:
    return {"kind": "text2image", "backend": "pack.mod:Painter", "revision": "1/2", "prompt": "a star", **parts}


def opened(scratch: Scratch) -> Store:
    """What a kernel makes of a scratch folder's environment."""
    environ = scratch.environment
    folders = [Path(folder) for folder in environ["MAIA_STORE"].split(os.pathsep)]
    return Store(folders, Path(environ["MAIA_ACCOUNT"]), bool(environ["MAIA_RECOMPUTE"]))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_was_put_is_found_by_an_equal_request_and_no_other(tmp_path: Path) -> None:
    store = Store([tmp_path / "one"])
    assert store.get(request()) is None
    assert store.put(request(), {"notes": ["é\ud800"]}, [PNG, b"two"])
    reordered = dict(reversed(request().items()))
    assert store.get(reordered) == Artifact(request(), {"notes": ["é\ud800"]}, (PNG, b"two"))
    assert all(store.get(request(**other)) is None for other in ({"prompt": "a ring"}, {"seed": 1}, {"revision": "2"}))
    assert store.holds(request())


def test_a_person_can_look_through_a_store(tmp_path: Path) -> None:
    Store([tmp_path]).put(request(), {}, [PNG])
    record, payload = files(tmp_path / "text2image")[0], files(tmp_path / "files")[0]
    assert record.parent.parent.name == "pack.mod%3APainter@1%2F2"
    assert json.loads(record.read_text())["request"]["prompt"] == "a star"
    assert payload.name == hashlib.sha256(PNG).hexdigest() + ".png"
    assert payload.read_bytes() == PNG
    assert len(files(tmp_path)) == 2


def test_reads_search_all_folders_and_writes_go_to_the_first(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    Store([second]).put(request(), {}, [PNG])
    both = Store([first, second])
    assert both.get(request())
    both.put(request(seed=1), {}, [PNG])
    assert Store([first]).get(request(seed=1))
    assert Store([second]).get(request(seed=1)) is None


@pytest.mark.parametrize("damage", ["cut record", "empty record", "other request", "cut file", "no file", "a folder"])
def test_what_is_damaged_counts_as_missing_is_said_and_is_repaired(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store([tmp_path])
    store.put(request(), {}, [PNG])
    record, payload = files(tmp_path / "text2image")[0], files(tmp_path / "files")[0]
    if damage == "no file":
        payload.unlink()
    elif damage == "a folder":
        payload.unlink()
        payload.mkdir()
        (payload / "thing").touch()
    elif damage == "cut file":
        payload.write_bytes(PNG[:-1])
    else:
        text = {"cut record": record.read_text()[:-20], "empty record": ""}.get(damage)
        record.write_text(record.read_text().replace("a star", "a ring") if text is None else text)
    with caplog.at_level(logging.WARNING):
        assert store.get(request()) is None
    assert "damaged" in caplog.text
    if damage != "a folder":
        assert store.put(request(), {}, [PNG])
        assert store.get(request())


def test_a_file_that_one_folder_lost_is_taken_from_another(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Store([tmp_path / name]).put(request(), {}, [PNG])
    files(tmp_path / "a" / "files")[0].unlink()
    artifact = Store([tmp_path / "a", tmp_path / "b"]).get(request())
    assert artifact is not None
    assert artifact.files == (PNG,)


def test_a_store_that_cannot_be_written_says_why_and_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("where the folder should be")
    store = Store([tmp_path / "file"], account=tmp_path / "file" / "account")
    assert not store.put(request(), {}, [PNG])
    assert store.trouble == "Not a directory"
    assert store.get(request()) is None
    store.used(request(), "made")
    assert not Store([]).put(request(), {}, [PNG])


def test_revisions_are_those_of_the_first_folder_that_knows_the_backend(tmp_path: Path) -> None:
    for folder, revisions in (("near", "2"), ("far", "134")):
        for revision in revisions:
            Store([tmp_path / folder]).put(request(revision=revision), {}, [])
    Store([tmp_path / "nearest"]).put(request(backend="pack.mod:Painters"), {}, [])
    store = Store([tmp_path / "nearest", tmp_path / "near", tmp_path / "far"])
    assert store.revisions("text2image", "pack.mod:Painter") == ("2",)
    assert Store([tmp_path / "far"]).revisions("text2image", "pack.mod:Painter") == ("1", "3", "4")
    assert store.revisions("text2image", "nobody") == ()
    assert store.search("text2image", "pack.mod:Painter", prompt="a star") == [request(revision="2")]
    assert store.search("text2image", "pack.mod:Painter", prompt="a ring") == []


def test_names_that_are_too_long_for_a_folder_are_told_apart(tmp_path: Path) -> None:
    store = Store([tmp_path])
    for last in "ab":
        assert store.put(request(backend="x/" * 200 + last), {"is": last}, [])
    found = store.get(request(backend="x/" * 200 + "a"))
    assert found is not None
    assert found.facts == {"is": "a"}
    assert store.revisions("text2image", "x/" * 200 + "b") == ("1/2",)


WRITER = """
import sys
from pathlib import Path
from maia_kernel.artifacts import Store
store = Store([Path(sys.argv[1])])
for turn in range(40):
    request = {"kind": "describe", "backend": "b", "revision": "1", "n": turn % 10}
    payload = f"answer {turn % 10}".encode() * 1000
    store.put(request, {}, [payload])
    for other in range(10):
        found = store.get({**request, "n": other})
        assert found is None or found.files == (f"answer {other}".encode() * 1000,)
assert not store._damaged, store._damaged
"""


def test_several_processes_write_and_read_one_store(tmp_path: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert len(files(tmp_path)) == 20


# -- adoption -------------------------------------------------------------------------------------------------------


def test_a_finished_cells_artifacts_are_kept_everywhere_once(tmp_path: Path) -> None:
    notebook, cache = beside(tmp_path / "notebook.ipynb"), tmp_path / "cache"
    with Scratch([notebook, cache]) as scratch:
        store = opened(scratch)
        assert not store.recompute
        store.runs_on("cuda:0")
        store.put(request(), {}, [PNG])
        store.used(request(), "made", what="a\nst\x1bar")
        store.used(request(), "made", what="a\nst\x1bar")
        assert scratch.adopt() == (Use("text2image", address_of(request()), "made", None, "a star"),)
        assert scratch.adopt() == ()
        assert (scratch.device, scratch.trouble) == ("cuda:0", "")
        home = Path(scratch.environment["MAIA_ACCOUNT"]).parent
    assert not home.exists()
    assert notebook == tmp_path / "maia_artifacts"
    for folder in (notebook, cache):
        found = Store([folder]).get(request())
        assert found is not None
        assert found.files == (PNG,)
    assert files(notebook)[0].samefile(files(cache)[0])


def test_what_came_from_one_store_is_kept_in_the_others_and_is_not_shared_before(tmp_path: Path) -> None:
    notebook, cache, other = (tmp_path / name for name in ("notebook", "cache", "other"))
    Store([other]).put(request(), {}, [PNG])
    with Scratch([notebook, cache], read=[other]) as scratch:
        store = opened(scratch)
        assert store.get(request())
        store.put(request(seed=2), {}, [PNG])
        assert not notebook.exists()
        store.used(request(), "store")
        assert [use.how for use in scratch.adopt()] == ["store"]
    assert Store([notebook]).get(request())
    assert Store([cache]).get(request())
    assert Store([notebook]).get(request(seed=2)) is None


def test_what_a_killed_cell_left_is_discarded(tmp_path: Path) -> None:
    with Scratch([tmp_path / "kept"]) as scratch:
        store = opened(scratch)
        store.put(request(), {}, [PNG])
        store.used(request(), "made")
        scratch.discard()
        assert store.get(request()) is None
        assert scratch.adopt() == ()
        assert store.put(request(), {}, [PNG])
        store.used(request(), "made")
        assert len(scratch.adopt()) == 1
    assert Store([tmp_path / "kept"]).get(request())


def test_without_a_store_to_keep_them_artifacts_last_as_long_as_the_scratch_folder(tmp_path: Path) -> None:
    with Scratch() as scratch:
        store = opened(scratch)
        store.put(request(), {}, [PNG])
        store.used(request(), "made")
        (use,) = scratch.adopt()
        scratch.discard()
        assert store.get(request())
        assert copy(use.address, scratch.folders, tmp_path)


def test_strict_leaves_nothing_to_read(tmp_path: Path) -> None:
    with Scratch([tmp_path / "kept"], read=[tmp_path / "more"], strict=True) as scratch:
        environ = scratch.environment
        assert environ["MAIA_RECOMPUTE"] == "strict"
        assert os.pathsep not in environ["MAIA_STORE"]
        assert Path(environ["MAIA_CACHE"]).parent == Path(environ["MAIA_ACCOUNT"]).parent
    with Scratch(recompute=True) as scratch:
        assert opened(scratch).recompute
        assert "MAIA_CACHE" not in scratch.environment


def test_only_what_was_recomputed_and_differs_replaces_what_is_kept(tmp_path: Path) -> None:
    def after(recompute: bool, same: bool | None) -> object:
        folder = tmp_path / f"{recompute}-{same}"
        Store([folder]).put(request(), {"is": "old"}, [PNG])
        with Scratch([folder], recompute=recompute) as scratch:
            store = opened(scratch)
            store.put(request(), {"is": "new"}, [PNG])
            store.used(request(), "made" if same is None else "recomputed", same)
            scratch.adopt()
        found = Store([folder]).get(request())
        assert found is not None
        return found.facts["is"]

    assert after(recompute=True, same=False) == "new"
    assert after(recompute=True, same=True) == after(recompute=False, same=None) == "old"
    assert after(recompute=False, same=False) == "old"


def test_what_is_damaged_where_it_is_kept_is_repaired(tmp_path: Path) -> None:
    Store([tmp_path]).put(request(), {}, [PNG])
    files(tmp_path / "files")[0].write_bytes(b"rot")
    with Scratch([tmp_path]) as scratch:
        store = opened(scratch)
        assert store.get(request()) is None
        store.put(request(), {}, [PNG])
        store.used(request(), "made", what="the star")
        assert [use.what for use in scratch.adopt()] == ["the star (what was held is damaged)"]
    assert Store([tmp_path]).get(request())


def _linked_record(place: Path, outside: Path) -> None:
    outside.write_bytes(place.read_bytes())
    place.unlink()
    place.symlink_to(outside)


def _linked_folder(place: Path, outside: Path) -> None:
    place.parent.rename(outside)
    place.parent.symlink_to(outside)


def _linked_store(place: Path, outside: Path) -> None:
    store = next(folder for folder in place.parents if folder.name == "artifacts")
    store.rename(outside)
    store.symlink_to(outside)


def _pipe(place: Path, outside: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def _huge(place: Path, outside: Path) -> None:
    with place.open("r+b") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize("trick", [_linked_record, _linked_folder, _linked_store, _pipe, _huge])
@pytest.mark.parametrize("part", ["record", "payload"])
def test_a_hostile_kernel_gets_nothing_adopted(tmp_path: Path, trick: Any, part: str) -> None:
    with Scratch([tmp_path / "kept"]) as scratch:
        store = opened(scratch)
        store.put(request(), {}, [PNG])
        store.used(request(), "made")
        home = store.folders[0]
        trick(home / address_of(request()) if part == "record" else files(home / "files")[0], tmp_path / "outside")
        assert [use.address for use in scratch.adopt()] == [""]
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    "line",
    [
        '{"kind": "text2image", "address": "../../etc/passwd", "how": "made"}',
        '{"address": "text2image/../../../../aa/' + "a" * 64 + '.json", "how": "made"}',
        '{"address": "secrets/a@1/aa/' + "a" * 64 + '.json", "how": "made"}',
        '{"address": "text2image/a@1/aa/' + "a" * 64 + '.json", "how": "stolen"}',
        '{"address": "text2image/a@1/ab/' + "a" * 64 + '.json", "how": "made"}',
        '{"address": ["text2image"], "how": {}}',
        '{"device": "cpu\\nhello"}',
        "[" * 100_000,
        "\x00\xff not JSON",
        '"a string"',
        "5",
    ],
)
def test_a_lie_in_the_account_is_no_use(tmp_path: Path, line: str) -> None:
    with Scratch([tmp_path / "kept"]) as scratch:
        Path(scratch.environment["MAIA_ACCOUNT"]).write_bytes(line.encode("latin-1") + b"\n")
        assert scratch.adopt() == ()
        assert scratch.device == "cpu"


def test_a_record_under_a_name_that_is_not_its_own_is_not_adopted(tmp_path: Path) -> None:
    with Scratch([tmp_path / "kept"]) as scratch:
        store = opened(scratch)
        store.put(request(prompt="poison"), {}, [PNG])
        place = store.folders[0] / address_of(request())
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((store.folders[0] / address_of(request(prompt="poison"))).read_bytes())
        store.used(request(), "made")
        assert [use.address for use in scratch.adopt()] == [""]


def test_a_kernel_cannot_change_what_was_adopted(tmp_path: Path) -> None:
    with Scratch([tmp_path / "kept"]) as scratch:
        store = opened(scratch)
        store.put(request(), {}, [PNG])
        store.used(request(), "made")
        scratch.adopt()
        for path in files(store.folders[0]):
            path.write_bytes(b"changed afterwards, through whatever is still open")
    assert Store([tmp_path / "kept"]).get(request())


def test_a_damaged_file_is_not_spread_by_links(tmp_path: Path) -> None:
    near, far, kept = (tmp_path / name for name in ("near", "far", "kept"))
    for folder in (near, far):
        Store([folder]).put(request(), {}, [PNG])
    files(near / "files")[0].write_bytes(b"rot")
    with Scratch([kept], read=[near, far]) as scratch:
        store = opened(scratch)
        assert store.get(request())
        store.used(request(), "store")
        scratch.adopt()
    assert Store([kept]).get(request())


def test_what_cannot_be_kept_is_said(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file")
    with Scratch([tmp_path / "kept"]) as scratch:
        store = opened(scratch)
        store.put(request(), {}, [PNG])
        store.used(request(), "made")
        assert [use.address for use in scratch.adopt()] == [address_of(request())]
        assert scratch.trouble == "text2image: Not a directory"


# -- copies for a bundle --------------------------------------------------------------------------------------------


def test_a_copy_may_leave_out_what_shows_the_dataset(tmp_path: Path) -> None:
    held = Store([tmp_path / "a"])
    held.put(request(), {"activation": 3.5}, [PNG, b"mask"], dataset=[0])
    address = address_of(request())
    whole = copy(address, held.folders, tmp_path / "whole")
    assert {str(path.relative_to(tmp_path / "whole")) for path in files(tmp_path / "whole")} == set(whole)
    part = copy(address, held.folders, tmp_path / "part", dataset_images=False)
    assert part == (address, whole[2])
    found = Store([tmp_path / "part"]).get(request())
    assert found is not None
    assert (found.files, found.whole, found.facts) == ((None, b"mask"), False, {"activation": 3.5})
    assert json.loads((tmp_path / "part" / address).read_text())["files"][0]["withheld"] is True
    preferred = Store([tmp_path / "part", tmp_path / "whole"]).get(request())
    assert preferred is not None
    assert preferred.whole
    again = copy(address, [tmp_path / "part"], tmp_path / "again")
    assert again == part


def test_a_copy_of_what_is_missing_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifact, match=r"^the artifact text2image/.* is in none of the stores"):
        copy(address_of(request()), [tmp_path], tmp_path / "to")
