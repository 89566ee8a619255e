"""The value of a scene: what stands where on which background in which light, and the closed vocabulary of all that.

Everything random about a scene is drawn by :func:`draw` from a stable hash of named keys, one draw per attribute. So
two scenes of one seed that differ in one attribute agree in all others, and no draw depends on the order of calls, on
the version of a library or on Python's salted ``hash``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from maia_kernel.errors import BadCall

SIDE = 64  # pixels; every picture of this world is SIDE x SIDE

VOCABULARY: dict[str, tuple[str, ...]] = {
    "shape": ("circle", "square", "triangle", "star", "ring", "cross", "heart", "crescent"),
    "colour": ("red", "orange", "yellow", "green", "blue", "purple", "white", "black"),
    "texture": ("plain", "striped", "dotted", "checkered"),
    "size": ("small", "medium", "large"),
    "background": ("grass", "water", "sand", "snow", "brick", "wood"),
    "light": ("day", "dusk", "night"),
}
OBJECT_FAMILIES = ("shape", "colour", "texture", "size")
ATTRIBUTES: tuple[str, ...] = tuple(value for values in VOCABULARY.values() for value in values)

RADIUS = {"small": 7.2, "medium": 10.2, "large": 14.2}  # pixels, of the disc that stands for an object's room
TILT = 15.0  # degrees; an object is turned by at most this much to either side
MOST = 4  # objects in a scene; random scenes have one to three, an edit may add one more

# The centres of two objects are at least TIGHTEST x (sum of their radii) apart. ROOM is tried first, where possible.
ROOM, TIGHTEST = 1.05, 0.9
_TRIES = 24


@dataclass(frozen=True)
class Thing:
    """One object.

    Attributes
    ----------
    shape, colour, texture, size : str
        Words of ``VOCABULARY``.
    x, y : float
        Centre in pixels from the top left corner, 0 to ``SIDE``.
    angle : float
        Rotation in degrees, ``-TILT`` to ``TILT``, clockwise on the screen.
    """

    shape: str
    colour: str
    texture: str
    size: str
    x: float
    y: float
    angle: float = 0.0


@dataclass(frozen=True)
class Scene:
    """A whole picture as a value.

    Attributes
    ----------
    things : tuple of Thing
        0 to ``MOST`` objects, painted in this order.
    background, light : str
        Words of ``VOCABULARY``.
    grain : int
        Which part of the background's material is seen; any non-negative integer.
    """

    things: tuple[Thing, ...]
    background: str
    light: str
    grain: int = 0

    def __post_init__(self) -> None:
        for family in ("background", "light"):
            _check(family, getattr(self, family))
        for thing in self.things:
            for family in OBJECT_FAMILIES:
                _check(family, getattr(thing, family))
        if len(self.things) > MOST:
            raise BadCall(f"a scene holds at most {MOST} objects, not {len(self.things)}")


def _check(family: str, value: str) -> None:
    if value not in VOCABULARY[family]:
        raise BadCall(f"'{value}' is no {family} of this world; choose from {', '.join(VOCABULARY[family])}")


def draw(*keys: object) -> float:
    """A number in [0, 1) that is a pure function of the keys (SHA-256 of their text)."""
    digest = hashlib.sha256("/".join(map(str, keys)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def pick(values: Sequence[str], *keys: object) -> str:
    """One of the values, as :func:`draw` says."""
    return values[int(draw(*keys) * len(values))]


def integer(*keys: object) -> int:
    """An integer in [0, 2**31), as :func:`draw` says."""
    return int(draw(*keys) * 2**31)


def random_scene(seed: object, counts: Sequence[int] = (1, 2, 3)) -> Scene:
    """A scene with every attribute drawn evenly and independently.

    Parameters
    ----------
    seed : object
        Anything whose text is the seed ("gallery/17", 5).
    counts : sequence of int
        Numbers of objects, drawn evenly from these.
    """
    count = counts[int(draw(seed, "count") * len(counts))]
    wanted = [{f: pick(VOCABULARY[f], seed, i, f) for f in OBJECT_FAMILIES} for i in range(count)]
    return compose(
        wanted, pick(VOCABULARY["background"], seed, "background"), pick(VOCABULARY["light"], seed, "light"), seed
    )


def compose(wanted: Sequence[Mapping[str, str]], background: str, light: str, seed: object) -> Scene:
    """Give objects of known attributes their places, tilts and background grain.

    Parameters
    ----------
    wanted : sequence of mappings
        For each object its ``OBJECT_FAMILIES``.
    """
    places = place([RADIUS[attributes["size"]] for attributes in wanted], seed)
    things = tuple(
        Thing(**attributes, x=x, y=y, angle=round((draw(seed, i, "angle") * 2 - 1) * TILT, 2))
        for i, (attributes, (x, y)) in enumerate(zip(wanted, places, strict=True))
    )
    return Scene(things, background, light, integer(seed, "grain"))


def clearance(x: float, y: float, radius: float, others: Sequence[tuple[float, float, float]]) -> float:
    """Smallest centre distance to the others over the sum of the two radii; ``inf`` where there are none."""
    return min((math.hypot(x - a, y - b) / (radius + r) for a, b, r in others), default=math.inf)


def place(radii: Sequence[float], seed: object) -> list[tuple[float, float]]:
    """Centres for objects, all inside the picture, none nearer than ``TIGHTEST`` allows.

    Rejection sampling, bounded: the room asked for shrinks with every attempt; after the last one the objects stand
    in the picture's corners, where up to four of the largest keep apart.
    """
    for attempt in range(_TRIES):
        room = ROOM - (ROOM - TIGHTEST) * attempt / (_TRIES - 1)
        taken: list[tuple[float, float, float]] = []
        for i, radius in enumerate(radii):
            for trial in range(4):
                x, y = _spot(radius, seed, attempt, i, trial)
                if clearance(x, y, radius, taken) >= room:
                    taken.append((x, y, radius))
                    break
            else:
                break
        if len(taken) == len(radii):
            return [(x, y) for x, y, _ in taken]
    turn = int(draw(seed, "corner") * 4)
    ends = [(radius + 1.5, SIDE - radius - 1.5) for radius in radii]
    corners = ((0, 0), (1, 1), (0, 1), (1, 0))
    return [
        (low_high[corners[(i + turn) % 4][0]], low_high[corners[(i + turn) % 4][1]]) for i, low_high in enumerate(ends)
    ]


def free_spot(scene: Scene, size: str, seed: object) -> tuple[float, float] | None:
    """A centre for one more object that moves nothing; None where there is no room for it.

    Of a grid of candidates one of the roomiest fifth is drawn.
    """
    radius = RADIUS[size]
    taken = [(thing.x, thing.y, RADIUS[thing.size]) for thing in scene.things]
    low, span = radius + 1.5, SIDE - 2 * radius - 3
    grid = [(low + span * i / 16, low + span * j / 16) for i in range(17) for j in range(17)]
    ranked = sorted(((clearance(x, y, radius, taken), x, y) for x, y in grid), reverse=True)
    fit = [(x, y) for clear, x, y in ranked[: len(ranked) // 5] if clear >= TIGHTEST]
    return fit[int(draw(seed, "spot") * len(fit))] if fit else None


def _spot(radius: float, *keys: object) -> tuple[float, float]:
    low, span = radius + 1.5, SIDE - 2 * radius - 3
    return round(low + span * draw(*keys, "x"), 2), round(low + span * draw(*keys, "y"), 2)


def present(scene: Scene) -> frozenset[str]:
    """Every attribute that the scene shows: the background, the light, and those of its objects."""
    words = {scene.background, scene.light}
    for thing in scene.things:
        words.update((thing.shape, thing.colour, thing.texture, thing.size))
    return frozenset(words)


def to_json(scene: Scene) -> dict[str, Any]:
    """The scene as plain dictionaries, lists, strings and numbers."""
    return asdict(scene)


def from_json(data: Mapping[str, Any]) -> Scene:
    """The scene that :func:`to_json` wrote.

    Raises
    ------
    BadCall
        Where a key is missing or a word is not in the vocabulary.
    """
    try:
        things = tuple(Thing(**thing) for thing in data["things"])
        return Scene(things, data["background"], data["light"], int(data["grain"]))
    except (KeyError, TypeError) as error:
        raise BadCall(f"not a scene: {error}; write what to_json gives") from error
