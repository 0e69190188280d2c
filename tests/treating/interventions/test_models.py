"""Activations, dropout, normalization, modes and first weights of models."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from small_nets import changed
from torch import Tensor, nn

PLACES = pytest.mark.parametrize("forked", [False, True], ids=["rerun", "fork"])


def learn(model: nn.Module, x: Tensor) -> None:
    """A backward: what lies between layers is known afterwards."""
    model(x).sum().backward()


@PLACES
def test_hidden_activations_are_others_and_the_output_is_not(forked: bool) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8),
                          nn.ReLU(inplace=True), nn.Linear(8, 1), nn.Sigmoid()).eval()  # fmt: skip
    twin, x = copy.deepcopy(model), torch.randn(5, 8)
    twin[1], twin[4], twin[6] = nn.GELU(), nn.GELU(), nn.GELU()
    plain = model(x)
    with changed("activation", forked=forked, name="gelu"):
        learn(model, x)
        torch.testing.assert_close(model(x), twin(x))
        torch.testing.assert_close(copy.deepcopy(model)(x), twin(x))
        model(x).sum().backward()
    torch.testing.assert_close(model(x), plain)


def test_an_activation_is_put_where_there_is_none() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.0), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    x = torch.randn(3, 4)
    twin = nn.Sequential(model[0], nn.ReLU(), *model[2:])
    wanted = twin(x)
    with changed("add_activations", name="relu"):
        learn(model, x)
        torch.testing.assert_close(model(x), wanted)


@PLACES
def test_dropout_after_hidden_activations_in_training(forked: bool) -> None:
    model = nn.Sequential(nn.Linear(4, 1000), nn.ReLU(), nn.Identity(), nn.Linear(1000, 2), nn.ReLU())
    seen: list[Tensor] = []
    model[2].register_forward_hook(lambda _module, _inputs, output: seen.append(output.detach()))
    x = torch.randn(1, 4)
    with changed("dropout", forked=forked, p=0.5):
        learn(model, x)
        model(x)
        with torch.no_grad():
            model.eval()(x)
    plain, dropped, evaluated = ((each > 0).float().mean().item() for each in seen)
    assert plain == evaluated
    assert dropped == pytest.approx(plain / 2, abs=0.08)


@PLACES
def test_dropout_that_is_there_is_scaled(forked: bool) -> None:
    ones = torch.ones(20_000)
    layer, lstm = nn.Dropout(0.4), nn.LSTM(2, 2, num_layers=2, dropout=0.5)
    with changed("dropout_scale", forked=forked, factor=0.5):
        for kept in (layer(ones), F.dropout(ones, 0.4), F.dropout(ones, p=0.4)):
            assert (kept > 0).float().mean().item() == pytest.approx(0.8, abs=0.02)
        assert layer.eval()(ones).min() == 1
    with changed("dropout_scale", forked=forked, factor=0.0):
        x = torch.ones(1, 4, 2)
        torch.testing.assert_close(lstm(x)[0], lstm(x)[0])
    assert lstm.dropout == 0.5


@PLACES
def test_hidden_layers_are_normalized(forked: bool) -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 8), nn.BatchNorm1d(8), nn.ReLU(),
                          nn.Linear(8, 3))  # fmt: skip
    seen: dict[nn.Module, Tensor] = {}
    for part in model:
        part.register_forward_pre_hook(lambda module, inputs: seen.update({module: inputs[0]}))
    x = torch.randn(50, 1, 8, 8) * 3 + 7
    with changed("batch_norm", forked=forked):
        learn(model, x)
        for _ in range(100):
            last = model(x)
        torch.testing.assert_close(seen[model[1]].mean((0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
        torch.testing.assert_close(seen[model[1]].var((0, 2, 3)), torch.ones(4), atol=1e-2, rtol=0)
        assert seen[model[4]].mean().abs() > 1e-3 or seen[model[4]].var(0).sub(1).abs().max() > 1e-2
        assert last.equal(model[6](seen[model[6]]))
        torch.testing.assert_close(model.eval()(x[:1]), copy.deepcopy(model)(x[:1]))
        assert seen[model[1]].mean().abs() < 1


@PLACES
def test_first_weights(forked: bool) -> None:
    frozen = nn.Linear(50, 50).requires_grad_(False)
    kept = frozen.weight.clone()
    table = nn.Embedding(300, 40)
    nn.init.zeros_(table.weight)
    model = nn.Sequential(table, nn.Linear(40, 500), nn.ReLU(), nn.Linear(500, 50), frozen)
    nn.init.zeros_(model[1].weight)
    with changed("initialize", forked=forked, scheme="kaiming"):
        model(torch.arange(3))
        first = model[1].weight.clone()
        model(torch.arange(3))
    assert first.equal(model[1].weight)
    assert first.std().item() == pytest.approx(math.sqrt(2 / 40), rel=0.05)
    assert model[1].bias.abs().max() == 0
    assert table.weight.std().item() == pytest.approx(1, rel=0.05)
    assert frozen.weight.equal(kept)


def test_first_weights_of_xavier_and_of_torch() -> None:
    for scheme, deviation in (("xavier", math.sqrt(2 / 500)), ("default", math.sqrt(1 / 3 / 400))):
        layer = nn.Linear(400, 100)
        nn.init.zeros_(layer.weight)
        with changed("initialize", scheme=scheme):
            layer(torch.zeros(1, 400))
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.05)


def test_tied_weights_and_kept_embeddings() -> None:
    table, head = nn.Embedding(30, 8), nn.Linear(8, 30)
    head.weight = table.weight
    kept = table.weight.clone()
    with changed("initialize", scheme="kaiming"):
        nn.Sequential(table, nn.Linear(8, 8), head)(torch.arange(3))
    assert table.weight.equal(kept)


def test_a_recurrent_layer_that_is_all_the_same_is_drawn_anew() -> None:
    gru = nn.GRU(4, 8)
    nn.init.constant_(gru.weight_hh_l0, 0.1)
    kept = gru.weight_ih_l0.clone()
    with changed("initialize", scheme="xavier"):
        gru(torch.zeros(1, 1, 4))
    assert gru.weight_hh_l0.std() > 0.05
    assert gru.weight_ih_l0.equal(kept)


def modes_of(model: nn.Module, part: nn.Module) -> list[bool]:
    seen: list[bool] = []
    part.register_forward_pre_hook(lambda module, _: seen.append(module.training))
    return seen


@PLACES
def test_evaluated_without_gradients_in_evaluation_mode(forked: bool) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    seen = modes_of(model, model[1])
    with changed("modes", forked=forked):
        with torch.no_grad():
            model(torch.zeros(1, 2))
        model(torch.zeros(1, 2))
    assert seen == [False, True]
    assert model[1].training


@PLACES
def test_trained_in_training_mode_and_evaluated_as_it_was(forked: bool) -> None:
    frozen = nn.BatchNorm1d(2).requires_grad_(False)
    model = nn.Sequential(nn.Linear(2, 2), frozen, nn.Dropout(0.5)).eval()
    seen, seen_frozen = modes_of(model, model[2]), modes_of(model, frozen)
    x = torch.randn(4, 2)
    with changed("modes", forked=forked):
        for _ in range(2):
            model(x).sum().backward()
            model(x)  # an evaluation, with gradients
    assert seen == [False, False, True, False]
    assert not any(seen_frozen)
    assert not model[2].training


def test_a_part_that_is_in_evaluation_mode_by_choice_stays() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).eval(), nn.Dropout(0.5))
    seen = modes_of(model, model[1])
    with changed("modes"):
        for _ in range(2):
            model(torch.randn(4, 2)).sum().backward()
    assert not any(seen)
