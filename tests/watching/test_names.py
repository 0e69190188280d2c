"""What a program calls its models, and which layer a parameter belongs to."""

from __future__ import annotations

import sys

import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from fitwell.watching.names import Models, name_parameters, unwrapped


class Wrapper(nn.Module):
    """As DistributedDataParallel holds a model."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def test_models_are_called_by_their_variables() -> None:
    models = Models()
    generator, critic = nn.Linear(2, 2), nn.Linear(2, 1)
    for model in (generator, critic, generator):
        models.called(model, sys._getframe())
    del model
    models.called(nn.Sequential(nn.Linear(1, 1)), None)
    models.called(nn.ReLU(), sys._getframe())  # it has no weights
    assert models.order == [("generator", "Linear"), ("critic", "Linear"), ("Sequential", "Sequential")]
    assert [name for name, _ in models.all()] == ["generator", "critic"]  # nobody else holds the third


def test_models_of_one_name_are_numbered() -> None:
    models = Models()
    kept = []
    for _ in range(3):
        net = nn.Linear(1, 1)
        models.called(net, sys._getframe())
        kept.append(net)
    assert [name for name, _ in models.all()] == ["net", "net-2", "net-3"]


def test_models_are_not_kept_alive() -> None:
    models, net = Models(), nn.Linear(1, 1)
    models.called(net, sys._getframe())
    del net
    assert models.all() == []


def test_the_models_of_parameters_leave_out_what_is_within_another() -> None:
    encoder = nn.Linear(2, 2)
    autoencoder, other = nn.Sequential(encoder, nn.Linear(2, 2)), nn.Linear(1, 1)
    models = Models()
    models.called(encoder, sys._getframe())
    models.called(autoencoder, sys._getframe())
    models.called(other, sys._getframe())
    assert models.of(autoencoder.parameters()) == [("autoencoder", autoencoder)]
    assert models.of(other.parameters()) == [("other", other)]
    assert models.of([torch.ones(1)]) == []


def labels(*models: tuple[str, nn.Module]) -> list[tuple[str, str]]:
    parameters = [parameter for _, model in models for parameter in model.parameters()]
    return name_parameters(parameters, models)[0]


def test_a_parameter_is_named_by_its_layer() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 1, bias=False)))
    assert labels(("net", net)) == [("0", "weight"), ("0", "bias"), ("1.0", "weight")]
    assert labels(("line", net[0])) == [("line", "weight"), ("line", "bias")]
    assert labels(("a", net[0]), ("b", net[1])) == [("a", "weight"), ("a", "bias"), ("b.0", "weight")]


def test_modules_are_named_too() -> None:
    net = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    _, layers = name_parameters([], [("net", net)])
    assert layers == {id(net): "net", id(net[0]): "0", id(net[1]): "1"}


def test_a_tied_weight_belongs_to_its_first_layer() -> None:
    net = nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 3, bias=False))
    net[1].weight = net[0].weight
    assert labels(("net", net)) == [("0", "weight")]


def test_a_parameter_of_no_model_has_a_number() -> None:
    assert name_parameters([torch.ones(1), torch.ones(1)], [])[0] == [
        ("parameter_0", "weight"), ("parameter_1", "weight"),
    ]  # fmt: skip


def test_wrappers_and_parametrizations_add_no_names() -> None:
    net = Wrapper(nn.Sequential(weight_norm(nn.Linear(2, 2, bias=False))))
    assert {layer for layer, _ in labels(("net", net))} == {"0"}
    assert {layer for layer, _ in labels(("line", weight_norm(nn.Linear(2, 2))))} == {"line"}
    for path in ("fc", "module.fc", "_orig_mod.fc", "module._orig_mod.fc", "_orig_mod.module.fc"):
        assert unwrapped(path) == "fc"
    assert unwrapped("block.module.fc") == "block.module.fc"
    assert unwrapped("fc.parametrizations") == "fc"
