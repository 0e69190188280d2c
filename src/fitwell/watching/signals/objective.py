"""What is minimised, read in its graph: with which sign a loss is in it, softmax in softmax, differences that grew.

Losses that are written by hand call no loss function of torch: here they are seen all the same.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from torch import Tensor
from torch.nn.functional import softplus

from fitwell.watching.moments import Backward, LossCall, Step
from fitwell.watching.signal import Signal
from fitwell.watching.source import Where

MOST_NUMBERS = 32_768  # of a prediction
MOST_NODES = 80  # of a graph that are looked at
MOST_PLACES = 20  # of a thread
MOST_THREADS = 50
MOST_CALLS = 64  # of loss functions in one step
TYPICAL = 3  # calls whose graph is described
# What only moves numbers about, or adds them up: the sign stays, and so does what they mean.
VIEWS = (
    "View", "Reshape", "UnsafeView", "Squeeze", "Unsqueeze", "Permute", "Transpose", "T", "Select", "Slice", "ToCopy",
    "Clone", "Alias", "Expand", "Index", "IndexSelect", "Gather", "Cat", "Stack", "Flatten", "Contiguous",
)  # fmt: skip
SUMS = ("Add", "Mean", "Sum", "Div", *VIEWS)
# Here a model's last layer is reached.
LAYERS = (
    "Addmm", "Mm", "Bmm", "Baddbmm", "Convolution", "Embedding", "NativeLayerNorm", "NativeBatchNorm", "AccumulateGrad",
    "Linear", "Mv", "Dot", "ScaledDotProductFlashAttentionForCpu",
)  # fmt: skip
NEARLY = 0.01  # so far beyond its range an output may be asked to go
# What an operation can produce: the lowest and the highest value.
RANGES = {
    "Sigmoid": (0.0, 1.0), "Hardsigmoid": (0.0, 1.0), "Softmax": (0.0, 1.0), "Tanh": (-1.0, 1.0),
    "Relu": (0.0, math.inf), "Softplus": (0.0, math.inf), "Exp": (0.0, math.inf), "Abs": (0.0, math.inf),
    "LogSoftmax": (-math.inf, 0.0), "LogSigmoid": (-math.inf, 0.0),
}  # fmt: skip
NORMALIZED = ("Softmax", "LogSoftmax", "BinaryCrossEntropyWithLogits")


@dataclass
class _Place:
    """A line that calls ``backward``."""

    where: Where | None
    loss_where: Where | None = None
    calls: int = 0
    with_loss: int = 0  # calls in whose graph a loss function or a squared difference was found
    negated: int = 0  # those of them in which it only counts negatively
    likelihood_minimised: int = 0
    softmaxes: list[dict[str, Any]] = field(default_factory=list)
    grown: list[list[int] | None] | None = None  # shapes of prediction and difference
    unreachable: Tensor | None = None  # the share of targets that no prediction can reach
    first: Tensor | None = None  # largest amount of what was minimised in the first calls
    last: Tensor | None = None  # what was minimised last

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        where = self.loss_where or self.where
        return {
            "where": where and where.plain(),
            "calls": self.calls,
            "with_loss": self.with_loss,
            "negated": self.negated,
            "likelihood_minimised": self.likelihood_minimised,
            "softmaxes": self.softmaxes,
            "grown": self.grown,
            "unreachable": None if self.unreachable is None else self.unreachable.item(),
            "values": [_finite(self.first), _finite(self.last)],
        }


@dataclass
class _Thread:
    maximize: bool = False
    places: dict[Where | None, _Place] = field(default_factory=dict)


class _Objective:
    def __init__(self) -> None:
        self._losses: dict[int, Where | None] = {}  # since the last step, by sequence number of the node
        self._found: list[_Place] = []
        self._threads: dict[str, _Thread] = {}
        self._places: dict[Where | None, _Place] = {}

    def on_loss(self, call: LossCall) -> None:
        node = call.value.grad_fn
        if node is not None and len(self._losses) < MOST_CALLS:
            self._losses[node._sequence_nr()] = call.where

    def on_backward(self, backward: Backward) -> None:
        root = next(iter(backward.roots), None)
        node = None if root is None or root.numel() != 1 else root.grad_fn
        if (
            root is None
            or node is None
            or (len(self._places) >= MOST_PLACES and backward.where not in self._places)
        ):
            return
        place = self._places.setdefault(backward.where, _Place(backward.where))
        place.calls += 1
        place.last = value = root.detach().clone().reshape(())
        if place.calls <= TYPICAL:
            place.first = (
                value.abs() if place.first is None else value.abs().maximum(place.first.to(value.device))
            )
        _sign(place, node, self._losses)
        if place.calls <= TYPICAL:
            _describe(place, node)
        self._found.append(place)

    def after_step(self, step: Step) -> None:
        self._losses.clear()
        if step.thread in self._threads or len(self._threads) < MOST_THREADS:
            thread = self._threads.setdefault(step.thread, _Thread())
            groups = [] if step.optimizer is None else step.optimizer.param_groups
            thread.maximize |= bool(groups) and all(group.get("maximize") for group in groups)
            thread.places |= {place.where: place for place in self._found}
        self._found = []

    def facts(self) -> dict[str, Any]:
        return {
            name: {"maximize": thread.maximize, "places": [place.plain() for place in thread.places.values()]}
            for name, thread in self._threads.items()
        }


def _finite(value: Tensor | None) -> float | None:
    number = math.nan if value is None else float(value.item())
    return number if math.isfinite(number) else None


def kind(node: Any) -> str:
    """The operation that a node of a graph is of, as in ``Softmax``."""
    return str(node.name()).removeprefix("torch::autograd::").partition("Backward")[0]


def beneath(node: Any) -> list[Any]:
    """What a node was made from that has a graph."""
    return [below for below, _ in node.next_functions if below is not None]


def _sign(place: _Place, root: Any, losses: dict[int, Where | None]) -> None:
    """Count with which sign this objective contains a loss."""
    signs, likelihoods = set(), set()
    for node, sign in islice(_signed(root, losses), MOST_NODES):
        if node._sequence_nr() in losses:
            place.loss_where = losses[node._sequence_nr()]
            signs.add(sign)
        elif (difference := _squared_error(node)) is not None:
            signs.add(sign)
            place.grown = place.grown or _grown(difference)
            if place.unreachable is None:
                place.unreachable = _unreachable(node, difference)
        elif kind(node) == "LogSoftmax":
            likelihoods.add(sign)
    place.with_loss += bool(signs or likelihoods)
    place.negated += signs == {-1}
    place.likelihood_minimised += likelihoods == {1} and not signs


def _signed(root: Any, losses: dict[int, Where | None]) -> Iterator[tuple[Any, int]]:
    """The nodes that are only added up, scaled or negated to make the root; each with the sign it counts with."""
    queue, seen = deque([(root, 1)]), {root}
    while queue:
        node, sign = queue.popleft()
        yield node, sign
        if node._sequence_nr() in losses or _squared_error(node) is not None:
            continue
        for place, (below, _) in enumerate(node.next_functions):
            factor = _factor(node, place)
            if below is not None and factor and below not in seen:
                seen.add(below)
                queue.append((below, sign * factor))


def _factor(node: Any, place: int) -> int:
    """The sign of what a node does with the operand in this place; 0 if that is not known."""
    name = kind(node)
    if name in ("Neg", "Rsub"):
        return -1
    if name == "Sub":
        return -1 if place else 1
    if name in ("Mul", "Div") and not (name == "Div" and place):
        return _sign_of(node, "_saved_self" if place else "_saved_other")
    return 1 if name in SUMS else 0


def _sign_of(node: Any, saved: str) -> int:
    """The sign of the number that an operand is multiplied with or divided by."""
    try:
        other = getattr(node, saved)
    except (AttributeError, RuntimeError):
        return 0
    if other is None:
        return 1  # a number that needs not be kept
    if not isinstance(other, Tensor) or not other.is_cpu or other.requires_grad or other.is_complex():
        return 0
    if not 0 < other.numel() <= MOST_NUMBERS:
        return 0
    low, high = other.aminmax()
    # Numbers that differ weigh the samples: a likelihood that costs weigh is minimised for a reason.
    return 0 if low != high or low == 0 else -1 if low < 0 else 1


def _squared_error(node: Any) -> Any:
    """The difference between something with a graph and something without that a node squares or makes positive."""
    below = beneath(node)
    if not below or kind(below[0]) != "Sub" or len(beneath(below[0])) != 1:
        return None
    if kind(node) == "Abs" or (kind(node) == "Mul" and len(below) == 2 and below[0] is below[1]):
        return below[0]
    return below[0] if kind(node) == "Pow" and getattr(node, "_saved_exponent", None) == 2 else None


def _describe(place: _Place, root: Any) -> None:
    """What lies between the objective and the last layer of a model."""
    place.softmaxes = [
        _softmax(node) for node in islice(_tail(root), MOST_NODES) if kind(node) in NORMALIZED
    ][:5]


def _tail(root: Any) -> Iterator[Any]:
    queue, seen = deque([root]), {root}
    while queue:
        node = queue.popleft()
        if kind(node) in LAYERS:
            continue
        yield node
        for below in beneath(node):
            if below not in seen:
                seen.add(below)
                queue.append(below)


def _softmax(node: Any) -> dict[str, Any]:
    """A softmax: along which axis, of what shape, and of what."""
    axis, shape = getattr(node, "_saved_dim", None), _shape(node, 0)
    if axis is not None and axis > len(shape or []):
        axis -= 2**64  # of torch's own: -1 as an unsigned number
    below = beneath(node)
    while below and kind(below[0]) in VIEWS:
        below = beneath(below[0])
    if axis is not None and axis < 0 and shape is not None:
        axis += len(shape)
    return {"name": kind(node), "axis": axis, "shape": shape, "of": kind(below[0]) if below else ""}


def _grown(difference: Any) -> list[list[int] | None] | None:
    """The shapes of a prediction and of its difference to a target, where [B, 1] or [B] became [B, B]."""
    (below, number) = next(each for each in difference.next_functions if each[0] is not None)
    before, after = _shape(below, number), _shape(difference, 0)
    if before is None or after is None or len(after) < 2:
        return None
    rows = after[0]
    outer = after[:2] == [rows, rows] and rows > 1 and before in ([rows, 1, *after[2:]], [rows, *after[2:]])
    return [before, after] if outer and before != after else None


def _unreachable(node: Any, difference: Any) -> Tensor | None:
    """Of a difference that is squared: the share of targets beyond the range of the operation that predicts."""
    place = next(number for number, (below, _) in enumerate(difference.next_functions) if below is not None)
    maker = beneath(difference)[0]
    while kind(maker) in VIEWS and beneath(maker):
        maker = beneath(maker)[0]
    if kind(maker) not in RANGES:
        return None
    try:
        output, apart = _output(maker).detach(), node._saved_self.detach()
    except (AttributeError, RuntimeError):  # it keeps none, or what it kept was changed
        return None
    if output.numel() != apart.numel() or not output.numel() or output.numel() > MOST_NUMBERS:
        return None
    output = output.reshape(apart.shape)
    return outside(output + apart if place else output - apart, *RANGES[kind(maker)])


def _output(maker: Any) -> Tensor:
    """What an operation made: most keep it, some keep what they were given.

    Raises:
        AttributeError: it keeps neither.
        RuntimeError: what it kept was changed.
    """
    name = kind(maker)
    if name == "Softplus":
        return softplus(maker._saved_self.detach(), float(maker._saved_beta), float(maker._saved_threshold))
    kept: Tensor = maker._saved_self if name == "Abs" else maker._saved_result
    return kept.detach().abs() if name == "Abs" else kept


def outside(target: Tensor, low: float, high: float) -> Tensor:
    """The share of numbers beyond an interval."""
    return ((target < low - NEARLY) | (target > high + NEARLY)).float().mean()


def _shape(node: Any, number: int) -> list[int] | None:
    """Of what a node made."""
    try:
        return [int(size) for size in node._input_metadata[number].shape]
    except (AttributeError, IndexError, TypeError):
        return None


SIGNAL = Signal(units={}, cost="constant", start=_Objective)
