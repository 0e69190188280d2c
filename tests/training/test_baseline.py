"""The baseline is scikit-learn's gradient boosting as anybody would train it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.ensemble
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score

from fitwell import data as datasets
from fitwell.data.contract import Data, Split
from fitwell.plan import DataPlan
from fitwell.training import baseline
from fitwell.training.baseline import suits, train_baseline


def matrix(part: Split | None, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    assert part is not None
    batch = part.take(part.index)
    return np.concatenate([batch[n].double().numpy() for n in names], 1), batch["y"].numpy().ravel()


def iris() -> Data:
    return datasets.load(DataPlan(source="iris"))


@pytest.mark.parametrize("name", ["iris", "table"])
def test_classes_are_those_of_a_model_trained_by_hand(name: str, table: Data) -> None:
    data = table if name == "table" else iris()
    names = tuple(data.shape.inputs)
    mask = [False] * 4 if name == "iris" else [False, True]
    model = HistGradientBoostingClassifier(random_state=3, categorical_features=mask, early_stopping=True)
    val = matrix(data.validation, names)
    model.fit(*matrix(data.train, names), X_val=val[0], y_val=val[1])
    found = train_baseline(data, seed=3)
    for key, part in data.parts.items():
        x, y = matrix(part, names)
        assert found[f"{key}/accuracy"] == accuracy_score(y, model.predict(x))
    assert set(found) == {f"{key}/accuracy" for key in data.parts}


def test_numbers_are_those_of_a_model_trained_by_hand(numbers: Data) -> None:
    model = HistGradientBoostingRegressor(random_state=0, early_stopping=True)
    x_val, y_val = matrix(numbers.validation, ("x",))
    model.fit(*matrix(numbers.train, ("x",)), X_val=x_val, y_val=y_val)
    found, std = train_baseline(numbers, seed=0), numbers.shape.target.std[0]
    for key, part in numbers.parts.items():
        x, y = matrix(part, ("x",))
        assert found[f"{key}/r2"] == pytest.approx(r2_score(y, model.predict(x)))
        assert found[f"{key}/mae"] == pytest.approx(mean_absolute_error(y, model.predict(x)) * std)


def test_without_validation_it_trains_to_the_end() -> None:
    data = datasets.load(DataPlan(source="iris", validation=0))
    assert data.validation is None
    model = HistGradientBoostingClassifier(random_state=0, early_stopping=False)
    model.fit(*matrix(data.train, ("x",)))
    found = train_baseline(data, seed=0)
    x, y = matrix(data.test, ("x",))
    assert found["test/accuracy"] == accuracy_score(y, model.predict(x))


def test_it_is_told_which_columns_are_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    draw, streets = np.random.default_rng(0), [f"street {i}" for i in range(20)]
    frame = pd.DataFrame(
        {
            "color": draw.choice(["red", "green", "blue"], 900),
            "size": draw.normal(size=900),
            "street": draw.choice(streets, 900),
            "bought": draw.choice(["yes", "no"], 900),
        }
    )
    monkeypatch.setattr(baseline, "LEVELS", 10)  # scikit-learn's own limit is 255
    data = datasets.load(DataPlan(source=frame, target="bought"))
    seen: dict[str, Any] = {}

    class Spy(HistGradientBoostingClassifier):
        def __init__(self, **options: Any) -> None:
            seen.update(options)
            super().__init__(max_iter=2, **options)

        def fit(self, x: np.ndarray, y: np.ndarray, **more: Any) -> Any:
            seen["x"] = x
            return super().fit(x, y, **more)

    monkeypatch.setattr(sklearn.ensemble, "HistGradientBoostingClassifier", Spy)
    train_baseline(data, seed=0)
    codes = [i for i, whole in enumerate((seen["x"] == seen["x"].round()).all(0)) if whole]
    few = [i for i in codes if seen["x"][:, i].max() < 10]
    assert (len(codes), len(few)) == (2, 1)
    assert [i for i, is_category in enumerate(seen["categorical_features"]) if is_category] == few


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("missing", ["train", "val", "test"])
def test_a_class_that_a_part_lacks_is_no_obstacle(classes: int, missing: str) -> None:
    """Parts by time or by group need not hold every class."""
    draw = np.random.default_rng(0)
    y = draw.choice(list("abc")[:classes], 300)
    data = datasets.load(DataPlan(source=pd.DataFrame({"x": draw.normal(size=300), "y": y}), target="y"))
    part = data.parts[missing]
    kept = part.index[part.fields["y"][part.index].view(-1) != classes - 1]
    field = {"train": "train", "val": "validation", "test": "test"}[missing]
    found = train_baseline(dataclasses.replace(data, **{field: Split(part.fields, kept)}), seed=0)
    assert all(0 <= value <= 1 for value in found.values())


def test_it_is_for_structured_data_with_one_target(
    table: Data, numbers: Data, digits: Data, unlabelled: Data
) -> None:
    assert suits(table)
    assert suits(numbers)
    assert not suits(digits)
    assert not suits(unlabelled)
    two = dataclasses.replace(numbers.shape.target, names=("u", "v"), mean=(0.0, 0.0), std=(1.0, 1.0))
    assert not suits(dataclasses.replace(numbers, shape=dataclasses.replace(numbers.shape, target=two)))


def test_torchs_stream_is_not_touched(table: Data) -> None:
    stream = torch.get_rng_state()
    assert train_baseline(table, seed=1) == train_baseline(table, seed=1)
    assert torch.equal(torch.get_rng_state(), stream)


@pytest.mark.parametrize(("balanced", "expected"), [(False, None), (True, "balanced")])
def test_classes_are_weighted_as_those_of_the_net(
    balanced: bool, expected: str | None, table: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    class Spy(HistGradientBoostingClassifier):
        def fit(self, x: Any, y: Any, **further: Any) -> Any:
            seen.append(self.class_weight)
            return super().fit(x, y, **further)

    monkeypatch.setattr(sklearn.ensemble, "HistGradientBoostingClassifier", Spy)
    train_baseline(table, 0, balanced=balanced)
    assert seen == [expected]
