"""What members have in common, and what keeps a training from being one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fitwell.data import load
from fitwell.data.contract import Data, Split
from fitwell.data.folds import folds
from fitwell.models import ACTIVATIONS
from fitwell.plan import DataPlan
from fitwell.training.prepare import make_job
from fitwell.tuning.populations.members import Member, form, member, obstacle, same_batches
from fitwell.tuning.populations.population import Population
from fitwell.tuning.populations.stacking import Unstackable

Make = Callable[..., Member]


def test_a_member_is_the_job_that_is_trained_alone(digits: Data, make: Make) -> None:
    """With the weights that its seed draws, and the state of torch's generator after that."""
    torch.manual_seed(99)
    before = torch.get_rng_state()
    one = make(digits, seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng():
        job = make_job(one.job.plan, digits)
        assert torch.equal(one.stream.get_state(), torch.get_rng_state())
    mine = one.job.model.state_dict()
    assert all(torch.equal(values, mine[name]) for name, values in job.model.state_dict().items())


def test_the_best_is_that_of_the_weights_that_are_kept(digits: Data, make: Make) -> None:
    one = make(digits)
    assert one.best is None
    for epoch, (val, better) in enumerate([(0.5, True), (0.3, True), (0.4, False)], start=1):
        one.job.epoch = epoch
        one.job.best_epoch = epoch if better else one.job.best_epoch
        one.add({"objective/train": 9.0, "objective/val": val})
    assert one.scores == [0.5, 0.3, 0.4]
    assert one.best == 0.3
    assert one.kept_row["objective/val"] == 0.3
    one.failed = "the loss became nan"
    assert one.best is None
    assert one.finished


def test_without_a_validation_part_the_training_part_counts(digits: Data, make: Make) -> None:
    one = make(dataclasses.replace(digits, validation=None))
    (row,) = Population([one]).epoch()
    assert "objective/val" not in row
    assert one.scores == [row["objective/train"]]
    assert one.best == one.scores[-1]


ALIKE: list[dict[str, Any]] = [
    {"lr": 0.1}, {"hidden": (99,)}, {"weight_decay": 0.3}, {"clip": 0.1}, {"seed": 3}, {"epochs": 9},
    {"schedule": "plateau"}, {"momentum": 0.1}, {"label_smoothing": 0.1}, {"class_weights": True},
    {"patience": 3}, {"augment": ("shift",)}, *({"activation": name} for name in ACTIVATIONS),
]  # fmt: skip
OTHER: list[dict[str, Any]] = [
    {"hidden": (12, 12)}, {"norm": "layer"}, {"dropout": 0.1}, {"batch_size": 64}, {"accumulate": 2},
    {"algorithm": "adam"}, {"options": {"amsgrad": True}}, {"mixup": 0.1}, {"ema": 0.9}, {"model": "cnn"},
]  # fmt: skip


@pytest.mark.parametrize("changes", ALIKE, ids=str)
def test_members_of_one_form_are_a_population(changes: dict[str, Any], digits: Data, make: Make) -> None:
    pair = [make(digits), make(digits, **changes)]
    assert form(pair[0].job) == form(pair[1].job)
    Population(pair)


@pytest.mark.parametrize("changes", OTHER, ids=str)
def test_what_can_not_differ_is_another_form(changes: dict[str, Any], digits: Data, make: Make) -> None:
    assert form(make(digits).job) != form(make(digits, **changes).job)


def test_the_names_of_optimizers_are_the_same_in_any_case(digits: Data, make: Make) -> None:
    forms = {form(make(digits, algorithm=name).job) for name in ("adamw", "AdamW")}
    assert len(forms) == 1


def test_data_of_another_form_makes_members_of_another_form(numbers: Data, table: Data, make: Make) -> None:
    assert form(make(numbers).job) != form(make(table).job)


def rare(levels: int, count: int = 240) -> DataPlan:
    """A column of so many categories, of which one person alone has the last, and another of three."""
    draw = np.random.default_rng(0)
    person = np.arange(count) % 8
    common = draw.integers(0, levels - 1, count)
    common[person == 0] = levels - 1
    columns = {"city": [f"city {n}" for n in common], "color": draw.choice(["r", "g", "b"], count)}
    frame = pd.DataFrame(columns | {"size": draw.normal(size=count), "y": draw.choice(["no", "yes"], count)})
    return DataPlan(source=frame.assign(person=person), target="y", group="person")


def test_folds_without_a_rare_category_share_a_population_if_columns_mean_the_same(
    make: Make, equal_to_alone: Callable[[list[Member]], None]
) -> None:
    """An embedding may have one category more; one-hot columns are other columns then."""
    embedded, one_hot = (folds(rare(levels), 4, 0) for levels in (18, 6))
    for parts, alike in ((embedded, True), (one_hot, False)):
        assert len({data.shape.inputs["codes"].levels for data in parts}) == 2
        members = [make(data, batch_size=16, epochs=3) for data in parts]
        assert (len({form(one.job) for one in members}) == 1) is alike
        if alike:
            equal_to_alone(members)
        else:
            with pytest.raises(Unstackable, match="columns"):
                Population(members)


@pytest.mark.parametrize("family", ["autoencoder", "rbm"])
def test_a_loss_of_its_own_is_an_obstacle(family: str, unlabelled: Data, make: Make) -> None:
    assert family in (obstacle(make(unlabelled, model=family).job) or "")


def test_bf16_is_an_obstacle(digits: Data, make: Make) -> None:
    assert "bf16" in (obstacle(make(digits, precision="bf16").job) or "")
    assert obstacle(make(digits).job) is None
    assert obstacle(make(digits, model="cnn", hidden=(4,)).job) is None


def test_batches_are_the_same_if_samples_and_their_order_are(digits: Data, make: Make) -> None:
    def same(*members: Member) -> bool:
        return same_batches(members)

    def with_data(**changes: Any) -> Member:
        data = dataclasses.replace(digits, **changes)
        return member(make(digits).job.plan, data)

    first = make(digits)
    assert same(first)
    assert same(first, make(digits, lr=1.0, hidden=(5,), dropout=0.2, seed=0))
    equal = with_data(train=Split(digits.train.fields, digits.train.index.clone()))
    assert same(first, equal)
    assert not same(first, make(digits, seed=1))
    assert not same(first, make(digits, augment=("shift",)))
    assert not same(make(digits, augment=("shift",)), make(digits, augment=("shift",)))
    assert not same(make(digits, mixup=0.1), make(digits, mixup=0.1))
    assert not same(first, with_data(train=Split(digits.train.fields, digits.train.index[:200])))
    assert not same(first, with_data(train=Split(digits.train.fields, digits.train.index.flip(0))))
    fields = {name: values.clone() for name, values in digits.train.fields.items()}
    assert not same(first, with_data(train=Split(fields, digits.train.index)))
    later = make(digits)
    later.job.epoch = 1
    assert not same(first, later)
    assert load(DataPlan(source="digits")).train.fields is not digits.train.fields
