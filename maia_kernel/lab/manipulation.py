"""Owns the manipulation check: do the pictures of a measurement show what was asked for, by a blind description?

A picture that was drawn is compared with its prompt, an edited one with its instruction and with the picture before.
Only words of the generator's vocabulary count. The describer is no oracle: where it errs (about one picture in a
hundred in the embedded world) a sound picture is said to have failed, or a failed one to be sound.

What is not checked: how many things a prompt asks for, places, what stands beside an "or", words that the generator's
notes name as ignored, and pictures whose description holds no word of the vocabulary. Still wrong: a word that a
generator reads in another sense without a note is said to be missing, and each word of an instruction that is neither
in the vocabulary nor plain English ("make the star larger") excuses one change, whichever it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL.Image import Image

from maia_kernel.lab.describers import Describer
from maia_kernel.lab.images import recall, remember
from maia_kernel.lab.wording import (
    Clause,
    Instruction,
    Lexicon,
    Prompt,
    Wish,
    Words,
    clauses,
    is_readable,
    lexicon_of,
    read_instruction,
    read_prompt,
)

__all__ = [
    "Check",
    "check_pictures",
    "compare_edit",
    "compare_prompt",
    "drawn_from",
    "edited_from",
    "examine",
    "report",
    "sound",
]

_NAMED = 12  # failed pictures that are listed one by one
_LONG = 90  # characters of a description in a line of the report
_LONG_WHY = 300  # characters of an error
_IGNORED = re.compile(r"('[^']+'(?:, '[^']+')*) is ignored")  # as a generator's notes say it

Checks = dict[str, list["Check | None"]]


@dataclass(frozen=True)
class Check:
    """Whether one picture shows what was asked for.

    Attributes
    ----------
    missing : tuple of str
        What was asked for and is not seen.
    leaked : tuple of str
        What an edit changed unasked, such as "day became night" or "large red plain star vanished".
    seen : str
        The blind description.
    unwanted : tuple of str
        What a prompt kept out and is seen.
    """

    missing: tuple[str, ...] = ()
    leaked: tuple[str, ...] = ()
    seen: str = ""
    unwanted: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is missing, nothing leaked and nothing is seen that was kept out."""
        return not (self.missing or self.leaked or self.unwanted)

    @property
    def reason(self) -> str:
        """What failed, in words; empty where nothing did."""
        seen = self.seen if len(self.seen) <= _LONG else f"{self.seen[: _LONG - 1]}…"
        asked = [f"asked for {', '.join(self.missing)}, seen: {seen}"] if self.missing else []
        shows = [f"shows {', '.join(self.unwanted)}, which was kept out"] if self.unwanted else []
        changed = [f"changed unasked: {', '.join(self.leaked)}"] if self.leaked else []
        return "; ".join([*asked, *shows, *changed])


# -- provenance -----------------------------------------------------------------------------------------------------


def drawn_from(picture: Image, prompt: str, notes: Sequence[str] = ()) -> Image:
    """Let a picture remember the prompt that it was drawn from, and which of its words the notes name as ignored."""
    ignored = frozenset(word for said in _IGNORED.findall(" ".join(notes)) for word in re.findall("'([^']+)'", said))
    return remember(picture, prompt=prompt, ignored=ignored)


def edited_from(picture: Image, before: Image, instruction: str) -> Image:
    """Let a picture remember what it was edited from, and how; an editor may have handed back the very same one."""
    return remember(picture.copy() if picture is before else picture, before=before, instruction=instruction)


# -- checking -------------------------------------------------------------------------------------------------------


def examine(
    pictures: Mapping[str, Sequence[Image]], vocabulary: Mapping[str, Sequence[str]] | None, describer: Describer
) -> tuple[Checks, list[str]]:
    """Check the pictures of a measurement; returns the checks and the lines of the report.

    There are no checks without a vocabulary, nor where the describer fails, which the report then says.
    """
    if not vocabulary:
        return {}, []
    try:
        checks, unread = check_pictures(pictures, vocabulary, lambda images: _described(images, describer))
    except Exception as error:  # a describer may be anybody's code, or a service; what was measured is not lost with it
        why = " ".join(f"{type(error).__name__}: {error}".split())
        return {}, [f"the manipulation check was not made: {why[:_LONG_WHY]}"]
    return checks, report(checks, unread)


def _described(images: list[Image], describer: Describer) -> list[str]:
    """Describe images; those that this describer has described before remember what it said."""
    by = (describer.name, describer.revision)
    new = [image for image in images if (recall(image, "description") or [None])[0] != by]
    for image, text in zip(new, describer.describe(new) if new else [], strict=True):
        remember(image, description=(by, text))
    return [recall(image, "description")[1] for image in images]


