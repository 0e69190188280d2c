"""A stacked model says, and minimises, what those of its members say and minimise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fitwell.data.contract import Data
from fitwell.models import families, supervised
from fitwell.plan import ModelPlan
from fitwell.shape import Shape
from fitwell.tuning.populations.members import Member, form
from fitwell.tuning.populations.population import Population
from fitwell.tuning.populations.solo import Solo
from fitwell.tuning.populations.stacked import Stacked
from fitwell.tuning.populations.stacking import Unstackable
from fitwell.tuning.populations.stacking.mapped import Mapped
from fitwell.tuning.populations.stacking.rows import Rows

Make = Callable[..., Member]
Build = Callable[[ModelPlan, int, int], nn.Module]


def rows_of(members: list[Member]) -> Rows:
    return Rows([one.job.model for one in members], [one.stream for one in members])


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("digits", {"norm": "layer", "label_smoothing": 0.1}),
    "statistics": ("digits", {"norm": "batch", "class_weights": True}),
    "cnn": ("pictures", {"model": "cnn", "norm": "batch"}),
    "numbers": ("numbers", {"embedding": "periodic", "function": "huber"}),
    "columns": ("table", {"activation": "tanh"}),
    "binary": ("binary", {"label_smoothing": 0.2}),
}


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
@pytest.mark.parametrize("name", CASES)
def test_losses_outputs_and_gradients_are_the_members(
    name: str, shared: bool, make: Make, request: pytest.FixtureRequest
) -> None:
    source, changes = CASES[name]
    data = request.getfixturevalue(source)
    pairs = ((6, 4), (4, 8), (6, 9))
    members = [make(data, hidden=hidden, seed=seed, **changes) for seed, hidden in enumerate(pairs)]
    batches = [data.train.take(data.train.index[:20] + (0 if shared else place)) for place in range(3)]
    losses, gradients = [], []
    for one, batch in zip(members, batches, strict=True):
        loss = one.job.family.loss(one.job.model, batch)
        names, parameters = zip(*one.job.model.named_parameters(), strict=True)
        losses.append(loss.detach())
        gradients.append(dict(zip(names, torch.autograd.grad(loss, parameters), strict=True)))
    fresh = [make(data, hidden=hidden, seed=seed, **changes) for seed, hidden in enumerate(pairs)]
    rows = rows_of(fresh)
    stacked = Stacked(rows.between(0, 3), [one.job for one in fresh])
    fields = {
        key: batches[0][key][None] if shared else torch.stack([batch[key] for batch in batches])
        for key in batches[0]
    }
    stacked.module.train()
    stacked.view.begin_step()
    found_K = stacked.learn(fields, 0.5)
    stacked.view.end_step()
    torch.testing.assert_close(found_K, torch.stack(losses), rtol=1e-5, atol=1e-6)
    for row, own, one in zip(rows.gradients_KP, gradients, fresh, strict=True):
        for key, _, view in rows.layout.of(row, one.job.model):
            torch.testing.assert_close(view, 0.5 * own[key], rtol=1e-4, atol=1e-6)
    stacked.module.eval()
    with torch.inference_mode():
        outputs_KBO = stacked.outputs(fields)
        for one, batch, outputs in zip(fresh, batches, outputs_KBO, strict=True):
            one.job.model.eval()
            torch.testing.assert_close(
                outputs, one.job.family.predict(one.job.model, batch), rtol=1e-4, atol=1e-5
            )


class Gated(nn.Module):
    """A layer that nothing is known of: x w1 times the sigmoid of x w2, and the features' spread."""

    def __init__(self, width: int, power: float = 1.0) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.power = power
        self.register_buffer("scale", torch.rand(width))

    scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        factor = 1.0 if self.training else 0.9
        spread = x.std(-1, keepdim=True)
        return factor * self.value(x) * torch.sigmoid(self.gate(x)) ** self.power * self.scale + spread


class Drawing(nn.Module):
    """Draws random numbers without a module for it."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.3, self.training)


class Dropping(nn.Module):
    """A dropout within a module that nothing is known of."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.drop(x))


class Branching(nn.Module):
    """Does what depends on the values, which vmap refuses."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> Callable[[Build], str]:
    """Adds a family of models, built from (plan, inputs, outputs)."""
    mlp = families()["mlp"]

    def add(build: Build) -> str:
        def whole(plan: ModelPlan, shape: Shape) -> nn.Module:
            return build(plan, shape.inputs["x"].shape[0], shape.target.outputs)

        monkeypatch.setitem(families(), "mine", supervised(whole, mlp.defaults, lambda _shape: None))
        return "mine"

    return add


class Net(nn.Module):
    """Passes its input through layers, with a forward of its own."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.body(x)
        return output


