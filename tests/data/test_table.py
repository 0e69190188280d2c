import builtins
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fitwell.data.table import KIND
from fitwell.data.targets import fit_target
from fitwell.errors import DataError
from fitwell.plan import DataPlan, Memory
from fitwell.shape import Shape, Target

LIKE = Shape(inputs={}, target=Target("binary", ("no", "yes")))
FRAME = pd.DataFrame(
    {
        "who": ["a", "b", "a", "c"],
        "when": ["2020-01-02", "2020-01-01", "2021-01-01", "2019-05-05"],
        "size": [1.5, 2.5, 3.5, 4.5],
        "income": ["no", "yes", " ?", "no"],
    }
)


def read(source, like=None, **settings):
    return KIND.read(DataPlan(source=source, **settings), like)


@pytest.fixture
def people(tmp_path):
    path = tmp_path / "people.csv"
    FRAME.to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("source", "yes"),
    [
        ("people.csv", True), ("data/a.TSV.gz", True), ("a.parquet", True), ("adult.data.gz", True),
        ("adult.test", True), ("a.csv.zip", True), ("digits", False), ("photos/", False), ("a.npz", False),
        (Memory(FRAME), True), (Memory((FRAME, [0, 1, 0, 1])), True), (Memory(np.zeros((2, 2))), False),
        (Memory((np.zeros((2, 2)), np.zeros(2))), False), (Memory(FRAME["size"]), False),
    ],
)  # fmt: skip
def test_what_is_a_table(source, yes):
    assert KIND.recognises(source) == yes


def test_the_last_column_is_predicted_and_said(people):
    samples = read(people)
    assert samples.target_names == ("income",)
    assert samples.target.tolist() == ["no", "yes", "no"]
    assert list(samples.raw) == ["who", "when", "size"]
    assert samples.structured
    assert "predicting `income`, the last column" in samples.notes[0]


def test_a_column_called_target_is_predicted():
    samples = read(pd.DataFrame({"Label": ["a", "b"], "x": [1, 2]}))
    assert samples.target_names == ("Label",)
    assert "by its name" in samples.notes[0]


def test_rows_without_a_target_are_left_out_and_the_lines_stay_right(people):
    samples = read(people)
    assert samples.count == len(samples.raw) == 3
    assert samples.raw.index.tolist() == [2, 3, 5]
    assert "1 rows have no target, the first is line 4: left out" in samples.notes[1]


def test_a_wrong_target_lists_what_there_is(people):
    with pytest.raises(DataError, match=r"no column 'incme' \(--target\)") as error:
        read(people, target="incme")
    assert error.value.fix == "did you mean 'income'?"
    assert "who, when, size, income" in error.value.expected
    assert read(people, target="INCOME").target_names == ("income",)


def test_group_and_time_are_no_features(people):
    samples = read(people, target="size", group="who", time="when")
    assert list(samples.raw) == ["income"]
    assert samples.groups.tolist() == [0, 1, 0, 2]
    assert np.argsort(samples.times).tolist() == [3, 1, 0, 2]
    assert sum("is no feature" in note for note in samples.notes) == 2
    with pytest.raises(DataError, match=r"holds 'a' in line 2"):
        read(people, target="size", time="who")
    with pytest.raises(DataError, match="--group"):
        read(people, group="whom")


def test_new_data_needs_no_target(people):
    assert read(FRAME.drop(columns="income"), LIKE, target="income", group="nobody").target is None
    samples = read(FRAME, LIKE, target="income")
    assert samples.count == 4, "a row without a target is still to be predicted"
    assert samples.target is None
    samples = read(FRAME.iloc[:2], LIKE, target="income")
    assert samples.target.tolist() == ["no", "yes"]


def test_no_target_is_taken_when_none_is_wanted():
    samples = read(FRAME, task="none")
    assert samples.target is None
    assert list(samples.raw) == list(FRAME)


def test_pairs():
    samples = read((FRAME, pd.Series([3, 1, 2, 1], index=[9, 8, 7, 6], name="rank")))
    assert samples.target_names == ("rank",)
    assert samples.target.tolist() == [3, 1, 2, 1]
    assert list(samples.raw) == list(FRAME)
    assert read((FRAME, np.zeros((4, 2)))).target.shape == (4, 2)
    assert read((FRAME, None)).target is None
    with pytest.raises(DataError, match="4 rows and the target 3 values"):
        read((FRAME, [1, 2, 3]))


def test_the_given_frame_is_not_changed():
    frame = pd.DataFrame({1: [1, 2, 3], " b ": ["x", None, "y"]}, index=[5, 5, 6])
    before = frame.copy(deep=True)
    samples = read(frame)
    samples.raw["1"] = 0
    pd.testing.assert_frame_equal(frame, before)
    assert samples.target_names == ("b",)


def test_frames_of_other_libraries():
    class Polarlike:
        def to_pandas(self):
            return FRAME

    assert KIND.recognises(Memory(Polarlike()))
    assert read(Polarlike(), target="size").count == 4


def test_texts_of_numbers_are_numbers_in_the_target():
    samples = read(pd.DataFrame({"a": [1, 2, 3], "price": ["1,200", "950.5", " "]}))
    assert samples.target.tolist() == [1200, 950.5]


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pd.DataFrame(np.zeros((2, 2)), columns=["a", "a"]), "several columns called `a`"),
        (pd.DataFrame({"a": [1, 2]}), "only the column `a`"),
        (pd.DataFrame(), "the table is empty"),
    ],
)
def test_frames_that_are_refused(frame, says):
    with pytest.raises(DataError, match=says):
        read(frame)


def test_parquet(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    path = tmp_path / "people.parquet"
    FRAME.to_parquet(path)
    assert read(path, target="size").count == 4
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="can't be read"):
        read(path)
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "none.parquet")

    def without(name, *args, **kwargs):
        if name == "pyarrow":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"pip install 'fitwell\[parquet\]'"):
        read(path)


FOLDER = Path(os.environ.get("FITWELL_DATA") or Path(__file__).parents[3] / "shared" / "data") / "tabular"


@pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the tables in FITWELL_DATA")
@pytest.mark.parametrize(
    ("name", "target", "shape", "kind"),
    [
        ("adult.data", None, (32561, 14), "binary"),
        ("adult.test", None, (16281, 14), "binary"),
        ("titanic.csv", "Survived", (891, 11), "binary"),
        ("california_housing.csv", "median_house_value", (20640, 9), "number"),
        ("winequality-red.csv", None, (1599, 11), "classes"),
        ("telco_churn.csv", None, (7043, 20), "binary"),
        ("credit_default.csv", None, (30000, 24), "binary"),
        ("german_credit.csv", None, (1000, 20), "binary"),
        ("bank_note.csv", None, (1372, 4), "binary"),
        ("abalone.csv", None, (4177, 8), "number"),
        ("penguins.csv", "species", (344, 6), "classes"),
        ("higgs_7500_train.tsv", "column1", (7000, 28), "binary"),
    ],
)
def test_real_tables(name, target, shape, kind):
    samples = read(FOLDER / f"{name}.gz", target=target)
    assert samples.raw.shape == shape
    assert samples.raw.index.name == "line"
    assert fit_target(samples.target, samples.target_names, "auto", np.arange(samples.count))[0].kind == kind
