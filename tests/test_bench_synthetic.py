"""The bench of synthetic neurons: what it runs, what it refuses, that it goes on, and that it tells agents apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bad_agents import Confirmer, Stopper
from rich.console import Console

from maia_kernel import cli
from maia_kernel.bench import pool, synthetic
from maia_kernel.bench.pool import warm_kernels
from maia_kernel.bench.synthetic import KINDS, RESULTS, Settings
from maia_kernel.bench.table import tables
from maia_kernel.driver import cells
from maia_kernel.driver.agent import Limits
from maia_kernel.driver.investigate import draft
from maia_kernel.driver.messages import Reply
from maia_kernel.driver.offline import OfflineExperimenter
from maia_kernel.driver.vlm import VLM
from maia_kernel.errors import UsageError
from maia_kernel.scenes.neurons import mixed, neurons

OFFLINE = OfflineExperimenter()


def nothing(done: int, total: int, what: str) -> None: ...


def test_the_plan_holds_every_neuron_and_seed_once_the_baseline_and_the_control(tmp_path):
    settings = Settings(seeds=3)
    entries = synthetic.plan(settings, OFFLINE, tmp_path)
    count = len(mixed(0))
    parts = [entry.part for entry in entries]
    assert parts.count("agent") == 3 * count
    assert parts.count("one_shot") == count
    assert parts.count("trained") == parts.count("untrained") == synthetic.CONTROL_UNITS
    assert len({entry.job.path for entry in entries}) == len(entries)
    assert synthetic.investigations(settings) == 3 * count + 2 * synthetic.CONTROL_UNITS
    for entry in entries:
        if entry.part in ("agent", "one_shot"):
            assert (entry.job.study.model, entry.job.study.layer) == ("scenes-neurons", "mixed")
    trained, untrained = ([e.unit for e in entries if e.part == part] for part in ("trained", "untrained"))
    assert trained == untrained


def test_neither_names_nor_numbers_of_files_tell_the_kind(tmp_path):
    for entry in synthetic.plan(Settings(), OFFLINE, tmp_path):
        name = entry.job.path.relative_to(tmp_path).as_posix()
        assert not any(kind in name.replace("scenes-random", "") for kind in ("mono", "and", "beyond"))


def test_a_quick_bench_is_a_sample_of_every_kind(tmp_path):
    order = mixed(7)
    entries = synthetic.plan(Settings(quick=True, world_seed=7), OFFLINE, tmp_path)
    units = [entry.unit for entry in entries if entry.part == "agent"]
    assert [sum(order[unit][0] == kind for unit in units) for kind in KINDS] == [synthetic.QUICK_UNITS] * 4
    assert entries[0].job.study.model == "scenes-neurons@7"


def answered(entry: synthetic.Entry, *replies: str):
    """A finished notebook of an entry, without a kernel."""
    notebook = draft(entry.job.study, entry.job.agent, task="describe", question=None, folder=None)
    for reply in replies:
        notebook.append(cells.parse(reply), Reply(reply))
    notebook.nb.metadata["maia"]["bench"] = {"images": 50, "seconds": 1.0, "failure": ""}
    return entry, notebook.nb


def answer_of(concepts: frozenset[frozenset[str]]) -> str:
    lines = [f"[LABEL {n}]: {' '.join(sorted(one))} (turn 1)" for n, one in enumerate(sorted(concepts, key=sorted), 1)]
    return "\n".join(["[DESCRIPTION]: x", *(lines or ["[LABEL 1]: no explanation found"])])


def all_right(tmp_path: Path, settings: Settings, *before: str) -> dict:
    """The results of an agent that knows the truth."""
    order, truths = mixed(settings.world_seed), neurons(settings.world_seed)
    done = []
    for entry in synthetic.plan(settings, OFFLINE, tmp_path):
        kind, number = order[entry.unit]
        concepts = truths[kind][number].concepts
        reply = answer_of(concepts) if entry.part in ("agent", "trained") else answer_of(frozenset())
        done.append(answered(entry, *(before if entry.part == "agent" else ()), reply))
    return synthetic.score(settings, tmp_path, done)


def test_a_perfect_agent_scores_perfectly(tmp_path):
    results = all_right(tmp_path, Settings(seeds=2, quick=True))
    for kind in ("mono", "or", "and"):
        assert results[kind]["exact"] == results[kind]["precision"] == results[kind]["recall"] == 1
        assert results[kind]["false"] == results[kind]["one_shot"]["exact"] == 0
        assert results[kind]["n"] == 2 * results[kind]["neurons"]
        assert 0 < results[kind]["majority"] < 0.5
    assert results["beyond"]["false"] == results["beyond"]["confident_false"] == 0
    assert results["calibration"][0]["error"] == 0
    assert results["control"]["untrained"]["explained"] == 0
    assert len(results["runs"]) == 3 * 4 * synthetic.QUICK_UNITS + 2 * synthetic.QUICK_CONTROL_UNITS
    assert json.loads(json.dumps(results)) == results


def test_a_run_that_looked_the_truth_up_is_void_and_has_found_nothing(tmp_path):
    results = all_right(tmp_path, Settings(quick=True), "```python\nprint(system._unit)\n```")
    assert len(results["void"]) == 4 * synthetic.QUICK_UNITS
    assert results["void"][0]["reasons"] == ["turn 1: the private attribute _unit"]
    assert results["mono"]["exact"] == results["mono"]["false"] == results["mono"]["recall"] == 0
    assert results["mono"]["unanswered"] == synthetic.QUICK_UNITS


def test_the_tables_fit_and_say_what_they_show(tmp_path):
    results = all_right(tmp_path, Settings(seeds=3, quick=True), "```python\nvars(system)\n```")
    results["failed"] = [{"notebook": "agent/x.ipynb", "reason": "no answer"}]
    checked = {"pictures": 300, "failed": 40, "named": 0, "precision": None, "recall": 0.0}
    results["manipulation"] = {"prompts": checked}
    console = Console(width=100, highlight=False)
    with console.capture() as captured:
        console.print(tables(results))
    text = captured.get()
    assert "\x1b" not in text
    assert max(map(len, text.split("\n"))) <= 100
    assert "…" not in text
    assert text.count("rules, closed vocabulary, no language") == 3
    assert text.count("It shows nothing") + text.count("It does not") + text.count("It does\nnot") >= 2
    for line in (
        "mono",
        "beyond",
        "untrained (scenes-random)",
        "any claim",
        "the name vars",
        "agent/x.ipynb: no answer",
        "that it names",
    ):
        assert line in text


def test_a_folder_of_other_settings_or_of_something_else_is_refused(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").write_text("x")
    with pytest.raises(UsageError, match="is not the folder of a bench"):
        synthetic.run(Settings(), OFFLINE, folder=tmp_path / "other", workers=1, tell=nothing)
    with pytest.raises(UsageError, match="there is no folder"):
        synthetic.run(Settings(), OFFLINE, folder=tmp_path / "none" / "x", workers=1, tell=nothing)
    (tmp_path / "begun").mkdir()
    synthetic.write_json(tmp_path / "begun" / RESULTS, {"settings": synthetic.facts(Settings(seeds=3))})
    with pytest.raises(UsageError, match="seeds 3, not 1"):
        synthetic.run(Settings(), OFFLINE, folder=tmp_path / "begun", workers=1, tell=nothing)
    assert sorted(path.name for path in (tmp_path / "begun").iterdir()) == [RESULTS]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--json", "none/x.json"], "there is no folder none"),
        (["--out", "none/x"], "there is no folder none"),
        (["--agent", "gpt-5"], "OPENAI_API_KEY"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", "synthetic", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.splitlines()[-1].startswith("maia: ")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("arguments", [["bench"], ["bench", "synthetic", "--seeds", "0"], ["bench", "real"]])
def test_arguments_that_argparse_refuses_exit_with_2(arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_bench_that_was_ended_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "QUICK_UNITS", 1)
    monkeypatch.setattr(synthetic, "QUICK_CONTROL_UNITS", 1)
    folder = tmp_path / "bench"
    settings = Settings(agent="stopper", quick=True)

    class Stop(Exception): ...

    def stop_after_four(done: int, total: int, what: str) -> None:
        assert total == 10
        if done == 4:
            raise Stop

    with pytest.raises(Stop):
        synthetic.run(settings, Stopper(), folder=folder, workers=1, tell=stop_after_four)
    before = {path: path.read_bytes() for path in folder.rglob("*.ipynb")}
    assert 4 <= len(before) <= 6
    results = synthetic.run(settings, Stopper(), folder=folder, workers=2, tell=nothing)
    assert 4 <= results["took"]["made"] <= 6
    kept = [path for path, raw in before.items() if path.read_bytes() == raw]
    assert len(kept) == 10 - results["took"]["made"]
    assert json.loads((folder / RESULTS).read_text()) == results
    again = synthetic.run(settings, Stopper(), folder=folder, workers=2, tell=nothing)
    assert again["took"]["made"] == 0
    assert again["runs"] == results["runs"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_agents_that_confirm_or_stop_early_score_visibly_worse(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "QUICK_UNITS", 4)
    exact, false = {}, {}
    with warm_kernels() as zygote:
        for agent in (OFFLINE, Confirmer(), Stopper()):
            (tmp_path / agent.name / "agent").mkdir(parents=True)
            settings = Settings(agent=agent.name, quick=True)
            done = conducted(settings, agent, tmp_path / agent.name, zygote)
            results = synthetic.score(settings, tmp_path / agent.name, done)
            assert not results["failed"]
            assert not results["void"]
            exact[agent.name] = sum(results[kind]["exact"] for kind in ("mono", "or", "and")) / 3
            false[agent.name] = sum(results[kind]["confident_false"] for kind in KINDS) / 4
    for bad in ("confirmer", "stopper"):
        assert exact[bad] <= exact["offline"] - 0.3
        assert false[bad] >= false["offline"] + 0.3


def conducted(settings: Settings, agent: VLM, folder: Path, zygote):
    entries = [entry for entry in synthetic.plan(settings, agent, folder) if entry.part == "agent"]
    made = synthetic.conduct_all([e.job for e in entries], limits=Limits(), zygote=zygote, workers=2)
    notebooks = dict(made)
    return [(entry, notebooks[entry.job]) for entry in entries]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_command(tmp_path):
    command = [
        sys.executable,
        "-m",
        "maia_kernel.cli",
        "bench",
        "synthetic",
        "--quick",
        "--out",
        "b",
        "--json",
        "b.json",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=850)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "68 of 68 investigations"
    assert "\x1b" not in done.stdout
    assert "notebooks  b" in done.stdout
    results = json.loads((tmp_path / "b.json").read_text())
    assert results == json.loads((tmp_path / "b" / RESULTS).read_text())
    for kind in KINDS:
        one = results[kind]
        assert one["n"] == synthetic.QUICK_UNITS
        for name in ("exact", "abstained", "false", "confident_false"):
            low, high = one[f"{name}_interval"]
            assert 0 <= low <= one[name] <= high <= 1
        assert 0 < one["images"] <= 80
        assert one["seconds"] is None or 0 < one["seconds"] < 20
    assert min(results[kind]["exact"] for kind in ("mono", "or", "and")) >= 0.5
    assert results["or"]["exact"] > results["or"]["one_shot"]["exact"]
    assert results["beyond"]["confident_false"] <= 0.5
    assert results["control"]["difference"] > 0
    assert [row["coverage"] for row in results["calibration"]] == sorted(
        (row["coverage"] for row in results["calibration"]), reverse=True
    )
    assert results["settings"]["quick"] is True
    assert results["void"] == results["failed"] == []
    assert len(list((tmp_path / "b").rglob("*.ipynb"))) == 68


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_manipulation_check_is_scored_against_the_failures_that_are_known():
    settings = Settings(generator="scenes-faulty", editor="scenes-faulty", quick=True)
    for one in synthetic._manipulation(settings, OFFLINE).values():
        assert one["failed"] > 10
        assert one["precision"] > 0.9
        assert one["recall"] > 0.9


def test_failed_investigations_are_named_and_make_the_exit_code_1(tmp_path, monkeypatch, capsys, chat_server):
    monkeypatch.setattr(synthetic, "QUICK_UNITS", 1)
    monkeypatch.setattr(synthetic, "QUICK_CONTROL_UNITS", 1)
    monkeypatch.chdir(tmp_path)
    server = ("--agent", "some-model", "--base-url", chat_server.url, "--max-turns", "2")
    command = ["bench", "synthetic", "--quick", "--jobs", "1", *server]
    assert cli.main(command) == 1  # a server that answers 404
    said = capsys.readouterr()
    assert said.out == ""
    assert "answered 404" in said.err.splitlines()[-1]
    monkeypatch.setattr(pool, "_HOPELESS", 100)
    assert cli.main([*command, "--out", "investigations/bench-synthetic-1"]) == 1
    said = capsys.readouterr()
    assert f"6 investigations of up to 2 requests each will be sent to {chat_server.url}" in said.err
    assert "investigations/bench-synthetic-1" in said.out
    assert "agent some-model" in said.out
    results = json.loads((tmp_path / "investigations" / "bench-synthetic-1" / RESULTS).read_text())
    assert len(results["failed"]) == 6
    assert "answered 404" in results["failed"][0]["reason"]
    assert results["mono"]["unanswered"] == 1
    assert results["mono"]["one_shot"]["unanswered"] == 0
