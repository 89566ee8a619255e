"""The prompts: files that a user can read and replace, and the API reference rendered from the sources."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from string import Template

from maia_kernel.errors import UnknownName, UsageError

_PACKAGE = Path(__file__).resolve().parent.parent
# In the wheel the prompts lie inside the package; in a checkout beside it.
SHIPPED = next((p for p in (_PACKAGE / "prompts", _PACKAGE.parent / "prompts") if p.is_dir()), _PACKAGE / "prompts")
_API = (("lab/system.py", "System"), ("lab/tools.py", "Tools"))


def tasks(folder: Path | None = None) -> list[str]:
    """The tasks that there are prompts for: the names of the files ``task-*.md``."""
    found = {path.stem.removeprefix("task-") for root in _roots(folder) for path in root.glob("task-*.md")}
    return sorted(found)


def render(name: str, facts: Mapping[str, object], folder: Path | None = None) -> str:
    """A prompt with its ``$placeholders`` filled in.

    Parameters
    ----------
    name : str
        ``"system"`` or ``"task-…"``.
    facts : mapping
        Values of the placeholders.
    folder : Path or None
        A user's folder; what it does not hold is taken from the shipped prompts.

    Raises
    ------
    UnknownName
        No such prompt.
    UsageError
        The file cannot be read, or names a placeholder that does not exist.
    """
    for root in _roots(folder):
        path = root / f"{name}.md"
        if not path.is_file():
            continue
        try:
            return Template(path.read_text("utf-8")).substitute(facts).strip()
        except (KeyError, ValueError) as error:
            known = ", ".join(f"${key}" for key in facts)
            raise UsageError(
                f"prompt {path}: bad placeholder {error}; write $$ for a dollar, or use {known}"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read the prompt {path}: {error}") from error
    raise UnknownName("task", name.removeprefix("task-"), tasks(folder))


def check_folder(folder: Path | None) -> None:
    """Refuse a prompts folder that is not one.

    Raises
    ------
    UsageError
        It does not exist, or holds no prompt.
    """
    if folder is not None and not any(folder.glob("*.md")):
        what = "holds no prompt (*.md)" if folder.is_dir() else "is not a folder"
        raise UsageError(f"--prompts {folder} {what}; start from a copy of {SHIPPED}")


@cache
def api_reference() -> str:
    """What the agent may call, from the docstrings of ``System`` and ``Tools``, without importing them."""
    return "\n\n".join(_render_class(_PACKAGE / file, name) for file, name in _API)


def _roots(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
    yield SHIPPED


def _render_class(file: Path, name: str) -> str:
    module = ast.parse(file.read_text("utf-8"))
    found = next(node for node in module.body if isinstance(node, ast.ClassDef) and node.name == name)
    lines = [f"class {name}:", *_docstring(found, 1)]
    for node in found.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not node.decorator_list:
            returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            lines += ["", f"    def {node.name}({ast.unparse(node.args)}){returns}:", *_docstring(node, 2)]
    return "\n".join(lines)


def _docstring(node: ast.ClassDef | ast.FunctionDef, depth: int) -> list[str]:
    text = inspect.cleandoc(ast.get_docstring(node) or "")
    pad = "    " * depth
    return [f"{pad}{line}".rstrip() for line in f'"""{text}\n"""'.splitlines()]
