"""Owns the backends as the tools see them: each stands behind the artifact store, which may know the answer.

A `StoredGenerator`, `StoredEditor` or `StoredDescriber` looks like what it stands for. A backend that is not at hand is
stood in for by what the stores hold of it. One that was given as an object and not by name is asked directly, and
nothing of it is kept: nothing says that the next object of that name will be like it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from PIL import Image

from maia_kernel.artifacts import Store
from maia_kernel.errors import MaiaError, UnknownName, UsageError
from maia_kernel.lab import names
from maia_kernel.lab.asking import Question, ask
from maia_kernel.lab.describers import Describer, find_describer
from maia_kernel.lab.generators import Drawn, Editor, Generator, find_editor, find_generator
from maia_kernel.lab.images import as_image, identity
from maia_kernel.lab.payloads import (
    EditedCodec,
    PictureCodec,
    SaidCodec,
    TextCodec,
    as_tuples,
    hash_of_original,
    is_placeholder,
)

if TYPE_CHECKING:
    from maia_kernel.lab.system import System

__all__ = [
    "StoredDescriber",
    "StoredEditor",
    "StoredGenerator",
    "check",
    "keep_weights",
]

B = TypeVar("B", bound=Generator | Editor | Describer)

# What a backend says of itself, kept so that it can be stood in for.
_SAID = {"generator": ("name", "vocabulary", "grammar"), "editor": ("name", "grammar"), "describer": ("name",)}
_LONG = 80  # characters of a prompt in an account or an error


@dataclass(frozen=True)
class Source(Generic[B]):
    """A backend, or what is known of it.

    Attributes
    ----------
    kind : str
        "generator", "editor" or "describer".
    backend : object or None
        None where it is not at hand.
    address : str
        Its name as the notebook says it.
    revision : str
        Its own.
    said : mapping
        What it says of itself.
    store : Store
        The results of this backend; none for an object.
    """

    kind: str
    backend: B | None
    address: str
    revision: str
    said: Mapping[str, Any]
    store: Store

    def request(self, kind: str, **parts: object) -> dict[str, Any]:
        """Return the request for one of its results."""
        return {"kind": kind, "backend": self.address, "revision": self.revision, **parts}

    @property
    def absent(self) -> str:
        """Why it cannot be asked, in words."""
        return (
            f"the {self.kind} '{self.address}' is not on this machine; install it, or put the artifacts that belong to "
            "the notebook beside it"
        )


def _source(kind: str, given: str | B, find: Callable[[str], B], store: Store) -> Source[B]:
    """Find a backend by name, or what the stores hold of it.

    Raises
    ------
    UnknownName, ImportError, OSError
        It is not at hand, and the stores hold nothing of it.
    UsageError
        The stores hold several revisions of it.
    """
    known = getattr(given, "_source", None)
    if isinstance(known, Source):  # it stands behind the store already
        return known
    if not isinstance(given, str):
        return Source(kind, given, given.name, given.revision, _said(kind, given), Store(()))
    name, _, pinned = given.partition("@")
    try:
        backend = find(name)
        if pinned and backend.revision != pinned:
            raise UnknownName(f"revision of the {kind} '{name}'", pinned, [backend.revision])
    except (MaiaError, ImportError, OSError) as reason:
        return _stand_in(kind, name, pinned, store, reason)
    said = _said(kind, backend)
    source = Source(kind, backend, name, backend.revision, said, store)
    ask(store, [Question(source.request(kind), f"the {kind} '{name}'", SaidCodec(said))], lambda _: [said])
    return source


def _said(kind: str, backend: Generator | Editor | Describer) -> dict[str, Any]:
    return {part: getattr(backend, part) for part in _SAID[kind]}


def _stand_in(kind: str, name: str, pinned: str, store: Store, reason: Exception) -> Source[Any]:
    revisions = (pinned,) if pinned else store.revisions(kind, name)
    if len(revisions) > 1:
        raise UsageError(
            f"the {kind} '{name}' is not on this machine, and the stores hold several revisions of it; name one: "
            + " or ".join(f"{name}@{revision}" for revision in revisions)
        )
    for revision in revisions:
        source: Source[Any] = Source(kind, None, name, revision, {}, store)
        held = store.get(source.request(kind))
        if held is not None and set(_SAID[kind]) <= held.facts.keys():
            store.used(held.request, "store", what=f"the {kind} '{name}'")
            return replace(source, said=as_tuples(held.facts))
    raise reason


def check(kind: str, name: str, table: Mapping[str, str], is_held: Callable[[], bool]) -> None:
    """Raise UnknownName for a name that neither this machine nor a store knows."""
    try:
        names.check(kind, name, table)
    except UnknownName:
        if not is_held():
            raise


class StoredGenerator:
    """A generator behind the store; see `Generator`, and `_source` for what it raises.

    Parameters
    ----------
    given : str or Generator
        A name; or the generator itself, which is then asked directly.
    store : Store
        Where its pictures are kept.
    """

    def __init__(self, given: str | Generator, store: Store):
        self._source = _source("generator", given, find_generator, store)
        self.name: str = self._source.said["name"]
        self.revision = self._source.revision
        self.vocabulary: dict[str, tuple[str, ...]] | None = self._source.said["vocabulary"]
        self.grammar: str = self._source.said["grammar"]

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> Drawn:
        """Draw one picture per prompt and seed; raises MissingArtifact."""
        source, codec = self._source, PictureCodec()
        questions = [
            Question(source.request("text2image", prompt=prompt, seed=seed), f"the picture of {_short(prompt)}", codec)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]

        def draw(due: list[int]) -> Drawn:
            assert source.backend is not None
            drawn = source.backend.generate([prompts[i] for i in due], [seeds[i] for i in due])
            return [(codec.marked(as_image(picture)), notes) for picture, notes in drawn]

        return ask(source.store, questions, draw if source.backend is not None else None, source.absent)


class StoredEditor:
    """An editor behind the store; see `Editor`. Parameters as those of `StoredGenerator`."""

    def __init__(self, given: str | Editor, store: Store):
        self._source = _source("editor", given, find_editor, store)
        self.name: str = self._source.said["name"]
        self.revision = self._source.revision
        self.grammar: str = self._source.said["grammar"]

    def edit(self, images: Sequence[Image.Image], instructions: Sequence[str], seeds: Sequence[int]) -> Drawn:
        """Change one picture per instruction and seed; raises MissingArtifact, and NotAtHand for a placeholder."""
        source, codecs = self._source, [EditedCodec(image) for image in images]
        questions = [
            Question(
                source.request("edit_images", picture=hash_of_original(image), instruction=instruction, seed=seed),
                f"the edit {_short(instruction)}",
                codec,
                not is_placeholder(image),
            )
            for image, instruction, seed, codec in zip(images, instructions, seeds, codecs, strict=True)
        ]

        def change(due: list[int]) -> Drawn:
            assert source.backend is not None
            edited = source.backend.edit(
                [images[i] for i in due], [instructions[i] for i in due], [seeds[i] for i in due]
            )
            return [(codecs[i].marked(as_image(one)), notes) for i, (one, notes) in zip(due, edited, strict=True)]

        return ask(source.store, questions, change if source.backend is not None else None, source.absent)


class StoredDescriber:
    """A describer behind the store; see `Describer`. Parameters as those of `StoredGenerator`."""

    def __init__(self, given: str | Describer, store: Store):
        self._source = _source("describer", given, find_describer, store)
        self.name: str = self._source.said["name"]
        self.revision = self._source.revision

    def describe(self, images: Sequence[Image.Image]) -> list[str]:
        """Return one description per picture; raises MissingArtifact, and NotAtHand for a placeholder."""
        source, codec = self._source, TextCodec()
        seen = [identity(image) for image in images]
        questions = [
            Question(
                source.request("describe", **one),
                f"the description of picture {str(one['picture'])[:8]}",
                codec,
                not is_placeholder(image),
            )
            for one, image in zip(seen, images, strict=True)
        ]

        def look(due: list[int]) -> list[str]:
            assert source.backend is not None
            return source.backend.describe([images[i] for i in due])

        return ask(source.store, questions, look if source.backend is not None else None, source.absent)

    def summarize(self, images: Sequence[Image.Image]) -> str:
        """Return what the pictures have in common; raises MissingArtifact, and NotAtHand for a placeholder."""
        source, backend = self._source, self._source.backend
        request = source.request("summarize", pictures=[identity(image) for image in images])
        whole = not any(map(is_placeholder, images))
        question = Question(request, f"the summary of {len(images)} pictures", TextCodec(), whole)
        look = (lambda due: [backend.summarize(images) for _ in due]) if backend is not None else None
        return ask(source.store, [question], look, source.absent)[0]


def _short(text: str) -> str:
    return repr(text if len(text) <= _LONG else f"{text[: _LONG - 1]}…")


# -- weights --------------------------------------------------------------------------------------------------------


def keep_weights(system: System) -> None:
    """Keep the weights of a system's model in the store, from where `load` takes them on a machine whose own differ.

    Raises
    ------
    NotAtHand
        The model is not on this machine.
    MaiaError
        The store cannot be written.
    """
    from safetensors.torch import save

    store, model = system._store, system._subject.at_hand()
    request = {"kind": "weights", "backend": model.name, "revision": model.revision}
    # Copies, because safetensors refuses weights that share memory.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.module.state_dict().items()}
    if not store.put(request, {"tensors": len(tensors)}, [save(tensors)]):
        raise MaiaError(f"the weights of {model.name} cannot be kept: {store.trouble or 'there is no store'}")
    store.used(request, "made", what=f"the weights of {model.name}")
