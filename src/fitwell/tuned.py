"""tune(): many models trained as one, and the best of them; the study as its user sees it."""

from __future__ import annotations

import dataclasses
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from fitwell import data as datasets
from fitwell.errors import DataError, FitwellError, PlanError, Preempted, RunError
from fitwell.fitting import answers, told
from fitwell.plan import DataPlan, Plan
from fitwell.run import find_run
from fitwell.run.lock import locked
from fitwell.space import Space
from fitwell.study import StudyRecord, TrialRecord, create_study
from fitwell.training.distributed import processes
from fitwell.training.evaluation import probabilities
from fitwell.training.prepare import load
from fitwell.training.process import process_kept
from fitwell.tuning.curves.repeating import supervised, validated
from fitwell.tuning.engine import Engine, MakeEngine
from fitwell.tuning.ensembles import SIZE, Ensemble, ensemble, recorded
from fitwell.tuning.keeping import sweep
from fitwell.tuning.kinds import Course, Observer, kind
from fitwell.tuning.kinds.capacity import chosen, prepared
from fitwell.tuning.kinds.cv import divided
from fitwell.tuning.kinds.samples import numbers
from fitwell.tuning.machines.cluster import engines
from fitwell.tuning.methods import method as find_method
from fitwell.tuning.setting import Setting, settle
from fitwell.tuning.stages import default_space

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from matplotlib.figure import Figure

    from fitwell.data.contract import Samples

TRIALS = 64  # where neither their number nor a time is given
AUTO = "auto"
LEAST_FOLDS = 2


class Quiet:
    """Shows nothing."""

    metric = ""

    def say(self, text: str) -> None:
        """Nothing."""

    def trial(self, told: TrialRecord, best: float | None = None) -> None:
        """Nothing."""


class Study(StudyRecord):
    """A finished study: its trials, its best, and what can be made of them."""

    def figure(self) -> Figure:
        """What came of it as a picture: the trials of a search, the folds, or the curve."""
        from fitwell.views.study_figures import study_figures

        return next(iter(study_figures(self).values()))

    def report(self) -> Path:
        """Write ``report.html``, a page that stands by itself, and return its path."""
        from fitwell.views.report import write_report

        return write_report(self)

    def ensemble(self, size: int = SIZE, data: Any = None) -> EnsembleModel:
        """The best trials as one model: those that the validation part cannot tell from the best one.

        Args:
            size: members, at most.
            data: the same data again, if it lived in memory.

        Raises:
            RunError: fewer than two trials kept a model, or all others are clearly worse than the best one.
        """
        plan = self.plan if data is None else self.plan.change(source=data)
        made = ensemble(self, load(plan), size)
        if made is None:
            raise RunError(
                f"study {self.name} has no ensemble: fewer than two models, or one that is clearly the best",
                "models of different trials that are about as good",
                "tune with more trials, or use the best one",
            )
        return EnsembleModel(made, plan)


class EnsembleModel:
    """Several models that answer as one.

    Args:
        made: the models.
        plan: of the data.
    """

    def __init__(self, made: Ensemble, plan: Plan) -> None:
        self.made, self.plan = made, plan

    @property
    def trials(self) -> tuple[int, ...]:
        """The numbers of the trials that it is made of."""
        return self.made.numbers

    def predict(self, data: Any) -> np.ndarray:
        """As ``Run.predict``: class names, or numbers in the target's units."""
        return answers(self._outputs(data), self.made.members[0])

    def predict_proba(self, data: Any) -> np.ndarray:
        """As ``Run.predict_proba``: (n, classes), averaged over the models."""
        target = self.made.members[0].shape.target
        if target.kind not in ("classes", "binary"):
            raise RunError("the models predict no classes", "classifiers", "call predict")
        chances: np.ndarray = probabilities(self._outputs(data), target).numpy()
        return chances

    def predictions(self, data: Any) -> tuple[pd.DataFrame, dict[str, float], str]:
        """As ``FittedRun.predictions``."""
        return told(*self._read(data), self.made.members[0])

    def _outputs(self, data: Any) -> torch.Tensor:
        return self._read(data)[0]

    def _read(self, data: Any) -> tuple[torch.Tensor, Samples]:
        samples = datasets.read(self.plan.change(source=data).data, self.made.members[0].shape)
        return self.made.outputs(samples), samples


