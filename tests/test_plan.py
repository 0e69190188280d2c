"""Plan: JSON both ways, change and diff as laws, and refusals that help."""

import dataclasses
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitwell.errors import PlanError
from fitwell.plan import FLAT, Memory, OptimizerPlan, Plan

POSITIVE = st.floats(1e-12, 1e12)
COUNTS = st.integers(1, 10**9)
SHARES = st.floats(0, 0.999)
NAMES = st.text(max_size=10)
PARTS = st.one_of(st.just("auto"), SHARES, COUNTS)
AUTO = st.just("auto")


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def among(*values: str) -> st.SearchStrategy[str]:
    return st.sampled_from(values)


# What each setting may be. A new field of the plan must be added here: a test below holds that.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "source": NAMES, "target": maybe(NAMES), "task": among("auto", "classes", "number", "none"),
    "validation": PARTS, "test": PARTS, "group": maybe(NAMES), "time": maybe(NAMES),
    "family": NAMES, "hidden": AUTO | st.lists(COUNTS, max_size=4).map(tuple),
    "activation": among("auto", "relu", "tanh"), "norm": among("auto", "none", "batch", "layer"),
    "dropout": AUTO | SHARES, "embedding": among("auto", "none", "periodic"), "cd_steps": COUNTS,
    "function": among("auto", "cross-entropy", "bce", "mse", "mae", "huber"),
    "class_weights": st.booleans(), "label_smoothing": SHARES,
    "algorithm": NAMES, "lr": AUTO | POSITIVE, "momentum": SHARES, "weight_decay": AUTO | POSITIVE,
    "options": st.dictionaries(NAMES, st.booleans() | POSITIVE | NAMES, max_size=3),
    "shape": among("one-cycle", "cosine", "constant", "step", "exponential", "plateau"),
    "warmup": AUTO | SHARES, "decay": st.floats(0.01, 0.99), "plateau_patience": COUNTS,
    "augment": AUTO | st.lists(among("shift", "flip", "rotate", "color"), max_size=4).map(tuple),
    "mixup": POSITIVE, "clip": maybe(POSITIVE), "ema": maybe(st.floats(0.01, 0.99)),
    "epochs": AUTO | COUNTS, "patience": maybe(AUTO | COUNTS), "min_delta": POSITIVE,
    "monitor": among("auto", "loss", "metric"),
    "batch_size": AUTO | COUNTS, "accumulate": COUNTS, "seed": st.integers(0, 2**32 - 1),
    "device": NAMES, "precision": among("fp32", "bf16"), "threads": AUTO | COUNTS,
    "deterministic": st.booleans(),
}  # fmt: skip
CHANGES = st.fixed_dictionaries({}, optional=VALUES)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["data", *VALUES]), inner),
    max_leaves=5,
)
START = Plan(data="digits")


def leaf(path: str) -> str:
    return path.rpartition(".")[2]


def test_every_setting_is_drawn_here() -> None:
    assert sorted(leaf(path) for path, _, _ in START.settings()) == sorted(VALUES)


def test_the_name_of_a_setting_is_unique_over_the_whole_tree() -> None:
    names = [leaf(path) for path, _, _ in START.settings()] + [f.name for f in dataclasses.fields(START)]
    twice = {name for name in names if names.count(name) > 1}
    assert twice == {f.name for f in dataclasses.fields(START) if f.name not in set(FLAT.values())}
    assert len(FLAT) == len([path for path, _, _ in START.settings() if "." in path])


def test_every_setting_says_why() -> None:
    assert [path for path, _, why in START.settings() if len(why) < 8] == []


@given(CHANGES)
def test_a_plan_comes_back_from_json(changes: dict[str, Any]) -> None:
    plan = START.change(**changes)
    assert Plan.from_json(plan.to_json()) == plan
    json.loads(plan.to_json(), parse_constant=pytest.fail)


@given(CHANGES)
def test_change_sets_what_it_is_told_and_nothing_else(changes: dict[str, Any]) -> None:
    plan = START.change(**changes)
    before = {leaf(path): value for path, value, _ in START.settings()}
    after = {leaf(path): value for path, value, _ in plan.settings()}
    assert after == before | changes
    differing = {leaf(line.split(":")[0]) for line in START.diff(plan)}
    assert differing == {name for name, value in changes.items() if before[name] != value}
    assert Plan(data="digits") == START, "a plan is frozen"


