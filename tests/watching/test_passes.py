"""How often the data was passed over, and what is trained on."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from fitwell.watching.passes import Passes, Slices, source_of
from fitwell.watching.threads import Thread


def source(loader: DataLoader[Any]) -> Any:
    return source_of(loader.dataset, loader._index_sampler)  # type: ignore[attr-defined]


def test_the_source_is_the_dataset_or_the_sampler_that_picks_of_it() -> None:
    data = TensorDataset(torch.arange(10))
    for options in ({}, {"shuffle": True}, {"sampler": RandomSampler(data)}, {"batch_size": None}):
        assert source(DataLoader(data, **options)) is data  # type: ignore[arg-type]
    picking = [SubsetRandomSampler([1, 2]), WeightedRandomSampler([1.0] * 10, 4)]
    for sampler in picking:
        assert source(DataLoader(data, sampler=sampler)) is sampler
        assert source(DataLoader(data, batch_sampler=BatchSampler(sampler, 2, False))) is sampler
    subset = Subset(data, [3])
    assert source(DataLoader(subset)) is subset


def starts(y: Tensor, size: int) -> list[Tensor]:
    return [y[i : i + size] for i in range(0, len(y), size)]


def test_a_pass_over_slices_ends_where_the_first_one_comes_again() -> None:
    y = torch.arange(100)
    train = y[20:80]
    batches = starts(train, 25)
    slices = Slices(batches[0])
    assert [slices.see(batch) for batch in batches] == [False] * 3
    assert slices.see(train[:25])
    assert (slices.low, slices.high) == (20, 80)
    assert slices.contain(train[30:31])
    assert slices.contain(y[20:90])
    assert not slices.contain(y[80:])
    assert not slices.contain(y[:20])
    assert not slices.contain(torch.arange(100)[20:80])


def test_two_losses_of_one_slice_are_no_pass() -> None:
    y = torch.arange(100)
    slices = Slices(y[:10])
    assert not any(slices.see(y[:10]) for _ in range(5))


@pytest.mark.parametrize(
    ("target", "rows"),
    [
        (torch.zeros(50, 3)[5:10], (5, 10)),
        (torch.zeros(50, 3)[:, 1][5:10], (5, 10)),
        (torch.zeros(50, 3, 4)[7:8], (7, 8)),
    ],
)
def test_rows_are_those_of_the_whole(target: Tensor, rows: tuple[int, int]) -> None:
    slices = Slices(target)
    assert (slices.low, slices.high) == rows


def trained(passes: Passes, thread: Thread, target: Tensor) -> bool:
    """A step on a batch; whether a pass ended by it."""
    passes.target(target)
    thread.steps += 1
    before = thread.passes
    if passes.moved():
        passes.move(thread)
    passes.stepped(thread, len(target))
    return thread.passes > before


def test_slices_are_counted_and_held_out_ones_told() -> None:
    thread = Thread("net", 0, [])
    passes, y = Passes([thread]), torch.arange(100)
    ended = [trained(passes, thread, batch) for _ in range(3) for batch in starts(y[:80], 30)]
    # That there are 80 shows when the first slice comes again; from then on it is known.
    assert ended == [False, False, False, True, False, True, False, False, True]
    assert (passes.source, passes.size, thread.passes) == ("tensor", 80, 3)
    assert passes.origin(y[:80]).trained_on
    assert passes.origin(y[40:60]).trained_on
    assert not passes.origin(y[80:]).trained_on
    assert not passes.origin(torch.arange(3)).trained_on
    assert not passes.origin(None).trained_on


def test_the_same_tensor_at_each_step_is_a_pass_each() -> None:
    thread = Thread("net", 0, [])
    passes, y, other = Passes([thread]), torch.arange(100), torch.arange(100)
    for _ in range(4):
        passes.target(y)
        trained(passes, thread, y)
        passes.target(other)  # a second loss of the next step comes after the first
    assert passes.size == 100
    assert thread.passes >= 3


def test_new_copies_at_each_step_tell_nothing() -> None:
    thread = Thread("net", 0, [])
    passes, y = Passes([thread]), torch.arange(100)
    for _ in range(4):
        batch = y[torch.randperm(100)[:10]]
        passes.target(batch)
        passes.target(batch)  # two losses of one batch
        assert not trained(passes, thread, batch)
    assert (passes.source, thread.passes) == ("", 0)
    passes.evaluated()
    assert thread.passes == 1
    passes.evaluated()
    assert thread.passes == 1, "nothing was trained in between"


class Loading:
    """A loader, as it tells of itself."""

    def __init__(self, passes: Passes, batches: int | None = None) -> None:
        self.passes, self.batches = passes, batches

    def run(self, thread: Thread | None, batches: int, exhausts: bool = True) -> None:
        iterator = Loading(self.passes)
        self.passes.begins(self)
        for number in range(1, batches + 1):
            self.passes.asked(iterator)
            self.passes.given(iterator, self, number, self.batches)
            self.passes.used()
            if thread is not None:
                thread.steps += 1
                if self.passes.moved():
                    self.passes.move(thread)
                self.passes.stepped(thread, 1)
        if exhausts:
            self.passes.asked(iterator)


def test_a_loader_that_steps_are_taken_from_tells_its_passes() -> None:
    thread = Thread("net", 0, [])
    passes = Passes([thread])
    train, held_out = Loading(passes, 5), Loading(passes, 2)
    for number in range(3):
        assert thread.passes == max(0, number - 0)
        train.run(thread, 5)
        assert passes.epoch(thread) == number + 1
        held_out.run(None, 2)
        train.passes.begins(train)
    assert thread.passes == 3
    assert not passes.origin().trained_on


def test_without_a_length_a_loader_that_is_exhausted_tells() -> None:
    thread = Thread("net", 0, [])
    passes = Passes([thread])
    train = Loading(passes)
    train.run(thread, 5)
    assert passes.epoch(thread) == 1
    passes.finish()
    assert thread.passes == 1


def test_a_loop_that_leaves_its_loader_early_has_made_a_pass() -> None:
    thread = Thread("net", 0, [])
    passes = Passes([thread])
    train = Loading(passes, 100)
    for _ in range(3):
        train.run(thread, 4, exhausts=False)
    passes.begins(train)
    assert (thread.passes, passes.size) == (3, 4)


def test_the_end_in_the_middle_of_a_pass_is_none() -> None:
    thread = Thread("net", 0, [])
    passes = Passes([thread])
    Loading(passes, 100).run(thread, 4, exhausts=False)
    passes.finish()
    assert thread.passes == 0
    assert passes.epoch(thread) == 0.04


def test_a_dataset_for_each_pass() -> None:
    thread = Thread("net", 0, [])
    passes = Passes([thread])
    for _ in range(4):
        loader = Loading(passes, 3)
        loader.run(thread, 3)
        del loader
        gc.collect()
    passes.finish()
    assert thread.passes == 4


def test_held_out_parts_are_named_as_they_come() -> None:
    passes = Passes([])
    parts = [Loading(passes) for _ in range(4)]
    names = []
    for part in [*parts, parts[1]]:
        part.run(None, 1, exhausts=False)
        names.append(passes.held_out(passes.loading))
        assert passes.held_out_name(passes.loading) == names[-1]
    assert names == ["val", "test", "held_out_3", "held_out_4", "test"]
    assert passes.held_out(None) == "val"
