"""The layers of a model as a program makes them, one by one or in lists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from fitwell.patch import Code, Edit, argument, called
from fitwell.patching.assignments import made
from fitwell.patching.values import value

ACTIVATIONS = ("ReLU", "LeakyReLU", "GELU", "SiLU", "ELU", "Tanh", "Sigmoid")
CHANNELS = ("in_channels", "out_channels")
RECURRENT = ("input_size", "hidden_size")
SIZES = {
    "Linear": ("in_features", "out_features"), "Embedding": ("num_embeddings", "embedding_dim"),
    "Conv1d": CHANNELS, "Conv2d": CHANNELS, "Conv3d": CHANNELS, "ConvTranspose1d": CHANNELS,
    "ConvTranspose2d": CHANNELS, "ConvTranspose3d": CHANNELS, "GRU": RECURRENT, "LSTM": RECURRENT, "RNN": RECURRENT,
}  # fmt: skip
NORMS = {
    "BatchNorm1d": "num_features", "BatchNorm2d": "num_features", "BatchNorm3d": "num_features",
    "LayerNorm": "normalized_shape",
}  # fmt: skip
LISTS = ("Sequential", "ModuleList", "OrderedDict", "extend")
SHIFTS = re.compile(
    r"^(\w+Norm\w*|Dropout\w*|Flatten|Identity|Unflatten)$"
)  # affine for one sample, or in size only
PRODUCTS = re.compile(r"^(Lazy)?(Linear|Conv[123]d|ConvTranspose[123]d)$")


def affine(node: ast.AST | None) -> bool:
    """Whether an affine layer is made."""
    return isinstance(node, ast.Call) and bool(PRODUCTS.match(called(node)))


def items(node: ast.AST) -> list[ast.expr]:
    """What is listed: the arguments of ``nn.Sequential``, or the elements of a list."""
    if isinstance(node, ast.Call) and called(node) in LISTS:
        inner = node.args[0] if len(node.args) == 1 else None
        return items(inner) if isinstance(inner, ast.List | ast.Call) and items(inner) else list(node.args)
    return list(node.elts) if isinstance(node, ast.List | ast.Tuple) else []


def module_of(item: ast.expr) -> ast.expr:
    """The module of an item, which may be a pair of a name and the module."""
    return item.elts[1] if isinstance(item, ast.Tuple) and len(item.elts) == 2 else item


def drop(code: Code, item: ast.expr, listed: list[ast.expr]) -> Edit:
    """A list without one of its items, and without its line if there is nothing else in it."""
    start, end = code.span(item)
    line, next_line = code.text.rfind("\n", 0, start) + 1, code.text.find("\n", end) + 1
    rest = code.text[line:start] + code.text[end : next_line or len(code.text)].split("#")[0]
    if next_line and rest.strip() in ("", ","):
        return Edit(line, next_line, "")
    place = listed.index(item)
    if place:
        return Edit(code.span(listed[place - 1])[1], end, "")
    return Edit(start, code.span(listed[1])[0] if len(listed) > 1 else end, "")


def sequences(code: Code) -> list[list[ast.Call]]:
    """The layers of each ``nn.Sequential`` whose layers are all written out."""
    found = []
    for call in code.calls("Sequential"):
        layers = [each for each in call.args if isinstance(each, ast.Call)]
        if len(layers) == len(call.args) and len(layers) > 1:
            found.append(layers)
    return found


def hidden_activations(code: Code) -> Iterator[tuple[ast.Call, ast.Call]]:
    """Each activation of a sequence that a further layer with weights follows, with the layer whose output it gets."""
    for layers in sequences(code):
        last = max((at for at, each in enumerate(layers) if called(each) in SIZES), default=0)
        for at, layer in enumerate(layers[:last]):
            before = [each for each in layers[:at] if called(each) in SIZES]
            if called(layer) in ACTIVATIONS and before:
                yield before[-1], layer


def before(code: Code, layer: ast.Call, text: str) -> Edit:
    """A further layer before one of a list, on a line of its own if that one has one."""
    start = code.span(layer)[0]
    return Edit(start, start, f"{text},{_gap(code, layer)}")


def after(code: Code, layer: ast.Call, text: str) -> Edit:
    """A further layer after one of a list, on a line of its own if that one has one."""
    end = code.span(layer)[1]
    return Edit(end, end, f",{_gap(code, layer)}{text}")


def _gap(code: Code, layer: ast.Call) -> str:
    """What stands between two layers of a list."""
    start = code.span(layer)[0]
    indent = code.text[code.text.rfind("\n", 0, start) + 1 : start]
    return " " if indent.strip() else f"\n{indent}"


def layer(code: Code, name: str) -> ast.Call | None:
    """The call that makes a layer, by its name at run time: ``self.head.2``; None if it can't be told."""
    parts = [part for part in name.split(".") if part not in ("self", "module")]
    found: Sequence[ast.expr] = []
    for place, part in enumerate(parts):
        if part.isdigit():
            found = [each for holder in found for each in _item(holder, int(part))]
        else:
            rest: list[ast.expr] = list(made(code, part))
            rest += [each for holder in found for each in _named(holder, part)]
            found = rest if rest or place else []
    calls = [each for each in found if isinstance(each, ast.Call)]
    return calls[0] if len(calls) == 1 else None


def _item(holder: ast.expr, place: int) -> list[ast.expr]:
    listed = items(holder)
    starred = any(isinstance(each, ast.Starred) for each in listed[: place + 1])
    return [module_of(listed[place])] if place < len(listed) and not starred else []


def _named(holder: ast.expr, name: str) -> list[ast.expr]:
    pairs = [each for each in items(holder) if isinstance(each, ast.Tuple) and len(each.elts) == 2]
    return [
        each.elts[1]
        for each in pairs
        if isinstance(each.elts[0], ast.Constant) and each.elts[0].value == name
    ]


def inputs(call: ast.Call) -> ast.expr | None:
    """The number of inputs that a layer is made for, as it is written."""
    name = called(call)
    word = NORMS.get(name) or SIZES.get(name, ("",))[0]
    return argument(call, word, 0) if word else None


def outputs(call: ast.Call) -> ast.expr | None:
    """The number of outputs that a layer is made for, as it is written."""
    words = SIZES.get(called(call))
    return argument(call, words[1], 1) if words else None


def last_with(code: Code, size: int) -> ast.Call | None:
    """The layer that gives so many outputs: the only one, or the last of a model."""
    found = [call for call in code.calls() if affine(call) and value(code, outputs(call)) == size]
    heads = [call for call in found if _ends(code, call)]
    chosen = heads or found
    return chosen[0] if len(chosen) == 1 else None


def _ends(code: Code, call: ast.Call) -> bool:
    """Whether it is the last of its list, or of a class."""
    above = code.parent(call)
    if above is not None and items(above):
        return module_of(items(above)[-1]) is call
    return isinstance(above, ast.Assign)


def widths(layer: ast.Call) -> tuple[ast.expr, ast.expr] | None:
    """What a layer with weights takes and what it gives, as they are written."""
    taken, given = (inputs(layer), outputs(layer)) if called(layer) in SIZES else (None, None)
    return (taken, given) if taken is not None and given is not None else None
