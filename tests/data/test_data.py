"""Loading: from a plan to parts of tensors, with everything learned from the training part alone."""

import numpy as np
import pandas as pd
import pytest
import torch

from fitwell.data import encode, fingerprint, load, read, to_device
from fitwell.errors import DataError
from fitwell.plan import DataPlan

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(3.0, 2.0, size=(200, 4))
LABELS = np.where(X[:, 0] > 3, "high", "low")


def plan(x: object = X, y: object = LABELS, **settings: object) -> DataPlan:
    return DataPlan(source=(x, y), **settings)


def test_the_parts_share_one_copy_and_no_sample() -> None:
    data = load(plan())
    parts = [part for part in (data.train, data.validation, data.test) if part]
    assert list(data.parts) == ["train", "val", "test"]
    assert all(part.fields is data.train.fields for part in parts)
    rows = torch.cat([part.index for part in parts])
    assert sorted(rows.tolist()) == list(range(200))


def test_statistics_come_from_the_training_part_alone() -> None:
    data = load(plan())
    x = data.train.take(data.train.index)["x"]
    assert x.mean(0).tolist() == pytest.approx([0] * 4, abs=1e-5)
    assert x.std(0, correction=0).tolist() == pytest.approx([1] * 4, abs=1e-4)
    far = X.copy()
    far[data.test.index.numpy()] += 1e6
    again = load(plan(far))
    assert again.encoder == data.encoder
    assert torch.equal(again.train.take(again.train.index)["x"], x)


def test_numbers_are_standardised_by_the_training_part() -> None:
    data = load(plan(y=X[:, 0] * 100))
    assert data.shape.target.kind == "number"
    y = data.train.take(data.train.index)["y"]
    assert (float(y.mean()), float(y.std(correction=0))) == pytest.approx((0, 1), abs=1e-4)


def test_classes_have_their_share_in_every_part() -> None:
    labels = np.array(["rare"] * 20 + ["often"] * 180)
    data = load(plan(y=labels))
    for part in data.parts.values():
        share = float((labels[part.index.numpy()] == "rare").mean())
        assert share == pytest.approx(0.1, abs=0.03)


def test_the_seed_divides_and_the_fingerprint_tells_the_values() -> None:
    one, same, other = load(plan(), 0), load(plan(), 0), load(plan(), 1)
    assert torch.equal(one.train.index, same.train.index)
    assert not torch.equal(one.train.index, other.train.index)
    assert one.fingerprint == same.fingerprint
    changed = X.copy()
    changed[7, 2] += 1e-3
    assert load(plan(changed)).fingerprint != one.fingerprint


@pytest.mark.parametrize(
    "other",
    [
        {"x": torch.tensor([[1.0, 2.0]])},
        {"x": torch.tensor([1.0, 2.5])},
        {"x": torch.tensor([1.0, 2.0], dtype=torch.float64)},
        {"z": torch.tensor([1.0, 2.0])},
    ],
    ids=["shape", "value", "type", "name"],
)
def test_a_fingerprint_tells_name_shape_type_and_value(other: dict[str, torch.Tensor]) -> None:
    assert fingerprint(other) != fingerprint({"x": torch.tensor([1.0, 2.0])})


def test_a_fingerprint_does_not_depend_on_memory_layout() -> None:
    x = torch.arange(6.0).view(2, 3)
    assert fingerprint({"x": x.T.contiguous().T}) == fingerprint({"x": x})


def test_new_samples_are_encoded_by_what_was_learned() -> None:
    data = load(plan())
    samples = read(DataPlan(source=X[:5]), data.shape)
    assert torch.equal(encode(data.encoder, samples)["x"], data.train.fields["x"][:5])


def test_data_of_another_form_is_refused_when_encoded() -> None:
    data = load(plan())
    table = read(DataPlan(source=pd.DataFrame({"a": ["u", "v"], "b": ["x", "y"]})), data.shape)
    with pytest.raises(DataError, match=r"(?s)new data is a DataFrame of shape \(2, .*like that trained on"):
        encode(data.encoder, table)


def test_without_supervision_the_target_is_left_out() -> None:
    data = load(plan(), supervised=False)
    assert (data.shape.target.kind, list(data.train.fields), data.target_name) == ("none", ["x"], None)
    assert load(plan(task="none")).shape.target.kind == "none"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ((X[:0], LABELS[:0]), "no samples|0 samples|empty"),
        (X, "no target|target"),
        ((X, np.array(["same"] * 200)), "only one class 'same'"),
        ((np.where(X[7, 2] == X, np.inf, X), LABELS), "row 7, column 2 of X is inf"),
        (object(), "object is no data that fitwell can read"),
        ("memory", "lived in memory"),
        ("nothing-like-it", "neither a data set nor a file"),
    ],
    ids=["empty", "no target", "one class", "infinite", "object", "memory", "unknown"],
)
def test_what_can_not_be_learned_from_is_refused(source: object, told: str) -> None:
    with pytest.raises(DataError, match=told):
        load(DataPlan(source=source))


def test_nothing_left_to_train_on_is_refused() -> None:
    with pytest.raises(DataError):
        load(plan(validation=100, test=100))


def test_moving_to_the_same_device_copies_nothing() -> None:
    data = load(plan())
    assert to_device(data, torch.device("cpu")) is data


def test_moving_keeps_one_shared_copy() -> None:
    data = load(plan())
    moved = to_device(data, torch.device("meta"))
    assert moved.train.fields["x"].device.type == moved.train.index.device.type == "meta"
    assert moved.validation is not None
    assert moved.validation.fields is moved.train.fields
    assert len(moved.test or ()) == len(data.test or ())
