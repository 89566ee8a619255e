"""Owns how a question is answered: from the artifact store, or by a backend, and what the account says of it.

By default what is held is the answer, and a backend is asked for the rest. To recompute, it is asked for everything,
and what it answers is compared with what is held.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from maia_kernel.artifacts import Artifact, Store, address_of
from maia_kernel.errors import MissingArtifact, NotAtHand
from maia_kernel.lab.payloads import Codec
from maia_kernel.lab.showing import say
from maia_kernel.locations import resolve

__all__ = ["Question", "ask", "open_artifacts"]

T = TypeVar("T")


def open_artifacts() -> Store:
    """Return the store of this process: what the environment and the working directory say."""
    places = resolve(os.environ, Path.cwd())
    return Store(places.stores, places.account, places.recompute)


@dataclass(frozen=True)
class Question(Generic[T]):
    """One thing that is asked for.

    Attributes
    ----------
    request : mapping
        Its address in the store.
    what : str
        In a few words.
    codec : Codec
        How the answer is kept.
    answerable : bool
        Whether a backend could answer: none can look at a picture that was left out.
    """

    request: Mapping[str, Any]
    what: str
    codec: Codec[T]
    answerable: bool = True


def ask(
    store: Store,
    questions: Sequence[Question[T]],
    backend: Callable[[list[int]], Sequence[T]] | None,
    absent: str = "",
) -> list[T]:
    """Answer questions from the store, and by a backend where that is to be asked.

    Parameters
    ----------
    store : Store
        Where to look, and where to keep what is new.
    questions : sequence of Question
        Equal requests are asked once.
    backend : callable or None
        From the numbers of questions to their answers, called at most once; None where it is not at hand.
    absent : str
        Why it is not at hand, for the error.

    Raises
    ------
    MissingArtifact
        Something is not held, and the backend is not at hand.
    NotAtHand
        Something is not held, and is about a picture that was left out.
    """
    addresses = [address_of(question.request) for question in questions]
    held = [_held(store, question) for question in questions]
    due: dict[str, int] = {}
    for i, (question, one) in enumerate(zip(questions, held, strict=True)):
        if backend is not None and question.answerable and (one is None or store.recompute or not one[0].whole):
            due.setdefault(addresses[i], i)
        elif one is None and not question.answerable:
            raise NotAtHand(f"no store holds {question.what}, and the dataset's picture was left out of the artifacts")
        elif one is None:
            raise MissingArtifact(f"no store holds {question.what}, and {absent}")
    fresh = dict(zip(due, backend(list(due.values())), strict=True)) if due and backend is not None else {}
    answers: dict[str, T] = {}
    for address, question, one in zip(addresses, questions, held, strict=True):
        if address not in answers:
            answers[address] = _settled(store, question, one, fresh, address)
    return [answers[address] for address in addresses]


def _held(store: Store, question: Question[T]) -> tuple[Artifact, T] | None:
    artifact = store.get(question.request)
    if artifact is None:
        return None
    try:
        return artifact, question.codec.restore(artifact)
    except (KeyError, TypeError, ValueError):  # written by something else under this request
        return None


def _settled(
    store: Store, question: Question[T], held: tuple[Artifact, T] | None, fresh: Mapping[str, T], address: str
) -> T:
    """Keep what is new, tell the account, and return the answer."""
    if address not in fresh:
        assert held is not None
        store.used(question.request, "store", what=question.what)
        return held[1]
    answer = fresh[address]
    if held is None:
        _keep(store, question, answer)
        store.used(question.request, "made", what=question.what)
        return answer
    difference = question.codec.unlike(answer, held[0])
    if difference or not held[0].whole:
        _keep(store, question, answer)
    what = f"{question.what}: {difference}" if difference else question.what
    store.used(question.request, "recomputed", same=not difference, what=what)
    return answer


def _keep(store: Store, question: Question[T], answer: T) -> None:
    kept = question.codec.keep(answer)
    before = store.trouble
    if not store.put(question.request, kept.facts, kept.files, dataset=kept.dataset) and store.trouble and not before:
        say(f"note: what is drawn and described here is not kept for the next time ({store.trouble})")
