"""Learning rates are recorded as the steps used them."""

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import ExponentialLR

from fitwell.watching.moments import Step
from fitwell.watching.signals.learning_rate import SIGNAL


def _train(model: nn.Module, optimizer: Optimizer, steps: int, gamma: float = 1.0) -> list[float]:
    scheduler, rates = ExponentialLR(optimizer, gamma), []
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(torch.randn(4, 3)), torch.randn(4, 2)).backward()
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates


def test_the_rate_of_each_step_before_the_scheduler_changes_it(watched) -> None:
    model = nn.Linear(3, 2)
    with watched() as record:
        rates = _train(model, SGD(model.parameters(), 0.1), 5, gamma=0.5)
    assert record.values("lr") == pytest.approx(rates)
    assert record.values("lr/group_1") == []


def test_a_rate_that_is_a_tensor_changed_in_place(watched) -> None:
    model = nn.Linear(3, 2)
    with watched() as record:
        rates = _train(model, Adam(model.parameters(), torch.tensor(0.1)), 5, gamma=0.5)
    assert record.values("lr") == pytest.approx(rates)


def test_each_group_and_the_first_settings(watched) -> None:
    model = nn.Linear(3, 2)
    groups = [{"params": [model.weight], "weight_decay": 0.3}, {"params": [model.bias], "lr": 0.2}]
    with watched() as record:
        _train(model, Adam(groups, 0.1, betas=(0.8, 0.9)), 6)
    assert record.values("lr/group_1") == pytest.approx([0.2] * len(record.values("lr")))
    facts = record.facts["signals"]["learning_rate"]["model"]
    assert facts["groups"] == 2
    assert facts["optimizer"] == "Adam"
    expected = {"lr": 0.1, "betas": [0.8, 0.9], "eps": 1e-8, "weight_decay": 0.3, "amsgrad": False}
    assert facts["first_group"] == expected


class _Plain(Optimizer):
    """Has no learning rate that is a number."""

    def __init__(self, parameters: list[Tensor]) -> None:
        super().__init__(parameters, {"lr": None})

    def step(self, closure: None = None) -> None:
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                parameter.sub_(0.1 * parameter.grad)


def test_an_optimizer_without_a_rate(watched) -> None:
    model = nn.Linear(3, 2)
    optimizer = _Plain(list(model.parameters()))
    with watched() as record:
        for _ in range(6):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(torch.randn(4, 3)), torch.randn(4, 2)).backward()
            optimizer.step()
    assert record.values("lr") == []
    assert record.values("gradient/norm")
    (found,) = record.facts["signals"]["learning_rate"].values()
    assert found["first_group"] == {"lr": None}


def test_what_is_recorded_stays_when_the_program_changes_its_tensor() -> None:
    rate = torch.tensor(0.5)
    optimizer = Adam([nn.Parameter(torch.ones(1))], rate)
    step = Step("model", 1, optimizer, [], [], {}, False, None)
    SIGNAL.start().after_step(step)
    rate.zero_()
    assert float(step.signals["lr"]) == 0.5


def test_the_rate_at_the_end_of_a_pass(watched) -> None:
    model = nn.Linear(3, 2)
    optimizer = SGD(model.parameters(), 0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.randn(80, 3), torch.randn(80, 2)), 4
    )
    with watched(1e-9) as record:
        for _ in range(3):
            for x, y in loader:
                optimizer.zero_grad()
                nn.functional.mse_loss(model(x), y).backward()
                optimizer.step()
            scheduler.step()
    assert min(record.values("lr")) <= 0.05, "although nobody looks any more"
