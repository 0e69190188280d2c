"""Where the first NaN or infinity came from: a module, a function between modules, a gradient.

It was made where everything before is still finite. Modules are watched as they return; for functions the
graph is followed from a loss that is not finite to the earliest node that made such a value of finite ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from fitwell.watching.activations import tensors_in
from fitwell.watching.moments import Backward, LossCall, ModuleCall, Named, Step
from fitwell.watching.signal import Signal
from fitwell.watching.source import where
from fitwell.watching.tensors import dense, measurable, norms, thinned

MOST_NODES = 300  # of a graph that are followed
MOST_LAYERS = 10  # that are named
RESULTS = ("_saved_result", "_saved_output")
# Functions whose nodes keep the input, not the result: it is computed again.
AGAIN: dict[str, Callable[..., Tensor]] = {
    "Log": torch.log,
    "Log2": torch.log2,
    "Log10": torch.log10,
    "Log1P": torch.log1p,
    "Acos": torch.acos,
    "Asin": torch.asin,
    "Atanh": torch.atanh,
    "Div": torch.div,
    "Pow": torch.pow,
}
SECOND = {"Div": "other", "Pow": "exponent"}  # the other argument


class _NonFinite:
    def __init__(self) -> None:
        self._module: tuple[int, dict[str, Any]] | None = None  # the first since the last step
        self._loss: dict[str, Any] | None = None
        self._operation: dict[str, Any] | None = None
        self._first: dict[str, dict[str, Any]] = {}  # by thread

    def on_module(self, call: ModuleCall) -> None:
        if self._module is None and not all(_looks_finite(each) for each in tensors_in(call.output)):
            self._module = id(call.module), _about(call)

    def on_loss(self, loss: LossCall) -> None:
        if self._loss is None and not _is_finite(loss.value):
            self._loss = {
                "function": loss.function,
                "input_finite": _is_finite(loss.input),
                "input": span(loss.input),
                "target": span(loss.target) if isinstance(loss.target, Tensor) else None,
                "where": loss.where.plain() if loss.where else None,
            }

    def on_backward(self, backward: Backward) -> None:
        bad = next((root for root in backward.roots if not _is_finite(root)), None)
        if bad is None:
            return
        if self._loss is None:
            self._loss = {"function": "", "where": backward.where.plain() if backward.where else None}
        if self._operation is None and bad.grad_fn is not None and not self._first:
            self._operation = culprit(bad.grad_fn)

    def after_step(self, step: Step) -> None:
        layers, flag = _not_finite(step.parameters, step.gradients)
        bad = bool(layers) or self._loss is not None
        step.record("nonfinite", float(bad) if flag is None else flag)
        if bad and step.thread not in self._first:
            first = {"step": step.number, **self._now(), "gradients": layers}
            if self._module is not None:
                first["module"] = {"name": step.modules.get(self._module[0])} | self._module[1]
            self._first[step.thread] = first
        self._module = self._loss = self._operation = None

    def _now(self) -> dict[str, Any]:
        module = self._module[1] if self._module is not None else None
        return {"loss": self._loss, "module": module, "operation": self._operation}

    def facts(self) -> dict[str, Any]:
        """By thread: the first step that was not finite and what made it so; a loss that no step followed."""
        pending = {"pending": self._now()} if self._loss is not None else {}
        return {"first": self._first, **pending} if self._first or pending else {}


def _about(call: ModuleCall) -> dict[str, Any]:
    """A module whose output is not finite: whether that is its own doing."""
    inputs = [each for each in tensors_in(call.inputs) if measurable(each)]
    parameters = [each for each in call.module.parameters() if measurable(each)]
    line = where()
    return {
        "class": type(call.module).__name__,
        "inputs_finite": all(_is_finite(each) for each in inputs),
        "parameters_finite": all(_is_finite(each) for each in parameters),
        "input": span(inputs[0]) if inputs else None,
        "where": line.plain() if line else None,
    }


def culprit(root: Any) -> dict[str, Any] | None:
    """The earliest node of a graph that made something that is not finite of finite inputs, as JSON.

    Args:
        root: the node of a tensor that is not finite.
    """
    made = (node for node in _nodes(root) if _made_it(node))
    node = min(made, key=lambda each: int(each._sequence_nr()), default=None)
    if node is None:
        return None
    name = _name(node)
    inputs = {"self": span(_saved(node, "_saved_self"))}
    if name in SECOND:
        inputs[SECOND[name]] = span(_saved(node, f"_saved_{SECOND[name]}"))
    return {"operation": name.lower(), "inputs": {which: each for which, each in inputs.items() if each}}


def _nodes(root: Any) -> Iterator[Any]:
    seen, queue = {root}, [root]
    while queue and len(seen) < MOST_NODES:
        node = queue.pop(0)
        yield node
        for below, _ in node.next_functions:
            if below is not None and below not in seen:
                seen.add(below)
                queue.append(below)


def _name(node: Any) -> str:
    return str(node.name()).rstrip("0123456789").removesuffix("Backward")


def _made_it(node: Any) -> bool:
    """Whether a node's inputs are finite, as far as it kept them, and its result is not."""
    kept = {name: _saved(node, name) for name in dir(node) if name.startswith("_saved_")}
    results = [kept.pop(name) for name in RESULTS if name in kept]
    if not all(_is_finite(each) for each in kept.values() if isinstance(each, Tensor)):
        return False
    if not results:
        results = [_again(_name(node), kept)]
    return not all(_is_finite(each) for each in results if isinstance(each, Tensor))