def sequence(*layers: nn.Module) -> nn.Module:
    """A model whose layers are stacked one by one."""
    from fitwell.models.mlp import Mlp

    return Mlp(list(layers))


def test_a_module_that_nothing_is_known_of_is_mapped(
    family: Callable[[Build], str], numbers: Data, make: Make, equal_to_alone: Callable[[list[Member]], None]
) -> None:
    """It has a forward, a buffer and a mode of its own, and trains as it does alone."""
    name = family(lambda _plan, i, o: sequence(nn.Linear(i, 6), Gated(6), nn.Linear(6, o)))
    members = [make(numbers, model=name, lr=lr, seed=seed) for lr, seed in ((1e-3, 0), (1e-2, 1))]
    stack = Population(members).stack(0, 2)
    assert sum(isinstance(module, Mapped) for module in stack.module.modules()) == 1
    equal_to_alone([make(numbers, model=name, lr=lr, seed=seed) for lr, seed in ((1e-3, 0), (1e-2, 1))])


def test_a_whole_model_may_be_mapped(
    family: Callable[[Build], str], numbers: Data, make: Make, equal_to_alone: Callable[[list[Member]], None]
) -> None:
    name = family(lambda _plan, i, o: Net(nn.Linear(i, 6), nn.ReLU(), Gated(6), nn.Linear(6, o)))
    equal_to_alone([make(numbers, model=name, lr=lr, ema=0.9, accumulate=2) for lr in (1e-3, 1e-2)])


def test_a_model_may_be_a_single_layer(
    family: Callable[[Build], str], numbers: Data, make: Make, equal_to_alone: Callable[[list[Member]], None]
) -> None:
    name = family(lambda _plan, i, o: nn.Linear(i, o))
    equal_to_alone([make(numbers, model=name, lr=lr) for lr in (1e-3, 1e-2)])


def tied(_plan: ModelPlan, inputs: int, outputs: int) -> nn.Module:
    layer = nn.Linear(inputs, inputs)
    return sequence(layer, nn.Tanh(), layer, nn.Linear(inputs, outputs))


def frozen(_plan: ModelPlan, inputs: int, outputs: int) -> nn.Module:
    return sequence(nn.Linear(inputs, 4).requires_grad_(False), nn.Linear(4, outputs))


def of_power(plan: ModelPlan, inputs: int, outputs: int) -> nn.Module:
    return sequence(
        nn.Linear(inputs, 4), Gated(4, 1.0 if plan.hidden == (12,) else 2.0), nn.Linear(4, outputs)
    )


def softmax(plan: ModelPlan, inputs: int, outputs: int) -> nn.Module:
    width = int(plan.hidden[0])
    return sequence(nn.Linear(inputs, width), nn.Softmax(-1), nn.Linear(width, outputs))


REFUSED: dict[str, tuple[Build, list[dict[str, Any]], str]] = {
    "shared modules": (tied, [{}, {}], "shared by several modules"),
    "frozen weights": (frozen, [{}, {}], "is not trained"),
    "dropout within": (lambda _p, i, o: sequence(Dropping(), nn.Linear(i, o)), [{}, {}], "drop is a Dropout"),
    "draws": (lambda _p, i, o: sequence(Drawing(), nn.Linear(i, o)), [{}, {}], "vmap"),
    "draws in the middle": (
        lambda _p, i, o: sequence(nn.Linear(i, i), Net(Drawing()), nn.Linear(i, o)), [{}, {}], "vmap",
    ),
    "branches": (lambda _p, i, o: sequence(Branching(), nn.Linear(i, o)), [{}, {}], "vmap"),
    "different settings": (of_power, [{"hidden": (12,)}, {"hidden": (8,)}], "different widths or settings"),
    "pads that would count": (softmax, [{"hidden": (12,)}, {"hidden": (8,)}], "of different number"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_stacked_says_why_and_trains_alone(
    name: str, family: Callable[[Build], str], numbers: Data, make: Make, tools: Any
) -> None:
    build, changes, why = REFUSED[name]
    mine = family(build)
    members = [make(numbers, model=mine, epochs=2, **one) for one in changes]
    assert len({form(one.job) for one in members}) == 1
    with pytest.raises(Unstackable, match=why):
        Population(members)
    for one in members:
        solo = Solo(one)
        while not one.finished:
            solo.epoch()
        tools.same_job(tools.alone(one)[0], one.job)
