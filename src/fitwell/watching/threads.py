"""Threads of signals: a model with what optimizes it is one; a GAN has two, a loop over folds one for each fold."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fitwell.watching.losses import Number, Objective, Totals
from fitwell.watching.moments import Named
from fitwell.watching.names import Models, name_parameters, unique
from fitwell.watching.source import user_frame
from fitwell.watching.windows import Window

SAME = 0.5  # share of its parameters from which a new optimizer goes on with an older one's thread


@dataclass(eq=False)
class Thread:
    """One of them.

    Args:
        name: the variable that holds the model, made unique.
        number: in order of the first step; the first thread's signals have plain names.
    """

    name: str
    number: int
    models: list[str]
    optimizers: list[str] = field(default_factory=list)
    steps: int = 0
    stepped: float = 0.0  # when its last step was that is known exactly ...
    known: int = 0  # ... and the number of that step
    passed: int = 0  # its steps when its last pass ended
    booked: int = 0  # its steps that are in the totals
    planned: int = 0  # its steps when the next look was last planned
    armed: int = 0  # its steps when a look last began
    looked: int = 0  # the last step that was watched in detail
    passes: int = 0
    losses_a_step: int = 0  # that are trained on, as the last look saw it; 0 if that is not so simple
    samples_a_step: int = 0  # at most: the last batch of a pass is often smaller
    function: str | None = None  # the loss function, if it is one of torch's and the only one
    by_backward: bool = False  # count the values that ``backward`` starts from, not those of loss functions
    summed: bool = False  # its loss is a sum over samples
    quick_sum: Number = 0.0
    quick_weight: int = 0
    quick_samples: int = 0
    totals: Totals = field(default_factory=Totals)
    window: Window = field(default_factory=Window)
    last: list[Objective] = field(default_factory=list)
    labels: list[tuple[str, str]] = field(default_factory=list)  # layer and name of each trainable parameter
    layers: dict[int, str] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)  # elements of each parameter
    parameters: dict[int, weakref.ref[Tensor]] = field(
        default_factory=dict
    )  # kept alive by the program alone
    trainable: list[int] = field(default_factory=list)
    models_known: int = 0  # of the program, when the layers were named

    def expect_the_like(self, other: Thread) -> None:
        """Until it is looked at, assume that each step computes what those of another thread do."""
        self.by_backward, self.summed, self.function = other.by_backward, other.summed, other.function
        self.losses_a_step, self.samples_a_step = other.losses_a_step, other.samples_a_step

    @property
    def prefix(self) -> str:
        """What stands before the names of its signals."""
        return f"thread/{self.name}/" if self.number else ""

    def about(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "prefix": self.prefix,
            "models": self.models,
            "optimizers": self.optimizers[:10],
            "steps": self.steps,
            "epochs": self.passes,
            "parameters": sum(self.sizes.values()),
        }


class Threads:
    """All threads of a program, found by optimizer."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.all: list[Thread] = []
        self._by_optimizer: dict[int, tuple[weakref.ref[torch.optim.Optimizer], Thread]] = {}

    @property
    def optimized(self) -> bool:
        """Whether any optimizer has stepped."""
        return bool(self._by_optimizer)

    def known(self, optimizer: torch.optim.Optimizer) -> Thread | None:
        """The thread of an optimizer that has stepped before."""
        known = self._by_optimizer.get(id(optimizer))
        return known[1] if known is not None and known[0]() is optimizer else None

    def of(self, optimizer: torch.optim.Optimizer) -> Thread:
        """The thread of an optimizer; its parameters decide, so a new optimizer for the same model goes on."""
        known = self.known(optimizer)
        if known is not None:
            return known
        parameters = list(optimized(optimizer))
        thread = self.holding(parameters) or self.begin(parameters)
        thread.optimizers.append(type(optimizer).__name__)
        self._by_optimizer[id(optimizer)] = (weakref.ref(optimizer), thread)
        return thread

    def holding(self, parameters: list[Tensor]) -> Thread | None:
        """The thread that most of these parameters belong to."""
        for thread in reversed(self.all):
            held = sum(
                (known := thread.parameters.get(id(parameter))) is not None and known() is parameter
                for parameter in parameters
            )
            if held and held >= SAME * len(parameters):
                return thread
        return None

    def begin(self, parameters: list[Tensor]) -> Thread:
        """A new thread for parameters that no other one holds; until it is looked at it steps as the last one did."""
        found = self.models.of(parameters) or self.models.search(parameters, user_frame())
        models = [name for name, _ in found]
        named = unique("+".join(models[:3]) or "weights", {thread.name for thread in self.all})
        thread = Thread(named, len(self.all), models)
        if self.all:
            thread.expect_the_like(self.all[-1])
        _remember(thread, parameters)
        self.all.append(thread)
        return thread

    def named(self, thread: Thread, parameters: list[Tensor]) -> list[Named]:
        """A thread's trainable parameters with the names of their layers."""
        wanted = [parameter for parameter in parameters if parameter.requires_grad]
        known = len(self.models.order)
        if [id(parameter) for parameter in wanted] != thread.trainable or known != thread.models_known:
            thread.models_known = known
            models = self.models.of(wanted)
            thread.models = [name for name, _ in models]
            thread.labels, thread.layers = name_parameters(wanted, models)
            thread.trainable = [id(parameter) for parameter in wanted]
            _remember(thread, wanted)
        return [Named(*label, parameter) for label, parameter in zip(thread.labels, wanted, strict=True)]


def _remember(thread: Thread, parameters: list[Tensor]) -> None:
    thread.parameters.update({id(parameter): weakref.ref(parameter) for parameter in parameters})
    thread.sizes.update({id(parameter): parameter.numel() for parameter in parameters})


def optimized(optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    """The parameters that an optimizer holds."""
    groups: Iterable[dict[str, list[Tensor]]] = optimizer.param_groups
    for group in groups:
        yield from group["params"]
