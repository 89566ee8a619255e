"""Owns the reading of English about pictures by a closed vocabulary: what a prompt, an instruction, a description say.

It knows the vocabulary's own words, their simple plurals and plain English, and no generator's grammar or synonyms.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "Clause",
    "Instruction",
    "Lexicon",
    "Prompt",
    "Wish",
    "Words",
    "clauses",
    "is_readable",
    "lexicon_of",
    "read_instruction",
    "read_prompt",
]

Words = dict[str, str]  # from family to word: what is said of one thing
Lexicon = Mapping[str, tuple[str, str]]  # from a word as written to its family and to the vocabulary's word


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Between two of these a text speaks of one thing.
_BREAKS = _set(
    "and with plus but while alongside together , ; . : on in over against at upon onto during by under above below "
    "behind beside near next between left right top bottom"
)
_DENIALS = _set("no not without never except excluding")
_NUMBERS = {"two": 2, "three": 3, "four": 4}
_ALL = _set("it its them they everything all both each every object objects shape shapes thing things")
# What an instruction may hold beside the vocabulary without naming anything that could change.
_PLAIN = _ALL | _BREAKS | _DENIALS | _NUMBERS.keys()
_PLAIN |= _set(
    "a an the one of to from into as for so that is are be being been should must becomes become now only just instead "
    "place please can could you we us let let's s this these those there here picture image scene background backdrop "
    "setting ground light lighting sky time color colour colors colours coloured colored texture pattern size kind "
    "replace replaced swap exchange substitute turn change convert transform make paint recolour recolor set switch "
    "render give apply use add put insert include introduce draw have remove delete erase eliminate drop hide take "
    "away out get rid existing current whole keep keeping leave leaving else other others same unchanged exactly "
    "changing very bright vivid pale deep another more new edit nothing anything any do don t changes"
)
_VERBS = (
    "replace|swap|exchange|substitute|turn|change|convert|transform|make|paint|recolou?r|set|switch|add|put|insert|"
    "place|include|introduce|draw|remove|delete|erase|eliminate|drop|hide|take|get|enlarge|grow|shrink|keep|leave"
)
_NEXT = re.compile(
    rf"\s*(?:;|\.(?:\s|$)|,? and then |,? then |,? (?:and|but)(?= (?:{_VERBS})\b)|,(?= (?:{_VERBS})\b))\s*"
)
_KEEP = re.compile(r"^(?:keep|keeping|leave|leaving|do not|don't|do nothing|change nothing|nothing|no changes?)\b")
_REMOVE = re.compile(
    r"(?:^without|\b(?:remove|delete|erase|eliminate|drop|hide|take (?:away|out)|get rid of)) "
    r"(?P<old>.+?)(?: from .*)?$"
)
_CHANGE = (
    re.compile(r"\b(?:replace|swap|exchange|switch) (?P<old>.+?) (?:with|for|by) (?P<new>.+)$"),
    re.compile(r"\bsubstitute (?P<new>.+?) for (?P<old>.+)$"),
    re.compile(r"^(?P<new>.+?) (?:instead of|in place of) (?P<old>.+)$"),
    re.compile(
        r"\b(?:turn|change|convert|transform|make|set|switch|alter|paint|colou?r) (?P<old>.+?) "
        r"(?:into|to|as|be) (?P<new>.+)$"
    ),
    re.compile(r"^(?P<old>.+?) (?:should be|must be|becomes|is now|is|are) (?P<new>.+)$"),
)
_ADD = re.compile(
    r"\b(?:add|(?:put|insert|place|include|introduce|draw)(?! (?:the|it|them|all|both|every)\b)) "
    r"(?P<new>.+?)(?: (?:to|onto) .*)?$"
)
_SINGLE = re.compile(r"^(?:an?|one|one of .*) ")


@dataclass(frozen=True)
class Clause:
    """What a text says of one thing.

    Attributes
    ----------
    words : dict
        From family to word.
    unsure : frozenset of str
        Families whose word stands after "perhaps".
    """

    words: Words
    unsure: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Prompt:
    """What a prompt asks for, and what it keeps out.

    Attributes
    ----------
    asked : tuple of Clause
        In the order of the text.
    kept_out : tuple of dict
        From family to word: what is denied of any one thing and not asked for elsewhere.
    """

    asked: tuple[Clause, ...]
    kept_out: tuple[Words, ...]


@dataclass(frozen=True)
class Wish:
    """One change that an instruction asks for.

    Attributes
    ----------
    kind : str
        "change", "add" or "remove".
    targets : tuple of dict
        What is said of that which is to be changed or removed, an empty dict for all objects. Of several readings the
        first that fits anything counts; there are none where it is not known.
    new : dict
        What is to be seen; empty where something is removed.
    single : bool
        Whether one of several targets is enough.
    count : int
        How many are to be added.
    """

    kind: str
    targets: tuple[Words, ...]
    new: Words
    single: bool = False
    count: int = 1


@dataclass(frozen=True)
class Instruction:
    """What an instruction asks for.

    Attributes
    ----------
    wishes : tuple of Wish
        In the order of the text.
    asked : frozenset of str
        The vocabulary's words that something is to change to, apart from those that only say what is to change.
    unknown : int
        How many of its words are neither in the vocabulary nor plain English.
    """

    wishes: tuple[Wish, ...]
    asked: frozenset[str]
    unknown: int


def lexicon_of(vocabulary: Mapping[str, Sequence[str]]) -> Lexicon:
    """Return the words of a vocabulary (family to words) and their simple plurals."""
    found: dict[str, tuple[str, str]] = {}
    for ending in ("", "s", "es"):
        for family, words in vocabulary.items():
            for word in words:
                found.setdefault(word.lower() + ending, (family, word))
    return found


def is_readable(text: str, lexicon: Lexicon) -> bool:
    """Whether a text holds any word of the vocabulary."""
    return any(token in lexicon for token in _tokens(text))


def clauses(text: str, lexicon: Lexicon) -> list[Clause]:
    """Cut a text into what it says of each thing.

    What stands after "no" or "without" is not said, nor is either side of an "or".
    """
    return _cut(text, lexicon)[0]


def read_prompt(text: str, lexicon: Lexicon, ignored: Collection[str] = ()) -> Prompt:
    """Read a prompt without the words that its generator ignores."""
    said, barred = _cut(text, lexicon)
    left = [{family: word for family, word in one.words.items() if word not in ignored} for one in said]
    asked = {word for words in left for word in words.values()}
    return Prompt(
        tuple(Clause(words) for words in left if words),
        tuple(words for words in barred if not asked.issuperset(words.values())),
    )


def _cut(text: str, lexicon: Lexicon) -> tuple[list[Clause], list[Words]]:
    """What a text says of each thing, and what it denies."""
    found: list[Clause] = []
    barred: list[Words] = []
    words: Words = {}
    unsure: set[str] = set()
    denied = either = doubtful = False

    def close() -> None:
        if words and denied:
            barred.append(dict(words))
        elif words:
            found.append(Clause(dict(words), frozenset(unsure)))
        words.clear()
        unsure.clear()

    for token in _tokens(text):
        if token in _BREAKS:
            close()
            denied = either = False
        elif token in _DENIALS:
            close()
            denied, either = True, False
        elif token == "or":
            words.clear()
            either = True
        elif token == "perhaps":
            doubtful = True
        elif token in lexicon:
            family, word = lexicon[token]
            if not either:
                if words.get(family, word) != word:
                    close()
                words[family] = word
                unsure.update([family] if doubtful else [])
            doubtful = False
    close()
    return found, barred


def read_instruction(text: str, lexicon: Lexicon) -> Instruction:
    """Read an edit instruction; never raises, what it cannot read asks for nothing."""
    families = {family for family, _ in lexicon.values()}
    wishes: list[Wish] = []
    unknown = 0
    for part in _NEXT.split(" ".join(text.lower().replace("’", "'").split()).strip(" .!")):
        tokens = _tokens(part)
        unknown += sum(token not in lexicon and token not in _PLAIN and token not in families for token in tokens)
        if not _KEEP.match(part):
            wishes += _wishes(part, lexicon)
    asked = {word for wish in wishes for family, word in wish.new.items() if _named(wish).get(family) != word}
    return Instruction(tuple(wishes), frozenset(asked), unknown)


def _named(wish: Wish) -> Words:
    """What a wish says of its target in every reading."""
    return wish.targets[-1] if wish.targets else {}


def _wishes(part: str, lexicon: Lexicon) -> list[Wish]:
    if found := _REMOVE.search(part):
        targets = [_target(piece, lexicon) for piece in re.split(r",| and ", found["old"])]
        return [Wish("remove", target, {}, bool(_SINGLE.match(found["old"]))) for target in targets if target]
    for pattern in _CHANGE:
        if found := pattern.search(part):
            target, single = _target(found["old"], lexicon), bool(_SINGLE.match(found["old"]))
            return [Wish("change", target, clause.words, single) for clause in clauses(found["new"], lexicon)]
    if found := _ADD.search(part):
        pieces = [(clauses(piece, lexicon), piece) for piece in re.split(r",| and ", found["new"])]
        return [Wish("add", (), said[0].words, count=_number(piece)) for said, piece in pieces if said]
    # "make the small circle large": the last word is new, those before it say of what; of one family the last counts.
    words = [item for clause in clauses(part, lexicon) for item in clause.words.items()]
    readings = tuple(dict(words[:end]) for end in range(len(words) - 1, 0, -1))
    if not readings and _ALL.intersection(part.split()):
        readings = ({},)
    return [Wish("change", readings, dict(words))] if words else []


def _target(text: str, lexicon: Lexicon) -> tuple[Words, ...]:
    """What is said of the first thing; an empty dict for all objects, nothing where nothing is understood."""
    found = clauses(text, lexicon)
    if found:
        return (found[0].words,)
    return ({},) if _ALL.intersection(text.split()) else ()


def _number(text: str) -> int:
    return next((_NUMBERS[token] for token in text.split() if token in _NUMBERS), 1)


def _tokens(text: str) -> list[str]:
    return re.findall(r"[a-z]+|[,;.:]", text.lower())
