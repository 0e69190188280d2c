"""Lines of a program that may be at fault, found by reading its source: what cuts a graph, freezes, keeps, divides.

The source is only parsed, never run. Which of the lines is at fault, if any, is for rules to say: they know what
happened.
"""

from __future__ import annotations

import ast
import linecache
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from fitwell.watching.building import built
from fitwell.watching.building import called as _called
from fitwell.watching.building import end as _end

MOST_LINES = 20_000  # of a file that is read
MOST_FOUND = 60  # lines of a kind
LONGEST_TEXT = 200
COPIES = ("tensor", "as_tensor", "from_numpy", "asarray")
VALUES = ("item", "detach", "tolist", "numpy", "data")  # attributes of a tensor without its graph
STORES = ("append", "extend", "insert", "add", "update", "put", "record", "push")
NUMBERS = ("float", "int", "len", "type", "str", "round", "format")  # functions of it
AFFINE = re.compile(r"^(Lazy)?(Linear|Conv[123]d)$")
LOSS = re.compile(r"loss|cost|objective", re.IGNORECASE)
ACCURACY = re.compile(r"(^|_)(acc|accs|accuracy|accuracies)(_|$)", re.IGNORECASE)
RISKS = {
    "log": 3,
    "sqrt": 3,
    "log2": 3,
    "log10": 3,
    "acos": 3,
    "asin": 3,
    "atanh": 3,
    "rsqrt": 3,
    "reciprocal": 3,
}
RISKS |= {"logit": 3, "exp": 2, "div": 2, "pow": 1, "norm": 1, "expm1": 2, "std": 1}
GUARDS = ("clamp", "clip", "maximum", "relu", "softplus", "clamp_min", "nan_to_num")

Line = dict[str, Any]


def lines_of(files: Iterable[str]) -> dict[str, list[Line]]:
    """The lines of some files that may be at fault, by kind.

    Each has ``file``, ``line``, ``function`` (its qualified name), ``text``, ``in_model`` (whether it is in a class
    with a ``forward``) and what tells it from others of its kind:

    - ``cuts``: takes a tensor out of its graph, or computes without one
    - ``freezes``: sets ``requires_grad`` to false
    - ``loaders``: makes a DataLoader, or is asked not to shuffle: ``shuffle`` True, False, or None if it is not said
    - ``keeps``: adds a loss to what outlives the step
    - ``risks``: an ``operation`` that may make NaN or infinity of finite numbers, with a ``rank``: 3 is the likeliest
    - ``pairs``: makes an affine layer directly behind another one
    - ``compares``: counts what equals something
    - ``accuracies``: assigns one, with its ``name`` and what is ``called``
    - ``clears``: calls ``name.zero_grad()``
    - ``backwards``: calls ``backward``; ``calls`` are the names of all that is called in that function
    - ``loops``: the loop around it
    - ``closures``: calls a function, by ``name``, that calls ``backward``
    - and what builds models: see ``fitwell.watching.building.built``
    """
    found: dict[str, list[Line]] = {}
    for file in files:
        source = linecache.getlines(file)
        if not source or len(source) > MOST_LINES:
            continue
        try:
            tree = ast.parse("".join(source))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        search = _Search(file, source, tree)
        for kind, line in search.found():
            if len(found.setdefault(kind, [])) < MOST_FOUND and line not in found[kind]:
                found[kind].append(line)
    return found


