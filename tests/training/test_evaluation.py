"""Figures of a part: those of scikit-learn, whatever the batches, and leaving no trace."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score

from fitwell.data.contract import Data
from fitwell.shape import Target
from fitwell.training import evaluation
from fitwell.training.evaluation import evaluating, main_metric, measure, metrics, outputs_of, probabilities
from fitwell.training.job import Job

Make = Callable[..., Job]


@pytest.mark.parametrize("size", [1, 7, 64, 99, 100])
@pytest.mark.parametrize("family", ["mlp", "cnn", "autoencoder"])
def test_figures_do_not_depend_on_the_batches(
    size: int, family: str, digits: Data, unlabelled: Data, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = unlabelled if family == "autoencoder" else digits
    job = make(data, model=family, hidden=(4, 8), norm="batch" if family == "cnn" else "none")
    assert data.validation is not None
    whole = measure(job.family, job.model, data.validation, data.shape.target)
    monkeypatch.setattr(evaluation, "LARGEST_BATCH", size)
    assert measure(job.family, job.model, data.validation, data.shape.target) == pytest.approx(
        whole, rel=1e-5
    )


def test_figures_are_those_of_scikit_learn(digits: Data, table: Data, make: Make) -> None:
    for data in (digits, table):
        job = make(data)
        part = data.validation
        assert part is not None
        found = measure(job.family, job.model, part, data.shape.target)
        with torch.no_grad():
            outputs = job.family.predict(job.model.eval(), part.take(part.index))
        y = part.fields["y"][part.index].numpy().ravel()
        chances = probabilities(outputs, data.shape.target).numpy()
        assert found["accuracy"] == accuracy_score(y, chances.argmax(1))
        expected = log_loss(y, chances, labels=range(chances.shape[1]))
        assert found["loss"] == pytest.approx(expected, rel=1e-5)
        assert list(found) == ["loss", "accuracy"]


@given(st.integers(0, 2**32 - 1), st.integers(2, 50), st.integers(1, 3))
def test_numbers_are_measured_in_their_own_units(seed: int, count: int, columns: int) -> None:
    draw = np.random.default_rng(seed)
    mean, std = draw.normal(size=columns) * 100, draw.uniform(0.1, 50, columns)
    y, outputs = draw.normal(size=(count, columns)), draw.normal(size=(count, columns))
    target = Target("number", tuple("abc"[:columns]), tuple(mean), tuple(std))
    found = metrics(torch.from_numpy(outputs), torch.from_numpy(y), target)
    true, predicted = y * std + mean, outputs * std + mean
    assert float(found["mae"]) == pytest.approx(mean_absolute_error(true, predicted))
    assert float(found["r2"]) == pytest.approx(r2_score(true, predicted))


def test_two_classes_are_told_apart_at_zero() -> None:
    outputs, y = torch.tensor([[-2.0], [0.1], [3.0], [-0.1]]), torch.tensor([[0.0], [1.0], [0.0], [0.0]])
    target = Target("binary", ("no", "yes"))
    assert float(metrics(outputs, y, target)["accuracy"]) == 0.75
    chances = probabilities(outputs, target)
    assert torch.equal(chances.argmax(1), torch.tensor([0, 1, 1, 0]))
    torch.testing.assert_close(chances.sum(1), torch.ones(4).double())


def test_evaluation_leaves_no_trace(digits: Data, make: Make) -> None:
    job = make(digits, dropout=0.5, norm="batch")
    assert digits.validation is not None
    for training in (True, False):
        job.model.train(training)
        state = {name: value.clone() for name, value in job.model.state_dict().items()}
        stream = torch.get_rng_state()
        first = measure(job.family, job.model, digits.validation, digits.shape.target)
        outputs = outputs_of(job.family, job.model, digits.validation)
        assert measure(job.family, job.model, digits.validation, digits.shape.target) == first
        assert not outputs.requires_grad
        assert torch.equal(torch.get_rng_state(), stream)
        assert all(module.training == training for module in job.model.modules())
        assert all(torch.equal(value, state[name]) for name, value in job.model.state_dict().items())
        assert all(p.grad is None for p in job.model.parameters())


def test_the_mode_comes_back_after_an_error(digits: Data, make: Make) -> None:
    model = make(digits).model.train()

    def fail() -> None:
        with evaluating(model):
            assert not model.training
            assert torch.is_inference_mode_enabled()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert model.training
    assert not torch.is_inference_mode_enabled()


def test_without_a_target_there_is_the_loss_alone(unlabelled: Data, make: Make) -> None:
    assert unlabelled.validation is not None
    for family in ("autoencoder", "rbm"):
        job = make(unlabelled, model=family)
        found = measure(job.family, job.model, unlabelled.validation, unlabelled.shape.target)
        assert list(found) == [main_metric(unlabelled.shape.target)] == ["loss"]
