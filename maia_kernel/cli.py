"""The ``maia`` command: one visible wiring per verb, nothing clever. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from maia_kernel import __version__
from maia_kernel.errors import MaiaError, UsageError

if TYPE_CHECKING:
    from maia_kernel.driver.agent import Limits


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; the exit code is 0, 2 for a wrong call, 1 for a negative result or a failure."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows another
    try:
        return int(options.verb(options))
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
    from maia_kernel.driver.investigate import resume
    from maia_kernel.driver.notebook import Investigation
    from maia_kernel.driver.vlm import choose

    terminal = Terminal(quiet=options.quiet)
    investigation = Investigation.open(Path(options.notebook))
    if options.question is None and investigation.final is not None:
        terminal.say(f"{options.notebook} is finished; ask on with --question")
        return 0
    agent = options.agent or investigation.nb.metadata.get("maia", {}).get("agent", "offline")
    vlm = choose(agent, options.base_url, os.environ)
    terminal.begins(vlm, options.notebook, options.question)
    notebook = resume(
        options.notebook,
        agent=vlm,
        question=options.question,
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="maia",
        description="An interpretability agent that works in a Jupyter notebook.",
        epilog="'maia run' alone investigates a unit of the embedded world: no GPU, key or network is needed.",
    )
    parser.add_argument("--version", action="version", version=f"maia_kernel {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_run(verbs)
    _add_continue(verbs)
    messages = verbs.add_parser("messages", help="print what the agent would be sent next, as JSON")
    messages.add_argument("notebook", metavar="NB")
    messages.set_defaults(verb=_messages)
    _add_bench(verbs)
    doctor = verbs.add_parser("doctor", help="what this machine can do")
    doctor.set_defaults(verb=_doctor)
    return parser


def _add_run(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = verbs.add_parser("run", help="one investigation, saved as a notebook")
    study = run.add_argument_group("what is studied")
    study.add_argument("--model", default="scenes", help="the subject model (default: %(default)s)")
    study.add_argument("--layer", default="layer3", help="a layer by its dotted name (default: %(default)s)")
    study.add_argument("--unit", type=_unit, default=17, help="the unit: a number, or a name (default: %(default)s)")
    study.add_argument("--task", default="describe", help="the prompt task-TASK.md (default: %(default)s)")
    study.add_argument("--question", metavar="TEXT", help="a question of your own, in place of the task's")
    with_what = run.add_argument_group("instruments")
    with_what.add_argument("--dataset", default="scenes", help="where exemplars come from (default: %(default)s)")
    with_what.add_argument("--generator", default="scenes", help="text -> image (default: %(default)s)")
    with_what.add_argument("--editor", default="scenes", help="image + instruction -> image (default: %(default)s)")
    with_what.add_argument("--describer", default="scenes", help="image -> text (default: %(default)s)")
    with_what.add_argument("--seed", type=_seed, default=0, help="seed of every random choice (default: %(default)s)")
    _add_agent(run)
    where = run.add_argument_group("files")
    where.add_argument("--prompts", metavar="DIR", help="prompts that replace the shipped ones")
    where.add_argument(
        "--out", metavar="FILE.ipynb", help="the notebook; must not exist (default: a new one in investigations/)"
    )
    run.set_defaults(verb=_run)


def _add_continue(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    again = verbs.add_parser("continue", help="let the agent go on with a saved (and perhaps edited) notebook")
    again.add_argument("notebook", metavar="NB")
    again.add_argument("--question", metavar="TEXT", help="ask something further; reopens a finished notebook")
    _add_agent(again, default=None)
    again.set_defaults(verb=_continue)


def _add_bench(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    bench = verbs.add_parser("bench", help="measure an agent where the truth is known")
    benches = bench.add_subparsers(title="benches", metavar="BENCH", required=True)
    synthetic = benches.add_parser(
        "synthetic",
        help="neurons with a planted rule, beside baselines and an untrained control",
        description="Investigates synthetic neurons whose truth is known, and says how often it was found.",
        epilog="Called again with the same --out it goes on with what is not finished.",
    )
    who = synthetic.add_argument_group("who is measured")
    _add_agent_name(who, "offline")
    who.add_argument("--max-turns", type=_positive_int, default=25, metavar="N", help="default: %(default)s")
    what = synthetic.add_argument_group("on what")
    what.add_argument(
        "--seeds", type=_positive_int, default=1, metavar="N", help="of each neuron's investigation (default: 1)"
    )
    what.add_argument(
        "--world-seed", type=_seed, default=0, metavar="N", help="another makes neurons that nobody has seen"
    )
    what.add_argument("--quick", action="store_true", help="a sample of the neurons: two minutes on two cores")
    what.add_argument("--generator", default="scenes", help="text -> image (default: %(default)s)")
    what.add_argument("--editor", default="scenes", help="image + instruction -> image (default: %(default)s)")
    how = synthetic.add_argument_group("how, and where to")
    how.add_argument("--jobs", type=_positive_int, metavar="N", help="investigations at a time (default: the cores)")
    how.add_argument("--out", metavar="DIR", help="the notebooks' folder (default: a new one in investigations/)")
    how.add_argument("--json", metavar="FILE", help="write the figures there, too; shares are fractions")
    synthetic.set_defaults(verb=_bench_synthetic)


def _add_agent_name(group: argparse._ArgumentGroup, default: str | None) -> None:
    group.add_argument(
        "--agent",
        default=default,
        metavar="MODEL",
        help="a model at an OpenAI-compatible endpoint, or 'offline': rules and a closed vocabulary, no language model "
        f"(default: {default or 'the one that the notebook names'})",
    )
    group.add_argument("--base-url", metavar="URL", help="the endpoint (default: OPENAI_BASE_URL, else OpenAI's own)")


def _add_agent(parser: argparse.ArgumentParser, default: str | None = "offline") -> None:
    agent = parser.add_argument_group("agent and limits")
    _add_agent_name(agent, default)
    agent.add_argument("--max-turns", type=_positive_int, default=25, metavar="N", help="default: %(default)s")
    agent.add_argument(
        "--cell-timeout",
        type=_positive,
        default=300.0,
        metavar="S",
        help="seconds per cell of the agent (default: %(default)g)",
    )
    agent.add_argument("--max-seconds", type=_positive, metavar="S", help="seconds for the run")
    agent.add_argument("--max-tokens-total", type=_positive_int, metavar="N", help="tokens for the run, in and out")
    agent.add_argument("--quiet", action="store_true", help="say only how it ended")


def _unit(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdigit() else text


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"must be from 0 to {2**32 - 1}, not {text}")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be greater than 0, not {text}")
    return value


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
