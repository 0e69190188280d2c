"""Which tensor is the activation of which layer: of activation modules, and of functions between modules.

A functional activation (``F.relu(self.fc(x))``) is no module, but it is a node of the graph that lies between
the input of one module and the output of another. From a tensor the graph is followed back through views,
pooling and dropout until a node that a module gave as its output; the nodes are known by their sequence
numbers, so that nothing of the graph is kept alive.

Shapes: R rows (samples and positions), U units.
"""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from fitwell.watching import tensors

FURTHEST = 8  # nodes between an input and the output that it was computed from
MOST_NODES = 20_000  # outputs that are remembered, should no step ever come
BATCHES = 8  # that a window has
ENOUGH_BATCHES, ENOUGH_SAMPLES = 4, 512  # either says enough about a unit

MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu", nn.ReLU6: "relu", nn.Threshold: "threshold", nn.LeakyReLU: "leaky_relu",
    nn.PReLU: "prelu", nn.RReLU: "rrelu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.Hardtanh: "hardtanh",
    nn.Softsign: "softsign", nn.Hardsigmoid: "hardsigmoid", nn.Hardswish: "hardswish", nn.GELU: "gelu",
    nn.SiLU: "silu", nn.ELU: "elu",
    nn.SELU: "selu", nn.CELU: "celu", nn.Mish: "mish", nn.Softplus: "softplus", nn.Softmax: "softmax",
    nn.LogSoftmax: "log_softmax", nn.LogSigmoid: "log_sigmoid",
}  # fmt: skip
NODES = {
    "Relu": "relu", "Threshold": "threshold", "LeakyRelu": "leaky_relu", "Tanh": "tanh", "Sigmoid": "sigmoid",
    "Hardsigmoid": "hardsigmoid", "Hardswish": "hardswish", "Gelu": "gelu", "Silu": "silu", "Elu": "elu",
    "Celu": "celu", "Mish": "mish", "Softplus": "softplus", "Softmax": "softmax", "LogSoftmax": "log_softmax",
    "LogSigmoid": "log_sigmoid",
}  # fmt: skip
LIMITED = {
    "ClampBackward1": ("_saved_min", "_saved_max"),
    "ClampMinBackward0": ("_saved_min", ""),
    "HardtanhBackward0": ("_saved_min_val", "_saved_max_val"),
}
# What lies between a layer and the next one. Views keep values, and the maximum of a window is one of them;
# what scales keeps zeros. A product with a constant counts as no affine map: ``x * (x > 0)`` is one.
VIEWS = frozenset({
    "View", "UnsafeView", "ReshapeAlias", "Transpose", "T", "Permute", "Squeeze", "Unsqueeze", "Select",
    "Slice", "Clone", "ToCopy", "Alias", "Expand", "Split", "Unbind",
})  # fmt: skip
MAXIMA = frozenset({
    "MaxPool2DWithIndices", "MaxPool3DWithIndices", "AdaptiveMaxPool2D", "AdaptiveMaxPool3D", "Amax", "Max",
    "Clamp", "ClampMin",
})  # fmt: skip
MEANS = frozenset({
    "AvgPool2D", "AvgPool3D", "AdaptiveAvgPool2D", "AdaptiveAvgPool3D", "Mean", "NativeDropout",
})  # fmt: skip
SCALES = frozenset({"Mul", "Div"})

T = TypeVar("T")


class PerModule(Generic[T]):
    """Something for each module, for as long as that lives.

    Args:
        make: makes it.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._all: dict[int, tuple[weakref.ref[nn.Module], T]] = {}

    def of(self, module: nn.Module) -> T:
        """What belongs to a module; made if there is nothing yet."""
        known = self._all.get(id(module))
        if known is None or known[0]() is not module:
            known = self._all[id(module)] = weakref.ref(module), self._make()
        return known[1]

    def get(self, module: nn.Module) -> T | None:
        """What belongs to a module, if there is anything."""
        known = self._all.get(id(module))
        return known[1] if known is not None and known[0]() is module else None

    def named(self, names: Mapping[int, str]) -> Iterator[tuple[str, nn.Module, T]]:
        """Everything whose module has a name here; what belonged to modules that are gone is forgotten."""
        self._all = {key: entry for key, entry in self._all.items() if entry[0]() is not None}
        for key, (reference, thing) in self._all.items():
            module = reference()
            if module is not None and key in names:
                yield names[key], module, thing


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a tensor comes from.

    Args:
        layer: the last layer with weights.
        units: that this layer has.
        axis: of its units in its output: 1, or -1 for the last one.
        affine: the last linear or convolutional layer, if everything since then is affine.
        kind: the last activation since the layer; "" if there was none.
        by: the module that was this activation, if it was one.
    """

    layer: nn.Module
    units: int
    axis: int
    affine: nn.Module | None = None
    kind: str = ""
    by: nn.Module | None = None


