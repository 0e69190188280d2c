"""Treating fitwell's own runs: what is mended is verified, what does not help is said not to, no data is mixed up."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fitwell.errors import DataError, DivergedError, PlanError, Preempted, RunError
from fitwell.fitting import fit
from fitwell.plan import Plan
from fitwell.run import Run, create_run, find_run, list_runs
from fitwell.training.observer import Quiet
from fitwell.treating import plans
from fitwell.treating.candidates import remedies
from fitwell.treating.plans import treat_again, treat_plan
from fitwell.treatment import Treatment

DIGITS = Plan(data="digits", model="mlp", optimizer="sgd").change(
    epochs=3, threads=1, norm="none", hidden=(32,)
)
DOSES = len(remedies()["lower_learning_rate"].doses)


@pytest.fixture(scope="module")
def too_high(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose learning rate is far too high."""
    return fit(DIGITS.change(lr=20.0), runs=tmp_path_factory.mktemp("runs"), draw=False)


@pytest.fixture(scope="module")
def cured(too_high: Run) -> Treatment:
    said: list[str] = []
    found = treat_plan(too_high, fit=fit, remedy="lower-learning-rate", say=said.append)
    told = f"{DOSES} trainings to try remedies, then 6 to 18 to verify"
    assert told in said[0], "told before anything is trained"
    assert len(said) == 2 + sum(1 for _ in (too_high.path / "trials").iterdir())
    return found


def test_a_rate_that_is_too_high_is_mended_and_the_cure_proved(cured: Treatment) -> None:
    assert (cured.answer, cured.metric) == ("confirmed", "val/accuracy")
    assert cured.cure is not None
    assert (cured.cure.remedy, cured.cure.how) == ("lower_learning_rate", "plan")
    trial = cured.cure.trial
    assert trial is not None
    assert trial.difference is not None
    assert trial.difference.low > 0
    assert trial.seeds[:3] == (1, 2, 3), "fresh seeds: not that by which the remedy was chosen"
    assert '-    "lr": 20.0' in cured.diff
    assert cured.costs
    assert cured.not_when


def test_the_best_of_the_screened_is_verified_alone(cured: Treatment) -> None:
    screened = [each.screened or 0.0 for each in cured.tried]
    verified = [each for each in cured.tried if each.trial]
    assert len(verified) == 1
    assert verified[0].screened == max(screened)


def test_it_is_kept_and_its_trainings_are_child_runs(too_high: Run, cured: Treatment) -> None:
    kept = Treatment.from_plain(json.loads((too_high.path / "treatment.json").read_text()))
    assert kept == cured
    assert [run.name for run in list_runs(too_high.path.parent)] == [too_high.name], "not among the runs"
    children = list_runs(too_high.path / "trials")
    assert {run.info["parent"] for run in children} == {too_high.name}
    assert find_run(str(children[0].path)).state == "done"
    assert not list(too_high.path.glob("trials/*/report.html")), "nobody asked for pictures of them"


def test_control_and_treatment_have_the_same_seeds_and_data(too_high: Run, cured: Treatment) -> None:
    assert cured.cure is not None
    assert cured.cure.trial is not None
    runs = [Run(path) for path in cured.cure.trial.runs]
    half = len(runs) // 2
    for control, treated in zip(runs[:half], runs[half:], strict=True):
        assert control.info["fingerprint"] == treated.info["fingerprint"]
        assert control.plan.seed == treated.plan.seed > 0
        assert control.plan.diff(treated.plan) == too_high.plan.diff(Plan.from_json(_treated_plan(too_high)))


def _treated_plan(run: Run) -> str:
    return (run.path / "treated_plan.json").read_text()


def test_the_plan_that_is_recommended_trains(too_high: Run, cured: Treatment, tmp_path: Path) -> None:
    run = fit(Plan.from_json(_treated_plan(too_high)), runs=tmp_path, draw=False)
    assert cured.cure is not None
    assert run.metrics["val/accuracy"] == pytest.approx(cured.cure.screened), (
        "the same seed, the same training"
    )


def test_a_run_that_diverged_is_mended(tmp_path: Path) -> None:
    with pytest.raises(DivergedError) as raised:
        fit(DIGITS.change(lr=3e4), runs=tmp_path, draw=False)
    found = treat_plan(Run(raised.value.run), fit=fit, remedy="lower_learning_rate")
    assert found.control is None
    assert any(each.because.startswith("the loss became") for each in found.tried), "a child may diverge, too"
    assert found.tried[0].finding in ("loss-not-finite", "learning-rate-too-high")


