"""What a model computes, tried on the inputs of one of its calls; only ever in a forked child: it changes the model.

Every run starts from the same random state and is in evaluation mode, so that two runs differ by their inputs alone.

Shapes: N rows of the inputs (samples, if the first axis is the batch).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._python_dispatch import TorchDispatchMode

from fitwell.watching.activations import is_affine, tensors_in
from fitwell.watching.source import where

SAME = 1e-4  # of the size of the outputs: a smaller difference is rounding
SHARE_OF_TIME = 0.6  # after which no further test is begun
FAR = 3.0  # affinity is tried on 3 x - 2 y, far from both
MOST_LINKS = 6
HALF = 0.5  # what an operation is not told is its default
DROPOUTS = frozenset({"aten::bernoulli_", "aten::native_dropout"})
NOISE = frozenset({"aten::randn", "aten::randn_like", "aten::rand", "aten::rand_like", "aten::normal_", "aten::normal",
                   "aten::uniform_", "aten::bernoulli"})  # fmt: skip

PRODUCTS = frozenset({"mm", "addmm", "convolution", "linear", "mkldnn_convolution", "_mkldnn_linear"})
LINEAR = PRODUCTS | {
    "t", "view", "_unsafe_view", "reshape", "_reshape_alias", "transpose", "permute", "squeeze", "unsqueeze", "expand",
    "clone", "detach", "alias", "_to_copy", "to", "lift_fresh", "slice", "select", "split", "unbind", "cat", "stack",
    "contiguous", "empty", "empty_like", "native_batch_norm", "_native_batch_norm_legit_no_training", "embedding",
    "mean", "sum", "add", "sub", "avg_pool1d", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_avg_pool1d",
    "max_pool2d_with_indices", "adaptive_max_pool2d", "native_dropout", "constant_pad_nd", "upsample_nearest2d",
    "bernoulli", "div", "copy", "_native_batch_norm_legit", "cudnn_batch_norm", "native_batch_norm_backward",
}  # fmt: skip


@dataclass
class Subject:
    """A model and the inputs of one of its calls.

    Args:
        model: is changed by what is tried.
        inputs: its arguments, those with a name last.
        names: of these.
        independent: whether the rows are known to be samples that have nothing to do with each other.
        either: whether they are that or the columns are, as with texts that are given as one character a row.
    """

    model: nn.Module
    inputs: Sequence[Any]
    names: Sequence[str] = ()
    independent: bool = False
    either: bool = False

    @property
    def rows(self) -> int:
        """N: the length of the first input tensor with an axis; 0 if there is none."""
        return next((len(t) for t in self.inputs if isinstance(t, Tensor) and t.dim()), 0)

    def run(self, change: Callable[[Tensor], Tensor] | None = None, seed: int = 0) -> list[Tensor]:
        """The floating outputs, those of N rows if there are any, with changed inputs."""
        self._seed(seed)
        changed = [change(t) if change and self.is_data(t) else _copy(t) for t in self.inputs]
        positional = len(changed) - len(self.names)
        named = dict(zip(self.names, changed[positional:], strict=True))
        found = [t for t in tensors_in(self.model(*changed[:positional], **named)) if t.is_floating_point()]
        return [t for t in found if t.dim() and len(t) == self.rows] or found

    def is_data(self, thing: Any) -> bool:
        """Whether an input is a tensor of N rows."""
        return isinstance(thing, Tensor) and thing.dim() > 0 and len(thing) == self.rows

    @staticmethod
    def _seed(seed: int) -> None:
        import numpy as np

        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)


def examine(subject: Subject, seconds: float) -> dict[str, Any]:
    """What could be found out in this time; a test that can't be made is left out.

    Returns:
        ``random``: see ``randomness``; ``mixed``: the share of the other samples that change with one of them;
        ``ignored``: see ``ignorance``; ``affine``: see ``affinity``; ``dropout``: the largest probability in training.
    """
    begin, found = time.monotonic(), dict[str, Any]()
    tests: dict[str, Callable[[Subject], Any]] = {
        "random": randomness, "mixed": mixing, "ignored": ignorance, "affine": affinity, "dropout": dropout,
    }  # fmt: skip
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        subject.model.eval()
        for name, test in tests.items():
            try:
                found[name] = test(subject)
            except Exception as error:  # such as an input that this model can't take
                found.setdefault("failed", {})[name] = f"{type(error).__name__}: {error}"[:200]
            slow = time.monotonic() - begin > SHARE_OF_TIME * seconds
            if slow or found.get("random", {"repeats": False})["repeats"] is False:
                break
    return found


def randomness(subject: Subject) -> dict[str, Any]:
    """Whether chance has a part in the output in evaluation mode.

    Returns:
        ``repeats``: whether equal inputs and an equal random state give equal outputs, which they do unless the model
        keeps a state; ``differs``: whether another random state gives others; ``dropout`` and ``noise``: the line of a
        dropout that is at work, and of other random numbers that are drawn, if there are any.
    """
    with _Dropouts() as seen:
        first = subject.run()
    repeats = _same(first, subject.run())
    differs = repeats and not _same(first, subject.run(seed=1))
    lines = {"dropout": next(iter(seen.places), None), "noise": next(iter(seen.noise), None)}
    return {"repeats": repeats, "differs": differs} | lines


def mixing(subject: Subject) -> float | None:
    """The share of the other rows of the output that change when one row of the inputs is exchanged for another.

    None unless the rows are independent samples, as far as can be known.
    """
    if not (subject.independent or subject.either) or _interacts(subject):
        return None
    shares = [_mixed(subject, axis) for axis in range(1 if subject.independent else 2)]
    return None if None in shares else min(share for share in shares if share is not None)


def _mixed(subject: Subject, axis: int) -> float | None:
    """The same, if the samples lie on this axis of the inputs and of the output."""
    shape = next(t.shape for t in subject.inputs if subject.is_data(t))
    before, count = subject.run(), shape[axis]
    if not before or count < 3 or before[0].shape == (count, count):
        return None
    lead = shape[: axis + 1]  # what the output begins with
    if before[0].shape[: axis + 1] != lead and len(before[0]) != lead.numel():
        return None

    def by_sample(output: Tensor) -> Tensor:
        return output.reshape(*lead, -1).movedim(axis, 0)

    largest = 0.0
    for row in (0, count // 2, count - 1):
        after = subject.run(lambda t, row=row: _exchanged(t, row, axis) if t.dim() > axis else t.clone())  # type: ignore[misc]
        changed_N = _changed_rows(by_sample(before[0]), by_sample(after[0]))
        largest = max(largest, (int(changed_N.sum()) - int(changed_N[row])) / (count - 1))
    return largest


def ignorance(subject: Subject) -> str | None:
    """Whether the output stays the same whatever the input: ``no``, ``now``, ``never`` with other weights, either.

    ``constant`` says that the model is given one number and nothing else, so that there is nothing to tell samples by.
    """
    data = [t for t in subject.inputs if subject.is_data(t)]
    if not data:
        return None
    if all(bool((t == t.flatten()[0]).all()) for t in data):
        alone = len(data) == len(list(tensors_in(list(subject.inputs)))) and not _interacts(subject)
        plain = (
            data[0].is_floating_point()
            and not data[0].requires_grad
            and data[0].dim() > 1
            and data[0][0].numel() > 1
        )
        return "constant" if alone and plain and subject.rows >= MOST_LINKS else None
    if not _constant(subject):
        return "no"
    _initialize(subject.model)
    return "never" if _constant(subject) else "now"


def _constant(subject: Subject) -> bool:
    before = subject.run()
    others = (subject.run(lambda t: t.roll(1, 0)), subject.run(_shuffled))
    return bool(before) and all(_same(before, after, exactly=True) for after in others)


def affinity(subject: Subject) -> dict[str, Any] | None:
    """How far the model is from one affine map; None if fewer than two layers multiply by weights.

    Returns:
        ``error``: see ``_distance``; ``activations``: nonlinear operations before the last product with weights,
        pooling left out; ``layers``: that multiply by weights; ``redundant``: pairs of these in a row that do no
        more than one could, if the model is affine, or is but for pooling.
    """
    layers = [module for module in subject.model.modules() if is_affine(module)]
    matrices = len(layers) + _own_matrices(subject.model)
    if matrices < 2:
        return None
    _initialize(subject.model)
    with _Taps(layers) as taps, _Operations() as seen:
        subject.run()
    error, activations = _distance(subject, layers), seen.nonlinear()
    linear = activations == 0 or (error is not None and error < SAME * 10)
    order = list(taps.order)
    redundant = (_redundant(subject, order) if len(order) > 1 else len(order) == 0) if linear else 0
    return {"error": error, "activations": activations, "layers": matrices, "redundant": int(redundant)}


def _distance(subject: Subject, layers: Sequence[nn.Module]) -> float | None:
    """The error of f(3x - 2y) = 3 f(x) - 2 f(y) on random inputs, relative to how far the outputs lie apart.

    Of the output or of the last affine layer, whichever is smaller: a softmax at the end makes no difference.
    """
    floats = [t for t in subject.inputs if subject.is_data(t) and t.dtype in (torch.float32, torch.float64)]
    if not floats:
        return None
    generator = torch.Generator().manual_seed(0)
    x, y = (
        {id(t): torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in floats} for _ in range(2)
    )
    runs = []
    for near, far in ((1.0, 0.0), (0.0, 1.0), (FAR, 1 - FAR)):

        def mixed(t: Tensor, near: float = near, far: float = far) -> Tensor:
            return near * x[id(t)] + far * y[id(t)] if id(t) in x else t.clone()

        runs.append(_tapped(subject, layers, mixed))
    errors = [_affine_error(*(run[which] for run in runs)) for which in range(2)]
    return min((error for error in errors if error is not None), default=None)


def _tapped(
    subject: Subject, layers: Sequence[nn.Module], change: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """The output of the model and that of the last affine layer in it."""
    with _Taps(layers) as taps:
        output = subject.run(change)[0]
    return [output, output if taps.last is None else taps.last]


def dropout(subject: Subject) -> float:
    """The largest probability with which dropout is at work in training mode; 0 if none is."""
    subject.model.train()
    with _Dropouts() as seen:
        subject.run()
    return max(seen.probabilities, default=0.0)


def _redundant(subject: Subject, order: Sequence[nn.Module]) -> int:
    """Pairs of layers in a row between which the width is no bottleneck: one layer could do the same."""
    found = 0
    for first, second in pairwise(order[: MOST_LINKS + 1]):
        with _Taps([first, second]) as taps:
            subject.run()
            sizes, before = dict(taps.sizes), taps.given[second]
            taps.shifted = first
            subject.run()
            linked = not torch.equal(before, taps.given[second])
        low, middle, high = sizes[first][0], sizes[first][1], sizes[second][1]
        found += linked and middle >= min(low, high)
    return found


class _Taps:
    """Reads what some layers are given and give, while the model runs."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        self._layers = layers
        self.last: Tensor | None = None  # output of the layer that returned last
        self.order: dict[nn.Module, None] = {}
        self.given: dict[nn.Module, Tensor] = {}
        self.sizes: dict[nn.Module, tuple[int, int]] = {}  # elements of input and output
        self.shifted: nn.Module | None = None  # a layer whose output is changed

    def __enter__(self) -> _Taps:
        self._handles = [layer.register_forward_hook(self._read) for layer in self._layers]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _read(self, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        self.order[layer] = None
        self.last = output.clone()
        if inputs:
            self.given[layer] = inputs[0].clone()
            self.sizes[layer] = inputs[0].numel(), output.numel()
        return output + torch.randn_like(output) if layer is self.shifted else None


class _Dropouts(TorchDispatchMode):
    """Notes the masks of dropout that are drawn: where, and with which probability."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.places: list[dict[str, Any]] = []
        self.noise: list[dict[str, Any]] = []  # where other random numbers are drawn
        self.probabilities: list[float] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        probability = args[1] if len(args) > 1 else HALF
        if func._schema.name in NOISE and not self.noise and (line := where()) is not None:
            self.noise.append(line.plain())
        if func._schema.name in DROPOUTS and isinstance(probability, float):
            dropped = probability if "dropout" in func._schema.name else 1 - probability
            line = where()
            self.probabilities.append(dropped)
            if line is not None:
                self.places.append(line.plain())
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    """Notes which operations run."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func._schema.name.removeprefix("aten::").rstrip("_"))
        return func(*args, **(kwargs or {}))

    def nonlinear(self) -> int:
        """Operations before the last product that are none of those known to be affine or to pool."""
        products = [place for place, name in enumerate(self.names) if name in PRODUCTS]
        return sum(name not in LINEAR for name in self.names[: products[-1]]) if products else len(self.names)


def _interacts(subject: Subject) -> bool:
    """Whether rows are joined by a graph or by statistics of the batch: that they interact is meant."""
    tensors = [*tensors_in(list(subject.inputs)), *subject.model.buffers()]
    for module in subject.model.modules():
        tensors += [each for each in vars(module).values() if isinstance(each, Tensor)]
        if isinstance(module, _NormBase) and module.running_mean is None and "Batch" in type(module).__name__:
            return True
    square = (subject.rows, subject.rows)
    if subject.either:  # texts, whose mask for what comes later is a square, too
        return False
    return any(t.layout != torch.strided or t.shape == square or _edges(t) for t in tensors)


def _edges(tensor: Tensor) -> bool:
    """Whether a tensor looks like the edges of a graph, (2, E)."""
    return tensor.dtype == torch.int64 and tensor.dim() == 2 and len(tensor) == 2


def _own_matrices(model: nn.Module) -> int:
    """Weights that a program multiplies with by itself: the parameters of modules that are none of torch's."""
    own = (m for m in model.modules() if not type(m).__module__.startswith("torch."))
    return sum(p.dim() >= 2 for module in own for p in module._parameters.values() if p is not None)


def _initialize(model: nn.Module) -> None:
    """New weights by which signals neither vanish nor explode."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if not parameter.is_floating_point() or not parameter.numel():
            continue
        if parameter.dim() < 2:
            parameter.uniform_(0.5, 1.5, generator=generator)
        else:
            parameter.normal_(0, (len(parameter) / parameter.numel()) ** 0.5, generator=generator)


def _affine_error(at_x: Tensor, at_y: Tensor, at_far: Tensor) -> float | None:
    """By how much f(3x - 2y) differs from 3 f(x) - 2 f(y); None if the outputs are not comparable."""
    if not at_x.shape == at_y.shape == at_far.shape:
        return None
    apart = float((at_far - at_y).abs().max())
    error = float((at_far - FAR * at_x - (1 - FAR) * at_y).abs().max())
    return error / apart if apart > 0 and math.isfinite(error) else None


def _same(before: Sequence[Tensor], after: Sequence[Tensor], exactly: bool = False) -> bool:
    if [t.shape for t in before] != [t.shape for t in after]:
        return False
    pairs = zip(before, after, strict=True)
    if exactly:
        return all(torch.equal(one.nan_to_num(), other.nan_to_num()) for one, other in pairs)
    return all(float((one - other).abs().max()) <= SAME * _size(one) for one, other in pairs if one.numel())


def _changed_rows(before: Tensor, after: Tensor) -> Tensor:
    """Which rows (N,) changed by more than rounding."""
    return (
        (before - after).flatten(1).abs().amax(1) > SAME * _size(before)
        if before.dim() > 1
        else (before - after).abs() > SAME * _size(before)
    )


def _size(tensor: Tensor) -> float:
    return float(tensor.abs().max().nan_to_num())


def _copy(thing: Any) -> Any:
    return thing.detach().clone() if isinstance(thing, Tensor) else thing


def _exchanged(tensor: Tensor, row: int, axis: int = 0) -> Tensor:
    """With another row, or another column, in place of this one."""
    changed = tensor.detach().clone()
    rows, others = changed.movedim(axis, 0), tensor.detach().movedim(axis, 0)
    after = others[(row + 1) % len(others)]
    rows[row] = after if not torch.equal(others[row], after) else others.flip(0)[row]
    return changed


def _shuffled(tensor: Tensor) -> Tensor:
    """With its elements in another order."""
    flat = tensor.detach().flatten()
    return flat[torch.randperm(len(flat))].view(tensor.shape)
