"""Sobol's points are spread evenly."""

import pytest

from fitwell.space import Space, choice, integer, loguniform, uniform
from fitwell.tuning.methods import method


@pytest.mark.parametrize("seed", range(4))
def test_each_part_of_a_range_has_its_share_of_the_points(seed: int):
    space = Space.of({"lr": loguniform(1e-4, 1), "dropout": uniform(0, 0.8), "norm": ["none", "batch"]})
    found = method("random").searcher(space, seed).ask(64)
    for place in range(2):
        # of independent points, all 16 parts would hardly ever have the same number
        parts = [int((space.coordinates(values)[place] or 0) * 16) for values in found]
        assert [parts.count(part) for part in range(16)] == [4] * 16
    assert sum(values["norm"] == "batch" for values in found) == 32


def test_an_endless_branch_that_is_rare_is_found():
    """Only one of many seeds has a range; all the others are soon used up."""
    space = Space.of({"seed": list(range(40)), "dropout": uniform(0, 0.5, when={"seed": 7})})
    found = method("random").searcher(space, 0).ask(60)
    assert len(found) == 60
    assert sum("dropout" in values for values in found) == 21


def test_the_last_points_of_a_finite_space_are_found_where_they_are_rare():
    space = Space.of({"batch_size": integer(1, 3000, log=True), "norm": choice("none", "batch")})
    assert len(method("random").searcher(space, 0).ask(10_000)) == 6000
