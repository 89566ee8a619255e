"""The live kernel: real kernels, cold and forked ones, cells of every kind of misbehaviour."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from maia_kernel.artifacts import Scratch
from maia_kernel.driver import kernel as module
from maia_kernel.driver.collector import Collector
from maia_kernel.driver.connection import Limits
from maia_kernel.driver.kernel import Kernel, Result
from maia_kernel.driver.zygote import Zygote, available
from maia_kernel.errors import KernelError

PNG = base64.b64encode(b"\x89PNG not really").decode()
SHOW = f"""
from IPython.display import display, clear_output
def picture(name):
    display({{"image/png": "{PNG}", "text/plain": name}}, raw=True)
"""


@pytest.fixture(scope="module", params=["cold", "forked"])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel for all tests that leave it alive; what holds for a cold one holds for a forked one."""
    folder = tmp_path_factory.mktemp("scratch")
    if request.param == "forked" and not available():
        pytest.skip("kernels cannot be forked here")
    with contextlib.ExitStack() as stack:
        zygote = stack.enter_context(Zygote()) if request.param == "forked" else None
        yield stack.enter_context(Kernel(cwd=folder, limits=Limits(text=20_000, total=200_000), zygote=zygote))


@pytest.fixture
def kernel(live: Kernel) -> Kernel:
    """The shared kernel, restarted when the last test killed it."""
    if not live.alive:
        live.restart()
    return live


def run(kernel: Kernel, source: str, timeout: float | None = 30, **options: object) -> tuple[Result, NotebookNode]:
    cell = new_code_cell(source)
    result = kernel.run(cell, timeout=timeout, **options)  # type: ignore[arg-type]
    nbformat.validate(new_notebook(cells=[cell]))
    return result, cell


