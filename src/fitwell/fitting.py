"""fit(plan) -> Run: the verb that the rest serves, and the run as its user sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fitwell import data as datasets
from fitwell.data.contract import Data, Samples
from fitwell.data.targets import encode_target
from fitwell.errors import DataError, DivergedError, FitwellError, Preempted, RunError
from fitwell.plan import Plan
from fitwell.run import Run, create_run, find_run
from fitwell.run.lock import locked
from fitwell.shape import Target
from fitwell.training import checkpoint
from fitwell.training.artifact import Fitted, load_model
from fitwell.training.conclude import conclude
from fitwell.training.distributed import joined
from fitwell.training.evaluation import metrics as metrics_of
from fitwell.training.evaluation import probabilities
from fitwell.training.forecast import Forecast, forecast
from fitwell.training.job import Job
from fitwell.training.learning_rate import FALLBACK, RangeTest, find_learning_rate
from fitwell.training.loop import train
from fitwell.training.observer import Observer, Quiet
from fitwell.training.prepare import load, prepare
from fitwell.training.process import process_kept
from fitwell.training.recording import Follower, RunRecorder
from fitwell.watching.watcher import Watcher

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class FittedRun(Run):
    """A finished run with its model."""

    @cached_property
    def fitted(self) -> Fitted:
        """The trained model with what it needs to read new data."""
        return load_model(self.path / "model")

    @property
    def model(self) -> torch.nn.Module:
        """The trained module, in evaluation mode, on the CPU."""
        return self.fitted.model

    def predict(self, data: Any) -> np.ndarray:
        """Class names (n,), numbers (n,) or (n, K) in the target's units, or reconstructions (n, ...).

        Args:
            data: a path, an array or a DataFrame like those trained on; a target in it is not looked at.

        Raises:
            DataError: the data is not like that trained on.
        """
        return answers(self._outputs(data)[0], self.fitted)

    def predict_proba(self, data: Any) -> np.ndarray:
        """Probabilities (n, number of classes), in the order of ``run.classes``."""
        if self.fitted.shape.target.kind not in ("classes", "binary"):
            raise RunError(f"run {self.name} predicts no classes", "a classifier", "call predict")
        chances: np.ndarray = probabilities(self._outputs(data)[0], self.fitted.shape.target).numpy()
        return chances

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; empty for numbers."""
        target = self.fitted.shape.target
        return target.names if target.kind in ("classes", "binary") else ()

    def predictions(self, data: Any) -> tuple[pd.DataFrame, dict[str, float], str]:
        """Predictions as a table, with each class's probability; metrics if the data has a target.

        Returns:
            The table, the metrics, and why there are none although there is a target.
        """
        return told(*self._outputs(data), self.fitted)

    def _outputs(self, data: Any) -> tuple[torch.Tensor, Samples]:
        plan = self.plan.change(source=data).data
        samples = datasets.read(plan, self.fitted.shape)
        return self.fitted.outputs(samples), samples

    def figure(self) -> Figure:
        """Loss, metric and learning rate over the epochs."""
        from fitwell.views.figures import history

        return history(self)

    def report(self) -> Path:
        """Write ``report.html``, a page that stands by itself, and return its path."""
        from fitwell.views.report import write_report

        return write_report(self)


def told(
    outputs: torch.Tensor, samples: Samples, fitted: Fitted
) -> tuple[pd.DataFrame, dict[str, float], str]:
    """See ``FittedRun.predictions``.

    Args:
        outputs: of a model, or of several together.
        samples: that they are of.
        fitted: the model, or one of these.
    """
    import pandas as pd

    target = fitted.shape.target
    said = answers(outputs, fitted)
    columns: dict[str, Any] = {"sample": list(samples.rows)} if samples.rows else {}
    if said.ndim == 1:
        columns["prediction"] = said
    else:
        flat = said.reshape(len(said), -1)
        columns |= {f"prediction {i}": flat[:, i] for i in range(flat.shape[1])}
    if target.kind in ("classes", "binary"):
        chances = probabilities(outputs, target).numpy()
        columns |= {f"p({name})": chances[:, i] for i, name in enumerate(target.names)}
    scores, note = _scores(outputs, samples, target)
    return pd.DataFrame(columns), scores, note


