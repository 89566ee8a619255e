"""Free text to scene, and scene to text.

What a text does not say is drawn from the seed, attribute by attribute, so that a prompt drawn five times gives real
replicates: "a circle" is one circle of five different colours, sizes, places and backgrounds. The rules:

- each shape, or "object", "shape", "thing", heads one object; adjectives before it are its own, as are those that
  follow it up to the next "and", comma, article or number ("a circle that is red, and a small star");
- "two red circles" are two circles that share what is said; "circles" are two or three;
- a text that names no object gets one, drawn from the seed, unless it says "empty", "nothing" or "no objects";
- "no X" and "without X" keep the value X out of what is drawn;
- whatever has no meaning here (unknown words, places, second colours, a fifth object) is named in the notes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from maia_kernel.scenes import lexicon
from maia_kernel.scenes.lexicon import Word, is_known, number_of, words_of
from maia_kernel.scenes.scene import MOST, OBJECT_FAMILIES, VOCABULARY, Scene, compose, draw, pick

GRAMMAR = (
    "A prompt names up to four objects by size, colour, texture and shape, then a background and a light, for example "
    "'a large red striped circle and a small blue plain star on grass at night'. What it leaves open is drawn anew for "
    "every image; 'empty' means no objects, 'without red' keeps a value out; places (left, above) cannot be asked for."
)
LIGHT_PHRASES = {"day": "by day", "dusk": "at dusk", "night": "at night"}


@dataclass
class Phrase:
    """One named object: what is said about it, and how many of it (0: the plural, without a number)."""

    said: dict[str, str]
    count: int = 1


@dataclass(frozen=True)
class Request:
    """What a text asks for, before anything is drawn.

    Attributes
    ----------
    phrases : tuple of Phrase
        The objects in the order of the text.
    background, light : str
        Values, or empty strings where the text leaves them open.
    empty : bool
        Whether the text asks for a scene without objects.
    excluded : frozenset of str
        Values that may not be drawn.
    notes : tuple of str
        What the text says that has no meaning here.
    """

    phrases: tuple[Phrase, ...] = ()
    background: str = ""
    light: str = ""
    empty: bool = False
    excluded: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


@dataclass
class _Reader:
    """Reads words from left to right; ``pending`` are attributes whose object is not known yet."""

    phrases: list[Phrase] = field(default_factory=list)
    pending: dict[str, str] = field(default_factory=dict)
    count: int = 1
    opened: bool = False  # an article or a number began a new phrase
    headed: bool = False  # the phrase has its noun
    attributive: bool = False  # "with a red colour": the article did not begin an object
    conditional: bool = False  # after "on", "at": adjectives here may belong to the background
    shared: bool = False  # after "both", "all"
    negated: bool = False
    empty: bool = False
    scenery: dict[str, str] = field(default_factory=dict)
    excluded: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def flush(self) -> None:
        """Give pending attributes to the object that they belong to."""
        if self.conditional and self.opened:
            self.drop()
        if self.pending:
            if self.shared and self.phrases:
                owners = self.phrases
            elif not self.phrases or (self.opened and not self.attributive):
                owners = [self._head({})]
            else:
                owners = self.phrases[-1:]
            for owner in owners:
                self._give(owner, self.pending)
        self.pending = {}
        self.opened = self.attributive = self.conditional = self.shared = False
        self.count = 1

    def head(self, shape: str, plural: bool) -> None:
        """A noun: it takes what is pending."""
        if plural and self.count == 1:
            self.count = 0
        phrase = self._head(self.pending)
        if shape:
            self._give(phrase, {"shape": shape})
        self.pending = {}
        self.opened = self.attributive = self.conditional = self.shared = False
        self.headed, self.count = True, 1

    def _head(self, said: Mapping[str, str]) -> Phrase:
        self.phrases.append(Phrase(dict(said), self.count))
        return self.phrases[-1]

    def _give(self, owner: Phrase, values: Mapping[str, str]) -> None:
        for family, value in values.items():
            if owner.said.setdefault(family, value) != value:
                self.note(f"an object has one {family}: '{value}' is ignored beside '{owner.said[family]}'")

    def attribute(self, family: str, value: str) -> None:
        if self.pending.setdefault(family, value) != value:
            self.note(f"an object has one {family}: '{value}' is ignored beside '{self.pending[family]}'")

    def drop(self) -> None:
        """Say that pending attributes belong to a background or a light, which have none."""
        if self.pending:
            said = ", ".join(f"'{value}'" for value in self.pending.values())
            self.note(f"backgrounds and lights have no attributes of their own: {said} is ignored")
            self.pending = {}

    def scene_word(self, family: str, value: str) -> None:
        if self.conditional:
            self.drop()
        if self.scenery.setdefault(family, value) != value:
            self.note(f"a scene has one {family}: '{value}' is ignored beside '{self.scenery[family]}'")
        self.opened = self.opened and bool(self.pending)
        self.conditional = False


def parse(text: str) -> Request:
    """Read a text; never raises, whatever has no meaning is in the notes."""
    reader = _Reader()
    words = words_of(text)
    for i, word in enumerate(words):
        before = words[i - 1] if i else Word("")
        after = words[i + 1] if i + 1 < len(words) else Word("")
        if word.text in lexicon.MODIFIERS and after.family == "colour":
            reader.note(f"colours have no shades: '{word.text}' is ignored")
        elif word.family:
            _read_value(reader, word)
        else:
            _read_other(reader, word, before)
    reader.flush()
    return Request(
        tuple(reader.phrases),
        reader.scenery.get("background", ""),
        reader.scenery.get("light", ""),
        reader.empty and not reader.phrases,
        frozenset(reader.excluded),
        tuple(reader.notes),
    )


def _read_value(reader: _Reader, word: Word) -> None:
    """A word that names an attribute."""
    if reader.negated:
        reader.excluded.add(word.value)
    elif word.family in ("background", "light"):
        reader.scene_word(word.family, word.value)
    elif word.family == "shape":
        reader.head(word.value, word.plural)
    elif word.text in lexicon.PATTERN_NOUNS and reader.phrases and not (reader.opened and not reader.headed):
        if "colour" in reader.pending:
            reader.note(f"patterns have no colour of their own: '{reader.pending.pop('colour')}' is ignored")
        reader.attribute(word.family, word.value)
        reader.attributive = True
        reader.flush()
    else:
        reader.attribute(word.family, word.value)


def _read_other(reader: _Reader, word: Word, before: Word) -> None:
    """A word that binds, counts, denies or means nothing."""
    text, number = word.text, number_of(word)
    if text in lexicon.JOINTS or text in lexicon.PLACES:
        if text in lexicon.PLACES:
            reader.note(f"objects stand where the seed puts them: '{text}' is ignored")
        if text == "or":
            reader.note("'or' is read as 'and'")
        if reader.headed or text in ".;":
            reader.flush()
        reader.headed = reader.negated = False
    elif text in lexicon.CONDITIONS:
        reader.flush()
        reader.headed = reader.negated = False
        reader.conditional = True
    elif text in lexicon.NEGATIONS:
        reader.flush()
        reader.negated = True
    elif text in lexicon.EMPTY:
        reader.empty = True
    elif text in lexicon.GENERIC or (text == "one" and reader.pending):
        if reader.negated:
            reader.empty = True
        elif before.family != "shape":
            reader.head("", word.plural)
    elif number is not None or text in lexicon.OPENERS or text in lexicon.BOTH:
        conditional = reader.conditional
        if reader.pending and not reader.conditional:
            reader.flush()
        reader.opened, reader.headed, reader.conditional = True, False, conditional
        reader.shared = text in lexicon.BOTH
        reader.count = 1 if number is None else number
        if number == 0:
            reader.negated = True
    elif text in lexicon.ATTRIBUTE_NOUNS:
        if reader.negated and text.startswith(("texture", "pattern")):
            reader.negated = False
            reader.attribute("texture", "plain")
        reader.attributive = True
    elif text == "background":
        reader.drop()
    elif not is_known(word):
        reader.note(f"does not know the word '{text}'")


def scene_of(request: Request, seed: object) -> tuple[Scene, tuple[str, ...]]:
    """Draw what the request leaves open.

    Parameters
    ----------
    request : Request
        What is asked for.
    seed : object
        Anything whose text is the seed. Requests that differ in one attribute differ, for one seed, in that alone.

    Returns
    -------
    scene : Scene
        What can be rendered.
    notes : tuple of str
        The request's own, and what was left out or made up.
    """
    notes = list(request.notes)
    said: list[dict[str, str]] = []
    for i, phrase in enumerate(request.phrases):
        count = phrase.count or 2 + int(draw(seed, i, "plural") * 2)
        said += [phrase.said] * min(count, MOST + 1)
    if len(said) > MOST:
        notes.append(f"a scene holds at most {MOST} objects; the others are left out")
    if not said and not request.empty:
        said = [{}]
        notes.append("names no object it knows, so one is drawn from the seed (write 'empty' for none)")
    wanted = [
        {family: attributes.get(family) or _open(family, request.excluded, seed, i) for family in OBJECT_FAMILIES}
        for i, attributes in enumerate(said[:MOST])
    ]
    background = request.background or _open("background", request.excluded, seed)
    light = request.light or _open("light", request.excluded, seed)
    return compose(wanted, background, light, seed), tuple(notes)


def _open(family: str, excluded: frozenset[str], seed: object, *index: int) -> str:
    allowed = [value for value in VOCABULARY[family] if value not in excluded] or list(VOCABULARY[family])
    return pick(allowed, seed, *index, family)


def object_text(attributes: Mapping[str, str], article: str = "a") -> str:
    """One object in words, "a large red striped circle"; attributes that are missing are left out."""
    words = [attributes[family] for family in ("size", "colour", "texture", "shape") if attributes.get(family)]
    if "shape" not in attributes:
        words.append("object")
    if article == "a" and words[0][0] in "aeiou":
        article = "an"
    return " ".join([article, *words])


def text_of(scene: Scene) -> str:
    """The scene in words; :func:`parse` reads every attribute back."""
    things = [object_text({family: getattr(thing, family) for family in OBJECT_FAMILIES}) for thing in scene.things]
    return f"{enumerated(things) or 'no objects'} on {scene.background} {LIGHT_PHRASES[scene.light]}"


def enumerated(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) if parts else ""
