"""fit, resume and the run as its user sees it in Python."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import fitwell
from fitwell.errors import DataError, DivergedError, PlanError, RunError
from fitwell.fitting import FittedRun, explore_rates, foresee
from fitwell.plan import Plan
from fitwell.run import find_run, list_runs

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(120, 3)).astype("float32")
LABELS = np.where(X[:, 0] > 0, "high", "low")
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(color=np.tile(["red", "blue"], 60), y=LABELS)
QUICK = {"epochs": 3, "lr": 0.01, "threads": 1, "hidden": (8,), "model": "mlp"}


def quick(data: object, **changes: object) -> Plan:
    return Plan(data=data).change(**(QUICK | changes))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def classifier(shelf: Path) -> FittedRun:
    return fitwell.fit(quick((X, LABELS)), runs=shelf)


@pytest.fixture(scope="module")
def regressor(shelf: Path) -> FittedRun:
    return fitwell.fit(quick((X, X[:, 0] * 50 + 100)), runs=shelf)


@pytest.fixture(scope="module")
def autoencoder(shelf: Path) -> FittedRun:
    return fitwell.fit(quick(X, model="autoencoder"), runs=shelf)


def test_a_run_has_metrics_a_model_and_a_figure(classifier: FittedRun) -> None:
    assert {"train/loss", "val/accuracy", "test/accuracy"} <= set(classifier.metrics)
    assert isinstance(classifier.model, torch.nn.Module)
    assert not classifier.model.training
    assert classifier.verdict
    figure = classifier.figure()
    assert figure.axes
    assert classifier.report().read_text(encoding="utf-8").lower().startswith("<!doctype html")


def test_classes_are_predicted_by_name_with_their_chances(classifier: FittedRun) -> None:
    answers, chances = classifier.predict(X), classifier.predict_proba(X)
    assert classifier.classes == ("high", "low")
    assert (answers.shape, chances.shape) == ((120,), (120, 2))
    assert chances.sum(1) == pytest.approx(np.ones(120), abs=1e-6)
    assert (answers == np.array(classifier.classes)[chances.argmax(1)]).all()
    table, scores, _ = classifier.predictions((X, LABELS))
    assert list(table["prediction"]) == list(answers)
    assert scores["accuracy"] == pytest.approx((answers == LABELS).mean())


def test_labels_that_were_never_seen_are_told_and_no_obstacle(classifier: FittedRun) -> None:
    table, scores, note = classifier.predictions((X, np.where(LABELS == "low", "low.", LABELS)))
    assert (len(table), scores) == (120, {})
    assert "low." in note


def test_the_figures_of_the_run_are_those_of_its_predictions(classifier: FittedRun) -> None:
    parts = fitwell.data.load(Plan(data=(X, LABELS)).data)
    for name, part in parts.parts.items():
        rows = part.index.numpy()
        accuracy = (classifier.predict(X[rows]) == LABELS[rows]).mean()
        assert classifier.metrics[f"{name}/accuracy"] == pytest.approx(accuracy)


def test_numbers_come_back_in_the_units_of_the_target(regressor: FittedRun) -> None:
    answers = regressor.predict(X)
    assert answers.shape == (120,)
    assert abs(answers.mean() - 100) < 60
    assert regressor.classes == ()
    with pytest.raises(RunError, match=r"(?s)predicts no classes.*call predict"):
        regressor.predict_proba(X)


def test_without_a_target_the_samples_are_reconstructed(autoencoder: FittedRun) -> None:
    assert autoencoder.predict(X).shape == X.shape
    table, scores, _ = autoencoder.predictions(X)
    assert (table.shape, scores) == ((120, 3), {})


def test_a_frame_and_a_path_give_the_same_model(shelf: Path, tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "frame.csv", index=False, float_format="%.9g")
    from_frame = fitwell.fit(quick(FRAME, target="y"), runs=shelf)
    from_path = fitwell.fit(quick(tmp_path / "frame.csv", target="y"), runs=shelf)
    chances = from_frame.predict_proba(FRAME.drop(columns="y"))
    assert chances == pytest.approx(from_path.predict_proba(tmp_path / "frame.csv"), abs=1e-4)


def test_the_kept_plan_is_decided_and_gives_the_same_run_again(classifier: FittedRun, shelf: Path) -> None:
    settings = {path: value for path, value, _ in classifier.plan.settings() if not path.startswith("data.")}
    assert [path for path, value in settings.items() if value == "auto"] in ([], ["loss.function"])
    again = fitwell.fit(classifier.plan.change(source=(X, LABELS)), runs=shelf)
    assert again.metrics == classifier.metrics
    assert all(
        torch.equal(one, other)
        for one, other in zip(again.model.parameters(), classifier.model.parameters(), strict=True)
    )


def test_fitting_leaves_the_process_as_it_was(shelf: Path) -> None:
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    fitwell.fit(quick((X, LABELS), deterministic=True, epochs=1), runs=shelf)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_finished_run_is_not_trained_again(classifier: FittedRun, shelf: Path) -> None:
    before = classifier.info
    assert fitwell.resume(classifier.name, runs=shelf).metrics == classifier.metrics
    assert classifier.info == before


class StopError(Exception):
    pass


class Stopping:
    """An observer that ends the training at its second epoch, as a crash would."""

    def say(self, *_items: object) -> None: ...
    def begin(self, info: object) -> None: ...
    def step(self, done: int, total: int, samples_per_second: float) -> None: ...
    def end(self) -> None: ...

    def epoch(self, row: dict[str, int]) -> None:
        if row["epoch"] == 2:
            raise StopError


def test_what_failed_is_resumed_with_the_same_data_only(classifier: FittedRun, tmp_path: Path) -> None:
    with pytest.raises(StopError):
        fitwell.fit(quick((X, LABELS)), runs=tmp_path, observer=Stopping())
    run = find_run("last", tmp_path)
    assert run.state == "failed"
    with pytest.raises(RunError, match="no result"):
        _ = run.metrics
    with pytest.raises(DataError, match="lived in memory"):
        fitwell.resume("last", runs=tmp_path)
    with pytest.raises(DataError, match="is not what it was"):
        fitwell.resume("last", data=(X + 1, LABELS), runs=tmp_path)
    done = fitwell.resume("last", data=(X, LABELS), runs=tmp_path)
    assert (done.state, done.metrics) == ("done", classifier.metrics)


def test_a_training_that_diverges_says_so(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="lr"):
        fitwell.fit(
            quick((X, X[:, 0]), optimizer="sgd", lr=1e30, schedule="constant", batch_size=8), runs=tmp_path
        )
    (run,) = list_runs(tmp_path)
    assert run.state == "failed"
    assert "lr" in run.info["error"]


def test_what_is_refused_before_training_leaves_no_run(tmp_path: Path) -> None:
    for plan, error in [
        (quick((X, LABELS), model="cnn"), PlanError),
        (quick((X * np.inf, LABELS)), DataError),
        (quick((X, LABELS[:5])), DataError),
    ]:
        with pytest.raises(error):
            fitwell.fit(plan, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_foreseeing_decides_everything_and_trains_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan, reasons, forecast = foresee(quick((X, LABELS)))
    assert plan.model.family == "mlp"
    assert plan.batch_size != "auto"
    assert reasons["batch_size"]
    assert forecast.parameters == sum(p.numel() for p in fitwell.fit(plan, runs="runs").model.parameters())


def test_exploring_rates_records_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = explore_rates(quick((X, LABELS), lr="auto"))
    assert 1e-6 < found.suggestion < 10
    assert found.reasons
    assert list(tmp_path.iterdir()) == []
