"""The moments of a training that signals are told of.

Shapes: N samples of a batch, C classes or outputs. Tensors in a moment belong to the program: a signal reads them
at once, never changes them, and keeps none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, SupportsFloat

from fitwell.run.events import Column
from fitwell.watching.source import Where

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(slots=True)
class LossCall:
    """A loss function of torch returned.

    Args:
        function: its name in ``torch.nn.functional``, such as ``cross_entropy``.
        value: what it returned.
        input: what the model said.
        target: what is true.
        arguments: all arguments by name, such as ``reduction`` and ``weight``.
        part: whose data it was: ``train``, or a name of a held-out part such as ``val``.
        where: the line of the program.
    """

    function: str
    value: Tensor
    input: Tensor
    target: Any
    arguments: Mapping[str, Any]
    part: str
    where: Where | None


@dataclass(slots=True)
class ModuleCall:
    """A module returned.

    Args:
        module: which.
        inputs: its arguments, those without a name first.
        output: what it returned.
        part: ``train``, or a name of a held-out part such as ``val``.
        depth: how many modules it was called within; 0 for a whole model.
        before: the last call of a module without children within the same model, if any.
        names: of the last arguments.
    """

    module: nn.Module
    inputs: Sequence[Any]
    output: Any
    part: str
    depth: int
    before: ModuleCall | None
    names: tuple[str, ...] = ()

    @property
    def is_layer(self) -> bool:
        """Whether it has no modules within it."""
        return not self.module._modules


@dataclass(slots=True)
class Backward:
    """``backward`` is about to run (signals are told before) or has run.

    Args:
        roots: the tensors it starts from.
        first: whether it is the first since the last step.
        parameters: of the optimizer that stepped last; empty before the first step.
        where: the line of the program.
    """

    roots: Sequence[Tensor]
    first: bool
    parameters: Sequence[Tensor]
    where: Where | None


@dataclass(slots=True)
class Call:
    """Something was called that belongs to the order of a step.

    Args:
        what: ``backward``, ``step``, ``zero_grad``, ``clip``, ``unscale``, ``scheduler``, ``train`` or ``eval``; also
            between the looks ``made`` of an optimizer, its ``first step``, and ``load`` of a module's weights.
        on: what it was called on: an optimizer, scheduler, model, or the parameters that were clipped.
        result: what it returned: of ``clip`` the norm before.
        where: the line of the program.
    """

    what: str
    on: Any
    result: Any
    where: Where | None


@dataclass(slots=True)
class Batch:
    """A DataLoader gave a batch.

    Args:
        content: what it gave.
        part: ``train``, or a name of a held-out part such as ``val``.
        waited: seconds until it came.
        iterator: of the loader; it knows the workers.
    """

    content: Any
    part: str
    waited: float
    iterator: Any = None


@dataclass(frozen=True)
class Named:
    """A parameter, by the names of its layer and of itself within it."""

    layer: str
    name: str
    tensor: Tensor


@dataclass(slots=True)
class Step:
    """A step of one thread: a model with what optimizes it.

    Before the step ``gradients`` are not to be trusted (a closure computes them later); after it they are those
    that were used.

    Args:
        thread: the name of the thread, unique in a run: what is kept between steps is kept under it.
        number: of the step in its thread, counted from 1.
        optimizer: None if the program updates its weights by itself.
        parameters: what is optimized and requires a gradient.
        gradients: of each parameter; None where there is none.
        modules: the thread's modules by identity, with their layer names.
        closure: whether the optimizer was given one.
        seconds: since the step before; None for the first.
        loss: as the program means it, the mean over its backward passes; None if it could not be recognised.
    """

    thread: str
    number: int
    optimizer: torch.optim.Optimizer | None
    parameters: Sequence[Named]
    gradients: Sequence[Tensor | None]
    modules: Mapping[int, str]
    closure: bool
    seconds: float | None
    loss: float | Tensor | None = None
    signals: dict[str, SupportsFloat] = field(default_factory=dict)
    columns: list[Column] = field(default_factory=list)

    def record(self, name: str, value: SupportsFloat) -> None:
        """Record a value of this step; a tensor is read later, when that costs no waiting."""
        self.signals[name] = value

    def record_layers(self, signal: str, layers: Sequence[str], values_L: Tensor) -> None:
        """Record a value for each layer as ``layer/<name>/<signal>``."""
        names = tuple(f"layer/{layer}/{signal}" for layer in layers)
        self.columns.append(Column(names, values_L))


@dataclass(slots=True)
class PassEnd:
    """A pass over some data has ended.

    Args:
        part: ``train``, or a name of a held-out part such as ``val``.
        thread: the thread that was trained last.
        samples: of held-out data, whose answers were judged; 0 unless each has one answer, and all were.
        batches: that they came in.
    """

    part: str
    thread: str
    signals: dict[str, SupportsFloat] = field(default_factory=dict)
    samples: int = 0
    batches: int = 0

    def record(self, name: str, value: SupportsFloat) -> None:
        """Record a value for this pass."""
        self.signals[name] = value
