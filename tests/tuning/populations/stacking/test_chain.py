"""A chain goes through layers one by one, and back no further than there are weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fitwell.models.mlp import Mlp
from fitwell.tuning.populations.stacking import stack
from fitwell.tuning.populations.stacking.chain import Chain, Recorded
from fitwell.tuning.populations.stacking.rows import Rows


def chain_of(models: Sequence[nn.Module]) -> tuple[Chain, Rows]:
    rows = Rows(models, [torch.Generator() for _ in models])
    return Chain(stack(models, rows.between(0, len(models))).train()), rows


def test_perceptrons_and_sequences_are_taken_apart() -> None:
    models = [
        Mlp(
            [
                nn.Flatten(),
                nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU())),
                nn.Tanh(),
                nn.Linear(3, 2),
            ]
        )
        for _ in range(2)
    ]
    links = [link.layer if isinstance(link, Recorded) else link for link in chain_of(models)[0].links]
    names = ["StackedFlatten", "StackedLinear", "StackedRelu", "Tanh", "StackedLinear"]
    assert [type(link).__name__ for link in links] == names


class Noticing(nn.Module):
    """Notices whether its input's gradient is asked for."""

    wanted: list[bool]

    def forward(self, x: Tensor) -> Tensor:
        self.wanted.append(x.requires_grad)
        return x * 2


def test_nothing_is_recorded_where_no_weights_come_before() -> None:
    models = [nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)) for _ in range(2)]
    chain, _ = chain_of(models)
    before, after = Noticing(), Noticing()
    before.wanted, after.wanted = [], []
    chain.links.insert(1, Recorded(before))
    chain.links.insert(3, Recorded(after))
    outputs = chain.ahead(torch.randn(1, 5, 2, 2))
    assert (before.wanted, after.wanted) == ([False], [True])
    assert not outputs.requires_grad
    chain.back(torch.ones_like(outputs))
    assert before.wanted == [False]


def test_gradients_of_several_batches_are_added() -> None:
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2)) for _ in range(3)]
    doubles, batches = copy.deepcopy(models), [torch.randn(1, size, 4) for size in (5, 5, 3)]
    rows = Rows(models, [torch.Generator() for _ in models])
    view = rows.between(0, 3)
    chain = Chain(stack(models, view).train())
    for _ in range(2):  # the second step knows nothing of the first
        view.begin_step()
        for x in batches:
            outputs = chain.ahead(x)
            chain.back(outputs.cos())
            view.adding = True
        view.end_step()
    for model, double in zip(models, doubles, strict=True):
        for x in batches:
            output = double(x[0])
            output.backward(output.detach().cos())
        for parameter, expected in zip(model.parameters(), double.parameters(), strict=True):
            assert parameter.grad is not None
            torch.testing.assert_close(parameter.grad, expected.grad, rtol=1e-4, atol=1e-5)


def test_a_model_without_weights_before_its_end_stops_there() -> None:
    models = [nn.Sequential(nn.Flatten(), nn.Tanh(), nn.Linear(4, 2)) for _ in range(2)]
    chain, rows = chain_of(models)
    outputs = chain.ahead(torch.ones(1, 3, 2, 2))
    chain.back(torch.ones_like(outputs))
    bias_KO = rows.layout.places["2.bias"].of(rows.gradients_KP)
    assert (bias_KO == 3).all()
