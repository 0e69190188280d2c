"""What schedulers were planned for, and how often they were called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn, randn
from torch.nn import functional
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    StepLR,
)

from fitwell.watching.moments import Call, Step
from fitwell.watching.signals.schedulers import SIGNAL


def _known(watched: Any, make: Callable[[SGD], Any], steps: int = 5) -> dict[str, Any]:
    model = nn.Linear(3, 2)
    with watched() as record:
        optimizer = SGD(model.parameters(), 0.1)
        scheduler = make(optimizer)
        for _ in range(steps):
            optimizer.zero_grad()
            functional.mse_loss(model(randn(4, 3)), randn(4, 2)).backward()
            optimizer.step()
            scheduler.step()
    (found,) = record.facts["signals"]["schedulers"]["threads"]["model"]
    return found


def test_calls_are_counted_to_the_end(watched) -> None:
    found = _known(watched, lambda optimizer: OneCycleLR(optimizer, 0.1, total_steps=50), steps=30)
    assert (found["kind"], found["planned"], found["calls"], found["steps"]) == ("OneCycleLR", 50, 30, None)
    assert found["where"]["text"] == "scheduler.step()"


@pytest.mark.parametrize(
    ("make", "ends"),
    [
        (lambda o: StepLR(o, 10, 0.1), 20),
        (lambda o: ExponentialLR(o, 0.5), 6),
        (lambda o: MultiStepLR(o, [5, 9], 0.1), 9),
        (lambda o: MultiStepLR(o, [5], 0.1), None),
        (lambda o: LinearLR(o, 1.0, 0.01, 12), 12),
        (lambda o: LinearLR(o, 0.1, 1.0, 12), None),
        (lambda o: PolynomialLR(o, 7), 7),
        (lambda o: CosineAnnealingLR(o, 7), None),
        (lambda o: LambdaLR(o, lambda _: 1.0), None),
    ],
)
def test_when_the_rate_is_next_to_nothing(watched, make: Callable[[SGD], Any], ends: int | None) -> None:
    assert _known(watched, make)["ends_at"] == ends


def test_facts_in_the_middle_leave_calls_and_steps_of_the_last_look_together() -> None:
    optimizer = SGD(nn.Linear(3, 2).parameters(), 0.1)
    schedulers = [StepLR(optimizer, 10)]
    measuring: Any = SIGNAL.start()
    for number in range(1, 9):
        optimizer.step()
        schedulers[0].step()
        if number == 4:  # the last step that is looked at
            measuring.on_call(Call("scheduler", schedulers[0], None, None))
            measuring.after_step(Step("model", number, optimizer, [], [], {}, False, None))
    (alive,) = measuring.facts()["threads"]["model"]
    assert (alive["calls"], alive["steps"]) == (8, None)
    schedulers.clear()
    (gone,) = measuring.facts()["threads"]["model"]
    assert (gone["calls"], gone["steps"]) == (4, 4)
