"""Stages: every proposal is a plan that can be trained, and what is tuned suits the family and the data."""

from __future__ import annotations

from functools import cache
from itertools import chain, islice

import numpy as np
import pandas as pd
import pytest
import torch

from fitwell import data as datasets
from fitwell.data.contract import Data
from fitwell.models import family
from fitwell.plan import Plan
from fitwell.space import Choice, Space
from fitwell.training.defaults import decide
from fitwell.training.loop import vary
from fitwell.training.prepare import make_job
from fitwell.tuning.methods import method
from fitwell.tuning.stages import Stage, default_space, stages

ORDER = ["rate", "architecture", "batch", "regularisation", "optimizer"]


@cache
def source(name: str) -> object:
    if name == "table":
        draw = np.random.default_rng(0)
        frame = pd.DataFrame(
            {"size": draw.normal(size=400), "color": draw.choice(["red", "green", "blue"], 400)}
        )
        return frame.assign(bought=frame["size"] > 0)
    if name == "photos":
        return np.random.default_rng(0).integers(0, 256, (120, 3, 12, 12), dtype=np.uint8), np.arange(120) % 3
    return name


@cache
def decided(name: str, model: str) -> tuple[Plan, Data]:
    plan = Plan(data=source(name), model=model).change(lr=0.01, threads=1, device="cpu")
    data = datasets.load(plan.data, supervised=family(model).supervised)
    return decide(plan, data)[0], data


def all_of(plan: Plan, data: Data) -> list[Stage]:
    return stages(plan, data.shape, len(data.train))


def dimensions(plan: Plan, data: Data, name: str):
    return next(stage for stage in all_of(plan, data) if stage.name == name).space.dimensions


CASES = [
    ("digits", "cnn"), ("digits", "mlp"), ("digits", "autoencoder"), ("digits", "rbm"), ("photos", "cnn"),
    ("iris", "mlp"), ("iris", "autoencoder"), ("diabetes", "mlp"), ("table", "mlp"),
]  # fmt: skip
cases = pytest.mark.parametrize(("name", "model"), CASES)


def first_step(plan: Plan, data: Data) -> float:
    """The loss of the first batch, after everything was built and checked."""
    plan, _ = decide(plan, data)
    job = make_job(plan, data)
    batch = vary(job, data.train.take(data.train.index[:24]))
    loss = job.family.loss(job.model.train(), batch)
    loss.backward()
    job.optimizer.step()
    return float(loss.detach())


