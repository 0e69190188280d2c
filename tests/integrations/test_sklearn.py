"""The estimators behave as scikit-learn's own, alone and inside its tools."""

import copy
import pickle
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    make_classification,
    make_regression,
)
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fitwell.errors import DataError, PlanError
from fitwell.integrations.sklearn import FitwellClassifier, FitwellRegressor
from fitwell.training.learning_rate import find_learning_rate

QUICK = {"hidden": (32,), "epochs": 30, "lr": 0.02, "random_state": 0}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def numbers():
    return make_regression(120, 5, n_targets=2, noise=1.0, random_state=0)


@pytest.fixture(scope="module")
def people():
    """A table of texts, a number, a date and missing values, whose classes follow from two columns."""
    random = np.random.default_rng(0)
    job, age = random.choice(["baker", "smith", "clerk"], 200), random.uniform(20, 60, 200)
    rich = np.where((job == "smith") | (age > 50), "rich", "poor")
    since = pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 900, 200), unit="D")
    frame = pd.DataFrame({"job": job, "age": age, "since": since})
    frame.loc[3, "age"] = np.nan
    frame.loc[5, "job"] = None
    return frame, rich


# --- scikit-learn's own checks, none of them declared to fail


@parametrize_with_checks([FitwellClassifier(), FitwellRegressor()])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


# --- how good: bounds below what was measured, far above a net that did not learn


@pytest.mark.parametrize(
    ("estimator", "load", "least"),
    [
        (FitwellClassifier, load_iris, 0.9),
        (FitwellClassifier, load_breast_cancer, 0.94),
        (FitwellRegressor, load_diabetes, 0.3),
    ],
)
def test_good_on_scikit_learns_data(estimator, load, least):
    X, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    scores = cross_val_score(estimator(epochs=50, random_state=0), X[order], y[order], cv=3)
    assert scores.mean() > least


# --- inside scikit-learn's tools


def test_pipeline_search_and_clone(iris):
    pipeline = make_pipeline(MinMaxScaler(), FitwellClassifier(**QUICK))
    grid = {"fitwellclassifier__hidden": [(), (16,)], "fitwellclassifier__epochs": np.array([1, 30])}
    search = GridSearchCV(pipeline, grid, cv=2).fit(*iris)
    best = search.best_estimator_[-1]
    assert search.best_params_["fitwellclassifier__epochs"] == best.n_iter_ == 30
    assert search.best_score_ > 0.85
    copied = clone(best)
    assert copied.get_params() == best.get_params()
    with pytest.raises(NotFittedError):
        copied.predict(iris[0])


def test_calibration(iris):
    calibrated = CalibratedClassifierCV(FitwellClassifier(**QUICK), cv=2).fit(*iris)
    chances = calibrated.predict_proba(iris[0])
    np.testing.assert_allclose(chances.sum(1), 1)
    assert calibrated.score(*iris) > 0.85


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_a_copy_predicts_the_same(iris, copied):
    fitted = FitwellClassifier(**QUICK).fit(*iris)
    np.testing.assert_array_equal(copied(fitted).predict_proba(iris[0]), fitted.predict_proba(iris[0]))


def test_the_training_data_is_not_kept():
    X, y = make_classification(4000, 50, random_state=0)
    fitted = FitwellClassifier(hidden=(), epochs=1, lr=0.01).fit(X, y)
    assert len(pickle.dumps(fitted)) < X.nbytes / 20


# --- the same in, the same out; nothing else is touched


