"""Training without an optimizer: its steps and losses are those of the loop."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fitwell.watching.by_hand import leaves

SHARES = pytest.mark.parametrize("share", [1.0, 1e-9], ids=["whole", "seldom"])
EPOCHS = 6


def data() -> tuple[Tensor, ...]:
    return torch.randn(96, 4), torch.randint(0, 3, (96,)), torch.randn(40, 4), torch.randint(0, 3, (40,))


@SHARES
@pytest.mark.parametrize("clear", ["none", "zero", "data"])
def test_weights_that_are_moved_along_their_gradients(clear: str, share: float, watched: Any) -> None:
    x, y, x_val, y_val = data()
    weights = torch.zeros(4, 3, requires_grad=True)
    train, val = [], []
    with watched(share) as record:
        for _ in range(EPOCHS):
            losses = 0.0
            for i in range(0, 96, 16):
                loss = F.cross_entropy(x[i : i + 16] @ weights, y[i : i + 16])
                loss.backward()
                assert weights.grad is not None
                losses += loss.item()
                if clear == "data":
                    weights.data -= 0.1 * weights.grad.data
                else:
                    with torch.no_grad():
                        weights -= 0.1 * weights.grad
                if clear == "none":
                    weights.grad = None
                else:
                    weights.grad.zero_()
            train.append(losses / 6)
            with torch.no_grad():
                val.append(F.cross_entropy(x_val @ weights, y_val).item())
    (thread,) = record.facts["threads"]
    assert (thread["steps"], thread["epochs"], thread["optimizers"]) == (36, EPOCHS, ["by hand"])
    assert record.values("loss/train") == pytest.approx(train, rel=1e-5)
    assert record.values("loss/val") == pytest.approx(val, rel=1e-5)


@SHARES
def test_gradients_of_a_function(share: float, watched: Any) -> None:
    x, y, x_val, y_val = data()
    parameters = {"w": torch.zeros(4, 3), "b": torch.zeros(3)}

    def loss_of(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(x @ parameters["w"] + parameters["b"], y)

    train = []
    with watched(share) as record:
        for _ in range(EPOCHS):
            losses = 0.0
            for i in range(0, 96, 16):
                gradients, loss = torch.func.grad_and_value(loss_of)(parameters, x[i : i + 16], y[i : i + 16])
                parameters = {name: parameters[name] - 0.1 * gradients[name] for name in parameters}
                losses += loss.item()
            train.append(losses / 6)
            loss_of(parameters, x_val, y_val)
    (thread,) = record.facts["threads"]
    assert (thread["steps"], thread["epochs"]) == (36, EPOCHS)
    assert record.values("loss/train") == pytest.approx(train, rel=1e-5)


def test_a_gradient_that_is_not_used_is_no_step(watched: Any) -> None:
    x = torch.randn(5, 4, requires_grad=True)
    model = nn.Linear(4, 3)
    with watched() as record:
        for _ in range(10):
            model(x).sum().backward()
            torch.func.grad(lambda x: (x**2).sum())(torch.ones(3))
    assert record.facts["threads"] == []


def test_with_an_optimizer_nothing_is_by_hand(watched: Any) -> None:
    x, y, *_ = data()
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(10):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            with torch.no_grad():
                model.weight *= 0.999
    assert [thread["optimizers"] for thread in record.facts["threads"]] == [["SGD"]]


def test_the_last_gradient_is_not_kept_with_an_optimizer(watched: Any) -> None:
    x, y, *_ = data()
    with watched():
        model = nn.Linear(4, 3)
        reference = weakref.ref(model.weight)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(2):
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        del model, optimizer
        gc.collect()
        alive = reference() is not None
    assert not alive


def test_leaves_are_what_gradients_are_accumulated_in() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    frozen = torch.randn(3, 1)
    loss = model(torch.randn(2, 4)).sum() + (torch.ones(3) @ frozen).sum()
    assert {id(leaf) for leaf in leaves([loss])} == {id(parameter) for parameter in model.parameters()}
    assert list(leaves([frozen])) == []
