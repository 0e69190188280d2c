"""Sizes of a model: in the plan's shape, from the smallest to beyond the plan's own, without what hides capacity."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitwell.plan import Plan
from fitwell.tuning.curves import sizes

PLAN = Plan(data="digits").change(family="mlp", hidden=(64, 32), patience=3, dropout=0.2, weight_decay=0.01)


@given(st.lists(st.integers(1, 600), min_size=1, max_size=4), st.integers(1, 1000))
def test_a_scaled_model_has_the_width_and_the_number_of_layers(hidden, width):
    plan = PLAN.change(hidden=tuple(hidden))
    found = sizes.scaled(plan, width)
    assert found[0] == width
    assert len(found) == len(hidden)
    assert min(found) >= 1
    assert sizes.scaled(plan, hidden[0]) == tuple(hidden)
    assert sizes.scaled(plan, 0) == ()


def test_a_linear_plan_is_widened_too():
    assert sizes.scaled(PLAN.change(hidden=()), 8) == (8,)


@pytest.mark.parametrize(("width", "least"), [(100, 400), (300, 600), (1000, 2000)])
def test_the_widths_reach_from_linear_to_beyond_the_plan(digits, width, least):
    found = sizes.widths(PLAN.change(hidden=(width,)), digits)
    assert found[:2] == [0, 1]
    assert width in found
    assert found == sorted(set(found))
    assert least <= found[-1] <= 2 * least


def test_a_cnn_begins_with_one_channel(digits):
    assert sizes.widths(PLAN.change(family="cnn", hidden=(16, 32)), digits) == [1, 2, 4, 8, 16, 32, 64]


def test_what_hides_capacity_is_taken_away_and_named():
    plan, taken = sizes.bare(PLAN.change(augment=("shift",), ema=0.9, lr=0.1))
    assert taken == ["dropout", "weight decay", "augment"]
    assert (plan.model.dropout, plan.optimizer.weight_decay, plan.regularization.augment) == (0, 0, ())
    assert plan.stopping.patience is None
    assert (plan.regularization.ema, plan.optimizer.lr) == (0.9, 0.1)
    assert sizes.bare(plan) == (plan, [])


def test_with_little_time_the_large_ones_are_left_out(digits, plan, monkeypatch):
    took = {0: 1.0, 4: 2.0, 8: 3.0, 16: 20.0, 32: 100.0}
    made = plan(digits, hidden=(8,))
    monkeypatch.setattr(sizes, "training_seconds", lambda one, _data: took[next(iter(one.model.hidden), 0)])
    assert sizes.affordable(made, digits, list(took), 30.0) == ([0, 4, 8, 16], 26.0)
    assert sizes.affordable(made, digits, list(took), 0.5) == ([0, 4, 8], 6.0)
    assert sizes.affordable(made, digits, list(took), None) == ([0, 4, 8, 16], 26.0)
    assert sizes.affordable(plan(digits, hidden=(16,)), digits, list(took), None)[0] == list(took)


def test_a_larger_model_takes_longer(digits, plan):
    small, large = (
        sizes.training_seconds(plan(digits, hidden=(width, width)), digits) for width in (2, 1024)
    )
    assert 0 < small < large
    assert sizes.training_seconds(plan(digits, precision="bf16"), digits) == 0
