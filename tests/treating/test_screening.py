"""What one training with a remedy tells."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fitwell.run import create_run
from fitwell.treating.candidates import Candidate
from fitwell.treating.reruns.changed import AS_IT_IS
from fitwell.treating.screening import Screened, figure, on_top, screened, uncovered, value_text
from fitwell.treatment import Outcome


@pytest.fixture
def made(tmp_path: Path) -> Any:
    def make(accuracy: float | None, *findings: str, failed: str | None = None) -> Outcome:
        run = create_run(None, "train", tmp_path)
        run.update(result={"findings": [{"name": name} for name in findings]})
        metrics = {} if accuracy is None else {"val/accuracy": accuracy}
        return Outcome(str(run.path), 0, metrics, findings, failed=failed)

    return make


def tried(
    found: Outcome, control: Outcome, finding: str = "gradients-not-cleared", proves: bool = True
) -> Screened:
    rule = SimpleNamespace(proves=proves, kind="bug")
    about: Any = SimpleNamespace(name=finding, rule=rule, follows_from=None, severity="error")
    view: Any = None
    return screened(Candidate(about, view, "clear_gradients", {}), AS_IT_IS, "patch", found, control)


def test_a_proved_bug_that_is_gone_is_mended_and_a_suspicion_is_not(made: Any) -> None:
    control, found = made(0.5, "gradients-not-cleared"), made(0.5)
    assert tried(found, control).mends
    assert tried(found, control).promises
    assert not tried(found, control, proves=False).mends
    assert not tried(control, control).mends
    assert not tried(found, made(0.5)).mends  # it never was there


def test_what_is_better_promises(made: Any) -> None:
    control = made(0.5)
    assert tried(made(0.8), control).promises
    assert not tried(made(0.5), control).promises
    assert not tried(made(0.3), control).promises
    assert tried(made(0.999), control).perfect


def test_a_training_that_fails_is_worst(made: Any) -> None:
    control = made(0.5)
    failed = tried(made(None, failed="ValueError: no"), control)
    assert failed.gain < 0
    assert failed.good == float("-inf")
    assert failed.tried.because == "ValueError: no"
    assert tried(made(0.1), made(None, failed="ValueError")).order > tried(made(0.4), made(0.5)).order


def test_what_a_remedy_uncovers_is_new_since_its_finding_is_gone(made: Any) -> None:
    control, found = made(0.5, "dead-units"), made(0.6, "learning-rate-too-low")
    assert uncovered(tried(found, control, "dead-units"), control) == {"learning-rate-too-low"}
    assert uncovered(tried(control, control, "dead-units"), control) == set()


def test_two_remedies_are_told_as_one(made: Any) -> None:
    control = made(0.5)
    first, second = tried(made(0.6), control), tried(made(0.7), control)
    both = on_top(second, first)
    assert both.tried.remedy == "clear_gradients + clear_gradients"
    assert both.on == (first.candidate,)
    assert figure(both, control) == "val/accuracy 0.7 (was 0.5)"
    assert value_text(made(None, failed="it was stopped"), None) == "it was stopped"
