"""What a training will do is known before it does it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fitwell.data.contract import Data, Split
from fitwell.shape import Input, Shape, Target
from fitwell.training.forecast import Iterations, forecast
from fitwell.training.job import Job
from fitwell.training.loop import Silent, batches_of, train

Make = Callable[..., Job]


def pixels(count: int) -> Data:
    """Black pictures of 28 x 28: only their number matters."""
    fields = {
        "x": torch.zeros(count, 1, 28, 28, dtype=torch.uint8),
        "y": torch.zeros(count, dtype=torch.int64),
    }
    shape = Shape(
        {"x": Input("image", (1, 28, 28), mean=(33.0,), std=(78.0,))},
        Target("classes", tuple("0123456789")),
    )
    return Data(
        Split(fields, torch.arange(count)), None, None, shape, {"encoding": "pixels"}, structured=False
    )


def test_mnist_in_batches_of_64() -> None:
    found = Iterations.of(60_000, 64, epochs=10)
    assert (found.batches_per_epoch, found.last_batch, found.steps_per_epoch, found.steps) == (
        938,
        32,
        938,
        9380,
    )


def test_accumulated_batches_are_fewer_steps() -> None:
    found = Iterations.of(60_000, 64, epochs=10, accumulate=4)
    assert (found.batches_per_epoch, found.steps_per_epoch, found.steps) == (938, 235, 2350)


@given(st.integers(1, 5000), st.integers(1, 300), st.integers(1, 5), st.integers(1, 9))
def test_the_forecast_is_what_the_loop_does(samples: int, size: int, epochs: int, accumulate: int) -> None:
    found, batches = Iterations.of(samples, size, epochs, accumulate), batches_of(torch.arange(samples), size)
    assert found.batches_per_epoch == len(batches)
    assert found.last_batch == len(batches[-1])
    assert found.steps_per_epoch == len(range(0, len(batches), accumulate))
    assert found.steps == epochs * found.steps_per_epoch


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("size", [37, 64, 299, 300, 301])
def test_a_training_takes_as_many_steps(size: int, accumulate: int, digits: Data, make: Make) -> None:
    job = make(digits, batch_size=size, accumulate=accumulate)
    foreseen = forecast(job).iterations
    train(job, Silent())
    assert foreseen.steps == job.step == job.schedule.done == job.schedule.steps


@pytest.mark.parametrize(("hidden", "parameters"), [((), 7_850), ((128,), 101_770)])
def test_capacity_is_counted(hidden: tuple[int, ...], parameters: int, make: Make) -> None:
    found = forecast(make(pixels(65), hidden=hidden, batch_size=64))
    assert found.parameters == parameters
    assert f"{parameters:,} parameters" in found.lines()
    assert "65 training samples in batches of 64: 1 batches an epoch, the last of 65" in found.lines()


def test_memory_is_one_copy_of_the_data_the_weights_and_a_batch(make: Make) -> None:
    found, data = forecast(make(pixels(1000), batch_size=64)).memory, 1000 * (784 + 8)
    weights = 4 * 4 * (784 * 16 + 16 + 16 * 10 + 10)
    assert data + weights < found < data + weights + 64 * 4 * 2 * 2000
    twice = forecast(make(pixels(2000), batch_size=64)).memory
    assert twice - found == data
    longer = forecast(make(pixels(1000), batch_size=64, epochs=50)).memory
    assert longer == found
    assert forecast(make(pixels(1000), batch_size=128)).memory > found


@pytest.mark.parametrize(("name", "changes"), [
    ("digits", {"model": "cnn", "hidden": (4, 8), "norm": "batch"}),
    ("digits", {"dropout": 0.5, "norm": "batch"}),
    ("unlabelled", {"model": "rbm"}),
    ("unlabelled", {"model": "autoencoder"}),
])  # fmt: skip
def test_looking_ahead_leaves_no_trace(
    name: str, changes: dict[str, Any], make: Make, request: pytest.FixtureRequest
) -> None:
    job = make(request.getfixturevalue(name), **changes)
    before, stream = {k: v.clone() for k, v in job.model.state_dict().items()}, torch.get_rng_state()
    forecast(job)
    assert all(torch.equal(value, before[key]) for key, value in job.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), stream)
    assert job.model.training
    assert not any(module._forward_hooks for module in job.model.modules())
    assert dataclasses.asdict(forecast(job).iterations)["samples"] == 300
