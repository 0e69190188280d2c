"""The angle between the gradients of successive steps."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD


def _gradient(model: nn.Module) -> Tensor:
    parts = [torch.zeros_like(p) if p.grad is None else p.grad.to_dense() for p in model.parameters()]
    return torch.cat([part.double().flatten() for part in parts])


def _cosines(gradients: list[Tensor]) -> list[float]:
    return [float(nn.functional.cosine_similarity(a, b, dim=0)) for a, b in pairwise(gradients)]


def test_of_each_step_with_the_one_before(watched) -> None:
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    optimizer, gradients = SGD(model.parameters(), 0.1), []
    with watched() as record:
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(torch.randn(4, 3)), torch.randn(4, 2)).backward()
            gradients.append(_gradient(model))
            optimizer.step()
    curve = record.curve("gradient/cosine")
    assert [step for step, _ in curve] == [2, 3, 4, 5]
    assert [value for _, value in curve] == pytest.approx(_cosines(gradients), abs=1e-5)


def test_a_step_back_and_forth_is_minus_one(watched) -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = SGD([weight], 2.0)
    with watched() as record:
        for _ in range(5):
            optimizer.zero_grad()
            (weight.square() / 2).sum().backward()
            optimizer.step()
    assert record.values("gradient/cosine") == pytest.approx([-1, -1, -1, -1])


def test_parameters_without_gradient_now_and_then_count_as_zeros(watched) -> None:
    model = nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 2)])
    optimizer, gradients = SGD(model.parameters(), 0.1), []
    with watched() as record:
        for number in range(5):
            optimizer.zero_grad()
            x = torch.randn(4, 3)
            output = model[0](x) if number % 2 else model[0](x) + model[1](x)
            nn.functional.mse_loss(output, torch.randn(4, 2)).backward()
            gradients.append(_gradient(model))
            optimizer.step()
    assert record.values("gradient/cosine") == pytest.approx(_cosines(gradients), abs=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
def test_large_gradients_are_estimated_dense_and_sparse(watched, sparse: bool) -> None:
    model = nn.Embedding(3000, 64, sparse=sparse)
    optimizer, gradients = SGD(model.parameters(), 0.1), []
    with watched() as record:
        for number in range(5):
            optimizer.zero_grad()
            tokens = torch.arange(200 * number, 200 * number + 1000)
            model(tokens).sum(0).square().mean().backward()
            gradients.append(_gradient(model))
            optimizer.step()
    assert record.values("gradient/cosine") == pytest.approx(_cosines(gradients), abs=0.03)


def test_half_precision_is_summed_up_in_single(watched) -> None:
    model = nn.Linear(200, 20).bfloat16()
    optimizer, gradients = SGD(model.parameters(), 0.1), []
    with watched() as record:
        x, y = torch.randn(4, 200).bfloat16(), torch.randn(4, 20).bfloat16()
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            gradients.append(_gradient(model))
            optimizer.step()
    assert record.values("gradient/cosine") == pytest.approx(_cosines(gradients), abs=1e-4)


def test_a_large_gradient_does_not_count_less_than_a_small_one(watched) -> None:
    large, small = nn.Parameter(torch.zeros(400, 400)), nn.Parameter(torch.zeros(100, 100))
    optimizer = SGD([large, small], 0.0)
    with watched() as record:
        for number in range(5):
            optimizer.zero_grad()
            (large.sum() + (-1) ** number * 2 * small.sum()).backward()
            optimizer.step()
    expected = (400**2 - 4 * 100**2) / (400**2 + 4 * 100**2)
    assert record.values("gradient/cosine") == pytest.approx([expected] * 4, rel=1e-3)
