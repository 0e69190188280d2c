"""The engine: whoever trains beside whom, in however many processes, each trial is what it would be alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fitwell.data.contract import Data
from fitwell.errors import Preempted
from fitwell.plan import Plan
from fitwell.study import StudyRecord, create_study
from fitwell.tuning import engine as engine_module
from fitwell.tuning.engine import CAREFUL, Engine
from fitwell.tuning.halving import Halving
from fitwell.tuning.keeping import Keeper
from fitwell.tuning.populations.members import Member
from fitwell.tuning.populations.population import Population
from fitwell.tuning.populations.solo import Solo
from fitwell.tuning.populations.team import Team
from fitwell.tuning.trials import DEFAULT, Row, Trial

Given = Callable[..., list[Trial]]
Run = Callable[..., dict[int, Trial]]


@pytest.fixture
def given(plan: Callable[..., Plan], digits: Data) -> Given:
    """Trials, one for each set of changes, numbered from 1."""

    def given(*changes: dict[str, Any], parts: Sequence[Data] = (digits,), **same: Any) -> list[Trial]:
        return [
            Trial(number, each, plan(parts[0], **({"epochs": 3} | same)).change(**each), parts, "random")
            for number, each in enumerate(changes, start=1)
        ]

    return given


@pytest.fixture
def study(plan: Callable[..., Plan], digits: Data, tmp_path: Path) -> Callable[[], StudyRecord]:
    """A fresh study."""
    return lambda: create_study(plan(digits), "tune", "digits", tmp_path, metric="val/log_loss")


@pytest.fixture
def run(study: Callable[[], StudyRecord]) -> Run:
    """Train trials to their end; they by number."""

    def run(trials: list[Trial], size: int = 4, workers: int = 1, **settings: Any) -> dict[int, Trial]:
        waiting, done = list(trials), {}

        def more(room: int) -> list[Trial]:
            return [waiting.pop(0) for _ in range(min(room, len(waiting)))]

        def ended(trial: Trial) -> None:
            done[trial.number] = trial

        Engine(size, workers, Keeper(study(), models=False), **settings).run(more, ended)
        return done

    return run


RATES = tuple({"lr": rate} for rate in (0.001, 0.01, 0.03, 0.1, 0.003, 0.05))


def scores(done: dict[int, Trial]) -> dict[int, float | None]:
    return {number: trial.score for number, trial in sorted(done.items())}


@pytest.mark.parametrize(("size", "workers"), [(1, 1), (6, 1), (2, 2), (1, 3), (4, 2)])
def test_the_scores_are_the_same_however_they_are_trained(
    size: int, workers: int, run: Run, given: Given, tools
) -> None:
    changes = [each | {"hidden": (8 + 4 * number,)} for number, each in enumerate(RATES)]
    done = run(given(*changes, dropout=0.2), size, workers)
    assert sorted(done) == [1, 2, 3, 4, 5, 6]
    for trial in done.values():
        job, rows = tools.alone(trial.members[0])
        kept = rows[job.best_epoch - 1]
        assert trial.figures["val/loss"] == pytest.approx(kept["loss/val"], rel=1e-5)
        assert trial.epochs == 3


def test_the_process_keeps_its_threads(run: Run, given: Given) -> None:
    import torch

    torch.set_num_threads(2)
    run(given(*RATES[:2]), 1, 2)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("size", "workers"), [(1, 1), (2, 1), (2, 2)])
def test_there_are_never_more_members_than_slots(
    size: int, workers: int, run: Run, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = watched(monkeypatch)
    run(given(*({"lr": 0.01, "epochs": epochs} for epochs in (1, 4, 2, 3, 1, 2, 5))), size, workers)
    assert max(counts) == size * workers
    assert sum(counts) == 1 + 4 + 2 + 3 + 1 + 2 + 5


def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many members trained in each epoch."""
    counts: list[int] = []
    end_epoch = Engine._end_epoch

    def counting(self: Engine, members: list[Member], rows: Any) -> None:
        counts.append(len(members))
        end_epoch(self, members, rows)

    monkeypatch.setattr(Engine, "_end_epoch", counting)
    return counts


