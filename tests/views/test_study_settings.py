"""Settings as coordinates, and how much each matters: compared with functions whose answer is known."""

import math
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from studies import make_study

from fitwell.space import integer, loguniform, uniform
from fitwell.views.study_settings import LEAST, Scale, coordinates, importance, scales

SPACE = {name: {"low": 0.0, "high": 1.0} for name in ("dropout", "momentum", "mixup")}


def study_of(folder, function, count=60, space=SPACE, **document):
    draw = random.Random(0)
    trials = []
    for _ in range(count):
        values = {name: draw.uniform(0, 0.99) for name in space}
        trials.append({"values": values, "score": function(*values.values())})
    return make_study(folder, trials=trials, space=space, **document)


@given(st.floats(1e-5, 1e-1), st.floats(1.1, 1e3), st.floats(0, 1))
def test_places_are_the_coordinates_of_the_space(low, factor, at):
    high = low * factor
    for dimension, log in ((uniform(low, high), False), (loguniform(low, high), True)):
        value = dimension.at(at)
        place = Scale("x", (low, high), log).place(value)
        assert place == pytest.approx(dimension.coordinate(value), abs=1e-9)
    assert Scale("x", (low, high), True).place(0.0) == 0.0


def test_named_values_lie_side_by_side_and_unknown_ones_nowhere():
    scale = Scale("hidden", choices=("64", "128", "128 64"))
    assert [scale.place(value) for value in (64, [64], (128, 64), 7)] == [1 / 6, 1 / 6, 5 / 6, None]
    assert Scale("lr", (0.1, 1.0)).place("auto") is None
    assert Scale("lr", (0.1, 0.1)).place(0.1) == 0.5


def test_ticks_name_the_ends_and_the_middle():
    assert Scale("lr", (1e-4, 1e-2), True).ticks() == [(0.0, "0.0001"), (0.5, "0.001"), (1.0, "0.01")]
    assert Scale("lr", (0.0, 1.0)).ticks()[1] == (0.5, "0.5")
    many = Scale("x", choices=tuple(map(str, range(50)))).ticks()
    assert len(many) <= 12
    assert all(0 < place < 1 for place, _ in many)


def test_scales_are_as_wide_as_the_space_and_the_values(tmp_path):
    space = {
        "lr": {"low": 1e-4, "high": 0.1, "log": True}, "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
        "epochs": {"low": 5, "high": 50, "integer": True}, "hidden": {"options": [64, [8, 8]]},
        "dropout": {"low": 0.0, "high": 0.5},
    }  # fmt: skip
    values = [
        {"lr": 0.01, "weight_decay": 0.0, "epochs": 7, "hidden": [8, 8], "dropout": 0.1},
        {"lr": 0.3, "weight_decay": 1e-3, "epochs": 9, "hidden": 64, "dropout": 0.1},
    ]
    study = make_study(tmp_path, trials=[{"values": each, "score": 0.5} for each in values], space=space)
    found = scales(study, study.trials)
    assert found == [
        Scale("lr", (1e-4, 0.3), True), Scale("weight_decay", (1e-6, 1e-2), True), Scale("epochs", (5.0, 50.0)),
        Scale("hidden", choices=("64", "8 8")),
    ]  # fmt: skip
    places = coordinates(study, found)
    assert places[1][1:] == [0.0, pytest.approx(2 / 45), 0.75]
    assert places[2][0] == 1.0
    assert integer(5, 50).has(7)


def test_a_setting_whose_condition_fails_has_no_place(tmp_path):
    space = {
        "algorithm": {"options": ["sgd", "adamw"]},
        "momentum": {"low": 0.0, "high": 1.0, "when": {"algorithm": ["sgd"]}},
    }
    values = [{"algorithm": "sgd", "momentum": m} for m in (0.2, 0.8)] + [{"algorithm": "adamw"}]
    study = make_study(tmp_path, trials=[{"values": each, "score": 0.5} for each in values], space=space)
    places = coordinates(study, scales(study, study.trials))
    assert [places[number][1] for number in (1, 2, 3)] == [0.2, 0.8, None]


@pytest.mark.parametrize("higher", [True, False])
def test_the_shares_are_those_of_an_additive_function(tmp_path, higher):
    study = study_of(tmp_path, lambda x, y, z: 3 * x + y, 120, higher=higher)  # variances 9 : 1 : 0
    shares = importance(study)
    assert list(shares) == ["dropout", "momentum", "mixup"]
    assert shares["dropout"] == pytest.approx(0.9, abs=0.08)
    assert shares["momentum"] == pytest.approx(0.1, abs=0.08)
    assert shares["mixup"] < 0.02


def test_what_two_settings_do_together_is_no_share_of_either(tmp_path):
    study = study_of(tmp_path, lambda x, y, z: (x - 0.5) * (y - 0.5), 150)
    assert sum(importance(study).values()) < 0.4


def test_one_disaster_does_not_hide_the_rest(tmp_path):
    study = study_of(tmp_path, lambda x, y, z: -1e6 if z > 0.97 else x, 80)
    assert next(iter(importance(study))) == "dropout"
    assert any(trial.score == -1e6 for trial in study.ranked())


def test_too_few_trials_or_equal_scores_tell_nothing(tmp_path):
    assert importance(study_of(tmp_path, lambda x, y, z: x, LEAST - 1)) == {}
    assert importance(study_of(tmp_path, lambda x, y, z: x, LEAST)) != {}
    assert importance(study_of(tmp_path, lambda x, y, z: 0.5, 20)) == {}
    assert importance(make_study(tmp_path)) == {}


def test_it_is_the_same_each_time(tmp_path):
    study = study_of(tmp_path, lambda x, y, z: math.sin(5 * x) + y, 20)
    assert importance(study) == importance(study)
