"""A file with two writers: nothing that either has written is lost."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from maia_kernel.driver.files import SharedFile


@pytest.fixture
def shared(tmp_path: Path) -> SharedFile:
    file = SharedFile(tmp_path / "a")
    assert file.write(b"ours")
    return file


def replace(path: Path, raw: bytes) -> None:
    """Write as careful programs do."""
    other = path.with_name("theirs")
    other.write_bytes(raw)
    os.replace(other, path)


def test_nothing_is_news_until_somebody_else_writes(shared):
    assert shared.news() is None
    assert shared.write(b"ours 2")
    assert shared.news() is None
    replace(shared.path, b"theirs")
    assert not shared.unchanged()
    assert shared.news() == b"theirs"
    assert shared.news() is None


def test_what_was_not_looked_at_is_not_replaced(shared):
    replace(shared.path, b"theirs")
    assert not shared.write(b"ours 2")
    assert shared.path.read_bytes() == b"theirs"
    assert shared.news() == b"theirs"
    assert shared.write(b"ours 2")
    assert shared.path.read_bytes() == b"ours 2"


def test_a_program_that_had_opened_the_file_before_and_writes_in_place_is_noticed(shared):
    with shared.path.open("r+b") as theirs:
        assert shared.write(b"ours 2")
        theirs.write(b"in place")
    assert shared.news() == b"in place"
    assert shared.news() is None
    assert shared.path.read_bytes() == b"ours 2"


def test_a_file_that_was_removed_is_written_again(shared):
    shared.path.unlink()
    assert shared.news() is None
    assert shared.write(b"ours 2")
    assert shared.path.read_bytes() == b"ours 2"


def test_a_file_that_was_never_read_is_not_replaced(tmp_path):
    (tmp_path / "a").write_bytes(b"theirs")
    file = SharedFile(tmp_path / "a")
    assert file.news() is None
    with pytest.raises(FileExistsError):
        file.write(b"ours")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"theirs"


def test_permissions_stay(shared):
    shared.path.chmod(0o640)
    replace(shared.path, b"theirs")
    shared.path.chmod(0o640)
    shared.news()
    shared.write(b"ours 2")
    assert shared.path.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(sys.platform != "linux", reason="files can be exchanged in one step on Linux only")
def test_a_version_that_appears_in_the_last_instant_stays(shared, monkeypatch):
    opened = os.open

    def slow(path: Path, flags: int) -> int:
        monkeypatch.undo()
        found = opened(path, flags)
        replace(shared.path, b"theirs")
        return found

    monkeypatch.setattr(
        os, "open", lambda path, flags, *rest: slow(path, flags) if path == shared.path else opened(path, flags, *rest)
    )
    assert not shared.write(b"ours 2")
    assert shared.path.read_bytes() == b"theirs"
    assert shared.news() == b"theirs"


def test_two_writers_at_full_speed_lose_nothing(tmp_path):
    """Each adds its words to what is there; theirs is written from an old version as often as not."""
    file = SharedFile(tmp_path / "a")
    assert file.write(b"start ")
    done = threading.Event()
    theirs = {f"t{number}" for number in range(200)}

    def add() -> None:
        for word in sorted(theirs):
            replace(file.path, file.path.read_bytes() + f"{word} ".encode())
        done.set()

    other = threading.Thread(target=add)
    other.start()
    words: dict[str, None] = {}
    number = 0
    while not done.is_set() or not file.unchanged():
        while (news := file.news()) is not None:
            words |= dict.fromkeys(news.decode().split())
        words[f"o{number}"] = None
        number += file.write(" ".join(words).encode() + b" ")
    other.join()
    found = set(file.path.read_text().split())
    assert theirs <= found
    assert {f"o{one}" for one in range(number)} <= found
