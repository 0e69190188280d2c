"""The trainings of a treatment: how they end, what they are compared by, how many there is time for."""

import time
from pathlib import Path

import pytest

from fitwell.errors import DataError, DivergedError, PlanError, StorageError
from fitwell.plan import Plan
from fitwell.run import Run, create_run
from fitwell.treating.children import ANY_NUMBER, Children, validation_metric

PLAN = Plan(data="digits")
FINDINGS = [{"name": "bad", "severity": "error"}, {"name": "fine", "severity": "advice"}]


def run_with(folder: Path, metric: str = "accuracy", fingerprint: str = "same", **metrics: float) -> Run:
    run = create_run(PLAN, "digits", folder)
    figures = {f"val/{name}": value for name, value in metrics.items()}
    result = {"metrics": figures, "findings": FINDINGS, "verdict": "slow"}
    run.update(state="done", metric=metric, fingerprint=fingerprint, result=result)
    return run


def raising(error: Exception):
    def fit(_plan: Plan, **_: object) -> Run:
        raise error

    return fit


def test_a_child_is_recorded_below_its_parent(tmp_path: Path) -> None:
    run, asked = run_with(tmp_path, accuracy=0.5), {}

    def fit(plan: Plan, **settings: object) -> Run:
        asked.update(settings, plan=plan)
        return run_with(tmp_path, accuracy=0.75)

    children = Children(run, fit, tmp_path / "trials")
    found = children.outcome(PLAN.change(seed=3))
    assert asked == {
        "plan": PLAN.change(seed=3),
        "runs": tmp_path / "trials",
        "parent": run.name,
        "draw": False,
    }
    assert (found.seed, found.metrics, found.verdict, found.failed) == (
        3,
        {"val/accuracy": 0.75},
        "slow",
        None,
    )
    assert found.findings == ("bad",), "advice is no fault"


def test_what_can_not_be_trained_has_failed_and_what_is_no_fault_of_the_plan_is_told(tmp_path: Path) -> None:
    run = run_with(tmp_path, accuracy=0.5)
    lost = DivergedError("the loss became nan", "numbers", "a lower rate")
    lost.run = str(run_with(tmp_path, accuracy=0.1).path)
    for error, told in (
        (lost, "the loss became nan"),
        (PlanError("no such norm", "one that is known", "change it"), "no such norm"),
        (RuntimeError("one value a channel"), "RuntimeError: one value a channel"),
    ):
        found = Children(run, raising(error), tmp_path).outcome(PLAN)
        assert (found.failed, found.metrics) == (told, {})
    for error in (StorageError("full", "space", "free some"), DataError("gone", "data", "restore it")):
        with pytest.raises(type(error)):
            Children(run, raising(error), tmp_path).outcome(PLAN)


def test_other_data_is_noticed(tmp_path: Path) -> None:
    run = run_with(tmp_path, accuracy=0.5)
    children = Children(run, lambda _plan, **_: run_with(tmp_path, fingerprint="other"), tmp_path)
    with pytest.raises(DataError, match="is not what it was"):
        children.outcome(PLAN)


@pytest.mark.parametrize(("metric", "higher"), [("accuracy", True), ("r2", True), ("loss", False)])
def test_the_metric_is_of_the_validation_part(tmp_path: Path, metric: str, higher: bool) -> None:
    children = Children(run_with(tmp_path, metric, **{metric: 0.5}), raising(RuntimeError()), tmp_path)
    assert (children.metric, children.higher, children.control) == (f"val/{metric}", higher, 0.5)
    broken = run_with(tmp_path, metric, **{metric: float("nan")})
    assert Children(broken, raising(RuntimeError()), tmp_path).control is None
    assert validation_metric(run_with(tmp_path, metric)) == ""


def test_of_a_run_that_failed_the_first_child_tells_the_metric(tmp_path: Path) -> None:
    run = create_run(PLAN, "digits", tmp_path)
    run.update(state="failed", fingerprint="same")
    children = Children(run, lambda _plan, **_: run_with(tmp_path, accuracy=0.75), tmp_path)
    assert (children.metric, children.control) == ("", None)
    children.outcome(PLAN)
    assert children.metric == "val/accuracy"


def test_time_is_reckoned_by_the_longest(tmp_path: Path) -> None:
    run = run_with(tmp_path, accuracy=0.5)
    assert Children(run, raising(RuntimeError()), tmp_path).affordable() == ANY_NUMBER
    children = Children(run, raising(RuntimeError()), tmp_path, until=time.monotonic() + 100, longest=30)
    assert children.affordable() == 3
    children.until = time.monotonic() - 1
    assert children.affordable() == 0
