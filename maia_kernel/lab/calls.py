"""Owns how calls of the agent are received: older keyword names, and errors that show the call that works."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from maia_kernel.errors import BadCall

__all__ = ["agent_call"]

F = TypeVar("F", bound=Callable[..., Any])


def agent_call(example: str, **aliases: str) -> Callable[[F], F]:
    """Decorate a method that a VLM calls.

    Parameters
    ----------
    example : str
        A call that works, quoted when the arguments do not fit.
    **aliases : str
        Older keyword names (MAIA's) and the parameters that they stand for.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def received(*args: Any, **kwargs: Any) -> Any:
            named = {aliases.get(name, name): value for name, value in kwargs.items()}
            try:
                if len(named) < len(kwargs):
                    raise TypeError("one argument is given under two names")
                signature.bind(*args, **named)
            except TypeError as error:
                raise BadCall(f"{function.__name__}: {error}; call {example}") from None
            return function(*args, **named)

        return cast(F, received)

    return decorate
