"""The experimenter's replies: what it saw, its hypotheses, what comes next and why, or the final answer."""

from __future__ import annotations

import re

from maia_kernel.driver.cells import fence
from maia_kernel.driver.offline import experiments, measures, phrases, reasoning
from maia_kernel.driver.offline.evidence import Evidence, Row, Words
from maia_kernel.driver.offline.measures import CONTROL
from maia_kernel.driver.offline.reasoning import Plan

# Below this confidence an answer is called a guess.
GUESS = 0.5

_WHY = {
    "exemplars": (
        "exemplars and blind descriptions",
        "I begin with the pictures of the dataset that excite the unit most, and have them described by somebody who "
        "knows no hypothesis. They show what goes together with high activation, not yet what causes it.",
    ),
    "screen": (
        "screen of pictures without these words",
        "Exemplars show only what excites the unit most; a second, unrelated and weaker concept (OR) would be hidden "
        "behind it. So I draw pictures of two objects in which the words that stand out are missing and everything "
        "else is in balance, have them described blindly, and see whether any are active.",
    ),
    "probes": (
        "probes of single words",
        "Each word that stands out gets pictures of its own that hold none of the others, so that only it can be the "
        "cause; everything else is left to chance. The control holds none of them.",
    ),
    "pairs": (
        "pairs of words",
        "Words that go together among the exemplars may be needed together (AND). The probes have drawn each without "
        "the other; now both are drawn, without the remaining words.",
    ),
    "binding": (
        "binding, one object or two",
        "Both words are needed. If they may stand on two objects, the unit looks for them in the whole picture; if "
        "not, one object must have both.",
    ),
    "replicates": (
        "replicates of what is uncertain",
        "Some words seem to raise the activation, but their few pictures differ too much to be sure. New pictures of "
        "each will tell; they are compared with the same control as before.",
    ),
    "edits": (
        "edits of one word at a time",
        "If a word matters, taking it out of a picture and leaving all else as it is must lower the activation, and "
        "changing something else must not. This is the test that could refute what I hold now.",
    ),
}


def write(seen: Evidence, plan: Plan) -> str:
    """The reply for a plan."""
    if plan.kind == "conclusion":
        return _conclusion(seen, list(plan.hypotheses))
    title, why = _WHY[plan.kind]
    parts = [f"### Turn {seen.turn + 1} · Experiment: {title}"]
    if observed := _observed(seen):
        parts.append(f"**What I saw.** {observed}")
    parts.append(f"**Hypotheses**\n\n{_hypotheses(seen)}")
    parts += [f"**Next.** {why}", fence(experiments.code(seen, plan))]
    return "\n\n".join(parts)


def _observed(seen: Evidence) -> str:
    """The last thing that was learnt, in a sentence or two."""
    if reasoning.probed(seen):
        found = [
            f"{_label(seen, one)} ({_effect(seen, measures.measured(seen, one))})" for one in reasoning.accepted(seen)
        ]
        if not found:
            return "No single word brings the activation near to that of the exemplars."
        rest = len(reasoning.unexplained(seen))
        unexplained = (
            f"{rest} of {len(seen.exemplars)} exemplars hold none of it." if rest else "All exemplars hold it."
        )
        return f"What holds so far: {'; '.join(found)}. {unexplained}"
    if seen.screen:
        low, high = measures.scale(seen)
        active = sum(value >= low + reasoning.SHARE * (high - low) for value, _ in seen.screen)
        new = phrases.enumerated(reasoning.further(seen)) or "no word of mine"
        because = f"; what goes with it is {new}" if active else ""
        return f"{active} of {len(seen.screen)} pictures of the screen are active{because}."
    if seen.exemplars:
        counts = {
            word: sum(word in words for _, words in seen.exemplars)
            for words in seen.vocabulary.values()
            for word in words
        }
        best = sorted(counts, key=counts.__getitem__, reverse=True)[:5]
        return (
            f"In the blind descriptions of the {len(seen.exemplars)} exemplars the most frequent words are "
            + phrases.enumerated([f"{word} ({counts[word]})" for word in best])
            + "."
        )
    return ""


def _hypotheses(seen: Evidence) -> str:
    """A numbered list of what may be true, with what speaks for or against it."""
    if not seen.exemplars and not seen.screen:
        kinds = phrases.enumerated(list(seen.vocabulary), "or")
        return (
            f"1. The unit responds to one word of one kind ({kinds}).\n"
            "2. It responds to several, each by itself (OR).\n"
            "3. It needs two of them together (AND).\n"
            "4. Nothing in my vocabulary explains it."
        )
    words = reasoning.candidates(seen)
    lines = [_standing(seen, frozenset((word,))) for word in words]
    lines += [_standing(seen, pair) for pair in reasoning.pairs(seen)]
    lines.append("Nothing in my vocabulary explains it.")
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, start=1))


