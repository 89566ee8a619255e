"""Owns the audit of the manipulation check: does it name the pictures that failed? It runs inside a kernel.

It works through the public tools only. The faulty generator and editor remember what went wrong with each picture; the
check does not look at that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from IPython.utils.capture import capture_output
from PIL.Image import Image

from maia_kernel.lab.images import recall
from maia_kernel.scenes.language import LIGHT_PHRASES, object_text
from maia_kernel.scenes.scene import OBJECT_FAMILIES, VOCABULARY, Scene, draw, pick
from maia_kernel.scenes.world import scene_of

PROMPTS, EDITS = 200, 100

Score = dict[str, float | None]
_SAID: tuple[tuple[str, ...], ...] = (  # what a prompt says: one word, two, an object in its setting, everything
    ("shape",),
    ("colour",),
    ("texture",),
    ("background",),
    ("light",),
    ("colour", "shape"),
    ("texture", "shape"),
    ("size", "shape"),
    ("colour", "shape", "background", "light"),
    ("size", "colour", "texture", "shape", "background", "light"),
)
_INSTRUCTIONS = (
    "replace the {old} with {a_shape}",
    "change the colour of the {old} to {colour}",
    "make the {old} {texture}",
    "make the {old} {size}",
    "make the background {background}",
    "make it {light}",
    "add {a_shape}",
    "add {a_thing}",
    "remove the {old}",
)


def audit(tools: Any, seed: object = 0, prompts: int = PROMPTS, edits: int = EDITS) -> dict[str, Score]:
    """Measure prompts and edits of the kind that an experimenter uses, and score the manipulation check.

    Shows nothing.

    Parameters
    ----------
    tools : Tools
        Of the lab, with the generator and the editor "scenes-faulty"; with flawless ones every failure that is named is
        a false alarm.
    seed : object
        Anything whose text is the seed of the prompts and instructions.
    prompts, edits : int
        How many of each.

    Returns
    -------
    dict of str to dict
        For "prompts", "edits" and "all": "pictures" (checked), "failed" (known to have), "named" (by the check),
        "precision" and "recall" (0 to 1; None where none was named, or none failed).
    """
    with capture_output():
        drawn = tools.measure({"prompts": [_prompt(seed, i, i % 3 == 2) for i in range(prompts)]})
        bases = tools.text2image([_prompt(seed, prompts + i, i % 2 == 1) for i in range(edits)])
        # An instruction speaks of what the picture shows, as it would if its author had looked at it.
        changes = [_instruction(scene_of(base), i, seed) for i, base in enumerate(bases)]
        edited = tools.measure({"edits": tools.edit_images(bases, changes)[0][1::2]})
    parts = {
        name: list(zip(result.images[name], result.checks[name], strict=True))
        for name, result in (("prompts", drawn), ("edits", edited))
    }
    parts["all"] = [*parts["prompts"], *parts["edits"]]
    return {name: _score(part) for name, part in parts.items()}


def _score(checked: Iterable[tuple[Image, Any]]) -> Score:
    pairs = [(bool(recall(image, "faults")), not check.ok) for image, check in checked if check is not None]
    failed, named = sum(fault for fault, _ in pairs), sum(alarm for _, alarm in pairs)
    both = sum(fault and alarm for fault, alarm in pairs)
    return {
        "pictures": len(pairs),
        "failed": failed,
        "named": named,
        "precision": both / named if named else None,
        "recall": both / failed if failed else None,
    }


def _prompt(seed: object, i: int, double: bool) -> str:
    """A prompt for one object, or two, of which this and that is said."""
    said = _SAID[int(draw(seed, i, "said") * len(_SAID))]
    word = {family: pick(VOCABULARY[family], seed, i, family) for family in said}
    text = object_text({family: word[family] for family in OBJECT_FAMILIES if family in word})
    if double:
        other = [value for value in VOCABULARY["shape"] if value != word.get("shape")]
        second = {
            "colour": pick(VOCABULARY["colour"], seed, i, "second"),
            "shape": pick(other, seed, i, "second shape"),
        }
        text += f" and {object_text(second)}"
    text += f" on {word['background']}" if "background" in word else ""
    return text + (f" {LIGHT_PHRASES[word['light']]}" if "light" in word else "")


def _instruction(scene: Scene | None, i: int, seed: object) -> str:
    """An instruction that the picture of this scene can follow."""
    assert scene is not None  # every picture here was drawn from one
    thing = scene.things[0]
    new = {
        family: pick(
            [value for value in values if value != getattr(thing, family, getattr(scene, family, ""))], seed, i, family
        )
        for family, values in VOCABULARY.items()
    }
    small = {"size": "small", "colour": new["colour"], "shape": new["shape"]}
    return _INSTRUCTIONS[i % len(_INSTRUCTIONS)].format(
        old=thing.shape, a_shape=object_text({"shape": new["shape"]}), a_thing=object_text(small), **new
    )
