"""What is asked next, and what holds: hypotheses are conjunctions of words, an answer is a disjunction of them.

The order of experiments: exemplars; a screen, in which every attribute varies at once and in balance; solo probes of
the words that stand out, repeated where they leave a doubt; a factorial for pairs that go together (AND); probes for
strong exemplars that are not yet explained (OR); minimal pairs, in which one word of a picture is changed and
everything else stays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Literal

from maia_kernel.driver.offline.evidence import Evidence, Row, Words

Kind = Literal["exemplars", "screen", "probes", "replicates", "pairs", "residual", "edits", "conclusion"]

# A concept counts when it alone brings this share of the way from the control to the exemplars' mean activation, and
# at least half of what the best concept brings. Exemplars are the extremes of thousands of pictures, so that a typical
# picture of the right concept stays well below them.
SHARE = 0.25
SHARE_OF_BEST = 0.5
# A pair is a conjunction when neither of its words alone brings more than this part of what both bring.
PART_ALONE = 0.6
# A word is part of the answer when editing it away takes this part of what the picture had above the control.
LOST = 0.4
CONTROL = "none of these"


@dataclass(frozen=True)
class Plan:
    """The next experiment and what it is about, or the conclusion and what holds."""

    kind: Kind
    hypotheses: tuple[Words, ...] = ()


def decide(seen: Evidence) -> Plan:
    """The next step; every experiment is tried twice at most, so that the steps come to an end."""
    for plan in _steps(seen):
        if plan.kind == "conclusion" or (seen.tried[plan.kind] < 2 and not _done(seen, plan)):
            return plan
    raise AssertionError("the steps end with a conclusion")


def name(hypothesis: Words) -> str:
    """How a hypothesis is called in tables."""
    return " + ".join(sorted(hypothesis))


def only(word: str, other: str) -> str:
    """The condition in which one word of a pair stands without the other."""
    return f"{word} without {other}"


def neither(pair: Words) -> str:
    """The control of a factorial."""
    return "neither " + " nor ".join(sorted(pair))


def changed(hypothesis: Words, word: str) -> str:
    """The condition in which one word of pictures has been edited away."""
    return f"{name(hypothesis)}, {word} changed"


def drawn(hypothesis: Words) -> str:
    """The pictures that the edits start from."""
    return f"{name(hypothesis)}, as drawn"


def share(seen: Evidence, row: Row | None) -> float:
    """How far a condition goes from the control (0) to the exemplars' mean activation (1)."""
    low, high = scale(seen)
    return (row.mean - low) / (high - low) if row and high > low else 0.0


def scale(seen: Evidence) -> tuple[float, float]:
    """The activation without any candidate concept, and the mean of the exemplars."""
    control = seen.rows.get(CONTROL)
    values = sorted(value for value, _ in seen.screen)
    low = control.mean if control else (sum(values) / len(values) if values else 0.0)
    strong = [value for value, _ in seen.exemplars]
    return low, (sum(strong) / len(strong) if strong else low)


def contrast(row: Row | None, other: Row | None) -> tuple[float, float, float]:
    """Difference of two conditions with its 95 % interval (Welch's t)."""
    if row is None or other is None or min(row.n, other.n) < 2:
        return 0.0, -math.inf, math.inf
    difference = row.mean - other.mean
    parts = [one.sd**2 / one.n for one in (row, other)]
    spread = sum(part**2 / (one.n - 1) for part, one in zip(parts, (row, other), strict=True))
    half = _quantile(sum(parts) ** 2 / spread if spread else math.inf) * math.sqrt(sum(parts))
    return difference, difference - half, difference + half


