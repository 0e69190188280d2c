"""Small data and small trainings, each once as a member of a population and once alone."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from fitwell import data as datasets
from fitwell.data.contract import Data, Split
from fitwell.plan import DataPlan, Plan
from fitwell.training.defaults import decide
from fitwell.training.job import Job
from fitwell.training.loop import Silent, train
from fitwell.training.prepare import make_job
from fitwell.tuning.populations.members import Member, form, member
from fitwell.tuning.populations.population import Population

PLAIN = Plan(data="digits").change(
    model="mlp", hidden=(12,), norm="none", dropout=0.0, augment=(), schedule="constant", lr=0.01,
    batch_size=32, epochs=5, patience=None, threads=1, device="cpu",
)  # fmt: skip
CLOSE = 1e-5  # of a tensor's norm, and of a figure

Rows = list[dict[str, float]]


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
def digits() -> Data:
    """300 digits to train on, 100 each to validate and to test."""
    return cut(datasets.load(DataPlan(source="digits")), 300, 100)


@pytest.fixture(scope="session")
def unlabelled() -> Data:
    """The same without a target."""
    return cut(datasets.load(DataPlan(source="digits"), supervised=False), 300, 100)


@pytest.fixture(scope="session")
def numbers() -> Data:
    """A table whose target is a number: 309 samples to train on."""
    return datasets.load(DataPlan(source="diabetes"))


@pytest.fixture(scope="session")
def binary() -> Data:
    """Two classes, 300 samples to train on; no column is constant."""
    return cut(datasets.load(DataPlan(source="breast_cancer")), 300, 80)


@pytest.fixture(scope="session")
def pictures() -> Data:
    """Gray pictures of 8x8 pixels, none of which is constant; three classes."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 3, 480)
    waves = np.stack([np.sin(np.arange(64).reshape(8, 8) / (5 + 8 * label)) for label in range(3)])
    values = 128 + 60 * waves[labels] + draw.normal(0, 40, (480, 8, 8))
    return datasets.load(DataPlan(source=(values.clip(0, 255).astype(np.uint8), labels)))


@pytest.fixture(scope="session")
def table() -> Data:
    """A number, a column of few categories and one of many; three classes."""
    draw = np.random.default_rng(0)
    size, color = draw.normal(size=400), draw.choice(["red", "green", "blue", "gray"], 400)
    city = draw.choice([f"city {number}" for number in range(20)], 400)
    bought = np.digitize(size + np.isin(color, ["gray", "green"]) + draw.normal(size=400), [0.0, 1.0])
    frame = pd.DataFrame({"size": size, "color": color, "city": city, "bought": bought})
    return datasets.load(DataPlan(source=frame, target="bought", task="classes"))


@pytest.fixture(scope="session")
def codes(table: Data) -> Data:
    """The categories of the table alone."""
    fields = {name: values for name, values in table.train.fields.items() if name != "x"}
    parts = {
        name: Split(fields, split.index)
        for name, split in (("train", table.train), ("validation", table.validation), ("test", table.test))
        if split is not None
    }
    inputs = {name: one for name, one in table.shape.inputs.items() if name != "x"}
    return dataclasses.replace(table, **parts, shape=dataclasses.replace(table.shape, inputs=inputs))


@pytest.fixture(scope="session")
def plan() -> Callable[..., Plan]:
    """A plan of some data, decided throughout, with changes."""

    def plan(data: Data, **changes: Any) -> Plan:
        return decide(PLAIN.change(**changes), data)[0]

    return plan


@pytest.fixture(scope="session")
def make(plan: Callable[..., Plan]) -> Callable[..., Member]:
    """A member of some data, with changes to its plan."""

    def make(data: Data, **changes: Any) -> Member:
        return member(plan(data, **changes), data)

    return make


def together(members: Sequence[Member]) -> list[Rows]:
    """Train members to their ends as one population, which those leave that have ended; the figures of each."""
    rows: dict[int, Rows] = {id(one): [] for one in members}
    population: Population | None = None
    while active := [one for one in members if not one.finished]:
        assert len({form(one.job) for one in active}) == 1
        if population is None or len(population.members) > len(active):
            population = Population(active)
        for one, row in zip(population.members, population.epoch(), strict=True):
            rows[id(one)].append(row)
    return list(rows.values())


