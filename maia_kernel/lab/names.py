"""Owns the step from a name in a notebook to the object it stands for.

Every table of the lab maps names to strings ``"package.module:attribute"``; such a string is accepted in place of a
name, too, so that a user's own class needs no registration. Nothing is imported before it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from maia_kernel.errors import UnknownName

__all__ = ["check", "find"]


def check(kind: str, name: str, table: Mapping[str, str]) -> str:
    """Return the ``"package.module:attribute"`` that a name stands for, importing at most its parent packages.

    What stands behind an ``@`` is a revision of the thing and no part of its name.

    Parameters
    ----------
    kind : str
        What is looked up, for the error ("model", "generator").
    name : str
        A key of the table, or itself of the form ``"package.module:attribute"``.
    table : mapping of str to str
        Names and what they stand for.

    Raises
    ------
    UnknownName
        Naming near matches from the table.
    """
    if isinstance(name, str):
        plain = name.partition("@")[0]
        if plain in table:
            return table[plain]
        module, colon, attribute = plain.partition(":")
        if colon and attribute.isidentifier() and all(part.isidentifier() for part in module.split(".")):
            try:
                if find_spec(module) is not None:
                    return plain
            except ImportError:
                pass
    raise UnknownName(kind, name, table)


def find(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """Import what a name stands for; see `check` for the arguments.

    Raises
    ------
    UnknownName
        When the name, or the attribute it stands for, does not exist.
    """
    module, _, attribute = check(kind, name, table).partition(":")
    home = import_module(module)
    try:
        return getattr(home, attribute)
    except AttributeError:
        public = [entry for entry in vars(home) if not entry.startswith("_")]
        raise UnknownName(f"{kind} in {module}", attribute, public) from None
