"""Scores and intervals, against values that were worked out by hand or are published."""

from __future__ import annotations

import pytest

from maia_kernel.bench import scoring
from maia_kernel.bench.claims import Answer, Claim, Concept
from maia_kernel.bench.intervals import newcombe, wilson
from maia_kernel.bench.scoring import Case


def concepts(*texts: str) -> frozenset[Concept]:
    return frozenset(frozenset(text.split()) for text in texts)


def said(*claims: str, confidence: float | None = None, beyond: bool = False) -> Answer:
    return Answer(tuple(Claim(frozenset(claim.split()), confidence, beyond) for claim in claims))


def case(truth: frozenset[Concept], answer: Answer | None, kind: str = "or", neuron: str = "or 1") -> Case:
    return Case(neuron, kind, truth, answer, images=60, seconds=1.5)


OR, AND = concepts("red", "circle"), concepts("red circle")
# truth, answer -> exact, precision, recall, false
SCORED = {
    "all of an OR": (OR, said("circle", "red"), True, 1, 1, False),
    "half of an OR": (OR, said("red"), False, 1, 0.5, False),
    "an OR and more": (OR, said("red", "circle", "star"), False, 2 / 3, 1, True),
    "an OR as an AND": (OR, said("red circle"), False, 0.5, 0.5, True),
    "something else": (OR, said("star"), False, 0, 0, True),
    "silence": (OR, said(), False, None, 0, False),
    "no run": (OR, None, False, None, 0, False),
    "an AND": (AND, said("circle red"), True, 1, 1, False),
    "half of an AND": (AND, said("red"), False, 0.5, 0.5, True),
    "an AND as an OR": (AND, said("red", "circle"), False, 0.5, 0.5, True),
    "an AND and more": (AND, said("red circle night"), False, 2 / 3, 2 / 3, True),
    "an AND that counts": (AND, said("red circle", beyond=True), False, 1, 1, True),
}


@pytest.mark.parametrize("name", SCORED)
def test_an_answer_is_scored(name):
    truth, answer, exact, precision, recall, false = SCORED[name]
    one = case(truth, answer)
    assert scoring.exact(one) is exact
    assert scoring.precision(one) == (None if precision is None else pytest.approx(precision))
    assert scoring.recall(one) == pytest.approx(recall)
    assert bool(scoring.wrong(one)) is false


def test_beyond_the_grammar_silence_is_no_false_claim_and_every_claim_is():
    nothing: frozenset[Concept] = frozenset()
    assert not scoring.wrong(case(nothing, said(), "beyond"))
    assert scoring.wrong(case(nothing, said("red"), "beyond"))
    assert not scoring.exact(case(nothing, said(), "beyond"))
    three = concepts("red", "circle", "snow")
    assert scoring.wrong(case(three, said("red", "circle"), "beyond"))
    assert not scoring.wrong(case(three, said("red", "circle", "snow"), "beyond"))
    assert scoring.exact(case(three, said("red", "circle", "snow"), "beyond"))


def test_what_only_a_person_can_judge_is_said_and_not_counted():
    one = case(frozenset(), said("circle", beyond=True), "beyond")
    assert scoring.unjudged(one)
    assert not scoring.wrong(one)
    assert scoring.summary([one])["unjudged"] == 1
    assert scoring.calibration([one])[0]["answered"] == 0
    mixed = Answer((*said("circle", beyond=True).claims, *said("red").claims))
    assert not scoring.unjudged(case(frozenset(), mixed, "beyond"))


def test_a_summary_counts_investigations_and_rests_on_neurons():
    cases = [
        case(OR, said("red", "circle", confidence=0.9), neuron="or 1"),
        case(OR, said("red", "circle"), neuron="or 1"),
        case(OR, said("star", confidence=0.4), neuron="or 2"),
        case(OR, said("star", confidence=0.5), neuron="or 2"),
        case(OR, said("star"), neuron="or 3"),
        case(OR, said(), neuron="or 3"),
        case(OR, None, neuron="or 4"),
        case(OR, said("red"), neuron="or 4"),
    ]
    found = scoring.summary(cases)
    assert (found["n"], found["neurons"], found["unanswered"]) == (8, 4, 1)
    assert found["exact"] == 2 / 8
    assert found["exact_interval"] == list(wilson(2 / 8, 4))
    assert (found["false"], found["confident_false"], found["abstained"]) == (3 / 8, 2 / 8, 1 / 8)
    assert found["images"] == 60
    assert found["seconds"] == 1.5
    assert found["precision"] == pytest.approx(3 / 6)
    assert found["recall"] == pytest.approx((2 + 0.5) / 8)


def test_a_summary_of_nothing_is_no_error():
    found = scoring.summary([])
    assert found["n"] == 0
    assert found["precision"] is None
    assert found["exact_interval"] == [0.0, 1.0]


def test_the_majority_label_is_the_most_frequent_truth_that_can_be_said():
    assert scoring.majority([OR, OR, AND, frozenset()]) == 0.5
    assert scoring.majority([frozenset(), frozenset()]) == 0.0
    assert scoring.majority([]) == 0.0


def test_calibration_trades_coverage_for_errors():
    cases = [
        case(OR, said("red", "circle", confidence=0.95), neuron="1"),
        case(OR, said("red", "circle"), neuron="2"),  # unstated: as if sure
        case(OR, said("red", confidence=0.7), neuron="3"),
        case(OR, said(), neuron="4"),
    ]
    rows = {row["confidence"]: row for row in scoring.calibration(cases)}
    assert (rows[0.0]["coverage"], rows[0.0]["error"]) == (0.75, pytest.approx(1 / 3))
    assert (rows[0.8]["coverage"], rows[0.8]["error"]) == (0.5, 0.0)
    assert scoring.calibration([case(OR, said())])[0]["error"] is None


def test_a_unit_is_explained_by_a_confident_claim():
    yes, unsure = said("red", confidence=0.5), said("red", confidence=0.49)
    found = scoring.control([yes] * 30 + [said()] * 10, [unsure] * 30 + [yes] * 8 + [None] * 2)
    assert found["trained"]["explained"] == 0.75
    assert found["untrained"]["explained"] == 0.2
    assert (found["trained"]["claimed"], found["untrained"]["claimed"]) == (0.75, 0.95)
    assert found["difference"] == pytest.approx(0.55)
    assert found["interval"][0] > 0
    assert scoring.explained(said("red"))


def test_wilson_gives_the_published_intervals():
    """Newcombe, Two-sided confidence intervals for the single proportion, 1998, Table I, method 3."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15 / 148, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    assert wilson(1 / 29, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)
    assert wilson(1.0, 10)[1] == 1.0
    assert wilson(0.0, 0) == (0.0, 1.0)


def test_newcombe_gives_the_published_intervals():
    """Newcombe, Interval estimation for the difference between independent proportions, 1998, Table II, method 10."""
    assert newcombe(56 / 70, 70, 48 / 80, 80) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert newcombe(9 / 10, 10, 3 / 10, 10) == pytest.approx((0.1705, 0.8090), abs=1e-4)
    assert newcombe(10 / 10, 10, 0 / 20, 20) == pytest.approx((0.6791, 1.0), abs=1e-4)
