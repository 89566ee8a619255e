"""The words of the language: which word means which attribute, and how a text is cut into such words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from maia_kernel.scenes.scene import VOCABULARY

# Further words for each value; plurals are made by rule. Canonical words come from VOCABULARY.
_SYNONYMS: dict[str, dict[str, str]] = {
    "shape": {
        "circle": "disc disk ball dot sphere circular",
        "square": "box cube quadrilateral",
        "triangle": "pyramid triangular",
        "star": "pentagram",
        "ring": "donut doughnut annulus hoop torus",
        "cross": "crucifix",
        "heart": "",
        "crescent": "moon half-moon crescent-moon sickle",
    },
    "colour": {
        "red": "crimson scarlet reddish",
        "orange": "tangerine",
        "yellow": "golden gold yellowish",
        "green": "emerald greenish",
        "blue": "navy azure bluish",
        "purple": "violet magenta lilac purplish",
        "white": "whitish",
        "black": "blackish",
    },
    "texture": {
        "plain": "solid uniform untextured unpatterned smooth flat monochrome plain-coloured plain-colored",
        "striped": "stripe stripy stripey banded lined",
        "dotted": "dot-pattern polka-dot polka-dotted spotted speckled spot polka",
        "checkered": "checked chequered checker check checkerboard chessboard chequerboard chequer",
    },
    "size": {
        "small": "tiny little mini smaller miniature",
        "medium": "medium-sized mid-sized midsized average middle-sized medium-size",
        "large": "big huge giant larger bigger enormous",
    },
    "background": {
        "grass": "lawn meadow field grassy grassland",
        "water": "sea ocean lake pond river pool watery",
        "sand": "beach desert sandy dune",
        "snow": "ice snowy snowfield",
        "brick": "brickwork wall bricks brick-wall",
        "wood": "wooden plank floorboard timber board",
    },
    "light": {
        "day": "daytime daylight noon midday sunny sunlight sunlit sunshine",
        "dusk": "sunset evening twilight sundown dawn sunrise",
        "night": "nighttime night-time midnight dark darkness moonlight moonlit",
    },
}


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# The noun of a pattern ("with stripes") belongs to the object before it.
PATTERN_NOUNS = _set("stripe stripes dots spots checks bands polka-dots")
GENERIC = _set("object objects shape shapes thing things figure figures form forms item items")
OPENERS = _set("a an another the each")
BOTH = _set("both all every each")
NEGATIONS = _set("no not without never excluding except")
EMPTY = _set("empty nothing bare blank")
CONDITIONS = _set("on in over against at upon onto during by under")
JOINTS = _set("and with plus or but while alongside together") | frozenset(",;.:")
PLACES = _set(
    "above below left right top bottom behind beside near between centre center central centred centered middle "
    "corner inside outside front"
)
MODIFIERS = _set("dark light bright pale deep vivid")
ATTRIBUTE_NOUNS = _set(
    "colour color colours colors coloured colored texture textures pattern patterns size sizes surface hue"
)
FILLERS = _set(
    "of is are be that which it its there some to as has have having photo photograph picture image scene drawing "
    "painting render rendering illustration view background backgrounds ground light lighting shaped sized textured "
    "patterned showing shows containing standing lying placed only just single exactly set time them made from very "
    "they this any floor scattered different everything sky should"
)
NUMBERS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "several": 3,
    "many": 4,
    "few": 3,
    "couple": 2,
    "pair": 2,
}


@dataclass(frozen=True)
class Word:
    """One word of a text.

    Attributes
    ----------
    text : str
        As written, in lower case.
    family, value : str
        The attribute that it names, or two empty strings.
    plural : bool
        Whether it is the plural of a shape or of a generic noun.
    """

    text: str
    family: str = ""
    value: str = ""
    plural: bool = False


def _build() -> Mapping[str, Word]:
    words: dict[str, Word] = {}
    for family, values in VOCABULARY.items():
        for value in values:
            for text in (value, *_SYNONYMS[family][value].split()):
                words[text] = Word(text, family, value)
                for ending in ("s", "es"):
                    words.setdefault(text + ending, Word(text + ending, family, value, plural=family == "shape"))
    words["dots"] = Word("dots", "texture", "dotted")
    for text in GENERIC:
        words.setdefault(text, Word(text, plural=text.endswith("s")))
    return words


_WORDS = _build()
_JOIN = (
    (re.compile(r"\b(half|crescent) moon"), "half-moon"),
    (re.compile(r"\bpolka[ -]dot(s|ted)?\b"), "polka-dotted"),
    (re.compile(r"\b(medium|mid|middle)[ -]size(d)?\b"), "medium-sized"),
    (re.compile(r"\b(plus|cross)[ -](sign|shape)\b"), "cross"),
    (re.compile(r"\bnext to\b"), "beside"),
    (re.compile(r"\b(\w+)[ -]shaped\b"), r"\1"),
)


def words_of(text: str) -> list[Word]:
    """Cut a text into words and punctuation, each with the attribute that it names."""
    lowered = text.lower().replace("’", "'").replace("'s", "")
    for pattern, replacement in _JOIN:
        lowered = pattern.sub(replacement, lowered)
    found = re.findall(r"[a-z]+(?:-[a-z]+)*|\d+|[,;.:]", lowered)
    return [word for token in found for word in _lookup(token)]


def _lookup(token: str) -> list[Word]:
    if token in _WORDS:
        return [_WORDS[token]]
    if "-" in token:  # "dark-red", "star-like": each half by itself
        return [_WORDS.get(half, Word(half)) for half in token.split("-")]
    return [Word(token)]


def number_of(word: Word) -> int | None:
    """The number that a word stands for, if any."""
    return int(word.text) if word.text.isdigit() else NUMBERS.get(word.text)


def is_known(word: Word) -> bool:
    """Whether the language gives the word a meaning, or rightly ignores it."""
    text = word.text
    known = (GENERIC, OPENERS, BOTH, NEGATIONS, EMPTY, CONDITIONS, JOINTS, PLACES, MODIFIERS, ATTRIBUTE_NOUNS, FILLERS)
    return bool(word.family) or number_of(word) is not None or any(text in group for group in known)
