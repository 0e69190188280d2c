from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Loss = Callable[[Tensor], Tensor]
LABELS = torch.arange(8) % 3
VALUES = torch.linspace(-3, 3, 8)


def place(watched: Any, loss: Loss, outputs: int = 3, **options: Any) -> dict[str, Any]:
    model = nn.Linear(4, outputs)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, **options)
    with watched() as record:
        for _ in range(3):
            optimizer.zero_grad()
            loss(model(torch.randn(8, 4))).backward()
            optimizer.step()
    (thread,) = record.facts["signals"]["objective"].values()
    (found,) = thread["places"]
    return {**found, "maximize": thread["maximize"]}


@pytest.mark.parametrize(
    ("loss", "negated"),
    [
        (lambda out: F.cross_entropy(out, LABELS), 0),
        (lambda out: -F.cross_entropy(out, LABELS), 3),
        (lambda out: F.cross_entropy(out, LABELS) * -0.5, 3),
        (lambda out: 1 - F.cross_entropy(out, LABELS), 3),
        (lambda out: -(-F.cross_entropy(out, LABELS) - 0.1 * out.square().sum()), 0),
        (lambda out: ((out[:, 0] - VALUES) ** 2).mean(), 0),
        (lambda out: -((out[:, 0] - VALUES) ** 2).mean(), 3),
        (lambda out: torch.distributions.Normal(out[:, 0], 0.5).log_prob(VALUES).mean(), 3),
    ],
)
def test_the_sign_of_the_loss(watched: Any, loss: Loss, negated: int) -> None:
    found = place(watched, loss)
    assert (found["with_loss"], found["negated"]) == (3, negated)


@pytest.mark.parametrize(("sign", "minimised"), [(1, 3), (-1, 0)])
def test_a_likelihood_by_hand(watched: Any, sign: int, minimised: int) -> None:
    found = place(watched, lambda out: sign * out.log_softmax(1)[range(8), LABELS].mean())
    assert found["likelihood_minimised"] == minimised


def test_a_likelihood_that_costs_weigh_is_left_alone(watched: Any) -> None:
    found = place(watched, lambda out: (out.log_softmax(1)[range(8), LABELS] * VALUES).mean())
    assert found["with_loss"] == 0


def test_what_softmax_is_applied_to(watched: Any) -> None:
    found = place(watched, lambda out: F.cross_entropy(out.softmax(0).view(8, 3), LABELS))
    assert found["softmaxes"] == [
        {"name": "LogSoftmax", "axis": 1, "shape": [8, 3], "of": "Softmax"},
        {"name": "Softmax", "axis": 0, "shape": [8, 3], "of": "Addmm"},
    ]


@pytest.mark.parametrize("shape", [(8, 1), (8,)])
def test_a_difference_that_grew(watched: Any, shape: tuple[int, ...]) -> None:
    target = VALUES if len(shape) == 2 else VALUES[:, None]
    found = place(watched, lambda out: (out.view(shape) - target).abs().mean(), outputs=1)
    assert found["grown"] == [list(shape), [8, 8]]
    assert place(watched, lambda out: (out[:, 0] - VALUES).pow(2).mean(), 1)["grown"] is None


@pytest.mark.parametrize("swap", [False, True])
def test_targets_out_of_reach(watched: Any, swap: bool) -> None:
    def loss(out: Tensor) -> Tensor:
        difference = VALUES - out.tanh()[:, 0] if swap else out.tanh()[:, 0] - VALUES
        return difference.pow(2).mean()

    expected = (VALUES.abs() > 1).float().mean().item()
    assert place(watched, loss, 1)["unreachable"] == pytest.approx(expected)


def test_an_optimizer_that_maximises(watched: Any) -> None:
    assert place(watched, lambda out: out.mean(), maximize=True)["maximize"]


@pytest.mark.parametrize("last", [F.softplus, torch.exp, torch.abs])
def test_targets_below_what_is_never_negative(watched: Any, last: Loss) -> None:
    found = place(watched, lambda out: (last(out)[:, 0] - VALUES).pow(2).mean(), 1)
    assert found["unreachable"] == pytest.approx(0.5)


def test_what_is_minimised_at_first_and_last(watched: Any) -> None:
    values = iter([2.0, -7.0, -3.0])
    found = place(watched, lambda out: out.sum() * 0 + next(values))
    assert found["values"] == [7.0, -3.0]