def candidates(seen: Evidence) -> list[str]:
    """Words that stand out among the exemplars or in the screen, most striking first."""
    lift = _lift([words for _, words in seen.exemplars], seen)
    effect = main_effects(seen)
    by_lift = [word for word in sorted(lift, key=lift.__getitem__, reverse=True) if lift[word] > 1.5][:6]
    by_effect = [word for word in sorted(effect, key=effect.__getitem__, reverse=True) if effect[word] > 2][:4]
    both = {word: max(lift.get(word, 0), effect.get(word, 0)) for words in seen.vocabulary.values() for word in words}
    striking = sorted(both, key=both.__getitem__, reverse=True)
    chosen = dict.fromkeys([*by_lift, *by_effect, *striking[:3]])
    return sorted(chosen, key=both.__getitem__, reverse=True)[:8]


def singles(seen: Evidence) -> list[str]:
    """Probed words that raise the activation by themselves, strongest first."""
    probed = [word for words in seen.vocabulary.values() for word in words if word in seen.rows]
    raised = [word for word in probed if contrast(seen.rows[word], seen.rows.get(CONTROL))[1] > 0]
    return sorted(raised, key=lambda word: seen.rows[word].mean, reverse=True)


def pairs(seen: Evidence) -> list[Words]:
    """Pairs of candidates that go together among the exemplars, most frequent first."""
    pool = list(dict.fromkeys([*singles(seen)[:4], *candidates(seen)[:5]]))
    counted = {}
    for first, second in combinations(pool, 2):
        together = sum({first, second} <= words for _, words in seen.exemplars)
        if seen.family(first) != seen.family(second) and together >= len(seen.exemplars) / 3:
            counted[frozenset((first, second))] = together
    return sorted(counted, key=counted.__getitem__, reverse=True)[:3]


def conjunctions(seen: Evidence) -> list[Words]:
    """Pairs of which neither word does by itself what both do, strongest first."""
    found = []
    for pair in pairs(seen):
        both = seen.rows.get(name(pair))
        alone = [seen.rows.get(only(word, other)) for word, other in permutations(sorted(pair), 2)]
        exceeds = all(contrast(both, row)[1] > 0 for row in alone)
        if exceeds and all(share(seen, row) <= PART_ALONE * share(seen, both) for row in alone):
            found.append(pair)
    return sorted(found, key=lambda pair: seen.rows[name(pair)].mean, reverse=True)


def accepted(seen: Evidence) -> list[Words]:
    """The disjunction that the measurements support so far, before the minimal pairs."""
    both = [pair for pair in conjunctions(seen) if share(seen, seen.rows[name(pair)]) >= SHARE]
    both = [pair for at, pair in enumerate(both) if not any(pair & stronger for stronger in both[:at])]
    # A word of a conjunction raises the activation through the pictures that happen to hold the other word too.
    alone = [word for word in singles(seen) if share(seen, seen.rows[word]) >= SHARE]
    free = [frozenset((word,)) for word in alone if not any(word in pair for pair in both)]
    found = {hypothesis: share(seen, seen.rows[name(hypothesis)]) for hypothesis in [*both, *free]}
    best = max(found.values(), default=0.0)
    kept = [hypothesis for hypothesis in found if found[hypothesis] >= SHARE_OF_BEST * best]
    return sorted(kept, key=found.__getitem__, reverse=True)[:4]


def concluded(seen: Evidence) -> list[Words]:
    """What remains after the minimal pairs: words whose removal takes most of the activation away.

    Nothing remains when no exemplar holds any of it: whatever it is, it is not what the unit's exemplars are about.
    """
    remaining: list[Words] = []
    for hypothesis in accepted(seen):
        start = seen.rows.get(drawn(hypothesis))
        edited = {word: seen.rows.get(changed(hypothesis, word)) for word in hypothesis}
        if start is None or not all(edited.values()):
            remaining.append(hypothesis)
            continue
        needed = [word for word in hypothesis if _matters(seen, start, edited[word])]
        if needed and frozenset(needed) not in remaining:
            remaining.append(frozenset(needed))
    return remaining if any(one <= words for one in remaining for _, words in seen.exemplars) else []


def unexplained(seen: Evidence) -> list[Words]:
    """The exemplars that hold none of the accepted hypotheses."""
    found = accepted(seen)
    return [words for _, words in seen.exemplars if not any(hypothesis <= words for hypothesis in found)]