def test_what_does_not_help_is_said_not_to(too_high: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _copy_with_metrics(too_high, {"val/accuracy": 1.0})
    found = treat_plan(run, fit=_first_child(too_high), remedy="lower_learning_rate")
    assert (found.answer, found.cure, found.diff) == ("refuted", None, "")
    assert found.because == "nothing that was tried helps"
    assert all(each.trial is None for each in found.tried)
    assert not (run.path / "treated_plan.json").exists()


def _copy_with_metrics(run: Run, metrics: dict[str, float]) -> Run:
    """The same run with other figures, in a folder of its own."""
    copy = create_run(run.plan, "copy", run.path.parent.parent / "copies")
    for name in ("events.jsonl", "facts.json"):
        (copy.path / name).write_bytes((run.path / name).read_bytes())
    result = run.result | {"metrics": run.metrics | metrics}
    copy.update(**run.info | {"result": result})
    return copy


def _first_child(of: Run):
    """A fit that trains nothing: all it does is like the first run."""

    def train(_plan: Plan, **_: object) -> Run:
        return of

    return train


def test_what_was_only_better_by_chance_is_not_recommended(too_high: Run) -> None:
    run = _copy_with_metrics(too_high, {"val/accuracy": 0.01})
    found = treat_plan(run, fit=_first_child(too_high), remedy="lower_learning_rate")
    assert (found.answer, found.cure) == ("refuted", None)
    verified = [each.trial is not None for each in found.tried]
    assert verified == [True, True, *[False] * (DOSES - 2)], "two are verified at most"
    assert "it changes nothing" in found.because


def test_nothing_is_begun_for_which_there_is_no_time(too_high: Run) -> None:
    run = _copy_with_metrics(too_high, {})
    found = treat_plan(run, fit=_first_child(too_high), seconds=0.0)
    assert found.answer == "inconclusive"
    assert "there was time for 0 of" in found.because
    assert found.tried == ()


def test_without_a_validation_part_nothing_can_be_compared(too_high: Run) -> None:
    run = _copy_with_metrics(too_high, {})
    metrics = {name: value for name, value in run.metrics.items() if not name.startswith("val/")}
    run.update(result=run.result | {"metrics": metrics})
    found = treat_plan(run, fit=_first_child(too_high))
    assert (found.answer, found.tried) == ("inconclusive", ())
    assert "no validation part" in found.because


def test_data_from_memory_is_asked_for_and_compared(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(120, 4))
    y = np.where(x[:, 0] > 0, "yes", "no")
    plan = Plan(data=(x, y), model="mlp", optimizer="sgd").change(lr=1e4, epochs=3, threads=1, norm="none")
    try:
        run: Run = fit(plan, runs=tmp_path, draw=False)
    except DivergedError as error:
        run = Run(error.run)
    with pytest.raises(DataError, match="lived in memory"):
        treat_plan(run, fit=fit)
    with pytest.raises(DataError, match="is not what it was"):
        treat_plan(run, fit=fit, data=(x**2, y))
    assert treat_plan(run, fit=fit, data=(x, y), remedy="lower_learning_rate", seconds=2).tried


def test_a_signal_stops_the_treatment_and_tells_what_to_go_on_with(too_high: Run) -> None:
    def stopped(_plan: Plan, **_: object) -> Run:
        error = Preempted("stopped", "to go on", "fitwell resume the-child")
        error.signal = 15
        raise error

    run = _copy_with_metrics(too_high, {})
    with pytest.raises(Preempted) as raised:
        treat_plan(run, fit=stopped)
    assert (raised.value.signal, raised.value.fix) == (15, f"fitwell treat {run.name}")
    assert not (run.path / "treatment.json").exists()


def test_a_wrong_remedy_and_a_run_that_goes_on_are_refused(too_high: Run, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no remedy is called 'lower-lerning-rate'"):
        treat_plan(too_high, fit=fit, remedy="lower-lerning-rate")
    with pytest.raises(RunError, match="is preempted"):
        treat_plan(create_run(DIGITS, "digits", tmp_path), fit=fit)
    found = treat_plan(_copy_with_metrics(too_high, {}), fit=_first_child(too_high), remedy="clear_gradients")
    assert found.because.startswith("clear_gradients gives no other plan for what was found: ")


def test_treating_goes_on_with_the_treated_run_until_nothing_helps(
    too_high: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Treatment] = []

    def treat(run: Run, **_: object) -> Treatment:
        (run.path / "treated_plan.json").write_text(DIGITS.change(lr=20.0).to_json())
        answer = "confirmed" if len(told) < 1 else "refuted"
        return Treatment(str(run.path), answer, "told")  # type: ignore[arg-type]

    monkeypatch.setattr(plans, "treat_plan", treat)
    last = treat_again(too_high, fit=partial(fit, draw=False), runs=tmp_path, observe=Quiet, tell=told.append)
    assert [found.answer for found in told] == ["confirmed", "refuted"]
    assert (last.path.parent, last.info["parent"]) == (tmp_path, too_high.name)
    assert told[1].run == str(last.path), "the treated run is treated next"
