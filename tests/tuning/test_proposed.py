"""What a method is told of its proposals, and when it is asked for more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from fitwell.plan import Plan
from fitwell.space import Space, identity, loguniform, uniform
from fitwell.tuning.proposed import Proposed, of_space
from fitwell.tuning.trials import Trial

SPACE = Space.of({"lr": loguniform(1e-4, 1)})


class Spy:
    """A searcher that proposes rate after rate, and keeps account."""

    def __init__(self) -> None:
        self.asked = 0
        self.told: list[tuple[str, float | None, int | None]] = []

    def ask(self, count: int, /) -> list[dict[str, Any]]:
        self.asked += count
        return [{"lr": 1 / (1 + self.asked - count + number)} for number in range(count)]

    def tell(self, values: Mapping[str, Any], score: float | None, /, after: int | None = None) -> None:
        self.told.append((identity(values), score, after))


class Standing(Trial):
    """A trial that is as far as it is told."""

    epochs, latest, score = 0, math.inf, None  # type: ignore[assignment]


def begun(proposed: Proposed, count: int) -> list[Standing]:
    trials = [Standing(n, one, Plan(data="iris"), []) for n, one in enumerate(proposed.ask(count), start=1)]
    proposed.begun(list(trials))
    return trials


def test_of_those_that_train_it_is_told_how_far_they_are_whenever_it_is_asked() -> None:
    spy = Spy()
    proposed = Proposed(spy, SPACE, set(), math.inf)
    first, second, _third = begun(proposed, 3)
    assert spy.told == []
    first.epochs, first.latest, second.epochs, second.latest = 2, 0.5, 1, 0.7
    proposed.ask(1)
    assert spy.told == [(identity(first.values), 0.5, 2), (identity(second.values), 0.7, 1)]


@pytest.mark.parametrize(
    ("stopped", "score", "told"),
    [(None, 0.3, (0.3, None)), ("given up", 0.3, (0.5, 2)), (None, None, (None, None))],
)
def test_at_its_end_it_is_told_its_score_or_how_far_it_came(
    stopped: str | None, score: Any, told: Any
) -> None:
    spy = Spy()
    proposed = Proposed(spy, SPACE, set(), math.inf)
    (trial,) = begun(proposed, 1)
    trial.epochs, trial.latest, trial.score, trial.stopped = 2, 0.5, score, stopped
    proposed.tell(trial)
    assert spy.told == [(identity(trial.values), *told)]
    proposed.ask(1)
    assert len(spy.told) == 1, "it trains no more"


def test_no_more_train_at_once_than_the_method_wants() -> None:
    spy = Spy()
    proposed = Proposed(spy, SPACE, set(), 4)
    trials = begun(proposed, 100)
    assert len(trials) == 4
    assert proposed.ask(100) == []
    trials[0].score = 0.1
    proposed.tell(trials[0])
    assert len(proposed.ask(100)) == 1


def test_what_was_tried_before_is_not_proposed_again() -> None:
    spy = Spy()
    proposed = Proposed(spy, SPACE, {identity({"lr": 1.0}), identity({"lr": 1 / 3})}, math.inf)
    assert [values["lr"] for values in proposed.ask(3)] == [1 / 2, 1 / 4, 1 / 5]


def test_values_that_have_no_meaning_beside_others_are_left_out() -> None:
    space = Space.of({"algorithm": ["adamw", "sgd"], "momentum": uniform(0, 0.9, when={"algorithm": "sgd"})})
    values = {"lr": 0.1, "momentum": 0.5}
    assert of_space(space, values | {"algorithm": "adamw"}) == {"algorithm": "adamw"}
    assert of_space(space, values | {"algorithm": "sgd"}) == {"algorithm": "sgd", "momentum": 0.5}
