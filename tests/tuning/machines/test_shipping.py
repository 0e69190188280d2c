"""Shipping: what arrives is what was sent, and is shared as it was."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from fitwell.data import load
from fitwell.data.contract import Data
from fitwell.data.folds import folds
from fitwell.plan import DataPlan
from fitwell.tuning.machines.shipping import Receiver, Sender


class Store:
    """Keeps what is put as others keep it that nobody may change."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def put(self, value: Any) -> int:
        if isinstance(value, dict):
            value = {name: array.copy() for name, array in value.items()}
            for array in value.values():
                array.flags.writeable = False
        self.values.append(value)
        return len(self.values) - 1


def shipped(*data: Data) -> tuple[list[Data], Store]:
    store = Store()
    sender = Sender(store.put)
    receiver = Receiver(store.values.__getitem__, torch.device("cpu"))
    return [receiver.receive(sender.send(one)) for one in data], store


def same(one: Data, other: Data) -> None:
    assert one.parts.keys() == other.parts.keys()
    for name, part in one.parts.items():
        assert torch.equal(part.index, other.parts[name].index)
        assert part.fields.keys() == other.parts[name].fields.keys()
        for field, values in part.fields.items():
            arrived = other.parts[name].fields[field]
            assert arrived.dtype == values.dtype
            assert torch.equal(arrived, values)
    rest = {field.name for field in dataclasses.fields(one)} - {"train", "validation", "test", "parts"}
    assert {name: getattr(one, name) for name in rest} == {name: getattr(other, name) for name in rest}


@pytest.mark.parametrize("kind", ["digits", "numbers", "table", "unlabelled"])
def test_what_arrives_is_what_was_sent(kind: str, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue(kind)
    ((arrived,), _) = shipped(data)
    same(data, arrived)


def test_a_part_that_is_not_there_does_not_arrive() -> None:
    random = np.random.default_rng(0)
    source = random.normal(size=(60, 3)), random.integers(0, 2, 60)
    data = load(DataPlan(source=source, validation=0, test=0))
    ((arrived,), _) = shipped(data)
    assert (arrived.validation, arrived.test) == (None, None)


def test_folds_that_share_their_tensors_are_sent_and_kept_once() -> None:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 255, (90, 8, 8)).astype(np.uint8), random.integers(0, 3, 90)
    made = folds(DataPlan(source=pictures), 3, 0)
    assert len({id(one.train.fields) for one in made}) == 1
    arrived, store = shipped(*made, made[0])
    assert len(store.values) == len(made) + 1  # the tensors once, and what is said of each fold
    assert len({id(one.train.fields) for one in arrived}) == 1
    assert arrived[0] is arrived[-1]
    for one, other in zip(made, arrived, strict=False):
        same(one, other)
