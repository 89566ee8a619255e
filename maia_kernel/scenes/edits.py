"""Edit instructions: scene and sentence to a scene that differs in what the sentence says and in nothing else.

The rules, beside those of the prompts:

- an instruction names what it changes by any of its attributes ("the circle", "the small red one", "stripes", "it",
  "everything", "the background", "the grass"); several objects that match are all changed, and a note says so;
- an object that is replaced keeps its place, tilt and every attribute that is not said anew;
- objects stay where they are; only one that grows moves aside, when it has to, by as little as possible;
- several instructions in one sentence are done in turn ("remove the star and make it night").
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from maia_kernel.scenes.language import Request, parse
from maia_kernel.scenes.lexicon import GENERIC, Word, words_of
from maia_kernel.scenes.scene import (
    MOST,
    OBJECT_FAMILIES,
    RADIUS,
    SIDE,
    TIGHTEST,
    TILT,
    VOCABULARY,
    Scene,
    Thing,
    clearance,
    draw,
    free_spot,
    pick,
)

GRAMMAR = (
    "An instruction is a sentence such as 'replace the circle with a star', 'make the square blue', 'make the star "
    "larger', 'change the texture of the ring to dotted', 'make the background water', 'make it night', 'add a small "
    "red ring' or 'remove the star'; everything else in the picture stays as it is."
)
_UNKNOWN = (
    "does not understand the instruction '{}'; write one like 'replace the circle with a star', "
    "'make the square blue', 'make the background water', 'make it night', 'add a small red ring' or 'remove the star'"
)

_VERBS = (
    "replace|swap|exchange|substitute|turn|change|convert|transform|make|paint|colour|color|recolour|recolor|set|switch|"
    "add|put|insert|place|include|introduce|draw|remove|delete|erase|eliminate|drop|hide|take|get|enlarge|grow|shrink"
)
_NEXT = re.compile(rf"\s*(?:;|\.\s|,? and then|,? then|,? and(?= (?:{_VERBS})\b)|,(?= (?:{_VERBS})\b))\s*")
_ARGUMENT = re.compile(rf"^(?:{_VERBS})\b")
_POLITE = re.compile(r"^(?:please|now|can you|could you|let us|let's|edit the (?:image|picture) (?:to|so that))\s+")
_WITH = r"(?:with|for|by)"
_REMOVE = re.compile(r"^(?:without|remove|delete|erase|eliminate|drop|hide|take (?:away|out)|get rid of) (?P<old>.+)$")
_REPLACE = re.compile(rf"^(?:replace|swap|exchange|switch) (?P<old>.+?) {_WITH} (?P<new>.+)$")
_SUBSTITUTE = re.compile(r"^substitute (?P<new>.+?) for (?P<old>.+)$")
_INSTEAD = re.compile(r"^(?:put |place |draw |use |with )?(?P<new>.+?) (?:instead of|in place of) (?P<old>.+)$")
_TURN = re.compile(
    r"^(?:turn|change|convert|transform|make|set|switch|alter|paint|colou?r) (?P<old>.+?) "
    r"(?:into|to|as|be) (?P<new>.+)$"
)
_DRESS = re.compile(r"^(?:add|put|give|apply) (?P<new>.+?) (?:to|on|onto) (?P<old>.+)$")
_ADD = re.compile(r"^(?:add|put|insert|place|include|introduce|draw) (?:in )?(?P<new>.+)$")
_SHOULD = re.compile(r"^(?P<old>.+?) (?:should be|must be|becomes|is now|is|are) (?P<new>.+)$")
_RESIZE = re.compile(
    r"^(?P<how>enlarge|grow|increase the size of|scale up|shrink|reduce the size of|decrease the size of|scale down) "
    r"(?P<old>.+)$"
)
_MAKE = re.compile(r"^(?:make|paint|colou?r|recolou?r|dye|turn|set|render|let|have|give|put|place|move) (?P<rest>.+)$")
_EVERYTHING = frozenset(["it", "its", "them", "they", "everything", "all", "both", "each", "one", *GENERIC])
_SETTING = frozenset(
    ["background", "scene", "picture", "image", "light", "lighting", "time", "sky", "backdrop", "ground", "setting"]
)
_GROW = re.compile(r"\b(larger|bigger|enlarged)\b")
_SHRINK = re.compile(r"\b(smaller|tinier)\b")


@dataclass(frozen=True)
class _Edit:
    """One instruction, cut into what it changes and what it changes it to; ``kind`` is change, add or remove."""

    kind: str
    old: str
    new: str


def edit(scene: Scene, instruction: str, seed: object) -> tuple[Scene, tuple[str, ...]]:
    """Change a scene as a sentence says.

    Parameters
    ----------
    scene : Scene
        Left as it is.
    instruction : str
        See ``GRAMMAR``.
    seed : object
        From which the place and the unsaid attributes of an added object are drawn.

    Returns
    -------
    scene : Scene
        The same value where nothing matched.
    notes : tuple of str
        What did not match, what was ambiguous, which words are not known.
    """
    notes: list[str] = []
    start = scene
    parts = [part for part in _NEXT.split(instruction.lower().strip(" .!\n")) if part]
    for i, part in enumerate(parts):
        cut = _cut(_POLITE.sub("", part.strip(" ,.!")).replace("’", "'").replace("'s ", " ").replace("take place ", ""))
        if cut is None:
            notes += [note for note in parse(_ARGUMENT.sub("", part)).notes if "know" in note]
            notes.append(_UNKNOWN.format(part))
        else:
            scene = _APPLY[cut.kind](scene, cut, f"{seed}/{i}", notes)
    if scene == start and not notes:
        notes.append(_UNKNOWN.format(instruction))
    return scene, tuple(dict.fromkeys(notes))


def _cut(text: str) -> _Edit | None:
    """Which kind of instruction it is; None where it is none."""
    if found := _REMOVE.match(text):
        return _removal(found["old"])
    for pattern in (_REPLACE, _SUBSTITUTE, _INSTEAD, _TURN, _SHOULD):
        if (found := pattern.match(text)) and _says_something(found["new"]):
            return _Edit("change", found["old"], found["new"])
    if found := _RESIZE.match(text):
        return _Edit("change", found["old"], "larger" if found["how"] in _GROWING else "smaller")
    if (found := _DRESS.match(text)) and not _names_object(found["new"]) and _says_something(found["new"]):
        return _Edit("change", found["old"], found["new"])
    if (
        (found := _ADD.match(text))
        and _names_object(found["new"])
        and not re.match(r"(it|them|the|all)\b", found["new"])
    ):
        return _Edit("add", "", found["new"])
    if found := _MAKE.match(text):
        old, new = _split_make(found["rest"])
        return _Edit("change", old, new) if _says_something(new) else None
    request = parse(text)
    if (request.background or request.light) and not request.phrases:
        return _Edit("change", "the scene", text)
    return None


_GROWING = ("enlarge", "grow", "increase the size of", "scale up")


def _removal(old: str) -> _Edit:
    """Stripes are removed by making their object plain, objects by taking them away."""
    request = parse(old)
    if request.phrases and all(set(phrase.said) == {"texture"} for phrase in request.phrases) and not _generic(old):
        return _Edit("change", old, "plain")
    if (found := re.match(r"(?P<what>.+?) (?:from|of) (?P<owner>.+)$", old)) and _says_something(found["what"]):
        if set().union(*(phrase.said for phrase in parse(found["what"]).phrases)) == {"texture"}:
            return _Edit("change", found["owner"], "plain")
        return _Edit("remove", found["what"], "")
    return _Edit("remove", old, "")


def _split_make(rest: str) -> tuple[str, str]:
    """ "the small circle red and striped" to its subject and the rest: the first noun ends the subject."""
    tokens = rest.split()
    for i, token in enumerate(tokens):
        bare = token.strip(",")
        word = (words_of(bare) or [Word(bare)])[0]
        if word.family == "shape" or bare in _EVERYTHING - {"all", "both", "each"} or bare in _SETTING:
            return " ".join(tokens[: i + 1]), " ".join(tokens[i + 1 :])
    return "the scene", rest


def _says_something(text: str) -> bool:
    request = parse(text)
    return bool(request.phrases or request.background or request.light or _GROW.search(text) or _SHRINK.search(text))


def _names_object(text: str) -> bool:
    return any("shape" in phrase.said for phrase in parse(text).phrases) or _generic(text)


def _generic(text: str) -> bool:
    return bool(_EVERYTHING.intersection(text.split()))


# -- the three kinds ------------------------------------------------------------------------------------------------


def _change(scene: Scene, cut: _Edit, seed: str, notes: list[str]) -> Scene:
    old, new = parse(cut.old), parse(cut.new)
    notes += [note for note in (*old.notes, *new.notes) if "know" in note or "has one" in note]
    scenery = {family: getattr(new, family) for family in ("background", "light") if getattr(new, family)}
    if scenery and not (new.phrases and not _SETTING.intersection(cut.old.split())):
        return _change_scenery(scene, old, scenery, notes)
    if not new.phrases:
        notes.append(_UNKNOWN.format(f"{cut.old} … {cut.new}"))
        return scene
    said = new.phrases[0].said
    targets = _targets(scene, old, cut.old, notes)
    things = list(scene.things)
    for i in targets:
        wanted = dict(said)
        if _GROW.search(cut.new) or _SHRINK.search(cut.new):
            wanted["size"] = _step(things[i].size, 1 if _GROW.search(cut.new) else -1)
        things[i] = _changed(things, i, wanted, notes)
    if targets and tuple(things) == scene.things:
        notes.append(f"nothing changes: what '{cut.old}' names is so already, or has no room")
    return replace(scene, things=tuple(things))


def _change_scenery(scene: Scene, old: Request, scenery: Mapping[str, str], notes: list[str]) -> Scene:
    for family in scenery:
        named = getattr(old, family)
        if named and named != getattr(scene, family):
            notes.append(f"nothing matches '{named}': the {family} of this picture is another one")
            return scene
    changes: dict[str, Any] = dict(scenery)
    changed = replace(scene, **changes)
    if changed == scene:
        notes.append(f"nothing changes: it is {' and '.join(scenery.values())} already")
    return changed


def _targets(scene: Scene, old: Request, text: str, notes: list[str]) -> list[int]:
    """Numbers of the objects that a description fits; a note where there is none, or more than one."""
    wanted = [phrase.said for phrase in old.phrases] or ([{}] if _generic(text) else [])
    found = [
        i
        for i, thing in enumerate(scene.things)
        if any(all(getattr(thing, family) == value for family, value in said.items()) for said in wanted)
    ]
    if not wanted:
        notes.append(f"nothing matches '{text}': name an object by its shape, colour, texture or size")
    elif not found:
        notes.append(f"nothing matches '{text}': no such object is in the picture")
    elif re.match(r"(one of|a|an|one) ", text):
        found = found[:1]
    elif len(found) > 1 and not re.search(r"\b(all|both|every|each|everything|them|objects|things|shapes)\b|s$", text):
        notes.append(f"{len(found)} objects match '{text}': all of them are changed")
    return found


def _step(size: str, by: int) -> str:
    sizes = VOCABULARY["size"]
    return sizes[min(max(sizes.index(size) + by, 0), len(sizes) - 1)]


def _changed(things: Sequence[Thing], i: int, wanted: Mapping[str, str], notes: list[str]) -> Thing:
    """One object with new attributes, moved aside where it outgrew its place."""
    values: dict[str, Any] = dict(wanted)
    thing = replace(things[i], **values)
    if RADIUS[thing.size] <= RADIUS[things[i].size]:
        return thing
    others = [(o.x, o.y, RADIUS[o.size]) for j, o in enumerate(things) if j != i]
    radius = RADIUS[thing.size]
    low, high = radius + 1.5, SIDE - radius - 1.5
    held = (min(max(thing.x, low), high), min(max(thing.y, low), high))
    grid = [(low + (high - low) * a / 24, low + (high - low) * b / 24) for a in range(25) for b in range(25)]
    fit = [spot for spot in (held, *grid) if clearance(*spot, radius, others) >= TIGHTEST]
    if not fit:
        notes.append(f"there is no room to make the {thing.shape} {thing.size}")
        return replace(thing, size=things[i].size)
    x, y = min(fit, key=lambda spot: math.hypot(spot[0] - thing.x, spot[1] - thing.y))
    moved = math.hypot(x - thing.x, y - thing.y)
    if moved > 0.5:
        notes.append(f"the {thing.shape} moved by {moved:.0f} pixels to have room")
    return replace(thing, x=round(x, 2), y=round(y, 2))


def _add(scene: Scene, cut: _Edit, seed: str, notes: list[str]) -> Scene:
    request = parse(cut.new)
    notes += request.notes
    for k, phrase in enumerate(request.phrases):
        for n in range(phrase.count or 2):
            key = f"{seed}/{k}/{n}"
            values = {f: phrase.said.get(f) or _drawn(f, request, key) for f in OBJECT_FAMILIES}
            spot = free_spot(scene, values["size"], key) if len(scene.things) < MOST else None
            if spot is None:
                full = f"a picture holds at most {MOST} objects" if len(scene.things) >= MOST else "there is no room"
                notes.append(f"cannot add the {values['size']} {values['shape']}: {full}")
                return scene
            angle = round((draw(key, "angle") * 2 - 1) * TILT, 2)
            thing = Thing(**values, x=round(spot[0], 2), y=round(spot[1], 2), angle=angle)
            scene = replace(scene, things=(*scene.things, thing))
    return scene


def _drawn(family: str, request: Request, key: str) -> str:
    allowed = [value for value in VOCABULARY[family] if value not in request.excluded]
    return pick(allowed or VOCABULARY[family], key, family)


def _remove(scene: Scene, cut: _Edit, seed: str, notes: list[str]) -> Scene:
    old = parse(cut.old)
    notes += [note for note in old.notes if "know" in note]
    if (old.background or old.light or _SETTING.intersection(cut.old.split())) and not old.phrases:
        notes.append("a background or a light cannot be removed; replace it by another one")
        return scene
    gone = _targets(scene, old, cut.old, notes)
    return replace(scene, things=tuple(thing for i, thing in enumerate(scene.things) if i not in gone))


_APPLY = {"change": _change, "add": _add, "remove": _remove}
