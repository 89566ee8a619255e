"""Owns which cells rest on which: the names that a cell needs, and those that it assigns, by its syntax tree."""

from __future__ import annotations

import ast
import re

_MAGIC = re.compile(r"^[ \t]*[%!?].*|^.*\?[ \t]*$", re.MULTILINE)
_UNDEFINED = re.compile(r"name '(\w+)' is not defined")


class Resting:
    """Follows a notebook's cells in order, and says of one that did not work which cell without result it rests on."""

    def __init__(self) -> None:
        self._without: dict[str, int] = {}  # a name -> the cell that should have assigned it
        self._assigned: set[str] = set()

    def on(self, source: str, error: tuple[str, str] | None) -> int | None:
        """The number of the cell that this one rests on; None where it rests on none without a result.

        Either it raised a NameError for a name that such a cell should have assigned, or it uses a name that such a
        cell should have assigned anew.

        Parameters
        ----------
        source : str
            The cell's.
        error : (str, str) or None
            Name and message of its exception.
        """
        if error is not None and error[0] == "NameError" and (match := _UNDEFINED.search(error[1])):
            return self._without.get(match[1])
        stale = needed(source) & self._assigned & set(self._without)
        return max((self._without[name] for name in stale), default=None)

    def ended(self, number: int, source: str, *, result: bool) -> None:
        """Note a cell: whether it did what it was there for."""
        names = assigned(source)
        if result:
            self._assigned |= names
            for name in names:
                self._without.pop(name, None)
        else:
            self._without |= dict.fromkeys(names, number)


def needed(source: str) -> set[str]:
    """The names that a cell reads before it assigns them; what cannot be parsed needs none."""
    return _names(source).needs


def assigned(source: str) -> set[str]:
    """The names that a cell assigns, imports, defines or changes in place, outside of functions."""
    names = _names(source)
    return names.defined | names.changed


class _Names(ast.NodeVisitor):
    """Collects names in the order in which a program reads and assigns them."""

    def __init__(self, known: set[str] | None = None) -> None:
        self.needs: set[str] = set()
        self.defined: set[str] = set(known or ())
        self.changed: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.defined.add(node.id)
        elif node.id not in self.defined:
            self.needs.add(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._all(node.value, *node.targets)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._all(node.value, node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._all(node.value, node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name) and node.target.id not in self.defined:
            self.needs.add(node.target.id)
        self._all(node.value, node.target)

    def visit_For(self, node: ast.For) -> None:
        self._all(node.iter, node.target, *node.body, *node.orelse)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._in_place(node, node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._in_place(node, node.value)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.defined |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}

    visit_ImportFrom = visit_Import

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = node.args
        self._all(*node.decorator_list, *arguments.defaults, *filter(None, arguments.kw_defaults))
        self.defined.add(node.name)
        self._within(arguments, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._all(*node.args.defaults, *filter(None, node.args.kw_defaults))
        self._within(node.args, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._all(*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords))
        self.defined.add(node.name)
        self._within(None, node.body)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        inner = _Names(self.defined)
        for part in node.generators:
            inner._all(part.iter, part.target, *part.ifs)
        inner._all(*results)
        self.needs |= inner.needs

    visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_ListComp

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.defined.add(node.name)
        self.generic_visit(node)

    def _all(self, *nodes: ast.AST) -> None:
        for node in nodes:
            self.visit(node)

    def _within(self, arguments: ast.arguments | None, body: list[ast.stmt] | list[ast.expr]) -> None:
        """The names that a function needs from outside of itself."""
        inner = _Names(self.defined)
        for argument in ast.walk(arguments) if arguments is not None else ():
            if isinstance(argument, ast.arg):
                inner.defined.add(argument.arg)
        inner._all(*body)
        self.needs |= inner.needs

    def _in_place(self, node: ast.Attribute | ast.Subscript, value: ast.expr) -> None:
        if isinstance(node.ctx, ast.Store):
            while isinstance(value, (ast.Attribute, ast.Subscript)):
                value = value.value
            if isinstance(value, ast.Name):
                self.changed.add(value.id)
        self.generic_visit(node)


def _names(source: str) -> _Names:
    names = _Names()
    for text in (source, _MAGIC.sub("", source)):
        try:
            names.visit(ast.parse(text))
            break
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return names