def written(cell: NotebookNode) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def gone(pid: int) -> bool:
    """Whether a process has ended, or is only waiting to be reaped by somebody else."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for_end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        select.select([descriptor], [], [], 60)
        os.close(descriptor)


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


# Cells that end


def test_outputs_and_count_are_filled_in_place(kernel: Kernel):
    cell = new_code_cell("import sys\nprint('a'); print('b')\nprint('c', file=sys.stderr)\n6 * 7")
    cell.outputs = [nbformat.v4.new_output("stream", text="old")]
    result = kernel.run(cell)
    assert (result.status, result.error, result.note) == ("ok", None, "")
    assert result.seconds > 0
    first, second, value = cell.outputs
    assert (first.name, first.text) == ("stdout", "a\nb\n")
    assert (second.name, second.text) == ("stderr", "c\n")
    assert value.data["text/plain"] == "42"
    assert value.execution_count == cell.execution_count >= 1


def test_names_live_from_cell_to_cell(kernel: Kernel):
    run(kernel, "x = 3\ndef f(): return [x * i for i in range(2)]")
    assert written(run(kernel, "print(f())")[1]) == "[0, 3]\n"


def test_an_error_is_an_output_and_a_result(kernel: Kernel):
    result, cell = run(kernel, "print('before')\n1/0")
    assert (result.status, result.error) == ("error", ("ZeroDivisionError", "division by zero"))
    assert [output.output_type for output in cell.outputs] == ["stream", "error"]
    assert run(kernel, "x =")[0].error == ("SyntaxError", "invalid syntax (Cell, line 1)")


def test_an_empty_cell_is_ok(kernel: Kernel):
    result, cell = run(kernel, " \n")
    assert (result.status, cell.outputs) == ("ok", [])


def test_pictures_and_text_stay_in_order(kernel: Kernel):
    _, cell = run(kernel, SHOW + "for i in range(3):\n    print(i)\n    picture(f'picture {i}')")
    assert [output.get("text") or output.data["text/plain"] for output in cell.outputs] == [
        "0\n", "picture 0", "1\n", "picture 1", "2\n", "picture 2",
    ]  # fmt: skip
    assert cell.outputs[1].data["image/png"] == PNG


def test_unicode_survives_and_lone_surrogates_do_no_harm(kernel: Kernel):
    assert written(run(kernel, "print('ünïcödé 漢字 🐕')")[1]) == "ünïcödé 漢字 🐕\n"
    result, _ = run(kernel, "print('a\ud800b')")
    assert result.status == "ok"
    assert run(kernel, r"print('a\ud800b')")[0].status == "ok"
    # ipykernel cannot send it, and on a busy machine it drops what the next cell prints along with it; no more.
    assert "1\n" in [written(run(kernel, "print(1)")[1]) for _ in range(2)]


def test_a_display_is_updated_in_its_place(kernel: Kernel):
    source = SHOW + "handle = display('one', display_id=True)\nprint('text')\nhandle.update('two')"
    _, cell = run(kernel, source)
    assert [output.get("text") or output.data["text/plain"] for output in cell.outputs] == ["'two'", "text\n"]
    _, later = run(kernel, "handle.update('three')")
    assert cell.outputs[0].data["text/plain"] == "'two'", "what was seen stays"
    assert [output.data["text/plain"] for output in later.outputs] == ["'three'"]


def test_clear_output_clears_at_once_or_with_the_next_output(kernel: Kernel):
    assert written(run(kernel, SHOW + "print('a'); clear_output(); print('b')")[1]) == "b\n"
    assert written(run(kernel, "print('a'); clear_output(wait=True); print('b')")[1]) == "b\n"
    assert written(run(kernel, "print('a'); clear_output(wait=True)")[1]) == "a\n"


def test_a_progress_bar_leaves_one_line(kernel: Kernel):
    _, cell = run(kernel, "for i in range(5): print(f'\\r{i * 25}%', end='')")
    assert written(cell) == "100%"


def test_paths_and_addresses_do_not_enter_outputs(kernel: Kernel):
    _, cell = run(kernel, "import os, json\nprint(os.getcwd()); print(object()); json.loads('{')")
    lines = written(cell).splitlines()
    assert lines == [".", "<object object at 0x…>"]
    assert sys.prefix not in str(cell.outputs)
    assert os.path.expanduser("~/") not in str(cell.outputs)


def test_help_is_an_output(kernel: Kernel):
    assert "Docstring" in str(run(kernel, "print?")[1].outputs)


def test_a_thread_that_prints_later_is_heard_in_the_next_cell(kernel: Kernel):
    start = """
import threading
gate, done = threading.Event(), threading.Event()
def late():
    gate.wait(); print("late"); done.set()
