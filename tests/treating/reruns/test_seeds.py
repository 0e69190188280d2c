"""Other seeds: each that a program sets is another one with another seed, and the same with the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fitwell.treating.reruns.seeds import shift_seeds, shift_torch

InFork = Callable[[Callable[[], Any]], Any]


def own_seeds() -> list[float]:
    """A number of everything that a program can seed."""
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    generator = torch.Generator().manual_seed(5)
    found = [torch.rand(1).item(), float(np.random.rand()), random.random()]
    found += [float(np.random.default_rng(1).random()), torch.rand(1, generator=generator).item()]
    torch.random.manual_seed(3)
    return [*found, torch.rand(1).item()]


def by_keyword() -> list[float]:
    torch.manual_seed(seed=3)
    np.random.seed(seed=3)
    random.seed(a=3)
    return [torch.rand(1).item(), float(np.random.rand()), random.random()]


def unseeded() -> list[float]:
    return [torch.rand(1).item(), float(np.random.rand()), random.random()]


def not_shifted() -> list[float]:
    """The division of data, and what is no number."""
    random.seed("words")
    found = [random.random(), float(np.random.RandomState(1).rand())]
    return [*found, float(np.random.default_rng([1, 2]).random())]


def drawn(act: Callable[[], list[Any]], seed: int) -> Callable[[], list[Any]]:
    def draw() -> list[Any]:
        if seed:
            shift_seeds(seed)
            shift_torch(seed)
        return act()

    return draw


@pytest.mark.parametrize("act", [own_seeds, by_keyword, unseeded])
def test_what_is_drawn_depends_on_the_seed_alone(in_fork: InFork, act: Callable[[], list[float]]) -> None:
    first, again, second, plain = (in_fork(drawn(act, seed)) for seed in (1, 1, 2, 0))
    assert first == again
    for values in zip(first, second, plain, strict=True):
        assert len(set(values)) == 3


def test_a_division_of_the_data_stays(in_fork: InFork) -> None:
    assert in_fork(drawn(not_shifted, 1)) == in_fork(drawn(not_shifted, 2)) == not_shifted()


def test_by_keyword_is_as_by_position(in_fork: InFork) -> None:
    assert in_fork(drawn(by_keyword, 1)) == in_fork(drawn(own_seeds, 1))[:3]


def test_seeds_that_a_program_counts_up_are_none_of_another_run(in_fork: InFork) -> None:
    def several() -> list[float]:
        return [float(np.random.default_rng(seed).random()) for seed in range(100)]

    found = [in_fork(drawn(several, seed)) for seed in range(4)]
    assert len({value for values in found for value in values}) == 400


@pytest.mark.parametrize("seed", [1, 10**6])
def test_the_largest_seeds_are_still_seeds(in_fork: InFork, seed: int) -> None:
    def largest() -> list[float]:
        np.random.seed(2**32 - 1)
        torch.manual_seed(2**32 - 1)
        torch.manual_seed(2**63)
        torch.manual_seed(-5)
        return unseeded()

    assert in_fork(drawn(largest, seed)) != in_fork(drawn(largest, seed + 1))


def test_a_generator_is_still_one(in_fork: InFork) -> None:
    def order() -> list[bool]:
        generator = torch.Generator().manual_seed(2)
        loader = torch.utils.data.DataLoader(
            list(range(50)), batch_size=50, generator=generator, shuffle=True
        )
        (batch,) = loader
        return [isinstance(generator, torch.Generator), batch.tolist() != list(range(50))]

    assert in_fork(drawn(order, 1)) == [True, True]
