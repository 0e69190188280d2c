import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fitwell.data.encoding.columns import ENCODING
from fitwell.data.table import KIND
from fitwell.errors import DataError
from fitwell.plan import DataPlan

N = 120
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "age": np.where(RNG.random(N) < 0.1, np.nan, RNG.integers(18, 90, N)),
        "income": np.exp(RNG.normal(10, 3, N)),
        "gain": np.where(RNG.random(N) < 0.9, 0, RNG.integers(1, 10**5, N)),
        "charge": [f"{n:,}" if n % 7 else " " for n in RNG.integers(1, 10**5, N)],
        "city": RNG.choice(["Rome", "Oslo", "Bern", "?"], N),
        "sex": RNG.choice(["m", "f"], N),
        "member": RNG.random(N) < 0.5,
        "joined": pd.Timestamp("2020-01-01") + pd.to_timedelta(RNG.integers(0, 10**7, N), unit="min"),
        "day": [f"{d}.{m}.2021" for d, m in zip(RNG.integers(1, 29, N), RNG.integers(1, 13, N), strict=True)],
        "customerID": np.arange(N) + 1000,
        "name": [f"person {k}" for k in range(N)],
        "cabin": [f"C{k}" if k % 3 else None for k in range(N)],
        "same": 1,
        "void": np.nan,
    }
)
TRAIN = np.sort(RNG.permutation(N)[:90])
STATE = ENCODING.fit(FRAME, TRAIN)
ROLES = {column["name"]: column["role"] for column in STATE["columns"]}


def encode(frame, state=STATE):
    return ENCODING.encode(state, frame)


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def one(values, rows=None, name="a"):
    frame = pd.DataFrame({name: values})
    return ENCODING.fit(frame, np.arange(len(frame)) if rows is None else rows), frame


def test_roles():
    assert ROLES == {
        "age": "number", "income": "number", "gain": "number", "charge": "number", "city": "category",
        "sex": "boolean", "member": "boolean", "joined": "date", "day": "date", "customerID": "left-out",
        "name": "left-out", "cabin": "presence", "same": "left-out", "void": "left-out",
    }  # fmt: skip
    notes = "\n".join(STATE["notes"])
    assert "4 numbers, 1 categories, 2 booleans, 2 dates" in notes
    assert "`name` left out: 90 different texts in 90 rows" in notes
    assert "of `cabin` only whether it is given" in notes
    assert "`day` read as dates %d.%m.%Y" in notes


def test_fields_are_as_described():
    fields, inputs = encode(FRAME), ENCODING.inputs(STATE)
    assert fields.keys() == inputs.keys() == {"x", "codes"}
    assert fields["x"].dtype == torch.float32
    assert fields["codes"].dtype == torch.int64
    for name, field in fields.items():
        assert field.shape == (N, *inputs[name].shape)
    assert int(fields["codes"].max()) < inputs["codes"].levels[0] == 5


def test_the_training_part_is_standardised():
    x_NF = encode(FRAME)["x"][TRAIN].double()
    assert x_NF.mean(0).abs().max() < 1e-6
    assert (x_NF.std(0, correction=0) - 1).abs().max() < 1e-6


def test_heavy_tails_are_tamed():
    assert encode(FRAME)["x"].abs().max() < 12
    state, frame = one([*np.linspace(-1, 1, 50), 1e300, -1e300])
    assert torch.isfinite(encode(frame, state)["x"]).all()


def test_a_rare_difference_is_no_outlier():
    state, frame = one([*[0] * 999, 1])
    assert encode(frame, state)["x"].max() <= 5.0001


def test_statistics_depend_on_training_rows_only():
    other = FRAME.copy(deep=True)
    rest = np.setdiff1d(np.arange(N), TRAIN)
    other.iloc[rest, other.columns.get_loc("income")] = 1e9
    other.iloc[rest, other.columns.get_loc("city")] = "Atlantis"
    other.iloc[rest, other.columns.get_loc("cabin")] = "C1"
    assert ENCODING.fit(other, TRAIN) == STATE
    assert ENCODING.fit(FRAME, TRAIN[::-1]) == STATE
    assert ENCODING.fit(FRAME, np.arange(N)) != STATE