threading.Thread(target=late).start()
"""
    assert run(kernel, start)[1].outputs == []
    assert written(run(kernel, "gate.set(); done.wait(10); print('now')")[1]) == "late\nnow\n"


def test_outputs_are_announced_while_the_cell_runs(kernel: Kernel, tmp_path: Path):
    cell = new_code_cell(
        f"import os\nprint('first', flush=True)\nwhile not os.path.exists({str(tmp_path / 'go')!r}): pass"
    )
    seen: list[str] = []

    def look() -> None:
        seen.append(written(cell))
        (tmp_path / "go").touch()  # the cell ends only when its first output was announced

    result = kernel.run(cell, timeout=30, on_output=look)
    assert result.status == "ok"
    assert seen == ["first\n"]


def test_a_failing_callback_stops_the_cell(kernel: Kernel):
    def fail() -> None:
        raise RuntimeError("disk full")

    cell = new_code_cell("import time\nprint('x', flush=True)\ntime.sleep(60)")
    with pytest.raises(RuntimeError, match="disk full"):
        kernel.run(cell, on_output=fail)
    assert written(cell) == "x\n"
    result, after = run(kernel, "print('next')", timeout=10)
    assert result.status == "ok"
    assert "next\n" in written(after)


# Cells that do not end


def test_a_cell_beyond_its_time_is_interrupted(kernel: Kernel):
    result, cell = run(kernel, "print('partial', flush=True)\nwhile True: pass", timeout=0.3)
    assert result.status == "timeout"
    assert result.note == "interrupted after 0.3 s"
    assert result.error == ("KeyboardInterrupt", "")
    assert cell.outputs[0].text == "partial\n"
    assert 0.3 <= result.seconds < 10
    assert run(kernel, "1")[0].status == "ok"


def test_a_cell_that_swallows_the_interrupt_loses_its_kernel(kernel: Kernel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    source = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('partial', flush=True)\nwhile True: pass"
    )
    result, cell = run(kernel, source, timeout=1)
    assert result.status == "timeout"
    assert "killed and must be restarted" in result.note
    assert written(cell) == "partial\n"
    assert not kernel.alive
    assert run(kernel, "1")[0].status == "died"
    kernel.restart()
    assert written(run(kernel, "print(1)")[1]) == "1\n"


def test_a_flood_is_interrupted_and_bounded(kernel: Kernel):
    result, cell = run(kernel, "while True: print('x' * 500)")
    assert (result.status, result.error) == ("error", ("KeyboardInterrupt", ""))
    assert "more than 20,000 bytes of text" in result.note
    assert "left out" in written(cell)
    assert 10_000 < len(written(cell)) < 21_000
    assert run(kernel, "1")[1].outputs[0].data["text/plain"] == "1"


def test_a_flood_in_one_message_is_cut(kernel: Kernel):
    result, cell = run(kernel, "print('x' * 30_000_000)")
    assert result.status in ("ok", "error")
    assert 10_000 < len(written(cell)) < 21_000
    assert "left out" in written(cell)


def test_a_flood_of_pictures_is_bounded_and_updates_are_not_counted(kernel: Kernel):
    big = "\nbig = {'image/png': 'A' * 50_000, 'text/plain': 'p'}\n"
    result, cell = run(kernel, SHOW + big + "while True: display(big, raw=True)")
    assert "more than 200,000 bytes of output" in result.note
    assert [output.output_type for output in cell.outputs[:3]] == ["display_data"] * 3
    assert len(str(cell.outputs)) < 220_000
    result, cell = run(
        kernel, "h = display(big, raw=True, display_id=True)\nfor _ in range(9): h.update(big, raw=True)"
    )
    assert (result.status, result.note, len(cell.outputs)) == ("ok", "", 1)


def test_input_is_refused_at_once(kernel: Kernel):
    result, _ = run(kernel, "input('name? ')", timeout=20)
    assert result.status == "error"
    assert result.error is not None
    assert result.error[0] == "StdinNotImplementedError"


# Kernels that die


@pytest.mark.parametrize(
    ("source", "note"),
    [
        ("import os; os._exit(3)", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "exit code -9 (SIGKILL"),
        ("exit()", "ends the kernel"),
    ],
)
def test_a_dead_kernel_is_noticed_soon(kernel: Kernel, source: str, note: str):
    result, cell = run(kernel, "print('before')\nimport sys; sys.stdout.flush()\n" + source, timeout=30)
    assert result.status == "died"
    assert note in result.note
    assert result.seconds < 5
    assert not kernel.alive
    assert cell.outputs == [] or written(cell) == "before\n"  # what ipykernel had not sent yet is lost with it
    kernel.restart()
    assert run(kernel, "print(1)")[0].status == "ok"


# Starting and stopping


def test_a_missing_kernelspec_is_one_line():
    with pytest.raises(KernelError) as caught:
        Kernel(kernel_name="no-such-kernel").start()
    assert "no-such-kernel" in str(caught.value)
    assert "python3" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_kernel_that_does_not_come_up_is_one_line_and_leaves_nothing(tmp_path: Path):
    (tmp_path / "ipykernel_launcher.py").write_text("raise SystemExit('the disk is on fire')")
    kernel = Kernel(env={**os.environ, "PYTHONPATH": str(tmp_path), "TMPDIR": str(tmp_path)})
    with pytest.raises(KernelError) as caught:
        kernel.start()
    assert "exit code 1: the disk is on fire" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not kernel.alive


def test_a_missing_working_directory_is_one_line(tmp_path: Path):
    with pytest.raises(KernelError, match="does not exist"):
        Kernel(cwd=tmp_path / "nowhere").start()


def test_a_kernel_that_was_never_started_says_so():
    with pytest.raises(KernelError, match=r"start\(\)"):
        Kernel().run(new_code_cell("1"))


@linux
def test_the_environment_and_directory_are_what_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    given = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PLANT": "fern", "LANG": "C.UTF-8"}
    source = "open('environment', 'wb').write(open('/proc/self/environ', 'rb').read());"
    with Kernel(env=given, cwd=tmp_path) as kernel:
        run(kernel, source)
    found = (tmp_path / "environment").read_bytes().decode().rstrip("\0").split("\0")
    assert dict(entry.split("=", 1) for entry in found) == {**given, "JPY_PARENT_PID": str(os.getpid())}


@linux
def test_nothing_is_left_after_shutdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kernel = Kernel()
    kernel.start()
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    source = "import os, subprocess\nchild = subprocess.Popen(['sleep', '600'])\nprint(os.getpid(), child.pid)"
    pids = [int(pid) for pid in written(run(kernel, source)[1]).split()]
    assert not any(gone(pid) for pid in pids)
    kernel.shutdown()
    assert all(gone(pid) for pid in pids)
    assert list(tmp_path.iterdir()) == []
    assert not kernel.alive
    kernel.shutdown()


@linux
def test_a_kernel_that_nobody_holds_is_stopped():
    kernel = Kernel()
    kernel.start()
    pid = int(written(run(kernel, "import os; print(os.getpid())")[1]))
    del kernel
    assert gone(pid)


ORPHAN = """
import os, signal, sys
from nbformat.v4 import new_code_cell
from maia_kernel.driver.kernel import Kernel
kernel = Kernel()
kernel.start()
cell = new_code_cell("import os; print(os.getpid())")
kernel.run(cell)
print(cell.outputs[0].text.strip(), flush=True)
{end}
"""


@linux
@pytest.mark.parametrize("end", ["raise RuntimeError", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_no_kernel_outlives_its_driver(end: str):
    driver = subprocess.run(
        [sys.executable, "-c", ORPHAN.format(end=end)], capture_output=True, text=True, timeout=120, check=False
    )
    pid = int(driver.stdout)
    if "kill" in end:  # nobody is left to stop the kernel: it looks for its parent itself, once a second
        assert driver.returncode == -signal.SIGKILL
        wait_for_end(pid)
    else:
        assert "RuntimeError" in driver.stderr
        assert "Exception ignored" not in driver.stderr
    assert gone(pid)


def test_a_loop_that_runs_in_the_calling_thread_does_no_harm():
    async def inside() -> str:
        with Kernel() as kernel:
            return written(run(kernel, "print(1)")[1])

    assert asyncio.run(inside()) == "1\n"


# The collector, where kernels are too slow to reach a case


def collected(*messages: tuple[str, dict[str, object]]) -> list[NotebookNode]:
    collector = Collector(lambda output: output)
    for kind, content in messages:
        collector.add(kind, content)
    return collector.outputs()


def test_streams_are_joined_until_something_comes_between():
    a, b = {"name": "stdout", "text": "a"}, {"name": "stderr", "text": "b"}
    nodes = collected(("stream", a), ("stream", a), ("stream", b), ("stream", a), ("comm_msg", {}), ("stream", a))
    assert [node.text for node in nodes] == ["aa", "b", "aa"]


def test_a_list_of_outputs_that_was_given_out_does_not_change():
    collector = Collector(lambda output: output)
    collector.add("stream", {"name": "stdout", "text": "a"})
    collector.add("display_data", {"data": {"text/plain": "1"}, "transient": {"display_id": "d"}})
    before = collector.outputs()
    collector.add("update_display_data", {"data": {"text/plain": "2"}, "transient": {"display_id": "d"}})
    assert before[1].data["text/plain"] == "1"
    assert collector.outputs()[1].data["text/plain"] == "2"


def test_malformed_messages_become_valid_outputs():
    nodes = collected(
        ("stream", {}), ("display_data", {"data": None, "transient": 3}), ("error", {"traceback": "x"}),
        ("execute_result", {"execution_count": "one"}), ("update_display_data", {"transient": {"display_id": "new"}}),
    )  # fmt: skip
    nbformat.validate(new_notebook(cells=[new_code_cell("", outputs=nodes)]))


def test_a_bundle_that_nbformat_forbids_becomes_text(kernel):
    _, cell = run(kernel, "from IPython.display import display\ndisplay({'text/plain': 5}, raw=True)")
    assert cell.outputs[0].data == {"text/plain": "5"}


def test_outputs_that_lag_behind_the_reply_of_a_silent_cell_are_waited_for(kernel, monkeypatch):
    monkeypatch.setattr(module, "SILENCE", 0.25)
    live = kernel._live
    take, reply = live.take, live.reply
    replied: list[object] = []
    polls = iter(range(3))

    def noticing(request):
        found = reply(request)
        replied.extend([found] if found else [])
        return found

    def lagging():
        # The drain thread is slow: nothing arrives before the reply, nor with the first looks after it.
        return take() if replied and next(polls, None) is None else []

    monkeypatch.setattr(live, "reply", noticing)
    monkeypatch.setattr(live, "take", lagging)
    result, cell = run(kernel, "import threading\nthreading.Event().wait(0.5)\nprint('late')")
    assert result.status == "ok"
    assert written(cell) == "late\n"


# -- artifacts ------------------------------------------------------------------------------------------------------

KEEP = """
import os
from pathlib import Path
from maia_kernel.artifacts import Store
store = Store([Path(os.environ["MAIA_STORE"].split(os.pathsep)[0])], Path(os.environ["MAIA_ACCOUNT"]))
def keep(n):
    request = {"kind": "describe", "backend": "b", "revision": "1", "n": n}
    store.put(request, {}, [b"text"])
    store.used(request, "made", what=f"text {n}")
