"""Each member of a population is what it would be alone, whoever else is in it and whatever becomes of them.

Trainings are compared after fifty steps and more. Adam divides a gradient by its own size, so that one that is nothing
but rounding (that of a bias before a batch norm, which the norm takes away again; that of the weight of a column that
is constant) still moves its weight by a whole rate in a random direction. Batch norm with Adam is therefore compared
apart from these biases and what follows them.
"""

from __future__ import annotations

import itertools
import re
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fitwell.data.contract import Data
from fitwell.data.folds import folds, resampled
from fitwell.models import parameter_count
from fitwell.plan import DataPlan
from fitwell.training import checkpoint
from fitwell.tuning.populations import population as population_module
from fitwell.tuning.populations.members import Member
from fitwell.tuning.populations.population import Population
from fitwell.tuning.populations.streams import drawing_from

sys.path.insert(0, str(Path(__file__).parent))
from population_cases import CASES, SGD, Changes

Make = Callable[..., Member]
Check = Callable[[list[Member]], None]


@pytest.mark.parametrize("name", CASES)
def test_each_member_is_what_it_is_alone(
    name: str, make: Make, equal_to_alone: Check, request: pytest.FixtureRequest
) -> None:
    source, changes = CASES[name]
    data = request.getfixturevalue(source)
    members = [make(data, **one) for one in changes]
    equal_to_alone(members)
    assert all(one.job.step >= 50 for one in members)


def test_batch_norm_with_adam(binary: Data, make: Make, tools: Any) -> None:
    """What the norm takes away again moves at random, and with it the running mean, but nothing else does."""
    members = [make(binary, norm="batch", hidden=hidden, lr=1e-3) for hidden in ((16,), (8,))]
    for one, rows in zip(members, tools.together(members), strict=True):
        job, own = tools.alone(one)
        assert [row["loss/optimized"] for row in rows] == pytest.approx(
            [row["loss/optimized"] for row in own], rel=1e-5
        )
        mine, theirs = tools.tensors(job), tools.tensors(one.job)
        told = [name for name in mine if not name.startswith("best/") and "running_mean" not in name]
        assert "model/layers.0.weight" in told
        assert max(tools.apart(mine[name], theirs[name]) for name in told) < 1e-4


SOURCE = np.random.default_rng(1).normal(size=(103, 4))
CLASSES = np.digitize(SOURCE[:, 0] + SOURCE[:, 1], [-1.0, 1.0])


def folded(kind: str) -> list[Data]:
    """Three folds; of groups and times their training parts differ in size."""
    frame = pd.DataFrame(SOURCE, columns=list("abcd"))
    frame["color"] = np.where(SOURCE[:, 2] > 0, "red", "blue")
    if kind == "groups":
        frame["person"] = np.repeat(np.arange(9), [40, 20, 11, 9, 8, 6, 4, 3, 2])
    if kind == "times":
        frame["day"] = np.arange(103)
    named = {"groups": {"group": "person"}, "times": {"time": "day"}}.get(kind, {})
    return folds(DataPlan(source=frame.assign(y=CLASSES), target="y", task="classes", **named), 3, 0)


@pytest.mark.parametrize("kind", ["samples", "groups", "times"])
@pytest.mark.parametrize(
    "changes",
    [
        {"dropout": 0.3, "norm": "layer"},
        {"ema": 0.9, "accumulate": 2, "norm": "batch", "algorithm": "sgd", "lr": 0.003},
        {"shape": "one-cycle", "clip": 0.5, "algorithm": "nadam"},
    ],
    ids=["dropout", "ema", "nadam"],
)
def test_folds_may_have_other_numbers_of_steps(
    kind: str, changes: Changes, make: Make, equal_to_alone: Check
) -> None:
    parts = folded(kind)
    # Not the longest first, and narrower than others where a part of the population steps alone.
    members = [
        make(data, hidden=hidden, batch_size=8, epochs=9, **changes)
        for data, hidden in zip([*parts, parts[0]], [(6,), (6,), (12,), (9,)], strict=True)
    ]
    equal_to_alone(members)
    if kind != "samples":
        assert len({one.job.step for one in members}) > 1


