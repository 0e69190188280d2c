from __future__ import annotations

import inspect

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from fitwell.watching.signals.non_finite import culprit


class Broken(nn.Module):
    """Divides by what is zero from a certain step on."""

    def __init__(self, good):
        super().__init__()
        self.good, self.calls = good, 0

    def forward(self, x):
        self.calls += 1
        return x / (1.0 if self.calls <= self.good else 0.0)


class Net(nn.Module):
    def __init__(self, good):
        super().__init__()
        self.a, self.broken, self.b = nn.Linear(3, 4), Broken(good), nn.Linear(4, 1)

    def forward(self, x):
        x = self.a(x)
        x = self.broken(x)  # here
        return self.b(x)


def train(model, loss, steps=4):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(torch.randn(6, 3))).backward()
        optimizer.step()


def test_the_first_module_and_its_line(watched):
    with watched() as record:
        train(Net(good=2), lambda y: F.mse_loss(y, torch.zeros_like(y)))
    assert record.values("nonfinite")[:4] == [0, 0, 1, 1]
    first = record.facts["signals"]["non_finite"]["first"]["model"]
    assert first["step"] == 3
    module = first["module"]
    assert (module["name"], module["class"]) == ("broken", "Broken")
    assert module["inputs_finite"]
    assert module["parameters_finite"]
    assert module["where"]["text"] == "x = self.broken(x)  # here"
    assert module["where"]["line"] == inspect.getsourcelines(Net)[1] + 7
    assert first["loss"]["function"] == "mse_loss"
    assert "a" in first["gradients"]


def test_weights_that_are_not_finite_are_not_the_modules_own_doing(watched):
    with watched() as record:
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
        with torch.no_grad():
            model[0].weight[0, 0] = float("nan")
        train(model, lambda y: y.mean(), steps=1)
    module = record.facts["signals"]["non_finite"]["first"]["model"]["module"]
    assert (module["name"], module["inputs_finite"], module["parameters_finite"]) == ("0", True, False)


@pytest.mark.parametrize(
    ("operation", "function"),
    [
        ("log", lambda p: torch.log(p).mean()),
        ("reciprocal", lambda p: (1 / p).sum() * 2),
        ("div", lambda p: (torch.ones(3) / p).sum() * 2),
        ("div", lambda p: (p / p.detach()).mean()),
        ("sqrt", lambda p: (p - 1).sqrt().mean() + 1),
        ("exp", lambda p: (p + 1000).exp().sum()),
        ("pow", lambda p: (p**-2.0).mean()),
    ],
)
def test_the_function_that_made_it(operation, function):
    p = torch.tensor([0.0, 0.5, 0.25], requires_grad=True)
    root = function(p * 1.0)
    assert not root.isfinite()
    found = culprit(root.grad_fn)
    assert found["operation"] == operation
    if operation == "log":
        assert found["inputs"] == {"self": [0.0, 0.5]}
    root.backward()  # the graph is as it was


def test_a_finite_graph_has_no_culprit():
    x = torch.rand(5, requires_grad=True) + 1
    assert culprit(x.log().sum().grad_fn) is None


def test_a_function_outside_the_model_is_found_and_checkpoints_stay_whole(watched):
    def loss(y):
        inner = checkpoint(lambda t: t.relu() * 0, y, use_reentrant=False)
        return inner.log().mean()

    with watched() as record:
        train(nn.Linear(3, 2), loss, steps=1)
    assert record.facts["signals"]["non_finite"]["first"]["model"]["operation"]["operation"] == "log"


def test_a_gradient_alone_may_be_infinite(watched):
    with watched() as record:
        train(nn.Linear(3, 2), lambda y: (y * 0).sqrt().sum(), steps=1)
    first = record.facts["signals"]["non_finite"]["first"]["model"]
    assert (first["loss"], first["gradients"]) == (None, ["model"])


def test_a_loss_that_no_step_follows_is_told_too(watched):
    with watched() as record:
        model = nn.Linear(3, 2)
        torch.optim.SGD(model.parameters(), lr=0.1)
        F.mse_loss(model(torch.full((2, 3), float("inf"))), torch.zeros(2, 2)).backward()
    pending = record.facts["signals"]["non_finite"]["pending"]
    assert pending["loss"]["function"] == "mse_loss"
    assert not pending["module"]["inputs_finite"]


def test_infinity_in_a_mask_is_nothing_while_the_loss_is_finite(watched):
    class Masked(nn.Module):
        def forward(self, x):
            return x.masked_fill(torch.tensor([False, True]), float("-inf"))

    with watched() as record:
        train(nn.Sequential(nn.Linear(3, 2), Masked()), lambda y: y.softmax(1).square().mean())
    assert set(record.values("nonfinite")) == {0}
    assert "non_finite" not in record.facts["signals"]