def test_those_that_end_early_make_room_at_once(
    run: Run, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = watched(monkeypatch)
    # The first has no patience and gets worse; the second trains on; the third takes the place of the first.
    bad = {"lr": 3.0, "patience": 1, "epochs": 12}
    done = run(given(bad, {"lr": 0.01, "epochs": 12}, {"lr": 0.01, "epochs": 2}), 2)
    early = done[1].epochs
    assert early < 10
    assert counts == [2] * (early + 2) + [1] * (12 - early - 2)
    assert list(done) == [1, 3, 2]


def test_with_folds_a_trial_takes_a_slot_for_each(
    run: Run, given: Given, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = watched(monkeypatch)
    done = run(given(*RATES[:3], parts=(digits, digits, digits), epochs=2), 4)
    assert max(counts) <= 6, "the second trial is begun when a slot is free, not a third one"
    assert {len(trial.members) for trial in done.values()} == {3}
    for trial in done.values():  # the folds are the same here
        assert trial.score == pytest.approx(trial.members[0].best, rel=1e-6)


def test_a_fold_that_has_ended_waits_without_a_new_arrangement_each_epoch(
    run: Run, given: Given, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    arranged: list[int] = []
    team = engine_module.team

    def counting(members: Any, *rest: Any) -> Team:
        arranged.append(len(members))
        return team(members, *rest)

    def patience(trial: Trial) -> list[Trial]:
        begin = trial.begin

        def first_is_short() -> None:
            begin()
            trial.members[0].job.epochs = 2

        trial.begin = first_is_short  # type: ignore[method-assign]
        return [trial]

    monkeypatch.setattr(engine_module, "team", counting)
    run(patience(given({}, parts=(digits, digits), epochs=8)[0]), 2)
    assert arranged == [2, 1, 0]


def test_who_diverges_fails_and_the_others_do_not_notice(run: Run, given: Given) -> None:
    good = [{"lr": 0.01}, {"lr": 0.02}, {"lr": 0.03}]
    bad = {"lr": 1e6, "algorithm": "sgd"}
    # Beside another that leaves at the same time: sums depend on how many there are, in their last bit.
    alone = run(given(*good, {"epochs": 1}, algorithm="sgd", clip=None))
    alone.pop(4)
    beside = run(given(*good, bad, algorithm="sgd", clip=None))
    failed = beside.pop(4)
    assert (failed.failed or "").startswith("the loss became")
    assert failed.score is None
    assert scores(alone) == scores(beside)
    for number, trial in alone.items():
        assert trial.rows == beside[number].rows


def test_what_can_not_begin_fails_and_the_next_takes_its_place(run: Run, given: Given) -> None:
    done = run(given({"algorithm": "nope"}, {}, {"algorithm": "nope either"}, {}), 1)
    assert [number for number, trial in done.items() if trial.failed] == [1, 3]
    assert done[2].score == done[4].score is not None


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_one_alone_is_its_end_and_in_a_population_that_of_all(
    workers: int, run: Run, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = Solo.epoch

    def failing(self: Solo) -> list[dict[str, float]]:
        if self.members[0].job.plan.optimizer.lr == 0.01:
            raise RuntimeError("not enough memory")
        return epoch(self)

    monkeypatch.setattr(Solo, "epoch", failing)
    done = run(given(*RATES[:3], precision="bf16"), 2, workers)
    assert [trial.failed for _, trial in sorted(done.items())] == [
        None,
        "RuntimeError: not enough memory",
        None,
    ]

    def broken(_self: Population) -> list[dict[str, float]]:
        raise RuntimeError("of all")

    monkeypatch.setattr(Population, "epoch", broken)
    with pytest.raises(RuntimeError, match="of all"):
        run(given(*RATES[:4]), 2, workers)
    assert multiprocessing.active_children() == []


def test_a_thing_is_said_once(run: Run, given: Given) -> None:
    said: list[str] = []
    run(given(*RATES[:3], precision="bf16"), 1, say=said.append)
    assert said == ["trained alone: bf16 is rounded differently in a stack"]


def test_the_worse_are_given_up_and_others_take_their_place(
    run: Run, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = watched(monkeypatch)
    rates = [{"lr": rate} for rate in (0.03, 1e-6, 0.03, 1e-6, 1e-6, 1e-6)]
    done = run(given(*rates, epochs=8), 2, halving=Halving())
    assert [bool(trial.stopped) for _, trial in sorted(done.items())] == [
        False,
        True,
        False,
        True,
        True,
        True,
    ]
    assert all(trial.epochs in ((1, 2, 4) if trial.stopped else (8,)) for trial in done.values())
    assert counts[:4] == [2] * 4


def test_when_the_time_is_over_nothing_trains_on(run: Run, given: Given) -> None:
    assert run(given(*RATES), until=time.monotonic()) == {}
    said: list[str] = []
    begin = time.monotonic()
    done = run(given({"epochs": 100_000}), until=begin + 0.5, say=said.append)
    assert time.monotonic() - begin < 3
    assert "the time was over" in (done[1].stopped or "")
    assert done[1].score is not None


def test_what_would_not_end_in_time_is_not_begun(run: Run, given: Given) -> None:
    said: list[str] = []
    # One epoch tells what another hundred thousand would take.
    done = run(given({"epochs": 1}, {"epochs": 100_000}), 1, until=time.monotonic() + 2, say=said.append)
    assert list(done) == [1]
    assert said == ["there is no time for another trial"]


def test_no_trial_begins_after_its_time_but_those_that_have_go_on(run: Run, given: Given) -> None:
    trials = given({"epochs": 5}, {})
    begin = trials[0].begin

    def slow() -> None:
        begin()
        time.sleep(0.4)

    trials[0].begin = slow  # type: ignore[method-assign]
    done = run(trials, 1, begin_until=time.monotonic() + 0.3)
    assert list(done) == [1]
    assert (done[1].stopped, done[1].epochs) == (None, 5)


def test_no_more_trials_begin_than_are_through_when_others_are_to_begin(
    run: Run, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second each, as far as is known; when they turn out to be faster, the others follow."""
    counts, trials, said = watched(monkeypatch), given(*({} for _ in range(6)), epochs=4), list[str]()
    trials[0].stage = DEFAULT
    now = time.monotonic()
    settings = {"begin_until": now + 2.5, "until": now + 60, "pace": 0.25 / CAREFUL, "say": said.append}
    done = run(trials, 8, **settings)
    assert counts[:2] == [2, 6]
    assert len(done) == 6
    assert said == []


@pytest.mark.parametrize(("members", "share"), [(1, 0.5), (2, 0.5), (4, 0.25)])
def test_the_pace_is_that_of_all_workers(
    members: int, share: float, study: Callable[[], StudyRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that trains alone has one of two cores: else it looked as if there were no time for another."""

    def epoch() -> list[Row]:
        time.sleep(0.2)
        return []

    monkeypatch.setattr(Engine, "_end_epoch", lambda *_: None)
    engine = Engine(4, 2, Keeper(study(), models=False))
    engine.team = cast(Team, SimpleNamespace(members=[None] * members, epoch=epoch, dismiss=list))
    engine._train()
    assert 0.2 * share <= engine.pace < 0.35 * share


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_a_signal_ends_the_epoch_saves_all_and_it_goes_on_from_there(
    number: int, workers: int, study: Callable[[], StudyRecord], given: Given, run: Run
) -> None:
    expected = run(given(*RATES[:3], epochs=6, dropout=0.2))
    record, waiting = study(), given(*RATES[:3], epochs=6, dropout=0.2)
    parts = waiting[0].parts
    keeper = Keeper(record, models=False)
    epoch, ended = keeper.epoch, {}

    def signalled(trial: Trial) -> None:
        epoch(trial)
        if trial.number == 2 and trial.epochs == 3:
            os.kill(os.getpid(), number)

    keeper.epoch = signalled  # type: ignore[method-assign]

    def more(room: int) -> list[Trial]:
        return [waiting.pop(0) for _ in range(min(room, len(waiting)))]

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Preempted) as stopped:
        Engine(4, workers, keeper).run(more, lambda trial: ended.update({trial.number: trial}))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert stopped.value.signal == number
    assert stopped.value.fix == f"fitwell resume {record.name}"
    assert ended == {}
    again = Keeper(record, models=False)
    going_on = [again.take_up(one, parts) for one in record.trials]
    assert [trial.epochs for trial in going_on] == [3, 3, 3]
    Engine(4, workers, again).run(
        lambda _room: [], lambda trial: ended.update({trial.number: trial}), going_on
    )
    assert scores(ended) == pytest.approx(scores(expected), rel=1e-6)
    for key, trial in ended.items():
        assert [row.keys() for row in trial.rows] == [row.keys() for row in expected[key].rows]
    assert [len(one.run.curve("loss/val")) for one in record.trials] == [6, 6, 6]


def test_one_that_was_interrupted_and_can_not_be_made_again_fails(
    study: Callable[[], StudyRecord], given: Given
) -> None:
    record = study()
    Keeper(record).begin(given({"algorithm": "nope"})[0])
    keeper, ended = Keeper(record), []
    going_on = [keeper.take_up(one, given({})[0].parts) for one in record.trials]
    Engine(1, 1, keeper).run(lambda _room: [], ended.append, going_on)
    assert "nope" in ended[0].failed
    assert [one.state for one in record.trials] == ["failed"]
