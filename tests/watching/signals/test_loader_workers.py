"""Whether workers draw alike, found from how a loader is set up and from its batches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fitwell.watching.moments import Batch
from fitwell.watching.signals.loader_workers import SIGNAL


class _Noisy:
    """Draws from a generator of its own."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def __getitem__(self, index: int) -> float:
        return self.noise()

    def noise(self) -> float:
        return float(self.generator.normal())


class _Ordered:
    """Holds a generator that no sample is drawn with."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)
        self.order = self.generator.permutation(5)

    def __getitem__(self, index: int) -> int:
        return int(self.order[index])


def _alike(worker: int) -> None:
    np.random.seed(0)


def _apart(worker: int) -> None:
    np.random.seed(worker)


def _from_torch(_: int) -> None:
    np.random.seed(torch.initial_seed() % 2**32)


class _Iterator(SimpleNamespace):
    """As a DataLoader with workers has it."""

    __hash__ = object.__hash__


def _facts(dataset: Any, init: Any = None, batches: list[Tensor] | None = None, workers: int = 2) -> Any:
    iterator = _Iterator(_num_workers=workers, _dataset=dataset, _worker_init_fn=init)
    measuring: Any = SIGNAL.start()
    for content in batches or [torch.arange(4.0)]:
        measuring.on_batch(Batch([content], "train", 0.0, iterator))
    facts = measuring.facts()
    return facts["loaders"][0] if facts else None


@pytest.mark.parametrize(
    ("init", "alike"),
    [(_alike, True), (lambda _: np.random.seed(1), True), (_apart, False), (_from_torch, False)],
)
def test_a_seed_for_all_workers(init: Any, alike: bool) -> None:
    assert _facts([1, 2], init)["seeded_alike"] is alike


def test_a_generator_that_samples_are_drawn_with() -> None:
    found = _facts(_Noisy())
    assert found["generators"] == ["generator"]
    assert "self.generator" in found["where"]["text"]
    assert _facts(_Ordered())["generators"] == []
    assert _facts(_Noisy(), _apart)["generators"] == []


def test_a_generator_within_a_transform() -> None:
    noise = _Noisy()
    held = SimpleNamespace(transforms=[noise])
    assert _facts(held)["generators"] == ["transforms.0.generator"]


def test_equal_batches() -> None:
    same, constant = torch.arange(4.0), torch.ones(4)
    assert _facts([], batches=[same, same, same + 1, same + 1])["equal"] == 2
    assert _facts([], batches=[constant, constant])["equal"] == 0
    assert _facts([], batches=[same, same + 1, same])["equal"] == 0


def test_without_workers_there_is_nothing_to_share() -> None:
    assert _facts(_Noisy(), _alike, workers=1) is None