def check_pictures(
    pictures: Mapping[str, Sequence[Image]],
    vocabulary: Mapping[str, Sequence[str]],
    describe: Callable[[list[Image]], list[str]],
) -> tuple[Checks, int]:
    """Check the pictures of a measurement.

    Parameters
    ----------
    pictures : mapping of str to sequence of Image
        By condition.
    vocabulary : mapping of str to sequence of str
        The generator's, by family.
    describe : callable
        Pictures to texts; called once, with every picture that is needed, those before an edit included.

    Returns
    -------
    checks : dict of str to list of (Check or None)
        None for a picture whose making is not known, whose prompt or instruction asks for nothing, or whose description
        (of it, or of that before an edit) holds no word of the vocabulary.
    unread : int
        The number of such descriptions.
    """
    lexicon = lexicon_of(vocabulary)
    asked = {name: [_asked(picture, lexicon) for picture in group] for name, group in pictures.items()}
    needed: dict[int, Image] = {}
    for name, group in pictures.items():
        for picture, request in zip(group, asked[name], strict=True):
            if request is not None:
                before = [recall(picture, "before")] if isinstance(request, Instruction) else []
                needed |= {id(one): one for one in (picture, *before)}
    texts = dict(zip(needed, describe(list(needed.values())), strict=True)) if needed else {}
    read = {key: text for key, text in texts.items() if is_readable(text, lexicon)}
    checks = {
        name: [_checked(picture, request, read, lexicon) for picture, request in zip(group, asked[name], strict=True)]
        for name, group in pictures.items()
    }
    return checks, len(texts) - len(read)


def _asked(picture: Image, lexicon: Lexicon) -> Instruction | Prompt | None:
    """What was asked of a picture; None where nothing is known, or nothing was."""
    if (instruction := recall(picture, "instruction")) is not None:
        read = read_instruction(instruction, lexicon)
        return read if read.wishes or read.unknown else None
    if (prompt := recall(picture, "prompt")) is None:
        return None
    wanted = read_prompt(prompt, lexicon, recall(picture, "ignored"))
    return wanted if wanted.asked or wanted.kept_out else None


def _checked(
    picture: Image, request: Instruction | Prompt | None, texts: Mapping[int, str], lexicon: Lexicon
) -> Check | None:
    if request is None or (seen := texts.get(id(picture))) is None:
        return None
    after = clauses(seen, lexicon)
    if isinstance(request, Prompt):
        return Check(compare_prompt(request.asked, after), (), seen, _unwanted(request.kept_out, after))
    if (before := texts.get(id(recall(picture, "before")))) is None:
        return None
    missing, leaked = compare_edit(request, clauses(before, lexicon), after)
    return Check(missing, leaked, seen)


def _unwanted(kept_out: Sequence[Words], seen: Sequence[Clause]) -> tuple[str, ...]:
    """What is kept out and seen, surely, of one thing."""
    found = [
        " ".join(words.values())
        for words in kept_out
        if any(not _lacking(words, clause) and not clause.unsure & words.keys() for clause in seen)
    ]
    return tuple(dict.fromkeys(found))


def compare_prompt(asked: Sequence[Clause], seen: Sequence[Clause]) -> tuple[str, ...]:
    """Return the words of a prompt that a description lacks: what is asked of one thing must be seen of one."""
    missing: list[str] = []
    for clause in asked:
        for part in _parts(clause.words, _bound(seen)):
            lacking = [_lacking(part, one) for one in seen] or [list(part.values())]
            fewest = min(lacking, key=len)
            missing += fewest
    return tuple(dict.fromkeys(missing))


