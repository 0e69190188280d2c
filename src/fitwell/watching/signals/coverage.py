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

from fitwell.watching.moments import Backward, Call, LossCall, ModuleCall, Step
from fitwell.watching.names import unwrapped
from fitwell.watching.signal import Signal
from fitwell.watching.source import Where
from fitwell.watching.tensors import KEPT, measurable, norms, thinned

WALKS = 12  # graphs that are searched after each new model or thread
MOST_NODES = 20_000  # that are visited in one of them
LOOKS = 20  # at a thread, after which nobody waits for its parameters to change any more
MOST_LEAVES = 20_000
FLAT = ("SignBackward", "RoundBackward", "FloorBackward", "CeilBackward", "TruncBackward", "SgnBackward")
MOST_THREADS, MOST_MODELS, MOST_NAMES = 50, 20, 20


@dataclass
class _Leaf:
    """A tensor that gradients end in, or that an optimizer holds."""

    reference: weakref.ref[Tensor]
    about: dict[str, Any]
    reached: bool = False
    again: int = 0  # graphs that it was found in: an input is in one, a weight in all
    held: bool = False
    loaded: bool = False  # from weights that were learned before

    @property
    def learned(self) -> bool:
        """Whether its value is worth keeping: it was trained, or loaded."""
        return self.loaded or (self.reached and self.held)


@dataclass
class _Optimizer:
    """An optimizer that was made or called."""

    reference: weakref.ref[Optimizer]
    kind: str
    where: Where | None
    leaves: list[_Leaf]
    stepped: bool = False

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "kind": self.kind,
            "where": self.where and self.where.plain(),
            "parameters": len(self.leaves),
            "reached": sum(leaf.reached for leaf in self.leaves),
            "stepped": self.stepped,
        }


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
    blank_held: int = 0  # of their parameters those that an optimizer holds
    blank: set[str] = field(
        default_factory=set
    )  # layers with frozen parameters that were never trained nor loaded
    last: str | None = None  # of the layers with parameters the one that ran last
    trainable: set[str] = field(default_factory=set)  # layers with trainable parameters of their own
    weighted: set[str] = field(default_factory=set)  # those of them whose weights are: more than biases
    used: set[str] = field(default_factory=set)  # layers that ran, or whose parameters got a gradient


@dataclass
class _Thread:
    """Whether the parameters of a thread have changed, and what gradients reach of them."""

    looks: int = 0
    parameters: int = 0  # that require a gradient, at most
    leaves: list[_Leaf] = field(default_factory=list)  # of them
    layers: dict[str, list[_Leaf]] = field(default_factory=dict)  # the same by layer, as they ran
    where: Where | None = None  # where its optimizer was made
    before: list[Tensor] | None = None  # samples from before the step
    changed: bool | Tensor = False
    ran: int = 0  # steps in which modules were seen to run in training mode
    detached_losses: int = 0  # steps in which a loss had no graph, though gradients were wanted


