"""Keep the axis of the samples: exchange axes with permute, and say where the samples are."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from fitwell.patch import Code, Edit, argument, called, number
from fitwell.patching.assignments import made
from fitwell.patching.expressions import instead
from fitwell.patching.names import is_function
from fitwell.remedy import About, Remedy

TIME_FIRST = (
    "RNN",
    "LSTM",
    "GRU",
    "MultiheadAttention",
    "TransformerEncoderLayer",
    "TransformerDecoderLayer",
)
ALONG = ("normalize", "cumsum", "flip", "roll", "sort", "cumprod", "logsumexp")
REDUCED = ("mean", "std", "var", "sum", "max", "min", "amax", "amin", "norm")
VIEWS = ("view", "reshape")


def _patch(code: Code, about: About) -> Sequence[Edit]:
    for call in _near(code, about.line):
        edit = _batch_first(code, call) or _axes(code, call) or _along(code, call)
        if edit is not None:
            return (edit,)
    return ()


def _near(code: Code, line: int | None) -> Iterator[ast.Call]:
    """The calls of a line, and where the layers are made that are called there."""
    for call in code.calls(line=line) if line is not None else ():
        yield call
        yield from made(code, called(call))


def _batch_first(code: Code, call: ast.Call) -> Edit | None:
    if called(call) not in TIME_FIRST:
        return None
    told = argument(call, "batch_first")
    if isinstance(told, ast.Constant) and told.value is True:
        return None
    return code.set_argument(call, "batch_first", "True")


def _axes(code: Code, call: ast.Call) -> Edit | None:
    """A view that was to exchange axes, or that follows an exchange of the samples."""
    if called(call) not in VIEWS or not isinstance(call.func, ast.Attribute):
        return None
    order = _order(code, call)
    if order is not None:
        return code.replace(call, f"{code.segment(call.func.value)}.permute({', '.join(map(str, order))})")
    moved = call.func.value
    while (
        isinstance(moved, ast.Call)
        and called(moved) == "contiguous"
        and isinstance(moved.func, ast.Attribute)
    ):
        moved = moved.func.value
    if isinstance(moved, ast.Call) and called(moved) == "permute" and len(moved.args) == 4:
        axes = [number(each) for each in moved.args]
        if axes[0] != 0 and axes[3] == 3 and len(call.args) == 3:  # heads of attention, put together again
            span = code.span(moved.args[0])[0], code.span(moved.args[3])[1]
            return Edit(*span, "0, 2, 1, 3")
        return None
    return _untransposed(code, call, moved)


def _untransposed(code: Code, call: ast.Call, moved: ast.expr) -> Edit | None:
    """``x.t().view(-1, n)`` has the shape of x: leave both out."""
    matrix = len(call.args) == 2 and number(call.args[0]) == -1
    if isinstance(moved, ast.Attribute) and moved.attr == "T" and matrix:
        return instead(code, call, moved.value)
    swaps = (
        isinstance(moved, ast.Call) and isinstance(moved.func, ast.Attribute) and not is_function(code, moved)
    )
    if (
        not swaps
        or not matrix
        or not isinstance(moved, ast.Call)
        or not isinstance(moved.func, ast.Attribute)
    ):
        return None
    plain = called(moved) == "t" or (
        called(moved) in ("transpose", "permute") and [number(a) for a in moved.args] in ([0, 1], [1, 0])
    )
    return instead(code, call, moved.func.value) if plain else None


def _order(code: Code, call: ast.Call) -> list[int] | None:
    """The order of axes that a view was to make: the sizes of the same tensor, in another order."""
    assert isinstance(call.func, ast.Attribute)  # noqa: S101 - a method
    tensor = ast.unparse(call.func.value)
    sizes = _named_sizes(code, call, tensor)
    axes = [_axis(each, tensor, sizes) for each in call.args]
    if axes.count(None) == 1 and axes[-1] is None and number(call.args[-1]) == -1:
        axes[-1] = next((axis for axis in range(len(axes)) if axis not in axes), None)
    order = [axis for axis in axes if axis is not None]
    moved = sorted(order) == list(range(len(call.args))) and order != sorted(order)
    return order if moved and order[0] != 0 else None


def _named_sizes(code: Code, call: ast.Call, tensor: str) -> list[str]:
    """The names of ``b, t, c = x.shape``."""
    for node in ast.walk(code.function(call)):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Tuple):
            continue
        if ast.unparse(node.value) in (f"{tensor}.shape", f"{tensor}.size()"):
            return [called(each) for each in node.targets[0].elts]
    return []


def _axis(size: ast.expr, tensor: str, names: list[str]) -> int | None:
    """The axis whose size this is: ``x.size(1)``, ``x.shape[1]`` or its name."""
    if isinstance(size, ast.Name) and size.id in names:
        return names.index(size.id)
    given: ast.expr | None = None
    if isinstance(size, ast.Call) and called(size) == "size" and ast.unparse(size.func) == f"{tensor}.size":
        given = next(iter(size.args), None)
    elif isinstance(size, ast.Subscript) and ast.unparse(size.value) == f"{tensor}.shape":
        given = size.slice
    value = number(given)
    return None if value is None else int(value)


def _along(code: Code, call: ast.Call) -> Edit | None:
    """What runs along the samples: along the features instead."""
    if called(call) not in (*ALONG, *REDUCED):
        return None
    given = [word.value for word in call.keywords if word.arg in ("dim", "dims", "axis")]
    given += call.args[1:2] if is_function(code, call) else call.args[:1]
    zero = next((each for each in given if number(each) == 0), None)
    if zero is None:
        return None
    kept = called(call) in REDUCED and argument(call, "keepdim") is None
    return code.replace(zero, "-1, keepdim=True" if kept and zero is given[-1] else "-1")


REMEDY = Remedy(
    says="keep the axis of the samples where it is: permute in the place of view, batch_first=True, the last axis",
    treats={"samples-mixed": 1},
    costs="nothing",
    not_when="samples are compared on purpose, as by a contrastive loss",
    patch=_patch,
)
