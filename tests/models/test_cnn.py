"""The residual network: sizes of its maps, its beginning, the images it takes."""

import pytest
import torch
from torch import nn

from fitwell.errors import PlanError
from fitwell.models.cnn import Stage, build, suits
from fitwell.plan import ModelPlan
from fitwell.shape import Input, Shape, Target

TEN = Target("classes", tuple("0123456789"))


def plan(hidden: tuple[int, ...], norm: str = "batch") -> ModelPlan:
    return ModelPlan(family="cnn", hidden=hidden, activation="relu", norm=norm, dropout=0.0)


def images(*shape: int) -> Shape:
    return Shape({"x": Input("image", shape, mean=(0.0,) * shape[0], std=(1.0,) * shape[0])}, TEN)


@pytest.mark.parametrize(
    ("shape", "sides"), [((1, 8, 8), [8, 4, 4]), ((1, 28, 28), [28, 14, 7]), ((3, 64, 64), [64, 32, 16]),
                         ((2, 5, 9), [5, 5, 5])],
)  # fmt: skip
def test_a_stage_halves_the_maps_while_four_pixels_remain(shape, sides):
    model = build(plan((4, 8, 12)), images(*shape))
    maps, seen = torch.rand(2, *shape), []
    for layer in (model.stem, *model.stages):
        maps = layer(maps)
        seen.append(min(maps.shape[2:]))
    assert seen == sides
    assert model(torch.rand(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize(("inputs", "stride"), [(8, 1), (4, 2)])
def test_a_stage_begins_as_its_shortcut(norm, inputs, stride):
    stage = Stage(inputs, 8, stride, plan((), norm))
    x = torch.randn(3, inputs, 9, 9)
    torch.testing.assert_close(stage(x), stage.shortcut(x).relu())
    if inputs == 8:
        torch.testing.assert_close(stage(x), x.relu())


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_the_norm_is_the_one_asked_for(norm):
    kinds = {"batch": nn.BatchNorm2d, "layer": nn.GroupNorm}
    modules = list(build(plan((4, 8), norm), images(1, 8, 8)).modules())
    for name, kind in kinds.items():
        assert any(isinstance(module, kind) for module in modules) == (name == norm)


def test_a_single_number_of_channels_is_a_net_without_stages():
    assert build(plan((4,)), images(3, 32, 32))(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_one_image_of_some_size_is_needed():
    assert suits(images(1, 8, 8)) is None
    assert suits(images(4, 64, 48)) is None
    assert suits(images(1, 3, 3)) is not None
    assert suits(Shape({"x": Input("numbers", (64,))}, TEN)) is not None
    both = images(1, 8, 8).inputs | {"numbers": Input("numbers", (3,))}
    assert suits(Shape(both, TEN)) is not None


def test_a_net_without_channels_is_refused():
    with pytest.raises(PlanError, match="channels"):
        build(plan(()), images(1, 8, 8))
