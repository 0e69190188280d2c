"""The perceptron: its size, its initial weights, its fields."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from fitwell.models import parameter_count
from fitwell.models.dropout import Dropout
from fitwell.models.mlp import FEW, BatchNorm, Codes, build, defaults
from fitwell.models.periodic import Periodic
from fitwell.plan import ModelPlan
from fitwell.shape import Input, Shape, Target

TEN = Target("classes", tuple("0123456789"))
PIXELS = Shape({"x": Input("numbers", (784,))}, TEN)


def plan(
    hidden: tuple[int, ...], activation: str = "relu", norm: str = "none", dropout: float = 0.0
) -> ModelPlan:
    return ModelPlan(family="mlp", hidden=hidden, activation=activation, norm=norm, dropout=dropout)


@pytest.mark.parametrize(("hidden", "count"), [((), 7_850), ((128,), 101_770)])
def test_the_number_of_parameters_is_that_of_the_textbook(hidden, count):
    assert parameter_count(build(plan(hidden), PIXELS)) == count


def test_no_hidden_layer_is_a_linear_model():
    model = build(plan(()), PIXELS)
    x = torch.randn(4, 784)
    (layer,) = model.layers
    torch.testing.assert_close(model(x), x @ layer.weight.T + layer.bias)


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "elu", "leaky_relu", "tanh", "sigmoid"])
def test_initial_weights_suit_the_activation_and_biases_are_zero(activation):
    torch.manual_seed(0)
    hidden, *_ = (
        one for one in build(plan((1000,), activation), PIXELS).layers if isinstance(one, nn.Linear)
    )
    glorot = activation in ("tanh", "sigmoid")
    expected = math.sqrt(2 / (784 + 1000)) if glorot else math.sqrt(2 / 784)
    assert float(hidden.weight.detach().std()) == pytest.approx(expected, rel=0.02)
    assert not hidden.bias.any()


def test_a_signal_passes_many_relu_layers_without_fading_or_growing():
    torch.manual_seed(0)
    deep = build(plan((512,) * 10), PIXELS)
    hidden = nn.Sequential(*deep.layers[:-1])
    assert 0.3 < float(hidden(torch.randn(256, 784)).detach().square().mean()) < 3


def test_norm_and_dropout_stand_where_they_were_asked_for():
    layers = build(plan((8,), norm="layer", dropout=0.5), PIXELS).layers
    assert [type(layer) for layer in layers] == [nn.Linear, nn.LayerNorm, nn.ReLU, Dropout, nn.Linear]


def test_an_image_is_standardised_and_flattened():
    shape = Shape({"x": Input("image", (1, 8, 8), mean=(100.0,), std=(50.0,))}, TEN)
    model = build(plan(()), shape)
    x = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    linear = model.layers[-1]
    torch.testing.assert_close(model(x), linear((x.float().flatten(1) - 100) / 50))


def test_codes_with_few_levels_are_one_hot_and_many_are_embedded():
    codes = Codes((3, 100, 2))
    x = torch.tensor([[2, 99, 0], [0, 0, 1]])
    y = codes(x)
    assert y[:, :5].tolist() == [[0, 0, 1, 1, 0], [1, 0, 0, 0, 1]]
    assert torch.equal(y[:, 5:], codes.tables[0].weight[[99, 0]])
    assert y.shape[1] == codes.width
    assert codes.tables[0].embedding_dim < 100
    assert float(codes.tables[0].weight.detach().square().sum(1).mean()) == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("levels", [(2, 3), (50,), (1,)])
def test_codes_of_one_kind_alone(levels):
    codes = Codes(levels)
    assert codes(torch.zeros(3, len(levels), dtype=torch.int64)).shape == (3, codes.width)


def test_fields_are_joined_in_the_order_of_the_shape():
    numbers, codes = Input("numbers", (2,)), Input("codes", (1,), levels=(3,))
    x_B2, codes_B1 = torch.tensor([[7.0, 8.0]]), torch.tensor([[1]])
    for inputs, fields, expected in (
        ({"x": numbers, "codes": codes}, (x_B2, codes_B1), [7, 8, 0, 1, 0]),
        ({"codes": codes, "x": numbers}, (codes_B1, x_B2), [0, 1, 0, 7, 8]),
    ):
        join = build(plan(()), Shape(inputs, TEN)).layers[0]
        assert join(*fields).tolist() == [expected]


def test_a_batch_of_one_passes_batch_norm():
    norm = BatchNorm(3)
    x = torch.tensor([[1.0, 2.0, 3.0]])
    torch.testing.assert_close(norm(x), x, rtol=1e-4, atol=1e-4)
    model = build(plan((8,), norm="batch"), PIXELS).train()
    model(torch.randn(1, 784)).sum().backward()


def test_the_defaults_for_images_are_wider_for_larger_images():
    small, large = (
        defaults(Shape({"x": Input("image", size, (0.0,), (1.0,))}, TEN), 10_000)["hidden"][0]
        for size in ((1, 28, 28), (3, 64, 64))
    )
    assert small[0] < large[0]


def test_numbers_are_embedded_where_the_plan_says_so():
    shape = Shape({"x": Input("numbers", (2,)), "codes": Input("codes", (1,), levels=(3,))}, TEN)
    embedded = ModelPlan(
        family="mlp", hidden=(8,), activation="relu", norm="none", dropout=0.0, embedding="periodic"
    )
    join = build(embedded, shape).layers[0]
    assert isinstance(join.readers[0][0], Periodic)
    x_B2 = torch.randn(4, 2)
    joined = join(x_B2, torch.zeros(4, 1, dtype=torch.int64))
    assert torch.equal(joined[:, :-3], join.readers[0][0](x_B2))
    image = Shape({"x": Input("image", (1, 28, 28), (0.0,), (1.0,))}, TEN)
    assert parameter_count(build(dataclasses.replace(embedded, hidden=()), image)) == 7_850


def test_embeddings_are_for_tables_with_enough_samples():
    table = Shape({"x": Input("numbers", (8,))}, TEN)
    assert defaults(table, FEW - 1)["embedding"][0] == "none"
    assert defaults(table, FEW)["embedding"][0] == "periodic"


def test_a_table_is_trained_as_long_as_its_samples_allow():
    for samples, expected in ((5_000, 25), (70_000, 10), (1_000_000, 10)):
        given = defaults(Shape({"x": Input("numbers", (8,))}, TEN), samples)
        assert given["epochs"][0] == expected