@cases
def test_every_proposal_can_be_trained(name: str, model: str):
    torch.set_num_threads(1)
    plan, data = decided(name, model)
    whole = default_space(plan, data.shape, len(data.train))
    for space, count in [*((stage.space, 8) for stage in all_of(plan, data)), (whole, 12)]:
        assert space.check(plan) == space
        drawn = method("random").searcher(space, 0).ask(count)
        # each option in turn, beside the ends of all ranges
        corners = islice(space.combinations(2), 0, None, max(1, space.size(2) // 8))
        for values in chain(drawn, corners):
            assert np.isfinite(first_step(space.apply(plan, values), data)), values


@cases
def test_every_option_can_be_built_alone(name: str, model: str):
    plan, data = decided(name, model)
    whole = default_space(plan, data.shape, len(data.train))
    for setting, dimension in whole.dimensions.items():
        if isinstance(dimension, Choice):
            for option in dimension.options:
                assert np.isfinite(first_step(whole.apply(plan, {setting: option}), data))


@cases
def test_the_order_and_the_shares(name: str, model: str):
    plan, data = decided(name, model)
    found = all_of(plan, data)
    assert [stage.name for stage in found] == ORDER
    assert sum(stage.share for stage in found) == pytest.approx(1)
    assert all(method(stage.method) and stage.why.endswith(".") for stage in found)


@cases
def test_the_plans_own_values_lie_in_each_space(name: str, model: str):
    """So that a stage can't but find what is at least as good."""
    plan, data = decided(name, model)
    own = {path.split(".")[-1]: value for path, value, _ in plan.settings()}
    for stage in all_of(plan, data):
        space = stage.space
        values = {each: own[each] for each in space.dimensions if space.active(each, own)}
        assert space.contains(values), (stage.name, values)
        assert space.apply(plan, values).diff(plan) == []


def test_the_rate_is_tuned_widely_first_and_narrowly_along():
    plan, data = decided("digits", "cnn")
    rates = {stage.name: stage.space.dimensions.get("lr") for stage in all_of(plan, data)}
    ends = {name: None if rate is None else (rate.low, rate.high) for name, rate in rates.items()}
    assert ends == {
        "rate": pytest.approx((0.001, 0.1)),
        "architecture": pytest.approx((0.01 / 3, 0.03)),
        "batch": pytest.approx((0.01 / 3, 0.03)),
        "regularisation": None,
        "optimizer": pytest.approx((0.01 / 3, 0.3)),
    }


@pytest.mark.parametrize(
    ("name", "model", "hidden", "expected"),
    [
        ("digits", "cnn", (16, 32), {(16, 32), (8, 16), (32, 64), (16, 32, 32), (16,)}),
        ("digits", "cnn", (16,), {(16,), (8,), (32,), (16, 16)}),
        ("iris", "mlp", (6,), {(6,), (4,), (12,), (6, 6), ()}),
        ("iris", "mlp", (), {(), (64,)}),
        ("iris", "autoencoder", (20, 2), {(20, 2), (10, 2), (40, 2), (20, 20, 2), (2,)}),
        ("iris", "autoencoder", (2,), {(2,), (4, 2)}),
        ("digits", "rbm", (64,), {(64,), (32,), (128,)}),
    ],
)
def test_widths_and_depths_lie_around_the_plans_own(name, model, hidden, expected):
    plan, data = decided(name, model)
    options = dimensions(plan.change(hidden=hidden), data, "architecture")["hidden"].options
    assert (set(options), options[0], len(options)) == (expected, hidden, len(expected))


@pytest.mark.parametrize(
    ("own", "samples", "expected"),
    [(32, 10_000, (16, 32, 64, 128)), (32, 700, (16, 32, 64)), (8, 10_000, (8, 16, 32)), (32, 100, (32,))],
)
def test_batch_sizes_leave_ten_batches_and_eight_samples(own: int, samples: int, expected: tuple[int, ...]):
    plan, data = decided("digits", "mlp")
    found = {stage.name: stage.space for stage in stages(plan.change(batch_size=own), data.shape, samples)}
    if len(expected) == 1:
        assert "batch" not in found
        assert sum(stage.share for stage in stages(plan.change(batch_size=own), data.shape, samples)) == 1
    else:
        assert found["batch"].dimensions["batch_size"].options == expected


@pytest.mark.parametrize(
    ("name", "model", "expected"),
    [
        ("digits", "cnn", {"dropout", "weight_decay", "label_smoothing", "augment", "mixup"}),
        ("iris", "mlp", {"dropout", "weight_decay", "label_smoothing", "mixup"}),
        ("table", "mlp", {"dropout", "weight_decay", "label_smoothing"}),
        ("diabetes", "mlp", {"dropout", "weight_decay", "mixup"}),
        ("digits", "autoencoder", {"dropout", "weight_decay"}),
        ("digits", "rbm", {"weight_decay"}),
    ],
)
def test_regularisation_is_what_the_data_and_the_family_allow(name, model, expected):
    plan, data = decided(name, model)
    assert set(dimensions(plan, data, "regularisation")) == expected


def test_images_are_mirrored_only_in_colour():
    gray, colour = (
        dimensions(*decided(name, "cnn"), "regularisation")["augment"].options
        for name in ("digits", "photos")
    )
    assert not any("flip" in views for views in gray)
    assert any("flip" in views for views in colour)


def test_the_optimizer_is_changed_with_what_belongs_to_it():
    plan, data = decided("iris", "mlp")
    space = Space.of(dimensions(plan, data, "optimizer"))
    for values in method("random").searcher(space, 1).ask(32):
        own, momentum = values["algorithm"] == "adamw", values["algorithm"] in ("sgd", "rmsprop")
        assert ("weight_decay" not in values, "momentum" in values) == (own, momentum)
    # a decay of AdamW's size would be far too strong for those in which it is a term of the gradient
    assert space.dimensions["weight_decay"].high == 0.01
    assert dimensions(plan, data, "regularisation")["weight_decay"].high == 1
    sgd = plan.change(algorithm="sgd")
    assert dimensions(sgd, data, "optimizer")["lr"].low == pytest.approx(0.01 / 30)
    assert dimensions(sgd, data, "regularisation")["weight_decay"].high == 0.01


def test_options_of_an_algorithm_keep_it():
    plan, data = decided("iris", "mlp")
    changed = plan.change(algorithm="adam", options={"betas": [0.8, 0.99]})
    assert "optimizer" not in [stage.name for stage in all_of(changed, data)]


def test_the_whole_is_what_the_stages_try():
    plan, data = decided("digits", "cnn")
    whole = default_space(plan, data.shape, len(data.train))
    assert set(whole.dimensions) == {name for stage in all_of(plan, data) for name in stage.space.dimensions}
    assert whole.dimensions["lr"] == dimensions(plan, data, "rate")["lr"]
