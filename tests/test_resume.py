"""Going on with a notebook that people have worked on: real files, a real kernel, a scripted model."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from maia_kernel.driver import edits, transcript
from maia_kernel.driver.agent import Limits, run, setup
from maia_kernel.driver.investigate import Nobody
from maia_kernel.driver.kernel import Kernel
from maia_kernel.driver.messages import Message, Reply
from maia_kernel.driver.notebook import Investigation
from maia_kernel.driver.resume import resume, settled
from maia_kernel.driver.vlm import ScriptedVLM
from maia_kernel.driver.zygote import Zygote
from maia_kernel.errors import KernelError, NotebookError, UnknownName, UsageError

FINAL = "[DESCRIPTION]: red things\n[LABEL 1]: red (turn 1)"


def python(source: str) -> str:
    return f"Trying {source[:6]}.\n```python\n{source}\n```"


@pytest.fixture(scope="module")
def made(bare_zygote: Zygote | None, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A finished notebook: setup, question, three turns of code, the answer."""
    notebook = Investigation.new(tmp_path_factory.mktemp("made") / "a.ipynb", agent="scripted", task="describe")
    notebook.add("header", "# A unit")
    notebook.add("setup", "base = 10", code=True, tags=["parameters"])
    notebook.add("user", "What?")
    replies = [
        python("x = base + 1\nprint('x is', x)"),
        python("y = x * 2\nprint('y is', y)"),
        python("print('sum', x + y)"),
    ]
    with Kernel(zygote=bare_zygote) as kernel:
        setup(notebook, kernel, Nobody())
        run(notebook, ScriptedVLM([*replies, FINAL]), kernel, Limits(), Nobody())
    return notebook.path.read_bytes()


@pytest.fixture
def path(made: bytes, tmp_path: Path) -> Path:
    (tmp_path / "a.ipynb").write_bytes(made)
    return tmp_path / "a.ipynb"


@pytest.fixture
def go_on(bare_zygote: Zygote | None) -> Callable[..., ScriptedVLM]:
    def call(path: Path, *replies: str, **options: object) -> ScriptedVLM:
        vlm = ScriptedVLM(replies or (FINAL,))
        resume(path, agent=vlm, zygote=bare_zygote, **options)
        return vlm

    return call


def edit(path: Path, change: Callable[[NotebookNode], object]) -> None:
    """As another program does: read, change, write."""
    nb = nbformat.read(path, as_version=4)
    change(nb)
    path.write_text(nbformat.writes(nb), encoding="utf-8")


def coded(nb: NotebookNode, words: str) -> NotebookNode:
    return next(cell for cell in nb.cells if cell.cell_type == "code" and words in cell.source)


def printed(nb: NotebookNode, words: str) -> str:
    return "".join(output.text for output in coded(nb, words).outputs)


def test_a_finished_notebook_that_nobody_edited_is_left_alone(path, go_on):
    before = path.read_bytes()
    assert settled(Investigation.open(path))
    assert go_on(path).requests == []
    assert path.read_bytes() == before


def test_a_changed_cell_is_told_and_outputs_from_there_on_are_new(path, go_on):
    def change(nb: NotebookNode) -> None:
        coded(nb, "x = base").outputs[0].text = "x is kept\n"
        coded(nb, "y = x").source = "y = x * 3\nprint('y is', y)"

    edit(path, change)
    (request,) = go_on(path).requests
    told = request[-1].text
    assert "a code cell of turn 2 (`y = x * 3`) was changed" in told
    assert "answer again" in told
    said = "\n".join(message.text for message in request)
    assert "a person has edited this cell" in said
    assert "older than the code" not in said
    nb = Investigation.open(path).nb
    assert printed(nb, "x = base") == "x is kept\n"
    assert printed(nb, "y = x") == "y is 33\n"
    assert printed(nb, "'sum'") == "sum 44\n"
    assert settled(Investigation.open(path))


def test_deleted_added_and_moved_cells_are_told(path, go_on):
    def change(nb: NotebookNode) -> None:
        nb.cells.remove(coded(nb, "'sum'"))
        nb.cells.insert(3, new_markdown_cell("Look at cats, please."))
        nb.cells.insert(4, nb.cells.pop(next(i for i, c in enumerate(nb.cells) if c.source.startswith("Trying y"))))

    edit(path, change)
    (request,) = go_on(path).requests
    told = request[-1].text
    assert "a text of a person (`Look at cats, please.`) was added" in told
    assert "a code cell of turn 3 was deleted" in told
    assert "a text of turn 2 (`Trying y = x .`) was moved" in told
    assert "Look at cats" in "\n".join(message.text for message in request[:-1])