def _scores(outputs: torch.Tensor, samples: Samples, target: Target) -> tuple[dict[str, float], str]:
    if samples.target is None or target.kind == "none":
        return {}, ""
    try:
        y = encode_target(target, samples.target)
    except DataError as error:  # predictions need no target: a strange one only can't be compared with
        return {}, f"not compared with the target: {error.happened}"
    return {name: float(value) for name, value in metrics_of(outputs, y, target).items()}, ""


def answers(outputs: torch.Tensor, fitted: Fitted) -> np.ndarray:
    """Outputs as people read them: class names (n,), numbers (n,) or (n, K) in the target's units, reconstructions."""
    target = fitted.shape.target
    if target.kind in ("classes", "binary"):
        names: np.ndarray = np.array(target.names)[probabilities(outputs, target).argmax(1).numpy()]
        return names
    if target.kind == "number":
        numbers: np.ndarray = outputs.double().numpy() * np.array(target.std) + np.array(target.mean)
        return numbers[:, 0] if numbers.shape[1] == 1 else numbers
    reconstructions: np.ndarray = outputs.numpy()
    return reconstructions


def fit(
    plan: Plan,
    *,
    runs: str | Path | None = None,
    observer: Observer | None = None,
    parent: str | None = None,
    draw: bool = True,
) -> FittedRun:
    """Train a plan, record the run, and return it. Under ``torchrun`` all its processes train the one model.

    Args:
        plan: what to train: ``Plan(data="digits")`` is enough.
        runs: the folder of runs; by default FITWELL_RUNS, else ``runs`` here.
        observer: is shown the progress.
        parent: the name of the run that this one varies.
        draw: whether to write the pictures and the report; ``Run.report`` can do it later.

    Raises:
        FitwellError: the plan or the data can't be used, the disk refuses, the loss diverges. A run that had
            begun can be resumed.
    """
    observer = observer or Quiet()
    began = time.monotonic()
    with process_kept(), joined(plan) as group:
        observer = observer if group.first else Quiet()
        job, reasons = prepare(plan, load(plan), observer.say, group)
        path = ""
        if group.first:
            run = create_run(job.plan, _slug(plan), runs, parent)
            run.update(reasons=reasons, notes=list(job.data.notes), fingerprint=job.data.fingerprint)
            path = str(run.path)
        run = Run(group.same(path))
        with _recorder(run, job, observer, began) as recorder, group.noted() as recorder.interrupts:
            train(job, recorder)
        if draw and group.first:
            _draw(run)  # the run is done, even if a picture can't be written
    return FittedRun(run.path)


def resume(
    name: str | Path,
    *,
    data: Any = None,
    runs: str | Path | None = None,
    observer: Observer | None = None,
) -> FittedRun:
    """Go on with a run that was stopped or killed, to the very result it would have had.

    Args:
        name: the run's path or name, or ``last``.
        data: the same data again, if it lived in memory.
        runs: the folder of runs.
        observer: is shown the progress.

    Raises:
        DataError: the data is not what it was.
        DamagedError: a checkpoint was changed.
    """
    observer = observer or Quiet()
    run = find_run(str(name), runs)
    if run.state == "done":
        observer.say(f"run {run.name} is done already")
        if not (run.path / "report.html").exists():
            _draw(run)
        return FittedRun(run.path)
    plan = run.plan if data is None else run.plan.change(source=data)
    began = time.monotonic()
    with process_kept(), joined(plan) as group:
        observer = observer if group.first else Quiet()
        loaded = load(plan)
        _check_same(run, loaded)
        job, _ = prepare(plan, loaded, observer.say, group)
        with _recorder(run, job, observer, began) as recorder, group.noted() as recorder.interrupts:
            train(job, recorder)
        if group.first:
            _draw(run)
    return FittedRun(run.path)


