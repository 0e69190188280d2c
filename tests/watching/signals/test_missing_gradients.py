"""Parameters without gradient, and with one that is zero, are told apart."""

import pytest
import torch
from torch import nn
from torch.optim import SGD


def _train(watched, output_of, model: nn.Module, steps: int = 6, clear_late: bool = False):
    optimizer = SGD(model.parameters(), 0.01)
    with watched() as record:
        for number in range(steps):
            optimizer.zero_grad()
            nn.functional.mse_loss(output_of(number, torch.randn(4, 3)), torch.randn(4, 2)).backward()
            if clear_late:
                optimizer.zero_grad()
            optimizer.step()
    return record


def test_a_healthy_model_misses_none(watched) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    record = _train(watched, lambda _, x: model(x), model)
    assert set(record.values("gradient/missing")) == {0}
    assert set(record.values("gradient/zero")) == {0}
    facts = record.facts["signals"]["missing_gradients"]["model"]
    assert facts["always_missing"] == facts["always_zero"] == {"count": 0, "names": []}
    assert facts["looks"] == len(record.values("gradient/missing"))


def test_missing_and_zero_are_shares_and_have_names(watched) -> None:
    model = nn.ModuleDict({name: nn.Linear(3, 2) for name in ("used", "unused", "nullified", "rare")})

    def output(number: int, x: torch.Tensor) -> torch.Tensor:
        rare = model["rare"](x) if number == 2 else 0
        return model["used"](x) + 0 * model["nullified"](x) + rare

    record = _train(watched, output, model)
    looks = len(record.values("gradient/missing"))
    assert record.values("gradient/missing") == pytest.approx([0.5, 0.5, 0.25, 0.5, 0.5, 0.5][:looks])
    assert record.values("gradient/zero") == pytest.approx([0.25] * looks)
    facts = next(iter(record.facts["signals"]["missing_gradients"].values()))
    assert facts["parameters"] == 8
    assert facts["always_missing"]["count"] == 2
    assert facts["always_zero"]["count"] == 2


def test_gradients_too_small_to_be_squared_are_not_zero(watched) -> None:
    model = nn.Linear(3, 2)
    optimizer = SGD(model.parameters(), 0.01)
    with watched() as record:
        for _ in range(5):
            optimizer.zero_grad()
            (model(torch.randn(4, 3)).sum() * 1e-30).backward()
            optimizer.step()
    assert set(record.values("gradient/zero")) == {0}


@pytest.mark.parametrize("to_none", [True, False])
def test_gradients_cleared_before_the_step(watched, to_none: bool) -> None:
    model = nn.Linear(3, 2)
    optimizer = SGD(model.parameters(), 0.01)
    with watched() as record:
        for _ in range(5):
            nn.functional.mse_loss(model(torch.randn(4, 3)), torch.randn(4, 2)).backward()
            optimizer.zero_grad(set_to_none=to_none)
            optimizer.step()
    assert set(record.values("gradient/missing")) == {1.0 if to_none else 0.0}
    assert set(record.values("gradient/zero")) == {0.0 if to_none else 1.0}


def test_parameters_without_elements_do_not_count(watched) -> None:
    model = nn.Linear(3, 2)
    model.register_parameter("empty", nn.Parameter(torch.zeros(0)))
    record = _train(watched, lambda _, x: model(x) + model.empty.sum(), model)
    assert set(record.values("gradient/missing")) == {0}
    assert set(record.values("gradient/zero")) == {0}


def test_after_unfreezing_the_facts_are_counted_anew(watched) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[0].requires_grad_(False)

    def output(number: int, x: torch.Tensor) -> torch.Tensor:
        if number == 3:
            model.requires_grad_(True)
        return model(x)

    record = _train(watched, output, model, steps=5)
    facts = record.facts["signals"]["missing_gradients"]["model"]
    assert (facts["parameters"], facts["looks"]) == (4, 2)


def test_gradients_that_are_gone_between_backward_and_step(watched) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(5):
            nn.functional.mse_loss(model(torch.randn(4, 3)), torch.randn(4, 2)).backward()
            for parameter in model.parameters():
                parameter.grad = None
            optimizer.step()
    # The first step tells which parameters there are.
    assert record.facts["signals"]["missing_gradients"]["model"]["lost"] == 4