@dataclass(frozen=True, slots=True)
class Activation:
    """The activation of a layer in one call.

    Args:
        origin: its layer, its kind, and the module that computed it.
        values: the tensor, detached, with the units on its last axis.
        exact: whether its values are those of the activation, not scaled by dropout or a mean over positions.
        limits: the lowest and the highest value, of ``hardtanh`` and ``hardsigmoid``.
    """

    origin: Origin
    values: Tensor
    exact: bool
    limits: tuple[float, float] | None


@dataclass(slots=True)
class Window:
    """What was counted of each unit of a layer in the last eight batches.

    Args:
        batches: the counts (U,) and the samples of each.
        now: the same since the last step: several calls in a step are one batch.
        origin: of the activation since the last step.
    """

    batches: deque[tuple[Tensor, int]] = field(default_factory=lambda: deque(maxlen=BATCHES))
    now: tuple[Tensor, int] | None = None
    origin: Origin | None = None

    def add(self, origin: Origin, count_U: Tensor, samples: int) -> None:
        """One more call."""
        if self.now is not None and self.now[0].shape == count_U.shape:
            count_U, samples = self.now[0] + count_U, self.now[1] + samples
        self.now, self.origin = (count_U, samples), origin

    def close(self) -> tuple[Tensor, int] | None:
        """The batch is over; the counts (U,) and the samples of the window, once they say enough."""
        if self.now is None:
            return None
        if self.batches and self.batches[0][0].shape != self.now[0].shape:
            self.batches.clear()
        self.batches.append(self.now)
        self.now, self.origin = None, None
        samples = sum(samples for _, samples in self.batches)
        if len(self.batches) < ENOUGH_BATCHES and samples < ENOUGH_SAMPLES:
            return None
        return torch.stack([count_U for count_U, _ in self.batches]).sum(0), samples


@dataclass(slots=True)
class _Trace:
    """A way back through the graph."""

    origin: Origin | None = None
    kind: str = ""
    limits: tuple[float, float] | None = None
    exact: bool = True
    affine: bool = True


