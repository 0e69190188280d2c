"""Keep trials: each is a run directory within the study's, from its beginning to its end."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fitwell.data.contract import Data
from fitwell.diagnosing import diagnose
from fitwell.models import parameter_count
from fitwell.run import Run, create_run
from fitwell.run.events import EventLog
from fitwell.run.files import read_json
from fitwell.study import TRIALS, StudyRecord, TrialRecord
from fitwell.training import checkpoint
from fitwell.training.artifact import Fitted, save_model
from fitwell.training.conclude import judged
from fitwell.training.evaluation import main_metric
from fitwell.tuning.populations.measuring import objective_of
from fitwell.tuning.populations.members import Member
from fitwell.tuning.populations.streams import drawing_from
from fitwell.tuning.trials import DIVERGED, Trial

Further = Callable[[Trial], Mapping[str, float]]

SAVE_SECONDS = 15.0  # at least, between two checkpoints of all that trains
SAVE_SHARE = 50  # ... and this many times what the last ones took, so that saving costs at most 2 %


class Keeper:
    """Records trials in the folder of a study.

    Args:
        study: whose trials they are.
        models: whether a trial that ended well keeps its model.
        further: gives more figures of a trial that ended well.
        every: seconds between two checkpoints, at least.
    """

    def __init__(
        self, study: StudyRecord, models: bool = True, further: Further = lambda _trial: {},
        every: float | None = None,
    ) -> None:  # fmt: skip
        self.study, self.models, self.further = study, models, further
        self.every = SAVE_SECONDS if every is None else every
        self.runs: dict[int, tuple[Run, EventLog]] = {}
        self.next_save = time.monotonic() + self.every

    def begin(self, trial: Trial) -> None:
        """A run directory for a trial that begins, or can't."""
        folder = self.study.path / TRIALS
        run = create_run(trial.plan, f"trial-{trial.number}", folder, self.study.name)
        run.update(trial=self._told(trial))  # before this it is no trial: see ``sweep``
        self.runs[trial.number] = run, EventLog(run.events_path)

    def take_up(self, record: TrialRecord, parts: Sequence[Data]) -> Trial:
        """A trial that was interrupted, as its checkpoints left it, in its own run directory.

        Raises:
            DamagedError: a checkpoint was changed.
        """
        trial = Trial(record.number, record.values, record.plan, parts, record.stage)
        trial.begin()
        self._go_on(trial, record.run)
        return trial

    def _go_on(self, trial: Trial, run: Run) -> None:
        size = 0
        progress = run.info["trial"].get("progress") or {}
        told = progress.get("members") or []
        for number, (member, kept) in enumerate(zip(trial.members, told, strict=False), start=1):
            with drawing_from(member.stream):
                state = checkpoint.load(member.job, _checkpoints(run, number))
            if state is not None:
                size, trial.began = state.events_size, time.monotonic() - state.seconds
                member.scores = list(kept["scores"])[: state.epoch]
                member.kept_row = kept["kept"][str(_kept_epoch(member))]
        trial.rows = list(progress.get("rows", []))[: trial.epochs]
        self.runs[trial.number] = run, EventLog(run.events_path, size=size)
        self._tell(trial, run, [{}] * len(trial.members))

    def epoch(self, trial: Trial) -> None:
        """Write the figures of an epoch."""
        _, log = self.runs[trial.number]
        step = max(member.job.step for member in trial.members)
        row = dict(trial.rows[-1])
        if trial.failed and trial.failed.startswith(DIVERGED):
            row["loss/batch"] = math.nan  # as of any run that diverged
        log.append(step, float(trial.epochs), row)

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() >= self.next_save

    def save(self, trials: list[Trial]) -> None:
        """Save checkpoints of all members that train."""
        start = time.monotonic()
        for trial in trials:
            self._save(trial)
        end = time.monotonic()
        self.next_save = end + max(self.every, SAVE_SHARE * (end - start))

    def _save(self, trial: Trial) -> None:
        run, log = self.runs[trial.number]
        size = log.flush()
        # First what is told of the epochs, also of the one that the former checkpoint ends with: a kill comes any time.
        before = (run.info["trial"].get("progress") or {}).get("members") or [{}] * len(trial.members)
        self._tell(trial, run, before)
        for number, member in enumerate(trial.members, start=1):
            with drawing_from(member.stream):
                checkpoint.save(member.job, _checkpoints(run, number), size, time.monotonic() - trial.began)

    def _tell(self, trial: Trial, run: Run, before: Sequence[Mapping[str, Any]]) -> None:
        """Write what the checkpoints of the members do not hold: their scores, and the figures of the kept epochs."""
        members = [_progress(one, former) for one, former in zip(trial.members, before, strict=True)]
        progress = {"members": members, "rows": [dict(row) for row in trial.rows]}
        run.update(trial=self._told(trial) | {"progress": progress})

    def end(self, trial: Trial) -> Run:
        """Write what came of a trial: its result, its model, its diagnosis."""
        run, log = self.runs.pop(trial.number)
        trial.ended = time.monotonic()
        log.flush()
        run.update(trial=self._told(trial), result=self._result(trial, run))
        if trial.members:  # what could not begin has nothing to diagnose
            run.update(result=run.result | diagnose(run).result)
        ended = not trial.stopped or trial.late
        if trial.score is not None and ended and self.models and len(trial.members) == 1:
            self._save_model(trial, run)
        failed = {"error": trial.failed} if trial.failed else {}
        metric = main_metric(trial.parts[0].shape.target)
        run.update(state="failed" if failed else "done", finished=time.time(), metric=metric, **failed)
        shutil.rmtree(run.path / "checkpoints", ignore_errors=True)
        return run

    def _save_model(self, trial: Trial, run: Run) -> None:
        job = trial.members[0].job
        job.restore_best()
        save_model(
            run.path / "model", job.plan, Fitted(job.model, job.family, job.data.shape, job.data.encoder)
        )

    def _told(self, trial: Trial) -> dict[str, Any]:
        """``trial`` of run.json."""
        score, chosen = trial.score, objective_of(trial.parts[0])
        return {
            "number": trial.number,
            "values": dict(trial.values),
            "stage": trial.stage,
            "score": None if score is None else chosen.shown(score),
            "stopped": trial.stopped,
            **trial.about,
        }

    def _result(self, trial: Trial, run: Run) -> dict[str, Any]:
        """``result`` of run.json, as of any run; of folds the means."""
        chosen, score = objective_of(trial.parts[0]), trial.score
        result: dict[str, Any] = {
            "run": str(run.path), "seconds": round(trial.ended - trial.began, 3) if trial.members else 0.0,
            "epochs": trial.epochs, "steps": 0, "parameters": 0, "metrics": trial.figures,
        }  # fmt: skip
        if not trial.members:
            return result
        job = trial.members[0].job
        if score is not None:
            result["metrics"] |= {f"val/{chosen.metric}": chosen.shown(score)}
            result["metrics"] |= {} if trial.stopped else self.further(trial)
        return result | {
            "steps": job.step,
            "parameters": parameter_count(job.model),
            "best_epoch": job.best_epoch or job.epoch,
            "judged": judged(job, result["metrics"]),
        }


def sweep(study: StudyRecord) -> None:
    """Remove what a kill left of trials that were about to begin, and checkpoints of trials that have ended."""
    for path in (study.path / TRIALS).iterdir():
        info = read_json(path / "run.json") if (path / "run.json").exists() else {}
        if "trial" not in info:
            shutil.rmtree(path, ignore_errors=True)
        elif info["state"] in ("done", "failed"):
            shutil.rmtree(path / "checkpoints", ignore_errors=True)


def _progress(member: Member, former: Mapping[str, Any]) -> dict[str, Any]:
    """Scores, and the figures of the kept epoch, now and when it was saved before."""
    kept = dict(list(former.get("kept", {}).items())[-1:])
    return {"scores": member.scores, "kept": kept | {str(_kept_epoch(member)): dict(member.kept_row)}}


def _kept_epoch(member: Member) -> int:
    return member.job.best_epoch or member.job.epoch


def _checkpoints(run: Run, number: int) -> Path:
    return run.path / "checkpoints" / f"member-{number}"
