"""Kernels that are forked: what they share with cold ones, who dies with whom, and that nothing is lost.

`test_kernel.py` runs its cells of every kind in a forked kernel, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell

from maia_kernel.driver.kernel import Kernel
from maia_kernel.driver.zygote import Zygote, available
from maia_kernel.errors import KernelError

pytestmark = pytest.mark.skipif(not available(), reason="kernels can be forked on Linux only")


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """One zygote for all tests that leave it alive; a kernel of its own imports no `wave`."""
    with Zygote(preload=("wave", "matplotlib.pyplot")) as zygote:
        yield zygote


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which the zygotes of a test can import, and no other process."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def printed(kernel: Kernel, source: str) -> str:
    cell = new_code_cell(source)
    result = kernel.run(cell, timeout=60)
    assert result.status == "ok", result
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def descriptors(kernel: Kernel, process: str) -> list[str]:
    """What a kernel's process, or its parent, has open."""
    source = f"import os, pathlib\nfor one in list(pathlib.Path(f'/proc/{{{process}}}/fd').iterdir()):\n"
    return printed(kernel, source + "    if one.is_symlink(): print(os.readlink(one))").splitlines()


def wait_for_end(*pids: int) -> None:
    """Wait until processes, which are not our children, have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            ended, _, _ = select.select([descriptor], [], [], 60)
            os.close(descriptor)
            assert ended, f"process {pid} is still there"


# Like a cold one


FACTS = """
import gc, json, os, signal, sys, threading, warnings
print(json.dumps({
    "argv": [part for part in [*sys.argv, *sys.orig_argv] if not part.endswith("k.json")],
    "path": sys.path, "flags": str(sys.flags), "environment": dict(os.environ), "directory": os.getcwd(),
    "names": sorted(globals()), "main": [__name__, sys.modules["__main__"].__dict__ is globals()],
    "count": [len(In), len(Out), get_ipython().execution_count], "filters": [str(entry) for entry in warnings.filters],
    "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
    "mask": str(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "collects": gc.isenabled(),
    "session": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()], "input": sys.stdin.read(),
    "streams": [sys.__stdout__.encoding, sys.__stdout__.errors, sys.__stdout__.line_buffering],
    "threads": threading.active_count(), "modules": sorted(name for name in sys.modules if "ipykernel" in name),
}))
"""


def test_a_forked_kernel_is_like_a_cold_one(tmp_path: Path):
    given = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PLANT": "fern", "LANG": "C.UTF-8", "TZ": "Asia/Tokyo"}
    with Zygote(env={key: value for key, value in given.items() if key != "PLANT"}) as zygote:
        facts = []
        for parent in (None, zygote):
            with Kernel(env=given, cwd=tmp_path, zygote=parent) as kernel:
                facts.append(json.loads(printed(kernel, FACTS)))
    cold, forked = facts
    assert forked == cold
    assert forked["environment"]["PLANT"] == "fern"


def test_the_zygote_has_only_the_environment_that_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    given = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    with Zygote(env=given) as zygote, Kernel(env=given, zygote=zygote) as kernel:
        for process in ("self", "{os.getppid()}"):
            found = printed(kernel, f"import os\nprint(open(f'/proc/{process}/environ').read())")
            assert "secret" not in found
        assert "OPENAI_API_KEY" not in printed(kernel, "print(os.environ)")


def test_what_was_preloaded_is_there_and_names_are_not(zygote: Zygote):
    with Kernel(zygote=zygote) as kernel:
        assert printed(kernel, "import sys; print('wave' in sys.modules, 'wave' in globals())") == "True False\n"
    with Kernel() as kernel:
        assert printed(kernel, "import sys; print('wave' in sys.modules)") == "False\n"


def test_a_figure_is_shown_though_pyplot_was_imported_before(zygote: Zygote):
    with Kernel(zygote=zygote) as kernel:
        cell = new_code_cell("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
        assert kernel.run(cell, timeout=60).status == "ok"
    assert ["image/png" in output.data for output in cell.outputs] == [True]


def test_kernels_do_not_share_their_randomness(zygote: Zygote):
    source = "import random, numpy; print(random.random(), numpy.random.rand(), numpy.random.default_rng().random())"
    numbers = []
    for _ in range(2):
        with Kernel(zygote=zygote) as kernel:
            numbers += printed(kernel, source).split()
    assert len(set(numbers)) == 6


def test_numpy_computes_after_the_fork(zygote: Zygote):
    with Kernel(zygote=zygote) as kernel:
        assert printed(kernel, "import numpy as np; a = np.ones((600, 600)); print((a @ a).sum())") == "216000000.0\n"


# Nothing is lost


def test_what_the_first_cell_prints_arrives(zygote: Zygote):
    expected = "".join(f"line {i}\n" for i in range(500))
    for _ in range(20):
        with Kernel(zygote=zygote) as kernel:
            assert printed(kernel, "import sys\nfor i in range(500): print('line', i); sys.stdout.flush()") == expected


def test_threads_fork_from_one_zygote_at_once(zygote: Zygote):
    together = threading.Barrier(3, timeout=60)

    def several(number: int) -> list[str]:
        said = []
        for round_ in range(3):
            together.wait()
            with Kernel(zygote=zygote, env={**os.environ, "NUMBER": f"{number}.{round_}"}) as kernel:
                said.append(printed(kernel, "import os; print(os.environ['NUMBER'])"))
        return said

    with ThreadPoolExecutor(3) as pool:
        said = list(pool.map(several, range(3)))
    assert said == [[f"{number}.{round_}\n" for round_ in range(3)] for number in range(3)]


def test_a_kernel_holds_nothing_of_its_parent_and_siblings(zygote: Zygote):
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(3):
            kernel = stack.enter_context(Kernel(zygote=zygote))
            held.append(set(descriptors(kernel, "os.getpid()")))
        parents = descriptors(kernel, "os.getppid()")
    assert parents.count("anon_inode:[pidfd]") >= 3
    assert not any("pidfd" in name for own in held for name in own)
    sockets = [{name for name in names if name.startswith("socket")} for names in (parents, *held)]
    assert len(set().union(*sockets)) == sum(map(len, sockets)), "no socket is held twice"


# Ends


def test_nothing_is_left_after_shutdown(zygote: Zygote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kernel = Kernel(zygote=zygote)
    kernel.start()
    source = "import os, subprocess\nchild = subprocess.Popen(['sleep', '600'])\nprint(os.getpid(), child.pid)"
    own, child = (int(pid) for pid in printed(kernel, source).split())
    kernel.shutdown()
    assert not Path(f"/proc/{own}").exists(), "reaped, not only ended"
    wait_for_end(child)
    assert list(tmp_path.iterdir()) == []
    kernel.shutdown()


def test_what_is_registered_for_the_end_is_done(zygote: Zygote, tmp_path: Path):
    with Kernel(zygote=zygote, cwd=tmp_path) as kernel:
        printed(kernel, "import atexit, pathlib\natexit.register(pathlib.Path('end').touch)")
        printed(kernel, "file = open('open', 'w'); file.write('text');")
    assert (tmp_path / "end").exists()
    assert (tmp_path / "open").read_text() == "text"


def test_a_kernel_that_nobody_holds_is_stopped(zygote: Zygote):
    kernel = Kernel(zygote=zygote)
    kernel.start()
    pid = int(printed(kernel, "import os; print(os.getpid())"))
    del kernel
    assert not Path(f"/proc/{pid}").exists()


def test_the_time_that_was_used_is_known_afterwards(zygote: Zygote):
    burn = "import resource, subprocess, sys, time\nwhile time.process_time() < {}: pass"
    child = "subprocess.run([sys.executable, '-c', 'import time\\nwhile time.process_time() < 0.6: pass']);"
    with Kernel(zygote=zygote) as kernel:
        assert kernel.cpu_seconds is None
        printed(kernel, burn.format(0.3) + "\n" + child)
        kernel.restart()
        first = kernel.cpu_seconds
        printed(kernel, burn.format(0.3))
    assert first is not None
    assert 0.75 <= first < 5, "its own and its child's"
    assert kernel.cpu_seconds is not None
    assert kernel.cpu_seconds >= first + 0.2, "all processes of this kernel"
    with Kernel() as cold:
        printed(cold, "1")
    assert cold.cpu_seconds is None


def test_a_zygote_that_died_takes_its_kernels_along_and_is_replaced():
    with Zygote() as zygote, Kernel(zygote=zygote) as kernel:
        parent = int(printed(kernel, "import os; print(os.getppid())"))
        os.kill(parent, signal.SIGKILL)
        result = kernel.run(new_code_cell("while True: pass"), timeout=60)
        assert (result.status, "SIGKILL" in result.note) == ("died", True)
        kernel.restart()
        assert int(printed(kernel, "import os; print(os.getppid())")) != parent
        assert kernel.alive
    assert not kernel.alive


DRIVER = """
import os, signal
from nbformat.v4 import new_code_cell
from maia_kernel.driver.kernel import Kernel
from maia_kernel.driver.zygote import Zygote
zygote = Zygote(preload=("json",))
kernels = [Kernel(zygote=zygote) for _ in range(2)]
for kernel in kernels:
    kernel.start()
    source = "import os, subprocess; print(os.getppid(), os.getpid(), subprocess.Popen(['sleep', '600']).pid)"
    cell = new_code_cell(source)
    kernel.run(cell)
    print(cell.outputs[0].text.strip(), flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["raise RuntimeError", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_neither_zygote_nor_kernels_outlive_the_driver(end: str):
    driver = subprocess.run(
        [sys.executable, "-c", DRIVER.format(end=end)], capture_output=True, text=True, timeout=120, check=False
    )
    assert driver.returncode == (-signal.SIGKILL if "kill" in end else 1)
    assert "Exception ignored" not in driver.stderr
    pids = {int(pid) for pid in driver.stdout.split()}
    assert len(pids) == 5, "one zygote, two kernels, and what each of them started"
    wait_for_end(*pids)


def test_a_driver_that_is_killed_while_modules_are_imported_leaves_nothing(folder: Path):
    (folder / "slow.py").write_text(
        "import os, pathlib\npathlib.Path('importing').write_text(str(os.getpid()))\n"
        "while not os.path.exists('go'): pass"
    )
    source = """
import os, signal
from maia_kernel.driver.zygote import Zygote
zygote = Zygote(preload=("slow", "a_module_that_would_fail"))
while not (os.path.exists("importing") and open("importing").read()): pass
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", source], cwd=folder, timeout=120, check=False)
    (folder / "go").touch()
    wait_for_end(int((folder / "importing").read_text()))


# Errors


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_module", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        (
            "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
            "has started threads",
        ),
        (
            "import sys, types\nsys.modules['torch.cuda'] = types.SimpleNamespace(is_initialized=lambda: True)",
            "uses CUDA already",
        ),
        ("import os; os.register_at_fork(before=lambda: os._exit(7))", r"died: .*exit code 7\); starting a kernel"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "exit code -9"),
    ],
)
def test_a_module_that_cannot_be_preloaded_is_one_line(folder: Path, source: str, message: str):
    (folder / "fragile.py").write_text(source)
    with Zygote(preload=("json", "fragile")) as zygote:
        for _ in range(2):  # it is tried again, and fails again
            with pytest.raises(KernelError, match=message) as caught:
                Kernel(zygote=zygote).start()
            assert "\n" not in str(caught.value)
        (folder / "fragile.py").write_text("mended = True")
        with Kernel(zygote=zygote) as kernel:
            assert printed(kernel, "import fragile; print(fragile.mended)") == "True\n"


def test_a_child_that_does_not_become_a_kernel_is_one_line(folder: Path):
    (folder / "fragile.py").write_text("import os; os.register_at_fork(after_in_child=lambda: os._exit(8))")
    with Zygote(preload=("fragile",)) as zygote, pytest.raises(KernelError, match=r"before .* \(exit code 8\)"):
        Kernel(zygote=zygote).start()


def test_a_closed_zygote_forks_no_more():
    zygote = Zygote()
    with Kernel(zygote=zygote) as kernel:
        zygote.close()
        assert not kernel.alive
        zygote.close()
    with pytest.raises(KernelError, match="closed"):
        kernel.start()


def test_a_kernel_of_another_python_is_started_as_usual(
    zygote: Zygote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    (tmp_path / "kernels" / "other").mkdir(parents=True)
    spec = {"argv": [str(other), "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "other"}
    (tmp_path / "kernels" / "other" / "kernel.json").write_text(json.dumps({**spec, "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    with Kernel(zygote=zygote, kernel_name="other") as kernel:
        cell = new_code_cell("import sys; 'wave' in sys.modules")
        kernel.run(cell)
    assert cell.outputs[0].data["text/plain"] == "False"
    assert kernel.cpu_seconds is None
