"""Optimizers of rows against torch's own, weight by weight and state by state."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from fitwell.plan import OptimizerPlan
from fitwell.training.optimizers import make_optimizer
from fitwell.tuning.populations.stacking.optimizers import FORMS, LARGE, Each, Optimizer, stacked_optimizer
from fitwell.tuning.populations.stacking.rows import Rows

CPU = torch.device("cpu")
SETTINGS = [{"weight_decay": 0.0, "momentum": 0.9}, {"weight_decay": 0.1, "momentum": 0.0},
            {"weight_decay": 0.3, "momentum": 0.5}]  # fmt: skip
WIDTHS = {
    "alike": (4, 4, 4),
    "padded": (2, 5, 3),
    "large": (2600, 2600, 2600),
    "large, padded": (2600, 1300, 2000),
}


def net(width: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, width), nn.LayerNorm(width), nn.Linear(width, 2))


def population(
    algorithm: str, widths: tuple[int, ...], **changes: Any
) -> tuple[list[nn.Module], list[torch.optim.Optimizer], list[OptimizerPlan]]:
    plans = [OptimizerPlan(algorithm=algorithm, lr=1.0, **(one | changes)) for one in SETTINGS]
    models = [net(width, seed) for seed, width in enumerate(widths)]
    return (
        models,
        [make_optimizer(plan, model, CPU) for plan, model in zip(plans, models, strict=True)],
        plans,
    )


def rates(step: int) -> list[float]:
    return [0.01 / (1 + step), 0.003, 0.0 if step == 3 else 0.02]


def give_gradients(models: list[nn.Module], others: list[nn.Module], draw: torch.Generator) -> None:
    """The same gradients to the members and to their doubles."""
    for model, other in zip(models, others, strict=True):
        for parameter, double in zip(model.parameters(), other.parameters(), strict=True):
            double.grad = torch.randn(parameter.shape, generator=draw)
            assert parameter.grad is not None
            parameter.grad.copy_(double.grad)


def go(
    made: Optimizer, models: list[nn.Module], doubles: list[nn.Module],
    own: list[torch.optim.Optimizer], steps: range,
) -> None:  # fmt: skip
    draw = torch.Generator().manual_seed(steps.start)
    for step in steps:
        give_gradients(models, doubles, draw)
        first, last = ((0, 3), (0, 2), (0, 3))[step % 3]  # the last member has fewer steps
        made.step(first, last, rates(step)[first:last])
        for optimizer, rate in list(zip(own, rates(step), strict=True))[first:last]:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()


def same(
    models: list[nn.Module], optimizers: list[torch.optim.Optimizer],
    doubles: list[nn.Module], others: list[torch.optim.Optimizer],
) -> None:  # fmt: skip
    for model, optimizer, double, other in zip(models, optimizers, doubles, others, strict=True):
        for parameter, expected in zip(model.parameters(), double.parameters(), strict=True):
            torch.testing.assert_close(parameter, expected, rtol=1e-5, atol=1e-6)
            for slot, value in other.state[expected].items():
                if isinstance(value, torch.Tensor):
                    torch.testing.assert_close(optimizer.state[parameter][slot], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("algorithm", [*FORMS, "nadam", "adagrad", "radam"])
def test_each_row_is_moved_as_torch_moves_it(algorithm: str, widths: str) -> None:
    models, own, plans = population(algorithm, WIDTHS[widths])
    doubles = copy.deepcopy(models)
    others = [make_optimizer(plan, model, CPU) for plan, model in zip(plans, doubles, strict=True)]
    rows = Rows(models, [torch.Generator() for _ in models])
    assert (rows.layout.width >= LARGE) == widths.startswith("large")
    made = stacked_optimizer(plans, rows, own)
    assert isinstance(made, FORMS.get(algorithm, Each))
    go(made, models, doubles, others, range(10))
    made.tell(own)
    same(models, own, doubles, others)
    if rows.mask_KP is not None:
        assert (rows.weights_KP[rows.mask_KP == 0] == 0).all()


def at_rate(optimizers: list[torch.optim.Optimizer], rate: float) -> None:
    """A step of torch's own."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()


def own_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Tensors that lie together, which torch's fused kernels need."""
    for parameter in model.parameters():
        parameter.data, parameter.grad = parameter.data.contiguous(), torch.zeros(parameter.shape)
        state = optimizer.state[parameter]
        state.update({name: value.contiguous() for name, value in state.items()})


@pytest.mark.parametrize("algorithm", [*FORMS, "nadam"])
def test_state_is_taken_over_from_torch_and_given_back(algorithm: str) -> None:
    """A step of torch's, some of the rows', some of other rows', one of torch's again."""
    models, own, plans = population(algorithm, WIDTHS["padded"])
    doubles = copy.deepcopy(models)
    others = [make_optimizer(plan, model, CPU) for plan, model in zip(plans, doubles, strict=True)]
    draw = torch.Generator().manual_seed(9)
    for parameter in (parameter for model in models for parameter in model.parameters()):
        parameter.grad = torch.zeros_like(parameter)
    give_gradients(models, doubles, draw)
    at_rate(own, 0.01)
    at_rate(others, 0.01)
    for start in (0, 4):
        made = stacked_optimizer(plans, Rows(models, [torch.Generator()] * 3), own)
        go(made, models, doubles, others, range(start, start + 4))
        made.tell(own)
        same(models, own, doubles, others)
    for model, optimizer in zip(models, own, strict=True):
        own_tensors(model, optimizer)
    give_gradients(models, doubles, draw)
    at_rate(own, 0.01)
    at_rate(others, 0.01)
    same(models, own, doubles, others)


@pytest.mark.parametrize("algorithm", FORMS)
def test_a_state_can_be_saved_before_the_first_step(algorithm: str) -> None:
    models, own, plans = population(algorithm, WIDTHS["alike"])
    stacked_optimizer(plans, Rows(models, [torch.Generator()] * 3), own)
    for seed, (optimizer, plan) in enumerate(zip(own, plans, strict=True)):
        fresh, never = net(4, seed), net(4, seed)
        again, other = make_optimizer(plan, fresh, CPU), make_optimizer(plan, never, CPU)
        again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for model, one in ((fresh, again), (never, other)):
            for parameter in model.parameters():
                parameter.grad = torch.ones_like(parameter)
            one.step()
        for one, expected in zip(fresh.parameters(), never.parameters(), strict=True):
            torch.testing.assert_close(one, expected)


@pytest.mark.parametrize("algorithm", ["nadam", "adam"])
def test_the_rates_of_torchs_own_optimizers_stay_the_schedules(algorithm: str) -> None:
    """The next epoch goes on from them."""
    models, own, plans = population(algorithm, WIDTHS["padded"], options={"betas": (0.8, 0.9)})
    made = stacked_optimizer(plans, Rows(models, [torch.Generator()] * 3), own)
    assert isinstance(made, Each)
    groups = copy.deepcopy([optimizer.state_dict()["param_groups"] for optimizer in own])
    give_gradients(models, copy.deepcopy(models), torch.Generator())
    made.step(0, 3, [0.1, 0.2, 0.3])
    assert [optimizer.state_dict()["param_groups"] for optimizer in own] == groups


def test_options_are_torchs_own_to_read() -> None:
    for algorithm, options in (("adam", {"amsgrad": True}), ("sgd", {"nesterov": True}), ("AdamW", {})):
        models, own, plans = population(algorithm, WIDTHS["alike"], momentum=0.9, options=options)
        made = stacked_optimizer(plans, Rows(models, [torch.Generator()] * 3), own)
        assert isinstance(made, Each) is bool(options)