class _Search:
    """What is found in one file."""

    def __init__(self, file: str, source: list[str], tree: ast.Module) -> None:
        self._file, self._source, self._tree = file, source, tree
        self._above: dict[ast.AST, ast.AST] = {}
        for node in ast.walk(tree):
            self._above |= dict.fromkeys(ast.iter_child_nodes(node), node)
        self._backwards = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and _called(n) == "backward"]
        self._roots = {
            name for n in self._backwards if isinstance(n.func, ast.Attribute) for name in _names(n.func)
        }
        self._closures = {self.function(node).rpartition(".")[2] for node in self._backwards} - {"<module>"}

    def found(self) -> Iterator[tuple[str, Line]]:
        """The kinds and the lines."""
        for node in ast.walk(self._tree):
            for kind, at, more in self._kinds(node):
                yield kind, self._line(node, at) | more
        for kind, node, at, more in built(self._tree, self._above, self._aside):
            yield kind, self._line(node, at) | more

    def _kinds(self, node: ast.AST) -> Iterator[tuple[str, int, Line]]:
        if isinstance(node, ast.Call):
            yield from self._call(node)
            yield from _loaders(node)
        elif isinstance(node, (ast.Assign, ast.AugAssign, ast.Expr)):
            yield from self._statement(node)
        elif isinstance(node, ast.BinOp):
            yield from _quotient(node)
        elif (
            isinstance(node, ast.Compare)
            and isinstance(node.ops[0], (ast.Eq, ast.NotEq))
            and self._counted(node)
        ):
            yield "compares", node.lineno, {}
        yield from _pairs(node)
        if self._cuts(node) and not self._aside(node):
            yield "cuts", _end(node), {}

    def _cuts(self, node: ast.AST) -> bool:
        """Whether it leaves a graph behind."""
        if isinstance(node, ast.Attribute):
            above = self._above.get(node)
            changed = isinstance(above, ast.Attribute) and above.attr.endswith("_")
            return node.attr == "data" and isinstance(node.ctx, ast.Load) and not changed
        if isinstance(node, ast.With):
            return _without_graph(node)
        if not isinstance(node, ast.Call):
            return False
        if _called(node) in ("detach", "detach_"):
            return True
        return _called(node) in COPIES and any(_names(each) for each in node.args)

    def _call(self, node: ast.Call) -> Iterator[tuple[str, int, Line]]:
        name, at = _called(node), _end(node)
        if name in RISKS and not _guarded(node):
            yield "risks", at, {"operation": name, "rank": RISKS[name]}
        elif name == "requires_grad_" and _is(_first(node), False):
            yield "freezes", at, {}
        elif name == "zero_grad" and isinstance(node.func, ast.Attribute):
            yield "clears", at, {"name": ast.unparse(node.func.value)}
        elif name == "backward":
            yield "backwards", at, {"calls": self._calls_beside(node)}
            yield from self._loops(node)
        elif isinstance(node.func, ast.Name) and name in self._closures:
            yield "closures", at, {"name": name}

    def _calls_beside(self, node: ast.AST) -> list[str]:
        """The names of all that is called in the function that a node is in."""
        scope = node
        while scope in self._above and not isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef)):
            scope = self._above[scope]
        names = {_called(each) for each in ast.walk(scope) if isinstance(each, ast.Call)}
        return sorted(names)[:MOST_FOUND]

    def _loops(self, node: ast.AST) -> Iterator[tuple[str, int, Line]]:
        """The innermost loop that a node is in."""
        while node in self._above and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if isinstance(node, (ast.For, ast.While)):
                yield "loops", node.lineno, {}
                return
            node = self._above[node]

    def _statement(self, node: ast.Assign | ast.AugAssign | ast.Expr) -> Iterator[tuple[str, int, Line]]:
        targets = [name for name in _targets(node) if name]
        if isinstance(node, ast.Assign):
            frozen = any(isinstance(t, ast.Attribute) and t.attr == "requires_grad" for t in node.targets)
            if frozen and _is(node.value, False):
                yield "freezes", node.lineno, {}
            called = _called(node.value) if isinstance(node.value, ast.Call) else None
            for name in filter(ACCURACY.search, targets):
                yield "accuracies", node.lineno, {"name": name, "called": called}
        if self._keeps(node, targets):
            yield "keeps", node.lineno, {}

    def _keeps(self, node: ast.Assign | ast.AugAssign | ast.Expr, targets: list[str]) -> bool:
        """Whether a loss with its graph is added to a sum or a list, which nothing is propagated back from."""
        values: list[ast.expr] = [node.value]
        if isinstance(node, ast.Expr):
            if not isinstance(node.value, ast.Call) or _called(node.value) not in (
                "append",
                "extend",
                "insert",
            ):
                return False
            values = node.value.args
        elif isinstance(node, ast.Assign):
            stored = any(isinstance(target, ast.Subscript) for target in node.targets)
            if not stored and not (isinstance(node.value, ast.BinOp) and set(targets) & _names(node.value)):
                return False
        return not self._roots.intersection(targets) and any(
            self._is_loss(part) and part.id not in targets  # type: ignore[attr-defined]
            for value in values
            for part in ast.walk(value)
        )

    def _is_loss(self, node: ast.AST) -> bool:
        """Whether it is a variable that is called a loss, or propagated back from, and used with its graph."""
        if not isinstance(node, ast.Name) or not (node.id in self._roots or LOSS.search(node.id)):
            return False
        above: ast.AST | None = self._above.get(node)
        while isinstance(above, ast.expr):
            attribute = isinstance(above, ast.Attribute) and above.attr in VALUES
            if attribute or (isinstance(above, ast.Call) and _called(above) in NUMBERS):
                return False
            above = self._above.get(above)
        function = self._above[node]
        return not (isinstance(function, ast.Call) and function.func is node)

    def _aside(self, node: ast.AST) -> bool:
        """Whether what a line computes goes nowhere but into a log, or is computed without a graph anyway."""
        above = self._above.get(node)
        while above is not None:
            if isinstance(above, ast.AugAssign) or (isinstance(above, ast.Expr) and not _in_place(above)):
                return True
            if isinstance(above, ast.With) and _without_graph(above):
                return True
            if isinstance(above, (ast.FunctionDef, ast.AsyncFunctionDef)):
                return any(
                    "no_grad" in ast.unparse(d) or "inference" in ast.unparse(d) for d in above.decorator_list
                )
            above = self._above.get(above)
        return False

    def _counted(self, node: ast.AST) -> bool:
        """Whether a comparison gives numbers, instead of deciding what is run."""
        while not isinstance(node, ast.stmt):
            node = self._above[node]
            if isinstance(node, ast.Call) and _called(node) in (
                "sum",
                "mean",
                "float",
                "count_nonzero",
                "eq",
            ):
                return True
        return False

    def function(self, node: ast.AST) -> str:
        """The qualified name of the function that a node is in, as Python has it."""
        names: list[str] = []
        above = self._above.get(node)
        while above is not None:
            if isinstance(above, (ast.FunctionDef, ast.AsyncFunctionDef)):
                names += ["<locals>", above.name] if names else [above.name]
            elif isinstance(above, ast.ClassDef):
                names.append(above.name)
            above = self._above.get(above)
        return ".".join(reversed(names)) or "<module>"

    def _line(self, node: ast.AST, at: int) -> Line:
        text = self._source[at - 1].strip()[:LONGEST_TEXT]
        function, in_model = self.function(node), self._in_model(node)
        return {"file": self._file, "line": at, "function": function, "text": text, "in_model": in_model}

    def _in_model(self, node: ast.AST) -> bool:
        above = self._above.get(node)
        while above is not None and not isinstance(above, ast.ClassDef):
            above = self._above.get(above)
        return above is not None and any(getattr(each, "name", "") == "forward" for each in above.body)


