"""What a turn costs beside raw jupyter_client, and whether it costs more late in a run.

    python benchmarks/turn.py [--rounds 30]

One cell shows 15 pictures of 224 px and prints 15 lines. Three ways of running it take turns, in two kernels that are
set up alike (ipc; PIL images encoded once, as PNG at level 1), so that other load on the machine meets all of them:

- raw: execute, and read iopub and shell until both are done, with jupyter_client's blocking client; outputs are
  built with nbformat and kept;
- turn 5, turn 100: the reply is parsed and appended to a notebook of that many turns, and its cell run there.

Medians, and the median of the ratios within a round. What a turn does besides, once, is shown separately: saving
the notebook, and making the next request's messages from it.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager
from nbformat.v4 import new_code_cell, output_from_msg

from maia_kernel.driver import cells
from maia_kernel.driver.kernel import Kernel
from maia_kernel.driver.messages import Reply
from maia_kernel.driver.notebook import Investigation

SETUP = """
import io
import numpy as np
from IPython.display import display
from PIL import Image, ImageDraw

def encode(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()

formatters = get_ipython().display_formatter.formatters
formatters["image/png"].for_type(Image.Image, encode)
formatters["image/jpeg"].for_type(Image.Image, lambda image: None)

def natural(seed):
    # Smooth light and shade, a few things in it, and a little grain.
    random = np.random.default_rng(seed)
    scales = [Image.fromarray(random.integers(0, 256, (n, n, 3), np.uint8)).resize((224, 224), Image.Resampling.BICUBIC)
              for n in (3, 7, 15)]
    image = Image.fromarray(np.mean([np.asarray(scale) for scale in scales], axis=0).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        x, y, r = (int(v) for v in random.integers(20, 200, 3))
        draw.ellipse((x, y, x + r // 2, y + r // 2), fill=tuple(int(v) for v in random.integers(0, 256, 3)))
    grain = random.normal(0, 2, (224, 224, 3))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))

pictures = [natural(seed) for seed in range(15)]
"""
TURN = "for number, picture in enumerate(pictures):\n    print('activation', number)\n    display(picture)"
REPLY = f"The unit may respond to round things; these pictures test it.\n\n```python\n{TURN}\n```\n"


class Raw:
    """What everybody writes with jupyter_client."""

    def __init__(self, folder: Path):
        self.manager = KernelManager(
            transport="ipc", ip=str(folder / "raw"), connection_file=str(folder / "raw.json"), kernel_name="python3"
        )
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)

    def run(self, source: str) -> list[Any]:
        request, outputs = self.client.execute(source), []
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind = message["msg_type"]
            if kind == "status" and message["content"]["execution_state"] == "idle":
                break
            if kind in ("stream", "display_data", "execute_result", "error"):
                outputs.append(output_from_msg(message))
        while self.client.get_shell_msg(timeout=60)["parent_header"].get("msg_id") != request:
            pass
        return outputs

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def turn(notebook: Investigation, kernel: Kernel) -> None:
    for cell in notebook.append(cells.parse(REPLY), Reply(REPLY)):
        result = kernel.run(cell, timeout=60)
        if result.status != "ok" or len(cell.outputs) != 30:
            sys.exit(f"the cell did not run as it should: {result}, {len(cell.outputs)} outputs")
        notebook.ran(cell)


def undone(notebook: Investigation, action: Callable[[], None]) -> Callable[[], None]:
    """The action, after which the notebook is as long as before; the cut is not part of what is measured."""
    length = len(notebook.nb.cells)

    def act() -> None:
        del notebook.nb.cells[length:]
        action()

    return act


def filled(path: Path, turns: int, kernel: Kernel) -> Investigation:
    """A notebook of so many turns, each with pictures of its own."""
    notebook = Investigation.new(path, agent="benchmark", task="neuron")
    notebook.add("user", "What does the unit respond to?")
    turn(notebook, kernel)
    outputs = notebook.nb.cells[-1].outputs
    while notebook.turn < turns:
        (cell,) = notebook.append(cells.parse(REPLY), Reply(REPLY))
        cell.outputs = copy.deepcopy(outputs)
        notebook.ran(cell)
    return notebook


def timed(action: Callable[[], Any]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=30, help="how often each way is measured (30)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="b") as name, Kernel() as kernel:
        folder = Path(name)
        raw = Raw(folder)
        try:
            measure(folder, raw, kernel, rounds)
        finally:
            raw.stop()


def measure(folder: Path, raw: Raw, kernel: Kernel, rounds: int) -> None:
    raw.run(SETUP)
    kernel.run(new_code_cell(SETUP))
    early, late = (filled(folder / f"{turns}.ipynb", turns - 1, kernel) for turns in (5, 100))
    ways: dict[str, Callable[[], Any]] = {
        "raw": lambda: raw.run(TURN),
        "turn 5": undone(early, lambda: turn(early, kernel)),
        "turn 100": undone(late, lambda: turn(late, kernel)),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    order = list(ways)
    for _ in range(3 + rounds):
        for way in order:
            times[way].append(timed(ways[way]))
        order.append(order.pop(0))  # nobody always comes first
    times = {way: values[3:] for way, values in times.items()}  # warm
    shown = sum(len(output["data"]["image/png"]) for output in raw.run(TURN) if "data" in output)
    print(f"a cell that shows 15 PIL images of 224 px ({shown / 1e6:.2f} MB of base64) and prints 15 lines; "
          f"{rounds} rounds, ms")  # fmt: skip
    print(f"{'':<22}{'median':>8}{'fastest':>9}")
    for way, values in times.items():
        print(f"{way:<22}{statistics.median(values):>8.1f}{min(values):>9.1f}")
    for above, below, bound in (("turn 5", "raw", "at most 1.30"), ("turn 100", "turn 5", "0.90 to 1.10")):
        ratio = statistics.median(a / b for a, b in zip(times[above], times[below], strict=True))
        print(f"{above + ' / ' + below:<22}{ratio:>8.2f}{'':>9}   ({bound})")
    print("besides, per turn")
    for notebook, when in ((early, "turn 5"), (late, "turn 100")):
        for what, action in (("save", notebook.save), ("messages", notebook.messages)):
            values = [timed(action) for _ in range(5)]
            print(f"{what + ', ' + when:<22}{statistics.median(values):>8.1f}{min(values):>9.1f}")
        print(f"{'file, ' + when:<22}{notebook.path.stat().st_size / 1e6:>8.1f} MB")


if __name__ == "__main__":
    main()
