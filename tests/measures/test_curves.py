"""Figures of training and validation curves."""

import json
import math
import time
from pathlib import Path

import pytest

from fitwell.diagnosing import diagnose
from fitwell.diagnosis import Example
from fitwell.evidence import View
from fitwell.measures.curves import FALL, GAP, LATE_FALL, NOT_FINITE, RISE, STARTS_FINITE, TURNS, curves_of
from fitwell.run import create_run

LABELS = {"function": "cross_entropy", "part": "train", "counts": [50, 50]}


def view(facts: dict[str, object] | None = None, **signals: list[float]) -> View:
    return Example(
        "", facts or {}, {name.replace("__", "/"): values for name, values in signals.items()}
    ).view


def test_the_fall_is_from_the_first_step_or_from_chance() -> None:
    losses = [4.0, 1.0, 0.5, 0.5]
    assert FALL.read(view(loss__batch=[2.0, 9.0, 9.0], loss__window=losses)) == pytest.approx(0.75)
    seen = {"signals": {"labels": {"places": [LABELS]}}}
    fallen = FALL.read(view(seen, loss__batch=[2.0], loss__window=losses))
    assert fallen == pytest.approx(1 - 0.5 / math.log(2)), "a start above chance is no progress"
    assert FALL.read(view()) is None


def test_weights_of_classes_change_the_loss_of_chance() -> None:
    place = {"function": "cross_entropy", "part": "train", "arguments": {"weight": "Tensor"}}
    seen = {"signals": {"labels": {"places": [LABELS]}, "loss_inputs": {"places": [place]}}}
    assert FALL.read(view(seen, loss__batch=[2.0], loss__window=[2.0, 0.5, 0.5])) == pytest.approx(0.75)


def test_nan_is_seen() -> None:
    assert NOT_FINITE.read(view(loss__window=[1.0, math.nan])) is True
    assert NOT_FINITE.read(view(loss__window=[1.0, 0.5])) is False
    assert NOT_FINITE.read(view()) is None


def test_late_fall_and_turns() -> None:
    assert LATE_FALL.read(view(loss__window=[1.0] * 8)) == 0
    assert TURNS.read(view(loss__window=[1.0, 2.0] * 4)) == 1
    assert TURNS.read(view(loss__window=[float(n) for n in range(8)])) == 0


def test_cross_entropy_bounds_the_accuracy_of_training() -> None:
    place = {"function": "cross_entropy", "part": "train"}
    facts = {"signals": {"loss_inputs": {"places": [place]}}}
    low = [1.0, 0.5, 0.01, 0.01, 0.01]
    signals = {
        "loss__train": low,
        "loss__val": [1.0, 0.8, 0.8, 0.8, 0.8],
        "accuracy__val": [0.5, 0.6, 0.6, 0.6, 0.6],
    }
    metric = curves_of(view(facts, **signals)).metric
    assert metric == (pytest.approx(1 - 0.01 / math.log(2)), 0.6)
    gap = GAP.read(view(facts, **signals))
    assert isinstance(gap, float)
    assert 0.2 < gap < 0.4, "less than the difference, for the samples are few"


def test_a_rise_of_next_to_nothing_is_none() -> None:
    rise = RISE.read(view(loss__train=[1.0, 0.1, 0.0], loss__val=[1.0, 0.01, 0.01, 0.02, 0.02, 0.02]))
    assert isinstance(rise, float)
    assert rise < 0.05


def test_a_watched_program_is_told_how_to_validate_and_fit_how_to() -> None:
    assert "held-out" in curves_of(view(loss__train=[1.0])).to_validate
    assert "--validation" in curves_of(view({"fit": {}}, loss__train=[1.0])).to_validate


def test_a_thousand_looks_are_diagnosed_quickly(tmp_path: Path) -> None:
    run = create_run(None, "long", tmp_path)
    run.update(state="done", program={})
    layers = {
        f"layer/{n}/{what}": 0.1
        for n in range(16)
        for what in ("gradient_norm", "weight_norm", "update_ratio")
    }
    with open(run.path / "events.jsonl", "w") as file:
        for step in range(1, 1001):
            signals = {
                "loss/batch": 2 / step,
                "loss/window": 2 / step,
                "lr": 0.1,
                "gradient/norm": 1.0,
                **layers,
            }
            file.write(
                json.dumps({"step": step, "epoch": step / 100, "time": 0.0, "signals": signals}) + "\n"
            )
    diagnose(run)  # the rules are loaded once
    begin = time.process_time()
    diagnose(run)
    assert time.process_time() - begin < 2


def test_several_losses_on_held_out_data_are_added_where_all_were_seen() -> None:
    seen = view(loss__mse_loss__val=[3.0, 2.0, 1.0], loss__cross_entropy__val=[2.0, 1.0])
    assert curves_of(seen).validation == [5.0, 3.0]


def test_whether_the_first_loss_is_finite() -> None:
    assert STARTS_FINITE.read(view(**{"loss/batch": [math.nan, 1.0]})) is False
    assert STARTS_FINITE.read(view(**{"loss/window": [1.0, math.nan]})) is True
    assert STARTS_FINITE.read(View()) is None
