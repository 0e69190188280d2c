"""A module that nothing is known of, mapped over the members' weights, does what each member's does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fitwell.tuning.populations.stacking import Unstackable
from fitwell.tuning.populations.stacking.mapped import Mapped
from fitwell.tuning.populations.stacking.rows import Rows, View


class Attention(nn.Module):
    """Features that look at each other, with a buffer, a mode and a setting."""

    def __init__(self, width: int = 3, setting: Any = 1.0) -> None:
        super().__init__()
        self.keys, self.values = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.setting = setting
        self.register_buffer("scale", torch.rand(width))

    scale: Tensor

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        seen = torch.softmax(self.keys(x) * self.scale, -1) * self.values(x if other is None else other)
        return seen if self.training else seen * 2


def view_of(models: list[nn.Module]) -> View:
    return Rows(models, [torch.Generator() for _ in models]).between(0, len(models))


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_it_is_each_members_module(training: bool, shared: bool) -> None:
    torch.manual_seed(0)
    models = [Attention() for _ in range(4)]
    inputs = [torch.randn(1 if shared else 4, 5, 3, requires_grad=not shared) for _ in range(2)]
    toward = torch.randn(4, 5, 3)
    outputs, weights = [], []
    for place, model in enumerate(models):
        own = [x[0 if shared else place] for x in inputs]
        outputs.append(model.train(training)(*own))
        weights.append(
            torch.autograd.grad(outputs[-1], list(model.parameters()), toward[place], retain_graph=True)
        )
    by_inputs = None if shared else torch.autograd.grad(torch.stack(outputs), inputs, toward)
    view = view_of(list(models))
    mapped = Mapped(models, view, "").train(training)
    view.begin_step()
    found = mapped(*inputs)
    torch.testing.assert_close(found, torch.stack(outputs).detach())
    found.backward(toward)
    view.end_step()
    for place, (model, own) in enumerate(zip(models, weights, strict=True)):
        for parameter, gradient in zip(model.parameters(), own, strict=True):
            assert parameter.grad is not None
            torch.testing.assert_close(parameter.grad, gradient, msg=f"member {place}")
    if by_inputs is not None:
        for x, gradient in zip(inputs, by_inputs, strict=True):
            torch.testing.assert_close(x.grad, gradient)


def test_some_members_alone() -> None:
    models = [Attention() for _ in range(4)]
    rows = Rows(models, [torch.Generator() for _ in models])
    x = torch.randn(1, 5, 3)
    whole, part = Mapped(models, rows.between(0, 4), ""), Mapped(models[1:3], rows.between(1, 3), "")
    torch.testing.assert_close(part(x), whole(x)[1:3])


def test_a_changed_weight_counts_at_once() -> None:
    models = [Attention() for _ in range(2)]
    mapped, x = Mapped(models, view_of(list(models)), ""), torch.randn(1, 5, 3)
    with torch.no_grad():
        models[1].keys.weight.add_(1.0)
        models[1].scale.mul_(2.0)
        torch.testing.assert_close(mapped(x)[1], models[1](x[0]))


class Listed:
    """An object that is only equal to itself."""


SAME = [(1.0, 1.0), ((1, 2), (1, 2)), ([1, 2], [1, 2]), ("a", "a"), (None, None), (torch.relu, torch.relu),
        (torch.ones(2), torch.ones(2))]  # fmt: skip
DIFFERENT = [(1.0, 2.0), ((1, 2), (1, 3)), (1, None), (torch.relu, torch.tanh), (torch.ones(2), torch.zeros(2)),
             (torch.ones(2), 1.0), (Listed(), Listed()), ([torch.ones(2)], [torch.ones(2)])]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME, ids=lambda value: type(value).__name__)
def test_equal_settings_are_mapped(one: Any, other: Any) -> None:
    models = [Attention(setting=one), Attention(setting=other)]
    Mapped(models, view_of(list(models)), "")


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=lambda _: "")
def test_settings_that_are_not_told_to_be_equal_are_refused(one: Any, other: Any) -> None:
    """Though nothing shows them: one member's forward would stand for both."""
    models = [Attention(setting=one), Attention(setting=other)]
    with pytest.raises(Unstackable, match="body has different widths or settings"):
        Mapped(models, view_of([nn.Sequential(model) for model in models]), "body")


def test_other_widths_are_refused() -> None:
    models = [Attention(3), Attention(4)]
    with pytest.raises(Unstackable, match="Attention has different widths"):
        Mapped(models, view_of(list(models)), "")


def test_what_pads_its_input_would_count() -> None:
    view = view_of([nn.Linear(1, 1), nn.Linear(1, 1)])
    view.put_out([2, 3], 3)
    with pytest.raises(Unstackable, match="reads features of different number"):
        Mapped([nn.Softmax(-1), nn.Softmax(-1)], view, "soft")


@pytest.mark.parametrize(
    "inner", [nn.Dropout(), nn.Dropout2d(), nn.AlphaDropout(), nn.RReLU(), nn.BatchNorm1d(3), nn.InstanceNorm1d(3)],
    ids=lambda module: type(module).__name__,
)  # fmt: skip
def test_what_draws_or_changes_buffers_is_refused(inner: nn.Module) -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.inner = nn.Parameter(torch.ones(1)), inner

    models = [Around(), Around()]
    with pytest.raises(Unstackable, match=rf"Around\.inner is a {type(inner).__name__}"):
        Mapped(models, view_of([nn.Linear(1, 1), nn.Linear(1, 1)]), "")
