from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import StepLR


class Setup:
    def __init__(self) -> None:
        self.model = nn.Linear(3, 1)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)
        self.scheduler = StepLR(self.optimizer, 1)
        self.scaler = torch.amp.GradScaler("cpu")

    @property
    def loss(self) -> Tensor:
        return F.mse_loss(self.model(torch.randn(4, 3)), torch.zeros(4, 1))

    def clip(self) -> None:
        clip_grad_norm_(self.model.parameters(), 1.0)


def run(watched: Any, body: Any, steps: int = 5) -> dict[str, Any]:
    with watched() as record:
        setup = Setup()
        for _ in range(steps):
            body(setup)
    (found,) = record.facts["signals"]["call_order"]["threads"].values()
    return found


def healthy(s: Setup) -> None:
    s.optimizer.zero_grad()
    s.loss.backward()
    s.clip()
    s.optimizer.step()
    s.scheduler.step()


FAULTS = (
    "cleared_between_backward_and_step",
    "scheduler_before_step",
    "clip_before_backward",
    "clip_after_step",
    "clip_before_unscale",
)


def test_a_healthy_loop(watched: Any) -> None:
    found = run(watched, healthy)
    assert found["steps"] == found["cleared"] == found["backwards"] == found["clipped"]
    assert found["scheduler_calls"] == found["steps"] - 1
    assert found["cycle"] == ["scheduler", "zero_grad", "backward", "clip", "step"]
    assert [found[fault] for fault in FAULTS] == [0] * 5
    first = [call["what"] for call in found["first_steps"][0]]
    assert first == ["zero_grad", "backward", "clip", "step"]
    lines = [call["line"] for call in found["first_steps"][1]]
    begin = healthy.__code__.co_firstlineno
    assert lines == [begin + 5, begin + 1, begin + 2, lines[3], begin + 4]
    assert found["first_steps"][0][0]["file"] == __file__


def clear_late(s: Setup) -> None:
    s.loss.backward()
    s.optimizer.zero_grad()
    s.optimizer.step()


def clear_model_late(s: Setup) -> None:
    s.loss.backward()
    s.model.zero_grad()
    s.optimizer.step()


def schedule_early(s: Setup) -> None:
    s.optimizer.zero_grad()
    s.loss.backward()
    with pytest.warns(UserWarning, match="lr_scheduler") if s.scheduler._step_count == 1 else nothing():
        s.scheduler.step()
    s.optimizer.step()


def clip_early(s: Setup) -> None:
    s.optimizer.zero_grad()
    s.clip()
    s.loss.backward()
    s.optimizer.step()


def clip_late(s: Setup) -> None:
    s.optimizer.zero_grad()
    s.loss.backward()
    s.optimizer.step()
    s.clip()


def clip_scaled(s: Setup) -> None:
    s.optimizer.zero_grad()
    s.scaler.scale(s.loss).backward()
    s.clip()
    s.scaler.step(s.optimizer)
    s.scaler.update()


def nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


@pytest.mark.parametrize(
    ("body", "fault", "missing"),
    [
        (clear_late, "cleared_between_backward_and_step", 0),
        (clear_model_late, "cleared_between_backward_and_step", 0),
        (schedule_early, "scheduler_before_step", 0),
        (clip_early, "clip_before_backward", 0),
        (clip_late, "clip_after_step", 1),
        (clip_scaled, "clip_before_unscale", 0),
    ],
)
def test_each_fault_is_found_alone_and_where(watched: Any, body: Any, fault: str, missing: int) -> None:
    found = run(watched, body)
    assert found[fault] == found["steps"] - missing
    assert [found[other] for other in FAULTS if other != fault] == [0] * 4
    assert found["where"].keys() == {fault}
    assert found["where"][fault]["file"] == __file__


def unscaled(s: Setup) -> None:
    s.optimizer.zero_grad()
    s.scaler.scale(s.loss).backward()
    s.scaler.unscale_(s.optimizer)
    s.clip()
    s.scaler.step(s.optimizer)
    s.scaler.update()


def accumulated(s: Setup) -> None:
    for _ in range(3):
        s.loss.backward()
    s.clip()
    s.optimizer.step()
    s.model.zero_grad()
    s.scheduler.step()


@pytest.mark.parametrize("body", [unscaled, accumulated])
def test_other_healthy_loops(watched: Any, body: Any) -> None:
    found = run(watched, body)
    assert [found[fault] for fault in FAULTS] == [0] * 5
    assert found["cleared"] >= found["steps"] - 1


def test_never_cleared(watched: Any) -> None:
    found = run(watched, lambda s: (s.loss.backward(), s.optimizer.step()))
    assert found["cleared"] == 0
    assert found["steps"] >= 4


def test_closures(watched: Any) -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.mse_loss(model(torch.ones(4, 3)), torch.ones(4, 1))
        loss.backward()
        return loss

    with watched() as record:
        for _ in range(4):
            optimizer.step(closure)
    (found,) = record.facts["signals"]["call_order"]["threads"].values()
    assert found["cleared"] == found["steps"]
    assert [found[fault] for fault in FAULTS] == [0] * 5


@pytest.mark.parametrize("cleared_first", [False, True])
def test_two_threads_are_told_apart(watched: Any, cleared_first: bool) -> None:
    first, second = Setup(), Setup()
    pair = [first, second]
    with watched() as record:
        for _ in range(4):
            for each in pair if cleared_first else ():
                each.optimizer.zero_grad()
            for each in pair:
                if not cleared_first:
                    each.optimizer.zero_grad()
                each.loss.backward()
                each.clip()
                each.optimizer.step()
    threads = record.facts["signals"]["call_order"]["threads"]
    assert len(threads) == 2
    for found in threads.values():
        assert found["cycle"] == ["zero_grad", "backward", "clip", "step"]
        assert found["cleared"] == found["steps"] == 4
        assert [found[fault] for fault in FAULTS] == [0] * 5


def test_one_backward_for_two_optimizers(watched: Any) -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 1)
    optimizers = [torch.optim.SGD(first.parameters(), 0.1), torch.optim.Adam(second.parameters())]
    with watched() as record:
        for _ in range(4):
            for optimizer in optimizers:
                optimizer.zero_grad()
            F.mse_loss(second(first(torch.randn(4, 3))), torch.zeros(4, 1)).backward()
            for optimizer in optimizers:
                optimizer.step()
    threads = record.facts["signals"]["call_order"]["threads"]
    assert [found["cycle"] for found in threads.values()] == [["zero_grad", "backward", "step"]] * 2


def test_accumulation_that_clears_at_each_batch_discards(watched) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    data = torch.utils.data.TensorDataset(torch.randn(40, 3), torch.randn(40, 2))
    with watched() as record:
        for number, (x, y) in enumerate(torch.utils.data.DataLoader(data, batch_size=4)):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            if number % 2:
                optimizer.step()
    counts = record.facts["signals"]["call_order"]["threads"]["model"]
    assert counts["discarded_backward"] == counts["steps"] > 0
    assert counts["where"]["discarded_backward"]["text"] == "optimizer.zero_grad()"


def test_gradients_of_one_batch_put_together_by_hand_are_not_discarded(watched) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(5):
            for _ in range(2):
                optimizer.zero_grad()
                nn.functional.mse_loss(model(torch.randn(4, 3)), torch.randn(4, 2)).backward()
            optimizer.step()
    assert record.facts["signals"]["call_order"]["threads"]["model"]["discarded_backward"] == 0