def compare_edit(
    instruction: Instruction, before: Sequence[Clause], after: Sequence[Clause]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what an instruction asked for that is not seen, and what changed unasked."""
    bound = _bound([*before, *after])
    missing = [word for wish in instruction.wishes for word in _unfulfilled(wish, before, after, bound)]
    changes = list(_changes(before, after, instruction))
    if instruction.unknown and not missing and not changes:
        missing = ["a change"]
    leaked = [change for change in changes if not _is_asked(change, instruction)]
    # Each word that is not known here may stand for one change: "make the star larger" for one of sizes.
    if len({change.what for change in leaked}) <= instruction.unknown:
        leaked = []
    return tuple(dict.fromkeys(missing)), tuple(dict.fromkeys(str(change) for change in leaked))


def _bound(seen: Sequence[Clause]) -> frozenset[str]:
    """Families that belong to things of which several words are said; the others belong to the scene as a whole."""
    return frozenset(family for clause in seen if len(clause.words) > 1 for family in clause.words)


def _parts(words: Words, bound: frozenset[str]) -> list[Words]:
    """What is asked of one thing, and of the scene, word by word."""
    together = {family: word for family, word in words.items() if family in bound}
    return [*([together] if together else []), *({f: word} for f, word in words.items() if f not in bound)]


def _lacking(words: Words, seen: Clause) -> list[str]:
    return [word for family, word in words.items() if seen.words.get(family) != word]


def _unfulfilled(wish: Wish, before: Sequence[Clause], after: Sequence[Clause], bound: frozenset[str]) -> list[str]:
    """The words of a wish that are not seen afterwards."""
    target = next((words for words in wish.targets if any(_fits(words, clause) for clause in before)), None)
    if wish.kind == "remove":
        left, were = (
            sum(any(_fits(words, clause) for words in wish.targets) for clause in seen) for seen in (after, before)
        )
        done = not left or (wish.single and left < were)
        return [] if done else [f"no {' '.join(wish.targets[0].values()) or 'object'}"]
    missing = []
    for part in _parts(wish.new, bound):
        already = sum(not _lacking(part, clause) for clause in before)
        meant = sum(_fits(target, clause) and bool(_lacking(part, clause)) for clause in before)
        if not bound.intersection(part):
            needed = 1
        elif wish.kind == "add":
            needed = already + wish.count
        else:
            needed = max(1, already + min(meant, 1 if wish.single else meant))
        # Those that come nearest, and of these first those that have what is new: they are what the wish was about.
        new = [word for family, word in part.items() if (target or {}).get(family) != word]
        nearest = sorted(
            (_lacking(part, clause) for clause in after), key=lambda words: (len(words), -len(set(words) & set(new)))
        )
        if len(nearest) < needed:
            missing += new
        missing += [word for words in nearest[:needed] for word in words if word in new]
    return missing


def _fits(target: Words | None, clause: Clause) -> bool:
    """Whether a thing is what a wish is about; the empty description fits all objects."""
    if target is None:
        return False
    return not _lacking(target, clause) and (bool(target) or len(clause.words) > 1)


# -- what changed ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Change:
    """One difference between two descriptions; a thing that vanished or appeared has no family."""

    family: str
    old: Words
    new: Words

    @property
    def what(self) -> str:
        return self.family or str(self)

    def __str__(self) -> str:
        old, new = (" ".join(words.values()) for words in (self.old, self.new))
        return f"{old} became {new}" if old and new else f"{old} vanished" if old else f"{new} appeared"


def _is_asked(change: _Change, instruction: Instruction) -> bool:
    if change.family:
        return instruction.asked.issuperset(change.new.values())
    return _is_meant(Clause(change.old or change.new), "remove" if change.old else "add", instruction)


def _is_meant(clause: Clause, kind: str, instruction: Instruction) -> bool:
    """Whether a thing is one that was to be removed, or added."""
    wishes = [wish for wish in instruction.wishes if wish.kind == kind]
    return any(_fits(words, clause) for wish in wishes for words in (wish.targets if kind == "remove" else [wish.new]))


def _changes(before: Sequence[Clause], after: Sequence[Clause], instruction: Instruction) -> Iterator[_Change]:
    """Pair the things of two descriptions, the most similar first, and tell what differs.

    Where the describer is unsure of a word, before or after, nothing is said to have changed.
    """
    pairs = []
    for i, old in enumerate(before):
        for k, new in enumerate(after):
            if old.words.keys() & new.words.keys():
                differing = [family for family, word in old.words.items() if new.words.get(family) != word]
                unasked = [family for family in differing if new.words.get(family) not in instruction.asked]
                exchanged = _is_meant(old, "remove", instruction) and _is_meant(new, "add", instruction)
                if not (differing and exchanged):
                    pairs.append((len(differing), len(unasked), i, k))
    left, right = set(range(len(before))), set(range(len(after)))
    for _, _, i, k in sorted(pairs):
        if i in left and k in right:
            left.remove(i)
            right.remove(k)
            yield from _differences(before[i], after[k])
    yield from (_Change("", before[i].words, {}) for i in sorted(left))
    yield from (_Change("", {}, after[k].words) for k in sorted(right))


def _differences(old: Clause, new: Clause) -> Iterator[_Change]:
    for family, word in old.words.items():
        now = new.words.get(family, word)
        if now != word and family not in old.unsure | new.unsure:
            yield _Change(family, {family: word}, {family: now})


# -- reporting ------------------------------------------------------------------------------------------------------


def sound(values: Mapping[str, Sequence[float]], checks: Checks) -> dict[str, list[float]]:
    """Return the values by condition without those of pictures that failed."""
    return {
        name: [
            value
            for value, check in zip(group, checks.get(name) or [None] * len(group), strict=True)
            if check is None or check.ok
        ]
        for name, group in values.items()
    }


def report(checks: Checks, unread: int = 0) -> list[str]:
    """Return the lines of the report; none where nothing was to be checked.

    Parameters
    ----------
    checks : dict of str to list of (Check or None)
        By condition.
    unread : int
        How many descriptions hold no word of the vocabulary.
    """
    known = Counter(check.ok for group in checks.values() for check in group if check is not None)
    holds = "description holds" if unread == 1 else "descriptions hold"
    not_checked = f"{unread} {holds} no word of the generator's vocabulary; not checked"
    if not known:
        return [f"manipulation check: {not_checked}"] if unread else []
    lines = [f"manipulation check: {known[True]} of {known.total()} pictures show what was asked for"]
    failed = [
        f"  '{name}' number {number}: {check.reason}"
        for name, group in checks.items()
        for number, check in enumerate(group, start=1)
        if check is not None and not check.ok
    ]
    lines += failed[:_NAMED]
    if len(failed) > _NAMED:
        lines.append(f"  and {len(failed) - _NAMED} more")
    return [*lines, *([f"  {not_checked}"] if unread else [])]
