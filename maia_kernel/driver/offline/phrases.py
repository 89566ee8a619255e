"""Words of the vocabulary in English: prompts, edit instructions and labels."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping

from maia_kernel.driver.offline.evidence import Evidence, Words

_ADJECTIVES = ("size", "colour", "texture")


def families(seen: Evidence, words: Words) -> dict[str, str]:
    """The words of a hypothesis by family."""
    return {seen.family(word): word for word in words}


def prompt(values: Mapping[str, str]) -> str:
    """A prompt for one object with these attributes; what is left out varies from picture to picture."""
    noun = [values[family] for family in _ADJECTIVES if family in values] + [values.get("shape", "object")]
    text = with_article(" ".join(noun))
    if "background" in values:
        text += f" on {values['background']}"
    return f"{text} {_at(values['light'])}" if "light" in values else text


def instruction(family: str, noun: str, new: str) -> str:
    """An instruction that changes one attribute of a picture with one object."""
    if family == "shape":
        return f"replace the {noun} with {with_article(new)}"
    if family == "colour":
        return f"change the colour of the {noun} to {new}"
    if family == "background":
        return f"make the background {new}"
    return f"make it {new}" if family == "light" else f"make the {noun} {new}"


def label(seen: Evidence, hypothesis: Words) -> str:
    """A short label for a hypothesis, such as "red circles" or "scenes at night"."""
    values = families(seen, hypothesis)
    if values.keys() <= {"background", "light"}:
        text = f"{values['background']} backgrounds" if "background" in values else "scenes"
    else:
        noun = [values[family] for family in _ADJECTIVES if family in values] + [_plural(values.get("shape", "object"))]
        text = " ".join(noun) + (f" on {values['background']}" if "background" in values else "")
    return f"{text} {_at(values['light'])}" if "light" in values else text


def contexts(seen: Evidence, fixed: Mapping[str, str], avoid: Collection[str], count: int) -> list[dict[str, str]]:
    """Fully specified pictures that hold ``fixed`` and differ in everything else, without the words to avoid."""
    rng = random.Random(" ".join([*fixed.values(), *sorted(avoid)]))
    decks = {}
    for family, words in seen.vocabulary.items():
        free = [word for word in words if word not in avoid] or list(words)
        deck = [fixed[family]] if family in fixed else rng.sample(free, len(free))
        decks[family] = (deck * count)[:count]
    return [{family: deck[at] for family, deck in decks.items()} for at in range(count)]


def others(seen: Evidence, word: str, avoid: Collection[str]) -> list[str]:
    """Further words of a word's family, for taking its place."""
    rest = [other for other in seen.vocabulary[seen.family(word)] if other != word]
    return [other for other in rest if other not in avoid] or rest


def with_article(noun: str) -> str:
    """A noun phrase with "a" or "an"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def enumerated(parts: list[str], joint: str = "and") -> str:
    """Parts in a sentence: "a, b and c"."""
    return f" {joint} ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) if parts else ""


def _at(light: str) -> str:
    return "by day" if light == "day" else f"at {light}"


def _plural(noun: str) -> str:
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")
