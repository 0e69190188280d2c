"""Give a layer, or a tensor, the size that the error asks for."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Sequence

from fitwell.evidence import View
from fitwell.measures.failures import message, operands
from fitwell.patch import Code, Edit, argument, called, number
from fitwell.patching.expressions import alike, instead, wrapped
from fitwell.patching.layers import affine, inputs, layer
from fitwell.patching.losses import Loss, losses
from fitwell.patching.names import is_function
from fitwell.patching.statements import is_on
from fitwell.remedy import About, Remedy

TURNS = ("t", "transpose", "permute", "swapaxes")


def _patch(code: Code, about: About) -> Sequence[Edit]:
    text = message(about.view)
    for pattern, act in _ACTS:
        match = re.search(pattern, text)
        if match is not None:
            edits = act(code, about, [int(each) for each in match.groups()])
            if edits:
                return edits
    return ()


def _product(code: Code, about: About, sizes: list[int]) -> Sequence[Edit]:
    """A matrix with ``columns`` met a layer of ``rows`` inputs."""
    samples, columns, rows, units = sizes
    turned = _turned(code, about.line) if samples == rows else None
    if turned is not None:
        return (turned,)
    folded = [
        each
        for each in operands(about.view)
        if len(each.get("shape") or []) > 2 and _flat(each["shape"]) == rows
    ]
    if folded:
        edits = _of_argument(code, about.line, folded[0]["name"], "flatten(1)")
        if edits:
            return edits
    return _inputs(code, _layer_with(about.view, units, rows), rows, columns)


def _inputs(code: Code, name: str | None, old: int, new: int) -> Sequence[Edit]:
    """The layer for another number of inputs."""
    call = layer(code, name) if name else None
    size = inputs(call) if call is not None else None
    if size is None:
        found = [each for each in map(inputs, filter(affine, code.calls())) if number(each) == old]
        size = found[0] if len(found) == 1 else None
    return (code.replace(size, str(new)),) if size is not None else ()


def _turned(code: Code, line: int | None) -> Edit | None:
    """Without an exchange of the two axes in a line."""
    for node in ast.walk(code.tree):
        if not isinstance(node, ast.expr) or node.lineno != line:
            continue
        if isinstance(node, ast.Call) and called(node) in TURNS and not is_function(code, node):
            assert isinstance(node.func, ast.Attribute)  # noqa: S101 - a method
            return instead(code, node, node.func.value)
        if isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
            return instead(code, node, node.value)
    return None


def _of_argument(code: Code, line: int | None, name: str, method: str) -> Sequence[Edit]:
    """A method of a tensor that is given to something in a line, and everywhere else where that is called."""
    if line is None:
        return ()
    for call in code.calls(line=line):
        given = [each for each in call.args if ast.unparse(each) == name]
        if given and (isinstance(call.func, ast.Name) or not is_function(code, call)):
            others = [
                each
                for each in code.calls(called(call))
                if each.args and ast.unparse(each.func) == ast.unparse(call.func)
            ]
            return [
                wrapped(code, each.args[call.args.index(given[0])], method)
                for each in others
                if len(each.args) > call.args.index(given[0])
            ]
    return ()


def _channels(code: Code, about: About, sizes: list[int]) -> Sequence[Edit]:
    """A convolution of pictures with another number of channels, or with another order of axes."""
    units, wanted, got = sizes[0], sizes[-2], sizes[-1]
    seen = [
        each
        for each in operands(about.view)
        if len(each.get("shape") or []) in (3, 4) and "weight" not in each["name"]
    ]
    inner = [each for each in seen if each["name"] != "input"] or seen
    if inner and inner[0]["shape"][-1] == wanted and len(inner[0]["shape"]) == 4:
        return _of_argument(code, about.line, inner[0]["name"], "permute(0, 3, 1, 2)")
    if inner and wanted == 1 and len(inner[0]["shape"]) == 3:
        return _of_argument(code, about.line, inner[0]["name"], "unsqueeze(1)")
    named = [
        str(each["name"]) for each in operands(about.view)
        if "Conv" in str(each.get("class")) and list((each.get("parameters") or {}).get("weight") or [])[:1] == [units]
    ]  # fmt: skip
    return _inputs(code, named[-1] if named else None, wanted, got)


def _running(code: Code, about: About, sizes: list[int]) -> Sequence[Edit]:
    got, wanted = sizes
    names = [str(each["name"]) for each in operands(about.view) if "Norm" in str(each.get("class"))]
    call = layer(code, names[-1]) if names else None
    size = inputs(call) if call is not None else None
    return (code.replace(size, str(got)),) if size is not None and got != wanted else ()


def _recurrent(code: Code, about: About, sizes: list[int]) -> Sequence[Edit]:
    names = [
        str(each["name"]) for each in operands(about.view) if each.get("class") in ("RNN", "LSTM", "GRU")
    ]
    call = layer(code, names[-1]) if names else None
    size = argument(call, "input_size", 0) if call is not None else None
    return (code.replace(size, str(sizes[1])),) if size is not None else ()


def _targets(code: Code, about: About, _: list[int]) -> Sequence[Edit]:
    """Targets in the shape of the predictions."""
    pairs = [(each.input, each.target) for each in _same_loss(code, about)]
    edits = [
        alike(code, input, target) for input, target in pairs if input is not None and target is not None
    ]
    return [edit for edit in edits if edit is not None]


def _same_loss(code: Code, about: About) -> list[Loss]:
    here = [each for each in losses(code) if is_on(each.call, about.line)]
    functions = {each.function for each in here}
    return [each for each in losses(code) if each.function in functions]


def _labels(code: Code, about: About, _: list[int]) -> Sequence[Edit]:
    """Labels of one axis: of a column its numbers, of one-hot rows the place of the one."""
    edits = []
    for loss in _same_loss(code, about):
        seen = [
            each["shape"]
            for each in operands(about.view)
            if loss.target is not None and each["name"] in ("target", ast.unparse(loss.target))
        ]
        if loss.target is None or not seen or len(seen[0]) != 2:
            return ()
        edits.append(wrapped(code, loss.target, "squeeze(1)" if seen[0][1] == 1 else "argmax(1)"))
    return edits


def _samples(code: Code, about: About, sizes: list[int]) -> Sequence[Edit]:
    """As many predictions as targets: without a slice of one of them, or without a view of the wrong size."""
    given, wanted = sizes
    for loss in losses(code):
        sliced = [
            each
            for each in (loss.input, loss.target)
            if each is not None and is_on(loss.call, about.line) and _slice(each) is not None
        ]
        if len(sliced) == 1:
            part = _slice(sliced[0])
            return (instead(code, part, part.value),) if part is not None else ()
    views = [
        call
        for call in code.calls("view", "reshape")
        if len(call.args) == 2 and number(call.args[0]) == -1 and number(call.args[1])
    ]
    edits = []
    for call in views if given % wanted == 0 or wanted % given == 0 else ():
        old = int(number(call.args[1]) or 0)
        new = old * given // wanted
        layers = [each for each in map(inputs, filter(affine, code.calls())) if number(each) == old]
        if len(layers) == 1 and len(views) == 1 and layers[0] is not None:
            edits += [code.replace(call.args[1], str(new)), code.replace(layers[0], str(new))]
    return edits


def _slice(node: ast.expr) -> ast.Subscript | None:
    """The part of an expression that takes some positions: ``targets[:, 1:]``."""
    found = (
        each
        for each in ast.walk(node)
        if isinstance(each, ast.Subscript) and isinstance(each.slice, ast.Tuple)
    )
    return next(
        (
            each
            for each in found
            if isinstance(each.slice, ast.Tuple) and isinstance(each.slice.elts[-1], ast.Slice)
        ),
        None,
    )


def _scalar(code: Code, about: About, _: list[int]) -> Sequence[Edit]:
    """The mean of the losses is propagated back."""
    for call in code.calls("backward", line=about.line) if about.line is not None else ():
        if isinstance(call.func, ast.Attribute):
            return (wrapped(code, call.func.value, "mean()"),)
    return ()


def _strided(code: Code, about: About, _: list[int]) -> Sequence[Edit]:
    for call in code.calls("view", line=about.line) if about.line is not None else ():
        if isinstance(call.func, ast.Attribute):
            end = code.span(call.func)[1]
            return (Edit(end - len("view"), end, "reshape"),)
    return ()


def _invalid(code: Code, about: About, _: list[int]) -> Sequence[Edit]:
    """A fixed batch size in a view: -1 stands for what there is."""
    for call in code.calls("view", "reshape", line=about.line) if about.line is not None else ():
        if call.args and number(call.args[0]) != -1 and not any(number(each) == -1 for each in call.args):
            return (code.replace(call.args[0], "-1"),)
        if len(call.args) == 2 and number(call.args[0]) == -1 and isinstance(call.func, ast.Attribute):
            return (code.replace(call, f"{code.segment(call.func.value)}.flatten(1)"),)
    return ()


_ACTS: tuple[tuple[str, Callable[[Code, About, list[int]], Sequence[Edit]]], ...] = (
    (r"cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)", _product),
    (
        r"weight of size \[(\d+), [\d, ]+\], expected input\[[\d, ]+\] to have (\d+) channels, but got (\d+)",
        _channels,
    ),
    (r"running_mean should contain (\d+) elements not (\d+)", _running),
    (r"must be equal to input_size\. Expected (\d+), got (\d+)", _recurrent),
    (r"[Uu]sing a target size|Target size \(.*\) must be the same", _targets),
    (r"multi-target not supported", _labels),
    (r"input batch_size \((\d+)\) to match target batch_size \((\d+)\)", _samples),
    (r"implicitly created only for scalar outputs", _scalar),
    (r"view size is not compatible", _strided),
    (r"shape '.*' is invalid for input of size", _invalid),
)


def _layer_with(view: View, *shape: int) -> str | None:
    """The name of the layer that failed: the innermost whose weight has a shape."""
    names = [
        str(each["name"]) for each in operands(view)
        if list((each.get("parameters") or {}).get("weight") or []) == list(shape)
    ]  # fmt: skip
    return max(names, key=lambda name: name.count("."), default=None)


def _flat(shape: Sequence[int]) -> int:
    """The numbers of one sample."""
    return math.prod(shape[1:])


REMEDY = Remedy(
    says="give the layer or the tensor the size that the error asks for",
    treats={"shape-mismatch": 1},
    costs="nothing",
    not_when="the layer has the right size, and what comes before it is wrong",
    patch=_patch,
)