def test_a_seed_decides_everything(iris):
    first, again, other = (
        FitwellClassifier(epochs=2, random_state=s).fit(*iris).predict_proba(iris[0]) for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_random_state_none_follows_numpys_stream(iris):
    first, second = (FitwellClassifier(hidden=(), epochs=1, lr=0.01).fit(*iris) for _ in range(2))
    assert first.plan_.seed != second.plan_.seed


def test_nothing_outside_changes(iris, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(2)
    try:
        torch_stream, numpy_stream = torch.get_rng_state(), np.random.get_state()[1].copy()
        fitted = FitwellClassifier(epochs=1, random_state=0).fit(*iris)
        fitted.predict(iris[0])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert torch.equal(torch.get_rng_state(), torch_stream)
    assert np.array_equal(np.random.get_state()[1], numpy_stream)
    assert capfd.readouterr() == ("", "")
    assert not list(Path(tmp_path).iterdir())


def test_estimators_in_several_threads_do_not_disturb_each_other(iris):
    def train(seed):
        estimator = FitwellClassifier(**QUICK | {"random_state": seed, "dropout": 0.5})
        return estimator.fit(*iris).predict_proba(iris[0])

    alone = [train(seed) for seed in range(3)]
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        together = Parallel(3, prefer="threads")(delayed(train)(seed) for seed in range(3))
    finally:
        sys.setswitchinterval(switching)
    np.testing.assert_array_equal(together, alone)


def test_a_prediction_does_not_depend_on_its_neighbours(iris):
    fitted = FitwellClassifier(**QUICK).fit(*iris)
    whole = fitted.predict_proba(iris[0])
    single = np.vstack([fitted.predict_proba(row[None]) for row in iris[0]])
    np.testing.assert_allclose(single, whole, rtol=1e-10)


# --- classes


def test_classes_keep_their_names_and_order(iris):
    X, y = iris
    names = np.array(["z 10", "b 2", "b 11"], dtype=object)[y]  # neither natural nor sorted order
    fitted = FitwellClassifier(**QUICK).fit(X, names)
    assert fitted.classes_.tolist() == ["b 11", "b 2", "z 10"]
    assert fitted.score(X, names) > 0.85
    assert fitted.predict_proba(X).shape == (150, 3)


def test_two_classes(iris):
    X, y = iris
    fitted = FitwellClassifier(**QUICK).fit(X, y == 2)
    assert fitted.predict(X).dtype == bool
    np.testing.assert_array_equal(fitted.predict_proba(X).argmax(1) == 1, fitted.predict(X))


def test_weights_move_the_border():
    X, y = make_classification(400, 5, weights=[0.9], class_sep=0.3, random_state=0)
    found = {
        name: FitwellClassifier(**QUICK, class_weight=weight).fit(X, y).predict(X).mean()
        for name, weight in {"none": None, "balanced": "balanced", "dict": {0: 1, 1: 1000}}.items()
    }
    assert found["none"] < found["balanced"] < found["dict"]
    with pytest.raises(ValueError, match="class_weight"):
        FitwellClassifier(**QUICK, class_weight="heavy").fit(X, y)


def test_the_rate_is_looked_for_with_the_weights(iris, monkeypatch):
    seen = []

    def find(job):
        seen.append(job.model.criterion.weights.tolist())
        return find_learning_rate(job)

    monkeypatch.setattr("fitwell.training.prepare.find_learning_rate", find)
    weights = {0: 1, 1: 2, 2: 3}
    FitwellClassifier(epochs=1, lr="auto", class_weight=weights, random_state=0).fit(*iris)
    assert seen == [[0.5, 1.0, 1.5]]  # their mean over the samples is 1


def test_one_class_is_refused():
    with pytest.raises(DataError, match="one class only: a"):
        FitwellClassifier().fit(np.eye(3), ["a", "a", "a"])


# --- numbers


def test_several_numbers_keep_their_shape_and_units(numbers):
    X, Y = numbers
    Y = Y * [1.0, 100.0] + [0.0, 1e6]
    fitted = FitwellRegressor(**QUICK).fit(X, Y)
    assert fitted.predict(X).shape == (120, 2)
    assert fitted.n_outputs_ == 2
    assert fitted.score(X, Y) > 0.9
    assert fitted.predict(X[:1]).shape == (1, 2)
    column = FitwellRegressor(**QUICK).fit(X, Y[:, :1])
    flat = FitwellRegressor(**QUICK).fit(X, Y[:, 0])
    assert column.predict(X).shape == (120, 1)
    np.testing.assert_array_equal(column.predict(X)[:, 0], flat.predict(X))


def test_whole_numbers_are_numbers_to_the_regressor(numbers):
    X, Y = numbers
    fitted = FitwellRegressor(**QUICK).fit(X, (Y[:, 0] > 0).astype(int))
    assert set(fitted.predict(X)) - {0.0, 1.0}


# --- tables


def test_frames_of_numbers_are_arrays_with_names(iris):
    frame, y = load_iris(return_X_y=True, as_frame=True)
    fitted = FitwellClassifier(**QUICK).fit(frame, y)
    assert fitted.feature_names_in_.tolist() == list(frame.columns)
    plain = FitwellClassifier(**QUICK).fit(*iris)
    np.testing.assert_array_equal(fitted.predict_proba(frame), plain.predict_proba(iris[0]))
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame[frame.columns[::-1]])


def test_frames_of_texts_and_dates_are_tables(people):
    frame, rich = people
    frame = frame.set_index(np.arange(200)[::-1])  # rows are matched by position, not by their labels
    fitted = FitwellClassifier(**QUICK).fit(frame[:150], rich[:150])
    assert fitted.score(frame[150:], rich[150:]) > 0.85
    assert fitted.predict(frame[:1]).shape == (1,)
    assert fitted.n_features_in_ == 3
    assert cross_val_score(clone(fitted), frame, rich, cv=2).mean() > 0.8
    numbers = FitwellRegressor(**QUICK).fit(frame, rich == "rich")
    assert numbers.predict(frame).shape == (200,)
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame.drop(columns="job"))
    with pytest.raises(ValueError, match="text"), pytest.warns(UserWarning, match="feature names"):
        fitted.predict(frame.to_numpy().astype(str))


