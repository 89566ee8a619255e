"""Claims judged by the effects that their evidence measured, in notebooks made by hand."""

from __future__ import annotations

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from maia_kernel.driver.verify.claims import Claim, Evidence, effects, judge, labels
from maia_kernel.lab.measuring import effects_over, table

STRONG = {"with": [5.0, 5.2, 5.1, 4.9], "without": [0.1, 0.2, 0.0, 0.1]}
WEAK = {"with": [0.1, 0.2, 0.0, 0.1], "without": [0.1, 0.2, 0.0, 0.1]}
TURNED = {"with": STRONG["without"], "without": STRONG["with"]}


def measured(*conditions: dict[str, list[float]], checked: dict[str, list[float]] | None = None) -> list[NotebookNode]:
    """The outputs of a cell that calls `tools.measure`, in the lab's own words."""
    text = "".join(f"{table(one, effects_over(one, 'without'))}\n" for one in conditions)
    if checked is not None:
        text += "manipulation check: 3 of 4 pictures show what was asked for\nwithout the pictures that failed:\n"
        text += f"{table(checked, effects_over(checked, 'without'))}\n"
    return [new_output("stream", name="stdout", text=text)]


def notebook(answer: str, *, turns: int = 2) -> NotebookNode:
    """One code cell per turn, with the ids a1, a2, …, and a final answer."""
    nb = new_notebook()
    for turn in range(1, turns + 1):
        nb.cells.append(new_code_cell("tools.measure({})", id=f"a{turn}"))
        nb.cells[-1].metadata["maia"] = {"role": "assistant", "turn": turn, "cell_id": f"a{turn}"}
    nb.cells.append(new_markdown_cell(answer, id="final"))
    nb.cells[-1].metadata["maia"] = {"role": "final", "turn": turns + 1, "cell_id": "final"}
    return nb


def evidence(**cells: tuple[list[NotebookNode], list[NotebookNode]]) -> dict[str, Evidence]:
    return {cell: Evidence(cell, saved, fresh) for cell, (saved, fresh) in cells.items()}


def one(answer: str, found: dict[str, Evidence]) -> Claim:
    (claim,) = judge(notebook(answer), found)
    return claim


ANSWER = "[DESCRIPTION]: red things\n[LABEL 1]: red (turn 1; confidence 0.9)"


def test_the_sign_of_an_effect_is_that_of_an_interval_without_zero():
    signs = [effect.sign for conditions in (STRONG, WEAK, TURNED) for effect in effects(measured(conditions))]
    assert signs == ["+", "none", "-"]


def test_an_effect_of_one_picture_has_no_sign():
    assert [effect.sign for effect in effects(measured({"with": [1.0], "without": [0.0]}))] == ["none"]


def test_all_effects_of_a_cell_are_found():
    assert [effect.sign for effect in effects(measured(STRONG, TURNED))] == ["+", "-"]


def test_effects_without_the_pictures_that_failed_are_preferred():
    assert [effect.sign for effect in effects(measured(TURNED, WEAK, checked=STRONG))] == ["-", "+"]
    split = measured(WEAK, checked=STRONG)
    text = split[0].text
    pieces = [new_output("stream", name="stdout", text=part) for part in (text[:50], text[50:])]
    assert [effect.sign for effect in effects(pieces)] == ["+"]


def test_a_condition_may_be_called_anything():
    name = "it's 'over' the top: difference 1 [0, 1]"
    (effect,) = effects(measured({name: STRONG["with"], "without": STRONG["without"]}))
    assert (effect.condition, effect.control) == (name, "without")


def test_a_claim_whose_effects_keep_their_sign_stands():
    claim = one(ANSWER, evidence(a1=(measured(STRONG, WEAK), measured(STRONG, WEAK))))
    assert (claim.verdict, claim.label, claim.turns, claim.cells) == ("stands", "red", (1,), ("a1",))
    assert claim.why == "the 2 effects of its evidence kept their sign"


@pytest.mark.parametrize(("now", "sign"), [(WEAK, "no effect"), (TURNED, "-")])
def test_a_claim_falls_with_the_sign_of_an_effect(now, sign):
    claim = one(ANSWER, evidence(a1=(measured(STRONG), measured(now))))
    assert claim.verdict == "fell"
    assert claim.why.startswith("'with' over 'without': was + (4.95 [")
    assert f", is {sign} (" in claim.why


def test_only_the_claims_that_rest_on_a_cell_fall_with_it():
    answer = "[DESCRIPTION]: two things\n[LABEL 1]: red (turn 1)\n[LABEL 2]: blue (turn 2)\n[LABEL 3]: both (turns 1-2)"
    found = evidence(a1=(measured(STRONG), measured(STRONG)), a2=(measured(STRONG), measured(WEAK)))
    assert [claim.verdict for claim in judge(notebook(answer), found)] == ["stands", "fell", "fell"]


def test_an_effect_that_is_not_measured_any_more_cannot_be_judged():
    now = {"other": STRONG["with"], "without": STRONG["without"]}
    claim = one(ANSWER, evidence(a1=(measured(STRONG), measured(now))))
    assert claim.verdict == "cannot be judged"
    assert claim.why.endswith("is not measured any more")


