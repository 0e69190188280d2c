"""The watcher: looks at the steps that the budget allows, and records what is seen of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from fitwell.errors import RunError
from fitwell.run.events import EventLog
from fitwell.watching import hooks
from fitwell.watching.budget import FIRST, Budget
from fitwell.watching.details import Details
from fitwell.watching.losses import Number, recorded
from fitwell.watching.moments import PassEnd, Step
from fitwell.watching.names import Models
from fitwell.watching.phases import Phases
from fitwell.watching.probe import Probe
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
        self.failure: Mapping[str, Any] | None = None
        self.level = OFF
        self.evaluations, self.looks_at_evaluation = 0, False
        self._inside = False
        self._owner = threading.get_ident()
        self._windows = 0  # that the look still lasts
        self._span = 1  # steps until each thread has stepped
        self._second = False  # whether the step before was looked at, too
        self._look_began = 0.0
        self._alarms = 0
        self._handles: list[Any] = []
        self._before: Any = None  # the handle of the hook before a step, while a look lasts
        self._receiver = receiver = Receiver(self)
        guard = self.guarded
        self._before_step = guard(receiver.before_step)
        slow = (guard(receiver.loss), guard(receiver.stepped), guard(receiver.stepped_by_hand))
        self.quick = Quick(*slow, self.threads.known, self.phases.passes)
        self._lasting = [*hooks.losses(self.quick.loss_hook), *hooks.lasting(receiver, guard)]
        self._looking = hooks.looking(receiver, guard)
        if clock is not None:  # what a trainer tells need not be found out
            self._lasting, self._looking = [], [*self._lasting, *self._looking]
        self._modules = hooks.modules(receiver, guard)
        self._objectives = hooks.backward(self.quick.backward_hook, None)

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
        _arm(self._lasting)
        self._handles = [register_optimizer_step_post_hook(self.quick.step_hook)]
        self._look(FULL)

    def detach(self, failure: Mapping[str, Any] | None = None) -> None:
        """Leave torch as it was, and write what is still to be written, with what ended the program."""
        self.catch_up()
        self.guarded(self._receiver.finish)()
        self.let_go()
        self.failure = failure
        self.phases.finish()
        self.record.facts(facts(self))
        self.record.log.flush()

    def let_go(self) -> None:
        """Leave torch as it was: nothing is seen from now on. In a forked process this is all there is to do."""
        self._look_away()
        _disarm([*self._lasting, *self._objectives])
        for handle in self._handles:
            handle.remove()
        self._handles, self._inside = [], True
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
                self.budget.spent += time.perf_counter() - begin

        return guarded

    def failed(self, what: str, error: Exception) -> None:
        """Something in the watching itself went wrong: the program goes on, and the run says so."""
        self.unseen.setdefault(what, f"watching it failed: {type(error).__name__}: {error}")

    def give_up_modules(self, why: str) -> None:
        """Look at no module any more."""
        self.unseen.setdefault("modules", why)
        _disarm(self._modules)

    def tell(self, method: str, moment: Any, part: str = "train") -> None:
        """Tell the signals of a moment, unless somebody measures the program."""
        if torch.autograd._profiler_enabled():  # type: ignore[attr-defined]
            return
        with torch.no_grad():
            self.details.tell(method, moment, self.level == FULL, part)

    def break_off(self) -> bool:
        """End a look that costs too much; tell whether it was ended."""
        if self.budget.free > -DEBT or self.budget.looks < FIRST:
            return False
        return self.end_look()

    def look_at_evaluation(self) -> None:
        """Look at an evaluation that begins: at the first ones, and at others if the budget allows."""
        if self.evaluations < FIRST_EVALUATIONS or self.budget.allows(full=True):
            self.evaluations += 1
            if self.level != FULL:
                self._look(FULL)
            self.looks_at_evaluation = self.level != OFF

    def end_look(self) -> bool:
        """End a look before the step that it waits for."""
        if self.threads.all:
            self._look_away()
        else:  # by the order of calls the first step is recognised; what is within modules is left out
            self.level, self.looks_at_evaluation = LIGHT, False
            _disarm(self._modules)
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
            self._look(FULL)
            return
        first = thread.steps < FIRST and (thread.number < WHOLE_THREADS or self.budget.free > 0)
        first = first or not thread.looked  # without one look it would have no name and no loss
        if first or self.budget.allows_look(thread.steps, thread.steps - thread.looked):
            self._look(FULL if first or self.budget.heavy_is_due else LIGHT)
            return
        steps = min(self.budget.steps_until_next(seconds), self.phases.steps_left(thread, seconds))
        self.quick.countdown = max(1, int(steps))

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
        _disarm(self._objectives)
        _arm(self._looking)
        self._before = self._before or register_optimizer_step_pre_hook(self._before_step)
        if self.level == FULL:
            _arm(self._modules)
        self._receiver.modules.begin()
        active = [thread for thread in self.threads.all if thread.steps > thread.armed]
        for thread in active:
            thread.armed = thread.steps
        self._windows = self._span = max(1, len(active))
        self._look_began = self.budget.spent

    def _go_on_lightly(self) -> None:
        """Look at the next step, too: some of what is measured compares two in a row."""
        self.level, self._second, self._windows = LIGHT, True, self._span
        _disarm(self._modules)

    def _look_away(self) -> None:
        self.level, self.looks_at_evaluation, self._second = OFF, False, False
        _disarm([*self._looking, *self._modules])
        self._receiver.modules.begin()
        if self._before is not None:
            self._before.remove()
            self._before = None
        self.quick.by_hand = None if self.threads.optimized else self._receiver.by_hand.thread
        self.quick.begin(bool(self.threads.all))  # before the first step everything is looked at
        if any(thread.by_backward for thread in self.threads.all):
            _arm(self._objectives)

    def _emit(self, thread: Thread, at: tuple[float, int], part: str, figures: dict[str, Number]) -> None:
        if self.clock:
            return
        end = PassEnd(part, thread.name, dict(figures))
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
    }


def _arm(probes: Sequence[Probe]) -> None:
    for probe in probes:
        probe.arm()


def _disarm(probes: Sequence[Probe]) -> None:
    for probe in probes:
        probe.disarm()
