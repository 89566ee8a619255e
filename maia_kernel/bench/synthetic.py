"""``maia bench synthetic``: investigates synthetic neurons whose truth is known, and says how often it was found.

Beside the agent stand the one-shot baseline on the same neurons, the label that is right most often, and a control:
the share of units that the agent claims to explain in a trained network and in its untrained twin. The state of a
bench is its folder: one notebook per investigation, and ``results.json`` with the settings and, at the end, all
figures. Called again with the same folder, a bench goes on with what is not finished.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from maia_kernel import __version__
from maia_kernel.bench import claims, scoring
from maia_kernel.bench.audit import audit
from maia_kernel.bench.baselines import OneShot
from maia_kernel.bench.pool import Job, ask, check, conduct_all, ended, warm_kernels
from maia_kernel.bench.scoring import Case
from maia_kernel.driver import cells
from maia_kernel.driver.agent import Limits
from maia_kernel.driver.cells import Label
from maia_kernel.driver.investigate import FOLDER, Study
from maia_kernel.driver.notebook import Investigation
from maia_kernel.driver.vlm import VLM
from maia_kernel.errors import NotebookError, UsageError
from maia_kernel.scenes.neurons import Neuron, mixed, neurons

MODEL, LAYER = "scenes-neurons", "mixed"
KINDS = ("mono", "or", "and", scoring.BEYOND)
# The trained network and its untrained twin, and the layer of both whose units are looked at.
CONTROL_MODELS = {"trained": "scenes", "untrained": "scenes-random"}
CONTROL_LAYER, CONTROL_LAYER_UNITS = "layer3", 128
CONTROL_UNITS = 40
QUICK_UNITS, QUICK_CONTROL_UNITS = 6, 10
RESULTS = "results.json"
# Instruments with failures that are known, and what is run in a kernel to compare them with those that are named.
FAULTY = "scenes-faulty"
_CHECK = """\
import json
from maia_kernel.scenes.audit import audit
print(json.dumps(audit(tools, prompts={prompts}, edits={edits})))"""
CHECKED_PROMPTS, CHECKED_EDITS = 2000, 1000
QUICK_CHECKED_PROMPTS, QUICK_CHECKED_EDITS = 200, 100

Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Settings:
    """What is measured; a folder holds notebooks of one set of settings.

    Attributes
    ----------
    agent : str
        The agent's name.
    seeds : int
        Every neuron is investigated with the seeds 0 to ``seeds - 1``.
    world_seed : int
        Which neurons: those of world 0 are listed in the package, those of another are made anew.
    quick : bool
        A sample of ``QUICK_UNITS`` neurons of each kind and ``QUICK_CONTROL_UNITS`` units of the control.
    generator, editor : str
        The instruments.
    max_turns : int
        Replies of the agent per investigation, at most.
    """

    agent: str = "offline"
    seeds: int = 1
    world_seed: int = 0
    quick: bool = False
    generator: str = "scenes"
    editor: str = "scenes"
    max_turns: int = 25


@dataclass(frozen=True)
class Entry:
    """One investigation of the plan: what it is for, and which unit it is about."""

    part: str  # "agent", "one_shot", "trained" or "untrained"
    unit: int
    job: Job


def plan(settings: Settings, agent: VLM, folder: Path) -> list[Entry]:
    """Every investigation that the settings ask for, the agent's own first."""
    world = f"@{settings.world_seed}" if settings.world_seed else ""

    def entry(part: str, vlm: VLM, model: str, layer: str, unit: int, seed: int, name: str) -> Entry:
        study = Study(model, layer, unit, generator=settings.generator, editor=settings.editor, seed=seed)
        return Entry(part, unit, Job(study, vlm, folder / name))

    entries = [
        entry("agent", agent, MODEL + world, LAYER, unit, seed, f"agent/neuron-{unit:03d}-seed-{seed}.ipynb")
        for seed in range(settings.seeds)
        for unit in _units(settings)
    ]
    entries += [
        entry("one_shot", OneShot(), MODEL + world, LAYER, unit, 0, f"one-shot/neuron-{unit:03d}.ipynb")
        for unit in _units(settings)
    ]
    count = QUICK_CONTROL_UNITS if settings.quick else CONTROL_UNITS
    sample = sorted(random.Random("control").sample(range(CONTROL_LAYER_UNITS), count))
    entries += [
        entry(part, agent, model, CONTROL_LAYER, unit, 0, f"control/{model}-{unit:03d}.ipynb")
        for part, model in CONTROL_MODELS.items()
        for unit in sample
    ]
    return entries


