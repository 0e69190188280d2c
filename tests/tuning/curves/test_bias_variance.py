"""Loss is bias plus variance, to the last digits; a larger model has less of one and more of the other."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fitwell.errors import PlanError
from fitwell.shape import Target
from fitwell.training.evaluation import probabilities
from fitwell.tuning.curves.bias_variance import decompose

CLASSES, BINARY = Target("classes", ("a", "b", "c")), Target("binary", ("no", "yes"))
NUMBER = Target("number", ("u", "v"), (0.0, 1.0), (1.0, 5.0))
TARGETS = st.sampled_from([CLASSES, BINARY, NUMBER])


def drawn(target, models, samples, seed, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(models, samples, target.outputs, generator=generator) * scale
    if target.kind == "classes":
        return outputs, torch.randint(len(target.names), (samples,), generator=generator)
    if target.kind == "binary":
        return outputs, torch.randint(2, (samples, 1), generator=generator).float()
    return outputs, torch.randn(samples, target.outputs, generator=generator)


def mean_loss(outputs, y, target):
    if target.kind == "classes":
        return float(np.mean([float(F.cross_entropy(one.double(), y)) for one in outputs]))
    if target.kind == "binary":
        return float(
            np.mean([float(F.binary_cross_entropy_with_logits(one.double(), y.double())) for one in outputs])
        )
    return float(np.mean([float(F.mse_loss(one.double(), y.double())) for one in outputs]))


@given(TARGETS, st.integers(1, 6), st.integers(1, 9), st.integers(0, 999), st.sampled_from([0.1, 3.0, 100.0]))
@settings(deadline=None)
def test_the_loss_is_bias_plus_variance(target, models, samples, seed, scale):
    outputs, y = drawn(target, models, samples, seed, scale)
    found = decompose(outputs, y, target)
    assert found.loss == pytest.approx(mean_loss(outputs, y, target), rel=1e-12)
    assert found.bias + found.variance == pytest.approx(found.loss, rel=1e-12, abs=1e-12)
    assert found.variance >= -1e-12
    assert found.bias >= 0


@given(TARGETS, st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_models_that_agree_have_no_variance(target, seed):
    outputs, y = drawn(target, 1, 7, seed)
    same = outputs.expand(4, -1, -1)
    found = decompose(same, y, target)
    assert found.variance == pytest.approx(0, abs=1e-12)
    assert found.bias == pytest.approx(found.loss)


def test_the_main_prediction_of_classes_is_the_normalised_geometric_mean():
    outputs, y = drawn(CLASSES, 5, 8, 0)
    chances = torch.stack([probabilities(one, CLASSES) for one in outputs])
    main = chances.prod(0) ** (1 / 5)
    main /= main.sum(1, keepdim=True)
    found = decompose(outputs, y, CLASSES)
    assert found.bias == pytest.approx(float(-main[torch.arange(8), y].log().mean()))
    divergence = (main * (main / chances).log()).sum(-1).mean()
    assert found.variance == pytest.approx(float(divergence))
    # and no other prediction is nearer to the models
    other = (chances.mean(0) * (chances.mean(0) / chances).log()).sum(-1).mean()
    assert found.variance < float(other)


@pytest.mark.parametrize("degree_pair", [(1, 3), (3, 9)])
def test_variance_rises_and_bias_falls_with_the_degree_of_a_polynomial(degree_pair):
    target = Target("number", ("y",), (0.0,), (1.0,))
    noise, count, models = 0.3, 25, 200
    places = np.linspace(-1, 1, count)
    held = np.linspace(-0.95, 0.95, 101)
    random = np.random.default_rng(0)
    low, high = (
        decompose(
            torch.from_numpy(
                np.stack(
                    [
                        np.polynomial.Polynomial.fit(
                            places, np.sin(4 * places) + noise * random.normal(size=count), degree
                        )(held)
                        for _ in range(models)
                    ]
                )[:, :, None]
            ),
            torch.from_numpy(np.sin(4 * held))[:, None],
            target,
        )
        for degree in degree_pair
    )
    assert high.bias < low.bias
    assert high.variance > low.variance
    # The variance of least squares is known: noise^2 times the leverage of the held-out places.
    basis, here = (np.polynomial.legendre.legvander(x, degree_pair[1]) for x in (places, held))
    leverage = np.einsum("ij,jk,ik->i", here, np.linalg.inv(basis.T @ basis), here).mean()
    assert high.variance == pytest.approx(noise**2 * leverage * (models - 1) / models, rel=0.1)


def test_without_a_target_there_are_no_errors():
    with pytest.raises(PlanError, match="decomposed without a target"):
        decompose(torch.zeros(2, 3, 2), torch.zeros(3, 2), Target("none"))