def test_cleared_outputs_are_computed_again(path, go_on):
    def clear(nb: NotebookNode) -> None:
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None

    edit(path, clear)
    (request,) = go_on(path, question="And?").requests
    assert "the outputs of 3 code cells were cleared; they were computed again" in request[-1].text
    assert printed(Investigation.open(path).nb, "y = x") == "y is 22\n"


def test_a_cell_that_fails_now_is_shown_and_told(path, go_on):
    edit(path, lambda nb: coded(nb, "y = x").update(source="y = x / 0"))
    (request,) = go_on(path).requests
    assert "a code cell of turn 2 (`y = x / 0`): ZeroDivisionError: division by zero" in request[-1].text
    assert "a code cell of turn 3 (`print('sum', x + y)`): NameError" in request[-1].text
    nb = Investigation.open(path).nb
    assert coded(nb, "y = x").outputs[0].ename == "ZeroDivisionError"
    assert "raises-exception" in coded(nb, "y = x").metadata.tags


def test_with_strict_a_cell_that_fails_ends_the_run_and_nothing_is_written(path, go_on):
    edit(path, lambda nb: coded(nb, "y = x").update(source="y = x / 0"))
    before = path.read_bytes()
    with pytest.raises(KernelError, match=r"turn 2 \(`y = x / 0`\) fails now: ZeroDivisionError"):
        go_on(path, strict=True)
    assert path.read_bytes() == before


def test_set_up_that_fails_ends_the_run_and_nothing_is_written(path, go_on):
    edit(path, lambda nb: coded(nb, "base = 10").update(source="base = ten"))
    before = path.read_bytes()
    with pytest.raises(KernelError, match="NameError: name 'ten' is not defined"):
        go_on(path)
    assert path.read_bytes() == before


def test_a_cell_that_kills_the_kernel_is_left_out(path, go_on):
    edit(path, lambda nb: nb.cells.insert(-2, new_code_cell("import os\nos._exit(1)")))
    vlm = go_on(path, python("print('still', x + y)"), FINAL)
    assert "a code cell of a person (`import os`): the kernel died" in vlm.requests[0][-1].text
    assert "still 33" in vlm.requests[1][-1].text
    raw = [cell for cell in Investigation.open(path).nb.cells if cell.cell_type == "raw"]
    assert [cell.source for cell in raw] == ["import os\nos._exit(1)"]


def test_tags_that_runners_honour_are_honoured(path, go_on):
    def tag(nb: NotebookNode) -> None:
        coded(nb, "y = x").metadata["tags"] = ["skip-execution"]
        coded(nb, "'sum'").metadata["tags"] = ["raises-exception"]

    edit(path, tag)
    (request,) = go_on(path, question="And?").requests
    said = "\n".join(message.text for message in request)
    assert "a person has marked this cell to be skipped" in said
    assert "these cells failed" not in said


def test_a_persons_code_is_run_and_is_part_of_the_conversation(path, go_on):
    edit(path, lambda nb: nb.cells.append(new_code_cell("mine = y + 100\nprint('mine', mine)")))
    vlm = go_on(path, python("print('yours', mine)"), FINAL)
    assert "A person ran this:\n```python\nmine = y + 100" in vlm.requests[0][-1].text
    assert "mine 122" in vlm.requests[0][-1].text
    assert "yours 122" in vlm.requests[1][-1].text
    again = go_on(path, question="And?")
    assert "was added" not in again.requests[0][-1].text


def test_a_branch_ends_with_the_cell_that_was_named(path, go_on):
    nb = Investigation.open(path).nb
    before = path.read_bytes()
    vlm = go_on(path, python("print('branch', y)"), FINAL, from_cell=coded(nb, "y = x").id)
    assert "y is 22" in vlm.requests[0][-1].text
    assert "branch 22" in vlm.requests[1][-1].text
    assert path.read_bytes() == before
    branch = Investigation.open(path.with_name("a-2.ipynb"))
    assert branch.final is not None
    assert not any("'sum'" in cell.source for cell in branch.nb.cells)
    assert branch.nb.metadata.maia.branched_from["run_id"] == nb.metadata.maia.run_id != branch.nb.metadata.maia.run_id


def test_a_branch_refuses_what_it_cannot_do(path, go_on):
    name = Investigation.open(path).nb.cells[-1].id
    with pytest.raises(UnknownName, match="unknown cell of"):
        go_on(path, from_cell="nothing")
    with pytest.raises(UsageError, match="exists"):
        go_on(path, from_cell=name, out=path)
    with pytest.raises(UsageError, match="--from-cell"):
        go_on(path, out=path.with_name("b.ipynb"))
    assert os.listdir(path.parent) == ["a.ipynb"]


