"""A search: what is proposed is trained once, told once, and kept, also across interruptions."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fitwell.data.contract import Data
from fitwell.plan import Plan
from fitwell.space import Space, choice, identity, integer, loguniform
from fitwell.study import StudyRecord, TrialRecord, create_study
from fitwell.tuning import keeping, searching
from fitwell.tuning.engine import Engine
from fitwell.tuning.halving import Halving
from fitwell.tuning.kinds import Course
from fitwell.tuning.methods import Method, method
from fitwell.tuning.searching import Search
from fitwell.tuning.setting import Setting
from fitwell.tuning.trials import DEFAULT

SPACE = Space.of({"lr": loguniform(0.001, 0.1), "hidden": choice([8], [12, 8])})


class Killed(BaseException):
    """SIGKILL."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:  # the operating system survives, so nothing is lost
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


@dataclass
class Seen:
    """An observer that remembers, and dies at a trial."""

    killed_at: int = 0
    metric: str = ""
    said: list[str] = field(default_factory=list)
    trials: list[tuple[int, float | None]] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def trial(self, told: TrialRecord, best: float | None = None) -> None:
        self.trials.append((told.number, best))
        if len(self.trials) == self.killed_at:
            raise Killed


@dataclass
class Made:
    """A study with what searches it."""

    study: StudyRecord
    setting: Setting
    seen: Seen

    def search(self, seconds: float = math.inf, halve: bool = False) -> Search:
        until = time.monotonic() + seconds
        return Search(Course(self.study, self.setting, until, self.seen), [self.setting.data], until, halve)

    def again(self) -> Made:
        """The same study, read anew, with another observer."""
        return Made(StudyRecord(self.study.path), self.setting, Seen())

    def of(self, stage: str) -> list[TrialRecord]:
        return [one for one in self.study.trials if one.stage == stage]

    @property
    def scores(self) -> dict[int, tuple[Any, float | None]]:
        return {one.number: (one.values, one.score) for one in self.study.trials}


@pytest.fixture
def made(plan: Callable[..., Plan], digits: Data, tmp_path: Path) -> Callable[..., Made]:
    """A fresh study of digits."""

    def made(size: int = 3, killed_at: int = 0, data: Data = digits, few: int = 32, **changes: Any) -> Made:
        decided = plan(data, **({"epochs": 2, "lr": 0.01} | changes))
        setting = Setting(decided, data, size, few=few, workers=1, pace=0.0, reasons={})
        study = create_study(decided, "tune", "digits", tmp_path, **setting.document)
        return Made(study, setting, Seen(killed_at))

    return made


@pytest.mark.parametrize("name", ["random", "bayes", "grid"])
def test_so_many_trials_each_once_each_in_the_space(name: str, made: Callable[..., Made]) -> None:
    one = made()
    one.search().whole(name, SPACE, 5)
    default, *tried = one.study.trials
    assert (default.number, default.values, default.stage) == (1, {}, DEFAULT)
    assert default.plan == one.setting.plan
    extended = [note for note in one.study.notes if "extended" in note]
    assert [each.number for each in tried] == list(range(2, 2 + len(tried)))
    assert len(tried) == 5 + 2 * len(extended)
    assert all(SPACE.contains({"lr": 0.01} | {"hidden": each.values["hidden"]}) for each in tried)
    assert all(SPACE.contains(each.values) for each in tried[:5])
    assert len({identity(each.values) for each in tried}) == len(tried)
    assert sorted(number for number, _ in one.seen.trials) == [each.number for each in one.study.trials]
    (stage,) = one.study.stages
    assert stage["trials"] == [each.number for each in tried]
    assert stage["best"] == one.study.best.number


def test_the_best_so_far_is_told_with_each_trial(made: Callable[..., Made]) -> None:
    one = made()
    one.search().whole("random", SPACE, 4)
    scores = {each.number: each.score for each in one.study.trials}
    so_far = math.inf
    for number, best in one.seen.trials:
        so_far = min(so_far, scores[number])
        assert best == so_far


