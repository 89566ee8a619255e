"""Many investigations from one warm process: what is made, what is noted, what an end leaves behind."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from maia_kernel.bench.pool import Job, check, conduct_all, ended, warm_kernels
from maia_kernel.driver.agent import Limits
from maia_kernel.driver.investigate import Study
from maia_kernel.driver.messages import Message, Reply
from maia_kernel.driver.notebook import Investigation
from maia_kernel.driver.vlm import VLM
from maia_kernel.driver.zygote import Zygote
from maia_kernel.errors import UsageError, VLMError

DRAW = """```python
images = tools.text2image(['a red circle'] * 3)
edited = tools.edit_images(images[:1], ['make it night'])
```"""
FINAL = "[DESCRIPTION]: red things\n[LABEL 1]: red (turn 1; confidence 0.8)"


class Short:
    """Draws, then answers; or does what its name says."""

    about = "for tests"

    def __init__(self, name: str = "short"):
        self.name = name

    def reply(self, messages: Sequence[Message]) -> Reply:
        turn = sum(message.role == "assistant" for message in messages)
        if turn and self.name == "speechless":
            raise VLMError("no answer")
        if turn and self.name == "broken":
            raise ZeroDivisionError
        if turn and self.name == "fatal":
            return Reply("```python\nimport os\nos._exit(1)\n```" if turn == 1 else FINAL)
        return Reply(FINAL if turn and self.name != "endless" else DRAW)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote | None]:
    with warm_kernels() as warm:
        yield warm


def jobs(folder: Path, *agents: VLM) -> list[Job]:
    return [Job(Study(unit=n), agent, folder / f"{n}-{agent.name}.ipynb") for n, agent in enumerate(agents)]


def test_every_investigation_becomes_a_notebook_that_says_what_it_took(tmp_path, zygote):
    wanted = jobs(tmp_path, *[Short()] * 4)
    made = dict(conduct_all(wanted, limits=Limits(), zygote=zygote, workers=2))
    assert set(made) == set(wanted)
    for job in wanted:
        notebook = Investigation.open(job.path)
        assert notebook.final is not None
        assert f"UNIT = {job.study.unit}" in notebook.nb.cells[2].source
        spent = ended(notebook.nb)
        assert spent is not None
        assert spent.failure == ""
        assert spent.images == 4
        assert zygote is None or 0 < spent.seconds < 20
        assert all("images_made" not in cell.source for cell in notebook.nb.cells if cell.cell_type == "code")


def test_a_failure_is_noted_and_the_others_go_on(tmp_path, zygote):
    wanted = jobs(tmp_path, Short("speechless"), Short(), Short("endless"), Short("fatal"))
    made = dict(conduct_all(wanted, limits=Limits(turns=3), zygote=zygote, workers=2))
    why = [ended(made[job]).failure for job in wanted]
    assert why[0] == "no answer"
    assert why[1] == ""
    assert "3 turns" in why[2]
    assert why[3] == ""
    assert ended(made[wanted[3]]).images is None  # the count died with its kernel


def test_an_agent_out_of_reach_ends_the_bench(tmp_path, zygote):
    wanted = jobs(tmp_path, *[Short("speechless")] * 5)
    with pytest.raises(VLMError, match="no answer"):
        list(conduct_all(wanted, limits=Limits(), zygote=zygote, workers=1))
    assert not wanted[4].path.exists()
    wanted = jobs(tmp_path, *[Short("speechless")] * 2, Short(), *[Short("speechless")] * 2)
    assert len(list(conduct_all(wanted, limits=Limits(), zygote=zygote, workers=1))) == 5


def test_an_error_of_the_program_is_no_failure_of_an_agent(tmp_path, zygote):
    with pytest.raises(ZeroDivisionError):
        list(conduct_all(jobs(tmp_path, Short("broken")), limits=Limits(), zygote=zygote, workers=1))


def test_an_investigation_begins_anew_when_the_interpreter_stumbles(tmp_path, zygote):
    class Stumbling(Short):
        stumbled = 0

        def reply(self, messages: Sequence[Message]) -> Reply:
            self.stumbled += 1
            if self.stumbled == 2:
                raise SystemError("AST constructor recursion depth mismatch")
            return super().reply(messages)

    ((_, nb),) = conduct_all(jobs(tmp_path, Stumbling()), limits=Limits(), zygote=zygote, workers=1)
    assert ended(nb).failure == ""
    assert Investigation.open(tmp_path / "0-short.ipynb").turn == 2


def test_when_nobody_listens_any_more_the_rest_is_broken_off(tmp_path, zygote):
    wanted = jobs(tmp_path, *[Short()] * 6)
    running = conduct_all(wanted, limits=Limits(), zygote=zygote, workers=1)
    first, _ = next(running)
    running.close()
    whole = [job for job in wanted if job.path.exists() and ended(Investigation.open(job.path).nb)]
    assert first in whole
    assert len(whole) < len(wanted)


def test_a_wrong_name_is_told_before_anything_is_written(tmp_path, zygote, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="unknown generator 'dalle'"):
        check([Study(generator="dalle")], Short(), zygote)
    assert os.listdir(tmp_path) == []
