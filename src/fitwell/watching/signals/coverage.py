"""What training reaches: which parameters get gradient, are held by an optimizer, are frozen, or never ran.

All of it is evidence from the steps that were looked at: a module that did not run in them may run in others.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fitwell.watching.moments import Backward, Call, ModuleCall, Step
from fitwell.watching.names import unwrapped
from fitwell.watching.signal import Signal
from fitwell.watching.source import Where
from fitwell.watching.tensors import KEPT, measurable, norms, thinned

WALKS = 12  # graphs that are searched after each new model or thread
MOST_NODES = 20_000  # that are visited in one of them
LOOKS = 20  # at a thread, after which nobody waits for its parameters to change any more
MOST_LEAVES = 20_000
MOST_THREADS, MOST_MODELS, MOST_NAMES = 50, 20, 20


@dataclass
class _Leaf:
    """A tensor that gradients end in, or that an optimizer holds."""

    reference: weakref.ref[Tensor]
    about: dict[str, Any]
    reached: bool = False
    held: bool = False


@dataclass
class _Model:
    """A module that the program calls. The layers in it go by their paths; its own is empty."""

    reference: weakref.ref[nn.Module]
    name: str
    thread: str | None = None
    looks: int = 0
    inner: set[int] = field(default_factory=set)  # identities of the modules in it
    parameters: int = 0
    frozen: list[str] = field(default_factory=list)
    last: str | None = None  # of the layers with parameters the one that ran last
    trainable: set[str] = field(default_factory=set)  # layers with trainable parameters of their own
    used: set[str] = field(default_factory=set)  # layers that ran, or whose parameters got a gradient


@dataclass
class _Thread:
    """Whether the parameters of a thread have changed."""

    looks: int = 0
    before: list[Tensor] | None = None  # samples from before the step
    changed: bool | Tensor = False


class _Coverage:
    def __init__(self) -> None:
        self._backwards, self._walks = 0, WALKS
        self._where: Where | None = None  # the first backward pass
        self._leaves: list[_Leaf] = []
        self._leaf_of: dict[int, _Leaf] = {}
        self._holders: dict[int, tuple[weakref.ref[Optimizer], int]] = {}
        self._models: dict[int, _Model] = {}
        self._threads: dict[str, _Thread] = {}
        self._ran: dict[int, None] = {}  # modules since the last step, in the order of their last calls

    def on_module(self, call: ModuleCall) -> None:
        module = call.module
        self._ran.pop(id(module), None)
        self._ran[id(module)] = None
        if call.depth or len(self._models) >= MOST_MODELS:
            return
        known = self._models.get(id(module))
        if (known is None or known.reference() is not module) and next(module.parameters(), None) is not None:
            self._models[id(module)] = _Model(weakref.ref(module), type(module).__name__)
            self._walks = WALKS

    def on_backward(self, backward: Backward) -> None:
        self._backwards += 1
        self._where = self._where or backward.where
        if self._walks > 0:
            self._walks -= 1
            for tensor in _leaves(backward.roots):
                self._leaf(tensor).reached = True

    def on_call(self, call: Call) -> None:
        if isinstance(call.on, Optimizer):
            self._hold(call.on)

    def before_step(self, step: Step) -> None:
        known = self._threads.get(step.thread)
        if known is None:
            if len(self._threads) >= MOST_THREADS:
                return
            known = self._threads[step.thread] = _Thread()
            self._walks = WALKS
        if known.changed is not True and known.looks < LOOKS:
            known.before = [sample.clone() for sample in _samples(step)]

    def after_step(self, step: Step) -> None:
        if step.optimizer is None:
            for each in step.parameters:
                self._leaf(each.tensor).held = True
        else:
            self._hold(step.optimizer)
        for identity in self._models.keys() & self._ran.keys():
            self._survey(self._models[identity], step)
        self._ran.clear()
        known = self._threads.get(step.thread)
        if known is not None:
            known.looks += 1
            _compare(known, step)

    def facts(self) -> dict[str, Any]:
        inner = {identity for model in self._models.values() for identity in model.inner}
        models = [model for identity, model in self._models.items() if identity not in inner]
        unheld = [leaf.about for leaf in self._leaves if leaf.reached and not leaf.held]
        return {
            "backwards": self._backwards,
            "where": self._where and self._where.plain(),
            "threads": {n: {"looks": t.looks, "changed": bool(t.changed)} for n, t in self._threads.items()},
            "reached": sum(leaf.reached for leaf in self._leaves),
            "not_in_optimizer": {"count": len(unheld), "tensors": unheld[:MOST_NAMES]},
            "models": [_plain(model) for model in models],
        }

    def _leaf(self, tensor: Tensor) -> _Leaf:
        known = self._leaf_of.get(id(tensor))
        if known is None or known.reference() is not tensor:
            kind = "parameter" if isinstance(tensor, nn.Parameter) else "tensor"
            about = {"model": None, "name": None, "shape": list(tensor.shape), "kind": kind}
            known = self._leaf_of[id(tensor)] = _Leaf(weakref.ref(tensor), about)
            if len(self._leaves) < MOST_LEAVES:
                self._leaves.append(known)
        return known

    def _hold(self, optimizer: Optimizer) -> None:
        count = sum(len(group["params"]) for group in optimizer.param_groups)
        reference, known = self._holders.get(id(optimizer), (None, 0))
        if reference is not None and reference() is optimizer and known == count:
            return
        self._holders[id(optimizer)] = weakref.ref(optimizer), count
        for group in optimizer.param_groups:
            for tensor in group["params"]:
                self._leaf(tensor).held = True

    def _survey(self, model: _Model, step: Step) -> None:
        """Look through the modules of a model that ran."""
        root = model.reference()
        if root is None:
            return
        model.looks += 1
        if id(root) in step.modules:
            model.name, model.thread = step.modules[id(root)], step.thread
        model.inner, model.parameters, model.frozen = set(), 0, []
        paths: dict[int, str] = {}  # of the layers with parameters
        for path, module in root.named_modules():
            layer = unwrapped(path)
            if module is not root:
                model.inner.add(id(module))
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    paths[id(module)] = layer
                    self._parameter(model, layer, name, parameter)
            if id(module) in self._ran:
                model.used.add(layer)
        model.last = next((paths[ran] for ran in reversed(self._ran) if ran in paths), model.last)

    def _parameter(self, model: _Model, layer: str, name: str, parameter: Tensor) -> None:
        model.parameters += 1
        path = f"{layer}.{name}" if layer else name
        leaf = self._leaf_of.get(id(parameter))
        reached = leaf is not None and leaf.reference() is parameter and leaf.reached
        if leaf is not None and reached and not leaf.held:
            leaf.about.update(model=model.name, name=path)
        if not parameter.requires_grad:
            model.frozen.append(path)
            return
        model.trainable.add(layer)
        if reached or parameter.grad is not None:
            model.used.add(layer)


def _leaves(roots: Sequence[Tensor]) -> list[Tensor]:
    """The tensors in which the gradients of a graph end."""
    found = [root for root in roots if root.grad_fn is None and root.requires_grad]
    queue: list[Any] = [root.grad_fn for root in roots if root.grad_fn is not None]
    visited = set(queue)
    while queue and len(visited) < MOST_NODES:
        node = queue.pop()
        if type(node).__name__ == "AccumulateGrad":
            found.append(node.variable)
        for below, _ in node.next_functions:
            if below is not None and below not in visited:
                visited.add(below)
                queue.append(below)
    return found


def _samples(step: Step) -> list[Tensor]:
    return [thinned(each.tensor, KEPT) for each in step.parameters if measurable(each.tensor)]


def _compare(known: _Thread, step: Step) -> None:
    """Find out whether a step changed anything; on another device than the CPU the answer waits there."""
    before, known.before = known.before, None
    after = _samples(step) if before else []
    if not before or not after:
        return
    if [old.shape for old in before] != [new.shape for new in after]:
        known.changed = True
        return
    changed = (norms(torch._foreach_sub(after, before), order=1) != 0).any()
    known.changed = bool(changed) if changed.device.type == "cpu" else changed | known.changed


def _plain(model: _Model) -> dict[str, Any]:
    unused = sorted(model.trainable - model.used)
    return {
        "name": model.name,
        "thread": model.thread,
        "looks": model.looks,
        "parameters": model.parameters,
        "frozen": {"count": len(model.frozen), "names": model.frozen[:MOST_NAMES]},
        "unused": {"count": len(unused), "names": [layer or model.name for layer in unused[:MOST_NAMES]]},
        "last_layer": model.name if model.last == "" else model.last,
    }


SIGNAL = Signal(units={}, cost="parameters", start=_Coverage, parts=("train", "held-out"))