def _standing(seen: Evidence, hypothesis: Words) -> str:
    row = measures.measured(seen, hypothesis)
    label = _label(seen, hypothesis)
    if row is None:
        together = sum(hypothesis <= words for _, words in seen.exemplars)
        return f"{label}: open; in {together} of {len(seen.exemplars)} exemplars"
    held = reasoning.accepted(seen)
    if hypothesis in held:
        verdict = "holds"
    elif any(one < hypothesis for one in held):
        verdict = "more than is needed"
    elif any(one & hypothesis and not hypothesis < one for one in held):
        verdict = "overlaps with what holds"
    else:
        verdict = "only as a part" if any(hypothesis < one for one in held) else "does not suffice"
    return f"{label}: {verdict}; {_effect(seen, row)}"


def _effect(seen: Evidence, row: Row | None) -> str:
    """A condition against the control, with its interval and its share of the exemplars' activation."""
    if row is None:
        return "not measured"
    difference, low, high = measures.contrast(row, seen.rows.get(CONTROL))
    text = f"{difference:+.3g} [{low:.3g}, {high:.3g}] over '{CONTROL}'"
    if measures.everywhere(seen):
        return text
    return f"{text}, {measures.share(seen, row):.0%} of the way to the exemplars"


def _conclusion(seen: Evidence, found: list[Words]) -> str:
    rules = (
        "Intervals are Welch's, 95 %; percentages are of the way from the control to the exemplars' mean. "
        "(Rules, closed vocabulary, no language model.)"
    )
    if not seen.vocabulary:
        return (
            "The generator does not say which words it can draw; without a closed vocabulary I have no hypotheses.\n\n"
            f"[DESCRIPTION]: Not investigated: the offline experimenter needs a closed vocabulary. {rules}\n\n"
            "[LABEL 1]: no explanation found"
        )
    if CONTROL not in seen.rows:
        return (
            "### Conclusion\n\nNone of my experiments gave numbers that I can read.\n\n"
            f"[DESCRIPTION]: Nothing was tested. {rules}\n\n[LABEL 1]: no explanation found"
        )
    if not found:
        nothing = "No word or pair of words in my vocabulary explains this unit."
        tried = ("screen", "probes", "pairs", "replicates", "edits")
        return "\n\n".join(
            [
                f"### Conclusion\n\n{_unread(seen)}I have no hypothesis left that the measurements support.",
                f"[DESCRIPTION]: {' '.join(filter(None, [nothing, _ruled_out(seen, found), rules]))}",
                f"[LABEL 1]: no explanation found{_basis(seen, tried, reasoning.doubt(seen))}",
            ]
        )
    texts = [_label(seen, one) for one in found]
    held = len([words for _, words in seen.exemplars if any(one <= words for one in found)])
    sure = [reasoning.confidence(seen, one) for one in found]
    guess = _guess(seen) if min(sure) < GUESS else "The unit responds to"
    sentences = [f"{guess} {' OR '.join(texts)}."]
    sentences += [_support(seen, one) for one in found]
    sentences.append(
        f"{held} of {len(seen.exemplars)} exemplars hold {'it' if len(found) == 1 else 'at least one of them'}."
    )
    if held < len(seen.exemplars) / 2:
        sentences.append("Most exemplars are not explained by it: this is a part of the answer at best.")
    labels = [
        f"[LABEL {number}]: {text}{_basis(seen, _evidence_for(seen, one), confidence)}"
        for number, (text, one, confidence) in enumerate(zip(texts, found, sure, strict=True), start=1)
    ]
    return "\n\n".join(
        [
            f"### Conclusion\n\n{_unread(seen)}This is what the measurements "
            f"{'suggest' if min(sure) < GUESS else 'support'}.",
            f"[DESCRIPTION]: {' '.join(filter(None, [*sentences, _ruled_out(seen, found), rules]))}",
            *labels,
        ]
    )


def _unread(seen: Evidence) -> str:
    """A remark where somebody has asked for something else than what a unit responds to."""
    if not seen.question or re.match(r"What does unit .* respond to\?$", seen.question):
        return ""
    return "I cannot read questions: whatever was asked, I only say which words raise the unit's activation.\n\n"


