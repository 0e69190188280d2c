"""Trials on a Ray cluster: they are what they are here, whatever becomes of the workers."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from fitwell.data.contract import Data
from fitwell.errors import PlanError, Preempted, RunError, StorageError
from fitwell.plan import Plan
from fitwell.run.events import read_events
from fitwell.space import choice
from fitwell.study import StudyRecord, TrialRecord, create_study
from fitwell.tuned import cross_validate, resume_study, tune
from fitwell.tuning.engine import Engine, MakeEngine
from fitwell.tuning.halving import Halving
from fitwell.tuning.keeping import Keeper
from fitwell.tuning.machines import ray as ray_module
from fitwell.tuning.machines.cluster import engines
from fitwell.tuning.trials import Trial

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'fitwell[ray]'"),
    pytest.mark.slow,  # the cluster takes some seconds to start
]
RATES = (0.001, 0.01, 0.03, 0.1)


@pytest.fixture(scope="module")
def on_ray() -> Iterator[MakeEngine]:
    """A cluster of two workers."""
    with engines("local", lambda _text: None, workers=2) as engine:
        yield engine


@pytest.fixture
def study(plan: Callable[..., Plan], digits: Data, tmp_path: Path) -> Callable[[], StudyRecord]:
    """A fresh study."""
    return lambda: create_study(plan(digits), "tune", "digits", tmp_path, metric="val/log_loss")


Given = Callable[..., list[Trial]]


@pytest.fixture
def given(plan: Callable[..., Plan], digits: Data) -> Given:
    """Trials of several rates."""

    def given(rates: Sequence[float] = RATES, parts: Sequence[Data] = (digits,), **same: Any) -> list[Trial]:
        return [
            Trial(
                number, {"lr": rate}, plan(parts[0], **({"epochs": 4} | same)).change(lr=rate), parts, "some"
            )
            for number, rate in enumerate(rates, start=1)
        ]

    return given


def run(engine: Any, trials: list[Trial], going_on: list[Trial] | None = None) -> dict[int, Trial]:
    """Train trials; they as they were told of, by number."""
    waiting, done = list(trials), dict[int, Trial]()

    def ended(trial: Trial) -> None:
        assert trial.number not in done
        done[trial.number] = trial

    engine.run(lambda room: [waiting.pop(0) for _ in range(min(room, len(waiting)))], ended, going_on)
    return done


def records(study: StudyRecord) -> dict[int, TrialRecord]:
    found = {one.number: one for one in study.trials}
    assert len(found) == len(study.trials)  # no number twice
    return found


def scores(done: dict[int, Trial]) -> dict[int, float | None]:
    return {number: trial.score for number, trial in sorted(done.items())}


def epochs(record: TrialRecord) -> list[float]:
    return [event["epoch"] for event in read_events(record.run.events_path)]


def test_trials_are_what_they_are_in_this_process(
    on_ray: MakeEngine, given: Given, study: Callable[[], StudyRecord], digits: Data
) -> None:
    assert digits.validation
    for parts in ((digits,), (digits, replace(digits, train=digits.validation))):
        here, there = study(), study()
        mine = run(Engine(4, 1, Keeper(here)), given(parts=parts))
        theirs = run(on_ray(4, 1, Keeper(there)), given(parts=parts))
        assert scores(theirs) == pytest.approx(scores(mine), rel=1e-6)
        assert {n: trial.latest for n, trial in theirs.items()} == pytest.approx(
            {n: trial.latest for n, trial in mine.items()}, rel=1e-6
        )
        one, other = records(here), records(there)
        assert one.keys() == other.keys() == mine.keys()
        for number, record in one.items():
            assert other[number].state == record.state == "done"
            assert other[number].metrics == pytest.approx(record.metrics, rel=1e-6)
            assert other[number].values == record.values
            assert other[number].plan == record.plan
            assert other[number].verdict == record.verdict
            assert (other[number].path / "model").exists() == (record.path / "model").exists()


def test_what_was_told_of_ended_trials_is_what_was_recorded(
    on_ray: MakeEngine, given: Given, study: Callable[[], StudyRecord]
) -> None:
    halving = Halving()
    halving.remember(8, [(1.0, -1.0)] * 20)  # better than any can be
    there = study()
    done = run(on_ray(2, 1, Keeper(there), halving), [*given(epochs=8), *bad(given)])
    for number, record in records(there).items():
        assert record.epochs == (0 if record.state == "failed" else 1)
        assert (done[number].failed or done[number].stopped) == record.reason
        if record.state == "stopped":
            assert done[number].latest == record.run.curve(ray_module.CURVE)[-1][1]
    assert [record.state for record in records(there).values()] == ["stopped"] * 4 + ["failed"]
    assert len(halving.scores[1, 8]) == 24  # those after will be compared with these, too


def bad(given: Given) -> list[Trial]:
    """One that can't begin."""
    (trial,) = given(rates=(0.01,))
    return [replace(trial, number=5, plan=trial.plan.change(algorithm="nonsense"))]


