"""Answers against a known truth: what was right, what was missed, what was claimed falsely, and how surely.

All of it is pure. A *concept* is a conjunction of words, a truth and an answer are sets of concepts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from maia_kernel.bench.claims import Answer, Claim, Concept
from maia_kernel.bench.intervals import newcombe, wilson

BEYOND = "beyond"  # the kind whose truths lie outside the grammar
CONFIDENT = 0.5  # from this confidence on a claim counts as confident; an unstated confidence does as well
THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Case:
    """One investigation: who was investigated, what is true, what was answered, and what it took.

    Attributes
    ----------
    neuron : str
        Names the neuron; cases of one neuron (other seeds) are no independent evidence.
    kind : str
        ``"mono"``, ``"or"``, ``"and"`` or ``"beyond"``.
    truth : frozenset of concepts
        Empty where the grammar cannot say it.
    answer : Answer or None
        None for a run that failed or is void: it has found nothing, and claims nothing.
    images : int or None
        Pictures generated or edited; None where that is not known.
    seconds : float or None
        Of one core.
    """

    neuron: str
    kind: str
    truth: frozenset[Concept]
    answer: Answer | None
    images: int | None = None
    seconds: float | None = None


def exact(case: Case) -> bool:
    """Whether the answer is the truth: the same set of concepts, nothing missing and nothing more."""
    answer = case.answer
    if answer is None or answer.abstained or any(claim.beyond for claim in answer.claims):
        return False
    return answer.concepts == case.truth


def precision(case: Case) -> float | None:
    """Mean over the claimed concepts of the largest Jaccard index with a true one.

    "red" for the truth "red AND circle" earns 1/2: one of two words. None where there is no claim or no truth that the
    grammar can say.
    """
    if not case.answer or case.answer.abstained or not case.truth:
        return None
    return fmean(max(_jaccard(one, true) for true in case.truth) for one in case.answer.concepts)


def recall(case: Case) -> float | None:
    """Mean over the true concepts of the largest Jaccard index with a claimed one; 0 where nothing is claimed."""
    if not case.truth:
        return None
    claimed = case.answer.concepts if case.answer else frozenset()
    return fmean(max((_jaccard(one, true) for one in claimed), default=0.0) for true in case.truth)


def wrong(case: Case) -> tuple[Claim, ...]:
    """The false claims of an answer.

    Inside the grammar a claim is false when it is not one of the true concepts: a half of an OR is incomplete and not
    false, a word alone for an AND is false, and so is a claim that counts, places or excludes. Of a truth that lies
    beyond the grammar every claim is false, unless the answer is the whole truth; only a claim that itself lies
    beyond the grammar cannot be judged (:func:`unjudged`).
    """
    if case.answer is None:
        return ()
    claims = case.answer.claims
    if case.kind == BEYOND:
        return () if exact(case) else tuple(claim for claim in claims if not claim.beyond)
    return tuple(claim for claim in claims if claim.beyond or claim.words not in case.truth)


def unjudged(case: Case) -> bool:
    """Whether only a person can say if the answer is right: truth and claim both lie beyond the grammar."""
    claims = case.answer.claims if case.answer else ()
    return case.kind == BEYOND and any(claim.beyond for claim in claims) and not wrong(case)


def is_confident(claim: Claim) -> bool:
    """Whether a claim is made with a confidence of ``CONFIDENT`` or more, or without one."""
    return claim.confidence is None or claim.confidence >= CONFIDENT


def summary(cases: Sequence[Case]) -> dict[str, Any]:
    """The figures of one kind; shares and their 95 % intervals are fractions.

    The intervals are Wilson's for as many cases as there are neurons: repeats of one neuron are counted in the share
    and not in ``n``, which is right where they agree and too wide where they do not.
    """
    neurons = len({case.neuron for case in cases})
    found: dict[str, Any] = {"n": len(cases), "neurons": neurons}
    shares = {
        "exact": [exact(case) for case in cases],
        "abstained": [case.answer is not None and case.answer.abstained for case in cases],
        "false": [bool(wrong(case)) for case in cases],
        "confident_false": [any(is_confident(claim) for claim in wrong(case)) for case in cases],
    }
    for name, hits in shares.items():
        share = _share(hits)
        found[name] = share
        found[f"{name}_interval"] = list(wilson(share, neurons))
    means: dict[str, Iterable[float | None]] = {
        "precision": map(precision, cases),
        "recall": map(recall, cases),
        "images": (case.images for case in cases),
        "seconds": (case.seconds for case in cases),
    }
    found |= {name: _mean(values) for name, values in means.items()}
    most = [case.images for case in cases if case.images is not None]
    found["images_most"] = max(most, default=None)
    found["unanswered"] = sum(case.answer is None for case in cases)
    found["unjudged"] = sum(map(unjudged, cases))
    return found


def majority(truths: Sequence[frozenset[Concept]]) -> float:
    """The share that always answering the most frequent truth would get exactly; unsayable truths are never got."""
    counts = Counter(truth for truth in truths if truth)
    return max(counts.values(), default=0) / len(truths) if truths else 0.0


def calibration(cases: Sequence[Case], thresholds: Sequence[float] = THRESHOLDS) -> list[dict[str, Any]]:
    """Coverage against error, over all kinds: what is left, and how much of it is wrong, below each confidence.

    An answer's confidence is that of its least confident claim; unstated, it is 1. ``coverage`` is the share of cases
    that are answered with at least the threshold, ``error`` the share of these that are not exact (None of none).
    Answers that only a person can judge are left out.

    References
    ----------
    R. El-Yaniv, Y. Wiener, On the foundations of noise-free selective classification, JMLR 11 (2010).
    """
    judged = [case for case in cases if not unjudged(case)]
    rows: list[dict[str, Any]] = []
    for threshold in thresholds:
        left = [
            case for case in judged if case.answer and not case.answer.abstained and case.answer.confidence >= threshold
        ]
        errors = [not exact(case) for case in left]
        error = _share(errors) if left else None
        neurons = len({case.neuron for case in left})
        rows.append(
            {
                "confidence": threshold,
                "answered": len(left),
                "coverage": len(left) / len(judged) if judged else 0.0,
                "error": error,
                "error_interval": list(wilson(error, neurons)) if error is not None else None,
            }
        )
    return rows


def explained(answer: Answer | None) -> bool:
    """Whether an answer explains a unit: it holds a confident claim."""
    return answer is not None and any(map(is_confident, answer.claims))


def control(trained: Sequence[Answer | None], untrained: Sequence[Answer | None]) -> dict[str, Any]:
    """The share of units explained in a trained network and in its untrained twin, and their difference.

    ``claimed`` is the share with any claim, however unsure; intervals and difference are those of ``explained``.
    """
    found: dict[str, Any] = {}
    for name, answers in (("trained", trained), ("untrained", untrained)):
        share, claimed = _share(map(explained, answers)), _share(bool(one and one.claims) for one in answers)
        interval = list(wilson(share, len(answers)))
        found[name] = {"n": len(answers), "explained": share, "interval": interval, "claimed": claimed}
    first, second = found["trained"]["explained"], found["untrained"]["explained"]
    between = list(newcombe(first, len(trained), second, len(untrained)))
    return found | {"difference": first - second, "interval": between}


def _jaccard(one: Concept, other: Concept) -> float:
    return len(one & other) / len(one | other) if one | other else 0.0


def _share(hits: Iterable[bool]) -> float:
    values = list(hits)
    return sum(values) / len(values) if values else 0.0


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
