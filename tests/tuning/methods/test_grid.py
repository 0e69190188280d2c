"""The grid is that of the space, in its order."""

from fitwell.space import Space, loguniform
from fitwell.tuning.methods import method


def test_it_is_the_grid_of_the_space_in_batches():
    space = Space.of({"lr": loguniform(1e-3, 1e-1), "norm": ["none", "batch"]})
    searcher = method("grid").searcher(space, 0)
    assert [*searcher.ask(4), *searcher.ask(4)] == space.grid(3)
    assert searcher.ask(4) == []
