"""What can't be stacked is trained by the loop that trains one model, epoch by epoch, to the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from fitwell.data.contract import Data
from fitwell.tuning.populations.measuring import figures_alone
from fitwell.tuning.populations.members import Member
from fitwell.tuning.populations.population import Population
from fitwell.tuning.populations.solo import Solo

Make = Callable[..., Member]

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("digits", {}),
    "everything drawn": ("digits", {"dropout": 0.3, "mixup": 0.2, "augment": ("shift",)}),
    "ema and patience": ("digits", {"ema": 0.9, "patience": 1, "epochs": 9, "lr": 0.05}),
    "bf16": ("digits", {"precision": "bf16"}),
    "autoencoder": ("unlabelled", {"model": "autoencoder", "hidden": (8,), "algorithm": "sgd"}),
    "rbm": ("unlabelled", {"model": "rbm", "hidden": (8,)}),
    "plateau": ("numbers", {"shape": "plateau", "plateau_patience": 1}),
}


def epochs(one: Member) -> list[dict[str, float]]:
    solo, rows = Solo(one), []
    while not one.finished:
        rows += solo.epoch()
    return rows


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_loop_in_pieces(name: str, make: Make, tools: Any, request: pytest.FixtureRequest) -> None:
    source, changes = CASES[name]
    one = make(request.getfixturevalue(source), **changes)
    own = torch.get_rng_state()
    rows = epochs(one)
    assert torch.equal(torch.get_rng_state(), own)
    job, expected = tools.alone(one)
    assert [{key: row[key] for key in alone} for row, alone in zip(rows, expected, strict=True)] == expected
    tools.same_job(job, one.job, 0.0)
    assert one.job.epochs == job.epochs


@pytest.mark.parametrize("changes", [{}, {"ema": 0.99, "lr": 0.05}, {"hidden": ()}])
def test_its_scores_are_those_of_a_population(changes: dict[str, Any], digits: Data, make: Make) -> None:
    """Of the weights that count: the average, where there is one."""
    alone, together = make(digits, **changes), make(digits, **changes)
    rows, population = epochs(alone), Population([together])
    others = [population.epoch()[0] for _ in rows]
    for row, other in zip(rows, others, strict=True):
        assert row == pytest.approx(other, rel=1e-5)
    assert alone.scores == pytest.approx(together.scores, rel=1e-5)
    assert alone.best == pytest.approx(together.best, rel=1e-5)
    assert alone.kept_row == pytest.approx(together.kept_row, rel=1e-5)


def test_without_a_target_the_familys_own_loss_is_the_score(unlabelled: Data, make: Make) -> None:
    one = make(unlabelled, model="autoencoder", hidden=(8,), epochs=1)
    (row,) = epochs(one)
    assert one.scores == [row["loss/val"]] == [row["objective/val"]]
    assert figures_alone(one.job, unlabelled.validation)["loss"] == row["loss/val"]


def test_a_training_that_diverges_has_failed(digits: Data, make: Make) -> None:
    one = make(digits, algorithm="sgd", lr=1e6)
    rows = epochs(one)
    assert "the loss became" in (one.failed or "")
    assert one.best is None
    assert one.finished
    assert one.job.epochs == 5
    assert rows[-1] == {}


@pytest.mark.parametrize("algorithm", ["adamw", "sgd", "adagrad", "rmsprop", "adam"])
def test_a_padded_member_of_a_population_goes_on_alone(
    algorithm: str, digits: Data, make: Make, tools: Any
) -> None:
    """The weights of a padded row don't lie together, which torch's fused kernels take for granted."""
    members = [make(digits, hidden=hidden, algorithm=algorithm, lr=1e-3) for hidden in ((8, 12), (16, 8))]
    population = Population(members)
    population.epoch()
    for one in members:
        epochs(one)
        tools.same_job(tools.alone(one)[0], one.job)
