"""Spaces: their points, conditions and grids, what a plan can take, and where they may be extended."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitwell.errors import PlanError
from fitwell.plan import Plan
from fitwell.space import Choice, Space, choice, identity, integer, loguniform, uniform

PLAN = Plan(data="digits").change(hidden=(32,), lr=0.01, weight_decay=0.01, dropout=0.1, batch_size=32)
SPACE = Space.of(
    {
        "lr": loguniform(1e-4, 0.1),
        "hidden": [64, [128, 64]],
        "algorithm": ["adamw", "sgd", "rmsprop"],
        "momentum": uniform(0, 0.99, when={"algorithm": ["sgd", "rmsprop"]}),
        "batch_size": integer(16, 256, log=True),
    }
)
POINTS = st.lists(st.floats(0, 1), min_size=5, max_size=5)


@given(POINTS)
def test_every_point_lies_in_the_space_and_is_a_plan(point: list[float]):
    values = SPACE.at(point)
    assert SPACE.contains(values)
    assert ("momentum" in values) == (values["algorithm"] in ("sgd", "rmsprop"))
    plan = SPACE.apply(PLAN, values)
    assert plan.optimizer.lr == values["lr"]
    assert plan.model.hidden in ((64,), (128, 64))
    assert plan.regularization == PLAN.regularization


@given(POINTS)
def test_coordinates_are_the_inverse_of_at_also_for_values_from_json(point: list[float]):
    values = SPACE.at(point)
    written = json.loads(json.dumps(values))
    assert SPACE.contains(written)
    assert identity(written) == identity(values)
    coordinates = SPACE.coordinates(written)
    assert (coordinates[3] is None) == ("momentum" not in values)
    again = SPACE.at([0.0 if one is None else one for one in coordinates])
    assert again == {
        name: pytest.approx(value) if name in ("lr", "momentum") else value for name, value in values.items()
    }


def test_a_part_of_the_plan_is_its_first_field_and_changes_nothing_else():
    space = Space.of({"optimizer": ["adam", "sgd"], "momentum": uniform(0, 0.9, when={"optimizer": "sgd"})})
    assert list(space.dimensions) == ["algorithm", "momentum"]
    plan = space.apply(PLAN, {"algorithm": "sgd", "momentum": 0.5})
    assert plan.diff(PLAN.change(algorithm="sgd", momentum=0.5)) == []
    with pytest.raises(PlanError, match="the same setting"):
        Space.of({"optimizer": ["adam"], "algorithm": ["sgd"]})


def test_the_grid_is_the_product_in_order():
    space = Space.of(
        {"lr": loguniform(1e-3, 1e-1), "activation": ["relu", "tanh"], "dropout": uniform(0, 0.5)}
    )
    expected = itertools.product([1e-3, 1e-2, 1e-1], ["relu", "tanh"], [0, 0.25, 0.5])
    assert [tuple(values.values()) for values in space.grid()] == [
        (pytest.approx(lr), activation, dropout) for lr, activation, dropout in expected
    ]


@pytest.mark.parametrize("points", [1, 2, 3, 5])
def test_in_a_grid_conditions_hold_and_nothing_is_there_twice(points: int):
    space = Space.of(
        {
            "algorithm": ["adamw", "sgd", "rmsprop"],
            "momentum": choice(0.0, 0.9, when={"algorithm": ["sgd", "rmsprop"]}),
            "warmup": uniform(0, 0.5, when={"momentum": [0.9]}),
            "norm": ["none", "batch"],
            "epochs": integer(1, 3),
        }
    )
    grid = space.grid(points)
    assert all(space.contains(values) for values in grid)
    assert len({identity(values) for values in grid}) == len(grid) == space.size(points)
    # adamw; sgd and rmsprop without momentum; with momentum, and so many warm-ups
    assert len(grid) == (1 + 2 + 2 * points) * 2 * min(points, 3)
    assert sum("warmup" in values for values in grid) == 2 * points * 2 * min(points, 3)
    assert not space.finite


def test_a_finite_space_has_an_end_and_a_size_that_needs_no_list():
    space = Space.of({"epochs": integer(1, 4), "seed": [0, 1]})
    assert space.finite
    assert len(list(space.combinations(None))) == space.size(None) == 8
    assert Space.of({name: integer(0, 10**6) for name in ("seed", "cd_steps")}).size(None) == (10**6 + 1) ** 2


def test_json_and_toml_and_back(tmp_path: Path):
    assert Space.from_dict(json.loads(json.dumps(SPACE.to_dict()))) == SPACE
    assert list(Space.from_dict(SPACE.to_dict()).dimensions) == list(SPACE.dimensions)
    file = tmp_path / "space.toml"
    file.write_text(
        "lr = {low = 1e-4, high = 0.1, log = true}\n"
        "hidden = [64, [128, 64]]\n"
        'optimizer = ["adamw", "sgd", "rmsprop"]\n'
        "[momentum]\n"
        "low = 0\n"
        "high = 0.99\n"
        'when = {optimizer = ["sgd", "rmsprop"]}\n'
        "[batch_size]\n"
        "low = 16\n"
        "high = 256\n"
        "log = true\n"
        "integer = true\n"
    )
    assert Space.from_toml(file) == SPACE


@pytest.mark.parametrize("content", [None, b"lr = ", b"\xff"])
def test_a_file_that_is_no_space_is_refused(tmp_path: Path, content: bytes | None):
    file = tmp_path / "space.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PlanError, match=r"space\.toml"):
        Space.from_toml(file)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({}, "without settings"),
        ({"momentum": uniform(0, 0.9, when={"algorithm": "sgd"}), "algorithm": ["sgd"]}, "comes later"),
        ({"momentum": uniform(0, 0.9, when={"momentum": 0.5})}, "comes later"),
        ({"lr": uniform(0, 1), "momentum": uniform(0, 0.9, when={"lr": [0.5]})}, "a range"),
        (
            {"algorithm": ["adam"], "momentum": uniform(0, 0.9, when={"algorithm": "sgd"})},
            "sgd, which it never is",
        ),
        ({"algorithm": ["adam"], "momentum": uniform(0, 0.9, when={"algorithm": []})}, "no value"),
    ],
)
def test_a_condition_that_can_not_be_is_refused(mapping, words: str):
    with pytest.raises(PlanError, match=words):
        Space.of(mapping)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"drop_out": uniform(0, 0.5)}, "drop_out.*\n.*\n.*'dropout'"),
        ({"activation": ["relu", "rellu"]}, "activation = 'rellu'"),
        ({"hidden": [64, [64, 0]]}, r"hidden = "),
        ({"dropout": uniform(0, 1)}, "dropout = 1"),
        ({"lr": uniform(0, 1)}, "lr = 0"),
        ({"epochs": uniform(5, 20)}, r"epochs = .*\n.*whole numbers\n.*integer\(5, 20\)"),
        ({"hidden": uniform(16, 64)}, r"integer\(16, 64\)"),
        ({"momentum": uniform(0, 0.9, when={"algoritm": "sgd"})}, "algoritm.*\n.*\n.*'algorithm'"),
    ],
)
def test_what_the_plan_can_not_take_is_named(mapping, words: str):
    with pytest.raises(PlanError, match=words):
        Space.of(mapping).check(PLAN)


def test_check_settles_conditions_on_what_the_plan_fixes():
    space = Space.of(
        {
            "lr": loguniform(1e-3, 1e-1),
            "shape": choice("step", "cosine", when={"algorithm": ["sgd"]}),
            "decay": uniform(0.1, 0.5, when={"shape": ["step"]}),
        }
    )
    assert list(space.check(PLAN).dimensions) == ["lr"]
    settled = space.check(PLAN.change(algorithm="sgd"))
    assert settled.dimensions == {**space.dimensions, "shape": choice("step", "cosine")}
    assert SPACE.check(PLAN) == SPACE


def test_the_edge_is_5_percent_of_a_range_in_its_own_scale():
    space = Space.of({"lr": loguniform(1e-4, 1), "dropout": uniform(0, 0.5), "norm": ["none", "batch"]})
    assert space.at_edge({"lr": 1.5e-4, "dropout": 0.48, "norm": "none"}) == {"lr": "low", "dropout": "high"}
    assert space.at_edge({"lr": 1.7e-4, "dropout": 0.47}) == {}
    assert space.at_edge({"lr": 0.6}) == {}
    assert space.at_edge({"lr": 0.7}) == {"lr": "high"}


@pytest.mark.parametrize(
    ("name", "dimension", "side", "expected"),
    [
        ("lr", loguniform(1e-3, 1e-1), "high", loguniform(1e-3, 10)),
        ("lr", loguniform(1e-3, 1e-1), "low", loguniform(1e-5, 1e-1)),
        ("lr", uniform(0.5, 0.6), "low", uniform(0.4, 0.6)),
        ("weight_decay", uniform(0.1, 0.4), "low", uniform(0.0, 0.4)),  # the limit itself
        ("weight_decay", uniform(0, 0.4), "high", uniform(0, 0.8)),
        ("dropout", uniform(0, 0.5), "high", uniform(0, 0.99609375)),  # below 1, to 1/128
        ("batch_size", integer(8, 32, log=True), "high", integer(8, 128, log=True)),
        ("batch_size", integer(4, 256, log=True), "low", integer(1, 256, log=True)),
        ("epochs", integer(5, 20), "low", integer(1, 20)),
        ("epochs", integer(5, 20), "high", integer(5, 35)),
    ],
)  # fmt: skip
def test_a_range_is_doubled_on_a_side_as_far_as_the_plan_can_take(name, dimension, side, expected):
    found = Space.of({name: dimension, "norm": ["none"]}).extended({name: side}, PLAN).dimensions[name]
    assert type(found) is type(expected)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("name", "dimension", "side"),
    [
        ("dropout", uniform(0, 0.5), "low"),
        ("momentum", uniform(0, 0.9999), "high"),
        ("epochs", integer(1, 5), "low"),
        ("batch_size", integer(1, 5, log=True), "low"),
        ("norm", choice("none", "batch"), "low"),
    ],
)
def test_a_space_that_can_not_be_extended_is_the_same(name, dimension, side):
    space = Space.of({name: dimension})
    assert space.extended({name: side}, PLAN) is space


def test_it_needs_no_torch():
    heavy = "{'torch', 'numpy', 'pandas', 'scipy', 'optuna'}"
    program = f"import sys, fitwell.space; sys.exit(', '.join(sorted({heavy} & set(sys.modules))) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_choice_is_kept_as_it_is_written():
    assert Space.of({"hidden": [64, [32]]}).dimensions["hidden"] == Choice((64, (32,)))
