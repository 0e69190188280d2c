"""The calls of modules: how deep they are, what they are within, and which come after one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fitwell.watching.module_calls import EVALUATED, has_graph
from fitwell.watching.moments import ModuleCall
from fitwell.watching.watcher import Watcher


class Failing(nn.Module):
    """Fails now and then, within its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.calls = nn.Linear(4, 8), nn.Linear(8, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        hidden = self.first(x)
        if self.calls % 3 == 0:
            raise MemoryError("no room")
        return self.second(hidden)  # type: ignore[no-any-return]


class Depths:
    """A signal that notes how deep the calls of modules are."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def on_module(self, call: ModuleCall) -> None:
        self.seen.append((type(call.module).__name__, call.depth))


def test_a_call_that_failed_is_no_call_that_the_next_ones_are_within(tmp_path: Path) -> None:
    model, other, depths = Failing(), nn.Linear(4, 2), Depths()
    optimizer, x = torch.optim.SGD(model.parameters(), 0.1), torch.randn(8, 4)
    watcher = Watcher(tmp_path, 1.0)
    watcher.details._told["on_module"].append(("loss", depths.on_module))
    watcher.attach()
    try:
        for _ in range(5):
            try:
                output = model(x)
            except MemoryError:
                other(x)
                output = model(x)
            output.sum().backward()
            optimizer.step()
    finally:
        watcher.detach()
    assert not watcher.unseen
    assert {(name, depth) for name, depth in depths.seen if name == "Failing"} == {("Failing", 0)}
    assert {depth for name, depth in depths.seen if name == "Linear"} == {0, 1}


def test_depths_and_what_comes_after_what(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    seen: list[tuple[str, int, str, str]] = []

    def on_module(call: ModuleCall) -> None:
        before = "" if call.before is None else type(call.before.module).__name__
        seen.append((type(call.module).__name__, call.depth, call.part, before))

    watcher = Watcher(tmp_path, 1.0)
    watcher.details._told["on_module"].append(("loss", on_module))
    watcher.attach()
    try:
        model(torch.randn(8, 4)).sum().backward()
        optimizer.step()
    finally:
        watcher.detach()
    assert seen == [
        ("Linear", 1, "train", ""),
        ("ReLU", 2, "train", "Linear"),
        ("Linear", 2, "train", "ReLU"),
        ("Sequential", 1, "train", "Linear"),
        ("Sequential", 0, "train", "Linear"),
    ]


def test_some_batches_of_an_evaluation_are_looked_at(tmp_path: Path) -> None:
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    looked: list[int] = []
    watcher = Watcher(tmp_path, 1e-9)
    watcher.details._told["on_module"].append(("dead_units", lambda call: looked.append(1)))
    watcher.attach()
    try:
        for _ in range(8):
            nn.functional.mse_loss(model(torch.randn(8, 4)), torch.zeros(8, 2)).backward()
            optimizer.step()
        looked.clear()
        with torch.no_grad():
            for _ in range(50):
                nn.functional.mse_loss(model(torch.randn(8, 4)), torch.zeros(8, 2))
    finally:
        watcher.detach()
    assert len(looked) <= EVALUATED


def test_what_has_a_graph() -> None:
    with_graph, without = torch.ones(1, requires_grad=True), torch.ones(1)
    found: list[Any] = [
        with_graph,
        (with_graph, None),
        [with_graph],
        (without, with_graph),
        {"logits": with_graph},
        without,
        (),
        None,
        {},
    ]
    assert [has_graph(each) for each in found] == [True] * 5 + [False] * 4