def test_rows_are_encoded_one_by_one():
    order = RNG.permutation(N)
    whole = encode(FRAME)
    assert equal(encode(FRAME.iloc[order]), {name: field[order] for name, field in whole.items()})
    assert equal(encode(FRAME.iloc[[7]]), {name: field[[7]] for name, field in whole.items()})


def test_the_state_survives_json_and_the_frame_is_not_changed():
    before = FRAME.copy(deep=True)
    assert json.loads(json.dumps(STATE)) == STATE
    assert equal(encode(FRAME, json.loads(json.dumps(STATE))), encode(FRAME))
    pd.testing.assert_frame_equal(FRAME, before)


def test_columns_may_be_ordered_otherwise_and_more():
    shuffled = FRAME[FRAME.columns[::-1]].assign(more=1).drop(columns=["name", "void"])
    assert equal(encode(shuffled), encode(FRAME))


def test_what_a_csv_file_makes_of_the_same_table_is_encoded_alike(tmp_path):
    FRAME.assign(y=1).to_csv(tmp_path / "new.csv", index=False)
    again = KIND.read(DataPlan(source=tmp_path / "new.csv"), None).raw
    assert equal(encode(again), encode(FRAME))


def test_unknown_rare_and_missing_categories():
    state, _ = one([*["a"] * 5, *["b"] * 5, *["c"] * 5, "rare", None])
    assert ENCODING.inputs(state)["codes"].levels == (5,)
    new = pd.DataFrame({"a": ["c", "a", "rare", "new", None, " b "]})
    assert encode(new, state)["codes"].ravel().tolist() == [3, 1, 0, 0, 4, 2]
    state, _ = one([*["a"] * 5, *["b"] * 5, *["c"] * 5])
    assert encode(new, state)["codes"].ravel().tolist() == [3, 1, 0, 0, 0, 2]


def test_integers_are_the_same_category_in_any_type():
    state, _ = one(pd.Series([1, 2, 3] * 5, dtype="category"))
    for values in ([3.0, 1.0, np.nan], ["3", "1", None]):
        assert encode(pd.DataFrame({"a": values}), state)["codes"].ravel().tolist() == [3, 1, 0]


def test_missing_numbers_are_the_median_and_said():
    state, frame = one([1.0, 2.0, 3.0, 4.0, 50.0, np.nan])
    x_NF = encode(frame, state)["x"]
    assert x_NF.shape == (6, 2)
    assert x_NF[5, 0] == x_NF[2, 0]
    assert x_NF[5, 1] > 0 > x_NF[0, 1]
    state, _ = one([1.0, 2.0, 3.0])
    assert encode(pd.DataFrame({"a": [None, 2]}), state)["x"].shape == (2, 1)


def test_dates_become_calendar_numbers():
    state, _ = one(["2020-01-06", "2021-02-09", "2022-03-15"])
    assert list(state["columns"][0]["numbers"]) == ["days", "year", "month", "day", "day_of_week"]
    assert encode(pd.DataFrame({"a": pd.to_datetime(["2021-02-09"])}), state)["x"].shape == (1, 5)
    assert torch.isfinite(encode(pd.DataFrame({"a": [np.nan]}), state)["x"]).all()


@pytest.mark.parametrize(
    ("name", "left_out"),
    [("id", True), ("PassengerId", True), ("user_id", True), ("ID", True), ("grid", False), ("paid", False)],
)
def test_identifiers_are_left_out(name, left_out):
    frame = pd.DataFrame({name: np.arange(9) * 3, "x": np.arange(9) % 4})
    assert (ENCODING.fit(frame, np.arange(9))["columns"][0]["role"] == "left-out") == left_out


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("age", "old", r"`age` holds 'old' in row 3 .*"),
        ("age", np.inf, r"`age` holds 'inf' in row 3 .*"),
        ("charge", "12 EUR", r"`charge` holds '12 EUR' in row 3"),
        ("joined", "soon", r"`joined` holds 'soon' in row 3"),
        ("day", "2021-01-01", r"`day` holds '2021-01-01' in row 3"),
    ],
)
def test_cells_of_another_kind_are_named(column, value, says):
    new = FRAME.astype({column: object})
    new.iloc[3, new.columns.get_loc(column)] = value
    with pytest.raises(DataError, match=says):
        encode(new)


