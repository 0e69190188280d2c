"""What is read of the modes in which layers ran."""

from __future__ import annotations

import pytest

from fitwell.evidence import View
from fitwell.measures import modes

LOSSES = "held_out_losses_in_training_mode"


def judged(training: dict[str, int], function: str = "mse_loss", **more: int) -> object:
    place = {"function": function, "part": "train"}
    facts = {"signals": {"loss_inputs": {"places": [place]}}}
    return modes.JUDGED_IN_TRAINING_MODE.read(View(facts, subject={"training": training} | more))


@pytest.mark.parametrize(
    ("training", "function", "more", "expected"),
    [
        ({"train": 5, "val": 3}, "mse_loss", {LOSSES: 2}, 2),
        ({"train": 5, "val": 3}, "mse_loss", {"held_out_batches_in_training_mode": 3}, 3),
        ({"train": 5, "val": 3}, "cross_entropy", {}, 3),  # a classifier is called to count right answers
        ({"train": 5, "val": 3}, "mse_loss", {}, 0),  # or a generator makes samples
        ({"train": 5, "train_evaluated": 3}, "mse_loss", {LOSSES: 3}, 0),
        ({"train": 5}, "cross_entropy", {}, 0),
    ],
)
def test_what_counts_as_an_evaluation(
    training: dict[str, int], function: str, more: dict[str, int], expected: int
) -> None:
    assert judged(training, function, **more) == expected


def test_a_thread_without_such_layers_has_no_step_in_the_wrong_mode() -> None:
    assert (
        modes.LATEST_IN_EVALUATION_MODE.read(View({"signals": {"modes": {"threads": {}}}}, thread="net")) == 0
    )
    assert modes.LATEST_IN_EVALUATION_MODE.read(View()) is None


def test_dropout_of_functions_counts_too() -> None:
    facts = {"signals": {"examination": {"net": {"dropout": 0.8}}, "running_statistics": {}}}
    assert modes.STRONGEST_DROPOUT.read(View(facts)) == 0.8
