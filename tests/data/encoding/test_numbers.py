"""Numbers are standardised by the training rows alone, exactly and in little memory."""

import json
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fitwell.data.encoding import numbers
from fitwell.data.encoding.numbers import ENCODING
from fitwell.errors import DataError
from fitwell.shape import Input


def encode(raw, rows=None):
    state = ENCODING.fit(raw, np.arange(len(raw)) if rows is None else rows)
    return ENCODING.encode(json.loads(json.dumps(state)), raw)["x"]


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", "f2", "f4", "f8", ">f4"])
def test_any_real_numbers_become_standardised_float32(dtype):
    raw = np.random.default_rng(0).integers(0, 2, (200, 3)).astype(dtype)
    x = encode(raw)
    assert ENCODING.accepts(raw)
    assert x.dtype == torch.float32
    torch.testing.assert_close(x.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(3))


@pytest.mark.parametrize(
    "raw", [[[1.0]], np.zeros(3), np.zeros((2, 2, 2)), np.zeros((2, 2), "U3"), np.zeros((2, 2), complex)]
)
def test_nothing_else_is_accepted(raw):
    assert not ENCODING.accepts(raw)


def test_only_training_rows_are_learned_from():
    raw = np.array([[0.0], [2.0], [1000.0]])
    np.testing.assert_allclose(encode(raw, np.array([0, 1])), [[-1], [1], [999]])


@given(hnp.arrays(np.float64, (7, 2), elements=st.floats(-1e6, 1e6)), st.floats(-1e9, 1e9))
def test_a_constant_column_becomes_zero(raw, constant):
    raw[:, 1] = constant
    state = ENCODING.fit(raw, np.arange(7))
    assert state["std"][1] == 1.0
    assert (ENCODING.encode(state, raw)["x"][:, 1] == 0).all()


def test_a_small_spread_far_from_zero_is_kept():
    raw = 1e9 + np.arange(1000.0)[:, None] / 100
    assert encode(raw).std(correction=0).item() == pytest.approx(1, abs=1e-4)


def test_chunks_do_not_show(monkeypatch):
    raw = np.random.default_rng(1).normal(size=(50, 3))
    whole = encode(raw)
    monkeypatch.setattr(numbers, "CHUNK", 7)
    torch.testing.assert_close(encode(raw), whole)


def test_inputs_describe_the_field():
    raw = np.zeros((5, 4))
    assert ENCODING.inputs(ENCODING.fit(raw, np.arange(5))) == {"x": Input("numbers", (4,))}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e200])
def test_values_that_are_no_numbers_are_named(value, monkeypatch):
    monkeypatch.setattr(numbers, "CHUNK", 6)
    raw = np.zeros((9, 3))
    raw[7, 2] = value
    with pytest.raises(DataError, match="row 7, column 2"):
        ENCODING.fit(raw, np.arange(5, 9))
    with pytest.raises(DataError, match="row 7, column 2"):
        ENCODING.encode({"mean": [0.0] * 3, "std": [1.0] * 3}, raw)


def test_another_number_of_features_is_refused():
    with pytest.raises(DataError, match="X has 3 features, but the model expects 4 features"):
        ENCODING.encode({"mean": [0.0] * 4, "std": [1.0] * 4}, np.zeros((2, 3)))


def test_memory_is_little_more_than_the_result():
    raw = np.ones((2**16, 64), np.float32)
    state = ENCODING.fit(raw, np.arange(len(raw)))
    tracemalloc.start()  # numpy's memory; the result is torch's
    ENCODING.encode(state, raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * raw.nbytes