def test_a_claim_stands_whose_evidence_reproduced_though_an_end_of_an_interval_is_0_now():
    def printed(low: float) -> list[NotebookNode]:
        effect = f"effect of 'with' over 'without': difference 0.040 [{low:.3f}, 0.080], d 1.00, p 0.0400\n"
        return [new_output("stream", name="stdout", text=effect)]

    assert one(ANSWER, evidence(a1=(printed(0.001), printed(0.0)))).verdict == "fell"
    claim = one(ANSWER, {"a1": Evidence("a1", printed(0.001), printed(0.0), reproduced=True)})
    assert (claim.verdict, claim.why) == (
        "stands",
        "its evidence reproduced; an end of an interval is 0 within the tolerance",
    )
    assert claim.effects[0].kept


def test_an_effect_of_too_few_pictures_cannot_be_judged_unless_another_one_fell():
    few = {"with": [5.0], "without": [0.1]}
    for saved in (STRONG, WEAK):
        claim = one(ANSWER, evidence(a1=(measured(saved), measured(few))))
        assert (claim.verdict, claim.why.endswith("has no interval any more")) == ("cannot be judged", True)
        assert not claim.effects[0].kept
    assert one(ANSWER, evidence(a1=(measured(STRONG, STRONG), measured(few, TURNED)))).verdict == "fell"


@pytest.mark.parametrize(
    ("answer", "saved", "why"),
    [
        ("[DESCRIPTION]: red\n[LABEL 1]: red", measured(STRONG), "names no turns"),
        ("[DESCRIPTION]: red\n[LABEL 1]: red (turn 3)", measured(STRONG), "no code cells"),
        (ANSWER, [new_output("stream", text="hello\n")], "no effect was measured"),
        (ANSWER, [], "its outputs are gone"),
    ],
)
def test_what_cannot_be_judged(answer, saved, why):
    claim = one(answer, evidence(a1=(saved, measured(STRONG))))
    assert (claim.verdict, why in claim.why) == ("cannot be judged", True), claim.why


def test_evidence_that_failed_cannot_be_judged():
    claim = one(ANSWER, {"a1": Evidence("cell [3]", measured(STRONG), [], "failed")})
    assert (claim.verdict, claim.why) == ("cannot be judged", "cell [3] failed")


def test_no_explanation_found_is_a_claim_like_any_other():
    answer = "[DESCRIPTION]: nothing explains it\n[LABEL 1]: no explanation found (turns 1, 2)"
    found = evidence(a1=(measured(WEAK), measured(STRONG)), a2=(measured(WEAK), measured(WEAK)))
    assert [claim.verdict for claim in judge(notebook(answer), found)] == ["fell"]


def test_the_final_answer_is_known_without_metadata_and_so_is_its_evidence():
    nb = notebook(ANSWER)
    nb.cells[-1].metadata.pop("maia")
    (claim,) = judge(nb, evidence(a1=(measured(STRONG), measured(STRONG))))
    assert claim.verdict == "stands"


def test_evidence_is_known_from_the_answer_when_the_cells_lost_their_turns():
    nb = notebook(ANSWER)
    nb.cells[0].metadata.pop("maia")
    nb.cells[-1].metadata["maia"]["labels"] = [{"text": "red", "turns": [1], "cells": ["a1"]}]
    (claim,) = judge(nb, evidence(a1=(measured(STRONG), measured(STRONG))))
    assert (claim.cells, claim.verdict) == (("a1",), "stands")


def test_evidence_that_was_deleted_cannot_be_judged():
    nb = notebook("[DESCRIPTION]: red\n[LABEL 1]: red (turns 1, 2)")
    nb.cells[-1].metadata["maia"]["labels"] = [{"text": "red", "turns": [1, 2], "cells": ["a1", "a2"]}]
    del nb.cells[1]
    (claim,) = judge(nb, evidence(a1=(measured(STRONG), measured(STRONG))))
    assert (claim.verdict, claim.why) == ("cannot be judged", "the cell a2 is not in the notebook any more")


def test_the_last_answer_counts_and_instructions_are_none():
    nb = notebook(ANSWER)
    nb.cells.insert(0, new_markdown_cell("[DESCRIPTION]: an example\n[LABEL 1]: an example", id="s"))
    nb.cells[0].metadata["maia"] = {"role": "system", "cell_id": "s"}
    assert [label.text for label in labels(nb)[1]] == ["red"]
    del nb.cells[-1]
    assert labels(nb) == (None, ())


@pytest.mark.parametrize("broken", [3, {"labels": 3}, {"labels": [3]}, {"labels": [{"cells": "a1", "turns": [1]}]}])
def test_metadata_that_somebody_has_broken(broken):
    nb = notebook(ANSWER)
    nb.cells[-1].metadata["maia"] = broken
    (claim,) = judge(nb, evidence(a1=(measured(STRONG), measured(STRONG))))
    assert claim.verdict == "stands"
