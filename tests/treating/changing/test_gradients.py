"""Gradients are clipped by the norm of all of them; what is not finite makes no step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from fitwell.treating.changing.gradients import clip_steps, total_norm
from fitwell.treating.changing.live import Live


def moved(gradients: list[Tensor]) -> tuple[list[Tensor], list[nn.Parameter]]:
    """How far a step with a rate of 1 goes, and the parameters."""
    weights = [nn.Parameter(torch.zeros_like(each.to_dense())) for each in gradients]
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient.clone()
    torch.optim.SGD(weights, lr=1.0).step()
    return [-weight.detach() for weight in weights], weights


def test_the_norm_is_that_of_all_gradients_in_a_row() -> None:
    gradients = [torch.randn(3, 4), torch.randn(5), torch.randn(())]
    together = torch.cat([each.flatten() for each in gradients])
    assert total_norm(gradients) == pytest.approx(together.norm().item())
    assert total_norm([]) == 0


@pytest.mark.filterwarnings("error")
def test_the_norm_of_complex_half_and_sparse_gradients() -> None:
    twice = torch.sparse_coo_tensor(
        [[1, 1]], torch.tensor([1.0, 2.0]), (4,), check_invariants=True
    )  # adds up to 3
    assert total_norm([twice, torch.tensor([4.0])]) == 5
    assert total_norm([torch.tensor([3 + 4j])]) == 5
    assert total_norm([torch.full((100,), 60_000.0, dtype=torch.float16)]) == pytest.approx(600_000, rel=1e-3)


def test_all_gradients_keep_their_direction_and_get_the_norm(live: Live) -> None:
    clip_steps(live, lambda _optimizer, _norm: 2.0)
    gradients = [torch.randn(4, 3), 5 * torch.randn(6)]
    steps, _ = moved(gradients)
    assert total_norm(steps) == pytest.approx(2.0, rel=1e-5)
    for step, gradient in zip(steps, gradients, strict=True):
        torch.testing.assert_close(step * total_norm(gradients) / 2.0, gradient)


def test_smaller_gradients_stay_as_they_are(live: Live) -> None:
    clip_steps(live, lambda _optimizer, norm: norm)
    gradient = torch.randn(7)
    assert moved([gradient])[0][0].equal(gradient)


def test_sparse_gradients_are_clipped(live: Live) -> None:
    clip_steps(live, lambda _optimizer, _norm: 1.0)
    (step,), _ = moved(
        [torch.sparse_coo_tensor([[1, 1]], torch.tensor([1.0, 2.0]), (4,), check_invariants=True)]
    )
    assert step.tolist() == pytest.approx([0, 1, 0, 0])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_step_that_is_not_finite_is_left_out_and_its_gradients_come_back(live: Live, value: float) -> None:
    norms: list[float] = []
    clip_steps(live, lambda _optimizer, norm: norms.append(norm) or 1.0)
    steps, weights = moved([torch.tensor([value, 1.0]), torch.ones(2)])
    assert [step.tolist() for step in steps] == [[0, 0], [0, 0]]
    torch.testing.assert_close(weights[0].grad, torch.tensor([value, 1.0]), equal_nan=True)
    assert norms == []


def test_parameters_without_a_gradient_are_no_trouble(live: Live) -> None:
    clip_steps(live, lambda _optimizer, _norm: 1.0)
    weight = nn.Parameter(torch.ones(2))
    torch.optim.SGD([weight], lr=1.0).step()
    assert weight.tolist() == [1, 1]
