"""scikit-learn's sets come with images, columns and classes by name."""

import numpy as np
import pytest

from fitwell.data.bundled import KIND, NAMES
from fitwell.errors import DataError
from fitwell.plan import DataPlan, Memory


@pytest.mark.parametrize("name", [*NAMES, "Breast-Cancer"])
def test_names_are_recognised(name):
    assert KIND.recognises(name)
    samples = KIND.read(DataPlan(source=name), None)
    assert samples.count == len(samples.raw) == len(samples.target)


@pytest.mark.parametrize("source", ["./digits", "digits.csv", "mnist", Memory("digits")])
def test_other_sources_are_not(source):
    assert not KIND.recognises(source)


def test_digits_are_images_of_bytes():
    samples = KIND.read(DataPlan(source="digits"), None)
    assert samples.raw.shape == (1797, 8, 8)
    assert samples.raw.dtype == np.uint8
    assert samples.raw.max() == 16
    assert sorted(set(samples.target)) == list("0123456789")
    assert not samples.structured


def test_iris_has_named_columns_and_classes():
    samples = KIND.read(DataPlan(source="iris"), None)
    assert samples.raw.columns[0] == "sepal length (cm)"
    assert set(samples.target) == {"setosa", "versicolor", "virginica"}
    assert samples.target[0] == "setosa"
    assert samples.structured


def test_diabetes_is_raw_so_that_scaling_sees_the_training_part_only():
    samples = KIND.read(DataPlan(source="diabetes"), None)
    assert samples.raw["age"].between(18, 100).all()
    assert samples.target.dtype == np.float64


def test_another_target_is_refused():
    with pytest.raises(DataError, match="target = 'age': diabetes has one target of its own"):
        KIND.read(DataPlan(source="diabetes", target="age"), None)