def test_a_row_of_a_file_is_named_by_its_line(tmp_path):
    (tmp_path / "new.csv").write_text("a,y\n1,0\n2,1\n3,0\n")
    raw = KIND.read(DataPlan(source=tmp_path / "new.csv"), None).raw
    state = ENCODING.fit(raw, np.arange(3))
    (tmp_path / "new.csv").write_text("a,y\n1,0\nx,1\n3,0\n")
    with pytest.raises(DataError, match="'x' in line 3"):
        encode(KIND.read(DataPlan(source=tmp_path / "new.csv"), None).raw, state)


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="no column `age`") as error:
        encode(FRAME.rename(columns={"age": "ages"}))
    assert error.value.fix == "rename `ages` to `age`"


def test_infinite_training_numbers_and_useless_tables_are_refused():
    with pytest.raises(DataError, match="'inf' in row 1"):
        one([1.0, np.inf, 2.0])
    with pytest.raises(DataError, match="no column can be learned from: `a` the same in every row"):
        one([1, 1, 1])


VALUES = st.one_of(
    st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=4, max_size=30),
    st.lists(st.integers(-5, 5) | st.none(), min_size=4, max_size=30),
    st.lists(st.sampled_from(["a", "b", "c", "", "NA", "7", "8%"]), min_size=4, max_size=30),
    st.lists(st.booleans() | st.none(), min_size=4, max_size=30),
    st.lists(st.text(max_size=3), min_size=4, max_size=30),
)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_any_column_is_encoded_finitely_or_refused(values):
    try:
        state, frame = one(values)
    except DataError:
        return
    state = json.loads(json.dumps(state))
    fields, inputs = encode(frame, state), ENCODING.inputs(state)
    assert fields.keys() == inputs.keys()
    for name, field in fields.items():
        assert torch.isfinite(field).all()
        assert field.shape == (len(values), *inputs[name].shape)
        assert equal(encode(frame.iloc[::-1], state), {k: v.flip(0) for k, v in fields.items()})
    if "x" in fields:
        assert fields["x"].double().mean(0).abs().max() < 1e-5
        assert fields["x"].double().std(0, correction=0).max() < 1 + 1e-5
    if "codes" in fields:
        assert 0 <= fields["codes"].min() <= fields["codes"].max() < inputs["codes"].levels[0]


FOLDER = Path(os.environ.get("FITWELL_DATA") or Path(__file__).parents[4] / "shared" / "data") / "tabular"


@pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the tables in FITWELL_DATA")
@pytest.mark.parametrize(
    ("name", "target", "numbers", "levels"),
    [
        ("adult.data", None, 7, 7),
        ("titanic.csv", "Survived", 8, 1),
        ("california_housing.csv", "median_house_value", 9, 1),
        ("winequality-red.csv", None, 11, 0),
        ("telco_churn.csv", None, 10, 10),
        ("credit_default.csv", None, 23, 0),
        ("german_credit.csv", None, 9, 11),
        ("abalone.csv", None, 7, 1),
        ("higgs_7500_train.tsv", "column1", 28, 0),
    ],
)
def test_real_tables(name, target, numbers, levels):
    raw = KIND.read(DataPlan(source=FOLDER / f"{name}.gz", target=target), None).raw
    state = ENCODING.fit(raw, np.arange(0, len(raw), 2))
    inputs = ENCODING.inputs(state)
    assert sum(field.shape[0] for key, field in inputs.items() if key == "x") == numbers
    assert sum(field.shape[0] for key, field in inputs.items() if key == "codes") == levels
    x_NF = encode(raw, state)["x"].double()
    assert torch.isfinite(x_NF).all()
    assert x_NF[::2].mean(0).abs().max() < 1e-6
    assert (x_NF[::2].std(0, correction=0) < 1 + 1e-6).all()