def ensemble_of(path: str | Path) -> EnsembleModel:
    """The models that were chosen when a study ended, whose figures its summary and its report tell.

    Args:
        path: of the study.

    Raises:
        RunError: it has none, or a model is gone.
    """
    study = StudyRecord(path)
    made = recorded(study)
    if made is None:
        raise RunError(
            f"study {study.name} has no ensemble",
            "a search with several models that are about as good",
            "predict without --ensemble, or tune with more trials",
        )
    return EnsembleModel(made, study.plan)


def tune(  # noqa: PLR0913 - what people may ask for
    plan: Plan,
    space: Mapping[str, Any] | Space | None = None,
    *,
    trials: int | None = None,
    method: str = AUTO,
    seconds: float | None = None,
    cv: int | None = None,
    halving: bool = True,
    ray: str | None = None,
    runs: str | Path | None = None,
    observer: Observer | None = None,
) -> Study:
    """Search for settings that train better than those of a plan: many trainings as one, on one copy of the data.

        study = fitwell.tune(plan, {"lr": loguniform(1e-4, 1e-1), "hidden": choice([64, 128])}, trials=64)
        study.best.plan; study.best.score; study.frame(); study.ensemble(5)

    Args:
        plan: what is varied; its learning rate is looked for first.
        space: what may be tried; by default what the usual guide tries.
        trials: at most; 64 where no time is given either.
        method: ``auto`` goes through stages (rate, architecture, batch size, regularisation, optimizer) where no space
            is given, and searches a given one by ``bayes``; or ``grid``, ``random``, ``bayes``.
        seconds: that all may take.
        cv: folds; a trial is then trained on each, and its score is their mean.
        halving: whether the worse half is given up after an eighth, a quarter and half of the epochs.
        ray: trains on a Ray cluster: ``local`` starts one on this machine, ``auto`` finds one that runs on it; or the
            address of one that it belongs to. All its machines must reach the folder of runs.
        runs: the folder of runs.
        observer: is shown the progress.

    Raises:
        PlanError: the plan or the space has an impossible value, or there is no such method.
        DataError: the data can't be read.
        FitwellError: Ray is not installed, or no cluster answers.
        Preempted: it was interrupted; ``resume_study`` goes on.
    """
    _check(trials, seconds, cv, method)
    if processes() > 1:
        raise PlanError(
            "a search under torchrun", "one process", "leave torchrun out, and use --ray for many machines"
        )
    observer = observer or Quiet()
    asked = space if space is None or isinstance(space, Space) else Space.of(space)
    if asked is not None:
        _check_space(asked)
        asked.check(plan)
    began = time.monotonic()
    with process_kept(), engines(ray, observer.say) as engine:
        setting = settle(plan, observer.say)
        _check_parts(setting, cv)
        if asked is None and method != AUTO:
            asked = default_space(setting.plan, setting.data.shape, len(setting.data.train))
        request = {
            "trials": trials or (None if seconds else TRIALS), "seconds": seconds, "cv": cv, "halving": halving,
            "method": method if asked is None or method != AUTO else "bayes",
        }  # fmt: skip
        study = _begin(plan, "tune", setting, request, runs, asked)
        return _conducted(study, setting, observer, began, engine)


def cross_validate(
    plan: Plan, folds: int = 5, *, runs: str | Path | None = None, observer: Observer | None = None
) -> Study:
    """Train a plan on every fold of the data as one population: the mean of each figure, and its interval.

    Stratified, or by groups or time where the plan's data has them. Statistics are learned from each fold's own
    training part. The interval takes into account that the training parts overlap (Nadeau & Bengio 2003).

        study = fitwell.cross_validate(plan, folds=10); study.summary["metrics"]["accuracy"]

    Args:
        plan: what is trained.
        folds: how many.
        runs: the folder of runs.
        observer: is shown the progress.

    Raises:
        PlanError: fewer than two folds, or a family without a target.
        DataError: the data can't be read, or has fewer samples, groups or times than that takes.
        Preempted: it was interrupted; ``resume_study`` goes on.
    """
    _at_least(folds, 2, "folds", 5)
    supervised(plan, "cross-validation")
    began, observer = time.monotonic(), observer or Quiet()
    with process_kept():
        setting = settle(plan, observer.say)
        divided(setting, folds)  # what is impossible leaves no study behind
        study = _begin(plan, "cv", setting, {"seconds": None, "folds": folds}, runs)
        return _conducted(study, setting, observer, began)


