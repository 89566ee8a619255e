"""Whether a finished notebook kept to the public interface, read from the code cells that the agent wrote.

A measurement of an agent says nothing when the agent has looked the truth up. The audit is static and strict: it knows
which modules, names and attributes are harmless, and reports everything else that could lead around ``system`` and
``tools``. It is no cage: it finds what is written in the cells, so that a person can look, and a run with such a cell
is void. Setup cells and cells of persons are not read. A cell that is no valid program ran nothing; IPython's own
syntax (``!ls``, ``%run``, ``??``) is translated as IPython does before anything is parsed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nbformat import NotebookNode

from maia_kernel.driver import transcript


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


MODULES = _set(
    "__future__ abc base64 bisect cmath collections colorsys contextlib copy dataclasses datetime decimal enum "
    "fractions functools hashlib heapq io itertools json math numbers operator pprint random re statistics string "
    "textwrap time typing uuid warnings IPython.display PIL matplotlib numpy pandas scipy seaborn skimage sklearn "
    "torch tqdm"
)
_HARMLESS_PRIVATE = _set(
    "__name__ __qualname__ __doc__ __version__ __class__ __init__ __post_init__ __len__ __getitem__ __setitem__ "
    "__contains__ __iter__ __next__ __call__ __eq__ __lt__ __gt__ __add__ __mul__ _asdict _replace _fields _make"
)
_BUILTINS = _set(
    "eval exec compile open vars globals locals breakpoint input get_ipython __import__ __builtins__ __builtin__ "
    "__loader__ __spec__ __file__"
)
# As attributes or imported names: modules that other modules hold, frames, readers of files, runners of code, and the
# ``info`` of a picture, where the embedded world keeps what it was drawn from.
_LEADING_AWAY = _set(
    "info sys os builtins importlib inspect gc subprocess shutil pathlib glob pickle marshal ctypes ctypeslib types "
    "linecache tokenize runpy pkgutil socket traceback codecs tempfile zipimport f2py cpp_extension hub package "
    "serialization f_globals f_locals f_back f_code tb_frame gi_frame cr_frame ag_frame open_code FileIO fromfile "
    "loadtxt genfromtxt memmap imread eval getoutput run_cell run_line_magic run_cell_magic get_referents "
    "get_referrers get_objects getmembers getsource getattr_static FileLink FileLinks get_field"
)
_READERS = re.compile(r"(?:read|load)_.*")
# What the agent measures with; to change them is to change what is measured and counted.
_INSTRUMENTS = _set("tools system")
_BY_NAME = _set("getattr setattr delattr hasattr attrgetter methodcaller")
_MAGICS = _set("matplotlib time timeit precision capture config pinfo autoreload")
_PYTHON_MAGICS = _set("time timeit capture")
# IPython runs these from a line of their own without a percent sign.
_AUTOMAGICS = _set(
    "cat ls ll lf lk ldir lx less more man cp mv rm mkdir rmdir cd pwd pushd popd env load loadpy run edit ed pycat "
    "pfile psource pinfo2 pdef sx sc store save macro debug pdb prun who whos who_ls writefile"
)
_FIELD = re.compile(r"\{[^{}]*\._")  # "{0._unit}".format(system)
_LOCATION = re.compile(r"maia_kernel|neurons\.tsv|/proc/|site-packages")


def audit(nb: NotebookNode) -> list[str]:
    """The reasons why an investigation is void; none for one that kept to the public interface.

    Parameters
    ----------
    nb : NotebookNode
        The investigation's notebook.

    Returns
    -------
    list of str
        One line each, such as "turn 3: the private attribute _unit", in order and without repeats.
    """
    found = [
        f"turn {transcript.turn(cell)}: {reason}"
        for cell in nb.cells
        # A cell that was stopped has become a raw cell; it did run.
        if cell.cell_type in ("code", "raw") and transcript.role(cell) == "assistant"
        if "skip-execution" not in cell.metadata.get("tags", [])
        for reason in reasons(cell.source)
    ]
    return list(dict.fromkeys(found))


def reasons(source: str) -> list[str]:
    """What in the source of one cell could lead around the public interface."""
    from IPython.core.inputtransformer2 import TransformerManager

    first, _, rest = source.strip().partition(" ")
    single = "\n" not in source.strip() and not rest.lstrip().startswith(("=", "."))
    if single and first in _AUTOMAGICS:
        return [f"the magic %{first}"]
    try:
        tree = ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return list(dict.fromkeys(reason for node in _nodes(tree) for reason in _of(node)))


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those of calls that are judged as a whole."""
    waiting = [tree]
    while waiting:
        node = waiting.pop(0)
        yield node
        if isinstance(node, ast.Call) and (_magic(node) is not None or _by_name(node)):
            waiting += [*node.args, *(keyword.value for keyword in node.keywords)]
        else:
            waiting += ast.iter_child_nodes(node)


