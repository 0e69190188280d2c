"""Whether a program trains now."""

from __future__ import annotations

import torch
from torch import nn

from fitwell.treating.changing.live import Live
from fitwell.treating.changing.trained import training_now


def test_at_first_it_trains_unless_there_are_no_gradients(live: Live) -> None:
    trains = training_now(live)
    assert trains()
    with torch.no_grad():
        assert not trains()


def test_before_the_first_call_what_was_said_last_counts(live: Live) -> None:
    trains, model = training_now(live), nn.Linear(1, 1)
    for say, wanted in (
        (model.eval, False), (model.train, True), (lambda: model.train(False), False),
        (lambda: model.train(mode=True), True),
    ):  # fmt: skip
        say()
        assert trains() is wanted


def test_later_the_mode_of_the_models_counts(live: Live) -> None:
    trains, model, other = training_now(live), nn.Linear(1, 1), nn.Linear(1, 1)
    model(torch.zeros(1))
    other.eval()
    assert trains()
    model.eval()
    assert not trains()
    model.train()
    assert trains()


def test_one_model_in_training_is_enough(live: Live) -> None:
    trains, teacher, student = training_now(live), nn.Linear(1, 1).eval(), nn.Linear(1, 1)
    teacher(torch.zeros(1))
    assert not trains()
    student(torch.zeros(1))
    assert trains()


def test_a_loss_and_what_runs_without_gradients_are_no_models(live: Live) -> None:
    trains, model = training_now(live), nn.Linear(1, 1).eval()
    nn.MSELoss()(torch.zeros(1), torch.zeros(1))
    with torch.no_grad():
        nn.Linear(1, 1)(torch.zeros(1))
    model(torch.zeros(1))
    assert not trains()