def _loaders(node: ast.Call) -> Iterator[tuple[str, int, Line]]:
    """A DataLoader without an order of its own, or anything that is told not to shuffle."""
    asked = {keyword.arg: keyword.value for keyword in node.keywords}
    shuffle = asked.get("shuffle")
    loader = _called(node).endswith("DataLoader") and not {"sampler", "batch_sampler"} & asked.keys()
    known = shuffle is None or isinstance(shuffle, ast.Constant)
    if (loader and known) or _is(shuffle, False):
        yield (
            "loaders",
            node.lineno,
            {"shuffle": shuffle.value if isinstance(shuffle, ast.Constant) else None},
        )


def _names(node: ast.AST) -> set[str]:
    """The names in an expression, of attributes, too."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return names | {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


def _targets(node: ast.AST) -> list[str]:
    """The names that a statement assigns to."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    parts = [p for t in targets for p in (t.elts if isinstance(t, (ast.Tuple, ast.List)) else [t])]
    return [_called(part) for part in parts if isinstance(part, (ast.Name, ast.Attribute))]


def _first(node: ast.Call) -> ast.expr | None:
    return node.args[0] if node.args else next((keyword.value for keyword in node.keywords), None)


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _in_place(node: ast.Expr) -> bool:
    """Whether a statement changes a tensor in its graph."""
    return isinstance(node.value, ast.Call) and _called(node.value) == "detach_"


def _without_graph(node: ast.With) -> bool:
    return any(
        "no_grad" in (said := ast.unparse(i.context_expr)) or "inference_mode" in said for i in node.items
    )


def _guarded(node: ast.AST) -> bool:
    """Whether a small number is added, or a bound is set."""
    return any(
        (isinstance(n, ast.Call) and _called(n) in GUARDS)
        or (isinstance(n, ast.Name) and "eps" in n.id.lower())
        or (isinstance(n, ast.Constant) and isinstance(n.value, float) and 0 < n.value < 1e-2)
        for n in ast.walk(node)
    )


def _quotient(node: ast.BinOp) -> Iterator[tuple[str, int, Line]]:
    """A division by what may be 0, or a root."""
    below = node.right
    if isinstance(node.op, ast.Pow) and isinstance(below, ast.Constant) and below.value == 0.5:
        yield "risks", node.lineno, {"operation": "pow", "rank": 3}
    counts = isinstance(below, ast.Constant) or bool(_names(below) & {"len", "item", "size", "shape"})
    if isinstance(node.op, ast.Div) and not counts and not _guarded(below):
        calls = any(isinstance(n, ast.Call) for n in ast.walk(below))
        yield "risks", node.lineno, {"operation": "div", "rank": 2 if calls else 1}


def _pairs(node: ast.AST) -> Iterator[tuple[str, int, Line]]:
    """Affine layers that follow each other in a list of layers, or that a loop puts into one without others."""
    if isinstance(node, ast.For):
        added = [each for each in ast.walk(node) if isinstance(each, ast.Call) and _called(each) == "append"]
        parts = [_first(each) for each in added]
        if parts and all(map(_is_affine, parts)):
            yield "pairs", added[0].lineno, {}
    elif isinstance(node, ast.ListComp):
        if _is_affine(node.elt):
            yield "pairs", node.lineno, {}
    elif isinstance(node, (ast.Call, ast.List, ast.Tuple)):
        listed = node.args if isinstance(node, ast.Call) else node.elts
        for first, second in pairwise(listed):
            if _is_affine(first) and _is_affine(second):
                yield "pairs", second.lineno, {}


def _is_affine(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Call) and bool(AFFINE.match(_called(node)))