def capacity(
    plan: Plan,
    sizes: Sequence[int] | None = None,
    *,
    resamples: int = 4,
    seconds: float | None = None,
    runs: str | Path | None = None,
    observer: Observer | None = None,
) -> Study:
    """Train a plan in many sizes as one population: which are too little, just right, too much.

        study = fitwell.capacity(plan); study.summary["said"]; study.figure()

    Args:
        plan: whose hidden layers are made narrower and wider in proportion.
        sizes: widths of the first hidden layer, 0 for a linear model; by default up to clearly too much.
        resamples: training sets, drawn with replacement, on which each size is trained: the more, the surer.
        seconds: that all may take; with little time fewer sizes and training sets are tried.
        runs: the folder of runs.
        observer: is shown the progress.

    Raises:
        PlanError: no training set, sizes that are none, no validation part, or a family without a target.
        DataError: the data can't be read.
        Preempted: it was interrupted; ``resume_study`` goes on.
    """
    _at_least(resamples, 1, "resamples", 4)
    _check(None, seconds, None, AUTO)
    supervised(plan, "the capacity curve")
    began, observer = time.monotonic(), observer or Quiet()
    with process_kept():
        setting, note = prepared(settle(plan, observer.say))
        request = {"seconds": seconds, "sizes": chosen(setting, sizes), "resamples": resamples, "note": note}
        study = _begin(plan, "capacity", setting, request, runs)
        return _conducted(study, setting, observer, began)


def learning_curve(
    plan: Plan,
    sizes: Sequence[int] | None = None,
    *,
    repeats: int = 3,
    runs: str | Path | None = None,
    observer: Observer | None = None,
) -> Study:
    """Train a plan on smaller and larger parts of its training data as one population: would more data help?

        study = fitwell.learning_curve(plan); study.summary["said"]; study.figure()

    Args:
        plan: what is trained.
        sizes: numbers of training samples; by default all, and halves of that.
        repeats: trainings with each number, with seeds and samples of their own.
        runs: the folder of runs.
        observer: is shown the progress.

    Raises:
        PlanError: no repeat, sizes that the training part does not have, no validation part, or a family without a
            target.
        DataError: the data can't be read.
        Preempted: it was interrupted; ``resume_study`` goes on.
    """
    _at_least(repeats, 1, "repeats", 3)
    supervised(plan, "the learning curve")
    began, observer = time.monotonic(), observer or Quiet()
    with process_kept():
        setting = settle(plan, observer.say)
        validated(setting, "the learning curve")
        request = {"seconds": None, "sizes": numbers(setting.data, sizes), "repeats": repeats}
        study = _begin(plan, "samples", setting, request, runs)
        return _conducted(study, setting, observer, began)


def _at_least(value: int, least: int, name: str, usual: int) -> None:
    if value < least:
        raise PlanError(f"{name} is {value}", f"{least} or more", f"{usual} is usual")


def resume_study(
    name: str | Path, *, data: Any = None, ray: str | None = None, runs: str | Path | None = None,
    observer: Observer | None = None,
) -> Study:  # fmt: skip
    """Go on with a study that was stopped or killed: no trial that has ended is trained again.

    Args:
        name: the study's path or name.
        data: the same data again, if it lived in memory.
        ray: a Ray cluster that trains, as for ``tune``; by default this process does.
        runs: the folder of runs.
        observer: is shown the progress.

    Raises:
        RunError: there is no such study.
        PlanError: it is no search, which alone trains on Ray.
        DataError: the data is not what it was.
    """
    observer = observer or Quiet()
    study = StudyRecord(find_run(str(name), runs).path)
    if study.state == "done":
        observer.say(f"study {study.name} is done already")
        return Study(study.path)
    if ray is not None and study.kind != "tune":
        raise PlanError(f"{study.name} is no search", "a study of `fitwell tune`", "resume it without Ray")
    plan = study.plan if data is None else study.plan.change(source=data)
    began = time.monotonic()
    with process_kept(), engines(ray, observer.say) as engine:
        setting = settle(plan, observer.say)
        known = study.info.get(
            "fingerprint", setting.data.fingerprint
        )  # a kill may come before it is written
        if setting.data.fingerprint != known:
            raise DataError(
                f"the data of study {study.name} is not what it was",
                "the very same data",
                "restore it, or tune anew",
            )
        return _conducted(study, setting, observer, began, engine)