def test_bootstrap_resamples_share_their_data(numbers: Data, make: Make, equal_to_alone: Check) -> None:
    parts = [resampled(numbers, size, seed, replace=True) for size, seed in ((100, 0), (100, 1), (90, 2))]
    equal_to_alone([make(data, epochs=15) for data in parts])


def test_folds_of_pictures_have_their_own_mean(make: Make, equal_to_alone: Check) -> None:
    draw = np.random.default_rng(0)
    labels = np.arange(90) % 3
    pictures = (draw.integers(0, 120, (90, 8, 8)) + 40 * labels[:, None, None]).astype(np.uint8)
    parts = folds(DataPlan(source=(pictures, labels)), 3, 0)
    assert len({data.shape.inputs["x"].mean for data in parts}) == 3
    equal_to_alone([make(data, batch_size=8, epochs=7, augment=("shift",)) for data in parts])
    equal_to_alone(
        [
            make(data, model="cnn", hidden=(4, 8), norm="batch", batch_size=8, epochs=7, **SGD)
            for data in parts
        ]
    )


@pytest.mark.parametrize("monitor", ["loss", "metric"])
def test_each_member_stops_when_it_would_alone_and_keeps_the_same_weights(
    monitor: str, digits: Data, make: Make, equal_to_alone: Check
) -> None:
    members = [
        make(digits, patience=2, epochs=14, monitor=monitor, min_delta=min_delta, algorithm="sgd", lr=lr)
        for lr, min_delta in ((0.03, 0.02), (0.01, 0.02), (0.003, 0.03), (0.01, 0.1))
    ]
    equal_to_alone(members)
    assert len({one.job.epoch for one in members}) > 1
    assert any(one.job.best_epoch < one.job.epoch for one in members)
    for one in members:
        before = one.job.best_weights
        one.job.restore_best()
        assert all(torch.equal(values, before[name]) for name, values in one.job.model.state_dict().items())


def run(members: list[Member], epochs: int) -> list[Any]:
    """The figures of some epochs of one population, by member."""
    population = Population(members)
    rows: dict[int, list[Any]] = {id(one): [] for one in members}
    for _ in range(epochs):
        for one, row in zip(population.members, population.epoch(), strict=True):
            rows[id(one)].append(row)
    return list(rows.values())


def same_bits(one: Member, other: Member, tools: Any) -> None:
    mine, theirs = tools.tensors(one.job), tools.tensors(other.job)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []
    assert one.scores == other.scores
    assert torch.equal(one.stream.get_state(), other.stream.get_state())


FAULTS: dict[str, Changes] = {
    "mlp": {"hidden": (16, 8), "dropout": 0.2, "norm": "layer"},
    "shared batches": {"algorithm": "sgd"},
    "batch norm, clip": {"norm": "batch", "clip": 1.0, "mixup": 0.2},
    "cnn": {"model": "cnn", "hidden": (4, 8), "norm": "batch", "augment": ("shift",)},
    "large, ema": {"hidden": (520,), "ema": 0.9},
    "without a form": {"algorithm": "nadam"},
}


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("name", FAULTS)
def test_a_member_that_diverges_changes_no_bit_of_the_others(
    name: str, place: int, digits: Data, make: Make, tools: Any
) -> None:
    def others() -> list[Member]:
        return [make(digits, lr=lr, batch_size=64, **FAULTS[name]) for lr in (1e-3, 3e-3)]

    def population(faulty: Member) -> list[Member]:
        made = others()
        made.insert(place, faulty)
        run(made, 3)
        return [one for one in made if one is not faulty]

    ill = make(digits, lr=1e6, batch_size=64, **FAULTS[name])
    with torch.no_grad():
        next(ill.job.model.parameters()).fill_(torch.nan)
    beside_ill, without = population(ill), others()
    assert ill.failed is not None
    assert "nan" in ill.failed
    run(without, 3)
    beside_well = population(make(digits, lr=2e-3, batch_size=64, **FAULTS[name]))
    for one, other, third in zip(beside_ill, beside_well, without, strict=True):
        same_bits(one, other, tools)
        tools.same_job(third.job, one.job, 1e-6)


