"""What is asked next, and what holds: hypotheses are conjunctions of words, an answer is a disjunction of them.

The order of experiments: exemplars; a screen of pictures without the words that stand out there, which shows
what else excites the unit (OR); probes of all these words, each without the others; pairs of them, where no word
suffices (AND), and whether one object must have both; replicates where nothing is sure; edits, in which one word of a
picture is changed and everything else stays. What cannot be a disjunction of words and of pairs is left unexplained.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from itertools import combinations
from operator import or_
from typing import Literal

from maia_kernel.driver.offline.evidence import Evidence, Row, Words
from maia_kernel.driver.offline.measures import (
    CONTROL,
    again,
    apart,
    changed,
    contrast,
    drawn,
    everywhere,
    measured,
    name,
    scale,
    share,
)

Kind = Literal["exemplars", "screen", "probes", "pairs", "binding", "replicates", "edits", "conclusion"]

# A concept counts when it alone brings this share of the way from the control to the exemplars' mean activation, and
# this part of what the best concept brings. Exemplars are the extremes of thousands of pictures, so that a typical
# picture of the right concept stays well below them.
SHARE = 0.25
SHARE_OF_BEST = 0.4
# From this share on a word needs no partner, and no pair with it is tried.
SUFFICES = 0.7
# A pair is a conjunction when neither of its words alone brings more than this part of what both bring.
PART_ALONE = 0.6
# Two objects that need each other do so in every picture: the standard deviation is at most this part of the effect.
STEADY = 0.45
# A word is part of the answer when editing it away takes this part of what the picture had above the control.
LOST = 0.4
# Words of the exemplars, further words of the screen, and pairs that are tried, at most.
LEADS, FURTHER, PAIRS = 4, 3, 3
# A further word must leave less than this part of the variance in the screen that fewer words leave.
HALF = 0.5
# Pictures per condition (of a word or a pair alone; of the control; of a pair that needs two objects; of a
# replication; of the screen; of each edit), and of an investigation at most.
ALONE, CONTROLS, TWINS, AGAIN, SCREENED, EDITED = 4, 6, 6, 6, 18, 4
MOST = 80


@dataclass(frozen=True)
class Plan:
    """The next experiment and what it is about, or the conclusion and what holds."""

    kind: Kind
    hypotheses: tuple[Words, ...] = ()


def decide(seen: Evidence) -> Plan:
    """The next step; every experiment is tried twice at most, so that the steps come to an end."""
    for plan in _steps(seen):
        if plan.kind == "conclusion":
            return plan
        if seen.tried[plan.kind] < 2 and (rest := _rest(seen, plan)):
            return rest
    raise AssertionError("the steps end with a conclusion")


# -- hypotheses -------------------------------------------------------------------------------------------------------


def leads(seen: Evidence) -> list[str]:
    """Words that stand out among the exemplars, most striking first."""
    lift = _lift([words for _, words in seen.exemplars], seen)
    return [word for word in sorted(lift, key=lift.__getitem__, reverse=True) if lift[word] > 2][:LEADS]


def probed(seen: Evidence) -> list[str]:
    """The words that were drawn alone."""
    return [word for words in seen.vocabulary.values() for word in words if word in seen.rows]


def singles(seen: Evidence) -> list[str]:
    """Probed words that raise the activation by themselves, strongest first."""
    rows = {word: measured(seen, frozenset((word,))) for word in probed(seen)}
    raised = [word for word, row in rows.items() if row and contrast(row, seen.rows.get(CONTROL))[1] > 0]
    return sorted(raised, key=lambda word: share(seen, rows[word]), reverse=True)


def pairs(seen: Evidence) -> list[Words]:
    """Pairs of leading words that go together in most exemplars and of which neither suffices, most frequent first."""
    open_words = [word for word in leads(seen) if share(seen, seen.rows.get(word)) < SUFFICES]
    counted = {}
    for pair in map(frozenset, combinations(open_words, 2)):
        together = sum(pair <= words for _, words in seen.exemplars)
        if together > len(seen.exemplars) / 2 and not (twins(seen, pair) and of_scene(seen, pair)):
            counted[pair] = together
    return sorted(counted, key=counted.__getitem__, reverse=True)[:PAIRS]


def twins(seen: Evidence, pair: Words) -> bool:
    """Whether two words are of one family, so that no object can have both."""
    return len({seen.family(word) for word in pair}) < len(pair)


def of_scene(seen: Evidence, words: Words) -> bool:
    """Whether any of the words is about the whole picture."""
    return any(seen.family(word) in ("background", "light") for word in words)


def conjunctions(seen: Evidence) -> list[Words]:
    """Pairs of which neither word does by itself what both do, strongest first."""
    found = []
    for pair in pairs(seen):
        both = measured(seen, pair)
        alone = [seen.rows.get(word) for word in sorted(pair)]
        exceeds = both and all(contrast(both, row)[1] > 0 for row in [*alone, seen.rows.get(CONTROL)])
        if not exceeds or not all(share(seen, row) <= PART_ALONE * share(seen, both) for row in alone):
            continue
        if both and (not twins(seen, pair) or both.sd <= STEADY * (both.mean - scale(seen)[0])):
            found.append(pair)
    return sorted(found, key=lambda pair: share(seen, measured(seen, pair)), reverse=True)


def accepted(seen: Evidence) -> list[Words]:
    """The disjunction that the measurements support so far, before the edits."""
    both = [pair for pair in conjunctions(seen) if share(seen, measured(seen, pair)) >= SHARE]
    both = [pair for at, pair in enumerate(both) if not any(pair & stronger for stronger in both[:at])]
    alone = [frozenset((word,)) for word in singles(seen) if not any(word in pair for pair in both)]
    shares = {one: share(seen, measured(seen, one)) for one in [*both, *alone] if not everywhere(seen)}
    least = max(SHARE, SHARE_OF_BEST * max(shares.values(), default=0.0))
    return sorted((one for one in shares if shares[one] >= least), key=shares.__getitem__, reverse=True)[:3]


def bound(seen: Evidence, pair: Words) -> bool | None:
    """Whether both words must be on one object; None where that was not asked or is not clear."""
    row, both = seen.rows.get(apart(pair)), measured(seen, pair)
    if row is None or both is None:
        return None
    part = (row.mean - scale(seen)[0]) / max(both.mean - scale(seen)[0], 1e-9)
    return True if part < PART_ALONE / 2 else False if part > PART_ALONE else None


def concluded(seen: Evidence) -> list[Words]:
    """What remains after the edits: words whose removal takes most of the activation away.

    Nothing remains when no exemplar holds any of it: whatever it is, it is not what the unit's exemplars are about.
    """
    remaining: list[Words] = []
    for hypothesis in accepted(seen):
        start = seen.rows.get(drawn(hypothesis))
        edited = {word: seen.rows.get(changed(hypothesis, word)) for word in hypothesis}
        if start is None or not all(edited.values()):
            remaining.append(hypothesis)
            continue
        needed = [word for word in hypothesis if matters(seen, hypothesis, word)]
        if needed and frozenset(needed) not in remaining:
            remaining.append(frozenset(needed))
    return remaining if any(one <= words for one in remaining for _, words in seen.exemplars) else []


def matters(seen: Evidence, hypothesis: Words, word: str) -> bool:
    """Whether editing a word away takes away most of what there was, and more than an edit of something else does."""
    start, edited = seen.rows.get(drawn(hypothesis)), seen.rows.get(changed(hypothesis, word))
    if start is None or edited is None:
        return False
    above = start.mean - scale(seen)[0]
    lost, surely, _ = contrast(start, edited)
    if min(start.n, edited.n) < 2:  # most edits have failed: no interval, and what is left must do
        lost, surely = start.mean - edited.mean, math.inf
    other = seen.rows.get(changed(hypothesis, spare_family(seen, hypothesis)))
    more = other is None or other.mean - edited.mean >= LOST / 2 * above
    return share(seen, start) >= SHARE and surely > 0 and lost >= LOST * above and more


def tested(seen: Evidence, hypothesis: Words) -> Words:
    """The accepted hypothesis whose pictures were edited to test this one: itself, or one that holds it."""
    return next((one for one in accepted(seen) if hypothesis <= one and drawn(one) in seen.rows), hypothesis)


def spare_family(seen: Evidence, hypothesis: Words) -> str:
    """A family that a hypothesis does not speak of, for edits that should change nothing."""
    used = {seen.family(word) for word in hypothesis}
    return next(family for family in ("background", "light", "colour", *seen.vocabulary) if family not in used)


def unexplained(seen: Evidence) -> list[Words]:
    """The exemplars that hold none of the accepted hypotheses."""
    found = accepted(seen)
    return [words for _, words in seen.exemplars if not any(hypothesis <= words for hypothesis in found)]


def further(seen: Evidence) -> list[str]:
    """Words that go with the activity in the screen, which holds none of the leading words.

    Of all sets of up to ``FURTHER`` words the one whose presence (of any of them) splits the screen best into active
    and silent pictures; a larger set must halve what a smaller one leaves.
    """
    low, high = scale(replace(seen, rows={}))  # of the screen itself, whatever was measured later
    known = leads(seen)
    others = tuple(word for words in seen.vocabulary.values() for word in words if word not in known)
    # A generator that makes mistakes draws what was to be left out; what excites the unit there is no news.
    pictures = tuple((value, words) for value, words in seen.screen if words.isdisjoint(known))
    return list(_splitting(pictures, others, SHARE * (high - low))) if pictures and high > low else []


@lru_cache(maxsize=32)
def _splitting(screen: tuple[tuple[float, Words], ...], known: tuple[str, ...], least: float) -> tuple[str, ...]:
    """The words of ``further``; active pictures have at least so much more activation on average."""
    values = [value for value, _ in screen]
    marks = {word: sum(1 << at for at, (_, words) in enumerate(screen) if word in words) for word in known}
    best: tuple[str, ...] = ()
    left = _left_over(values, 0)[0]
    for size in range(1, FURTHER + 1):
        splits = ((*_left_over(values, _any(marks, words)), words) for words in combinations(marks, size))
        rest, words = min(((rest, words) for rest, gap, words in splits if gap >= least), default=(left, best))
        if rest < HALF * left:
            left, best = rest, words
    return best


def _any(marks: Mapping[str, int], words: Iterable[str]) -> int:
    return reduce(or_, (marks[word] for word in words), 0)


def _left_over(values: Sequence[float], marked: int) -> tuple[float, float]:
    """Squares left within the marked and the unmarked values, and by how much the marked are larger on average."""
    groups: tuple[list[float], list[float]] = ([], [])
    for at, value in enumerate(values):
        groups[marked >> at & 1].append(value)
    means = [sum(group) / len(group) if group else -math.inf for group in groups]
    squares = sum((value - mean) ** 2 for group, mean in zip(groups, means, strict=True) for value in group)
    return squares, means[1] - means[0]


def candidates(seen: Evidence) -> list[str]:
    """All words that stand out, among the exemplars or in the screen."""
    return [*leads(seen), *further(seen)]


def confidence(seen: Evidence, hypothesis: Words) -> float:
    """How sure the answer is about one of its labels, 0 to 1.

    A product of three shares, set by hand and checked by the bench: of the exemplars, those that the answer explains;
    of the conditions that should be silent, those without an active picture, squared, because each such picture shows
    that something is missing; and how far the label's own pictures go towards half the exemplars' activation.
    """
    answer = concluded(seen)
    explained = sum(any(one <= words for one in answer) for _, words in seen.exemplars) / len(seen.exemplars)
    strength = min(1.0, 2 * max(share(seen, row) for one, row in _held(seen) if hypothesis <= one))
    active, silent = unexpected(seen)
    return max(0.05, 0.97 * (0.4 + 0.6 * explained) * (1 - active / silent) ** 2 * (0.5 + 0.5 * strength))


def unexpected(seen: Evidence) -> tuple[int, int]:
    """Of the conditions that the answer says should be silent, those with an active picture, and all of them."""
    silent = _should_be_silent(seen, concluded(seen))
    edge = (scale(seen)[0] + min(row.mean for _, row in _held(seen))) / 2
    return sum(row.high >= edge for row in silent), max(1, len(silent))


def doubt(seen: Evidence) -> float:
    """How sure it is that nothing explains the unit: what the best of all that was measured leaves unexplained."""
    words = [frozenset((word,)) for word in probed(seen)]
    shares = [share(seen, row) for one in (*words, *pairs(seen)) if (row := measured(seen, one))]
    return min(0.97, max(0.05, 1 - max(shares, default=0.5)))


def _held(seen: Evidence) -> list[tuple[Words, Row]]:
    return [(one, row) for one in accepted(seen) if (row := measured(seen, one))]


def _should_be_silent(seen: Evidence, answer: list[Words]) -> list[Row]:
    """What was measured without any part of the answer being whole: the control, other words, edited pictures."""
    words = [frozenset((word,)) for word in probed(seen)]
    others = [name(one) for one in (*words, *pairs(seen)) if not any(held <= one for held in answer)]
    edited = [changed(one, word) for one in accepted(seen) for word in one]
    return [seen.rows[called] for called in (CONTROL, *others, *edited) if called in seen.rows]


# -- the steps --------------------------------------------------------------------------------------------------------


def _steps(seen: Evidence) -> list[Plan]:
    if not seen.vocabulary:
        return [Plan("conclusion")]
    steps = [Plan("exemplars")]
    if seen.exemplars:
        steps += [Plan("screen", _alone(leads(seen))), Plan("probes", _alone(candidates(seen)))]
        steps += [Plan("pairs", tuple(pairs(seen)))] if pairs(seen) else []
        found = accepted(seen)
        joined = [one for one in found if len(one) > 1 and not twins(seen, one) and not of_scene(seen, one)]
        wanted: dict[Kind, list[Words]] = {"binding": joined, "replicates": _doubtful(seen), "edits": found}
        steps += [Plan(kind, tuple(some)) for kind, some in wanted.items() if some]
    return [*steps, Plan("conclusion", tuple(concluded(seen)))]


def _alone(words: list[str]) -> tuple[Words, ...]:
    return tuple(frozenset((word,)) for word in words)


def _rest(seen: Evidence, plan: Plan) -> Plan | None:
    """What of a plan is not done yet and can be afforded; None where nothing is."""
    if plan.kind in ("exemplars", "screen", "probes"):
        done = {"exemplars": bool(seen.exemplars), "screen": bool(seen.screen), "probes": CONTROL in seen.rows}
        return None if done[plan.kind] else plan
    if plan.kind == "replicates" and seen.tried[plan.kind]:
        return None
    called = {"binding": apart, "replicates": again, "edits": drawn}.get(plan.kind, name)
    left, rest = MOST - seen.pictures, list[Words]()
    for one in plan.hypotheses:
        alone = TWINS if twins(seen, one) else ALONE
        cost = {"edits": EDITED * (len(one) + 1), "replicates": AGAIN}.get(plan.kind, alone)
        if called(one) not in seen.rows and cost <= left:
            rest, left = [*rest, one], left - cost
    return Plan(plan.kind, tuple(rest)) if rest else None


def _doubtful(seen: Evidence) -> list[Words]:
    """Where nothing is sure: words and pairs with an effect worth having, of which too few pictures were drawn."""
    if accepted(seen) and not seen.tried["replicates"]:
        return []
    shares = {one: share(seen, seen.rows.get(name(one))) for one in (*_alone(probed(seen)), *pairs(seen))}
    return sorted((one for one in shares if shares[one] >= SHARE), key=shares.__getitem__, reverse=True)[:FURTHER]


def _lift(described: list[Words], seen: Evidence) -> dict[str, float]:
    """For every word, by how many standard errors it is more frequent than the words of its family are on average."""
    found: dict[str, float] = {}
    for words in seen.vocabulary.values():
        counts = {word: sum(word in one for one in described) for word in words}
        expected = sum(counts.values()) / len(words)
        spread = math.sqrt(max(expected * (1 - min(expected / max(len(described), 1), 0.9)), 0.5))
        found |= {word: (count - expected) / spread for word, count in counts.items()}
    return found
