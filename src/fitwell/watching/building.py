"""Lines of a program that build or shape its models, found by reading its source: activations, initial weights.

The source is only parsed, never run. Which line is at fault, if any, is for rules to say.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any

# Functions and modules by the names that autograd has for what they do.
ACTIVATIONS = {
    "softmax": "Softmax",
    "Softmax": "Softmax",
    "Softmax2d": "Softmax",
    "log_softmax": "LogSoftmax",
}
ACTIVATIONS |= {"LogSoftmax": "LogSoftmax", "sigmoid": "Sigmoid", "sigmoid_": "Sigmoid", "Sigmoid": "Sigmoid"}
ACTIVATIONS |= {
    "tanh": "Tanh",
    "tanh_": "Tanh",
    "Tanh": "Tanh",
    "relu": "Relu",
    "relu_": "Relu",
    "ReLU": "Relu",
}
ACTIVATIONS |= {"softplus": "Softplus", "Softplus": "Softplus", "exp": "Exp", "abs": "Abs"}
DRAWN = {"normal_": "", "uniform_": "", "trunc_normal_": "", "randn": "", "rand": "", "normal": ""}
EVEN = {"constant_": 1, "fill_": 0, "full": 1, "full_like": 1}  # which argument is the constant
NUMBERS = {
    "zeros_": 0.0,
    "zero_": 0.0,
    "zeros": 0.0,
    "ones_": 1.0,
    "ones": 1.0,
    "zeros_like": 0.0,
    "ones_like": 1.0,
}
SCALED = ("mul_", "div_", "copy_")  # of weights that were drawn before
RESHAPES = ("view", "reshape", "transpose", "permute", "swapaxes", "movedim")
SWAPS = ("transpose", "swapaxes", "movedim")
ACROSS = (
    "softmax",
    "log_softmax",
    "mean",
    "sum",
    "cumsum",
    "normalize",
    "std",
    "var",
    "flip",
    "roll",
    "max",
    "sort",
)
TIME_FIRST = (
    "RNN",
    "LSTM",
    "GRU",
    "MultiheadAttention",
    "TransformerEncoderLayer",
    "TransformerDecoderLayer",
)
BLANKS = ("zeros_like", "ones_like", "rand_like", "randn_like")

Found = tuple[str, ast.AST, int, dict[str, Any]]


def called(node: ast.expr) -> str:
    """The last name of what is called."""
    function = node.func if isinstance(node, ast.Call) else node
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def end(node: ast.AST) -> int:
    """The line of the last name of what is called or read; the first line of a statement."""
    if isinstance(node, ast.Call):
        return node.func.end_lineno or node.lineno
    assert isinstance(node, (ast.expr, ast.stmt))  # noqa: S101 - for mypy
    return (node.end_lineno if isinstance(node, ast.expr) else None) or node.lineno


def built(
    tree: ast.Module, above: Mapping[ast.AST, ast.AST], aside: Callable[[ast.AST], bool]
) -> Iterator[Found]:
    """The kinds, nodes, lines and more of what builds or shapes models.

    - ``activations``: applies an ``operation``, or makes the module that does if it is not called by a name
    - ``constructed``: makes such a module
    - ``initializes``: sets weights, by its ``way``; ``constant`` is their value, if they get one,
      ``scale`` a number that they are drawn or multiplied with; ``bias`` or not
    - ``dropouts``: makes or applies one, with its ``probability`` if that is in the line
    - ``reshapes``: may take samples for something else in a ``forward``; ``rank`` 2: along axis 0, or moves it
    - ``ignores``: loses the input in a ``forward``
    - ``recurrences``: makes a plain recurrent layer, with its ``nonlinearity`` if that is in the line
    - ``layers``: assigns a module to a ``name``

    Args:
        tree: of a file.
        above: by node the one that it is in.
        aside: whether what a node computes goes into a log only.
    """
    names = _modules(tree)
    applied = {called(node) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _activation(node, names, applied, above, aside)
            yield from _initial(node, above)
            yield from _dropout(node)
            yield from _recurrence(node)
        elif isinstance(node, ast.Assign):
            yield from _layers(node)
        elif isinstance(node, ast.ClassDef):
            yield from _model(node)


def _recurrence(node: ast.Call) -> Iterator[Found]:
    if called(node) in ("RNN", "RNNCell"):
        told = [keyword.value for keyword in node.keywords if keyword.arg == "nonlinearity"]
        said = told[0].value if told and isinstance(told[0], ast.Constant) else None
        yield "recurrences", node, end(node), {"nonlinearity": said}


def _layers(node: ast.Assign) -> Iterator[Found]:
    if isinstance(node.value, ast.Call):
        for target in node.targets:
            if isinstance(target, ast.Attribute):
                yield "layers", node, node.lineno, {"name": target.attr}


def _model(node: ast.ClassDef) -> Iterator[Found]:
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "forward":
            yield from _forward(each)
        elif isinstance(each, ast.FunctionDef) and each.name == "__init__":
            yield from _time_first(each)


def _modules(tree: ast.Module) -> dict[str, str]:
    """The operations of the activations that are assigned, by the last names of what they are assigned to."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and _is_module(called(node.value))
        ):
            found |= {called(target): ACTIVATIONS[called(node.value)] for target in node.targets}
    return found


