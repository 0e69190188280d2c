"""How far steps move parameters, compared with what the loop itself measures."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, Optimizer

from fitwell.watching.tensors import KEPT


def _flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().double().flatten() for p in model.parameters()])


def _train(
    model: nn.Module, layer: nn.Module, optimizer: Optimizer, wide: int, steps: int = 6
) -> list[tuple]:
    """The ratio of the whole model and of a layer at each step."""
    dtype, ratios = next(model.parameters()).dtype, []
    for _ in range(steps):
        optimizer.zero_grad()
        x, y = torch.randn(8, wide, dtype=dtype), torch.randn(8, 2, dtype=dtype)
        nn.functional.mse_loss(model(x), y).backward()
        before = _flat(model), _flat(layer)
        optimizer.step()
        after = _flat(model), _flat(layer)
        ratios.append(tuple(float((b - a).norm() / a.norm()) for a, b in zip(before, after, strict=True)))
    return ratios


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_in_all_and_by_layer(watched, dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).to(dtype)
    with watched() as record:
        ratios = _train(model, model[2], Adam(model.parameters(), 0.01, weight_decay=0.1), 3)
    found = record.values("update/ratio")
    assert len(found) >= 5
    assert found == pytest.approx([r for r, _ in ratios][: len(found)], rel=1e-3)
    assert record.values("layer/2/update_ratio") == pytest.approx(
        [r for _, r in ratios][: len(found)], rel=1e-3
    )


def test_a_large_layer_is_estimated_and_not_counted_less(watched) -> None:
    wide = 12_000
    model = nn.Sequential(nn.Linear(wide, 16), nn.Linear(16, 2))
    assert model[0].weight.numel() > 10 * KEPT
    with torch.no_grad():
        model[1].weight.mul_(30)
    with watched() as record:
        ratios = _train(model, model[0], SGD(model.parameters(), 1e-4), wide)
    found = record.values("update/ratio")
    assert found == pytest.approx([r for r, _ in ratios][: len(found)], rel=0.05)
    assert record.values("layer/0/update_ratio") == pytest.approx(
        [r for _, r in ratios][: len(found)], rel=0.05
    )


def test_parameters_that_were_zero_moved_by_all_they_are_now_and_others_not_at_all(watched) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    for each in (model[1].weight, model[1].bias):
        nn.init.zeros_(each)
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[1].parameters()}]
    with watched() as record:
        _train(model, model[1], SGD(groups, 0.1), 3)
    assert record.values("layer/1/update_ratio")[0] == 1
    assert record.values("layer/1/update_ratio")[1] < 1
    assert set(record.values("layer/0/update_ratio")) == {0}


def test_a_step_with_a_closure_is_measured_from_its_beginning(watched) -> None:
    model, x, y = nn.Linear(3, 2), torch.randn(9, 3), torch.randn(9, 2)
    optimizer, expected = LBFGS(model.parameters(), lr=0.1, max_iter=3), []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        return loss

    with watched() as record:
        for _ in range(6):
            before = _flat(model)
            optimizer.step(closure)
            expected.append(float((_flat(model) - before).norm() / before.norm()))
    found = record.values("update/ratio")
    assert len(found) >= 5
    assert found == pytest.approx(expected[: len(found)], rel=1e-3)


def test_weights_that_are_not_finite_have_no_ratio(watched) -> None:
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.weight.fill_(math.nan)
    with watched() as record:
        _train(model, model, SGD(model.parameters(), 0.1), 3)
    assert set(record.values("update/ratio")) == {None}