def workers() -> list[int]:
    """The processes that train a population of this process's cluster."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "cmdline").read_bytes()
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            grandparent = int(Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if name.startswith(b"ray::population") and grandparent == os.getpid():
            found.append(int(process.name))
    return found


def saved(record: TrialRecord) -> int:
    """The epoch of the last checkpoint; 0 if there is none."""
    try:
        state = json.loads((record.path / "checkpoints" / "member-1" / "last" / "state.json").read_bytes())
    except OSError:
        return 0
    return int(state["epoch"])


class Killer(threading.Thread):
    """Kills a worker as soon as trials have ended and others have a checkpoint, and notes how far these were."""

    def __init__(self, study: StudyRecord) -> None:
        super().__init__()
        self.study, self.victim = StudyRecord(study.path), 0
        self.ended: dict[int, float] = {}
        self.saved: dict[int, int] = {}
        self.when = 0.0

    def run(self) -> None:
        late = time.monotonic() + 60
        while time.monotonic() < late and not self.victim:
            found = self.study.trials
            self.ended = {one.number: one.run.info["finished"] for one in found if one.state != "running"}
            self.saved = {one.number: saved(one) for one in found if one.state == "running"}
            if self.ended and all(self.saved.values()) and self.saved and len(found) == len(MIXED):
                self.victim, self.when = workers()[0], time.time()
                os.kill(self.victim, signal.SIGKILL)
            time.sleep(0.02)


MIXED = (3, 400, 3, 400)  # epochs: each of two workers has a trial that ends soon, and one that does not


@pytest.mark.skipif(not Path("/proc").exists(), reason="only Linux tells which processes there are")
def test_a_worker_that_is_killed_loses_no_trial_and_no_more_than_one_interval(
    on_ray: MakeEngine, given: Given, study: Callable[[], StudyRecord]
) -> None:
    def trials() -> list[Trial]:
        made = given()
        order = (0, 2, 1, 3)  # dealt to two workers by turns
        return [replace(made[n], plan=made[n].plan.change(epochs=MIXED[order[n]])) for n in range(4)]

    here, there = study(), study()
    mine = run(Engine(4, 1, Keeper(here)), trials())
    killer = Killer(there)
    killer.start()
    theirs = run(on_ray(4, 1, Keeper(there, every=0.3)), trials())
    killer.join()
    assert killer.victim
    assert scores(theirs) == pytest.approx(scores(mine), rel=1e-4)
    found = records(there)
    assert {record.state for record in found.values()} == {"done"}
    for number, when in killer.ended.items():  # what had ended was let be
        assert found[number].run.info["finished"] == when
    again = 0
    for number, epoch in killer.saved.items():
        events = list(read_events(found[number].run.events_path))
        assert epochs(found[number]) == [float(one) for one in range(1, 401)]
        before = sum(event["time"] <= killer.when for event in events)
        assert before >= epoch  # nothing that was saved is trained again
        pause = max(b["time"] - a["time"] for a, b in itertools.pairwise(events))
        again += pause > 1.0  # until there was another worker
    assert again == 1  # the other worker did not notice


def test_a_trial_that_kills_its_worker_fails_alone(
    on_ray: MakeEngine, given: Given, study: Callable[[], StudyRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_module, "RETRIES", 0)

    def further(trial: Trial) -> dict[str, float]:
        if trial.number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"val/more": float(trial.number)}

    there = study()
    done = run(on_ray(4, 1, Keeper(there, further=further)), given())
    found = records(there)
    assert {number: one.state for number, one in found.items()} == {
        1: "done",
        2: "failed",
        3: "done",
        4: "done",
    }
    assert "its worker died" in found[2].reason
    assert done[2].failed
    assert found[3].metrics["val/more"] == 3.0


def test_ctrl_c_saves_what_is_trained_and_it_goes_on(
    on_ray: MakeEngine, given: Given, study: Callable[[], StudyRecord], digits: Data
) -> None:
    here, there = study(), study()
    long: dict[str, Any] = {"epochs": 800, "rates": RATES[:2]}
    mine = run(Engine(4, 1, Keeper(here)), given(**long))

    def stop() -> None:
        while len([one for one in StudyRecord(there.path).trials if epochs(one)]) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(Preempted) as stopped:
        run(on_ray(4, 1, Keeper(there)), given(**long))  # 15 s between checkpoints
    stopper.join()
    assert stopped.value.signal == signal.SIGINT
    interrupted = records(there)
    assert {one.state for one in interrupted.values()} == {"running"}
    assert all(0 < saved(one) < 800 for one in interrupted.values())
    keeper = Keeper(there)
    going_on = [keeper.take_up(one, [digits]) for one in interrupted.values()]
    done = run(on_ray(4, 1, keeper), [], going_on)
    assert scores(done) == pytest.approx(scores(mine), rel=1e-4)
    assert {tuple(epochs(one)) for one in records(there).values()} == {tuple(map(float, range(1, 801)))}


def test_machines_without_a_common_folder_are_told_of(
    on_ray: MakeEngine, given: Given, study: Callable[[], StudyRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = study()
    engine: Any = on_ray(4, 1, Keeper(there))
    engine.orders = replace(engine.orders, study="/nowhere/study")
    with pytest.raises(RunError, match="does not reach /nowhere/study"):
        run(engine, given())
    assert not there.trials
    monkeypatch.setattr(ray_module, "SEEN", 0.0)
    with pytest.raises(StorageError, match="trial 3 was trained, but is not in"):
        engine._await({3}, lambda _trial: None)


def test_when_the_time_is_over_nothing_more_is_trained(
    on_ray: MakeEngine, given: Given, study: Callable[[], StudyRecord]
) -> None:
    there = study()
    until = time.monotonic() + 3.0
    done = run(on_ray(1, 1, Keeper(there), None, until), given(epochs=100_000, rates=RATES * 2))
    assert time.monotonic() < until + 5.0
    assert set(done) == set(records(there))
    assert len(done) == 2  # one for each worker
    assert all(trial.stopped and trial.stopped.endswith("the time was over") for trial in done.values())


@pytest.mark.usefixtures("on_ray")  # its cluster is used
def test_a_search_on_ray_is_the_search_here(tmp_path: Path) -> None:
    asked = Plan(data="digits").change(
        model="mlp", hidden=(16,), norm="none", dropout=0.0, epochs=3, lr=0.01, threads=1, device="cpu"
    )
    space = {"lr": choice([0.003, 0.03])}
    found = [
        tune(asked, space, method="grid", halving=False, ray=ray, runs=tmp_path / str(ray))
        for ray in ("local", None)
    ]
    first, second = ({one.number: one.score for one in study.trials} for study in found)
    assert first == pytest.approx(second, rel=1e-6)
    one, other = (study.summary["verified"] for study in found)
    for arm in ("best", "default", "seeds"):  # on the cluster, too, and measured there
        assert len(one[arm]) == 5
        assert one[arm] == pytest.approx(other[arm], rel=1e-6)


def test_only_a_search_goes_on_with_ray(tmp_path: Path) -> None:
    asked = Plan(data="iris").change(model="mlp", hidden=(4,), epochs=1, lr=0.01, threads=1, device="cpu")
    study = cross_validate(asked, 2, runs=tmp_path)
    study.update(state="preempted")
    with pytest.raises(PlanError, match="is no search"):
        resume_study(study.path, ray="local")
