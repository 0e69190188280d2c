"""Which layer stacks which modules, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fitwell.discovery import members
from fitwell.models import ACTIVATIONS
from fitwell.tuning.populations.stacking import (
    Layer,
    Unstackable,
    find_layer,
    settings,
    stack,
    with_stacked_children,
)
from fitwell.tuning.populations.stacking.layers.elementwise import StackedElementwise
from fitwell.tuning.populations.stacking.layers.relu import StackedRelu
from fitwell.tuning.populations.stacking.mapped import Mapped
from fitwell.tuning.populations.stacking.rows import Rows, View

LAYERS: dict[str, Layer] = members("fitwell.tuning.populations.stacking.layers", "LAYER")


class Own(nn.Linear):
    """A subclass may do something else."""


def view_of(*models: nn.Module) -> View:
    return Rows(models, [torch.Generator() for _ in models]).between(0, len(models))


def view() -> View:
    return view_of(nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1))


def test_each_type_has_a_layer_that_takes_it_alone() -> None:
    for layer in LAYERS.values():
        for kind in layer.of:
            found = find_layer({kind})
            assert found is not None
            assert kind in found.of


def test_types_are_taken_exactly() -> None:
    assert find_layer({nn.Linear}) is LAYERS["linear"]
    assert find_layer({Own}) is None
    assert find_layer({nn.Bilinear}) is None


def test_of_several_layers_the_one_for_the_fewest_types_is_taken() -> None:
    assert find_layer({nn.ReLU}) is LAYERS["relu"]
    assert find_layer({nn.Tanh}) is LAYERS["elementwise"]


def test_all_activations_share_a_layer() -> None:
    assert find_layer(set(ACTIVATIONS.values())) is LAYERS["elementwise"]


def test_only_a_layer_that_mixes_takes_modules_of_different_types() -> None:
    assert find_layer({nn.MaxPool2d, nn.AvgPool2d}) is None
    assert find_layer({nn.Sequential, nn.ModuleList}) is None
    assert find_layer({nn.ReLU, nn.Linear}) is None
    with pytest.raises(Unstackable, match="body is AvgPool2d and MaxPool2d"):
        stack([nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AvgPool2d(2)], view(), "body")


def test_one_kind_is_one_call() -> None:
    assert isinstance(stack([nn.ReLU() for _ in range(3)], view()), StackedRelu)
    assert isinstance(stack([nn.LeakyReLU(0.1) for _ in range(3)], view()), nn.LeakyReLU)


@pytest.mark.parametrize(
    ("modules", "counts"),
    [
        ([nn.ReLU(), nn.ReLU(), nn.Tanh()], [2, 1]),
        ([nn.Tanh(), nn.ReLU(), nn.Tanh()], [1, 1, 1]),
        ([nn.LeakyReLU(0.1), nn.LeakyReLU(0.2), nn.LeakyReLU(0.2)], [1, 2]),
        ([nn.GELU(), nn.GELU(approximate="tanh"), nn.Identity()], [1, 1, 1]),
    ],
    ids=["types", "in turn", "settings", "settings and types"],
)
def test_members_of_a_kind_that_are_consecutive_are_one_call(
    modules: list[nn.Module], counts: list[int]
) -> None:
    stacked = stack(modules, view())
    assert isinstance(stacked, StackedElementwise)
    assert stacked.counts == counts


def test_mixed_activations_lie_in_memory_as_what_came_did() -> None:
    """Features before samples, and channels last: the next layer need not copy them."""
    stacked = stack([nn.ReLU(), nn.Tanh(), nn.SiLU()], view())
    x_KBF = torch.randn(3, 5, 4).mT.contiguous().mT
    assert stacked(x_KBF).stride() == x_KBF.stride()
    maps_BCHW = torch.randn(5, 12, 4, 4).contiguous(memory_format=torch.channels_last)
    x_KBCHW = maps_BCHW.unflatten(1, (3, 4)).transpose(0, 1)
    assert stacked(x_KBCHW).stride() == x_KBCHW.stride()


def test_settings_are_all_that_was_set_and_no_weights() -> None:
    assert settings(nn.LeakyReLU(0.1)) == settings(nn.LeakyReLU(0.1).eval()) != settings(nn.LeakyReLU(0.2))
    assert settings(nn.Linear(2, 3)) == settings(nn.Linear(2, 3)) != settings(nn.Linear(2, 4))
    assert settings(nn.AvgPool2d(2)) != settings(nn.AvgPool2d(2, ceil_mode=True))
    assert settings(nn.ReLU()) != settings(nn.Tanh())
    assert settings(nn.Sequential(nn.ELU(1.0))) != settings(nn.Sequential(nn.ELU(2.0)))


def test_containers_are_copied_with_stacked_children() -> None:
    models = [nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for _ in range(3)]
    for model in models:
        model.criterion = nn.MSELoss()
    stacked = with_stacked_children(models, view_of(*models), "")
    assert type(stacked) is nn.Sequential
    assert stacked is not models[0]
    assert [type(child).__name__ for child in stacked.children()] == ["StackedLinear", "StackedRelu"]
    assert list(models[0]._modules) == ["0", "1", "criterion"]


def test_other_children_are_refused() -> None:
    models = [nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2), nn.ReLU())]
    with pytest.raises(Unstackable, match="body has different layers"):
        with_stacked_children(models, view_of(*models), "body")


def test_what_has_no_layer_is_mapped() -> None:
    modules = [Own(2, 2) for _ in range(3)]
    assert isinstance(stack(modules, view_of(*modules)), Mapped)