def investigations(settings: Settings) -> int:
    """How many investigations the agent itself is asked for."""
    control = len(CONTROL_MODELS) * (QUICK_CONTROL_UNITS if settings.quick else CONTROL_UNITS)
    return len(_units(settings)) * settings.seeds + control


def run(settings: Settings, agent: VLM, *, folder: Path, workers: int, tell: Tell) -> dict[str, Any]:
    """Make what is not made yet, and score everything.

    Parameters
    ----------
    agent : VLM
        Used by several threads at once.
    folder : Path
        A new folder, or one that was begun with the same settings.
    workers : int
        Investigations at a time.
    tell : callable
        Called with the number that is done, the number of all, and what was done last.

    Returns
    -------
    dict
        As ``results.json`` holds them.

    Raises
    ------
    UsageError
        A wrong name, or a folder of other settings: nothing has been written.
    """
    began = time.monotonic()
    known = _look_into(folder, settings)
    entries = plan(settings, agent, folder)
    notebooks = {entry.job.path: nb for entry in entries if (nb := _finished(entry.job.path)) is not None}
    left = [entry.job for entry in entries if entry.job.path not in notebooks]
    if left:
        tell(len(notebooks), len(entries), "loading the world")
        with warm_kernels() as zygote:
            check({job.study.model: job.study for job in left}.values(), agent, zygote)
            _begin(folder, settings, known)
            limits = Limits(turns=settings.max_turns)
            for job, nb in conduct_all(left, limits=limits, zygote=zygote, workers=workers):
                notebooks[job.path] = nb
                tell(len(notebooks), len(entries), str(job.path.relative_to(folder)))
    results = score(settings, folder, [(entry, notebooks[entry.job.path]) for entry in entries])
    if FAULTY in (settings.generator, settings.editor):
        results["manipulation"] = known.get("manipulation") or _manipulation(settings, agent)
    results["took"] = {"seconds": time.monotonic() - began, "made": len(left), "jobs": workers}
    write_json(folder / RESULTS, results)
    return results


def score(settings: Settings, folder: Path, done: Sequence[tuple[Entry, NotebookNode]]) -> dict[str, Any]:
    """All figures of a bench, as ``--json`` writes them.

    Every kind of neuron is a key with the figures of :func:`maia_kernel.bench.scoring.summary`, those of the one-shot
    baseline under ``one_shot``, and ``majority``; ``control``, ``calibration`` and (with the faulty instruments)
    ``manipulation`` are further keys. Shares are fractions from 0 to 1. ``void`` and ``failed`` name notebooks with
    reasons, ``runs`` holds every single answer.
    """
    truths = neurons(settings.world_seed)
    order = mixed(settings.world_seed)
    cases: dict[str, list[Case]] = {"agent": [], "one_shot": []}
    control: dict[str, list[claims.Answer | None]] = {part: [] for part in CONTROL_MODELS}
    found: dict[str, Any] = {"void": [], "failed": [], "runs": []}
    for entry, nb in done:
        name = entry.job.path.relative_to(folder).as_posix()
        spent = ended(nb)
        void = audit(nb)
        failure = spent.failure if spent else "broken off"
        said = labels(nb)
        answer = None if void or failure else claims.read(said)
        if void:
            found["void"].append({"notebook": name, "reasons": void})
        if failure:
            found["failed"].append({"notebook": name, "reason": failure})
        told: dict[str, Any] = {"notebook": name, "part": entry.part, "labels": [_written(label) for label in said]}
        if entry.part in cases:
            kind, number = order[entry.unit]
            neuron = truths[kind][number]
            images, seconds = (spent.images, spent.seconds) if spent else (None, None)
            case = Case(f"{kind} {number}", kind, neuron.concepts, answer, images, seconds)
            cases[entry.part].append(case)
            told |= _told(neuron, case)
        else:
            control[entry.part].append(answer)
            told["explained"] = scoring.explained(answer)
        found["runs"].append(told)
    results: dict[str, Any] = {}
    for kind in KINDS:
        results[kind] = scoring.summary([case for case in cases["agent"] if case.kind == kind])
        results[kind]["one_shot"] = scoring.summary([case for case in cases["one_shot"] if case.kind == kind])
        results[kind]["majority"] = scoring.majority([case.truth for case in cases["one_shot"] if case.kind == kind])
    results["control"] = scoring.control(control["trained"], control["untrained"])
    results["calibration"] = scoring.calibration(cases["agent"])
    return results | {"settings": facts(settings)} | found