@pytest.mark.parametrize(
    ("name", "space", "count"),
    [
        ("grid", {"hidden": [[8], [12]], "lr": [0.01, 0.03, 0.1]}, 6),
        ("random", {"hidden": [[8], [12]], "epochs": integer(1, 3)}, 6),
        ("bayes", {"hidden": [[8], [12]], "algorithm": ["sgd", "adamw"]}, 4),
        ("grid", {"algorithm": ["adamw", "sgd"], "momentum": choice(0.0, 0.9, when={"algorithm": "sgd"})}, 3),
    ],
)
def test_a_finite_space_has_an_end(
    name: str, space: dict[str, Any], count: int, made: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "EXTENSIONS", 0)
    one = made()
    one.search().whole(name, Space.of(space), 100)
    tried = one.of(name)
    assert len(tried) == count == len({identity(each.values) for each in tried})
    for each in tried:
        assert (each.state, each.plan) == ("done", one.setting.plan.change(**each.values))


def test_the_values_and_scores_do_not_depend_on_who_trains_together(made: Callable[..., Made]) -> None:
    found = []
    for size in (1, 4):
        one = made(size)
        one.search().whole("random", SPACE, 5)
        found.append(one.scores)
    first, second = found
    assert {number: values for number, (values, _) in first.items()} == {
        number: values for number, (values, _) in second.items()
    }
    for number, (_, score) in first.items():
        assert second[number][1] == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "killed_at", "saving"),
    [("random", 1, True), ("random", 4, True), ("random", 2, False), ("grid", 3, True)],
)
def test_after_a_kill_it_ends_as_if_there_had_been_none(
    name: str, killed_at: int, saving: bool, made: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    if saving:
        monkeypatch.setattr(keeping, "SAVE_SECONDS", 0.0)
        monkeypatch.setattr(keeping, "SAVE_SHARE", 0)
    whole = made()
    whole.search().whole(name, SPACE, 6)
    cut = made(killed_at=killed_at)
    with pytest.raises(Killed):
        cut.search().whole(name, SPACE, 6)
    ended = {one.number: (one.path / "run.json") for one in cut.study.trials if one.state == "done"}
    assert len(ended) >= killed_at
    before = {number: (path.read_bytes(), path.stat().st_mtime_ns) for number, path in ended.items()}
    again = cut.again()
    again.search().whole(name, SPACE, 6)
    after = {number: (path.read_bytes(), path.stat().st_mtime_ns) for number, path in ended.items()}
    assert after == before, "what had ended was not touched"
    assert Counter(one.number for one in again.study.trials).most_common(1)[0][1] == 1
    assert again.scores.keys() == whole.scores.keys()
    for number, (values, score) in whole.scores.items():
        assert again.scores[number][0] == values
        assert again.scores[number][1] == pytest.approx(score, abs=1e-6)
    assert again.study.stages == whole.study.stages
    assert again.study.notes == whole.study.notes
    assert not any(number in ended for number, _ in again.seen.trials)


def test_bayes_goes_on_with_what_it_knows(made: Callable[..., Made]) -> None:
    cut = made(killed_at=5)
    with pytest.raises(Killed):
        cut.search().whole("bayes", SPACE, 12)
    again = cut.again()
    again.search().whole("bayes", SPACE, 12)
    tried = again.of("bayes")
    assert len(tried) == 12 + 3 * len(again.study.notes)
    assert len({identity(each.values) for each in tried}) == len(tried)
    assert [each.number for each in again.study.trials] == list(range(1, len(tried) + 2))


class Spy:
    """A searcher that keeps account."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.asked: list[str] = []
        self.told: list[tuple[str, float | None]] = []

    def ask(self, count: int, /) -> list[dict[str, Any]]:
        found = self.real.ask(count)
        self.asked += map(identity, found)
        return found

    def tell(self, values: Mapping[str, Any], score: float | None, /, after: int | None = None) -> None:
        self.told.append((identity(values), score))
        self.real.tell(values, score, after=after)


@pytest.fixture
def spies(monkeypatch: pytest.MonkeyPatch) -> list[Spy]:
    found: list[Spy] = []

    def spying(name: str) -> Method:
        real = method(name)

        def searcher(space: Space, seed: int) -> Spy:
            found.append(Spy(real.searcher(space, seed)))
            return found[-1]

        return Method(real.says, searcher, real.at_once)

    monkeypatch.setattr(searching, "method", spying)
    return found


def test_of_every_proposal_it_is_told_how_it_ended(made: Callable[..., Made], spies: list[Spy]) -> None:
    one = made(4)
    one.search(halve=True).staged(24)
    assert len(spies) >= 5
    assert all(spy.asked and {*spy.asked} <= {key for key, _ in spy.told} for spy in spies)
    assert all(score is None or score >= 0 for spy in spies for _, score in spy.told)


@pytest.mark.parametrize(("few", "hands", "most"), [(32, 2, 12), (32, 20, 20), (3, 2, 3), (1, 2, 2)])
def test_a_method_that_learns_has_few_at_work_but_no_core_is_idle(
    few: int, hands: int, most: int, made: Any, monkeypatch: Any
) -> None:
    at_work, train = set[int](), Engine._train
    monkeypatch.setattr(Engine, "_train", lambda self: at_work.add(len(self.running)) or train(self))
    monkeypatch.setattr(Engine, "hands", hands)
    made(32, few=few).search().whole("bayes", SPACE, 30)
    assert max(at_work) == most + 1, "beside the plan itself"


def test_what_fails_is_told_as_failed_and_the_rest_goes_on(
    made: Callable[..., Made], spies: list[Spy]
) -> None:
    one = made()
    space = Space.of({"algorithm": ["adamw", "nope", "sgd"], "lr": [0.01, 0.03]})
    one.search().whole("grid", space, None)
    states = Counter((each.values["algorithm"], each.state) for each in one.of("grid"))
    assert states == {("adamw", "done"): 2, ("nope", "failed"): 2, ("sgd", "done"): 2}
    reasons = {each.reason for each in one.study.trials if each.state == "failed"}
    assert reasons == {"there is no optimizer 'nope'"}
    failed = [score for key, score in spies[0].told if "nope" in key]
    assert failed == [None, None]


@pytest.mark.parametrize(("trials", "first"), [(None, 3), (3, 3), (100, 3)])
def test_where_the_best_lies_at_the_edge_the_range_is_extended(
    trials: int | None, first: int, made: Callable[..., Made]
) -> None:
    # All of these rates are far too low: the highest is the best.
    one = made(lr=1e-5)
    space = Space.of({"lr": loguniform(1e-5, 1e-4)})
    one.search().whole("grid", space, trials)
    notes = one.study.notes
    assert notes[0] == (
        "the best lr, 0.0001, lies at the edge of its range 1e-05 to 0.0001: the range was extended to 1e-05 to 0.001"
    )
    assert len(notes) == 2
    assert set(notes) <= set(one.seen.said)
    tried = one.of("grid")
    assert max(each.values["lr"] for each in tried[:first]) == 1e-4
    assert one.study.best.values["lr"] > 5e-4
    (stage,) = one.study.stages
    assert stage["space"]["lr"] == {"low": 1e-5, "high": pytest.approx(0.1), "log": True}
    assert stage["trials"] == [each.number for each in tried]


def test_a_best_value_inside_leaves_the_range_as_it_is(made: Callable[..., Made]) -> None:
    one = made()
    one.search().whole(
        "grid", Space.of({"lr": loguniform(1e-4, 2.0)}), None
    )  # the middle one of three is fair
    assert one.study.notes == []
    assert len(one.of("grid")) == 3
    assert one.study.stages[0]["space"] == {"lr": {"low": 1e-4, "high": 2.0, "log": True}}


def test_an_extension_that_was_interrupted_is_not_noted_twice(made: Callable[..., Made]) -> None:
    space = Space.of({"lr": loguniform(1e-5, 1e-4)})
    whole = made(lr=1e-5)
    whole.search().whole("grid", space, None)
    cut = made(1, killed_at=5, lr=1e-5)  # the default, three, and one of the extension
    with pytest.raises(Killed):
        cut.search().whole("grid", space, None)
    assert len(cut.study.notes) == 1
    again = cut.again()
    again.search().whole("grid", space, None)
    assert again.study.notes == whole.study.notes
    assert again.study.stages == whole.study.stages
    for number, (values, score) in whole.scores.items():
        assert again.scores[number] == (values, pytest.approx(score, abs=1e-6))
    numbers = [each.number for each in again.study.trials]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_stages_come_in_order_and_each_begins_with_the_best_so_far(made: Callable[..., Made]) -> None:
    one = made(4)
    one.search().staged(20)
    stages = one.study.stages
    assert [stage["name"] for stage in stages] == [
        "rate",
        "architecture",
        "batch",
        "regularisation",
        "optimizer",
    ]
    best = one.of(DEFAULT)[0]
    for stage in stages:
        own = one.of(stage["name"])
        assert [each.number for each in own] == stage["trials"] != []
        carried = {name: value for name, value in best.values.items() if name not in stage["space"]}
        for each in own:
            assert carried.items() <= each.values.items()
            changed = best.plan.change(**{k: v for k, v in each.values.items() if k in stage["space"]})
            assert each.plan == changed
        best = min([best, *own], key=lambda each: each.score)
        assert stage["best"] == best.number
        assert stage["found"].startswith("better with" if best in own else "nothing better")
    assert one.search().best().number == best.number


def test_stages_that_are_done_are_not_searched_again(made: Callable[..., Made]) -> None:
    whole = made(4)
    whole.search().staged(12)
    at = 1 + len(whole.study.stages[0]["trials"]) + 2
    cut = made(4, killed_at=at)
    with pytest.raises(Killed):
        cut.search().staged(12)
    first = cut.study.stages
    assert [stage["name"] for stage in first] == ["rate"]
    again = cut.again()
    again.search().staged(12)
    assert again.study.stages[0] == first[0] == whole.study.stages[0]
    assert [stage["name"] for stage in again.study.stages] == [stage["name"] for stage in whole.study.stages]
    numbers = [each.number for each in again.study.trials]
    assert numbers == list(range(1, len(numbers) + 1))


def test_with_halving_the_default_is_trained_to_its_end(made: Callable[..., Made]) -> None:
    one = made(4, epochs=8, lr=1e-6)  # it is the worst of all
    one.search(halve=True).whole("grid", Space.of({"lr": [1e-2, 2e-2, 1e-6, 1e-7, 3e-2]}), None)
    default, *others = one.study.trials
    assert (default.state, default.epochs) == ("done", 8)
    assert Counter(each.state for each in others)["stopped"] >= 2
    assert one.search().best().state == "done"


def test_the_rungs_are_known_again_after_an_interruption(
    made: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Space.of({"lr": [3e-2, 2e-2, 1e-2, 1e-6, 1e-7]})
    cut = made(1, killed_at=3, epochs=8)
    with pytest.raises(Killed):
        cut.search(halve=True).whole("grid", space, None)
    known: list[Halving] = []
    run = Engine.run

    def spying(self: Engine, *given: Any) -> None:
        assert self.halving is not None
        known.append(Halving({rung: list(scores) for rung, scores in self.halving.scores.items()}))
        run(self, *given)

    monkeypatch.setattr(Engine, "run", spying)
    again = cut.again()
    again.search(halve=True).whole("grid", space, None)
    assert len(known[0].scores[1, 8]) == 2
    assert [each.state for each in again.of("grid")][3:] == ["stopped", "stopped"]


def test_when_the_time_is_over_there_is_still_something(made: Callable[..., Made]) -> None:
    one = made(epochs=3)
    begin = time.monotonic()
    one.search(seconds=1.5).whole("random", SPACE, None)
    assert time.monotonic() - begin < 6
    assert [one.of(DEFAULT)[0].state, len(one.of("random")) > 1] == ["done", True]


def test_in_stages_the_time_is_shared(made: Callable[..., Made]) -> None:
    one = made(4, epochs=1)
    one.search(seconds=3).staged(math.inf)
    assert [stage["name"] for stage in one.study.stages][:3] == ["rate", "architecture", "batch"]
