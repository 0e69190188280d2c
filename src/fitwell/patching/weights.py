"""What sets the first weights in a program's text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from fitwell.patch import Code, Edit, called
from fitwell.patching.names import is_function, name_of

CONSTANT = ("constant_", "zeros_", "ones_", "fill_", "zero_")
DRAWN = ("normal_", "uniform_", "trunc_normal_")
SCALED = ("mul_", "div_", "copy_")
TENSORS = ("zeros", "ones", "full", "randn", "rand", "normal", "empty")
EVEN = ("zeros", "ones", "full")


@dataclass(frozen=True)
class Initial:
    """A call that sets weights.

    Args:
        call: such as ``nn.init.constant_(layer.weight, 0.1)``.
        of: the text of what is set.
    """

    call: ast.Call
    of: str

    @property
    def is_constant(self) -> bool:
        """Whether all weights get one value."""
        return called(self.call) in (*CONSTANT, *EVEN)

    @property
    def is_bias(self) -> bool:
        """Whether what is set is called a bias."""
        return "bias" in self.of


def set_in_place(code: Code) -> list[Initial]:
    """The calls that set parameters which were there before, as ``nn.init`` and methods of tensors do."""
    return [each for each in _set(code) if "grad" not in each.of]


def _set(code: Code) -> Iterator[Initial]:
    for call in code.calls(*CONSTANT, *DRAWN, *SCALED):
        function = call.func
        if not isinstance(code.parent(call), ast.Expr):
            continue
        if isinstance(function, ast.Attribute) and not is_function(code, call):
            text = code.segment(function.value)
            weights = (
                "weight" in text
                or ".data" in text
                or called(call) not in SCALED
                or _is_parameter(code, call, text)
            )
            if weights:
                yield Initial(call, text)
        elif call.args:
            yield Initial(call, code.segment(call.args[0]))


def _is_parameter(code: Code, call: ast.Call, name: str) -> bool:
    """Whether a name runs over parameters."""
    loops = [each for each in code.loops(call) if isinstance(each, ast.For)]
    return any(
        "parameters()" in ast.unparse(each.iter) and name in ast.unparse(each.target) for each in loops
    )


def tensors(code: Code) -> list[Initial]:
    """The tensors that are made to be parameters: by ``nn.Parameter``, or with ``requires_grad``."""
    found = []
    for call in code.calls(*TENSORS):
        asks, above = _asks(call), code.parent(call)
        while isinstance(above, ast.expr | ast.keyword):
            asks = asks or (isinstance(above, ast.Call) and (called(above) == "Parameter" or _asks(above)))
            above = code.parent(above)
        target = ast.unparse(above.targets[0]) if isinstance(above, ast.Assign) else ""
        if asks and len(shape_of(call)) == 2:
            found.append(Initial(call, target))
    return found


def _asks(call: ast.Call) -> bool:
    told = [word.value for word in call.keywords if word.arg == "requires_grad"]
    return called(call) == "requires_grad_" or any(
        isinstance(each, ast.Constant) and each.value is True for each in told
    )


def shape_of(call: ast.Call) -> list[ast.expr]:
    """The sizes of a tensor that is made."""
    given = list(call.args)
    if called(call) == "full":
        given = given[:1]
    if called(call) == "normal":
        given = given[2:]
    if len(given) == 1 and isinstance(given[0], ast.Tuple | ast.List):
        return list(given[0].elts)
    return given


def scaled(code: Code, call: ast.Call) -> ast.expr:
    """A tensor with the number that it is multiplied by or divided by."""
    node: ast.expr = call
    while True:
        above = code.parent(node)
        if isinstance(above, ast.BinOp) and isinstance(above.op, ast.Mult | ast.Div):
            node = above
        else:
            return node


def redrawn(code: Code, initial: Initial) -> Edit | None:
    """A tensor of weights as normal ones, divided by the root of the number of inputs; None if it is that already."""
    randn, above = name_of(code, "torch.randn"), code.parent(whole := scaled(code, initial.call))
    if randn is None:
        return None
    rows, columns = (code.segment(size) for size in shape_of(initial.call))
    transposed = any(text in code.text for text in (f"{initial.of}.t()", f"{initial.of}.T", "linear("))
    inputs = columns if transposed else rows
    inputs = inputs if inputs.isidentifier() or inputs.isdigit() else f"({inputs})"
    kept = {word.arg: code.segment(word) for word in initial.call.keywords}
    given = ", ".join([rows, columns, *(kept[name] for name in ("dtype", "device") if name in kept)])
    text = f"{randn}({given}) / {inputs}**0.5"
    if ast.unparse(whole) == ast.unparse(ast.parse(text)):
        return None
    if "requires_grad" in kept:
        text = f"({text}).requires_grad_()"
    elif isinstance(above, ast.Attribute) and code.text[code.span(whole)[0] - 1] != "(":
        text = f"({text})"
    return code.replace(whole, text)
