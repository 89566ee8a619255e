"""What the ``maia`` command takes: its verbs and their options. What a verb does stands in `cli.py`, under its name."""

from __future__ import annotations

import argparse

from maia_kernel import __version__


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="maia",
        description="An interpretability agent that works in a Jupyter notebook.",
        epilog="'maia run' alone investigates a unit of the embedded world: no GPU, key or network is needed.",
    )
    whole.add_argument("--version", action="version", version=f"maia_kernel {__version__}")
    verbs = whole.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_run(verbs)
    _add_continue(verbs)
    messages = verbs.add_parser("messages", help="print what the agent would be sent next, as JSON")
    messages.add_argument("notebook", metavar="NB")
    messages.set_defaults(verb="messages")
    _add_rerun(verbs)
    _add_bundle(verbs)
    _add_jupyter(verbs)
    _add_bench(verbs)
    doctor = verbs.add_parser("doctor", help="what this machine can do")
    doctor.set_defaults(verb="doctor")
    return whole


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
    run.set_defaults(verb="run")


def _add_continue(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    again = verbs.add_parser("continue", help="let the agent go on with a saved (and perhaps edited) notebook")
    again.add_argument("notebook", metavar="NB")
    again.add_argument("--question", metavar="TEXT", help="ask something further; reopens a finished notebook")
    again.add_argument("--from-cell", metavar="ID", help="branch: a new notebook that ends with this cell")
    again.add_argument("--out", metavar="FILE.ipynb", help="the branch's file (default: NB-2.ipynb, NB-3.ipynb, …)")
    again.add_argument(
        "--strict", action="store_true", help="end the run when a cell fails while the kernel is restored"
    )
    _add_agent(again, default=None)
    again.set_defaults(verb="continue")


def _add_rerun(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    rerun = verbs.add_parser(
        "rerun",
        help="run a notebook in a fresh kernel; say what reproduced, and which claims still stand",
        description="Runs a copy of a notebook in a fresh kernel, from top to bottom, and compares.",
        epilog="Exits with 0 when everything whose backend is at hand was recomputed and reproduced, and nothing is "
        "missing; else with 1.",
    )
    rerun.add_argument("notebook", metavar="NB")
    where = rerun.add_mutually_exclusive_group()
    where.add_argument("--in-place", action="store_true", help="write the new outputs into the notebook")
    where.add_argument("--out", metavar="FILE.ipynb", help="write the notebook with the new outputs there")
    rerun.add_argument("--strict", action="store_true", help="recompute everything; nothing may come from the store")
    rerun.add_argument("--cell-timeout", type=_positive, metavar="S", help="seconds per cell (default: no limit)")
    rerun.add_argument("--json", action="store_true", help="print the report as JSON, and nothing else")
    rerun.set_defaults(verb="rerun")


def _add_bundle(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    bundle = verbs.add_parser("bundle", help="one zip with a notebook and the artifacts that it uses")
    bundle.add_argument("notebook", metavar="NB")
    bundle.add_argument("--out", required=True, metavar="FILE.zip", help="must not exist")
    bundle.add_argument(
        "--without-dataset-images",
        action="store_true",
        help="leave pictures of the dataset out, of the notebook, too; grey pictures take their place",
    )
    bundle.add_argument("--with-model", action="store_true", help="add the subject model's weights")
    bundle.set_defaults(verb="bundle")
    unbundle = verbs.add_parser("unbundle", help="unpack a bundle")
    unbundle.add_argument("bundle", metavar="FILE.zip")
    unbundle.add_argument("--out", metavar="DIR", help="the folder to make (default: named like the bundle)")
    unbundle.set_defaults(verb="unbundle")


def _add_jupyter(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    lab = verbs.add_parser("lab", help="open JupyterLab, on a notebook")
    lab.add_argument("notebook", metavar="NB", nargs="?")
    lab.set_defaults(verb="lab")
    kernelspec = verbs.add_parser("kernelspec", help="this environment for a JupyterLab that is installed elsewhere")
    actions = kernelspec.add_subparsers(title="actions", metavar="ACTION", required=True)
    install = actions.add_parser("install", help="make it known to Jupyter")
    install.add_argument("--name", default="maia_kernel", help="of the kernelspec (default: %(default)s)")
    install.add_argument("--prefix", metavar="DIR", help="the other environment (default: for the user, everywhere)")
    install.set_defaults(verb="kernelspec_install")
    shrink = verbs.add_parser("shrink", help="re-encode the pictures of a notebook, and nothing else")
    shrink.add_argument("notebook", metavar="NB")
    shrink.add_argument(
        "--colours",
        type=_colours,
        metavar="N",
        help="at most so many in a picture, 2 to 256; without, no pixel changes",
    )
    shrink.set_defaults(verb="shrink")


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
    synthetic.set_defaults(verb="bench_synthetic")


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


def _colours(text: str) -> int:
    value = int(text)
    if not 2 <= value <= 256:
        raise argparse.ArgumentTypeError(f"must be from 2 to 256, not {text}")
    return value
