"""What-if forks beside a watched training: what a rule suspects is tried on copies of the process.

At moments that lie ever farther apart the rules are tried on what was seen so far. Where one holds that proves nothing,
or suspects something, the changes that it names are made in forked copies of the training, beside a copy as it is. A
training of which nothing is suspected is never forked.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import stdev
from threading import get_ident
from typing import Any

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from fitwell.diagnosing import questions, rules
from fitwell.evidence import View
from fitwell.experiment import Arm, Change, Experiment
from fitwell.run.events import read_events
from fitwell.run.view import views_of
from fitwell.treating.changing.live import described, interventions
from fitwell.treating.forks.arms import Arms, Asked, Trace, ask, compare, refusal
from fitwell.watching.threads import Thread
from fitwell.watching.watcher import Watcher, facts

FIRST = 0.15  # seconds of training until the rules are tried first, and ...
FIRST_STEPS = 50  # ... so many steps: before, there is little to read
LATER = 1.5  # times as late they are tried again
OFTEN = 0.01  # seconds between two looks whether an experiment is done
SHARE = 0.1  # of the time so far that experiments may take ...
PATIENCE = 4.0  # times as long they may take by the clock, for they leave the machine to the program
ALWAYS = 1.0  # ... or so many seconds: they run beside the program, and a short one has faults, too
AT_END = 0.5  # seconds that the end of a program waits for an experiment under way
TIMES = 2  # that a finding may be asked for
FEWEST_STEPS = 15
NEW_WEIGHTS = Change("initialize", {"scheme": "default"})
OWN_COST = (
    1.5  # times what a step takes in the program: a copy is slower at first, and has less of the machine
)


@dataclass(frozen=True)
class Question:
    """An experiment that is asked for.

    Args:
        finding: that it would confirm.
        thread: the name of the thread it is about.
        step: of that thread.
        changes: each is an arm.
        steps: of each arm.
        least: see ``Check``.
        fresh: the same.
    """

    finding: str
    thread: str
    step: int
    changes: tuple[Change, ...]
    steps: int
    least: float
    fresh: bool

    @property
    def arms(self) -> list[tuple[Change, ...]]:
        """What is changed in each; if they begin with new weights, in the first nothing else is."""
        if not self.fresh:
            return [(each,) for each in self.changes]
        return [(NEW_WEIGHTS,), *((NEW_WEIGHTS, each) for each in self.changes)]


class WhatIf:
    """The experiments of one watched program, which begin at steps of its main thread.

    Args:
        watcher: that is attached: its hook must run before the one that is put in place here.
    """

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.experiments: list[Experiment] = []
        self.refused: str | None = None
        self.spent = 0.0  # seconds of experiments
        self._began = self._worked = 0.0  # when the first step ended, by the clock and in processor time
        self._due = 0.0
        self._cost = 0.0  # seconds of processor time that it took to try the rules
        self._question: Question | None = None
        self._under_way: tuple[Asked, Question, float] | None = None
        self._times: Counter[str] = Counter()
        self._steps: dict[int, int] = {}  # of each thread, when the rules were tried last
        self._on, self._owner = True, get_ident()
        self._try = watcher.guarded(self._try_rules)
        questions(View())  # the rules are loaded now, while nothing is trained
        watcher.more["what_if"] = self.facts
        self._handle = register_optimizer_step_post_hook(self._stepped)

    def facts(self) -> dict[str, Any]:
        """What was asked and answered, as JSON."""
        return {
            "experiments": [each.plain() for each in self.experiments],
            "spent": self.spent / max(self.watcher.budget.elapsed, 1e-9),
            "refused": self.refused,
        }

    def let_go(self) -> None:
        """In a forked process: do nothing any more."""
        self._on = False

    def finish(self, wait: bool) -> None:
        """The program has ended: an experiment under way may go on for a moment."""
        self._handle.remove()
        if self._on:
            self._collect(AT_END if wait else 0.0)
        if self._under_way is not None:
            self._end(f"the program ended before the experiment about {self._under_way[1].finding} did")
        self._end()

    @property
    def _left(self) -> float:
        """Seconds that experiments may take from now on."""
        return max(ALWAYS, SHARE * self.watcher.budget.elapsed) - self.spent

    def _stepped(self, optimizer: Optimizer, *_: Any) -> None:
        """An optimizer stepped, and the watcher has seen it. Nothing is raised into the program."""
        if not self._on or time.perf_counter() < self._due or get_ident() != self._owner:
            return
        try:
            self._turn(optimizer)
        except Exception as error:
            self._end(f"it failed: {type(error).__name__}: {error}")

    def _turn(self, optimizer: Optimizer) -> None:
        now = time.perf_counter()
        if not self._began:
            self._began, self._due, self._worked = now, now + FIRST, time.process_time()
            return
        if self._under_way is not None:
            self._due = now + OFTEN
            self._collect(0.0)
            return
        thread = self.watcher.threads.known(optimizer)
        if thread is None or thread is not _main(self.watcher):
            return
        self._try(thread, now)
        if self._question is not None:
            self._ask(self._question, optimizer)

    def _try_rules(self, thread: Thread, now: float) -> None:
        """Try the rules on what was seen so far, unless that would cost too much."""
        self._question, budget, begin = None, self.watcher.budget, time.thread_time()
        if thread.steps < FIRST_STEPS or self._cost > budget.share * budget.elapsed:
            return  # what it costs is made up by looks that wait
        self._due = self._began + LATER * (now - self._began)
        before, self._steps = self._steps, {each.number: each.steps for each in self.watcher.threads.all}
        if sum(steps > before.get(number, 0) for number, steps in self._steps.items()) > 1:
            return  # models that are trained in turn: what the loss of one means depends on the other
        self.watcher.record.log.flush()
        views = views_of(facts(self.watcher), list(read_events(self.watcher.folder / "events.jsonl")))
        view = next(each for each in views if each.thread == thread.name)
        known, names = questions(view)
        self._cost = time.thread_time() - begin
        if known:
            self._end()
            return
        for name in names:
            if self._times[name] < TIMES:
                self._question = self._affordable(name, thread)
                return

    def _affordable(self, finding: str, thread: Thread) -> Question | None:
        """The experiment that asks for a finding, with as many arms and steps as there is time for; None if too few."""
        check = rules()[finding].check
        assert check is not None  # noqa: S101 - ``questions`` gives no others
        affordable = self._left / (OWN_COST * (time.process_time() - self._worked) / thread.steps)  # steps
        others = 2 if check.fresh else 1  # that nothing is compared by
        steps = min(check.steps, int(affordable / (others + 1)))
        if steps < min(FEWEST_STEPS, check.steps):
            return None
        changes = check.changes[: int(affordable / steps) - others]
        return Question(finding, thread.name, thread.steps, changes, steps, check.least, check.fresh)

    def _ask(self, question: Question, optimizer: Optimizer) -> None:
        self._question, self.refused = None, refusal()
        if self.refused is not None:
            self._on = False
            return
        begin = time.perf_counter()
        self._times[question.finding] += 1
        asked = ask(question.arms, steps=question.steps, seconds=PATIENCE * self._left, optimizer=optimizer)
        if asked is None:  # this is a copy of the program
            return
        self._under_way, self._due = (asked, question, begin), time.perf_counter() + OFTEN

    def _collect(self, wait: float) -> None:
        """Read the answer, if it is there within so many seconds."""
        if self._under_way is None:
            return
        asked, question, begin = self._under_way
        arms = asked.result(wait)
        if arms is None and not asked.done:
            return
        took = time.perf_counter() - begin if arms is None else arms.seconds
        self.spent += took
        self._under_way = None
        if arms is not None:
            self.experiments.append(experiment(question, arms))
        self._due = min(self._due, time.perf_counter())  # there may be more to ask

    def _end(self, why: str | None = None) -> None:
        """Ask no more."""
        if self._under_way is not None and self._on:
            self._under_way[0].stop()
        self._on, self._under_way = False, None
        self.refused = self.refused or why


def _main(watcher: Watcher) -> Thread:
    """The thread with most steps, of equal ones the last."""
    return max(watcher.threads.all, key=lambda thread: (thread.steps, thread.number))


def experiment(question: Question, arms: Arms) -> Experiment:
    """What came of it: confirmed if an arm is better by as much as was asked for, refuted if all are as much worse."""
    beside = Arms(arms.arms[0], arms.arms[1:], arms.seconds) if question.fresh else arms
    found = tuple(_arms(question.changes, beside))
    confirmed = any(arm.gain >= question.least and arm.sure for arm in found)
    refuted = bool(found) and all(arm.worse and arm.gain < -question.least for arm in found)
    return Experiment(
        question.finding,
        question.thread,
        question.step,
        question.steps,
        arms.seconds,
        found,
        "confirmed" if confirmed else "refuted" if refuted else "inconclusive",
        question.fresh,
    )


def _arms(changes: Sequence[Change], arms: Arms) -> Iterator[Arm]:
    """Each arm beside the training as it is; by loss if the change leaves its meaning, else by errors."""
    known = interventions()
    for number, change in enumerate(changes):
        found = compare(arms, known[change.intervention].comparable)[number]
        interval = found.difference
        difference, low, high = (interval.mean, interval.low, interval.high) if interval else (None,) * 3
        yield Arm(
            change.plain(),
            described(change),
            found.measure,
            _finite(found.treated),
            _spread(arms.arms[number], found.measure),
            _finite(found.control),
            _spread(arms.control, found.measure),
            _finite(difference),
            _finite(low),
            _finite(high),
            arms.arms[number].stopped or found.because,
        )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _spread(trace: Trace, measure: str) -> float | None:
    """The standard deviation over the steps that are compared."""
    values = trace.losses if measure == "loss" else trace.accuracies
    known = [value for value in values[len(values) // 2 :] if value is not None]
    return stdev(known) if len(known) > 1 else None
