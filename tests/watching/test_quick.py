"""Between two looks: what is counted is what a look would count."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fitwell.watching.watcher import Watcher


class Trained:
    """A small model, and its steps."""

    def __init__(self, samples: int = 96) -> None:
        self.x, self.y = torch.randn(samples, 4), torch.randint(0, 3, (samples,))
        self.model = nn.Linear(4, 3)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)

    def step(self, loss: Tensor | None = None) -> float:
        loss = F.cross_entropy(self.model(self.x), self.y) if loss is None else loss
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def test_seldom_and_always_say_the_same(watched: Any) -> None:
    def train(share: float) -> Any:
        torch.manual_seed(1)
        trained = Trained()
        loader = DataLoader(TensorDataset(trained.x, trained.y), batch_size=20, shuffle=True)
        with watched(share) as record:
            for _ in range(8):
                for x, y in loader:
                    trained.step(F.cross_entropy(trained.model(x), y))
                with torch.no_grad():
                    F.cross_entropy(trained.model(trained.x[:7]), trained.y[:7])
        return record

    always, seldom = train(1.0), train(1e-9)
    for name in ("loss/train", "loss/val"):
        assert [step for step, _ in seldom.curve(name)][-8:] == [step for step, _ in always.curve(name)]
        assert seldom.values(name)[-8:] == pytest.approx(always.values(name))  # into the same folder
        assert len(always.values(name)) == 8


def test_an_extra_loss_now_and_then_does_not_shift_the_others(watched: Any) -> None:
    trained, hand = Trained(), []
    loader = DataLoader(TensorDataset(trained.x, trained.y), batch_size=16)
    with watched(1e-9) as record:
        for _ in range(6):
            losses = 0.0
            for number, (x, y) in enumerate(loader):
                loss = F.cross_entropy(trained.model(x), y)
                if number == 3:
                    F.mse_loss(trained.model(x), torch.zeros(len(x), 3))  # has a graph, and is not used
                losses += trained.step(F.cross_entropy(trained.model(x), y) if number == 4 else loss)
            hand.append(losses / 6)
    assert len(record.values("loss/train")) == 6
    assert record.facts["threads"][0]["steps"] == 36


@pytest.mark.parametrize("share", [1.0, 1e-9], ids=["whole", "seldom"])
def test_odd_losses_do_no_harm(share: float, watched: Any) -> None:
    trained = Trained()
    with watched(share) as record:
        for _ in range(12):
            F.cross_entropy(trained.model(trained.x), trained.y, reduction="none")
            F.cross_entropy(trained.model(trained.x[0]), trained.y[0])
            F.mse_loss(torch.zeros((), requires_grad=True), torch.zeros(()))
            F.l1_loss(torch.zeros(0, requires_grad=True), torch.zeros(0), reduction="sum")
            F.mse_loss(
                torch.ones(2, dtype=torch.float64, requires_grad=True), torch.ones(2, dtype=torch.float64)
            )
            with pytest.raises(ValueError, match="batch_size"):
                F.cross_entropy(trained.model(trained.x), trained.y[:3])
            trained.step()
    assert record.facts["threads"][0]["steps"] == 12


@pytest.mark.parametrize("share", [1.0, 1e-9], ids=["whole", "seldom"])
def test_only_the_thread_that_watches_is_watched(share: float, watched: Any) -> None:
    mine, other, alone = Trained(), Trained(), Trained()
    with torch.no_grad():
        for parameter, same in zip(alone.model.parameters(), other.model.parameters(), strict=True):
            parameter.copy_(same)
    alone.x, alone.y = other.x, other.y

    def train(trained: Trained) -> None:
        for _ in range(100):
            trained.step()

    with watched(share) as record:
        thread = threading.Thread(target=train, args=(other,))
        thread.start()
        train(mine)
        thread.join()
        for _ in range(3):
            mine.step()
    train(alone)
    assert torch.equal(alone.model.weight, other.model.weight)
    (found,) = record.facts["threads"]
    assert found["steps"] == 103
    assert len(record.facts["models"]) == 1


def test_a_step_that_fails_within_a_hook_of_the_program_is_not_counted(watched: Any) -> None:
    trained = Trained()
    calls = iter(range(1, 1000))

    def hook(*_: Any) -> None:
        if next(calls) % 3 == 0:
            raise ValueError("no step")

    trained.optimizer.register_step_pre_hook(hook)
    failed = 0
    with watched() as record:
        for _ in range(30):
            try:
                trained.step()
            except ValueError:
                failed += 1
    assert failed == 10
    assert record.facts["threads"][0]["steps"] == 20


def test_what_cannot_be_counted_does_not_reach_the_program(tmp_path: Any, monkeypatch: Any) -> None:
    trained = Trained()
    watcher = Watcher(tmp_path, 1e-9)

    def fail(*_: Any) -> None:
        raise RuntimeError("a bug in the watcher")

    watcher.attach()
    try:
        for _ in range(8):
            trained.step()
        monkeypatch.setattr(watcher.threads, "of", fail)
        monkeypatch.setattr(watcher.threads, "holding", fail)
        trained.optimizer = torch.optim.Adam(trained.model.parameters())
        for _ in range(8):
            trained.step()
    finally:
        watcher.detach()
    assert watcher.unseen


def test_a_loss_that_is_not_finite_is_looked_at(watched: Any) -> None:
    trained = Trained()
    with watched(1e-9) as record:
        for _ in range(8):
            trained.step()
        seen = len(record.values("loss/batch"))
        trained.x[0, 0] = float("nan")
        for _ in range(3):
            trained.step()
    assert seen == 0
    assert len(record.values("loss/batch")) > 5
