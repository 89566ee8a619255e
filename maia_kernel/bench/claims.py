"""What an answer claims: the labels of any agent, in any wording, as conjunctions of the embedded world's words.

How a label is read:

- every label is one claim or several; several labels are joined by OR, as are parts of a label around "or", "/", ";";
- within a part, all words of the vocabulary are one conjunction: "red circles", "circles that are red" and "red objects
  together with circles" are the same; synonyms and plurals count (:func:`maia_kernel.scenes.lexicon.words_of`);
- "red or blue circles" is read as red circles or blue circles, "circles on grass or sand" as circles on either;
- so is a list with an "or": "red, blue or green objects" claims three things;
- of a text cut at sentences, colons and dashes the first piece that names something counts ("Concept: red circles");
- what stands in brackets beside words outside them, or behind "especially", "regardless of", "rather than" is a remark,
  and claims nothing; brackets that an AND or OR joins to the rest, or that hold all there is, are part of the claim;
- a claim that counts ("three circles"), compares, places ("left of") or excludes ("without stripes", "anything but")
  says what a conjunction of words cannot say: it is marked as ``beyond`` the grammar, even where it names no word that
  must be there ("three objects");
- an answer that names nothing of the vocabulary ("no explanation found", "unknown") abstains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from maia_kernel.driver.cells import Label
from maia_kernel.scenes.lexicon import ATTRIBUTE_NOUNS, GENERIC, MODIFIERS, NEGATIONS, Word, number_of, words_of

Concept = frozenset[str]

_ADJECTIVES = ("size", "colour", "texture")
_GROUNDS = ("background", "light")
# Places that say where, not merely that two things are in one picture ("beside", "near" and "behind" do not). "Top" is
# as often said of activations.
_PLACING = frozenset({"above", "below", "left", "right", "bottom", "between", "leftmost", "rightmost"})
_COUNTING = frozenset({"same", "identical", "twice", "than", "fewer", "exactly"})

_ABSTENTION = re.compile(
    r"^\W*(?:none\b|nothing\b|not enough\b|unknown|unexplained|unclear|inconclusive|undetermined|uninterpretable"
    r"|n/a\b|abstain|not (?:clear|known|explained|interpretable|determined)|cannot (?:say|tell|explain)"
    r"|i (?:do not|don't) know|(?:\w+\W+){0,3}?(?:could not|couldn't|unable to|does not respond to any)\b"
    r"|no\b(?:\W+\w+){0,4}?\W+(?:explanation|explains?|concept|hypothesis|pattern|answer|label|conclusion|evidence"
    r"|feature|preference|selectivity)\b)",
    re.IGNORECASE,
)
_REMARK = re.compile(
    r"(?:,\s*)?\b(?:especially|particularly|mostly|mainly|e\.?g\b|i\.?e\b|such as|including|regardless of"
    r"|irrespective of|independent(?:ly)? of|whatever|whether|no matter|rather than|instead of|as opposed to|unlike"
    r"|(?:of|in|on|with|at) (?:any|all|every))\b.*|,\s*(?:not|never)\s+(?=\w+\W*$).*",
    re.IGNORECASE | re.DOTALL,
)
_BRACKETS = re.compile(r"\(([^()]*)\)|\[([^][]*)\]")
_LOGIC = re.compile(r"\b(?:AND|OR)\b")
_JOINED = re.compile(r"\b(?:and|or)\s*$", re.IGNORECASE), re.compile(r"\s*(?:and|or)\b", re.IGNORECASE)
_PIECES = re.compile(r"(?<=[a-z])\.(?:\s|$)|:(?:\s|$)|\s[–—-]{1,3}\s")
_ONLY = re.compile(r"\b(?:nothing|none) (?:but|except|other than)\b", re.IGNORECASE)
_ROUND = re.compile(r"\bround(?:ed)?\b", re.IGNORECASE)  # of a prompt it would draw a second object
_EXCLUDED = re.compile(
    r"\b(?:(?:anything|everything) but|other than|apart from|(?:absence|lack|free|devoid) of|lack(?:s|ing)|non)\b",
    re.IGNORECASE,
)
# "Two or more" and "whether or not" are no alternatives.
_OR = re.compile(r"\s*[/;|]\s*|\band/or\b|\bor\b(?!\s+(?:more|fewer|less|not)\b)", re.IGNORECASE)


@dataclass(frozen=True)
class Claim:
    """One conjunction that an answer claims.

    Attributes
    ----------
    words : frozenset of str
        Words of ``VOCABULARY``; empty only where ``beyond``.
    confidence : float or None
        0 to 1, as the agent stated it; None where it did not.
    beyond : bool
        Whether it says more than a conjunction can (a number, a place, an exclusion).
    """

    words: Concept
    confidence: float | None = None
    beyond: bool = False


@dataclass(frozen=True)
class Answer:
    """Everything that a final answer claims; without claims it abstains."""

    claims: tuple[Claim, ...] = ()

    @property
    def abstained(self) -> bool:
        """Whether nothing is claimed."""
        return not self.claims

    @property
    def concepts(self) -> frozenset[Concept]:
        """The claimed conjunctions."""
        return frozenset(claim.words for claim in self.claims)

    @property
    def confidence(self) -> float:
        """The smallest of its claims' confidences: an answer is right only as a whole. Unstated counts as 1."""
        return min((1.0 if claim.confidence is None else claim.confidence for claim in self.claims), default=0.0)


