"""Every method holds the contract: its proposals lie in the space, are new, and depend on the seed alone."""

from __future__ import annotations

import warnings

import pytest

from fitwell.errors import PlanError
from fitwell.space import Space, choice, identity, integer, loguniform, uniform
from fitwell.tuning.methods import Searcher, method, methods

ENDLESS = Space.of(
    {
        "lr": loguniform(1e-4, 0.1),
        "hidden": [64, [128, 64], 256],
        "algorithm": ["adamw", "sgd", "rmsprop"],
        "momentum": uniform(0, 0.99, when={"algorithm": ["sgd", "rmsprop"]}),
        "batch_size": integer(16, 256, log=True),
    }
)
FINITE = Space.of(
    {
        "hidden": [64, [128, 64], 256],
        "algorithm": ["adamw", "sgd"],
        "momentum": choice(0.0, 0.5, 0.9, when={"algorithm": "sgd"}),
        "epochs": integer(1, 3),
    }
)
NAMES = pytest.mark.parametrize("name", list(methods()))


def cost(values) -> float:
    return abs(values.get("lr", 0.01) - 0.01) + values.get("momentum", 0.5)


def played(name: str, space: Space, seed: int, batches: list[int]) -> list[dict]:
    """All proposals of some batches, each told before the next; every fifth failed."""
    searcher: Searcher = method(name).searcher(space, seed)
    found: list[dict] = []
    for count in batches:
        batch = searcher.ask(count)
        assert len(batch) <= count
        for values in batch:
            searcher.tell(values, None if len(found) % 5 == 4 else cost(values))
            found.append(values)
    return found


@NAMES
def test_it_says_what_it_does(name: str):
    assert method(name).says


@NAMES
def test_proposals_are_points_of_the_space_and_none_comes_twice(name: str):
    found = played(name, ENDLESS, 0, [1, 7, 16, 16])
    assert len(found) == 40
    assert all(ENDLESS.contains(values) for values in found)
    assert len({identity(values) for values in found}) == 40


@NAMES
def test_the_seed_decides(name: str):
    first, again = (played(name, ENDLESS, 3, [4, 8, 16]) for _ in range(2))
    assert first == again
    assert name == "grid" or played(name, ENDLESS, 4, [4, 8, 16]) != first


@NAMES
@pytest.mark.parametrize("batch", [1, 5, 100])
def test_a_finite_space_is_exhausted_without_repetition(name: str, batch: int):
    found = played(name, FINITE, 0, [batch] * (40 // batch + 1))
    expected = {identity(values) for values in FINITE.combinations(None)}
    assert len(found) == len(expected) == 36
    assert {identity(values) for values in found} == expected


@NAMES
def test_several_batches_may_be_asked_for_before_the_first_score(name: str):
    searcher = method(name).searcher(ENDLESS, 0)
    batches = [searcher.ask(8) for _ in range(3)]
    for number, values in enumerate(values for batch in reversed(batches) for values in batch):
        searcher.tell(values, float(number))
    batches.append(searcher.ask(8))
    assert len({identity(values) for batch in batches for values in batch}) == 32


@NAMES
def test_scores_of_other_trials_may_be_told(name: str):
    searcher = method(name).searcher(FINITE, 0)
    known = {"hidden": [128, 64], "algorithm": "sgd", "momentum": 0.9, "epochs": 2}
    searcher.tell(known, 0.1)
    searcher.tell({"hidden": 7, "algorithm": "lion", "epochs": 2}, 0.2)  # no point of the space
    assert all(FINITE.contains(values) for values in searcher.ask(35))


@NAMES
def test_it_is_silent(name: str, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        played(name, ENDLESS, 0, [16, 8])
    assert capfd.readouterr() == ("", "")


def test_an_unknown_method_is_refused():
    with pytest.raises(PlanError, match=r"'bayesian'\n.*bayes, grid, random"):
        method("bayesian")
