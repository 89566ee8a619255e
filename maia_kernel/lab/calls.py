"""Owns how calls of the agent are received: older keyword names, and errors that show the call that works."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from maia_kernel.errors import BadCall

__all__ = ["Received", "receive"]

C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class Received:
    """How one method receives its arguments.

    Attributes
    ----------
    example : str
        A call that works, quoted when the arguments do not fit.
    aliases : mapping of str to str
        Older keyword names (MAIA's) and the parameters that they stand for.
    """

    example: str
    aliases: Mapping[str, str] = field(default_factory=dict)


def receive(**methods: Received) -> Callable[[C], C]:
    """Decorate a class whose methods a VLM calls; the methods themselves keep signatures that read well."""

    def decorate(owner: C) -> C:
        for name, rules in methods.items():
            setattr(owner, name, _receiving(getattr(owner, name), rules))
        return owner

    return decorate


def _receiving(function: Callable[..., Any], rules: Received) -> Callable[..., Any]:
    signature = inspect.signature(function)

    @functools.wraps(function)
    def received(*args: Any, **kwargs: Any) -> Any:
        named = {rules.aliases.get(name, name): value for name, value in kwargs.items()}
        try:
            if len(named) < len(kwargs):
                raise TypeError("one argument is given under two names")
            signature.bind(*args, **named)
        except TypeError as error:
            raise BadCall(f"{function.__name__}: {error}; call {rules.example}") from None
        return function(*args, **named)

    return received
