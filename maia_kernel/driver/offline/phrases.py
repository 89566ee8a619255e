"""Words of the vocabulary in English: prompts, edit instructions and labels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from maia_kernel.driver.offline.evidence import Evidence, Words

_ADJECTIVES = ("size", "colour", "texture")


def prompt(seen: Evidence, hypothesis: Words, *, apart: bool = False) -> str:
    """A prompt for pictures that hold the words; what is left out varies from picture to picture.

    Words of one family need two objects; ``apart`` puts any two words about objects on two.
    """
    values = {seen.family(word): word for word in hypothesis}
    if apart or len(values) < len(hypothesis):
        first, second = (_object({seen.family(word): word}) for word in sorted(hypothesis))
        return f"{first} and {second}"
    return _object(values) + _where(values)


def without(words: Iterable[str]) -> str:
    """The end of a prompt that keeps words out of what it leaves open."""
    return "".join(f", without {word}" for word in words)


def instruction(seen: Evidence, old: str, new: str) -> str:
    """An instruction that puts one word in the place of another."""
    family = seen.family(old)
    if family == "shape":
        return f"replace the {old} with {with_article(new)}"
    if family == "colour":
        return f"change the colour of the {old} object to {new}"
    return setting(family, new, old)


def setting(family: str, new: str, old: str = "") -> str:
    """An instruction that sets an attribute of the picture, or of its object, whatever it was."""
    if family in ("background", "light"):
        return f"make the background {new}" if family == "background" else f"make it {new}"
    noun = f"{old} object".strip()
    return f"replace the {noun} with {with_article(new)}" if family == "shape" else f"make the {noun} {new}"


def label(seen: Evidence, hypothesis: Words, *, apart: bool = False) -> str:
    """A short label for a hypothesis, such as "red circles" or "scenes at night"."""
    values = {seen.family(word): word for word in hypothesis}
    if apart or len(values) < len(hypothesis):
        first, second = (_plural({seen.family(word): word}) for word in sorted(hypothesis))
        return f"{first} together with {second}"
    if values.keys() <= {"background", "light"}:
        text = f"{values['background']} backgrounds" if "background" in values else "scenes"
        return f"{text} {_at(values['light'])}" if "light" in values else text
    return _plural(values) + _where(values)


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


def _object(values: Mapping[str, str]) -> str:
    return with_article(_noun(values))


def _noun(values: Mapping[str, str]) -> str:
    return " ".join([*(values[family] for family in _ADJECTIVES if family in values), values.get("shape", "object")])


def _where(values: Mapping[str, str]) -> str:
    text = f" on {values['background']}" if "background" in values else ""
    return f"{text} {_at(values['light'])}" if "light" in values else text


def _at(light: str) -> str:
    return "by day" if light == "day" else f"at {light}"


def _plural(values: Mapping[str, str]) -> str:
    noun = _noun(values)
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")
