"""Layers are fitted to inputs of another width."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from fitwell.treating.changing.widths import fit

LAYERS = {  # made for 8 features, with an input of 8 * factor
    "linear": (lambda: nn.Linear(8, 6), lambda width: (5, width)),
    "conv": (lambda: nn.Conv2d(8, 6, 3), lambda width: (2, width, 5, 5)),
    "groups": (lambda: nn.Conv2d(8, 6, 3, groups=2), lambda width: (2, width, 5, 5)),
    "transposed": (lambda: nn.ConvTranspose1d(8, 6, 3), lambda width: (2, width, 5)),
    "gru": (lambda: nn.GRU(8, 6, num_layers=2, bidirectional=True), lambda width: (5, 2, width)),
    "cell": (lambda: nn.LSTMCell(8, 6), lambda width: (5, width)),
    "batch norm": (lambda: nn.BatchNorm2d(8), lambda width: (4, width, 3, 3)),
    "group norm": (lambda: nn.GroupNorm(4, 8), lambda width: (4, width, 3, 3)),
    "layer norm": (lambda: nn.LayerNorm(8), lambda width: (4, width)),
    "RMS norm": (lambda: nn.RMSNorm(8), lambda width: (4, width)),
    "norm without weights": (lambda: nn.BatchNorm1d(8, affine=False), lambda width: (4, width)),
}
EACH = pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)


def output(layer: nn.Module, x: Tensor) -> Tensor:
    value = layer(x)
    return value[0] if isinstance(value, tuple) else value


@EACH
@pytest.mark.parametrize("width", [4, 16])
def test_a_layer_takes_the_input_and_keeps_its_parameters(make, shape, width: int) -> None:
    layer = make()
    parameters = list(layer.parameters())
    x = torch.randn(shape(width))
    fit(layer, x)
    value = output(layer, x)
    assert value.isfinite().all()
    if parameters:
        value.sum().backward()
    assert all(new is old for new, old in zip(layer.parameters(), parameters, strict=True))
    assert all(each.grad.shape == each.shape for each in parameters)


@EACH
def test_a_layer_that_fits_stays_as_it_is(make, shape) -> None:
    layer = make()
    kept = copy.deepcopy(layer.state_dict())
    fit(layer, torch.randn(shape(8)))
    assert all(value.equal(kept[name]) for name, value in layer.state_dict().items())


@EACH
def test_equal_layers_stay_equal_and_random_numbers_undisturbed(make, shape) -> None:
    layer = make()
    twin, x = copy.deepcopy(layer), torch.randn(shape(16))
    state = torch.get_rng_state()
    fit(layer, x)
    fit(twin, x)
    assert torch.get_rng_state().equal(state)
    assert output(layer, x).equal(output(twin, x))


def test_outputs_stay_as_large() -> None:
    layer = nn.Linear(100, 400, bias=False)
    deviation = layer(torch.randn(200, 100)).std().item()
    for width in (400, 50):
        wider = copy.deepcopy(layer)
        fit(wider, torch.randn(1, width))
        assert wider(torch.randn(200, width)).std().item() == pytest.approx(deviation, rel=0.1)


def test_the_statistics_of_a_norm_are_repeated() -> None:
    norm = nn.BatchNorm1d(2)
    norm.running_mean = torch.tensor([1.0, 2.0])
    fit(norm, torch.randn(3, 5))
    assert norm.running_mean.tolist() == [1, 2, 1, 2, 1]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(8, 8, 3, groups=8), (2, 9, 5, 5)), (nn.Conv2d(8, 6, 3), (8, 5, 5)), (nn.GroupNorm(4, 8), (2, 6)),
        (nn.LayerNorm((3, 8)), (3, 9)), (nn.Embedding(9, 2), (4,)), (nn.ReLU(), (4, 5)),
    ],
)  # fmt: skip
def test_what_nobody_knows_how_to_fit_stays(layer: nn.Module, shape: tuple[int, ...]) -> None:
    shapes = [each.shape for each in layer.parameters()]
    fit(layer, torch.zeros(shape))
    assert [each.shape for each in layer.parameters()] == shapes