def _again(name: str, kept: dict[str, Any]) -> Any:
    """The result of a node that did not keep it, if it kept what that takes: of a quotient the divisor."""
    given, second = kept.get("_saved_self"), kept.get(f"_saved_{SECOND.get(name)}")
    if name == "Div" and given is None:
        given = 1.0
    if name not in AGAIN or given is None or (name in SECOND and second is None):
        return None
    return AGAIN[name](given, second) if name in SECOND else AGAIN[name](given)


def _saved(node: Any, name: str) -> Any:
    """What a node saved, unless to read it would run somebody's hooks (of ``checkpoint``), or it is gone."""
    raw = getattr(node, name.replace("_saved_", "_raw_saved_"), None)
    try:
        if raw is not None and getattr(raw, "unpack_hook", raw) is not None:
            return None
        return getattr(node, name, None)
    except RuntimeError:  # freed, or changed in place since
        return None


def span(tensor: Any) -> list[float | None] | None:
    """The least and the greatest finite value of a tensor on the CPU; of a number twice itself."""
    if isinstance(tensor, (int, float)):
        return [tensor, tensor]
    if not isinstance(tensor, Tensor) or not tensor.is_cpu or tensor.is_complex() or not tensor.numel():
        return None
    if not measurable(tensor) and tensor.is_floating_point():
        return None
    values = dense(tensor)
    values = values[values.isfinite()]
    return [values.min().item(), values.max().item()] if values.numel() else None


def _looks_finite(tensor: Tensor) -> bool:
    """Whether a sample of a tensor is finite; True where asking would make the program wait."""
    if not tensor.is_cpu or not measurable(tensor) or tensor.is_sparse:
        return True
    sample = thinned(tensor)
    return bool(sample.sum().isfinite()) or _is_finite(sample)  # finite numbers may have an infinite sum


def _is_finite(tensor: Tensor) -> bool:
    """Whether all of a tensor is finite; True where asking would make the program wait."""
    return not tensor.is_cpu or not measurable(tensor) or bool(dense(tensor).isfinite().all())


def _not_finite(
    parameters: Sequence[Named], gradients: Sequence[Tensor | None]
) -> tuple[list[str], Tensor | None]:
    """The layers whose gradients are not finite; on another device a 0-d tensor tells if there are any."""
    pairs = [
        (each.layer, g)
        for each, g in zip(parameters, gradients, strict=True)
        if g is not None and measurable(g)
    ]
    present = [(layer, numbers) for layer, g in pairs if (numbers := dense(g)).numel()]
    if not present:
        return [], None
    fine_T = norms([g for _, g in present], float("inf")).isfinite()
    if not fine_T.is_cpu:
        return [], (~fine_T.all()).float()
    if bool(fine_T.all()):
        return [], None
    bad = [layer for (layer, _), fine in zip(present, fine_T.tolist(), strict=True) if not fine]
    return list(dict.fromkeys(bad))[:MOST_LAYERS], None


SIGNAL = Signal(units={"nonfinite": ""}, cost="parameters", start=_NonFinite)