class _Coverage:
    def __init__(self) -> None:
        self._backwards, self._walks = 0, WALKS
        self._where: Where | None = None  # the first backward pass
        self._without_graph = 0  # backward passes from values that no parameter leads to
        self._flat: dict[str, None] = {}  # operations in the graphs whose derivative is zero everywhere
        self._leaves: list[_Leaf] = []
        self._leaf_of: dict[int, _Leaf] = {}
        self._optimizers: dict[int, _Optimizer] = {}
        self._models: dict[int, _Model] = {}
        self._threads: dict[str, _Thread] = {}
        # Modules since the last step as they ran last, and whether in training mode.
        self._ran: dict[int, bool] = {}
        self._detached = False  # a loss without a graph was computed since then, with gradients on

    def on_loss(self, loss: LossCall) -> None:
        # Where a score is computed without gradients, what the model said still has a graph.
        graph = loss.value.requires_grad or loss.input.requires_grad
        self._detached |= not graph and any(self._ran.values())

    def on_module(self, call: ModuleCall) -> None:
        module = call.module
        self._ran.pop(id(module), None)
        self._ran[id(module)] = module.training
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
            for tensor in _leaves(backward.roots, self._flat):
                leaf = self._leaf(tensor)
                leaf.reached, leaf.again = True, leaf.again + 1
        if all(root.grad_fn is None for root in backward.roots):
            self._without_graph += 1
            if not self._threads:  # there may never be a step
                self._survey_all(None)

    def on_call(self, call: Call) -> None:
        if isinstance(call.on, Optimizer):
            optimizer = self._hold(call.on, call.where if call.what == "made" else None)
            optimizer.stepped |= call.what in ("step", "first step")
        elif call.what == "load" and isinstance(call.on, nn.Module):
            for parameter in call.on.parameters():
                self._leaf(parameter).loaded = True

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
            self._hold(step.optimizer).stepped = True
        self._survey_all(step)
        known = self._threads.get(step.thread)
        if known is not None:
            known.looks += 1
            known.ran += any(self._ran.values())
            known.detached_losses += self._detached
            self._learn(known, step)
            _compare(known, step)
        self._ran.clear()
        self._detached = False
        for identity, model in self._models.items():  # it may have run before the step of another thread
            if identity in step.modules and model.thread is None:
                model.name, model.thread = step.modules[identity], step.thread

    def facts(self) -> dict[str, Any]:
        inner = {identity for model in self._models.values() for identity in model.inner}
        models = [model for identity, model in self._models.items() if identity not in inner]
        unheld = [leaf for leaf in self._leaves if leaf.reached and not leaf.held]
        parameters = [leaf for leaf in unheld if leaf.about["kind"] == "parameter"]
        return {
            "backwards": self._backwards,
            "without_graph": self._without_graph,
            "where": self._where and self._where.plain(),
            "threads": {name: _about(thread) for name, thread in self._threads.items()},
            "reached": sum(leaf.reached for leaf in self._leaves),
            "reached_parameters": sum(
                leaf.reached and leaf.about["kind"] == "parameter" for leaf in self._leaves
            ),
            "not_in_optimizer": {
                "count": len(unheld),
                "parameters": len(parameters),
                "forgotten": sum(not leaf.loaded for leaf in parameters),
                "plain": sum(_is_weight(leaf) for leaf in unheld),
                "tensors": [leaf.about for leaf in unheld[:MOST_NAMES]],
            },
            "flat_operations": list(self._flat),
            "optimizers": [each.plain() for each in self._optimizers.values()][:MOST_NAMES],
            "idle_optimizers": [each.plain() for each in self._optimizers.values() if self._idle(each)],
            "models": [_plain(model) for model in models],
        }

    def _idle(self, optimizer: _Optimizer) -> bool:
        """Whether it never stepped, though no other one that did holds what gradients reach in it."""
        busy = {id(leaf) for each in self._optimizers.values() if each.stepped for leaf in each.leaves}
        left = [leaf for leaf in optimizer.leaves if leaf.reached and id(leaf) not in busy]
        return not optimizer.stepped and bool(left)

    def _leaf(self, tensor: Tensor) -> _Leaf:
        known = self._leaf_of.get(id(tensor))
        if known is None or known.reference() is not tensor:
            kind = "parameter" if isinstance(tensor, nn.Parameter) else "tensor"
            about = {"model": None, "name": None, "shape": list(tensor.shape), "kind": kind}
            known = self._leaf_of[id(tensor)] = _Leaf(weakref.ref(tensor), about)
            if len(self._leaves) < MOST_LEAVES:
                self._leaves.append(known)
        return known

    def _hold(self, optimizer: Optimizer, where: Where | None = None) -> _Optimizer:
        count = sum(len(group["params"]) for group in optimizer.param_groups)
        known = self._optimizers.get(id(optimizer))
        if known is None or known.reference() is not optimizer:
            known = _Optimizer(weakref.ref(optimizer), type(optimizer).__name__, where, [])
            if id(optimizer) in self._optimizers:  # it is gone, and another one has its place in memory
                self._optimizers[-len(self._optimizers)] = self._optimizers.pop(id(optimizer))
            self._optimizers[id(optimizer)] = known
        if len(known.leaves) != count:
            known.leaves = [self._leaf(p) for group in optimizer.param_groups for p in group["params"]]
            for leaf in known.leaves:
                leaf.held = True
        return known

    def _learn(self, thread: _Thread, step: Step) -> None:
        """What gradients reach of a thread's parameters, and in which order its layers ran."""
        if step.optimizer is not None:
            thread.where = self._hold(step.optimizer).where
        thread.leaves = [self._leaf(each.tensor) for each in step.parameters]
        thread.parameters = max(thread.parameters, len(thread.leaves))
        by_layer: dict[str, list[_Leaf]] = {}
        for each, leaf, gradient in zip(step.parameters, thread.leaves, step.gradients, strict=True):
            leaf.reached |= gradient is not None
            by_layer.setdefault(each.layer, []).append(leaf)
        ran = [
            step.modules[identity]
            for identity, mode in self._ran.items()
            if mode and identity in step.modules
        ]
        found = {layer: by_layer[layer] for layer in ran if layer in by_layer}
        thread.layers = thread.layers if len(thread.layers) > len(found) else found

    def _survey_all(self, step: Step | None) -> None:
        for identity in self._models.keys() & self._ran.keys():
            self._survey(self._models[identity], step)

    def _survey(self, model: _Model, step: Step | None) -> None:
        """Look through the modules of a model that ran."""
        root = model.reference()
        if root is None:
            return
        model.looks += 1
        if step is not None and id(root) in step.modules:
            model.name, model.thread = step.modules[id(root)], step.thread
        model.inner, model.parameters, model.frozen = set(), 0, []
        model.blank, model.blank_held = set(), 0
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
            if leaf is None or leaf.reference() is not parameter or not leaf.learned:
                model.blank.add(layer)
                model.blank_held += leaf is not None and leaf.reference() is parameter and leaf.held
            return
        model.trainable.add(layer)
        if parameter.dim() > 1 or name != "bias":
            model.weighted.add(layer)
        if reached or parameter.grad is not None:
            model.used.add(layer)


