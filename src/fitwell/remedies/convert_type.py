"""Convert a tensor to the type that a layer or a loss needs: where it is made, or else where it is given to them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from fitwell.measures.failures import message, operands
from fitwell.patch import Code, Edit, argument, called
from fitwell.patching.assignments import assigned
from fitwell.patching.expressions import wrapped
from fitwell.patching.losses import losses
from fitwell.patching.names import is_function
from fitwell.patching.statements import is_on
from fitwell.remedy import About, Remedy

LONG = re.compile(
    r"expected scalar type Long|not implemented for '(Int|Short|Char|Byte|Float|Double|Half)'"
    r"|0D or 1D target tensor|target Long",
    re.IGNORECASE,
)
OF_TARGET = re.compile(
    r"Found dtype (Long|Int|Double|Short|Byte|Bool)|result type Float can't be cast|expected (Float|Long)"
)
INDICES = re.compile(r"argument #1 'indices' to have.*scalar types?.*Long")
MATRICES = re.compile(
    r"must have the same dtype|expected (m1 and m2|scalar type Float but found|scalar type Double but found)"
    r"|Input type \(.*\) and (weight|bias) type|should be the same",
    re.DOTALL,
)
COPIES = ("from_numpy", "tensor", "as_tensor", "asarray")
MOST = 40  # steps back to where a tensor is made


def _patch(code: Code, about: About) -> Sequence[Edit]:
    text = message(about.view)
    if INDICES.search(text):
        return _given(code, about.line, "long()")
    here = [each for each in losses(code) if is_on(each.call, about.line)]
    if here:
        return _targets(code, about, text)
    return _inputs(code, about) if MATRICES.search(text) else ()


def _targets(code: Code, about: About, text: str) -> Sequence[Edit]:
    """The targets of a loss, wherever it is called."""
    here = {each.function for each in losses(code) if is_on(each.call, about.line)}
    classes = bool(here & {"cross_entropy", "nll_loss"})
    if not (LONG if classes else OF_TARGET).search(text) and not MATRICES.search(text):
        return ()
    found = [each.target for each in losses(code) if each.function in here]
    return [wrapped(code, each, "long()" if classes else "float()") for each in found if each is not None]


def _inputs(code: Code, about: About) -> Sequence[Edit]:
    """What a model is given as float64 or as whole numbers: float32 where the tensors are made, else in its calls."""
    if about.line is None:
        return ()
    types = {str(each["name"]): str(each.get("dtype")) for each in operands(about.view) if each.get("dtype")}
    if not any("float32" in kind for name, kind in types.items() if "weight" in name or "bias" in name):
        return ()
    calls = _called(code, about.line)
    if not calls:
        return ()
    like = [
        call for call in code.calls() if ast.unparse(call.func) == ast.unparse(calls[0].func) and call.args
    ]
    makers = {id(maker): maker for call in like for maker in _makers(code, call.args[0])}
    edits = [wrapped(code, each, "float()") for each in makers.values() if _is_bare(code, each)]
    return edits or [wrapped(code, call.args[0], "float()") for call in like]


def _called(code: Code, line: int | None) -> list[ast.Call]:
    """What a line gives something to, apart from functions of torch."""
    found = code.calls(line=line) if line is not None else []
    calls = [call for call in found if call.args and not isinstance(call.args[0], ast.Constant)]
    return [call for call in calls if isinstance(call.func, ast.Name) or not is_function(code, call)]


def _is_bare(code: Code, maker: ast.Call) -> bool:
    """Whether it takes the type of what it is made of."""
    above = code.parent(maker)
    converted = isinstance(above, ast.Attribute) and above.attr in (
        "float",
        "to",
        "type",
        "long",
        "half",
        "int",
    )
    return argument(maker, "dtype", 1) is None and not converted and "float32" not in ast.unparse(maker)


def _makers(code: Code, node: ast.expr) -> Iterator[ast.Call]:
    """The calls that make the tensors which an expression is a part of."""
    waiting, seen = [node], set[str]()
    for _ in range(MOST):
        if not waiting:
            return
        current = waiting.pop()
        if isinstance(current, ast.Call) and called(current) in COPIES:
            yield current
        elif isinstance(current, ast.Subscript | ast.Starred):
            waiting.append(current.value)
        elif isinstance(current, ast.Call):
            waiting += _through(code, current)
        elif isinstance(current, ast.BinOp):
            waiting += [current.left]
        elif isinstance(current, ast.Name | ast.Attribute) and ast.unparse(current) not in seen:
            seen.add(ast.unparse(current))
            waiting += _sources(code, current)


def _through(code: Code, call: ast.Call) -> list[ast.expr]:
    """What a loader, a dataset or a method gets its numbers from."""
    if called(call) in ("DataLoader", "Subset", "random_split", "enumerate", "tqdm", "iter", "next"):
        return call.args[:1]
    if isinstance(call.func, ast.Attribute) and not is_function(code, call):
        return [call.func.value]
    return []


def _sources(code: Code, node: ast.expr) -> list[ast.expr]:
    """What a name is assigned, loops over, or is given as an argument."""
    name = called(node)
    found = [value for _, value in assigned(code, name)]
    for loop in ast.walk(code.tree):
        if isinstance(loop, ast.For | ast.comprehension):
            found += _looped(code, loop.target, loop.iter, name)
    return [*found, *_passed(code, node)]


def _looped(code: Code, target: ast.expr, over: ast.expr, name: str) -> list[ast.expr]:
    """The data that a loop over a loader names so: of a TensorDataset that at the place of the name."""
    if isinstance(over, ast.Call) and called(over) == "enumerate" and isinstance(target, ast.Tuple):
        return _looped(code, target.elts[1], over.args[0], name)
    if not isinstance(target, ast.Tuple):
        return [over] if called(target) == name else []
    names = [called(part) for part in target.elts]
    if name not in names:
        return []
    return [each.args[names.index(name)] for each in _datasets(code, over) if len(each.args) == len(names)]


def _datasets(code: Code, node: ast.expr) -> list[ast.Call]:
    """The TensorDatasets that a loader is made of."""
    if isinstance(node, ast.Name | ast.Attribute):
        sources = [value for _, value in assigned(code, called(node))] + _passed(code, node)
        return [
            each
            for source in sources
            if not isinstance(source, ast.Name) or source.id != called(node)
            for each in _datasets(code, source)
        ]
    if isinstance(node, ast.Call) and called(node) == "TensorDataset":
        return [node]
    return (
        [each for inner in _through(code, node) for each in _datasets(code, inner)]
        if isinstance(node, ast.Call)
        else []
    )


def _passed(code: Code, node: ast.expr) -> list[ast.expr]:
    """What an argument of a function is, where that is called."""
    function = code.function(node)
    if not isinstance(function, ast.FunctionDef) or not isinstance(node, ast.Name):
        return []
    names = [each.arg for each in function.args.args]
    if node.id not in names:
        return []
    at = names.index(node.id)
    given = [argument(call, node.id, at) for call in code.calls(function.name)]
    return [each for each in given if each is not None and each is not node]


def _given(code: Code, line: int | None, method: str) -> Sequence[Edit]:
    """The first argument of the layer that is called in a line."""
    calls = _called(code, line)
    return (wrapped(code, calls[0].args[0], method),) if calls else ()


REMEDY = Remedy(
    says="convert the tensor: float32 for layers and for quantities, int64 for class numbers",
    treats={"dtype-mismatch": 1},
    costs="nothing",
    not_when="the model is meant to compute in float64: then convert the model",
    patch=_patch,
)
