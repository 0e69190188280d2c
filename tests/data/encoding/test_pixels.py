"""Images keep their bytes; mean and deviation are those of the training part."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fitwell.data.encoding import pixels
from fitwell.data.encoding.pixels import ENCODING, as_NCHW, unit_statistics
from fitwell.errors import DataError


def everything(raw):
    return np.arange(len(raw))


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.just(3), st.integers(1, 5), st.integers(1, 5))))
def test_statistics_are_those_of_numpy(raw):
    state = json.loads(json.dumps(ENCODING.fit(raw, everything(raw))))
    std = raw.std(axis=(0, 2, 3))
    np.testing.assert_allclose(state["mean"], raw.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(state["std"], np.where(std > 0, std, 1), rtol=1e-9)


def test_statistics_come_from_the_training_rows_in_chunks(monkeypatch):
    raw = np.random.default_rng(0).integers(0, 256, (40, 5, 5), dtype=np.uint8)
    monkeypatch.setattr(pixels, "CHUNK", 60)
    state = ENCODING.fit(raw, np.arange(3, 30))
    assert state["mean"] == [pytest.approx(raw[3:30].mean(), rel=1e-12)]
    assert state["std"] == [pytest.approx(raw[3:30].std(), rel=1e-12)]


def test_a_constant_channel_keeps_a_deviation_of_one():
    raw = np.full((5, 4, 4), 0.1, np.float32)
    assert ENCODING.fit(raw, everything(raw))["std"] == [1.0]


def test_bytes_are_shared_not_copied():
    raw = np.zeros((6, 4, 4), np.uint8)
    x = ENCODING.encode(ENCODING.fit(raw, everything(raw)), raw)["x"]
    assert x.shape == (6, 1, 4, 4)
    assert x.dtype == torch.uint8
    assert x.data_ptr() == raw.ctypes.data


def test_memory_that_cannot_be_written_is_copied():
    raw = np.zeros((6, 4, 4), np.uint8)
    raw.flags.writeable = False
    x = ENCODING.encode(ENCODING.fit(raw, everything(raw)), raw)["x"]
    assert x.data_ptr() != raw.ctypes.data


@pytest.mark.parametrize(
    ("dtype", "result"),
    [("f2", torch.float32), ("f8", torch.float32), ("i8", torch.float32), ("?", torch.uint8)],
)
def test_other_types(dtype, result):
    raw = np.random.default_rng(0).integers(0, 2, (6, 4, 4)).astype(dtype)
    x = ENCODING.encode(ENCODING.fit(raw, everything(raw)), raw)["x"]
    assert x.dtype == result
    np.testing.assert_array_equal(x[:, 0], raw)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((5, 8, 9), (5, 1, 8, 9)),
        ((5, 8, 9, 3), (5, 3, 8, 9)),
        ((5, 8, 9, 1), (5, 1, 8, 9)),
        ((5, 3, 8, 9), (5, 3, 8, 9)),
        ((5, 3, 8, 3), (5, 3, 8, 3)),
        ((5, 2, 8, 9), (5, 2, 8, 9)),
    ],
)
def test_layout(shape, wanted):
    assert as_NCHW(np.zeros(shape)).shape == wanted
    raw = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    state = ENCODING.fit(raw, everything(raw))
    x = ENCODING.encode(state, raw)["x"]
    assert x.shape == wanted
    assert x.is_contiguous()
    assert ENCODING.inputs(state)["x"].shape == wanted[1:]
    np.testing.assert_allclose(state["mean"], x.numpy().mean(axis=(0, 2, 3), dtype=np.float64))


def test_layout_keeps_the_pixels_in_place():
    raw = np.random.default_rng(0).integers(0, 256, (2, 8, 9, 3), dtype=np.uint8)
    x = ENCODING.encode(ENCODING.fit(raw, everything(raw)), raw)["x"]
    assert x[1, 2, 7, 5] == raw[1, 7, 5, 2]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_named(value):
    raw = np.zeros((3, 4, 4), np.float32)
    good = ENCODING.fit(raw, everything(raw))
    raw[2, 1, 3] = value
    with pytest.raises(DataError, match="image 2, channel 0, row 1, column 3"):
        ENCODING.encode(good, raw)
    with pytest.raises(DataError, match="image 2"):
        ENCODING.fit(raw, everything(raw))


def test_another_size_is_refused():
    raw = np.zeros((3, 4, 4), np.uint8)
    with pytest.raises(DataError, match="images are 1 x 5 x 4") as error:
        ENCODING.encode(ENCODING.fit(raw, everything(raw)), np.zeros((3, 5, 4), np.uint8))
    assert "1 x 4 x 4" in str(error.value)


def test_values_on_another_scale_are_refused():
    raw = np.random.default_rng(0).integers(0, 256, (9, 4, 4), dtype=np.uint8)
    unit = raw.astype(np.float32) / 255
    with pytest.raises(DataError, match="float32 up to"):
        ENCODING.encode(ENCODING.fit(raw, everything(raw)), unit)
    with pytest.raises(DataError, match="uint8 up to"):
        ENCODING.encode(ENCODING.fit(unit, everything(raw)), raw)
    same = ENCODING.encode(ENCODING.fit(raw, everything(raw)), raw.astype(np.float32))["x"]
    np.testing.assert_array_equal(same[:, 0], raw)


def test_statistics_for_people_are_on_the_scale_of_full_intensity():
    raw = np.array([0, 16], np.uint8).reshape(2, 1, 1)
    assert unit_statistics(ENCODING.fit(raw, everything(raw))) == ((0.5,), (0.5,))
    assert unit_statistics(ENCODING.fit(raw / 16, everything(raw))) == ((0.5,), (0.5,))