def _is_module(name: str) -> bool:
    return name in ACTIVATIONS and name[0].isupper()


def _activation(
    node: ast.Call,
    names: Mapping[str, str],
    applied: set[str],
    above: Mapping[ast.AST, ast.AST],
    aside: Callable[[ast.AST], bool],
) -> Iterator[Found]:
    name = called(node)
    operation = ACTIVATIONS.get(name) or names.get(name)
    if operation is None:
        return
    if not _is_module(name):
        if not aside(node):
            yield "activations", node, end(node), {"operation": operation}
        return
    yield "constructed", node, end(node), {"operation": operation}
    statement = above.get(node)
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if not any(called(target) in applied for target in targets):
        yield "activations", node, end(node), {"operation": operation}


def _initial(node: ast.Call, above: Mapping[ast.AST, ast.AST]) -> Iterator[Found]:
    """What sets the values of parameters."""
    name = called(node)
    standard = name.startswith(("xavier_", "kaiming_", "orthogonal_", "eye_", "dirac_", "sparse_"))
    known = name in DRAWN or name in EVEN or name in NUMBERS or name in SCALED or standard
    if not known or not isinstance(node.func, (ast.Attribute, ast.Name)):
        return
    if name.endswith("_"):
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        outside = owner is None or called(owner) == "init"
        what = ast.unparse(node.args[0] if outside and node.args else owner or node.func)
        if "grad" in what or (name in SCALED and "weight" not in what):
            return
    else:
        statement = _parameter(node, above)
        if statement is None:
            return
        what = ast.unparse(statement.targets[0])
    last = what.rpartition(".")[2]
    bias = "bias" in what or (last[:1] == "b" and not last[1:].strip("0123456789_"))
    way = "standard" if standard else "drawn" if name in DRAWN else "scaled" if name in SCALED else "even"
    more = {"way": way, "constant": _constant(node), "scale": _scale(node, above), "bias": bias, "of": what}
    yield "initializes", node, end(node), more


def _scale(node: ast.Call, above: Mapping[ast.AST, ast.AST]) -> float | None:
    """The last number that it is given, or that what it makes is multiplied by."""
    outer = above.get(node)
    numbers = [
        *node.args[-1:],
        *(keyword.value for keyword in node.keywords if keyword.arg in ("std", "gain", "b")),
    ]
    if isinstance(outer, ast.BinOp) and isinstance(outer.op, ast.Mult):
        numbers = [outer.left, outer.right]
    elif not called(node).endswith("_"):
        return None  # numbers are its shape
    return max((value for value in map(_number, numbers) if value is not None), default=None)


