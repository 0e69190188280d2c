"""Search: proposals of a method become trials, stage by stage, and what was found is told and kept.

A study that was interrupted is searched again in the same way: what it holds already is not trained again.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitwell.data.contract import Data
from fitwell.plan import Plan
from fitwell.space import Space, identity
from fitwell.study import TrialRecord
from fitwell.tuning.halving import Halving
from fitwell.tuning.keeping import Keeper
from fitwell.tuning.kinds import Course
from fitwell.tuning.methods import Method, Searcher, method
from fitwell.tuning.populations.measuring import OBJECTIVE, objective_of
from fitwell.tuning.proposed import Proposed, of_space
from fitwell.tuning.stages import Stage, stages
from fitwell.tuning.trials import DEFAULT, Trial

LEAST_TRIALS = 2.5  # whole trainings that a stage is worth: some more trials, if half of them are given up
EXTENSIONS = 2  # of a range whose best value lies at its edge
EXTENDED = 0.25  # of a stage's trials are added for that


@dataclass
class Search:
    """A search under way.

    Args:
        course: of the study: where it is recorded, data and plan, who is shown the progress.
        parts: the data that each trial is trained on: the setting's, or folds.
        until: when nothing more is tried, on the monotonic clock.
        halve: whether the worse trials are given up early.
    """

    course: Course
    parts: Sequence[Data]
    until: float
    halve: bool

    def __post_init__(self) -> None:
        self.study, self.setting, self.say = self.course.study, self.course.setting, self.course.observer.say
        self.notes: list[str] = self.study.notes

    def staged(self, trials: float) -> None:
        """Search in the order of the usual guide: each stage begins with the best plan so far."""
        told = self.study.stages  # some, if the study was interrupted
        done = {stage["name"] for stage in told}
        left = [name for name in self._affordable() if name not in done]
        while left and time.monotonic() < self.until:
            now = {stage.name: stage for stage in self._stages(left[0])}
            stage, rest = now.get(left[0]), sum(now[name].share for name in left if name in now)
            del left[0]
            if stage is None:  # there is nothing left to vary in it
                continue
            if time.monotonic() + self.setting.trial_seconds > self.until:
                self.say(f"there is no time for {stage.name}")
                break
            begin_until = time.monotonic() + stage.share / rest * (self.until - time.monotonic())
            self.say(f"{stage.name}: {stage.why}")
            count = max(1, round(stage.share * trials)) if math.isfinite(trials) else math.inf
            told.append(self._stage(stage, count, begin_until))
            self.study.write(stages=told, notes=self.notes)

    def _affordable(self) -> list[str]:
        """The names of the first stages, as many as there is time for."""
        every = self._stages()
        trials = (self.until - time.monotonic()) / max(self.setting.trial_seconds, 1e-9)
        for count in range(len(every), 1, -1):
            total = sum(stage.share for stage in every[:count])
            if min(stage.share for stage in every[:count]) / total * trials >= LEAST_TRIALS:
                break
        else:
            count = 1
        if count < len(every):
            told = ", ".join(stage.name for stage in every[:count])
            self.say(f"the time is enough for about {max(1, trials):.0f} whole trainings: {told} alone")
        return [stage.name for stage in every[:count]]

    def whole(self, name: str, space: Space, trials: int | None) -> None:
        """Search a space by one method."""
        stage = Stage(name, method(name).says, space, name, 1.0)
        told = self._stage(stage, trials or math.inf, self.until)
        self.study.write(stages=[told], notes=self.notes)

    def best(self, before: str | None = None) -> TrialRecord | None:
        """The best trial so far, or before a stage; the default if nothing is better."""
        found = self.study.ranked()
        if before is not None:
            stages_before = self._names_before(before)
            found = [one for one in found if one.stage in stages_before]
        return found[0] if found else None

    def _names_before(self, name: str) -> set[str]:
        told = [stage["name"] for stage in self.study.stages]
        return {DEFAULT, *(told[: told.index(name)] if name in told else told)}

    def _stages(self, before: str | None = None) -> list[Stage]:
        best = self.best(before)
        plan = best.plan if best else self.setting.plan
        return stages(plan, self.setting.data.shape, len(self.setting.data.train))

    def _stage(self, stage: Stage, count: float, begin_until: float) -> dict[str, Any]:
        """Search one stage; a range with its best value at the edge is extended."""
        before = self.best(stage.name)
        base = before.plan if before else self.setting.plan
        space, times = stage.space.check(base), 0
        left = self.study.document.get("extended") or {}
        if left.get("stage") == stage.name:  # the study was interrupted after that
            space, times, count = Space.from_dict(left["space"]), left["times"], left["count"] or math.inf
        while True:
            self._train(stage, base, space, (count, begin_until), self.setting.plan.seed + min(times, 1))
            wider = self._wider(stage, space, base)
            if wider is space or times == EXTENSIONS or time.monotonic() >= begin_until:
                return self._told(stage, space)
            self._note(space, wider)
            space, times = wider, times + 1
            count += max(2, round(EXTENDED * min(count, len(self._recorded(stage.name)))))
            left = {"stage": stage.name, "space": space.to_dict(), "times": times}
            self.study.write(
                notes=self.notes, extended=left | {"count": count if math.isfinite(count) else None}
            )

    def _wider(self, stage: Stage, space: Space, base: Plan) -> Space:
        """The space with the ranges extended at whose edges the best value lies; itself if there are none."""
        best = self.best()
        if best is None or best.stage != stage.name:
            return space
        return space.extended(space.at_edge(of_space(space, best.values)), base)

    def _note(self, space: Space, wider: Space) -> None:
        best = self.best()
        for (name, old), new in zip(space.to_dict().items(), wider.to_dict().values(), strict=True):
            if best is not None and old != new:
                text = (
                    f"the best {name}, {_short(best.values[name])}, lies at the edge of its range "
                    f"{_range(old)}: the range was extended to {_range(new)}"
                )
                self.notes.append(text)
                self.say(text)

    def _told(self, stage: Stage, space: Space) -> dict[str, Any]:
        own, best = self._recorded(stage.name), self.best()
        inside = best is not None and best.stage == stage.name
        shown = ", ".join(f"{k} {_short(v)}" for k, v in best.values.items()) if best and inside else ""
        found = f"better with {shown}" if inside else "nothing better than before"
        self.say(f"{stage.name}: {found}")
        return {
            "name": stage.name, "why": stage.why, "space": space.to_dict(),
            "trials": [one.number for one in own], "best": best.number if best else None, "found": found,
        }  # fmt: skip

    def _recorded(self, stage: str) -> list[TrialRecord]:
        return [one for one in self.study.trials if one.stage == stage]

    def _train(self, stage: Stage, base: Plan, space: Space, until: tuple[float, float], seed: int) -> None:
        """Train proposals until the stage has so many trials, or its time is over; first of all the plan itself."""
        (count, begin_until), chosen = until, method(stage.method)
        searcher, name = chosen.searcher(space, seed), stage.name
        recorded, before = self._recorded(name), self.best(name)
        carried = dict(before.values) if before else {}
        if before:
            searcher.tell(of_space(space, _settings(base)), self._internal(before))
        self._tell(searcher, space, recorded)
        default = self._recorded(DEFAULT)
        running = [one for one in (*default, *recorded) if one.state == "running"]
        keeper, halving = Keeper(self.study), _halving(recorded) if self.halve else None
        engine = self.course.engine(
            self.setting.size, self.setting.workers, keeper, halving, self.until, self.say,
            begin_until=begin_until, pace=self.setting.pace,
        )  # fmt: skip
        known = {identity(of_space(space, one.values)) for one in recorded}
        proposed = Proposed(searcher, space, known, self._at_once(chosen, engine.hands))
        numbers = itertools.count(max((one.number for one in self.study.trials), default=0) + 1)
        left, waiting = count - len(recorded), not default

        def more(room: int) -> list[Trial]:
            nonlocal left, waiting
            if waiting:  # alone, so that whatever time there is, there is something to compare with
                waiting = False
                return [Trial(next(numbers), {}, self.setting.plan, self.parts, DEFAULT)]
            values = proposed.ask(int(max(0, min(room, left))))
            left -= len(values)
            return proposed.begun(
                [
                    Trial(next(numbers), carried | one, space.apply(base, one), self.parts, name)
                    for one in values
                ]
            )

        def ended(trial: Trial) -> None:
            if trial.stage == name:
                proposed.tell(trial)
            self._show(trial)

        engine.run(more, ended, [keeper.take_up(one, self.parts) for one in running])

    def _at_once(self, chosen: Method, hands: int) -> float:
        """Proposals that train at the same time."""
        if math.isinf(chosen.at_once):
            return math.inf
        return max(hands, min(chosen.at_once, self.setting.few * self.setting.workers))

    def _show(self, trial: Trial) -> None:
        best = self.best()
        record = next(one for one in self.study.trials if one.number == trial.number)
        self.course.observer.trial(record, best.score if best else None)

    def _tell(self, searcher: Searcher, space: Space, recorded: Sequence[TrialRecord]) -> None:
        for one in recorded:
            if one.state != "running":
                after = one.epochs if one.state == "stopped" else None
                searcher.tell(of_space(space, one.values), self._internal(one), after=after)

    def _internal(self, record: TrialRecord) -> float | None:
        return None if record.score is None else objective_of(self.parts[0]).shown(record.score)


def _halving(recorded: Sequence[TrialRecord]) -> Halving:
    """The rungs as the trials left them that ended before an interruption."""
    halving = Halving()
    for one in recorded:
        if one.state != "running":
            halving.remember(int(one.plan.stopping.epochs), one.run.curve(f"{OBJECTIVE}/val"))
    return halving


def _settings(plan: Plan) -> dict[str, Any]:
    return {path.split(".")[-1]: value for path, value, _ in plan.settings()}


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _range(plain: Mapping[str, Any]) -> str:
    return f"{_short(plain['low'])} to {_short(plain['high'])}"