def _is_weight(leaf: _Leaf) -> bool:
    """Whether a tensor that is no parameter of a module is used as one: in graph after graph, and still alive."""
    return leaf.about["kind"] == "tensor" and leaf.again > 1 and leaf.reference() is not None


def _leaves(roots: Sequence[Tensor], flat: dict[str, None]) -> list[Tensor]:
    """The tensors in which the gradients of a graph end; operations without a derivative are added to ``flat``."""
    found = [root for root in roots if root.grad_fn is None and root.requires_grad]
    queue: list[Any] = [root.grad_fn for root in roots if root.grad_fn is not None]
    visited = set(queue)
    while queue and len(visited) < MOST_NODES:
        node = queue.pop()
        kind = type(node).__name__.rstrip("0123456789")
        if kind in FLAT:
            flat[kind.removesuffix("Backward").lower()] = None
        if kind == "AccumulateGrad":
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


def _about(thread: _Thread) -> dict[str, Any]:
    """As JSON; ``cut`` are the layers that ran before all those that gradients reach."""
    cut: list[str] = []
    for layer, leaves in thread.layers.items():
        if any(leaf.reached for leaf in leaves):
            break
        if not any(leaf.learned for leaf in leaves):
            cut.append(layer)
    else:
        cut = []  # nothing is reached: no layer stands apart
    unreached = [
        layer
        for layer, leaves in thread.layers.items()
        if not any(leaf.reached or leaf.learned for leaf in leaves)
    ]
    return {
        "looks": thread.looks,
        "changed": bool(thread.changed),
        "parameters": thread.parameters,
        "of_modules": sum(leaf.about["kind"] == "parameter" for leaf in thread.leaves),
        "reached": sum(leaf.reached for leaf in thread.leaves),
        "cut": {"count": len(cut), "names": cut[:MOST_NAMES]},
        "unreached": {"count": len(unreached), "names": unreached[:MOST_NAMES]},
        "ran": thread.ran,
        "detached_losses": thread.detached_losses,
        "where": thread.where and thread.where.plain(),
    }


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
        "blank_head": model.last in model.blank and model.last not in model.weighted,
        "blank_held": model.blank_held,
    }


SIGNAL = Signal(units={}, cost="parameters", start=_Coverage, parts=("train", "held-out"))