def test_a_member_whose_rate_is_far_too_high_fails_and_says_when(digits: Data, make: Make) -> None:
    members = [make(digits, algorithm="sgd", lr=lr) for lr in (0.01, 1e6)]
    rows = run(members, 3)
    assert [one.failed is None for one in members] == [True, False]
    assert members[1].finished
    assert re.fullmatch(r"the loss became (nan|inf) in epoch \d", members[1].failed or "")
    assert members[1].best is None
    assert not any(name.startswith("objective") for name in rows[1][-1])
    assert members[0].best == min(members[0].scores)


HARD: dict[str, Changes] = {
    "adamw": {"dropout": 0.3, "ema": 0.9, "shape": "plateau", "plateau_patience": 1, "hidden": (16, 8)},
    "sgd": {"algorithm": "sgd", "norm": "batch", "shape": "one-cycle", "augment": ("shift",), "ema": 0.99},
    "rmsprop": {"algorithm": "rmsprop", "lr": 3e-4, "accumulate": 2, "batch_size": 16, "mixup": 0.3},
    "nadam": {"algorithm": "nadam", "dropout": 0.2, "norm": "layer", "shape": "cosine"},
    "large": {"hidden": (520,), "lr": 1e-3, "weight_decay": 0.1},
}


@pytest.mark.parametrize("name", HARD)
def test_members_go_on_when_others_leave_and_come(
    name: str, digits: Data, make: Make, tools: Any, equal_to_alone: Check
) -> None:
    def trio() -> list[Member]:
        return [make(digits, **(HARD[name] | {"seed": seed})) for seed in (0, 1, 2)]

    unbroken, broken = trio(), trio()
    run(unbroken, 5)
    run(broken, 1)
    run(broken[:1] + broken[2:], 1)
    wider = make(digits, **(HARD[name] | {"hidden": (20, 20) if name == "adamw" else (540,)}))
    run([wider, broken[2], broken[0]], 2)
    run([broken[0]], 1)
    run([broken[2], wider], 1)
    for place in (0, 2):
        tools.same_job(unbroken[place].job, broken[place].job, 1e-6)
        assert broken[place].scores == pytest.approx(unbroken[place].scores, rel=1e-6)
        assert torch.equal(broken[place].stream.get_state(), unbroken[place].stream.get_state())
    tools.together([wider])
    tools.same_job(tools.alone(wider)[0], wider.job)


@pytest.mark.parametrize("name", HARD)
def test_a_member_goes_on_from_its_checkpoint(
    name: str, digits: Data, make: Make, tools: Any, tmp_path: Path
) -> None:
    """Bit for bit: weights, the optimizer's state, averages, and the stream of random numbers."""
    members = [make(digits, **(HARD[name] | {"seed": seed})) for seed in (0, 1)]
    run(members, 2)
    again = [make(digits, **(HARD[name] | {"seed": seed})) for seed in (0, 1)]
    for number, (one, fresh) in enumerate(zip(members, again, strict=True)):
        with drawing_from(one.stream):
            checkpoint.save(one.job, tmp_path / str(number), 0, 0.0)
        with drawing_from(fresh.stream):
            checkpoint.load(fresh.job, tmp_path / str(number))
        fresh.scores = list(one.scores)
        same_bits(one, fresh, tools)
        tools.same_job(one.job, fresh.job, 0.0)
    run(members, 3)
    run(again, 3)
    for one, fresh in zip(members, again, strict=True):
        same_bits(one, fresh, tools)


def test_a_checkpoint_of_a_member_goes_on_alone(digits: Data, make: Make, tools: Any, tmp_path: Path) -> None:
    """Also one that is taken before the first step, and of a padded member."""
    for epochs in (0, 3):
        members = [make(digits, hidden=hidden, dropout=0.2) for hidden in ((8,), (16,))]
        run(members, epochs)
        fresh = make(digits, hidden=(8,), dropout=0.2)
        with drawing_from(members[0].stream):
            checkpoint.save(members[0].job, tmp_path / str(epochs), 0, 0.0)
        with drawing_from(fresh.stream):
            checkpoint.load(fresh.job, tmp_path / str(epochs))
            tools.train(fresh.job)
        tools.same_job(tools.alone(fresh)[0], fresh.job)