def _manipulation(settings: Settings, agent: VLM) -> dict[str, Any]:
    """How well the manipulation check of ``measure`` names the pictures that are known to have failed."""
    study = Study(CONTROL_MODELS["trained"], CONTROL_LAYER, 0, generator=settings.generator, editor=settings.editor)
    prompts, edits = (
        (QUICK_CHECKED_PROMPTS, QUICK_CHECKED_EDITS) if settings.quick else (CHECKED_PROMPTS, CHECKED_EDITS)
    )
    found: dict[str, Any] = json.loads(ask(study, agent, _CHECK.format(prompts=prompts, edits=edits), None))
    return found


def labels(nb: NotebookNode) -> tuple[Label, ...]:
    """The labels of a notebook's final answer, as the agent wrote them."""
    final = Investigation(Path(), nb).final
    answer = cells.parse(final.source).final if final is not None else None
    return answer.labels if answer else ()


def new_folder() -> Path:
    """Where a bench goes that names no folder."""
    names = (FOLDER / f"bench-synthetic-{n}" for n in range(1, 1_000_000))
    return next(path for path in names if not path.exists())


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON file in one step.

    Raises
    ------
    UsageError
        It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def check_writable(path: Path) -> None:
    """Refuse early what could not be written late.

    Raises
    ------
    UsageError
        There is no such folder, or it cannot be written.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise UsageError(
            f"cannot write {path}: {'it is a folder' if path.is_dir() else f'there is no folder {path.parent}'}"
        )
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write {path}: no permission to write in {path.parent}")


def _units(settings: Settings) -> list[int]:
    """The units of the mixed layer to look at. Their order is shuffled, so that the first of a kind are a sample."""
    order = mixed(settings.world_seed)
    if not settings.quick:
        return list(range(len(order)))
    first = [[unit for unit, (layer, _) in enumerate(order) if layer == kind][:QUICK_UNITS] for kind in KINDS]
    return sorted(unit for units in first for unit in units)


def _written(label: Label) -> dict[str, Any]:
    return {"text": label.text, "turns": list(label.turns), "confidence": label.confidence}


def _told(neuron: Neuron, case: Case) -> dict[str, Any]:
    return {
        "neuron": case.neuron,
        "truth": neuron.rule,
        "claimed": sorted(sorted(one) for one in case.answer.concepts) if case.answer else [],
        "confidence": case.answer.confidence if case.answer and not case.answer.abstained else None,
        "exact": scoring.exact(case),
        "false": bool(scoring.wrong(case)),
        "images": case.images,
        "seconds": case.seconds,
    }


def facts(settings: Settings) -> dict[str, Any]:
    """The settings as ``results.json`` keeps them, with the version of the program."""
    return {**asdict(settings), "maia_kernel": __version__}


def _look_into(folder: Path, settings: Settings) -> dict[str, Any]:
    """What a folder says about the bench that was begun in it; nothing for one that is new or empty."""
    if folder.parent not in (FOLDER, *FOLDER.parents) and not folder.parent.is_dir():
        raise UsageError(f"--out {folder}: there is no folder {folder.parent}; make it first")
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(nearest, os.W_OK):
        raise UsageError(f"--out {folder}: no permission to write in {nearest}")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return {}
    try:
        known: dict[str, Any] = json.loads((folder / RESULTS).read_text("utf-8"))
        before = dict(known["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"--out {folder} is not the folder of a bench; name a new one") from None
    now = facts(settings)
    other = [f"{name} {before.get(name)}, not {now[name]}" for name in now if before.get(name) != now[name]]
    if other:
        raise UsageError(f"--out {folder} was made with other settings ({'; '.join(other)}); name another folder")
    return known


def _begin(folder: Path, settings: Settings, known: Mapping[str, Any]) -> None:
    try:
        for name in ("agent", "one-shot", "control"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}") from error
    if not known:
        write_json(folder / RESULTS, {"settings": facts(settings)})


def _finished(path: Path) -> NotebookNode | None:
    """The notebook at a path, if its investigation has come to an answer; all others are made anew."""
    if not path.exists():
        return None
    try:
        notebook = Investigation.open(path)
    except NotebookError:
        return None
    spent = ended(notebook.nb)
    return notebook.nb if spent is not None and not spent.failure and notebook.final is not None else None
