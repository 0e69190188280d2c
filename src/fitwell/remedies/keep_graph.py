"""Let gradients flow from the loss to the parameters: nothing on the way is taken out of the graph."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from fitwell.patch import Code, Edit, argument, called
from fitwell.patching.statements import scope
from fitwell.remedy import About, Remedy

METHODS = ("detach", "detach_", "item", "tolist", "numpy", "requires_grad_")
COPIES = (
    "tensor",
    "as_tensor",
    "from_numpy",
    "asarray",
    "array",
    "Variable",
    "FloatTensor",
    "Tensor",
    "float",
)
FLAT = ("round", "floor", "ceil", "sign")  # whose derivative is zero
WITHOUT = re.compile(r"\b(no_grad|inference_mode)\b|\bset_grad_enabled\(False\)")


def _patch(code: Code, about: About) -> Sequence[Edit]:
    statement = code.statement(about.line) if about.line else None
    if statement is None:
        return ()
    return (
        _outside_of_no_grad(code, statement)
        or _cuts_in(code, statement)
        or _straight_through(code, statement)
        or _elsewhere(code, statement)
    )


def _outside_of_no_grad(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """Without the block, or the decorator, under which nothing is recorded."""
    place = scope(code, statement.lineno)
    for node in (statement, *code.around(statement)):
        if isinstance(node, ast.With):
            edits = _without_item(code, node)
            if edits:
                return [*edits, *_silencers(code, place)]
        if isinstance(node, ast.FunctionDef):
            found = [each for each in node.decorator_list if WITHOUT.search(code.segment(each))]
            return [_without_line(code, each) for each in found]
    return ()


def _without_item(code: Code, block: ast.With) -> Sequence[Edit]:
    """Without the block, or without what it is opened with beside others."""
    items = [code.span(item.context_expr) for item in block.items]
    found = [n for n, item in enumerate(block.items) if WITHOUT.search(code.segment(item.context_expr))]
    if not found:
        return ()
    if len(items) == 1:
        return code.unwrap(block)
    at = found[0]
    return (
        Edit(items[at][0], items[at + 1][0], "") if at == 0 else Edit(items[at - 1][1], items[at][1], ""),
    )


def _without_line(code: Code, decorator: ast.expr) -> Edit:
    start, end = code.span(decorator)
    first = code.text.rfind("@", 0, start)
    last = code.text.find("\n", end) + 1
    begin = code.text.rfind("\n", 0, first) + 1
    return Edit(begin, last, "")


def _cuts_in(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """Each tensor in the place of what takes it out of its graph; also without what only silenced the error."""
    edits = [edit for node in _parts(statement) for edit in _unwrapped(code, node)]
    if not edits:
        return ()
    place = code.function(statement)
    inside = code.span(statement)
    return edits + [each for each in _silencers(code, place) if not inside[0] <= each.start < inside[1]]


def _parts(statement: ast.stmt) -> Iterator[ast.AST]:
    """What a statement computes, of a block only its head, and no index."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.Subscript):
            waiting.append(node.value)
        else:
            waiting += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]


def _unwrapped(code: Code, node: ast.AST) -> Sequence[Edit]:
    if isinstance(node, ast.Attribute) and node.attr == "data" and isinstance(node.ctx, ast.Load):
        return (_without_end(code, node.value, node),)
    if not isinstance(node, ast.Call):
        return ()
    if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
        return (_without_end(code, node.func.value, node),)
    if called(node) in COPIES and node.args and _is_copy(node):
        return _without_copy(code, node)
    return ()


def _is_copy(node: ast.Call) -> bool:
    """Whether a tensor is made of what was taken out of a graph, and not of data."""
    requires = argument(node, "requires_grad")
    inner = (part for each in node.args[:1] for part in ast.walk(each))
    taken = any(isinstance(part, ast.Attribute) and part.attr in (*METHODS, "data") for part in inner)
    if called(node) == "float":
        return isinstance(node.func, ast.Name) and isinstance(node.args[0], ast.Name | ast.Call)
    return taken or (isinstance(requires, ast.Constant) and requires.value is True)


def _without_copy(code: Code, node: ast.Call) -> Sequence[Edit]:
    inner = node.args[0]
    if isinstance(inner, ast.List | ast.ListComp):
        last, end = code.span(inner)[1], code.span(node)[1]
        return code.replace(node.func, "torch.stack"), Edit(last, end, ")")
    if isinstance(inner, ast.Tuple | ast.GeneratorExp | ast.Starred):
        return ()
    kept = [code.segment(each) for each in node.keywords if each.arg in ("dtype", "device")]
    simple = isinstance(inner, ast.Name | ast.Call | ast.Attribute | ast.Subscript)
    left, right = ("", "") if simple else ("(", ")")
    (start, end), (first, last) = code.span(node), code.span(inner)
    suffix = f".to({', '.join(kept)})" if kept else ""
    return Edit(start, first, left), Edit(last, end, right + suffix)


def _without_end(code: Code, kept: ast.expr, node: ast.expr) -> Edit:
    """Without the attribute, or the call of it, at the end of an expression."""
    name = node.func if isinstance(node, ast.Call) else node
    assert isinstance(name, ast.Attribute)  # noqa: S101 - for the types
    end = code.span(name)[1] - len(name.attr)
    dot = code.text.rindex(".", code.span(kept)[1], end)
    return Edit(dot, code.span(node)[1], "")


def _silencers(code: Code, place: ast.AST) -> list[Edit]:
    """Without the statements that give a loss ``requires_grad``, which hides that it has no graph."""
    edits = []
    for node in ast.walk(place):
        if not isinstance(node, ast.stmt) or code.function(node) is not place:
            continue
        call = node.value if isinstance(node, ast.Expr) else None
        on = isinstance(call, ast.Call) and called(call) == "requires_grad_" and not call.args
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        set_to = isinstance(target, ast.Attribute) and target.attr == "requires_grad"
        if (on or set_to) and re.match(r"\w*loss\w*\.", code.segment(node)):
            edits.append(code.remove(node))
    return edits


def _straight_through(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """The gradient of a discrete operation is that of its input (Bengio, Léonard and Courville 2013)."""
    for node in _parts(statement):
        if (
            isinstance(node, ast.Call)
            and called(node) in FLAT
            and code.segment(node.func).startswith("torch.")
        ):
            inner = node.args[0] if len(node.args) == 1 and not node.keywords else None
            if isinstance(inner, ast.Name):
                return (code.replace(node, f"({inner.id} + ({code.segment(node)} - {inner.id}).detach())"),)
    return ()


def _elsewhere(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """In the one statement before it, in its function, that cuts what is assigned."""
    place = code.function(statement)
    cutting = [
        edits
        for node in ast.walk(place)
        if isinstance(node, ast.Assign) and code.function(node) is place and node.lineno < statement.lineno
        and (edits := _cuts_in(code, node))
    ]  # fmt: skip
    return cutting[0] if len(cutting) == 1 else ()


REMEDY = Remedy(
    says="pass tensors on as they are, so that gradients reach all that made them",
    treats={"loss-detached": 1, "gradient-path-cut": 1},
    costs="memory for the activations that backward needs",
    not_when="the path is cut on purpose, as for the target of a teacher",
    patch=_patch,
)