@given(CHANGES, CHANGES)
def test_the_later_change_wins(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert START.change(**first).change(**second) == START.change(**(first | second))


@given(CHANGES, CHANGES)
def test_equal_plans_are_those_without_a_difference(first: dict[str, Any], second: dict[str, Any]) -> None:
    one, other = START.change(**first), START.change(**second)
    assert (one == other) == (one.diff(other) == [])
    assert len(one.diff(other)) == len(other.diff(one))


def test_a_difference_is_readable() -> None:
    assert START.change(lr=0.1).diff(START.change(lr=0.01, epochs=3)) == [
        "optimizer.lr: 0.1 -> 0.01",
        "stopping.epochs: auto -> 3",
    ]


def test_a_part_is_given_by_its_first_field() -> None:
    plan = Plan(data="x.csv", model="cnn", optimizer="sgd", schedule="cosine", loss="mae", stopping=3)
    assert (plan.data.source, plan.model.family, plan.optimizer) == (
        "x.csv",
        "cnn",
        OptimizerPlan(algorithm="sgd"),
    )
    assert (plan.schedule.shape, plan.loss.function, plan.stopping.epochs) == ("cosine", "mae", 3)
    assert START.change(model="cnn", lr=0.1).model.family == "cnn"


def test_data_in_memory_is_kept_and_named_so_in_json() -> None:
    rows = [[1.0], [2.0]]
    plan = Plan(data=(rows, [0, 1]))
    assert isinstance(plan.data.source, Memory)
    assert plan.change(lr=0.1).data.source.value == (rows, [0, 1])
    assert Plan.from_json(plan.to_json()).data.source == "memory"
    assert Plan(data=Path("a") / "b.csv").data.source == str(Path("a") / "b.csv")


def test_a_plan_can_not_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        START.seed = 3


@pytest.mark.parametrize(
    ("changes", "happened", "expected", "fix"),
    [
        ({"lr": -1}, r"optimizer.lr = -1 can't", "greater than 0", "change optimizer.lr"),
        ({"lr": "abc"}, r"optimizer.lr = 'abc'", "a valid number.*; or 'auto'", "change optimizer.lr"),
        ({"lr": float("nan")}, "optimizer.lr = nan", "finite|greater", "optimizer.lr"),
        ({"epochs": 0}, "stopping.epochs = 0", "greater than or equal to 1", "stopping.epochs"),
        ({"hidden": ("a",)}, "model.hidden = 'a'", "a valid integer", "model.hidden"),
        ({"shape": "wave"}, "schedule.shape = 'wave'", "'one-cycle', 'cosine'", "schedule.shape"),
        ({"validation": 1.5}, "data.validation = 1.5", "less than 1", "data.validation"),
        ({"seed": 2**32}, "seed = 4294967296", "less than 4294967296", "change seed"),
        ({"learning_rate": 1}, "no setting 'learning_rate'", "known", "fitwell train --help|did you mean"),
        ({"epoch": 3}, "no setting 'epoch'", "known", "did you mean 'epochs'"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_its_value_and_the_cure(
    changes: dict[str, Any], happened: str, expected: str, fix: str
) -> None:
    with pytest.raises(PlanError, match=f"(?s){happened}.*expected: .*({expected}).*fix: .*({fix})"):
        START.change(**changes)


def test_a_part_refuses_an_unknown_setting_by_its_own_name() -> None:
    with pytest.raises(PlanError, match=r"(?s)OptimizerPlan has no setting 'lrr'.*did you mean 'lr'"):
        OptimizerPlan(lrr=0.1)


@given(JSON)
def test_any_json_is_a_plan_or_refused_as_none(value: Any) -> None:
    with suppress(PlanError):  # any other exception fails the test
        assert isinstance(Plan.from_json(json.dumps(value)), Plan)


@pytest.mark.parametrize(
    ("text", "happened"),
    [
        ("{", "the plan is not JSON"),
        ("[1]", r"the plan = \[1\] can't be used"),
        ('{"data": {"source": "x"}, "model": {"famly": "mlp"}}', "no setting 'model.famly'"),
        ('{"data": "x", "stopping": {"epochs": "two"}}', "stopping.epochs = 'two'"),
        ("{}", "data"),
    ],
)
def test_a_text_that_is_no_plan_is_refused(text: str, happened: str) -> None:
    with pytest.raises(PlanError, match=happened):
        Plan.from_json(text)
