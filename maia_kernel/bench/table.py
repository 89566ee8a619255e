"""The results of a bench for a person: tables that fit 100 columns, on a terminal or in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from maia_kernel.bench.scoring import CONFIDENT
from maia_kernel.bench.synthetic import KINDS
from maia_kernel.driver.vlm import OFFLINE

Facts = Mapping[str, Any]


def tables(results: Facts) -> Group:
    """Everything that is shown at the end of ``maia bench synthetic``, for a rich console of 100 columns or more.

    Parameters
    ----------
    results : mapping
        As :func:`maia_kernel.bench.synthetic.score` gives them, or as they were read from ``results.json``.
    """
    settings = results["settings"]
    who = _who(settings["agent"])
    seeds = f"{settings['seeds']} seed{'' if settings['seeds'] == 1 else 's'}"
    return Group(
        _title(f"Synthetic neurons of world {settings['world_seed']}, {seeds}, agent {settings['agent']}"),
        _kinds(results),
        _note(
            "In per cent of n, with Wilson's 95 % interval for as many cases as there are neurons. Exact: the set of "
            "concepts, neither more nor less. Precision and recall: with credit for parts (Jaccard). Silent: no claim. "
            f"False: a claim that is not true; sure: one with confidence {CONFIDENT:g} or more, or without one. "
            "Beyond: truths that no OR or AND of two words can say; silence is right. One shot: exact with a label "
            "from the exemplars alone. Major.: exact with the most frequent truth. Images: generated or edited, per "
            "neuron; sec.: of one core, per neuron, with loading."
        ),
        _note(
            f"{who} The table shows how often planted rules are found, and how often something is claimed that is not "
            "there. It shows nothing about real units or about language models: truth, hypotheses and captions share "
            "one vocabulary."
        ),
        _title("Control: units explained in a trained network and in its untrained twin"),
        _control(results["control"]),
        _note(
            f"{who} Explained: a claim with confidence {CONFIDENT:g} or more; the difference has Newcombe's interval. "
            "Any claim: however unsure. "
            "The table shows whether the agent claims less where nothing was learned. It does not show that what it "
            "claims of the trained network is true, which nobody knows."
        ),
        _title("Calibration: abstaining below a confidence"),
        _calibration(results["calibration"]),
        _note(
            f"{who} An answer has the confidence of its least sure claim. Coverage: the share answered; error: the "
            "share of these that are not exact, all kinds together. The table shows whether a stated confidence can be "
            "used to abstain here. It does not say what the same number means on real units."
        ),
        *_manipulation(results),
        *_troubles(results),
    )


def _manipulation(results: Facts) -> Iterator[RenderableType]:
    """Whether the pictures that failed were named, where it is known which did."""
    if "manipulation" not in results:
        return
    table = _table()
    table.add_column("made by", no_wrap=True)
    for name in ("pictures", "failed", "named", "precision", "recall"):
        table.add_column(name, justify="right", no_wrap=True)
    for part, one in results["manipulation"].items():
        counts = [str(one[name]) for name in ("pictures", "failed", "named")]
        table.add_row(part, *counts, _percent(one["precision"]), _percent(one["recall"]))
    yield _title("Manipulation check: pictures that failed, and that it names")
    yield table
    yield _note(
        "Failed: known to the faulty generator and editor, which tell nobody. Named: by measure, from blind "
        "descriptions. In per cent: precision, of those named, the ones that failed; recall, of those that failed, the "
        "ones named. The prompts and instructions are of the bench's own making."
    )


def _kinds(results: Facts) -> Table:
    table = _table(gap=0)
    table.add_column("truth", no_wrap=True)
    for name in ("n", "exact", "prec.", "recall", "silent", "false", "sure", "images", "sec.", "one shot", "major."):
        widest = 13 if name in ("exact", "sure", "one shot") else 4  # "100 [61–100]" and a space
        table.add_column(name, justify="right", no_wrap=True, min_width=widest)
    for kind in KINDS:
        one = results[kind]
        table.add_row(
            kind,
            str(one["n"]),
            _share(one, "exact"),
            _percent(one["precision"]),
            _percent(one["recall"]),
            _percent(one["abstained"]),
            _percent(one["false"]),
            _share(one, "confident_false"),
            _number(one["images"], 0),
            _number(one["seconds"], 1),
            _share(one["one_shot"], "exact"),
            _percent(one["majority"]),
        )
    return table


def _control(control: Facts) -> Table:
    table = _table()
    table.add_column("network", no_wrap=True)
    for name in ("units", "explained", "difference", "any claim"):
        table.add_column(name, justify="right", no_wrap=True)
    low, high = control["interval"]
    difference = f"{100 * control['difference']:+.0f} [{100 * low:+.0f} to {100 * high:+.0f}]"
    for name, model in (("trained", "scenes"), ("untrained", "scenes-random")):
        one = control[name]
        between = f"{_percent(one['interval'][0])}–{_percent(one['interval'][1])}"
        shown = difference if name == "trained" else ""
        explained = f"{_percent(one['explained'])} [{between}]"
        table.add_row(f"{name} ({model})", str(one["n"]), explained, shown, _percent(one["claimed"]))
    return table


def _calibration(rows: list[Facts]) -> Table:
    table = _table()
    for name in ("confidence", "answered", "coverage", "error"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        error = "–"
        if row["error"] is not None:
            low, high = row["error_interval"]
            error = f"{_percent(row['error'])} [{_percent(low)}–{_percent(high)}]"
        least = "any" if not row["confidence"] else f"≥ {row['confidence']:.2f}"
        table.add_row(least, str(row["answered"]), _percent(row["coverage"]), error)
    return table


def _troubles(results: Facts) -> Iterator[RenderableType]:
    """What is not in the figures as it should be, by name."""
    if results["void"]:
        yield _title("Void: these runs reached around the public interface, and count as not answered")
        for one in results["void"]:
            yield _item(one["notebook"], "; ".join(one["reasons"]))
    if results["failed"]:
        yield _title("Failed: these runs ended without an answer, and count as not answered")
        for one in results["failed"]:
            yield _item(one["notebook"], one["reason"])
    if results["beyond"]["unjudged"]:
        yield _note(
            f"{results['beyond']['unjudged']} answers on 'beyond' count, place or exclude; only a person can say "
            "whether they are right, and they are counted as neither exact nor false."
        )


def _who(agent: str) -> str:
    if agent == OFFLINE:
        return "Agent offline: rules, closed vocabulary, no language model."
    return f"Agent {agent}; one shot: rules, closed vocabulary, no language model."


def _table(gap: int = 1) -> Table:
    return Table(box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0), pad_edge=False)


def _title(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _note(text: str) -> RenderableType:
    return Padding(Text(text, style="dim"), (0, 0, 1, 0), expand=False)


def _item(name: str, why: str) -> Text:
    return Text(f"  {name}: {why}")


def _share(one: Facts, name: str) -> str:
    if not one["n"]:
        return "–"
    low, high = one[f"{name}_interval"]
    return f"{_percent(one[name])} [{_percent(low)}–{_percent(high)}]"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f}"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
