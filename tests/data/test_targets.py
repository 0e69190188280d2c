import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fitwell.data.targets import encode_target, fit_target
from fitwell.errors import DataError
from fitwell.shape import Target


def fit(raw, task="auto", names=("y",), train=None):
    raw = np.asarray(raw)
    return fit_target(raw, names, task, np.arange(len(raw)) if train is None else np.asarray(train))


RNG = np.random.default_rng(0)
WINE = np.repeat([3, 4, 5, 6, 7, 8], [10, 53, 681, 638, 199, 18])
RINGS = np.repeat(
    np.arange(1, 30), np.r_[1, np.linspace(1, 600, 14).astype(int), np.linspace(600, 1, 14)].astype(int)
)


@pytest.mark.parametrize(
    ("raw", "kind", "names"),
    [
        (["no", "yes", "no"], "binary", ("no", "yes")),
        ([True, False, True], "binary", ("False", "True")),
        (np.array([True, False], dtype=object), "binary", ("False", "True")),
        ([1, -1, 1, 1], "binary", ("-1", "1")),
        ([3.0, 4.0, 3.0], "binary", ("3", "4")),
        (np.tile(np.arange(10), 5), "classes", tuple("0123456789")),
        (WINE, "classes", tuple("345678")),
        (np.repeat(np.arange(40), 10), "classes", tuple(map(str, range(40)))),
        (np.repeat(["c10", "c9", "C2"], 3), "classes", ("C2", "c9", "c10")),
        ([[1], [2], [1]], "binary", ("1", "2")),
        ([0.5, 1.0, 0.5, 1.5], "number", ("y",)),
        (RINGS, "number", ("y",)),
        (RNG.integers(1900, 2020, 500), "number", ("y",)),
        (RNG.integers(1, 10**6, 300), "number", ("y",)),
        (RNG.normal(size=(9, 3)), "number", ("y 1", "y 2", "y 3")),
    ],
)
def test_kind_is_found_from_the_values(raw, kind, names):
    target, notes = fit(raw)
    assert (target.kind, target.names) == (kind, names)
    assert len(notes) == 1
    assert "`y" in notes[0]


def test_no_target():
    assert fit_target(None, (), "auto", np.arange(0)) == (Target("none"), [])
    assert fit_target(np.arange(3), ("y",), "none", np.arange(3)) == (Target("none"), [])


def test_the_task_overrides_what_would_be_found():
    assert fit(WINE, "number")[0].kind == "number"
    assert fit(RINGS, "classes")[0].kind == "classes"
    assert fit(["1", "2", "4"], "number")[0].mean == (7 / 3,)
    assert "--task number" in fit(WINE)[1][0]
    assert "--task classes" in fit(RINGS)[1][0]


def test_notes_say_shares_and_ranges():
    assert fit(["<=50K"] * 3 + [">50K"], names=("income",))[1] == [
        "target `income`: 2 classes (<=50K 75 %, >50K 25 %)"
    ]
    assert fit([1.0, 2.5, 9.0], names=("price",))[1] == ["target `price`: numbers from 1 to 9"]


def test_encoded_shapes_and_types():
    binary = encode_target(fit(["a", "b", "a"])[0], np.array(["b", "a"]))
    assert binary.dtype == torch.float32
    assert binary.tolist() == [[1.0], [0.0]]
    classes = encode_target(fit([2, 5, 7] * 3)[0], np.array([7.0, 2.0]))
    assert classes.dtype == torch.int64
    assert classes.tolist() == [2, 0]
    number = encode_target(fit(RNG.normal(size=(9, 2)))[0], np.zeros((4, 2)))
    assert number.dtype == torch.float32
    assert number.shape == (4, 2)


def test_mean_and_std_come_from_the_training_rows_only():
    raw = np.array([1.5, 2.5, 4.0, 1e6])
    target, _ = fit(raw, train=[0, 1, 2])
    assert target.mean == (pytest.approx(raw[:3].mean()),)
    assert target.std == (pytest.approx(raw[:3].std()),)


def test_numbers_are_standardised_before_they_lose_their_digits():
    raw = 1e9 + np.array([0.0, 0.5, 1.0])
    encoded = encode_target(fit(raw)[0], raw)
    assert encoded.ravel().tolist() == pytest.approx([-1.2247, 0, 1.2247], abs=1e-3)


@pytest.mark.parametrize(
    ("raw", "task", "says"),
    [
        (["x"] * 4, "auto", "only one class 'x'"),
        ([2, 2, 2], "auto", "only one class '2'"),
        ([1.5, 1.5], "auto", "1.5 in every training sample"),
        ([1.5, np.nan, 2.0], "auto", "nan in row 1"),
        ([1.5, 2.0, np.inf], "auto", "inf in row 2"),
        (np.array(["a", None, "b"], dtype=object), "auto", "None in row 1"),
        ([[1.5, 2], [3, np.nan]], "auto", "row 1 (counted from 0), column 1"),
        ([f"name {k}" for k in range(20)], "auto", "20 classes in 20 samples"),
        (np.arange(20), "classes", "20 classes in 20 samples"),
        (["1", "two", "3"], "number", "'two' in row 1"),
        ([[1, 2], [3, 4]], "classes", "2 columns"),
        (np.zeros((2, 2, 2)), "auto", "shape (2, 2, 2)"),
        ([], "auto", "shape (0,)"),
        ([0.5, 1e300, -1e300], "number", "spans"),
    ],
)
def test_targets_that_cannot_be_learned_are_refused(raw, task, says):
    with pytest.raises(DataError, match=r"class|target") as error:
        fit(raw, task)
    assert says in error.value.happened


def test_an_unknown_label_is_named_with_its_row():
    target, _ = fit(["a", "b", "c"] * 2)
    with pytest.raises(DataError, match="'d' in row 2"):
        encode_target(target, np.array(["a", "b", "d"]))
    with pytest.raises(DataError, match="2 columns"):
        encode_target(fit([0.5, 1.5])[0], np.zeros((3, 2)))


@given(st.lists(st.sampled_from(["a", "b", "10", "9"]), min_size=8, max_size=40))
def test_encoding_classes_loses_nothing(labels):
    labels = [*labels, *["a", "b", "10", "9"] * 2]
    target, _ = fit(labels)
    codes = encode_target(target, np.array(labels))
    assert [target.names[code] for code in codes] == labels
    assert target.names == ("9", "10", "a", "b")


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=30, unique=True), st.randoms())
def test_training_numbers_are_standardised(values, random):
    values = np.array([*values, 0.25])
    if np.ptp(values) < 1e-3:
        return
    encoded = encode_target(fit(values, "number")[0], values).double()
    assert abs(encoded.mean()) < 1e-4
    assert abs(encoded.std(correction=0) - 1) < 1e-4