def read(labels: Iterable[Label]) -> Answer:
    """Read the labels of a final answer.

    Parameters
    ----------
    labels : iterable of Label
        As :func:`maia_kernel.driver.cells.parse` finds them.

    Returns
    -------
    Answer
        Equal claims are one, with the largest of their confidences.
    """
    found: dict[tuple[Concept, bool], Claim] = {}
    for label in labels:
        for words, beyond in conjunctions(label.text):
            before = found.get((words, beyond))
            known = (label.confidence, before.confidence if before else None)
            stated = [one for one in known if one is not None]
            found[words, beyond] = Claim(words, max(stated, default=None), beyond)
    return Answer(tuple(found.values()))


def conjunctions(text: str) -> list[tuple[Concept, bool]]:
    """The conjunctions of one label, each with whether it says more than its words."""
    said = _ONLY.sub(" ", _unwrapped(_ROUND.sub("circular", text))).strip(" .*_`\"'")
    if _ABSTENTION.match(said):
        return []
    said = next((piece for piece in _PIECES.split(said) if _families(piece)), said)
    said = _EXCLUDED.sub(" without ", said)
    alternatives = [_REMARK.sub("", part) for part in _OR.split(said)]
    if len(alternatives) > 1:
        alternatives = [item for part in alternatives for item in _items(part)]
    parts = [_Part.of(part) for part in alternatives]
    return [(part.words, part.beyond) for part in _shared(parts) if part.words or part.beyond]


def _unwrapped(text: str) -> str:
    """A text without its brackets, and without those of their contents that are remarks."""
    while found := _BRACKETS.search(text):
        before, inside, after = text[: found.start()], found[1] or found[2] or "", text[found.end() :]
        joined = _JOINED[0].search(before) or _JOINED[1].match(after) or _LOGIC.search(inside)
        claimed = _families(inside) and (joined or not _families(f"{before} {after}"))
        text = f"{before} {inside if claimed else ''} {after}"
    return text


def _items(part: str) -> list[str]:
    """What stands between the commas of a list, as in "red, blue" or "red circles, blue squares"; else the part."""
    items = [item for item in part.split(",") if item.strip()]
    alike = len({frozenset(_families(item)) for item in items}) == 1
    excludes = any(word.text in NEGATIONS for word in words_of(part))
    return items if alike and not excludes else [part]


def _families(text: str) -> set[str]:
    """The attributes that a text names."""
    return {word.family for word in words_of(text) if word.family}


@dataclass(frozen=True)
class _Part:
    """What stands between two ORs."""

    families: tuple[tuple[str, str], ...]
    noun: bool
    beyond: bool

    @classmethod
    def of(cls, text: str) -> _Part:
        words = words_of(text)
        named: dict[str, str] = {}
        for word, following in pairwise([*words, Word("")]):
            if word.text in NEGATIONS:
                break  # what is excluded is not claimed
            shade = word.text in MODIFIERS and following.family == "colour"  # "dark red" says nothing about night
            if word.family and not shade:
                named[word.value] = word.family
        noun = any(word.family == "shape" or word.text in GENERIC for word in words)
        about = any(word.family or word.text in GENERIC | ATTRIBUTE_NOUNS for word in words)
        return cls(tuple(named.items()), noun, about and any(_says_more(word) for word in words))

    @property
    def words(self) -> Concept:
        return frozenset(word for word, _ in self.families)


def _says_more(word: Word) -> bool:
    number = number_of(word)
    counts = (number is not None and number > 1) or word.text in _COUNTING
    return counts or word.text in _PLACING or word.text in NEGATIONS


def _shared(parts: list[_Part]) -> list[_Part]:
    """Give a bare word what it shares with its neighbour: "red or blue circles", "circles on grass or sand"."""
    shared = list(parts)
    for at in range(len(parts) - 2, -1, -1):
        shared[at] = _lent(shared[at], shared[at + 1], _ADJECTIVES)
    for at in range(1, len(parts)):
        shared[at] = _lent(shared[at], shared[at - 1], _GROUNDS)
    return shared


def _lent(bare: _Part, full: _Part, families: tuple[str, ...]) -> _Part:
    if len(bare.families) != 1 or bare.noun or bare.families[0][1] not in families or len(full.families) < 2:
        return bare
    family = bare.families[0][1]
    rest = tuple((word, other) for word, other in full.families if other != family)
    return _Part((*bare.families, *rest), True, bare.beyond or full.beyond) if len(rest) < len(full.families) else bare
