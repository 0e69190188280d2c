"""Small data and small jobs: what is tested is the training, not what it reaches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fitwell import data as datasets
from fitwell.data.contract import Data, Split
from fitwell.plan import DataPlan, Plan
from fitwell.training.defaults import decide
from fitwell.training.job import Job
from fitwell.training.prepare import make_job

PLAIN = Plan(data="digits").change(
    model="mlp", hidden=(16,), norm="none", dropout=0.0, augment=(), schedule="constant", lr=0.01,
    batch_size=64, epochs=2, patience=None, threads=1, device="cpu",
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for a core make these small steps a hundred times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cut(data: Data, train: int, held_out: int) -> Data:
    """The first samples of each part."""

    def first(part: Split | None, count: int) -> Split | None:
        return None if part is None else Split(part.fields, part.index[:count])

    return dataclasses.replace(
        data,
        train=Split(data.train.fields, data.train.index[:train]),
        validation=first(data.validation, held_out),
        test=first(data.test, held_out),
    )


@pytest.fixture(scope="session")
def whole_digits() -> Data:
    """All of the digits."""
    return datasets.load(DataPlan(source="digits"))


@pytest.fixture(scope="session")
def digits(whole_digits: Data) -> Data:
    """300 digits to train on, 100 each to validate and to test."""
    return cut(whole_digits, 300, 100)


@pytest.fixture(scope="session")
def unlabelled(whole_digits: Data) -> Data:
    """The same without a target."""
    return cut(datasets.load(DataPlan(source="digits"), supervised=False), 300, 100)


@pytest.fixture(scope="session")
def table() -> Data:
    """Numbers and categories, two classes."""
    draw = np.random.default_rng(0)
    size, color = draw.normal(size=400), draw.choice(["red", "green", "blue", "gray"], 400)
    # gray and green against blue and red: no order of the names separates them
    likely = np.where(np.isin(color, ["gray", "green"]), 1.5, -1.5) + size
    frame = pd.DataFrame({"size": size, "color": color, "bought": likely + draw.normal(size=400) > 0})
    return datasets.load(DataPlan(source=frame, target="bought"))


@pytest.fixture(scope="session")
def numbers() -> Data:
    """A table whose target is a number."""
    return datasets.load(DataPlan(source="diabetes"))


@pytest.fixture(scope="session")
def make() -> Callable[..., Job]:
    """Makes a plain job of some data, with changes to its plan."""

    def make(data: Data, **changes: Any) -> Job:
        plan, _ = decide(PLAIN.change(**changes), data)
        return make_job(plan, data)

    return make