def _guess(seen: Evidence) -> str:
    """How an answer begins that is not sure, with the reason where there is a plain one."""
    active, silent = reasoning.unexpected(seen)
    because = f" ({active} of {silent} conditions without it hold an active picture, too)" if active else ""
    return f"A guess, not a finding{because}: the unit may respond to"


def _support(seen: Evidence, hypothesis: Words) -> str:
    row = measures.measured(seen, hypothesis)
    text = f"{_label(seen, hypothesis).capitalize()}: {_effect(seen, row)}"
    if (bound := reasoning.bound(seen, hypothesis)) is not None:
        text += "; one object must have both" if bound else "; they may stand on two objects"
    if len(hypothesis) > 1:
        alone = [(word, seen.rows.get(word)) for word in sorted(hypothesis)]
        text += "".join(f"; {word} alone {measures.share(seen, row):.0%}" for word, row in alone if row)
    edited = reasoning.tested(seen, hypothesis)
    start = seen.rows.get(measures.drawn(edited))
    for word in sorted(hypothesis):
        after = seen.rows.get(measures.changed(edited, word))
        if start and after:
            difference, low, high = measures.contrast(after, start)
            interval = f" [{low:.3g}, {high:.3g}]" if after.n > 1 else " (one picture)"
            text += f"; with {word} edited away {difference:+.3g}{interval}"
    spare = reasoning.spare_family(seen, edited)
    if start and (other := seen.rows.get(measures.changed(edited, spare))):
        text += f"; with another {spare} {other.mean - start.mean:+.3g}"
    return text + "."


def _label(seen: Evidence, hypothesis: Words) -> str:
    return phrases.label(seen, hypothesis, apart=reasoning.bound(seen, hypothesis) is False)


def _ruled_out(seen: Evidence, found: list[Words]) -> str:
    """The words and pairs that were measured and are not part of the answer."""
    if measures.everywhere(seen):
        low, high = measures.scale(seen)
        return f"The control ({low:.3g}) is nearly as active as the exemplars ({high:.3g}): nothing can be ruled out."
    used = {word for one in found for word in one}
    measured = [
        frozenset((word,))
        for words in seen.vocabulary.values()
        for word in words
        if word in seen.rows and word not in used
    ]
    # A pair that holds a word of the answer is not ruled out, it is more than is needed.
    measured += [pair for pair in reasoning.pairs(seen) if measures.name(pair) in seen.rows and not pair & used]
    held = reasoning.accepted(seen)
    refuted = [one for one in held if one not in found]
    rest = [one for one in measured if one not in refuted]
    weaker = [one for one in rest if measures.share(seen, measures.measured(seen, one)) >= reasoning.SHARE]
    weak = [one for one in rest if one not in weaker]
    sentences = []
    for one in refuted:
        idle = [word for word in sorted(one) if not reasoning.matters(seen, one, word)]
        stays = (
            f"The edits did not confirm {_label(seen, one)}: without {phrases.enumerated(idle)} the activation stays."
        )
        strange = f"No exemplar holds {_label(seen, one)}, whatever they do elsewhere: not what the unit is about."
        sentences.append(stays if idle else strange)
    if weak:
        sentences.append(f"Ruled out, as too weak: {_shares(seen, weak)}.")
    if weaker:
        sentences.append(f"Not ruled out, but uncertain or a part of something else: {_shares(seen, weaker)}.")
    return " ".join(sentences)


def _shares(seen: Evidence, hypotheses: list[Words]) -> str:
    shares = [f"{measures.share(seen, measures.measured(seen, one)):.0%}" for one in hypotheses]
    named = [f"{_label(seen, one)} ({share})" for one, share in zip(hypotheses, shares, strict=True)]
    return phrases.enumerated(named)


def _evidence_for(seen: Evidence, hypothesis: Words) -> tuple[str, ...]:
    row = measures.measured(seen, hypothesis)
    kinds = [kind for kind in experiments.MEASURED if row and seen.turns.get(kind) == row.turn]
    edited = [one for one in reasoning.accepted(seen) if hypothesis <= one and measures.drawn(one) in seen.rows]
    kinds += ["binding"] if measures.apart(hypothesis) in seen.rows else []
    kinds += ["probes"] if len(hypothesis) > 1 else []
    return (*kinds, "edits") if edited else tuple(kinds)


def _basis(seen: Evidence, kinds: tuple[str, ...], sure: float) -> str:
    """What stands behind a label: the turns that it rests on, and how sure it is."""
    turns = sorted({seen.turns[kind] for kind in kinds if kind in seen.turns})
    named = f"turn{'s' if len(turns) > 1 else ''} {', '.join(map(str, turns))}; " if turns else ""
    return f" ({named}confidence {sure:.2f})"