def _parameter(node: ast.Call, above: Mapping[ast.AST, ast.AST]) -> ast.Assign | None:
    """The assignment of a parameter that a tensor is made for, by nn.Parameter or with requires_grad."""
    asks, inner = _asks(node), above.get(node)
    while isinstance(inner, ast.expr):
        asks = asks or (isinstance(inner, ast.Call) and (called(inner) == "Parameter" or _asks(inner)))
        inner = above.get(inner)
    return inner if asks and isinstance(inner, ast.Assign) else None


def _asks(node: ast.Call) -> bool:
    """Whether gradients are asked for."""
    told = [keyword.value for keyword in node.keywords if keyword.arg == "requires_grad"]
    return called(node) == "requires_grad_" or any(_number(value) == 1 for value in told)


def _constant(node: ast.Call) -> float | None:
    """The value that all weights get, if it is in the line; 1.0 if it is not."""
    name = called(node)
    if name in EVEN:
        given = node.args[EVEN[name]] if len(node.args) > EVEN[name] else None
        value = _number(given)
        return 1.0 if value is None else value
    return NUMBERS.get(name)


def _number(node: ast.AST | None) -> float | None:
    """Of a literal."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _number(node.operand)
        return None if value is None else -value
    literal = isinstance(node, ast.Constant) and isinstance(node.value, (int, float))
    return float(node.value) if isinstance(node, ast.Constant) and literal else None  # type: ignore[arg-type]


def _dropout(node: ast.Call) -> Iterator[Found]:
    name = called(node)
    asked = {keyword.arg: keyword.value for keyword in node.keywords}
    if name.lower().replace("alpha", "").rstrip("123d") == "dropout" or name in ("dropout1d", "Dropout1d"):
        first = 0 if name[0].isupper() else 1
        given = node.args[first] if len(node.args) > first else asked.get("p")
        if name[0].islower() and given is None:
            return  # a module that has this name
        yield "dropouts", node, end(node), {"probability": 0.5 if given is None else _number(given)}
    elif _number(asked.get("dropout")):
        yield "dropouts", node, asked["dropout"].lineno, {"probability": _number(asked["dropout"])}


def _forward(function: ast.FunctionDef) -> Iterator[Found]:
    arguments = [each.arg for each in function.args.args[1:]]
    used = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    if arguments and arguments[0] not in used:
        yield "ignores", function, function.lineno, {}
    for node in ast.walk(function):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            if 0 in (_number(node.left), _number(node.right)):
                yield "ignores", node, node.lineno, {}
        elif isinstance(node, ast.Call) and called(node) in BLANKS:
            yield "ignores", node, end(node), {}
        elif isinstance(node, ast.Call):
            yield from _mixing(node)


def _mixing(node: ast.Call) -> Iterator[Found]:
    """What runs along the samples, or may take them for something else."""
    name = called(node)
    if name in ACROSS:
        asked = [keyword.value for keyword in node.keywords if keyword.arg in ("dim", "dims", "axis")]
        of_torch = isinstance(node.func, ast.Attribute) and called(node.func.value) in (
            "torch",
            "F",
            "functional",
        )
        asked += node.args[1:2] if of_torch else node.args[:1]
        if any(_number(each) == 0 for each in asked):
            yield "reshapes", node, end(node), {"rank": 2}
    elif name in RESHAPES:
        flat = len(node.args) == 2 and _number(node.args[1]) == -1 and name in ("view", "reshape")
        axes = [_number(each) for each in node.args]
        moved = axes[:1] not in ([0], [None]) if name == "permute" else name in SWAPS and 0 in axes
        if not flat:
            yield "reshapes", node, end(node), {"rank": 1 + (moved and bool(axes))}


def _time_first(function: ast.FunctionDef) -> Iterator[Found]:
    """Layers that take the second axis for the samples."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and called(node) in TIME_FIRST:
            told = [keyword.value for keyword in node.keywords if keyword.arg == "batch_first"]
            if not told or _number(told[0]) == 0:
                yield "reshapes", node, end(node), {"rank": 1}