def _begin(
    plan: Plan, kind: str, setting: Setting, request: dict[str, Any], runs: str | Path | None,
    space: Space | None = None,
) -> StudyRecord:  # fmt: skip
    """A new study, with all that is needed to go on if it is interrupted."""
    study = create_study(
        setting.plan, kind, _slug(plan), runs, method=request.get("method", ""), request=request,
        space=space.to_dict() if space else {}, **setting.document,
    )  # fmt: skip
    study.update(
        reasons=setting.reasons, notes=list(setting.data.notes), fingerprint=setting.data.fingerprint
    )
    return study


def _conducted(
    study: StudyRecord, setting: Setting, observer: Observer, began: float, engine: MakeEngine = Engine
) -> Study:
    """Do what the study is there for; what was found stays, whatever stops it."""
    seconds, spent = study.document["request"]["seconds"], float(study.info.get("spent", 0.0))
    until = math.inf if seconds is None else began + seconds - spent
    with _kept(study, began, spent):
        kind(study.kind).conduct(Course(study, setting, until, observer, engine))
    _draw(study)
    return Study(study.path)


@contextmanager
def _kept(study: StudyRecord, began: float, before: float) -> Iterator[None]:
    """Say in run.json how the study ended, and what time it took."""

    def spent() -> dict[str, float]:
        return {"spent": round(before + time.monotonic() - began, 3)}

    with locked(study.path):
        study.update(state="running")
        sweep(study)
        try:
            with _terminable():
                yield
        except Preempted:
            study.update(state="preempted", **spent())
            raise
        except KeyboardInterrupt as stop:
            study.update(state="preempted", **spent())
            told = Preempted(
                f"stopped; what was found until now is in {study.path}",
                "to go on later",
                f"fitwell resume {study.name}",
            )
            told.signal = signal.SIGTERM if isinstance(stop, _Terminated) else signal.SIGINT
            raise told from None
        except BaseException as error:
            with suppress(FitwellError):
                study.update(state="failed", error=str(error), finished=time.time(), **spent())
            raise
        result = study.result | {"seconds": spent()["spent"]}  # of all that was trained
        study.update(state="done", finished=time.time(), result=result, **spent())


class _Terminated(KeyboardInterrupt):
    """SIGTERM came while nothing was trained."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM stop what lies between the trainings, as Ctrl-C does; these note signals by themselves."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _draw(study: StudyRecord) -> None:
    from fitwell.views.report import write_report
    from fitwell.views.study_figures import write_study_figures

    write_study_figures(study)
    write_report(study)


def _check(trials: int | None, seconds: float | None, cv: int | None, method: str) -> None:
    if trials is not None and trials < 1:
        raise PlanError(f"trials is {trials}", "1 or more", "64 is usual")
    if seconds is not None and not seconds > 0:
        raise PlanError(f"seconds is {seconds}", "more than 0", "60 is usual")
    if cv is not None and cv < LEAST_FOLDS:
        raise PlanError(f"cv is {cv}", f"{LEAST_FOLDS} folds or more", "5 is usual")
    if method != AUTO:
        find_method(method)


def _check_space(space: Space) -> None:
    """All trials share one copy of the data on one device."""
    shared = {field.name for field in dataclasses.fields(DataPlan)} | {"device", "threads"}
    for name in space.dimensions:
        if name in shared:
            raise PlanError(
                f"{name} can't be tuned: all trials share the data and the machine",
                "settings of the model or of its training",
                f"leave {name} out of the space, and set it in the plan",
            )


def _check_parts(setting: Setting, cv: int | None) -> None:
    if setting.data.validation is None and not cv:
        raise PlanError(
            "there is no validation part, so trials can't be compared",
            "samples that are not trained on",
            'leave validation at "auto", or use cross-validation (--cv 5)',
        )


def _slug(plan: Plan) -> str:
    return str(plan.data.source) if isinstance(plan.data.source, str) else "memory"