def test_populations_side_by_side_give_what_they_give_one_after_another(
    digits: Data, table: Data, make: Make, tools: Any
) -> None:
    def populations() -> list[list[Member]]:
        views = [make(digits, augment=("shift",), mixup=0.2, dropout=0.3, seed=seed) for seed in (0, 1, 2)]
        masks = [make(table, dropout=dropout, hidden=(16, 8)) for dropout in (0.1, 0.3)]
        pictures = [
            make(digits, model="cnn", hidden=(4, 8), augment=("shift",), seed=seed) for seed in (0, 1)
        ]
        return [views, masks, pictures]

    before, beside = populations(), populations()
    for members in before:
        run(members, 3)

    def in_thread(members: list[Member]) -> None:
        torch.set_num_threads(1)
        run(members, 3)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(in_thread, beside))
    for one, other in zip(*(itertools.chain(*all_of) for all_of in (before, beside)), strict=True):
        same_bits(one, other, tools)


def test_nothing_is_drawn_from_torchs_own_stream(digits: Data, make: Make) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run([make(digits, dropout=0.3, mixup=0.2, augment=("shift",), seed=seed) for seed in (0, 1)], 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_there_is_one_copy_of_the_data_and_one_row_of_weights_a_member(digits: Data, make: Make) -> None:
    members = [make(digits, lr=lr, algorithm="sgd") for lr in (1e-3, 1e-2, 1e-1)]
    assert {one.job.data.train.fields["x"].data_ptr() for one in members} == {
        digits.train.fields["x"].data_ptr()
    }
    population = Population(members)
    count = parameter_count(members[0].job.model)
    assert population.rows.weights_KP.shape == (3, count)
    assert population.rows.mask_KP is None
    for matrix, of in (
        (population.rows.weights_KP, lambda p, _state: p),
        (population.rows.gradients_KP, lambda p, _state: p.grad),
        (population.optimizer.kept[0], lambda _p, state: state["momentum_buffer"]),
    ):
        lies = {matrix.untyped_storage().data_ptr()}
        for one in members:
            state = one.job.optimizer.state
            assert {of(p, state[p]).untyped_storage().data_ptr() for p in one.job.model.parameters()} == lies
    places = [
        p.data_ptr() // 4 + offset
        for one in members
        for p in one.job.model.parameters()
        for offset in range(p.numel())
    ]
    assert len(set(places)) == 3 * count == population.rows.weights_KP.numel()


def test_padded_weights_stay_zero(digits: Data, make: Make) -> None:
    members = [make(digits, hidden=hidden, activation="sigmoid", ema=0.9) for hidden in ((8, 16), (16, 8))]
    population = Population(members)
    population.epoch()
    mask_KP = population.rows.mask_KP
    assert mask_KP is not None
    assert mask_KP.sum(1).tolist() == [parameter_count(one.job.model) for one in population.members]
    matrices = [population.rows.weights_KP, population.rows.gradients_KP, *population.optimizer.kept]
    assert population.ema is not None
    for matrix in (*matrices, population.ema.average_KP):
        assert (matrix[mask_KP == 0] == 0).all()
        assert (matrix[mask_KP == 1] != 0).any()


def test_the_time_of_a_step_is_without_what_an_epoch_prepares_once(
    digits: Data, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 50,000 samples their order took a third of a step, so that populations looked faster than they are."""
    real = population_module.steps_of_epoch
    monkeypatch.setattr(population_module, "steps_of_epoch", lambda job: time.sleep(0.5) or real(job))
    assert 0 < Population([make(digits)]).step_seconds() < 0.4


def test_a_trial_step_moves_nothing(digits: Data, table: Data, make: Make) -> None:
    shared = [make(digits, lr=lr) for lr in (1e-3, 1e-2)]
    own = [make(table, seed=seed) for seed in (0, 1)]
    for members in (shared, own):
        population = Population(members)
        before = population.rows.weights_KP.clone()
        assert population.step_seconds() > 0
        assert torch.equal(population.rows.weights_KP, before)
        assert (population.rows.gradients_KP != 0).any()
