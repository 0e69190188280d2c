"""What a signal is: a kind of measurement, found in ``watching/signals`` by the constant ``SIGNAL``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

STEP_METHODS = ("before_step", "after_step")
METHODS = (
    "on_loss",
    "on_module",
    "on_backward",
    "after_backward",
    "on_call",
    "on_batch",
    *STEP_METHODS,
    "end_of_pass",
    "at_end",
)


@dataclass(frozen=True)
class Signal:
    """A kind of measurement.

    ``start`` makes the object that measures in one run. It has some of these methods, each told of one of the
    moments of ``fitwell.watching.moments``:

    - ``on_loss(LossCall)``, ``on_module(ModuleCall)``, ``on_batch(Batch)``, ``on_call(Call)``
    - ``on_backward(Backward)`` before it runs, ``after_backward(Backward)``
    - ``before_step(Step)``, ``after_step(Step)``: the latter records values with ``step.record(...)``
    - ``end_of_pass(PassEnd)``: records values of a whole pass over data
    - ``at_end(None)``: the program has ended; what is still at work may be waited for
    - ``facts() -> dict | None``: what it knows that is no number of one step, as JSON

    It is told only of the steps that are watched in detail: the first five of each thread, and then as many as
    the budget allows. A method that raises is never called again, and the run says so.

    Args:
        units: what it records, with the unit of each; ``*`` stands for the name of a layer. A share is from 0
            to 1; "" is a number without unit.
        cost: what its cost grows with. What grows with ``activations`` or the ``batch`` is measured in one
            watched step of eight, once the first five are over.
        parts: whether it is told of training, of evaluation on held-out data, or of both.
        start: makes the object that measures.
    """

    units: Mapping[str, str]
    cost: Literal["constant", "parameters", "batch", "activations"]
    start: Callable[[], object]
    parts: tuple[Literal["train", "held-out"], ...] = ("train",)

    @property
    def heavy(self) -> bool:
        """Whether it is left out of most watched steps."""
        return self.cost in ("batch", "activations")