class Kept(Silent):
    """Keeps the figures of each epoch."""

    def __init__(self) -> None:
        self.rows: Rows = []

    def epoch(self, job: Job, row: dict[str, float]) -> None:
        self.rows.append(row)


def alone(member: Member) -> tuple[Job, Rows]:
    """A member's job from its beginning to its end, by the loop that trains one model."""
    kept = Kept()
    with torch.random.fork_rng():
        job = make_job(member.job.plan, member.job.data)
        train(job, kept)
    return job, kept.rows


def apart(one: Tensor, other: Tensor) -> float:
    """How far two tensors are apart, as a share of their norm; infinite if they are of another kind."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return math.inf
    difference, size = (one.double() - other.double()).norm().item(), one.double().norm().item()
    return difference / size if size else difference


def taken_away(model: nn.Module) -> set[str]:
    """Biases that a batch norm takes away again: their gradients are nothing but rounding."""
    layers = getattr(model, "layers", [])
    pairs = enumerate(itertools.pairwise(layers))
    return {f"layers.{number}.bias" for number, (_, after) in pairs if isinstance(after, nn.BatchNorm1d)}


def tensors(job: Job) -> dict[str, Tensor]:
    """All that a job holds: weights, those kept as the best, their averages, the optimizer's state."""
    places = {id(parameter): name for name, parameter in job.model.named_parameters()}
    averages = job.ema.average if job.ema is not None else {}
    groups = {"model": job.model.state_dict(), "best": job.best_weights, "average": averages}
    found = {f"{group}/{name}": one for group, values in groups.items() for name, one in values.items()}
    for parameter, state in job.optimizer.state.items():
        kept = {slot: one for slot, one in state.items() if isinstance(one, Tensor)}
        found |= {f"{slot}/{places[id(parameter)]}": one for slot, one in kept.items()}
    skipped = taken_away(job.model)
    assert skipped <= set(places.values())
    return {name: one for name, one in found.items() if name.partition("/")[2] not in skipped}


def same_rows(one: Rows, other: Rows, close: float = CLOSE) -> None:
    """The figures of one are among those of the other."""
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert {name: theirs[name] for name in mine} == pytest.approx(mine, rel=close, abs=1e-7)


def same_progress(one: Job, other: Job) -> None:
    """Both are as far, and have decided the same."""
    for name in ("epoch", "step", "position", "best_epoch", "finished"):
        assert getattr(one, name) == getattr(other, name), name
    assert other.best_score == pytest.approx(one.best_score, rel=CLOSE)
    mine, theirs = one.schedule.state_dict(), other.schedule.state_dict()
    assert mine.keys() == theirs.keys()
    for name in mine:
        assert theirs[name] == pytest.approx(mine[name], rel=CLOSE), name
    rates = [[group["lr"] for group in job.optimizer.param_groups] for job in (one, other)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-12)


def same_job(one: Job, other: Job, close: float = CLOSE) -> None:
    """Both hold the same: whatever the first holds, the other does too."""
    same_progress(one, other)
    mine, theirs = tensors(one), tensors(other)
    assert mine.keys() <= theirs.keys()
    distances = {name: apart(values, theirs[name]) for name, values in mine.items()}
    assert {name: distance for name, distance in distances.items() if not distance <= close} == {}


@pytest.fixture(scope="session")
def equal_to_alone() -> Callable[[Sequence[Member]], None]:
    """Trains members together; each must be what it is alone, in every figure, weight and decision."""

    def check(members: Sequence[Member]) -> None:
        for one, rows in zip(members, together(members), strict=True):
            job, own = alone(one)
            same_rows(own, rows)
            same_job(job, one.job)

    return check


class Tools:
    """What tests of several files use."""

    together, alone = staticmethod(together), staticmethod(alone)
    same_job, same_rows = staticmethod(same_job), staticmethod(same_rows)
    tensors, apart = staticmethod(tensors), staticmethod(apart)

    @staticmethod
    def train(job: Job) -> Rows:
        """Train a job to its end; its figures."""
        kept = Kept()
        train(job, kept)
        return kept.rows


@pytest.fixture(scope="session")
def tools() -> type[Tools]:
    """Training together and alone, and comparing."""
    return Tools
