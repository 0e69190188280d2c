"""Every optimizer of torch by its name, with weight decay where it belongs."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from fitwell.errors import PlanError
from fitwell.plan import OptimizerPlan
from fitwell.training.optimizers import make_optimizer, parameter_groups

CPU = torch.device("cpu")
NAMES = sorted(
    name
    for name, cls in vars(torch.optim).items()
    if isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)
    if name not in ("Optimizer", "LBFGS", "Muon", "SparseAdam")
)


class Net(nn.Module):
    """A member of every sort of parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.convolution = nn.Conv1d(1, 4, 3, padding=1)
        self.batch, self.group = nn.BatchNorm1d(4), nn.GroupNorm(2, 4)
        self.layer = nn.LayerNorm((4, 3))
        self.linear = nn.Linear(12, 2)
        self.bias_matrix = nn.Parameter(torch.zeros(1, 2))
        self.frozen = nn.Linear(2, 2).requires_grad_(False)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        x = self.convolution(self.embedding(codes)[:, None])
        return self.frozen(self.linear(self.layer(self.group(self.batch(x))).flatten(1)) + self.bias_matrix)


def plan(**values: Any) -> OptimizerPlan:
    return OptimizerPlan(**{"lr": 0.01, "weight_decay": 0.1} | values)


def net() -> Net:
    torch.manual_seed(0)
    return Net()


def backward(model: nn.Module) -> None:
    model(torch.tensor([0, 1, 2, 3, 4, 0])).square().sum().backward()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("decay", [0.1, 0.0])
def test_every_optimizer_of_torch_takes_a_step(name: str, decay: float) -> None:
    model = net()
    before = {key: value.clone() for key, value in model.named_parameters()}
    optimizer = make_optimizer(plan(algorithm=name.lower(), weight_decay=decay), model, CPU)
    assert type(optimizer).__name__ == name
    backward(model)
    optimizer.step()
    changed = {key for key, value in model.named_parameters() if not torch.equal(value, before[key])}
    assert "linear.weight" in changed
    assert "frozen.weight" not in changed
    assert all(bool(value.isfinite().all()) for value in model.parameters())


@pytest.mark.parametrize("decay", [0.1, 0.0])
def test_decay_is_for_matrices_and_every_parameter_is_in_one_group(decay: float) -> None:
    model = net()
    optimizer = make_optimizer(plan(weight_decay=decay), model, CPU)
    names = {id(value): key for key, value in model.named_parameters()}
    decays = [
        (names[id(p)], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]
    ]
    trainable = {key for key, value in model.named_parameters() if value.requires_grad}
    assert sorted(key for key, _ in decays) == sorted(trainable)
    assert {key for key, value in decays if value == 0.1} == (
        {"convolution.weight", "linear.weight"} if decay else set()
    )
    assert {value for _, value in decays} <= {decay, 0.0}  # not AdamW's own default


def test_no_group_is_empty() -> None:
    groups = parameter_groups(nn.Linear(2, 2, bias=False), 0.1)
    assert [len(group["params"]) for group in groups] == [1]


def test_one_step_is_that_of_adamw() -> None:
    mine, peer = net(), net()
    optimizer = make_optimizer(plan(options={"betas": (0.8, 0.9)}), mine, CPU)
    decayed = ("convolution.weight", "linear.weight")
    expected = torch.optim.AdamW(
        [
            {"params": [p for n, p in peer.named_parameters() if n in decayed]},
            {
                "params": [p for n, p in peer.named_parameters() if n not in decayed and p.requires_grad],
                "weight_decay": 0.0,
            },
        ],
        lr=0.01,
        weight_decay=0.1,
        betas=(0.8, 0.9),
        fused=True,
    )
    for _ in range(3):
        for model, one in ((mine, optimizer), (peer, expected)):
            one.zero_grad()
            backward(model)
            one.step()
    for one, other in zip(mine.parameters(), peer.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["sgd", "rmsprop"])
def test_momentum_is_that_of_the_plan(name: str) -> None:
    optimizer = make_optimizer(plan(algorithm=name, momentum=0.7), net(), CPU)
    assert {group["momentum"] for group in optimizer.param_groups} == {0.7}


def test_names_are_found_in_any_case() -> None:
    assert isinstance(make_optimizer(plan(algorithm="RMSprop"), net(), CPU), torch.optim.RMSprop)


@pytest.mark.parametrize("name", ["adan", "optimizer", "lbfgs", "Muon", "SparseAdam", "lr_scheduler", ""])
def test_an_unknown_name_is_refused_with_those_that_are_known(name: str) -> None:
    with pytest.raises(PlanError, match="adamw") as caught:
        make_optimizer(plan(algorithm=name), net(), CPU)
    assert repr(name) in str(caught.value)
    assert "lbfgs" not in caught.value.expected


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"betaz": (0.9, 0.99)}, "betaz"),
        ({"betas": (2.0, 0.9)}, "beta"),
        ({"eps": "small"}, "eps|refuses|not supported"),
        ({"params": []}, "params"),
    ],
)
def test_an_argument_that_it_does_not_take_is_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(PlanError, match=word):
        make_optimizer(plan(options=options), net(), CPU)


def test_options_come_before_what_the_plan_would_choose() -> None:
    model = net()
    optimizer = make_optimizer(plan(options={"foreach": True, "amsgrad": True}), model, CPU)
    assert optimizer.defaults["foreach"] is True
    assert not optimizer.defaults["fused"]
    assert optimizer.defaults["amsgrad"] is True
    copy.deepcopy(optimizer.state_dict())
