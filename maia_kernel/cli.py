"""The ``maia`` command: one visible wiring per verb, nothing clever. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from maia_kernel.arguments import parser
from maia_kernel.errors import MaiaError, UsageError

if TYPE_CHECKING:
    import argparse

    from maia_kernel.driver.agent import Limits


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; the exit code is 0, 2 for a wrong call, 1 for a negative result or a failure."""
    options = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows another
    try:
        return int(_VERBS[options.verb](options))
    except UsageError as error:
        return _fail(error, 2)
    except MaiaError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("stopped", 130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away, which is not our failure to report
        return 1


def _fail(error: object, code: int) -> int:
    sys.stderr.write(f"maia: {' '.join(str(error).split())}\n")
    return code


def _run(options: argparse.Namespace) -> int:
    import os

    from maia_kernel.console import Terminal
    from maia_kernel.driver.investigate import investigate
    from maia_kernel.driver.vlm import choose

    terminal = Terminal(quiet=options.quiet)
    vlm = choose(options.agent, options.base_url, os.environ)
    terminal.begins(vlm, f"unit {options.unit} in {options.layer} of {options.model}", options.question)
    notebook = investigate(
        options.model,
        options.layer,
        options.unit,
        dataset=options.dataset,
        generator=options.generator,
        editor=options.editor,
        describer=options.describer,
        seed=options.seed,
        agent=vlm,
        task=options.task,
        question=options.question,
        limits=_limits(options),
        prompts=options.prompts,
        out=options.out,
        watch=terminal,
    )
    return 0 if notebook.final is not None else 1


def _continue(options: argparse.Namespace) -> int:
    import os
    from pathlib import Path

    from maia_kernel.console import Terminal
    from maia_kernel.driver.notebook import Investigation
    from maia_kernel.driver.resume import resume, settled
    from maia_kernel.driver.vlm import choose

    terminal = Terminal(quiet=options.quiet)
    investigation = Investigation.open(Path(options.notebook))
    if options.question is None and options.from_cell is None and settled(investigation):
        terminal.say(f"{options.notebook} is finished, and nothing was edited since; ask on with --question")
        return 0
    agent = options.agent or investigation.nb.metadata.get("maia", {}).get("agent", "offline")
    vlm = choose(agent, options.base_url, os.environ)
    terminal.begins(vlm, options.notebook, options.question)
    notebook = resume(
        options.notebook,
        agent=vlm,
        question=options.question,
        from_cell=options.from_cell,
        out=options.out,
        strict=options.strict,
        limits=_limits(options),
        watch=terminal,
    )
    return 0 if notebook.final is not None else 1


def _messages(options: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from maia_kernel.driver.notebook import Investigation

    wire = [message.wire() for message in Investigation.open(Path(options.notebook)).messages()]
    sys.stdout.buffer.write(json.dumps(wire, ensure_ascii=False, indent=1).encode() + b"\n")
    return 0


def _rerun(options: argparse.Namespace) -> int:
    from pathlib import Path

    from maia_kernel.console_rerun import Rerun
    from maia_kernel.driver.verify import rerun

    out = None if options.out is None else Path(options.out)
    with Rerun(quiet=options.json) as console:
        report = rerun(
            Path(options.notebook),
            in_place=options.in_place,
            out=out,
            strict=options.strict,
            cell_timeout=options.cell_timeout,
            watch=console.tell,
        )
    if options.json:
        sys.stdout.write(report.json() + "\n")
    else:
        console.show(report)
    return 0 if report.holds else 1


def _bundle(options: argparse.Namespace) -> int:
    from pathlib import Path

    from maia_kernel.console_rerun import Rerun
    from maia_kernel.driver.bundle import bundle

    with Rerun() as console:
        bundled = bundle(
            Path(options.notebook),
            Path(options.out),
            dataset_images=not options.without_dataset_images,
            model=options.with_model,
            watch=console.tell,
        )
    console.say(str(bundled))
    return 0


def _unbundle(options: argparse.Namespace) -> int:
    from pathlib import Path

    from maia_kernel.driver.bundle import unbundle

    source = Path(options.bundle)
    notebook = unbundle(source, source.with_suffix("") if options.out is None else Path(options.out))
    sys.stdout.write(f"{notebook}\n")
    return 0


def _lab(options: argparse.Namespace) -> int:
    from pathlib import Path

    from maia_kernel.driver.jupyter import open_lab

    return open_lab(None if options.notebook is None else Path(options.notebook))


def _kernelspec_install(options: argparse.Namespace) -> int:
    from pathlib import Path

    from maia_kernel.driver.jupyter import DISPLAY_NAME, install_kernelspec

    where = install_kernelspec(options.name, None if options.prefix is None else Path(options.prefix))
    sys.stdout.write(f"{where}\n")
    if options.name != "python3":  # which notebooks ask for by themselves
        sys.stdout.write(f"choose it once per notebook: Kernel, Change Kernel…, {DISPLAY_NAME}\n")
    return 0


def _shrink(options: argparse.Namespace) -> int:
    from pathlib import Path

    from maia_kernel.driver.shrink import shrink

    before, after = shrink(Path(options.notebook), colours=options.colours)
    sys.stdout.write(f"{options.notebook}: {before / 1e6:.1f} MB -> {after / 1e6:.1f} MB\n")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from maia_kernel.doctor import report

    healthy, lines = report()
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if healthy else 1


def _bench_synthetic(options: argparse.Namespace) -> int:
    import os
    from pathlib import Path

    from maia_kernel.bench import synthetic
    from maia_kernel.bench.table import tables
    from maia_kernel.console import Bench
    from maia_kernel.driver.vlm import choose

    vlm = choose(options.agent, options.base_url, os.environ)
    settings = synthetic.Settings(
        agent=vlm.name,
        seeds=options.seeds,
        world_seed=options.world_seed,
        quick=options.quick,
        generator=options.generator,
        editor=options.editor,
        max_turns=options.max_turns,
    )
    if options.json is not None:
        synthetic.check_writable(Path(options.json))
    folder = synthetic.new_folder() if options.out is None else Path(options.out)
    with Bench(folder) as console:
        console.begins(vlm, synthetic.investigations(settings), settings.max_turns)
        workers = options.jobs or os.cpu_count() or 1
        results = synthetic.run(settings, vlm, folder=folder, workers=workers, tell=console.tell)
    if options.json is not None:
        synthetic.write_json(Path(options.json), results)
    console.show(tables(results))
    console.ended(results["took"]["made"], results["took"]["seconds"])
    return 1 if results["failed"] else 0


def _limits(options: argparse.Namespace) -> Limits:
    from maia_kernel.driver.agent import Limits

    return Limits(options.max_turns, options.cell_timeout, options.max_seconds, options.max_tokens_total)


_VERBS = {
    "run": _run,
    "continue": _continue,
    "messages": _messages,
    "rerun": _rerun,
    "bundle": _bundle,
    "unbundle": _unbundle,
    "lab": _lab,
    "kernelspec_install": _kernelspec_install,
    "shrink": _shrink,
    "doctor": _doctor,
    "bench_synthetic": _bench_synthetic,
}


if __name__ == "__main__":
    sys.exit(main())
