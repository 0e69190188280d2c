"""The losses of all members, and their gradients, are those of each member's own criterion."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fitwell.models.criterion import BinaryCrossEntropy, CrossEntropy
from fitwell.tuning.populations.stacking import Unstackable
from fitwell.tuning.populations.stacking.criterion import StackedCriterion

K, B, C = 3, 7, 4
WEIGHTS, OTHERS = torch.tensor([0.5, 1.0, 2.0, 4.0]), torch.tensor([3.0, 1.0, 1.0, 0.1])

CASES: dict[str, tuple[list[Any], int, str]] = {
    "classes": ([CrossEntropy(None, 0.0)] * K, C, "classes"),
    "smoothing": ([CrossEntropy(None, s) for s in (0.0, 0.1, 0.5)], C, "classes"),
    "weights": ([CrossEntropy(w, 0.0) for w in (None, WEIGHTS, OTHERS)], C, "classes"),
    "weights of the first": ([CrossEntropy(w, 0.0) for w in (WEIGHTS, None, None)], C, "classes"),
    "smoothing and weights": (
        [CrossEntropy(w, s) for w, s in ((WEIGHTS, 0.2), (None, 0.1), (OTHERS, 0.0))],
        C,
        "classes",
    ),
    "mixtures": ([CrossEntropy(None, 0.0)] * K, C, "mixtures"),
    "mixtures, smoothing and weights": (
        [CrossEntropy(w, s) for w, s in ((WEIGHTS, 0.2), (None, 0.1), (OTHERS, 0.0))],
        C,
        "mixtures",
    ),
    "binary": ([BinaryCrossEntropy(None, 0.0)] * K, 1, "binary"),
    "binary, smoothing": ([BinaryCrossEntropy(None, s) for s in (0.3, 0.0, 0.1)], 1, "binary"),
    "binary, weights": (
        [BinaryCrossEntropy(w, 0.1) for w in (None, torch.tensor([0.5, 3.0]), torch.tensor([2.0, 1.0]))],
        1,
        "binary",
    ),
    "mse": ([nn.MSELoss() for _ in range(K)], 2, "numbers"),
    "mae": ([nn.L1Loss() for _ in range(K)], 2, "numbers"),
    "huber": ([nn.HuberLoss() for _ in range(K)], 2, "numbers"),
}


def targets(kind: str, width: int, members: int) -> Tensor:
    return {
        "classes": torch.randint(width, (members, B)),
        "mixtures": torch.rand(members, B, width).softmax(-1),
        "binary": torch.randint(2, (members, B, width)).float(),
        "numbers": 2 * torch.randn(members, B, width),
    }[kind]


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
@pytest.mark.parametrize("name", CASES)
def test_each_loss_is_the_members_own(name: str, shared: bool) -> None:
    criteria, width, kind = CASES[name]
    torch.manual_seed(0)
    # in memory as the last layer gives them: features before samples
    outputs = torch.randn(K, width, B).mT.requires_grad_()
    y = targets(kind, width, 1 if shared else K)
    own = [criteria[place](outputs[place], y[0 if shared else place]) for place in range(K)]
    (gradient,) = torch.autograd.grad(sum(own), outputs)  # type: ignore[arg-type]
    stacked = StackedCriterion(criteria)
    losses_K = stacked(outputs, y)
    torch.testing.assert_close(losses_K, torch.stack(own))
    torch.testing.assert_close(torch.autograd.grad(losses_K.sum(), outputs)[0], gradient)
    found_K, found = stacked.with_gradient(outputs.detach(), y, 0.25)
    torch.testing.assert_close(found_K, torch.stack(own))
    torch.testing.assert_close(found, 0.25 * gradient)
    assert not found_K.requires_grad


def test_logits_of_any_size_have_finite_losses() -> None:
    outputs = torch.tensor([[[1e4, -1e4, 0.0]], [[-1e4, 1e4, 0.0]]])
    losses_K, gradient = StackedCriterion([CrossEntropy(None, 0.0)] * 2).with_gradient(
        outputs, torch.tensor([[0]]), 1.0
    )
    assert losses_K.tolist() == [0.0, 2e4]
    assert gradient[1].tolist() == [[-1.0, 1.0, 0.0]]


def test_nan_stays_with_its_member() -> None:
    outputs = torch.randn(2, B, C)
    outputs[0, 0, 0] = torch.nan
    for criteria in ([CrossEntropy(None, 0.0)] * 2, [CrossEntropy(WEIGHTS, 0.1)] * 2):
        y = torch.zeros(1, B, dtype=torch.int64)
        losses_K, gradient = StackedCriterion(criteria).with_gradient(outputs, y, 1.0)
        assert losses_K.isnan().tolist() == [True, False]
        assert gradient[1].isfinite().all()


@pytest.mark.parametrize("criteria", [[nn.MSELoss(), nn.L1Loss()], [nn.KLDivLoss(), nn.KLDivLoss()]])
def test_losses_of_other_kinds_are_refused(criteria: list[Any]) -> None:
    with pytest.raises(Unstackable, match="a loss of"):
        StackedCriterion(criteria)