def _steps(seen: Evidence) -> list[Plan]:
    steps = [Plan("exemplars"), Plan("screen")]
    if not seen.vocabulary:
        return [Plan("conclusion")]
    if seen.exemplars or seen.screen:
        steps.append(Plan("probes", tuple(frozenset((word,)) for word in candidates(seen))))
        doubtful = [frozenset((word,)) for word in _doubtful(seen)]
        steps += [Plan("replicates", tuple(doubtful))] if doubtful else []
        steps += [Plan("pairs", tuple(pairs(seen)))] if pairs(seen) else []
        found = accepted(seen)
        rest = _residual_words(seen)
        steps += [Plan("residual", tuple(frozenset((word,)) for word in rest))] if found and rest else []
        steps += [Plan("edits", tuple(found))] if found else []
    return [*steps, Plan("conclusion", tuple(concluded(seen)))]


def _done(seen: Evidence, plan: Plan) -> bool:
    if plan.kind == "exemplars":
        return bool(seen.exemplars)
    if plan.kind == "screen":
        return bool(seen.screen)
    if plan.kind == "edits":
        return all(drawn(hypothesis) in seen.rows for hypothesis in plan.hypotheses)
    if plan.kind in ("residual", "replicates") and seen.tried[plan.kind]:
        return True
    if plan.kind == "replicates":
        return False
    return all(name(hypothesis) in seen.rows for hypothesis in plan.hypotheses)


def _doubtful(seen: Evidence) -> list[str]:
    """Where nothing is sure yet: probed words with an effect worth having, of which too few pictures were drawn."""
    if any(share(seen, seen.rows[word]) >= SHARE and seen.rows[word].n <= 5 for word in singles(seen)):
        return []
    probed = [word for words in seen.vocabulary.values() for word in words if word in seen.rows]
    return [word for word in probed if share(seen, seen.rows[word]) >= SHARE and word not in singles(seen)]


def _residual_words(seen: Evidence) -> list[str]:
    rest = unexplained(seen)
    if len(rest) < 3:
        return []
    lift = _lift(rest, seen)
    new = [word for word in lift if word not in seen.rows and lift[word] > 1.0]
    return sorted(new, key=lift.__getitem__, reverse=True)[:4]


def _matters(seen: Evidence, start: Row, edited: Row | None) -> bool:
    lost, surely, _ = contrast(start, edited)
    return share(seen, start) >= SHARE and surely > 0 and lost >= LOST * (start.mean - scale(seen)[0])


def _lift(described: list[Words], seen: Evidence) -> dict[str, float]:
    """For every word, by how many standard errors it is more frequent than the words of its family are on average."""
    found: dict[str, float] = {}
    for words in seen.vocabulary.values():
        counts = {word: sum(word in one for one in described) for word in words}
        expected = sum(counts.values()) / len(words)
        spread = math.sqrt(max(expected * (1 - min(expected / max(len(described), 1), 0.9)), 0.5))
        found |= {word: (count - expected) / spread for word, count in counts.items()}
    return found


def main_effects(seen: Evidence) -> dict[str, float]:
    """For every word, the difference of the screen's pictures with and without it, in standard errors."""
    found = {}
    for word in (word for words in seen.vocabulary.values() for word in words):
        having = [value for value, words in seen.screen if word in words]
        lacking = [value for value, words in seen.screen if word not in words]
        if len(having) > 1 and len(lacking) > 1:
            error = math.sqrt(_variance(having) / len(having) + _variance(lacking) / len(lacking))
            found[word] = (sum(having) / len(having) - sum(lacking) / len(lacking)) / (error or 1e-9)
    return found


def _quantile(freedom: float) -> float:
    """The 0.975 quantile of Student's t, within 2 % from 3 degrees of freedom on (Abramowitz and Stegun 26.7.5)."""
    z = 1.959964
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _variance(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)
