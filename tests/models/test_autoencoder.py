"""The autoencoder: the law that its linear form spans PCA's subspace, its shapes and units."""

import pytest
import torch

from fitwell.errors import PlanError
from fitwell.models.autoencoder import FAMILY, build, suits
from fitwell.plan import ModelPlan
from fitwell.shape import Input, Shape, Target


def plan(*hidden: int) -> ModelPlan:
    return ModelPlan(family="autoencoder", hidden=hidden, activation="silu", norm="none", dropout=0.0)


def numbers(count: int) -> Shape:
    return Shape({"x": Input("numbers", (count,))}, Target("none"))


IMAGE = Shape({"x": Input("image", (1, 8, 8), mean=(100.0,), std=(50.0,))}, Target("none"))


def test_the_linear_autoencoder_spans_the_subspace_of_pca():
    torch.manual_seed(0)
    x = torch.randn(400, 6) * torch.tensor([3.0, 2.0, 1.5, 0.5, 0.4, 0.3])
    x = (x - x.mean(0)) @ torch.linalg.qr(torch.randn(6, 6)).Q
    model = build(plan(3), numbers(6))
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=400, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = FAMILY.loss(model, {"x": x})
        loss.backward()
        return loss

    optimizer.step(closure)
    axes = torch.linalg.svd(x, full_matrices=False).Vh[:3].T
    decoder = torch.linalg.qr(model.decoder[0].weight.detach()).Q
    torch.testing.assert_close(decoder @ decoder.T, axes @ axes.T, atol=2e-3, rtol=0)
    best = (x - x @ axes @ axes.T).square().mean()
    torch.testing.assert_close(FAMILY.loss(model, {"x": x}).detach(), best, rtol=1e-3, atol=0)


def test_the_code_has_the_last_width_and_the_decoder_mirrors_the_encoder():
    model = build(plan(20, 10, 3), numbers(7))
    assert model.encode(torch.randn(5, 7)).shape == (5, 3)
    down = [layer.weight.shape for layer in model.encoder if hasattr(layer, "weight")]
    up = [layer.weight.shape[::-1] for layer in model.decoder if hasattr(layer, "weight")]
    assert down == [(20, 7), (10, 20), (3, 10)]
    assert up[::-1] == down


def test_an_images_reconstruction_is_in_pixels_and_its_error_in_deviations():
    model = build(plan(4), IMAGE).eval()
    batch = {"x": torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8)}
    outputs = FAMILY.predict(model, batch)
    assert outputs.shape == (6, 1, 8, 8)
    expected = ((outputs - batch["x"].float()) / 50).square().mean()
    torch.testing.assert_close(FAMILY.score(model, outputs, batch), expected)
    torch.testing.assert_close(FAMILY.loss(model, batch), expected)
    # a perfect reconstruction costs nothing, and the mean of the pixels is what nothing but biases gives
    assert float(FAMILY.score(model, batch["x"].float(), batch)) == 0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    torch.testing.assert_close(FAMILY.predict(model, batch), torch.full((6, 1, 8, 8), 100.0))


def test_a_code_is_needed_and_categories_are_refused():
    with pytest.raises(PlanError, match="hidden"):
        build(plan(), numbers(3))
    assert suits(numbers(3)) is None
    assert suits(IMAGE) is None
    codes = Input("codes", (1,), levels=(3,))
    assert "categories" in str(suits(Shape({"codes": codes}, Target("none"))))
    assert suits(Shape(numbers(3).inputs | {"codes": codes}, Target("none"))) is not None
