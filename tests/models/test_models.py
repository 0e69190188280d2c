"""Every family holds the contract, for every kind of shape that it suits."""

import dataclasses

import pytest
import torch

from fitwell.errors import PlanError
from fitwell.models import Family, families, family
from fitwell.models.criterion import criterion
from fitwell.plan import LossPlan, ModelPlan
from fitwell.shape import Batch, Input, Shape, Target

TARGETS = {
    "classes": Target("classes", ("a", "b", "c")),
    "binary": Target("binary", ("no", "yes")),
    "number": Target("number", ("u", "v"), (0.0, 0.0), (1.0, 1.0)),
    "none": Target("none"),
}
NUMBERS = Input("numbers", (5,))
CODES = Input("codes", (3,), levels=(2, 40, 7))
GRAY = Input("image", (1, 8, 8), mean=(60.0,), std=(80.0,))
COLOUR = Input("image", (3, 32, 24), mean=(120.0, 110.0, 100.0), std=(60.0, 60.0, 60.0))
INPUTS = {
    "numbers": {"x": NUMBERS},
    "codes": {"codes": CODES},
    "table": {"x": NUMBERS, "codes": CODES},
    "digits": {"x": GRAY},
    "photo": {"x": COLOUR},
}


def suiting(one: Family, inputs: str, target: str) -> bool:
    """Whether a family is to be tested on this shape."""
    return one.suits(Shape(INPUTS[inputs], TARGETS[target])) is None and one.supervised == (target != "none")


CASES = [
    pytest.param(name, Shape(INPUTS[inputs], TARGETS[target]), id=f"{name}-{inputs}-{target}")
    for name, one in families().items()
    for inputs in INPUTS
    for target in TARGETS
    if suiting(one, inputs, target)
]


def decided(one: Family, shape: Shape) -> ModelPlan:
    """A plan with the family's defaults, in which nothing is left open."""
    fallback = {"activation": "relu", "norm": "none", "dropout": 0.0}
    given = {name: value for name, (value, _) in one.defaults(shape, 1000).items()}
    known = {field.name for field in dataclasses.fields(ModelPlan)}
    return ModelPlan(**{k: v for k, v in (fallback | given).items() if k in known})


def make(name: str, shape: Shape, seed: int = 0) -> tuple[Family, torch.nn.Module]:
    """The family's default model for a shape, as the training makes it."""
    one = family(name)
    torch.manual_seed(seed)
    model = one.build(decided(one, shape), shape)
    if one.supervised:
        model.criterion = criterion(LossPlan(), shape.target, None)
    return one, model


def sample(shape: Shape, count: int = 12) -> Batch:
    """A batch of random values of this shape."""
    generator = torch.Generator().manual_seed(1)

    def values(field: Input) -> torch.Tensor:
        if field.kind == "numbers":
            return torch.randn(count, *field.shape, generator=generator)
        if field.kind == "image":
            # dark, so that there is something to be learned from the pixels alone
            return (255 * torch.rand(count, *field.shape, generator=generator) ** 4).to(torch.uint8)
        columns = [torch.randint(0, levels, (count,), generator=generator) for levels in field.levels]
        return torch.stack(columns, 1)

    batch = {name: values(field) for name, field in shape.inputs.items()}
    if shape.target.kind == "classes":
        batch["y"] = torch.arange(count) % shape.target.outputs
    elif shape.target.kind != "none":
        batch["y"] = (torch.rand(count, shape.target.outputs, generator=generator) < 0.5).float()
    return batch


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_the_loss_is_a_finite_scalar_with_a_gradient_for_every_parameter(name, shape):
    one, model = make(name, shape)
    model.train()
    loss = one.loss(model, sample(shape))
    assert loss.shape == ()
    assert loss.isfinite()
    loss.backward()
    for parameter, values in model.named_parameters():
        assert values.grad is not None, parameter
        assert values.grad.isfinite().all(), parameter


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_prediction_and_score_are_deterministic_and_draw_nothing(name, shape):
    one, model = make(name, shape)
    model.eval()
    batch = sample(shape)
    inputs = {field: values for field, values in batch.items() if field != "y"}
    with torch.inference_mode():
        state = torch.get_rng_state()
        first, second = one.predict(model, batch), one.predict(model, inputs)
        scores = [one.score(model, first, batch) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, second)
    assert torch.equal(*scores)
    assert scores[0].shape == ()
    assert scores[0].isfinite()
    expected = (12, shape.target.outputs) if one.supervised else tuple(batch["x"].shape)
    assert first.shape == expected


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_each_sample_is_predicted_by_itself(name, shape):
    one, model = make(name, shape)
    model.eval()
    batch = sample(shape)
    with torch.inference_mode():
        whole = one.predict(model, batch)
        part = one.predict(model, {field: values[4:7] for field, values in batch.items()})
    torch.testing.assert_close(part, whole[4:7], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_the_seed_decides_the_weights_and_a_state_dict_carries_them(name, shape):
    one, model = make(name, shape)
    state = model.state_dict()
    _, same = make(name, shape)
    assert all(torch.equal(values, state[key]) for key, values in same.state_dict().items())
    _, other = make(name, shape, seed=1)
    assert any(not torch.equal(values, state[key]) for key, values in other.state_dict().items())

    model.train()
    one.loss(model, sample(shape))  # moves running statistics
    other.load_state_dict(model.state_dict())
    model.eval()
    other.eval()
    batch = sample(shape)
    assert torch.equal(one.predict(model, batch), one.predict(other, batch))
    assert all(values.is_contiguous() for values in model.state_dict().values())


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_the_model_works_on_another_device(name, shape):
    one, model = make(name, shape)
    model.to("meta").train()
    batch = {field: values.to("meta") for field, values in sample(shape).items()}
    loss = one.loss(model, batch)
    assert loss.device.type == "meta"
    model.eval()
    assert one.score(model, one.predict(model, batch), batch).device.type == "meta"


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_few_steps_lower_the_score(name, shape):
    one, model = make(name, shape)
    batch = sample(shape)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)

    def score() -> float:
        model.eval()
        with torch.inference_mode():
            return float(one.score(model, one.predict(model, batch), batch))

    before = score()
    for _ in range(40):
        model.train()
        optimizer.zero_grad()
        one.loss(model, batch).backward()
        optimizer.step()
    assert score() < before


@pytest.mark.parametrize("name", families())
def test_every_default_has_a_reason_and_every_refusal_names_what_is_needed(name):
    one = family(name)
    shapes = [Shape(inputs, target) for inputs in INPUTS.values() for target in TARGETS.values()]
    for shape in shapes:
        needed = one.suits(shape)
        if needed is not None:
            assert needed
            continue
        for samples in (20, 1000, 100_000):
            given = one.defaults(shape, samples)
            assert "hidden" in given
            assert all(why for _, why in given.values())
    assert any(one.suits(shape) is None for shape in shapes)
    assert one.suits(Shape({"x": Input("sounds", (100,))}, TARGETS["classes"])) is not None


def test_an_unknown_family_is_refused_with_the_known_ones():
    with pytest.raises(PlanError, match="mlp"):
        family("transformer")
