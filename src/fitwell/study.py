"""A study: many trainings as one, such as a search for settings, folds or sizes of a model. It is a run directory.

runs/<stamp>-tune-digits/
  run.json plan.json   as of any run; the plan is the one that is varied
  study.json           what was asked, what was found: see ``create_study``
  trials/<stamp>-trial-<number>/    each a run, whose run.json tells of the "trial"
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fitwell.errors import DamagedError, FitwellError, RunError
from fitwell.run import Run, create_run
from fitwell.run.files import read_json, write_json

if TYPE_CHECKING:
    from fitwell.plan import Plan
    from fitwell.space import Space

SCHEMA = 1
FILE = "study.json"
TRIALS = "trials"  # the folder of child runs
VERIFICATION = "verification"  # the stage of trainings that chose nothing, on fresh seeds
COLUMNS = ("number", "stage", "state", "score", "epochs", "seconds", "parameters", "verdict")
_PLAIN = (*COLUMNS, "values", "metrics", "reason")
State = Literal["done", "failed", "stopped", "running"]


@dataclass(frozen=True)
class TrialRecord:
    """A training with some settings of the study's plan changed.

    Args:
        number: from 1, in the order of their beginning.
        values: the settings that were changed, by name.
        stage: of the study.
        state: ``done``; ``stopped`` early on purpose; ``failed``; ``running`` also if it was interrupted.
        score: the study's metric, of the epoch that was kept; None if it failed or is not finite.
        metrics: as of any run; empty before its end.
        epochs: that it took.
        seconds: that it took.
        verdict: one word on how well it fits; empty before its end.
        reason: why it failed or was stopped; else empty.
        parameters: of the model.
        path: its folder.
    """

    number: int
    values: Mapping[str, Any]
    stage: str
    state: State
    score: float | None
    metrics: Mapping[str, float]
    epochs: int | None
    seconds: float | None
    verdict: str
    reason: str
    parameters: int | None
    path: Path

    @cached_property
    def run(self) -> Run:
        """The trial as a run, with its curves."""
        return Run(self.path)

    @property
    def plan(self) -> Plan:
        """The plan that was trained."""
        return self.run.plan

    @property
    def has_model(self) -> bool:
        """Whether its model was kept."""
        return (self.path / "model" / "model.json").exists()


class StudyRecord(Run):
    """A study that was recorded, as it is now: a trial is read again when it has changed.

    Raises:
        RunError: the folder holds no study.
    """

    def __init__(self, path: Path | str) -> None:
        super().__init__(path)
        self._read: dict[Path, tuple[object, TrialRecord | None]] = {}
        if not (self.path / FILE).is_file():
            raise RunError(f"{self.path} holds no study", f"a folder with {FILE}", "see `fitwell runs`")

    @property
    def document(self) -> dict[str, Any]:
        """study.json: schema, kind, metric, higher, method, space, seed, stages, notes, summary.

        Raises:
            DamagedError: it is not what fitwell wrote.
        """
        path = self.path / FILE
        found = read_json(path)
        if not isinstance(found, dict) or "kind" not in found:
            raise DamagedError(
                f"{path} holds no study", "the JSON that fitwell wrote", "restore it, or make the study again"
            )
        return found

    def write(self, **values: Any) -> None:
        """Replace values of study.json, atomically."""
        write_json(self.path / FILE, self.document | values)

    @property
    def kind(self) -> str:
        """One of ``tune``, ``cv``, ``capacity``, ``samples``."""
        return str(self.document["kind"])

    @property
    def metric(self) -> str:
        """By which trials are compared: ``val/accuracy``."""
        return str(self.document.get("metric") or "val/loss")

    @property
    def higher(self) -> bool:
        """Whether more of the metric is better."""
        return bool(self.document.get("higher"))

    @property
    def method(self) -> str:
        """How settings were chosen."""
        return str(self.document.get("method") or "")

    @property
    def space(self) -> Space | None:
        """The settings among which was searched, with their ranges; None if nothing was searched."""
        from fitwell.space import Space

        plain = self.document.get("space")
        return Space.from_dict(plain) if plain else None

    @property
    def stages(self) -> list[dict[str, Any]]:
        """What was gone through: ``name``, ``why``, ``space``, ``trials``, ``best``, ``found``."""
        return list(self.document.get("stages") or [])

    @property
    def notes(self) -> list[str]:
        """What a person should know of the search."""
        return list(map(str, self.document.get("notes") or []))

    @property
    def summary(self) -> dict[str, Any]:
        """What came of it, by kind; empty until it is known."""
        return dict(self.document.get("summary") or {})

    @property
    def trials(self) -> list[TrialRecord]:
        """Every readable trial, by number; a damaged one is left out."""
        folder = self.path / TRIALS
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
        metric = self.metric
        found = [trial for path in paths if (trial := self._trial(path, metric)) is not None]
        return sorted(found, key=lambda trial: trial.number)

    @property
    def tried(self) -> list[TrialRecord]:
        """The trials that were to find something: without those that verify the best on fresh seeds."""
        return [trial for trial in self.trials if trial.stage != VERIFICATION]

    def _trial(self, path: Path, metric: str) -> TrialRecord | None:
        try:
            told = (path / "run.json").stat()
        except OSError:
            return None
        version = (
            told.st_ino,
            told.st_mtime_ns,
            told.st_size,
            metric,
        )  # a file that is written anew is another one
        if self._read.get(path, (None,))[0] != version:
            self._read[path] = version, _read(path, metric)
        return self._read[path][1]

    def ranked(self) -> list[TrialRecord]:
        """The trials that are done and have a score, the best first; of equal ones the earlier.

        If there was no time for any to be done, those that were stopped.
        """
        sign = -1 if self.higher else 1
        for state in ("done", "stopped"):
            having = [(trial.score, trial) for trial in self.tried if trial.state == state]
            pairs = [(sign * score, trial) for score, trial in having if score is not None]
            if pairs:
                return [trial for _, trial in sorted(pairs, key=lambda pair: pair[0])]
        return []

    @property
    def best(self) -> TrialRecord | None:
        """The trial that the study decided for; before that the first of ``ranked``. None if none is done."""
        ranked = self.ranked()
        chosen = self.summary.get("best") if self.kind == "tune" else None
        return next((trial for trial in ranked if trial.number == chosen), ranked[0] if ranked else None)

    @property
    def default(self) -> TrialRecord | None:
        """The trial of the plan as it was: the one that the summary names, else the first that changes nothing."""
        trials, named = self.trials, self.summary.get("default")
        known = next((trial for trial in trials if trial.number == named), None)
        if known is not None or not trials:
            return known
        plan, space = self.plan, self.space
        return next((trial for trial in trials if _changes_nothing(plan, space, trial)), None)

    def settings(self) -> list[str]:
        """The names of what the trials changed: those of the space, in its order, then others."""
        names = list(self.document.get("space") or {})
        changed = [name for trial in self.tried for name in trial.values]
        return [name for name in dict.fromkeys([*names, *changed]) if name in set(changed)]

    def frame(self) -> Any:
        """The trials as a ``pandas.DataFrame``.

        Returns:
            One row a trial, by number, with the columns ``number``, ``stage``, ``state``, ``score``, ``epochs``,
            ``seconds``, ``parameters``, ``verdict``; then one a setting, by its name, or by its path in the plan
            (``stopping.epochs``) where the name is taken; then the metrics. Missing is what is not known.
        """
        pandas = import_module("pandas")  # by name, as ``Run.to_frame`` does
        trials, settings = self.trials, {_column(name): name for name in self.settings()}
        metrics = sorted({name for trial in trials for name in trial.metrics})
        rows = [
            [getattr(trial, name) for name in COLUMNS]
            + [_cell(trial.values.get(name)) for name in settings.values()]
            + [trial.metrics.get(name, math.nan) for name in metrics]
            for trial in trials
        ]
        frame = pandas.DataFrame(rows, columns=[*COLUMNS, *settings, *metrics])
        kinds = {"score": float, "epochs": "Int64", "seconds": float, "parameters": "Int64"}
        return frame.astype(kinds | dict.fromkeys(metrics, float))

    def __repr__(self) -> str:
        return f"StudyRecord({str(self.path)!r}, {self.kind}, {self.state})"


def is_study(path: Path | str) -> bool:
    """Whether the folder holds a study."""
    return all((Path(path) / name).is_file() for name in ("run.json", FILE))


def studied(run: Run, everything: bool = False) -> dict[str, Any]:
    """What ``--json`` tells of a run that is a study, as ``study``; of others nothing.

    Args:
        run: any.
        everything: also study.json, and each trial in ``trials``.
    """
    if not run.study:
        return {}
    try:
        study = StudyRecord(run.path)
        best, trials = study.best, study.trials
        told: dict[str, Any] = {"kind": study.kind, "metric": study.metric, "trials": len(trials)}
    except FitwellError:
        return {}
    told |= {"best": best and best.number, "score": best and best.score}
    if not everything:
        return {"study": told}
    plain = [{name: getattr(trial, name) for name in _PLAIN} | {"run": str(trial.path)} for trial in trials]
    return {"study": study.document | told, "trials": plain}


def create_study(
    plan: Plan, kind: str, slug: str, folder: str | Path | None = None, **document: Any
) -> StudyRecord:
    """A new study in state ``running``, without trials.

    Args:
        plan: that is varied, decided throughout.
        kind: ``tune``, ``cv``, ``capacity`` or ``samples``.
        slug: what it is of, such as the name of the data.
        folder: of the runs.
        document: values of study.json: ``metric`` (``val/accuracy``), ``higher``, ``method``, ``space``, ``seed``,
            ``stages``, ``notes``, ``summary``. In the summary of a ``tune`` the ``difference`` is that of the best
            minus that of the default, in the metric's unit; the ``gain`` of an ensemble is positive if it is better.

    Raises:
        StorageError: the folder can't be written.
    """
    run = create_run(plan, f"{kind}-{Path(slug).stem}", folder)
    usual: dict[str, Any] = {
        "metric": "val/loss", "higher": False, "method": "", "space": {}, "seed": plan.seed, "stages": [],
        "notes": [], "summary": None,
    }  # fmt: skip
    (run.path / TRIALS).mkdir()
    run.update(study={"kind": kind}, data=slug)
    write_json(run.path / FILE, {"schema": SCHEMA, "kind": kind} | usual | document)
    return StudyRecord(run.path)


def _read(path: Path, metric: str) -> TrialRecord | None:
    """The trial in a folder; None if there is none, or what is there can't be understood."""
    try:
        info = Run(path).info
        return _record(path, info, info["trial"], metric)
    except (FitwellError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _record(path: Path, info: Mapping[str, Any], trial: Mapping[str, Any], metric: str) -> TrialRecord:
    result = info.get("result") or {}
    metrics = dict(result.get("metrics") or {})
    state = _state(info, trial)
    score = trial.get("score") if "score" in trial else metrics.get(metric)
    return TrialRecord(
        number=int(trial["number"]),
        values=dict(trial.get("values") or {}),
        stage=str(trial.get("stage") or ""),
        state=state,
        score=_finite(score) if state in ("done", "stopped") else None,
        metrics=metrics,
        epochs=result.get("epochs"),
        seconds=result.get("seconds"),
        verdict=str(result.get("verdict") or ""),
        reason=_reason(info, trial, state),
        parameters=result.get("parameters"),
        path=path,
    )


def _state(info: Mapping[str, Any], trial: Mapping[str, Any]) -> State:
    if info["state"] == "failed":
        return "failed"
    if info["state"] != "done":
        return "running"
    return "stopped" if trial.get("stopped") else "done"


def _reason(info: Mapping[str, Any], trial: Mapping[str, Any], state: State) -> str:
    """Why it is no whole training: what stopped it, or the first line of the error, or a finding, or the verdict."""
    if state == "stopped":
        return str(trial["stopped"])
    if state != "failed":
        return ""
    result = info.get("result") or {}
    said = [str(finding.get("says") or finding.get("name")) for finding in result.get("findings") or []]
    told = [str(info.get("error") or "").partition("\n")[0], *said, str(result.get("verdict_reason") or "")]
    return next((text for text in told if text), "it is not known why")


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _changes_nothing(plan: Plan, space: Space | None, trial: TrialRecord) -> bool:
    try:
        changed = space.apply(plan, trial.values) if space else plan.change(**trial.values)
        return changed == plan
    except FitwellError:
        return False


def _column(name: str) -> str:
    if name not in COLUMNS:
        return name
    from fitwell.plan import FLAT  # it takes longer to import than all the rest

    return f"{FLAT.get(name, 'plan')}.{name}"


def _cell(value: Any) -> Any:
    """A value as a cell of a table holds it: lists can't be compared or grouped."""
    return tuple(map(_cell, value)) if isinstance(value, Sequence) and not isinstance(value, str) else value
