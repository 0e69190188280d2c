"""The watcher as a whole: begun and ended, twice, in forks, beside others, and never in the way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fitwell.errors import RunError
from fitwell.run.events import EventLog, read_events
from fitwell.watching.watcher import LIGHT, OFF, Watcher

SHARES = pytest.mark.parametrize("share", [1.0, 1e-9], ids=["whole", "seldom"])


def train(steps: int, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(steps):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.cat([*(parameter.detach().flatten() for parameter in model.parameters()), torch.rand(3)])


@SHARES
def test_weights_and_random_numbers_are_the_same(share: float, watched: Any) -> None:
    alone = train(30)
    with watched(share):
        assert torch.equal(train(30), alone)


def test_one_at_a_time(tmp_path: Path) -> None:
    first, second = Watcher(tmp_path, 0.03), Watcher(tmp_path, 0.03)
    first.attach()
    try:
        with pytest.raises(RunError, match="watched already"):
            second.attach()
    finally:
        first.detach()
    second.attach()
    second.detach()
    assert Watcher.attached is None


def test_to_end_twice_does_no_harm(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path, 1.0)
    watcher.attach()
    train(6)
    watcher.detach()
    events = list(read_events(tmp_path / "events.jsonl"))
    watcher.detach()
    train(6)
    assert [event["signals"] for event in read_events(tmp_path / "events.jsonl")][: len(events)] == [
        event["signals"] for event in events
    ]
    assert watcher.threads.all[0].steps == 6


def test_a_second_watching_begins_anew(tmp_path: Path) -> None:
    for number in range(2):
        watcher = Watcher(tmp_path / str(number), 1.0) if (tmp_path / str(number)).mkdir() is None else None
        assert watcher is not None
        watcher.attach()
        try:
            train(7)
        finally:
            watcher.detach()
        facts = json.loads((tmp_path / str(number) / "facts.json").read_text())
        assert facts["threads"][0]["steps"] == 7
        assert not facts["unseen"]


def test_a_program_without_training(watched: Any) -> None:
    with watched() as record:
        model = nn.Linear(4, 3)
        with torch.no_grad():
            F.cross_entropy(model(torch.randn(5, 4)), torch.zeros(5, dtype=torch.int64))
    assert record.facts["threads"] == []
    assert record.events == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@SHARES
def test_a_fork_lets_go(share: float, watched: Any) -> None:
    alone = train(8)
    with watched(share) as record:
        train(8)
        child = os.fork()
        if child == 0:
            assert Watcher.attached is not None
            Watcher.attached.let_go()
            os._exit(0 if torch.equal(train(8), alone) else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert [thread["steps"] for thread in record.facts["threads"]] == [8]
    assert len(record.values("loss/batch")) <= 8


def test_workers_of_a_loader_are_not_watched(watched: Any) -> None:
    loader = DataLoader(
        TensorDataset(torch.randn(64, 4), torch.randint(0, 3, (64,))), batch_size=16, num_workers=1
    )
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(3):
            for x, y in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    assert (record.facts["threads"][0]["steps"], record.facts["threads"][0]["epochs"]) == (12, 3)


def test_the_first_steps_are_watched_whatever_they_cost(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path, 1e-9)
    watcher.attach()
    try:
        train(40)
    finally:
        watcher.detach()
    seen = [
        event["step"] for event in read_events(tmp_path / "events.jsonl") if "loss/batch" in event["signals"]
    ]
    assert seen == [1, 2, 3, 4, 5]
    assert watcher.level == OFF


def test_looks_are_light_and_full(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path, 1.0)
    watcher.attach()
    levels = set()
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    try:
        for _ in range(60):
            F.mse_loss(model(torch.randn(8, 4)), torch.zeros(8, 3)).backward()
            levels.add(watcher.level)
            optimizer.step()
    finally:
        watcher.detach()
    assert LIGHT in levels
    assert len(levels) == 3


def test_a_hook_that_fails_is_told_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher(tmp_path, 1.0)
    monkeypatch.setattr(watcher.phases, "backward", lambda _: 1 / 0)
    watcher.attach()
    try:
        after = train(10)
    finally:
        watcher.detach()
    assert torch.equal(after, train(10))
    assert watcher.unseen["backward"] == "watching it failed: ZeroDivisionError: division by zero"
    assert json.loads((tmp_path / "facts.json").read_text())["unseen"] == watcher.unseen


def test_what_a_trainer_tells_is_not_found_out(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    watcher = Watcher(tmp_path, 1.0, log, lambda: (2.5, 17))
    watcher.attach()
    try:
        train(8)
        with torch.no_grad():
            F.mse_loss(torch.zeros(3), torch.zeros(3))
    finally:
        watcher.detach()
    events = list(read_events(tmp_path / "events.jsonl"))
    assert {(event["epoch"], event["step"]) for event in events} == {(2.5, 17)}
    assert not any("loss/train" in event["signals"] or "loss/val" in event["signals"] for event in events)


def test_the_cost_is_known(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path, 0.03)
    watcher.attach()
    train(300)
    watcher.detach()
    overhead = json.loads((tmp_path / "facts.json").read_text())["overhead"]
    assert overhead["budget"] == 0.03
    assert 0 < overhead["spent"] < 1
    assert 0 < sum(overhead["signals"].values()) < watcher.budget.spent