def test_a_notebook_that_asks_nothing(tmp_path, go_on):
    (tmp_path / "empty.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook()))
    with pytest.raises(NotebookError, match="asks nothing"):
        go_on(tmp_path / "empty.ipynb")


def test_a_kernelspec_that_is_not_installed(path, go_on):
    edit(path, lambda nb: nb.metadata.kernelspec.update(name="julia-1.9"))
    before = path.read_bytes()
    with pytest.raises(KernelError, match=r"julia-1\.9"):
        go_on(path, question="And?")
    assert path.read_bytes() == before


def test_a_notebook_without_any_of_our_metadata_goes_on(path, go_on):
    def strip(nb: NotebookNode) -> None:
        nb.metadata.pop("maia")
        for cell in nb.cells:
            cell.metadata.pop("maia", None)

    edit(path, strip)
    (request,) = go_on(path).requests
    assert "x is 11" in request[-1].text
    assert printed(Investigation.open(path).nb, "y = x") == "y is 22\n"


def test_ids_that_a_program_rewrote_are_found_again(path, go_on):
    """Saved as 4.4, which has no ids, and cut and pasted, which gives another."""
    raw = json.loads(path.read_text())
    raw["nbformat_minor"] = 4
    ids = [cell.pop("id") for cell in raw["cells"]]
    path.write_text(json.dumps(raw))
    assert [cell.id for cell in Investigation.open(path).nb.cells] == ids
    assert settled(Investigation.open(path))
    raw["nbformat_minor"] = 5
    for number, cell in enumerate(raw["cells"]):
        cell["id"] = f"pasted-{number}"
    path.write_text(json.dumps(raw))
    assert [cell.id for cell in Investigation.open(path).nb.cells] == ids
    raw["cells"][3]["id"] = ids[3]
    raw["cells"].append(raw["cells"][3] | {"id": "copy"})
    path.write_text(json.dumps(raw))
    nb = Investigation.open(path).nb
    assert nb.cells[-1].id == "copy"
    assert transcript.role(nb.cells[-1]) == "person"


class EditedWhile:
    """A model of twenty turns, during each of which somebody edits the file."""

    name, about = "scripted", "for tests"

    def __init__(self, path: Path) -> None:
        self.path, self.said = path, 0
        self.requests: list[list[Message]] = []
        self.edited = threading.Semaphore(0)
        self.asked = threading.Semaphore(0)

    def reply(self, messages: list[Message]) -> Reply:
        self.requests.append(messages)
        self.said += 1
        self.asked.release()
        if self.said % 2:  # every other time the edit races with the rest of the turn
            self.edited.acquire()
        return Reply(FINAL if self.said > 20 else f"Turn {self.said}.\n```python\nprint('turn', {self.said})\n```")


def test_twenty_edits_on_disk_and_twenty_turns_are_all_there(path, bare_zygote):
    edit(path, lambda nb: nb.cells.pop())
    vlm = EditedWhile(path)

    def person() -> None:
        for number in range(20):
            vlm.asked.acquire()
            other = path.with_name("other")
            nb = nbformat.read(path, as_version=4)
            if number % 4 == 3:
                nb.cells[1 + number % 3].source += f"\n# edit {number}"
            else:
                nb.cells.insert(2 + number % len(nb.cells[2:]), new_markdown_cell(f"edit {number}"))
            other.write_text(nbformat.writes(nb))
            os.replace(other, path)
            vlm.edited.release()

    somebody = threading.Thread(target=person, daemon=True)
    somebody.start()
    resume(path, agent=vlm, limits=Limits(turns=100), zygote=bare_zygote)
    somebody.join()
    nb = Investigation.open(path).nb
    whole = "\n".join(cell.source for cell in nb.cells)
    assert [number for number in range(20) if f"edit {number}" not in whole] == []
    assert [number for number in range(1, 21) if f"Turn {number}." not in whole] == []
    assert [number for number in range(1, 21) if printed(nb, f"'turn', {number})") != f"turn {number}\n"] == []
    heard = "\n".join(message.text for message in vlm.requests[-1])
    assert "edits were merged" in heard
    assert all(f"edit {number}" in heard for number in range(20))


class While:
    """A watcher that edits the file as soon as the first cell of a turn runs."""

    def __init__(self, path: Path, change: Callable[[NotebookNode], object]):
        self._nobody, self._path, self._change = Nobody(), path, change

    def __getattr__(self, name: str) -> object:
        return getattr(self._nobody, name)

    def running(self, cell: NotebookNode) -> None:
        if "first" in cell.source and self._change is not None:
            edit(self._path, self._change)
            self._change = None


TWO = "Two.\n```python\nprint('first')\n```\n```python\nprint('second')\n```"


@pytest.mark.parametrize("kind", ["markdown", "raw"])
def test_a_waiting_cell_that_becomes_text_is_not_run(path, go_on, kind):
    def change(nb: NotebookNode) -> None:
        cell = coded(nb, "'second'")
        nb.cells[nb.cells.index(cell)] = NotebookNode(
            id=cell.id, cell_type=kind, source=cell.source, metadata=cell.metadata
        )

    vlm = go_on(path, TWO, FINAL, question="And?", watch=While(path, change))
    (cell,) = [cell for cell in Investigation.open(path).nb.cells if cell.source == "print('second')"]
    assert cell.cell_type == kind
    assert "was changed" in vlm.requests[1][-1].text


def test_a_waiting_cell_that_is_tagged_is_skipped(path, go_on):
    edit_tag = lambda nb: coded(nb, "'second'").metadata.update(tags=["skip-execution"])  # noqa: E731
    vlm = go_on(path, TWO, FINAL, question="And?", watch=While(path, edit_tag))
    assert "Output of turn 5, code cell 2 of 2:\n\n(not run" in vlm.requests[1][-1].text
    assert coded(Investigation.open(path).nb, "'second'").outputs == []


def test_two_at_once_are_refused(path, go_on):
    class Second(ScriptedVLM):
        def reply(self, messages: list[Message]) -> Reply:
            with pytest.raises(UsageError, match="another maia process is working on"):
                go_on(path, question="Me, too?")
            return super().reply(messages)

    vlm = Second([FINAL])
    resume(path, agent=vlm, question="And?")
    assert "Me, too?" not in path.read_text()


def test_a_cell_that_was_broken_off_and_repaired_is_run(path, go_on):
    """A raw cell, left by a run that was killed, becomes code again."""

    def repair(nb: NotebookNode) -> None:
        cell = coded(nb, "'sum'")
        del cell.metadata["maia"]["ran_sha256"]
        cell.source, cell.outputs = "print('repaired', x)", []

    edit(path, repair)
    (request,) = go_on(path).requests
    said = "\n".join(message.text for message in request)
    assert "repaired 11" in said
    assert "broken off" not in said


def test_a_kernel_that_dies_in_a_notebook_without_set_up_cells_is_revived(path, go_on):
    edit(path, lambda nb: [cell.metadata.pop("maia", None) for cell in nb.cells])
    vlm = go_on(path, python("import os\nos._exit(1)"), python("print('alive')"), FINAL, question="And?")
    assert "killed its kernel" in vlm.requests[1][-1].text
    assert "alive" in vlm.requests[2][-1].text


def test_outputs_are_named_by_the_cells_that_they_belong_to(path, go_on):
    three = TWO.replace("print('second')", "import os\nos._exit(1)") + "\n```python\nprint('third')\n```"
    vlm = go_on(path, three, FINAL, question="And?")
    told = vlm.requests[1][-1].text
    assert "Output of turn 5, code cell 2 of 3:\n\n(left out" in told
    assert "Output of turn 5, code cell 3 of 3:\n\n(not run" in told
    assert "Code cell 2 of 3 of turn 5 killed its kernel" in told


def test_a_linked_notebook_stays_a_link(path, go_on):
    link = path.with_name("link.ipynb")
    link.symlink_to(path)
    go_on(link, question="And?")
    assert link.is_symlink()
    assert "And?" in path.read_text()


@pytest.mark.parametrize("facts", ["x", None, [1]])
def test_metadata_that_is_none_is_dropped(path, go_on, facts):
    raw = json.loads(path.read_text())
    raw["metadata"]["maia"] = facts
    raw["cells"][2]["metadata"]["maia"] = facts
    path.write_text(json.dumps(raw))
    assert go_on(path, question="And?").requests


def test_a_cell_is_known_by_the_beginning_of_its_id(path, go_on):
    name = coded(Investigation.open(path).nb, "y = x").id
    go_on(path, from_cell=name[:6])
    assert path.with_name("a-2.ipynb").exists()


def test_each_unreadable_version_is_kept(path):
    notebook = Investigation.open(path)
    for number in (1, 2):
        path.write_text(f"rubbish {number}")
        (notice,) = notebook.save()
        assert "is kept in a.unreadable" in notice.text
    kept = sorted(other.read_text() for other in path.parent.glob("*.unreadable*"))
    assert kept == ["rubbish 1", "rubbish 2"]
    assert Investigation.open(path).nb.cells == notebook.nb.cells


def test_a_version_that_is_met_twice_is_merged_and_told_once(path):
    ours, theirs = Investigation.open(path).nb, Investigation.open(path).nb
    coded(theirs, "y = x").source = "y = x * 3"
    theirs.cells.append(new_markdown_cell("Look at cats."))
    assert len(edits.merge(ours, theirs)) == 2
    assert edits.merge(ours, theirs) == ()
