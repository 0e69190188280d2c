"""The watcher: looks at the steps that the budget allows, and records what is seen of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch

from fitwell.errors import RunError
from fitwell.run.events import EventLog
from fitwell.watching.attachment import Attachment
from fitwell.watching.awaited import Awaited
from fitwell.watching.budget import FIRST, Budget
from fitwell.watching.details import Details
from fitwell.watching.losses import Number, Totals, recorded
from fitwell.watching.moments import PassEnd, Step
from fitwell.watching.names import Models
from fitwell.watching.phases import Phases
from fitwell.watching.quick import Quick
from fitwell.watching.receiver import Receiver
from fitwell.watching.record import Record
from fitwell.watching.threads import Thread, Threads

FIRST_EVALUATIONS = 2  # that are looked at whatever it costs
ALARMS = 3  # looks that losses which are not finite may ask for
WHOLE_THREADS = 3  # threads whose first steps are watched whatever they cost
DEBT = 0.1  # seconds over the budget at which a look is broken off
OFF, LIGHT, FULL = 0, 1, 2


Clock = Callable[[], tuple[float, int]]


class Watcher:
    """Watches this process from ``attach`` to ``detach``; one at a time.

    Args:
        folder: of the run: its events.jsonl and facts.json are written.
        share: of the wall time that watching may take.
        log: the run's event log, if a trainer that knows its own phases writes into it, too: then the figures
            of passes and evaluations are the trainer's.
        clock: gives the epoch and the step that such a trainer is in.
    """

    attached: ClassVar[Watcher | None] = None

    def __init__(
        self, folder: Path, share: float, log: EventLog | None = None, clock: Clock | None = None
    ) -> None:
        self.folder, self.budget, self.clock = folder, Budget(share), clock
        self.record = Record(folder, log)
        self.details, self.models = Details(), Models()
        self.threads = Threads(self.models)
        self.phases = Phases(self._emit, self.threads.all)
        self.unseen: dict[str, str] = {}
        self.more: dict[str, Callable[[], Any]] = {}  # facts of others, by their key
        self.failure: Mapping[str, Any] | None = None
        self.level = OFF
        self.evaluations, self.looks_at_evaluation = 0, False
        self._awaited = Awaited()
        self._inside = False
        self._owner = threading.get_ident()
        self._windows = 0  # that the look still lasts
        self._span = 1  # steps until each thread has stepped
        self._second = False  # whether the step before was looked at, too
        self._look_began = 0.0
        self._alarms = 0
        self._urgent = False  # a loss was not finite: the look is not broken off
        self._receiver = receiver = Receiver(self)
        slow = (
            self.guarded(receiver.loss),
            self.guarded(receiver.stepped),
            self.guarded(receiver.stepped_by_hand),
        )
        self.quick = Quick(*slow, self.threads.known, self.phases.passes)
        self._attachment = Attachment(receiver, self.quick, self.guarded, told=clock is not None)

    def attach(self) -> None:
        """Begin to watch.

        Raises:
            RunError: this process is being watched already.
        """
        if Watcher.attached is not None:
            raise RunError(
                f"this process is being watched already, into {Watcher.attached.folder}",
                "one watching at a time",
                "end the other one first",
            )
        Watcher.attached = self
        self._attachment.attach()
        self._look(FULL)

    def detach(self, failure: Mapping[str, Any] | None = None) -> None:
        """Leave torch as it was, and write what is still to be written, with what ended the program."""
        self.catch_up()
        self.guarded(self._receiver.finish)()
        self.guarded(self.details.tell)("at_end", None)
        self.let_go()
        self.failure = failure
        self.phases.finish()
        self.record.facts(facts(self))
        self.record.log.flush()

    def let_go(self) -> None:
        """Leave torch as it was: nothing is seen from now on. In a forked process this is all there is to do."""
        self._look_away()
        self._attachment.detach()
        self._inside = True
        if Watcher.attached is self:
            Watcher.attached = None

    def guarded(self, hook: Callable[..., Any]) -> Callable[..., None]:
        """The hook as a program may meet it: it raises nothing, counts its time, and is not called within itself."""

        def guarded(*arguments: Any, **keywords: Any) -> None:
            if self._inside or threading.get_ident() != self._owner or recorded():
                return
            self._inside = True
            begin = time.perf_counter()
            try:
                with torch._C.DisableTorchFunction():  # nobody's overrides see what we do
                    self.quick.flush()
                    hook(*arguments, **keywords)
            except Exception as error:
                self.failed(hook.__name__, error)
            finally:
                self._inside = False
                self.budget.used(time.perf_counter() - begin)

        return guarded

    def failed(self, what: str, error: Exception) -> None:
        """Something in the watching itself went wrong: the program goes on, and the run says so."""
        self.unseen.setdefault(what, f"watching it failed: {type(error).__name__}: {error}")

    def give_up_modules(self, why: str) -> None:
        """Look at no module any more."""
        self.unseen.setdefault("modules", why)
        self._attachment.leave_modules()

    def tell(self, method: str, moment: Any, part: str = "train") -> None:
        """Tell the signals of a moment, unless somebody measures the program."""
        if torch.autograd._profiler_enabled():  # type: ignore[attr-defined]
            return
        with torch.no_grad():
            self.details.tell(method, moment, self.level == FULL, part)

    def break_off(self) -> bool:
        """End a look that costs too much; tell whether it was ended."""
        if self.budget.free > -DEBT or self.budget.looks < FIRST or self._urgent:
            return False
        if self.looks_at_evaluation and self.evaluations <= FIRST_EVALUATIONS:
            return False  # it has few batches that are looked at
        return self.end_look()

    def look_at_evaluation(self, late: bool = False) -> None:
        """Look at an evaluation: the first ones, and others if the budget allows; after a late one await the next."""
        if late and self.level == OFF and self.evaluations < FIRST_EVALUATIONS:
            self._awaited.late(self.phases.thread)
        if self.evaluations < FIRST_EVALUATIONS or self.budget.allows(full=True):
            self.evaluations += 1
            if self.level != FULL:
                self._look(FULL)
            self.looks_at_evaluation = self.level != OFF

    def end_look(self) -> bool:
        """End a look before the step that it waits for."""
        first = self.looks_at_evaluation and self.evaluations <= FIRST_EVALUATIONS
        if self.threads.all and not first:
            self._look_away()
        else:  # the next steps tell in which mode it left the model, and before the first one the order of calls
            self._windows = 2 * self._span if self.threads.all else self._span
            self.level, self.looks_at_evaluation = LIGHT, False
            self._attachment.leave_modules()
        return True

    def looked(self, thread: Thread, step: Step) -> None:
        """A step was looked at, from its first line to its last: record it."""
        self.tell("after_step", step)
        self._receiver.modules.begin()  # nothing of the step is kept
        at = self.clock() if self.clock else (self.phases.passes.epoch(thread), thread.steps)
        self.record.event(thread, at, step.signals, step.columns)
        thread.looked = thread.steps
        if self.clock:
            thread.losses_a_step, thread.by_backward = 0, False  # between the looks nothing is added up
        self._windows -= 1
        self._urgent = False
        if self._windows > 0:
            return
        if self.level == FULL and thread.steps > FIRST:
            self._go_on_lightly()
            return
        full = self.level == FULL or self._second
        self._look_away()
        current = time.perf_counter() - thread.stepped  # what goes on now is not in the sum yet
        self.budget.looked(full, self.budget.spent - self._look_began + current)
        if self.budget.looks == FIRST or self.record.facts_are_due:
            self.record.facts(facts(self))

    def plan(self, thread: Thread, seconds: float) -> None:
        """Decide when to look again; a step takes so many seconds."""
        self.budget.went_on(thread.steps - thread.planned, seconds)
        thread.planned = thread.steps
        if self.quick.alarm and self._alarms < ALARMS:
            self._alarms += 1
            self._urgent = True
            self._look(FULL)
            return
        if self._awaited.due(thread):
            self._look(FULL)
            self.looks_at_evaluation = self.level == FULL
            return
        first = thread.steps < FIRST and (thread.number < WHOLE_THREADS or self.budget.free > 0)
        first = first or not thread.looked  # without one look it would have no name and no loss
        if first or self.budget.allows_look(thread.steps, thread.steps - thread.looked):
            self._look(FULL if first or self.budget.heavy_is_due else LIGHT)
            return
        steps = min(self.budget.steps_until_next(seconds), self.phases.steps_left(thread, seconds))
        self.quick.countdown = max(1, int(self._awaited.steps(thread, steps)))

    def catch_up(self) -> None:
        """Account for the steps that nobody looked at."""
        self.quick.flush()
        behind = [thread for thread in self.threads.all if thread.steps > thread.booked]
        for thread in sorted(behind, key=lambda thread: thread is self.quick.latest):
            self.phases.unwatched(thread)

    def _look(self, level: int) -> None:
        if torch.autograd._profiler_enabled():  # type: ignore[attr-defined]
            return  # somebody measures the program
        self.level = LIGHT if "modules" in self.unseen else level
        self.quick.on = self.quick.alarm = False
        self._attachment.look(modules=self.level == FULL)
        self._receiver.modules.begin()
        active = [thread for thread in self.threads.all if thread.steps > thread.armed]
        for thread in active:
            thread.armed = thread.steps
        self._windows = self._span = max(1, len(active))
        self._look_began = self.budget.spent

    def _go_on_lightly(self) -> None:
        """Look at the next step, too: some of what is measured compares two in a row."""
        self.level, self._second, self._windows = LIGHT, True, self._span
        self._attachment.leave_modules()

    def _look_away(self) -> None:
        self.level, self.looks_at_evaluation, self._second = OFF, False, False
        self._attachment.look_away(objectives=any(thread.by_backward for thread in self.threads.all))
        self._receiver.modules.begin()
        self.quick.by_hand = None if self.threads.optimized else self._receiver.by_hand.thread
        self.quick.begin(bool(self.threads.all))  # before the first step everything is looked at

    def _emit(self, thread: Thread, at: tuple[float, int], part: str, figures: dict[str, Number]) -> None:
        if self.clock:
            return
        totals = self.phases.closing if part != "train" else Totals()
        end = PassEnd(part, thread.name, dict(figures), totals.samples, totals.batches)
        self.tell("end_of_pass", end, part)
        self.record.event(thread, at, end.signals, [])


def facts(watcher: Watcher) -> dict[str, Any]:
    """What is known beyond the numbers of steps, as JSON."""
    passes, details, budget = watcher.phases.passes, watcher.details, watcher.budget
    return {
        "schema": 1,
        "models": [{"name": name, "class": kind} for name, kind in watcher.models.order],
        "threads": [thread.about() for thread in watcher.threads.all],
        "epochs": {"known_by": passes.source, "size": passes.size},
        "unseen": watcher.unseen
        | ({"later events": watcher.record.lost} if watcher.record.lost else {})
        | {f"signal {name}": why for name, why in details.dropped.items()},
        "overhead": {
            "budget": budget.share,
            "spent": budget.spent / max(budget.elapsed, 1e-9),
            "looks": budget.looks,
            "signals": {name: seconds for name, seconds in details.seconds.items() if seconds},
        },
        "signals": details.facts(),
        "failure": watcher.failure,
    } | {name: read() for name, read in watcher.more.items()}
