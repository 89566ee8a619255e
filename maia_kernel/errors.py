"""Every error that a user or the agent may meet.

Each message is one line that says what is wrong and what to do. Ground floor: standard library only, so that both
sides of the wire can raise and recognise the same names.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MaiaError(Exception):
    """Base of all errors of this package; ``str(error)`` is one line for a person."""


class UsageError(MaiaError):
    """A wrong call: the command line ends with exit code 2 and nothing is written."""


class UnknownName(UsageError, LookupError):
    """A name that is not in a table.

    Parameters
    ----------
    kind : str
        What was looked up ("model", "layer of scenes").
    name : str
        The name that was not found.
    choices : iterable of str
        The names that exist; the nearest are quoted, or all of them where nothing is near.
    """

    def __init__(self, kind: str, name: object, choices: Iterable[str] = ()):
        known = [str(choice) for choice in choices]
        near = difflib.get_close_matches(str(name), known, n=4, cutoff=0.5)
        if near:
            hint = "; did you mean " + " or ".join(near) + "?"
        elif known:
            shown = known[:12]
            hint = "; choose from " + ", ".join(shown) + (", …" if len(known) > len(shown) else "")
        else:
            hint = ""
        super().__init__(f"unknown {kind} '{name}'{hint}")


class UnitOutOfRange(UsageError, IndexError):
    """A unit number that the layer does not have."""


class NotebookError(UsageError):
    """A notebook that cannot be read, or is not an investigation."""


class BadImage(MaiaError, ValueError):
    """Something that was given as an image and cannot be read as one."""


class BadCall(MaiaError, TypeError):
    """A wrong argument to ``System`` or ``Tools``; the message shows the call that works."""


class NotAtHand(MaiaError):
    """The subject model, or its dataset, is not on this machine: what needs it cannot be computed here."""


class MissingArtifact(MaiaError):
    """A result that no store holds, of a backend that is not at hand; the message names the request in short."""


class KernelError(MaiaError):
    """The kernel cannot be started, or died and could not be revived."""


class VLMError(MaiaError):
    """The vision-language model gave no usable reply; ends a run, the notebook stays valid."""


class LimitReached(MaiaError):
    """A limit of the run was hit.

    Parameters
    ----------
    what : str
        Which limit ("turns", "seconds", "tokens").
    value, bound : float
        What was reached, and what was allowed.
    """

    def __init__(self, what: str, value: float, bound: float):
        self.what, self.value, self.bound = what, value, bound
        super().__init__(f"the limit of {bound:g} {what} was reached ({value:g})")
