from __future__ import annotations

import math
from typing import Any

import pytest

from fitwell.diagnosis import Example
from fitwell.evidence import View
from fitwell.measures import skill


def seen(places: list[dict[str, Any]], **signals: list[float]) -> View:
    labels = [each for each in places if "counts" in each]
    targets = [each for each in places if "constant" in each]
    named = {name.replace("__", "/"): values for name, values in signals.items()}
    facts = {"signals": {"labels": {"places": labels}, "targets": {"places": targets}}}
    return Example("", facts, named).view


def place(part: str, *counts: int, **more: Any) -> dict[str, Any]:
    return {"function": "cross_entropy", "part": part, "classes": len(counts), "counts": list(counts)} | more


def test_the_ratio_counts_classes_that_training_missed() -> None:
    assert skill.CLASS_RATIO.read(seen([place("train", 90, 0, 30)])) == 3
    assert skill.CLASS_RATIO.read(seen([place("train", 90, 0, 30), place("val", 9, 1, 3)])) == 90


def test_mixing_is_none_where_one_class_is_all_there_is() -> None:
    one = place("train", 90, 0, batch_mates={"pairs": 100, "equal": 100})
    assert skill.MIXING.read(seen([one])) is None
    assert skill.MIXING.read(seen([one, place("val", 50, 50)])) == 1
    mixed = place("train", 50, 50, batch_mates={"pairs": 100, "equal": 50})
    assert skill.MIXING.read(seen([mixed])) == 0


def test_constant_losses() -> None:
    assert skill.constant_loss(seen([place("train", 50, 50)])) == pytest.approx(math.log(2) + 1 / 200)
    mean = {"function": "mse_loss", "part": "train", "samples": 50, "constant": 4.0}
    assert skill.constant_loss(seen([mean])) == 4
    assert skill.constant_loss(seen([mean, place("train", 50, 50)])) is None  # of which is not known
    assert skill.constant_loss(seen([mean]), held_out=True) == 4


def test_skill_is_the_better_of_loss_and_accuracy() -> None:
    places = [place("train", 50, 50), place("val", 50, 50)]
    sure = seen(places, loss__val=[2.0], accuracy__val=[0.9], common_class__val=[0.5])
    assert skill.HELD_OUT_SKILL.read(sure) == pytest.approx(0.8)


def test_what_was_seen_early_says_nothing_of_the_end() -> None:
    view = seen([], loss__train=[1.0] * 20, accuracy__val=[0.9, 0.8])
    threads = {"threads": [{"name": "", "steps": 20}]}
    early = View({**view.facts, **threads}, view.signals)
    assert skill.later(early, "accuracy/val") is None
    assert skill.later(view, "accuracy/val") == pytest.approx(0.85)


def test_classes_that_training_hardly_saw() -> None:
    assert skill.UNSEEN_CLASSES.read(seen([place("train", 99, 1), place("val", 50, 50)])) == 0.5
    assert skill.UNSEEN_CLASSES.read(seen([place("train", 50, 50), place("val", 99, 1)])) == 0


def test_where_too_few_of_a_class_are_met_accuracy_tells() -> None:
    rare = [place("train", 192, 8)]
    learned: dict[str, Any] = {"accuracy__val": [0.96], "common_class__val": [0.96]}
    assert skill.RARE_RECALL.read(seen(rare, loss__train=[0.1] * 5, **learned)) == 0
    assert skill.RARE_RECALL.read(seen(rare, loss__train=[0.17] * 5, **learned)) is None


def test_of_several_losses_the_least_is_compared() -> None:
    parts = {"loss/cross_entropy/val": [0.5], "loss/mse_loss/val": [0.2], "loss/train": [0.1] * 5}
    assert skill.LOSS_RATIO.read(Example("", {}, parts).view) == pytest.approx(2)


def test_the_recall_of_the_other_classes() -> None:
    answers = {"labels": [50, 5, 50], "right": [40, 0, 20]}
    assert skill.COMMON_RECALL.read(seen([place("train", 90, 9, 90, answers=answers)])) == 0.6
    assert skill.COMMON_RECALL.read(seen([place("train", 90, 9)], accuracy__val=[0.9] * 4)) == 0.9
    assert skill.COMMON_RECALL.read(seen([])) is None
    assert skill.MANY_A_ROW.read(seen([place("train", 90, 9, many_a_row=True)])) is True
    assert skill.MANY_A_ROW.read(seen([])) is None
