"""Many machines: the trials of a study as tasks of a Ray cluster, a population each.

This process proposes and shows; Ray places the tasks, and starts one anew whose worker died. A worker writes trials and
checkpoints into the study's folder, as it would be without Ray, so a task that is started anew finds there which of its
trials have ended, and goes on with the others. What a trial scored is read from there, too.

Halving compares a trial with those of its own task and with all that had ended when the task began.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from fitwell.errors import FitwellError, Preempted, RunError, StorageError
from fitwell.plan import Plan
from fitwell.run.events import EventLog
from fitwell.study import StudyRecord, TrialRecord
from fitwell.training.interrupts import noted
from fitwell.training.threads import threads
from fitwell.tuning.engine import ENDED, Engine, MakeEngine, More, preempted
from fitwell.tuning.halving import Halving
from fitwell.tuning.keeping import Further, Keeper
from fitwell.tuning.machines.shipping import Receiver, Sender
from fitwell.tuning.populations.measuring import OBJECTIVE, objective_of
from fitwell.tuning.populations.packing import Say
from fitwell.tuning.trials import Trial, reason

RETRIES = 3  # of a task whose worker died
LOOK = 0.5  # seconds between two looks at what has ended
SAVING = 10.0  # seconds that workers have to save what they train, when the study is stopped
SEEN = 60.0  # seconds until a folder of several machines shows to one what another wrote
CURVE = f"{OBJECTIVE}/val"


@dataclass(frozen=True)
class Orders:
    """What all trials of a task have in common.

    Args:
        study: the folder of the study, as it is called on all machines.
        size: members of a population, at most.
        device: that they are trained on.
        models: whether a trial that ended well keeps its model.
        further: gives more figures of a trial that ended well.
        every: seconds between two checkpoints.
        halving: what ended before, if the worse trials are given up early.
        until: when nothing more is trained, in seconds since 1970: machines share no other clock.
        begin_until: when no further trial begins.
        pace: seconds that an epoch of a member takes, as far as it is known.
    """

    study: str
    size: int
    device: str
    models: bool
    further: Further
    every: float
    halving: Halving | None
    until: float
    begin_until: float
    pace: float


@dataclass(frozen=True)
class Sent:
    """A trial that is to be trained.

    Args:
        number: of the trial.
        values: that were changed.
        plan: as JSON.
        stage: of the search.
        about: what else is kept of it.
        parts: references to its data.
    """

    number: int
    values: Mapping[str, Any]
    plan: str
    stage: str
    about: Mapping[str, Any]
    parts: Sequence[Any]


@dataclass
class Elsewhere(Trial):
    """A trial that was trained by another process: its scores are those of its record.

    Args:
        known: the objective of the weights that were kept, and after the last epoch.
    """

    known: tuple[float | None, float] = (None, float("inf"))

    @property
    def score(self) -> float | None:
        """As ``Trial.score``."""
        return self.known[0]

    @property
    def latest(self) -> float:
        """As ``Trial.latest``."""
        return self.known[1]


@dataclass
class OnRay:
    """Trains trials as ``Engine`` does, on the workers of a cluster.

    Args:
        ray: the module, connected.
        sender: of data to the cluster.
        keeper: whose study and settings the workers record with.
        orders: for them.
        say: is told what a person should know.
    """

    ray: Any
    sender: Sender
    keeper: Keeper
    orders: Orders
    say: Say
    told: set[str] = field(default_factory=set)
    tasks: dict[Any, list[Trial]] = field(default_factory=dict)
    waiting: deque[list[Trial]] = field(default_factory=deque)
    width: int = 0  # members of a trial, as the last one had; the first one is asked for alone

    def run(self, more: More, ended: ENDED, going_on: list[Trial] | None = None) -> None:
        """Train until there are no more trials, or the time is over; see ``Engine.run``.

        Raises:
            Preempted: a signal came; the workers have saved what they trained.
            StorageError: the machines have no folder in common.
        """
        self.waiting.extend(_dealt(going_on or [], self.hands, self._at_once(going_on or [])))
        try:
            with noted() as interrupts:
                while self._fill(more) or self.tasks:
                    done, _ = self.ray.wait(list(self.tasks), timeout=LOOK)
                    self._look(ended)
                    for task in done:
                        self._collect(task, ended)
                    if interrupts.received:
                        raise preempted(self.keeper, interrupts.received)
        finally:
            self._stop()

    @property
    def hands(self) -> int:
        """Tasks that the cluster trains at once, as it is now."""
        return max(1, int(self.ray.cluster_resources().get("GPU" if self._gpus() else "CPU", 0)))

    def _gpus(self) -> int:
        return int(self.orders.device.startswith("cuda"))

    def _at_once(self, trials: Sequence[Trial]) -> int:
        """Trials like these that make a population."""
        return max(1, self.orders.size // max((len(trial.parts) for trial in trials), default=1))

    def _fill(self, more: More) -> bool:
        """Give the workers that are free something to do; whether there was anything."""
        free, new = self.hands - len(self.tasks), list[Trial]()
        room = (free - len(self.waiting)) * self.orders.size
        while room > 0 and time.time() < min(self.orders.until, self.orders.begin_until):
            asked = more(max(1, room // self.width) if self.width else 1)
            if not asked:
                break
            new += asked
            self.width = len(asked[-1].parts)
            room -= sum(len(trial.parts) for trial in asked)
        self.waiting.extend(_dealt(new, max(1, free - len(self.waiting)), self._at_once(new)))
        begun = min(free, len(self.waiting))
        for _ in range(begun):
            self._begin(self.waiting.popleft())
        return begun > 0

    def _begin(self, trials: list[Trial]) -> None:
        task = self.ray.remote(train).options(
            name="population", num_cpus=1, num_gpus=self._gpus(), max_retries=RETRIES,
            retry_exceptions=[Preempted],
        )  # fmt: skip
        self.tasks[task.remote(self.orders, [self._sent(trial) for trial in trials])] = trials

    def _sent(self, trial: Trial) -> Sent:
        parts = [self.sender.send(data) for data in trial.parts]
        return Sent(trial.number, trial.values, trial.plan.to_json(), trial.stage, trial.about, parts)

    def _look(self, ended: ENDED) -> set[int]:
        """Tell of the trials that have ended meanwhile; the numbers of all that have."""
        over = {one.number: one for one in self.keeper.study.trials if one.state != "running"}
        for trials in self.tasks.values():
            for trial in [trial for trial in trials if trial.number in over]:
                trials.remove(trial)
                if self.orders.halving is not None:
                    _remember(self.orders.halving, over[trial.number])
                ended(_elsewhere(trial, over[trial.number]))
        return set(over)

    def _collect(self, task: Any, ended: ENDED) -> None:
        """What came of a task: all is told of its trials, or its worker died again and again."""
        try:
            numbers, said = self.ray.get(task)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, FitwellError) else error from None
        except self.ray.exceptions.RayError as error:
            self._look(ended)
            self._died(self.tasks.pop(task), error, ended)
            return
        self._await(set(numbers), ended)
        del self.tasks[task]
        for text in said:
            if text not in self.told:
                self.told.add(text)
                self.say(text)

    def _await(self, numbers: set[int], ended: ENDED) -> None:
        """Wait until all of these trials are seen to have ended."""
        late = time.monotonic() + SEEN
        while missing := numbers - self._look(ended):
            if time.monotonic() > late:
                raise StorageError(
                    f"trial {min(missing)} was trained, but is not in {self.keeper.study.path}",
                    "a folder of runs that all machines reach",
                    "give one of a network file system: --runs or FITWELL_RUNS",
                )
            time.sleep(LOOK)

    def _died(self, trials: list[Trial], error: Exception, ended: ENDED) -> None:
        """Try each trial by itself, for one of them is to blame; that one has failed."""
        if len(trials) > 1:
            self.waiting.extend([trial] for trial in trials)
            return
        for trial in trials:  # one, or none if it had ended
            trial.failed, trial.members = f"its worker died again and again: {reason(error)}", []
            record = next((one for one in self.keeper.study.trials if one.number == trial.number), None)
            if record is None:
                self.keeper.begin(trial)
            else:
                self.keeper.runs[trial.number] = record.run, EventLog(record.run.events_path)
            self.keeper.end(trial)
            ended(trial)

    def _stop(self) -> None:
        """Tell the workers that train to save that and end."""
        for task in self.tasks:
            self.ray.cancel(task)
        if self.tasks:
            self.ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=SAVING)


def _dealt(trials: Sequence[Trial], hands: int, most: int) -> list[list[Trial]]:
    """Trials dealt to so many hands, or more if one can't hold more than ``most``."""
    count = max(min(hands, len(trials)), -(-len(trials) // most))
    return [list(trials[start::count]) for start in range(count)]


def _elsewhere(trial: Trial, record: TrialRecord) -> Elsewhere:
    score = None if record.score is None else objective_of(trial.parts[0]).shown(record.score)
    curve = record.run.curve(CURVE)
    latest = float("inf") if score is None else curve[-1][1] if curve else score
    return Elsewhere(
        trial.number, trial.values, trial.plan, trial.parts, trial.stage, trial.about, known=(score, latest),
        stopped=record.reason if record.state == "stopped" else None,
        failed=record.reason if record.state == "failed" else None,
    )  # fmt: skip


def _remember(halving: Halving, record: TrialRecord) -> None:
    halving.remember(int(record.plan.stopping.epochs), record.run.curve(CURVE))


def train(orders: Orders, trials: Sequence[Sent]) -> tuple[list[int], list[str]]:
    """In a worker: train those of the trials that have not ended, each from where it is.

    Returns:
        The numbers of those that have ended now, and what a person should know.

    Raises:
        RunError: this machine does not reach the study.
        Preempted: a signal came; all is saved, and the task is to be started anew.
    """
    keeper = Keeper(_study(orders.study), orders.models, orders.further, orders.every)
    receiver = Receiver(import_module("ray").get, torch.device(orders.device))
    begun = {one.number: one for one in keeper.study.trials}
    over, new, going_on = list[int](), deque[Trial](), list[Trial]()
    for sent in trials:
        record, parts = begun.get(sent.number), [receiver.receive(part) for part in sent.parts]
        if record is None:
            plan = Plan.from_json(sent.plan)
            new.append(Trial(sent.number, sent.values, plan, parts, sent.stage, sent.about))
        elif record.state == "running":
            going_on.append(keeper.take_up(record, parts))
        else:
            over.append(sent.number)
            if orders.halving is not None:
                _remember(orders.halving, record)
    said: list[str] = []
    now = time.monotonic() - time.time()
    engine = Engine(
        orders.size, 1, keeper, orders.halving, orders.until + now, said.append,
        begin_until=orders.begin_until + now, pace=orders.pace,
    )  # fmt: skip
    with threads(1):  # a task has one core
        engine.run(
            lambda room: [new.popleft() for _ in range(min(room, len(new)))],
            lambda trial: over.append(trial.number),
            going_on,
        )
    return over, said


def _study(path: str) -> StudyRecord:
    try:
        return StudyRecord(path)
    except RunError:
        import platform

        raise RunError(
            f"the machine {platform.node()} does not reach {path}",
            "a folder of runs that all machines of the cluster reach under the same name",
            "give one of a network file system: --runs or FITWELL_RUNS",
        ) from None


def on_ray(ray: Any) -> MakeEngine:
    """What makes engines that train on the cluster that Ray is connected with.

    Args:
        ray: the module, connected.
    """
    sender = Sender(ray.put)

    def engine(
        size: int, _workers: int, keeper: Keeper, halving: Halving | None = None, until: float = float("inf"),
        say: Say = lambda _text: None, *, begin_until: float = float("inf"), pace: float = 0.0,
    ) -> OnRay:  # fmt: skip
        clock = time.time() - time.monotonic()
        path = str(Path(keeper.study.path).resolve())
        device = str(keeper.study.plan.device)
        orders = Orders(
            path, size, device, keeper.models, keeper.further, keeper.every, halving, until + clock,
            begin_until + clock, pace,
        )  # fmt: skip
        return OnRay(ray, sender, keeper, orders, say)

    return engine
