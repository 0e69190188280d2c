"""Arrays of any origin become the same samples; what can't be learned from is refused by name."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fitwell.data.arrays import KIND
from fitwell.errors import DataError
from fitwell.plan import DataPlan, Memory
from fitwell.shape import Input, Shape, Target

X = np.arange(12.0).reshape(4, 3)
Y = np.array([0, 1, 0, 1])
IMAGES = np.arange(4 * 5 * 6).reshape(4, 5, 6)


def read(source, like=None, **values):
    return KIND.read(DataPlan(source=source, **values), like)


def shape_of(kind, shape):
    return Shape({"x": Input(kind, shape)}, Target("number", ("y",)))


@pytest.mark.parametrize(
    "value",
    [
        (X, Y),
        (X.tolist(), Y.tolist()),
        (torch.tensor(X, requires_grad=True), torch.tensor(Y)),
        (list(torch.tensor(X)), pd.Series(Y)),
        (X, Y[:, None]),
        {"X": X, "y": Y},
        {"Features": X, "Labels": Y},
        {"data": torch.tensor(X), "TARGET": Y.tolist()},
    ],
)
def test_forms_in_memory(value):
    samples = read(Memory(value))
    np.testing.assert_array_equal(samples.raw, X)
    np.testing.assert_array_equal(samples.target, Y)
    assert samples.count == 4
    assert samples.structured
    assert samples.test is None


def test_x_alone_has_no_target():
    assert read(Memory(X)).target is None
    assert read(Memory([[1, 2], [3, 4]])).raw.shape == (2, 2)


def test_memory_is_shared():
    assert np.shares_memory(read(Memory((X, Y))).raw, X)
    tensor = torch.zeros(4, 3)
    assert read(Memory(tensor)).raw.ctypes.data == tensor.data_ptr()


def test_images_are_not_structured_and_whole_numbers_become_bytes():
    samples = read(Memory(IMAGES))
    assert not samples.structured
    assert samples.raw.dtype == np.uint8
    np.testing.assert_array_equal(samples.raw, IMAGES)
    assert read(Memory(IMAGES - 1)).raw.dtype == IMAGES.dtype
    assert read(Memory(IMAGES + 200)).raw.dtype == IMAGES.dtype


def test_bfloat16_is_read():
    assert read(Memory(torch.ones(2, 2, dtype=torch.bfloat16))).raw.dtype == np.float32


@pytest.mark.parametrize(
    ("names", "unused"),
    [(("X", "y"), ()), (("images", "labels"), ()), (("arr_0", "arr_1"), ()), (("x", "y", "ids"), ("ids",))],
)
def test_npz_files(tmp_path, names, unused):
    path = tmp_path / "some.npz"
    np.savez(path, **dict(zip(names, (X, Y, Y), strict=False)))
    samples = read(str(path))
    np.testing.assert_array_equal(samples.raw, X)
    np.testing.assert_array_equal(samples.target, Y)
    assert samples.notes == tuple(f"not used: {name}" for name in unused)


def test_the_target_of_the_plan_names_the_array(tmp_path):
    path = tmp_path / "some.npz"
    np.savez_compressed(path, X=X, y=Y, Age=Y + 20)
    samples = read(path, target="age")
    np.testing.assert_array_equal(samples.target, Y + 20)
    assert samples.target_names == ("age",)
    assert read(Memory((X, Y)), target="age").target_names == ("age",)
    with pytest.raises(DataError, match="no 'size'"):
        read(path, target="size")


def test_a_target_is_not_needed_for_new_data(tmp_path):
    assert read(Memory(X), shape_of("numbers", (3,)), target="age").target is None


def test_npy_files(tmp_path):
    np.save(tmp_path / "some.npy", X)
    np.testing.assert_array_equal(read(tmp_path / "some.npy").raw, X)


def test_a_test_part_is_set_apart(tmp_path):
    np.savez(tmp_path / "k.npz", x_train=IMAGES[:3], y_train=Y[:3], x_test=IMAGES[3:], y_test=Y[3:])
    samples = read(tmp_path / "k.npz")
    np.testing.assert_array_equal(samples.raw, IMAGES)
    np.testing.assert_array_equal(samples.target, Y)
    np.testing.assert_array_equal(samples.test, [3])


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"x_test": X[3:, :2]}, "test part"),
        ({"x_test": X[3:].astype("f4")}, "float32"),
        ({"y_test": Y}, "y 4"),
        ({"y_test": None}, "x_test"),
        ({"y_test": np.zeros((1, 2))}, "y_test"),
    ],
)
def test_a_test_part_must_fit(changed, says):
    parts = {"x_train": X[:3], "y_train": Y[:3], "x_test": X[3:], "y_test": Y[3:]} | changed
    with pytest.raises(DataError, match=says):
        read(Memory({name: value for name, value in parts.items() if value is not None}))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.array([["a", "b"]]), "text"),
        (np.array([[{}, 1]], dtype=object), "dtype object"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.zeros(5), r"\(5,\)"),
        (np.zeros((2, 2, 2, 2, 2)), r"\(2, 2, 2, 2, 2\)"),
        (np.zeros((0, 3)), "empty"),
        ([], "empty"),
        ([[1, 2], [3]], r"ragged: sample 0 has the shape \(2,\), sample 1 \(1,\)"),
        ([np.zeros((4, 4)), np.zeros((5, 4))], r"ragged: sample 0 has the shape \(4, 4\), sample 1 \(5, 4\)"),
        ([torch.zeros(4, 4), torch.zeros(4, 4), torch.zeros(5, 4)], r"sample 2 \(5, 4\)"),
        ((X, Y[:3]), "X has 4 samples, y 3"),
        ((X, np.zeros((4, 1, 1))), r"y has the shape \(4, 1, 1\)"),
        ((X, [[1], [2, 3], [4], [5]]), "y is ragged"),
        ({"a": X}, "memory holds a"),
        ({}, "memory holds nothing"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(value, says):
    with pytest.raises(DataError, match=says):
        read(Memory(value))


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"no file .*gone\.npz"):
        read(tmp_path / "gone.npz")
    np.savez(tmp_path / "objects.npz", X=np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"objects\.npz can't be read"):
        read(tmp_path / "objects.npz")


@given(st.data())
def test_a_cut_file_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "cut.npz"
    np.savez_compressed(path, X=X, y=Y)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(DataError, match=r"cut\.npz"):
        read(path)


@pytest.mark.parametrize(
    ("new", "wanted"),
    [((3,), (1, 3)), ((5, 3), (5, 3))],
)
def test_new_rows_for_a_model_of_numbers(new, wanted):
    assert read(Memory(np.zeros(new)), shape_of("numbers", (3,))).raw.shape == wanted


@pytest.mark.parametrize(
    ("model", "new", "wanted"),
    [
        ((1, 4, 5), (4, 5), (1, 4, 5)),
        ((1, 4, 5), (7, 20), (7, 1, 4, 5)),
        ((1, 4, 5), (7, 4, 5), (7, 4, 5)),
        ((3, 4, 5), (3, 4, 5), (1, 3, 4, 5)),
        ((3, 4, 5), (4, 5, 3), (1, 4, 5, 3)),
        ((3, 4, 5), (7, 4, 5, 3), (7, 4, 5, 3)),
    ],
)
def test_new_images_for_a_model_of_images(model, new, wanted):
    assert read(Memory(np.zeros(new)), shape_of("image", model)).raw.shape == wanted


def test_recognises():
    table = pd.DataFrame({"a": [1]})
    known = ["a.npz", "b/c.NPY", Memory(X), Memory((X, Y)), Memory([[1]]), Memory({}), Memory(torch.ones(1))]
    others = ["a.csv", "digits", Memory(table), Memory((table, Y)), Memory("text"), Memory(3), Memory(b"x")]
    assert all(KIND.recognises(source) for source in known)
    assert not any(KIND.recognises(source) for source in others)


@pytest.mark.parametrize("name", ["y", "labels", "target"])
def test_a_plan_that_a_run_keeps_reads_its_arrays_again(name):
    source = Memory({"X": X, name: Y})
    first = read(source)
    again = read(source, target=first.target_names[0])
    np.testing.assert_array_equal(again.target, first.target)


def test_a_target_that_is_named_is_taken_although_there_is_another():
    both = read(Memory({"X": X, "y": Y, "target": 1 - Y}), target="target")
    np.testing.assert_array_equal(both.target, 1 - Y)