def _of(node: ast.AST) -> Iterator[str]:
    """What is wrong with a single node."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _module(alias.name)
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        yield from _module(module if node.level == 0 else "." * node.level + module, [a.name for a in node.names])
    elif isinstance(node, ast.Attribute):
        yield from _attribute(node.attr)
        if not isinstance(node.ctx, ast.Load):
            yield from _change(node.value)
    elif isinstance(node, ast.MatchClass):
        for name in node.kwd_attrs:
            yield from _attribute(name)
    elif isinstance(node, ast.Name):
        if node.id in _BUILTINS or node.id in _BY_NAME:
            yield f"the name {node.id}"
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, str) and _FIELD.search(node.value):
            yield "a format string that reads a private attribute"
        if isinstance(node.value, str | bytes) and (place := _LOCATION.search(_text(node.value))):
            yield f"a string that names {place[0]}"
    elif isinstance(node, ast.Call):
        yield from _call(node)


def _module(name: str, members: list[str] | None = None) -> Iterator[str]:
    parts = name.split(".")
    known = parts[0] in MODULES or ".".join(parts[:2]) in MODULES
    if parts == ["IPython"]:
        known = members == ["display"]
    if not known:
        yield f"an import of {name}"
    for member in [*parts[1:], *(members or ())]:
        yield from _attribute(member)
        if member == "open":
            yield f"an import of {name}.open"
        if member in _BY_NAME:  # used by a name that may be another
            yield f"an import of {name}.{member}"


def _attribute(name: str) -> Iterator[str]:
    if name.startswith("_") and name not in _HARMLESS_PRIVATE:
        yield f"the private attribute {name}"
    elif name in _LEADING_AWAY or _READERS.fullmatch(name):
        yield f"the attribute {name}"


def _change(owner: ast.AST) -> Iterator[str]:
    """Whether something is set or deleted on an instrument itself; what is read from one is the agent's own."""
    if isinstance(owner, ast.Name) and owner.id in _INSTRUMENTS:
        yield f"a change of {owner.id}"


def _call(node: ast.Call) -> Iterator[str]:
    called = node.func
    if (magic := _magic(node)) is not None:
        yield from _magic_call(magic, node)
    elif _by_name(node):
        if isinstance(called, ast.Name) and called.id in ("setattr", "delattr") and node.args:
            yield from _change(node.args[0])
        given = node.args[1:2] if isinstance(called, ast.Name) and called.id.endswith("attr") else node.args
        for name in given or [ast.Constant(None)]:
            if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
                yield "an attribute whose name is computed"
            else:
                for part in name.value.split("."):
                    yield from _attribute(part)
    elif isinstance(called, ast.Name) and called.id == "load":
        yield "a call of load, which opens another unit"
    elif isinstance(called, ast.Call) and isinstance(called.func, ast.Name) and called.func.id == "type":
        yield "a call of a type that was read from an object"
    elif isinstance(called, ast.Attribute):
        owner = called.value.id if isinstance(called.value, ast.Name) else getattr(called.value, "attr", "")
        if called.attr == "open" and owner != "Image":
            yield "a file that is opened"
        if called.attr == "load" and (node.args or node.keywords) and owner != "json":
            yield "a file that is loaded"
        if called.attr == "query" and any("@" in part for part in _strings(node)):
            yield "a query that reads a variable"
    for keyword in node.keywords:
        if keyword.arg == "filename":
            yield "a file that is named"


def _by_name(node: ast.Call) -> bool:
    called = node.func
    return (isinstance(called, ast.Name) and called.id in _BY_NAME) or (
        isinstance(called, ast.Attribute) and called.attr in _BY_NAME
    )


def _magic(node: ast.Call) -> str | None:
    """The method of ``get_ipython()`` that IPython's own syntax stands for, if the call is one."""
    called = node.func
    if not (isinstance(called, ast.Attribute) and isinstance(called.value, ast.Call)):
        return None
    inner = called.value.func
    return called.attr if isinstance(inner, ast.Name) and inner.id == "get_ipython" else None


def _magic_call(method: str, node: ast.Call) -> Iterator[str]:
    given = _strings(node)
    if method not in ("run_line_magic", "run_cell_magic") or not given or len(given) < len(node.args):
        yield "a command of the shell" if method in ("system", "getoutput") else f"get_ipython().{method}"
    elif given[0] not in _MAGICS:
        yield f"the magic %{given[0]}"
    elif given[0] in _PYTHON_MAGICS:
        for code in given[1:]:
            yield from reasons(code)


def _strings(node: ast.Call) -> list[str]:
    return [part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
