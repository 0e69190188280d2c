import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitwell.data.cells import Texts, date_format, moments_of, numbers_of, read_cells


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("39", 39), ("-1e-3", -0.001), ("1,234", 1234), ("-12,345,678.5", -12345678.5), ("12%", 0.12),
        ("12 %", 0.12), ("1,23", np.nan), ("0,123", np.nan), ("12,34,567", np.nan), ("abc", np.nan),
        ("3 apples", np.nan), ("%", np.nan), ("True", np.nan),
    ],
)  # fmt: skip
def test_texts_that_are_numbers(text, number):
    np.testing.assert_equal(numbers_of([text, "7"]), [number, 7.0])


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1))
def test_grouped_thousands_are_read_as_python_writes_them(values):
    assert numbers_of([f"{value:,}" for value in values]).tolist() == values


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 2, None], dtype="Int64"),
        pd.Series([1, 2, np.nan], dtype="float32"),
        pd.Series([1, 2.0, None], dtype=object),
    ],
)
def test_numbers_of_any_type(column):
    np.testing.assert_equal(read_cells(column), [1.0, 2.0, np.nan])


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["b", " a", "?", None, "a "]),
        pd.Series(["b", "a", None, np.nan, "a"], dtype="category"),
        pd.Series(["b", "a", "NA", "", "a"], dtype="string"),
        pd.Series(["b", "a", "N/A", "  ", "a"], dtype=object),
    ],
)
def test_texts_of_any_type(column):
    cells = read_cells(column)
    assert isinstance(cells, Texts)
    assert cells.levels == ["a", "b"]
    assert cells.codes.tolist() == [1, 0, -1, -1, 0]


def test_mixed_and_strange_objects_are_texts():
    cells = read_cells(pd.Series([1, "1", 1.0, [2], True, None], dtype=object))
    assert isinstance(cells, Texts)
    assert cells.levels == ["1", "True", "[2]"]
    assert cells.codes.tolist() == [0, 0, 0, 2, 1, -1]


def test_moments_lose_their_time_zone_in_utc():
    zoned = pd.Series(pd.to_datetime(["2020-01-01T02:00:00+02:00", None]))
    assert read_cells(zoned)[0] == np.datetime64("2020-01-01T00:00:00")
    assert read_cells(pd.Series(pd.to_timedelta(["1min", None])))[0] == 60


@pytest.mark.parametrize(
    ("levels", "form"),
    [
        (["2020-01-31", "2021-02-01T10:00"], "ISO8601"),
        (["1/2/2020", "3/4/2020"], "%m/%d/%Y"),
        (["1/2/2020", "13/4/2020"], "%d/%m/%Y"),
        (["31.12.2020 23:59"], "%d.%m.%Y %H:%M"),
        (["Jan 5, 2020"], "%b %d, %Y"),
        (["2020-01-31", "soon"], None),
        (["a", "b"], None),
        ([], None),
    ],
)
def test_date_formats(levels, form):
    assert date_format(levels) == form
    if form:
        assert not np.isnat(moments_of(levels, form)).any()
