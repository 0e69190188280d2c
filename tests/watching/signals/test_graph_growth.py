from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fitwell.watching.signals.graph_growth import _Line


def facts(record: Any) -> dict[str, Any]:
    (found,) = record.facts["signals"]["graph_growth"].values()
    return found  # type: ignore[no-any-return]


def train(watched: Any, keep: Any, custom: bool = False, steps: int = 8) -> Any:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(steps):
            optimizer.zero_grad()
            out = model(torch.randn(4, 3))
            loss = out.square().mean() if custom else F.mse_loss(out, torch.zeros(4, 1))
            loss.backward()
            optimizer.step()
            keep(loss)
    return record


class Sum:
    def __init__(self, last: bool = False) -> None:
        self.total: Any = 0.0

    def add(self, loss: Tensor) -> None:
        self.total += loss


@pytest.mark.parametrize("custom", [False, True])
@pytest.mark.parametrize("kept", ["sum", "list", "average"])
def test_counts_losses_that_are_kept_with_their_graph(watched: Any, kept: str, custom: bool) -> None:
    losses: list[Tensor] = []
    total = Sum()

    def average(loss: Tensor) -> None:
        total.total = 0.9 * total.total + 0.1 * loss

    record = train(watched, {"sum": total.add, "list": losses.append, "average": average}[kept], custom)
    assert record.values("graph/retained_losses")[:5] == [0, 1, 2, 3, 4]
    assert facts(record)["retained_losses"] == len(record.values("graph/retained_losses")) - 1
    text = "loss.backward()" if custom else "F.mse_loss"
    assert text in facts(record)["where"]["text"]


@pytest.mark.parametrize("custom", [False, True])
@pytest.mark.parametrize("value", [lambda loss: loss.item(), lambda loss: loss.detach(), lambda loss: None])
def test_values_are_no_graphs(watched: Any, value: Any, custom: bool) -> None:
    values: list[Any] = []
    record = train(watched, lambda loss: values.append(value(loss)), custom)
    assert max(record.values("graph/retained_losses")) <= 1
    assert facts(record)["retained_losses"] <= 1


def test_nothing_of_the_program_is_kept_alive(watched: Any) -> None:
    alive: list[weakref.ref[Tensor]] = []
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched():
        for _ in range(3):
            out = model(torch.randn(4, 3))
            loss = F.mse_loss(out, torch.zeros(4, 1))
            alive += [weakref.ref(out), weakref.ref(loss)]
            loss.backward()
            optimizer.step()
            del out, loss
            assert all(each() is None for each in alive)


def test_nodes_are_those_of_the_graph(watched: Any) -> None:
    record = train(watched, lambda loss: None)
    # mse, addmm, the transposed weight, and two leaves
    assert set(record.values("graph/nodes")) == {5}
    assert facts(record)["nodes_per_step"] == 0


def test_a_graph_that_grows_each_step_has_a_slope(watched: Any) -> None:
    state = torch.zeros(4, 1)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    with watched() as record:
        for _ in range(5):
            state = state + model(torch.ones(4, 3))
            optimizer.zero_grad()
            state.square().mean().backward(retain_graph=True)
            optimizer.step()
    nodes = record.values("graph/nodes")
    growth = nodes[2] - nodes[1]
    assert growth > 0
    assert facts(record)["nodes_per_step"] == pytest.approx(growth, rel=0.1)


def test_the_line_is_that_of_least_squares() -> None:
    x = torch.tensor([1e6, 1e6 + 3, 1e6 + 4, 1e6 + 9], dtype=torch.float64)
    y = torch.tensor([2.0, 5.0, 1.0, 7.0], dtype=torch.float64)
    line = _Line()
    assert line.slope is None
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        line.add(a, b)
    expected = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    assert line.slope == pytest.approx(expected.item())