def foresee(plan: Plan) -> tuple[Plan, dict[str, str], Forecast]:
    """What ``fit`` would do: the plan with everything decided, the reasons, iterations and memory."""
    with process_kept():
        job, reasons = prepare(plan, load(plan))
        return job.plan, reasons, forecast(job)


def explore_rates(plan: Plan) -> RangeTest:
    """The learning-rate finder on a plan's data and model; nothing is recorded."""
    with process_kept():
        job, _ = prepare(plan.change(lr=FALLBACK), load(plan))
        return find_learning_rate(job)


def _recorder(
    run: Run, job: Job, observer: Observer, began: float
) -> AbstractContextManager[RunRecorder | Follower]:
    """The recorder of this process for what the block trains: of several, the first one writes the run."""
    torch.use_deterministic_algorithms(job.plan.deterministic)
    return _recorded(run, job, observer, began) if job.group.first else _followed(run, job)


@contextmanager
def _followed(run: Run, job: Job) -> Iterator[Follower]:
    """Train with the process that records the run, from where it begins."""
    checkpoint.load(job, run.path / "checkpoints")
    recorder = Follower(run)
    yield recorder
    recorder.stop_if_told()


@contextmanager
def _recorded(run: Run, job: Job, observer: Observer, began: float) -> Iterator[RunRecorder]:
    """Record what the block trains: from the last checkpoint if there is one, to the finished run."""
    with locked(run.path), _state_kept(run, observer):
        run.update(state="running")
        state = checkpoint.load(job, run.path / "checkpoints")
        recorder = RunRecorder(run, job, observer, state, time.monotonic() - began)
        observer.begin(_introduction(run, job))
        with _watched(recorder, job):
            try:
                yield recorder
            except DivergedError:
                recorder.diverged(job)
                raise
        observer.end()
        recorder.save(job)
        recorder.stop_if_told()
        conclude(job, run, observer, recorder.seconds)


@contextmanager
def _watched(recorder: RunRecorder, job: Job) -> Iterator[None]:
    """Look at the steps as ``fitwell watch`` does, unless somebody watches the whole process."""
    if Watcher.attached is not None:
        yield
        return
    watcher = recorder.watcher(job)
    watcher.attach()
    try:
        yield
    finally:
        watcher.detach()


@contextmanager
def _state_kept(run: Run, observer: Observer) -> Iterator[None]:
    """Say in run.json how it ended, if it ended badly."""
    try:
        yield
    except (Preempted, KeyboardInterrupt):
        run.update(state="preempted")
        raise
    except BaseException as error:
        if isinstance(error, DivergedError):
            error.run = str(run.path)
        # The disk may be what failed: then the state can't be written either, and the error matters more.
        with suppress(FitwellError):
            run.update(state="failed", error=str(error), finished=time.time())
        raise
    finally:
        observer.end()


def _draw(run: Run) -> None:
    from fitwell.views.figures import write_figures
    from fitwell.views.report import write_report

    finished = Run(run.path)
    write_figures(finished)
    write_report(finished)


def _introduction(run: Run, job: Job) -> dict[str, Any]:
    foreseen = forecast(job)
    return {
        "run": run.path,
        "data": run.info.get("data"),
        "family": job.plan.model.family,
        "hidden": job.plan.model.hidden,
        "parameters": foreseen.parameters,
        "memory": foreseen.memory,
        "samples": {name: len(part) for name, part in job.data.parts.items()},
        "batch_size": job.plan.batch_size,
        "batches": foreseen.iterations.batches_per_epoch,
        "steps": foreseen.iterations.steps,
        "epochs": job.epochs,
        "lr": job.plan.optimizer.lr,
        "device": job.plan.device,
        "threads": job.plan.threads,
        "notes": list(job.data.notes),
        "done": job.step,
    }


def _check_same(run: Run, data: Data) -> None:
    if run.info.get("fingerprint") != data.fingerprint:
        raise DataError(
            f"the data of run {run.name} is not what it was when the run began",
            "the very same data, or the result would not be the same",
            "restore the data, or train anew with `fitwell train`",
        )


def _slug(plan: Plan) -> str:
    return str(plan.data.source) if isinstance(plan.data.source, str) else "memory"