class Activations:
    """Follows the calls of modules in the order in which they return, and finds the activations in it."""

    def __init__(self) -> None:
        self._origins: dict[int, Origin] = {}  # by the sequence number of the node that gave a tensor
        self._latest: Origin | None = None
        self._users: PerModule[set[int]] = PerModule(set)  # the layers that an activation module serves

    def clear(self) -> None:
        """A step is over: its graph is, too."""
        self._origins.clear()
        self._latest = None

    def of(self, module: nn.Module, inputs: Any, output: Any) -> list[Activation]:
        """The activations that a call brings to light: of its input, of its output, of both, or none.

        Args:
            module: that returned.
            inputs: its positional arguments.
            output: what it returned.
        """
        given, result = first_tensor(inputs), first_tensor(output)
        if result is None or result.grad_fn is None:
            return []
        found = []
        layer = is_layer(module)
        if layer and given is not None and given is not result:
            found.append(self.tensor(given))
        if not (layer and has_weights(module)):
            found.append(self.tensor(result, module if layer else None))
        elif isinstance(module, nn.PReLU):
            self._pass_on(module, given, result)
        else:
            found.append(self._layer(module, given, result))
            self._remember(output)
        return [each for each in found if each is not None]

    def origin(self, tensor: Tensor | None) -> Origin | None:
        """Where a tensor comes from that was an input or an output of a module since the last step."""
        node = None if tensor is None else tensor.grad_fn
        return None if node is None else self._origins.get(node._sequence_nr())

    def tensor(self, tensor: Tensor, module: nn.Module | None = None) -> Activation | None:
        """The activation that a tensor is, if it is one that was not met before.

        Args:
            tensor: an input of a module or of a loss, or an output.
            module: that gave it, if it has neither weights nor modules within it.
        """
        node = tensor.grad_fn
        if node is None or node._sequence_nr() in self._origins:
            return None
        trace = _follow(node, self._origins)
        origin = trace.origin or self._latest
        if origin is None:
            return None
        if module is not None:
            _know_by_class(trace, module)
        if trace.kind:
            known = replace(origin, affine=None, kind=trace.kind, by=module)
        else:
            known = replace(origin, affine=origin.affine if trace.affine and trace.origin else None)
        self._origins[node._sequence_nr()] = known
        return self._made(known, tensor, trace)

    def name(self, origin: Origin | None, names: Mapping[int, str]) -> str | None:
        """What an activation is called: as its module, if that serves one layer alone, else as its layer.

        Args:
            origin: of the activation.
            names: of modules, by identity.
        """
        if origin is None:
            return None
        own = origin.by is not None and len(self._users.of(origin.by)) == 1
        return names.get(id(origin.by)) if own else names.get(id(origin.layer))

    def _layer(self, module: nn.Module, given: Tensor | None, output: Tensor) -> Activation | None:
        """A layer with weights returned; its own code may end with an activation."""
        before = self.origin(given)
        affine = module if is_affine(module) else None
        if isinstance(module, _BatchNorm):
            affine = before.affine if before else None
        axis = unit_axis(module, output)
        self._latest = Origin(module, output.shape[axis] if output.dim() else 1, axis, affine)
        node, known = output.grad_fn, self._latest
        if node is None or isinstance(module, (nn.RNNBase, nn.RNNCellBase)):  # their gates are no units
            return None
        trace = _follow(node, {})
        if trace.kind:
            known = replace(known, affine=None, kind=trace.kind)
        self._origins[node._sequence_nr()] = known
        return self._made(known, output, trace)

    def _remember(self, output: Any) -> None:
        """The outputs of a layer that are not known yet, such as the states of a recurrent one."""
        if len(self._origins) > MOST_NODES:
            self._origins.clear()
        for tensor in tensors_in(output):
            if tensor.grad_fn is not None and self._latest is not None:
                self._origins.setdefault(tensor.grad_fn._sequence_nr(), self._latest)

    def _pass_on(self, module: nn.Module, given: Tensor | None, output: Tensor) -> None:
        """An activation that has weights of its own returned."""
        origin = self.origin(given) or self._latest
        if origin is not None and output.grad_fn is not None:
            known = replace(origin, affine=None, kind=MODULES[nn.PReLU], by=module)
            self._origins[output.grad_fn._sequence_nr()] = known

    def _made(self, origin: Origin, tensor: Tensor, trace: _Trace) -> Activation | None:
        if not trace.kind:
            return None
        if origin.by is not None:
            self._users.of(origin.by).add(id(origin.layer))
        values = by_unit(tensor.detach(), origin)
        return None if values is None else Activation(origin, values, trace.exact, trace.limits)


def _follow(node: Any, known: Mapping[int, Origin]) -> _Trace:
    """Follow the graph from a node to the first one that is known, and note what lies between."""
    trace = _Trace()
    for _ in range(FURTHEST):
        trace.origin = known.get(node._sequence_nr())
        if trace.origin is not None:
            return trace
        name = node.name().rstrip("0123456789").removesuffix("Backward")
        if not _pass(trace, node, name):
            return trace
        below = [parent for parent, _ in node.next_functions if parent is not None]
        if len(below) != 1:
            return trace  # a sum or a product: what it is made of is not one layer's
        node = below[0]
    return trace


def _pass(trace: _Trace, node: Any, name: str) -> bool:
    """Note what a node does; tell whether to go on behind it."""
    kind, limits = NODES.get(name, ""), None
    if name in ("Clamp", "ClampMin", "Hardtanh"):
        kind, limits = _limited(node)
    if kind:
        trace.affine = False
        if not trace.kind:
            trace.kind, trace.limits = kind, (0.0, 1.0) if kind == "hardsigmoid" else limits
        return True
    trace.affine &= name in VIEWS or name in MEANS
    if not trace.kind:
        trace.exact &= name in VIEWS or name in MAXIMA
    return name in VIEWS or name in MAXIMA or name in MEANS or name in SCALES