def test_a_tables_target_is_checked_too(people):
    frame, rich = people
    with pytest.raises(ValueError, match="NaN"):
        FitwellRegressor().fit(frame, np.full(200, np.nan))
    with pytest.raises(ValueError, match="inconsistent"):
        FitwellClassifier().fit(frame, rich[:100])
    with pytest.raises(ValueError, match="requires y"):
        FitwellClassifier().fit(frame, None)


# --- settings and refusals


def test_validation_can_be_left_out(iris):
    without = FitwellClassifier(**QUICK, validation=0).fit(*iris)
    assert without.n_iter_ == 30
    assert without.plan_.stopping.patience is None
    few = FitwellClassifier(**QUICK).fit(iris[0][45:57], iris[1][45:57])
    assert few.plan_.stopping.patience is None


def test_patience_ends_the_training():
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2  # nothing can be learned
    fitted = FitwellClassifier(epochs=200, lr=0.1, patience=3, random_state=0).fit(X, y)
    assert fitted.n_iter_ < 200


def test_settings_reach_the_plan(iris):
    values = QUICK | {
        "optimizer": "sgd", "schedule": "cosine", "batch_size": np.int64(50), "dropout": 0.25,
        "weight_decay": 0.5, "patience": 7, "device": "cpu", "epochs": 2,
    }  # fmt: skip
    plan = FitwellClassifier(**values).fit(*iris).plan_
    assert plan.optimizer.algorithm == "sgd"
    assert plan.schedule.shape == "cosine"
    assert (plan.batch_size, plan.model.dropout, plan.optimizer.weight_decay) == (50, 0.25, 0.5)
    assert (plan.stopping.patience, plan.stopping.epochs, plan.threads) == (7, 2, 1)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"lr": -1}, {"schedule": "zigzag"}, {"optimizer": "magic"}])
def test_a_wrong_setting_is_named_when_fitting(iris, wrong):
    estimator = FitwellClassifier(**wrong)
    with pytest.raises(PlanError, match=r"epochs|lr|shape|magic"):
        estimator.fit(*iris)


def test_sparse_data_is_refused_politely(iris):
    with pytest.raises(TypeError, match=r"toarray\(\)"):
        FitwellClassifier().fit(csr_array(iris[0]), iris[1])