"""


def test_what_a_cell_left_is_adopted_when_it_has_ended_and_discarded_when_it_was_stopped(tmp_path):
    def kept() -> int:
        return len(list((tmp_path / "kept").glob("describe/*/*/*.json")))

    with Scratch([tmp_path / "kept"]) as scratch, Kernel(cwd=tmp_path, scratch=scratch) as kernel:
        assert run(kernel, KEEP)[0].artifacts == ()
        result, _ = run(kernel, "keep(1); keep(2)")
        assert [(use.kind, use.how, use.what) for use in result.artifacts] == [
            ("describe", "made", "text 1"),
            ("describe", "made", "text 2"),
        ]
        result, _ = run(kernel, "keep(3); 1 / 0")
        assert [use.what for use in result.artifacts] == ["text 3"]
        result, _ = run(kernel, "keep(4)\nwhile True: pass", timeout=0.3)
        assert (result.status, result.artifacts, kept()) == ("timeout", (), 3)
        result, _ = run(kernel, "keep(5); os._exit(3)")
        assert (result.status, result.artifacts, kept()) == ("died", (), 3)
        kernel.restart()
        run(kernel, KEEP)
        result, _ = run(kernel, "keep(6)")
        assert (len(result.artifacts), kept()) == (1, 4)


def test_that_artifacts_cannot_be_kept_is_said_once(tmp_path):
    (tmp_path / "kept").write_text("a file")
    with Scratch([tmp_path / "kept"]) as scratch, Kernel(cwd=tmp_path, scratch=scratch) as kernel:
        run(kernel, KEEP)
        notes = [run(kernel, f"keep({n})")[0].note for n in (1, 2)]
    assert notes == ["artifacts are not kept (describe: Not a directory)", ""]