def _limited(node: Any) -> tuple[str, tuple[float, float] | None]:
    """What a clamp is: ``clamp(0)`` a relu, ``clamp(-1, 1)`` a hardtanh, ``clamp(1e-7)`` no activation."""
    low, high = (getattr(node, which, None) for which in LIMITED.get(node.name(), ("", "")))
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float, type(None))):
        return "", None
    if low == 0:
        return "relu", None
    return ("hardtanh", (float(low), float(high))) if high is not None and low < 0 < high else ("", None)


def _know_by_class(trace: _Trace, module: nn.Module) -> None:
    """Prefer what a module's class tells to what the graph does."""
    kind = next((MODULES[each] for each in type(module).__mro__ if each in MODULES), "")
    if not kind:
        # Dropout is a product with a constant; between two linear layers it is no nonlinearity.
        trace.affine |= isinstance(module, _DropoutNd)
        return
    if kind == "hardtanh":
        trace.limits = float(module.min_val), float(module.max_val)  # type: ignore[arg-type]
        kind = "relu" if trace.limits[0] == 0 else kind
    elif kind == "hardsigmoid":
        trace.limits = 0.0, 1.0
    trace.kind, trace.exact = kind, True


def is_layer(module: nn.Module) -> bool:
    """Whether a module is one layer: it has no modules within it but those that make its weights."""
    return set(module._modules.keys()) <= {"parametrizations"} or isinstance(module, nn.MultiheadAttention)


def has_weights(layer: nn.Module) -> bool:
    """Whether a layer has parameters."""
    return "parametrizations" in layer._modules or any(p is not None for p in layer._parameters.values())


def is_affine(module: nn.Module) -> bool:
    """Whether a layer multiplies by weights and adds a bias."""
    return isinstance(module, (nn.Linear, _ConvNd))


def unit_axis(module: nn.Module, output: Tensor) -> int:
    """The axis of a layer's units in its output: 1 for convolutions and their norms, else the last."""
    if isinstance(module, (_ConvNd, _NormBase, nn.GroupNorm)):
        return 1 if output.dim() > 1 else -1
    named = isinstance(module, (nn.Linear, nn.LayerNorm, nn.Embedding, nn.RNNBase))
    return 1 if output.dim() == 4 and not named else -1


def by_unit(tensor: Tensor, origin: Origin) -> Tensor | None:
    """A tensor with the units of its layer on its last axis (a view), or None if it does not have them.

    ``(N, U, ...)`` and ``(N, ..., U)`` are understood, and what ``flatten(1)`` made of them.
    """
    if not measurable(tensor):
        return None
    units, last = origin.units, tensor.dim() - 1
    for axis in (1, last) if origin.axis == 1 else (last, 1):
        if 0 <= axis <= last and tensor.shape[axis] == units:
            return tensor.movedim(axis, -1)
    if last == 1 and origin.axis == 1 and tensor.shape[1] % units == 0:
        return tensor.view(len(tensor), units, -1).movedim(1, -1)
    if last > 1 and math.prod(tensor.shape[1:]) == units:
        return tensor.flatten(1)
    return None


def measurable(tensor: Tensor) -> bool:
    """Whether a tensor has real values that can be read."""
    plain = tensor.layout == torch.strided and tensor.is_floating_point() and tensor.numel() > 0
    return plain and tensors.measurable(tensor)


def rows(values: Tensor, turn: int = 0) -> Tensor:
    """At most 65,536 elements of an activation (..., U) as (R, U): every so many samples and positions.

    Args:
        values: with the units on the last axis.
        turn: with each turn other samples and positions are taken.
    """
    units = values.shape[-1]
    wanted = max(1, tensors.MOST // units)
    excess = values.numel() / units / wanted
    for axis in range(values.dim() - 1) if excess > 1 else ():
        stride = min(values.shape[axis], math.ceil(excess ** (1 / (values.dim() - 1 - axis))))
        if stride > 1:
            values = values[(slice(None),) * axis + (slice(turn % stride, None, stride),)]
            excess /= stride
    return values.reshape(-1, units)[:wanted]


def tensors_in(output: Any) -> Iterator[Tensor]:
    """The tensors in what a module returned: itself, or those in tuples, lists and dicts."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, (tuple, list)):
        for each in output:
            yield from tensors_in(each)
    elif isinstance(output, Mapping):
        for each in output.values():
            yield from tensors_in(each)


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of what a module was given or returned."""
    return output if isinstance(output, Tensor) else next(tensors_in(output), None)
