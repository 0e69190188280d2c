"""Ensembles: the models of several trials, whose probabilities are averaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fitwell.data.contract import Data, Samples, Split
from fitwell.errors import RunError
from fitwell.study import StudyRecord, TrialRecord
from fitwell.training.artifact import Fitted, load_model
from fitwell.training.evaluation import metrics, outputs_of
from fitwell.tuning.comparing import gain
from fitwell.tuning.ensembling import average, choose
from fitwell.tuning.populations.measuring import objective_of

SIZE = 5
CANDIDATES = 20  # of the best trials, from which members are chosen


@dataclass(frozen=True)
class Ensemble:
    """Models that answer together.

    Args:
        members: of the trials that were chosen.
        numbers: of these trials.
    """

    members: tuple[Fitted, ...]
    numbers: tuple[int, ...]

    def outputs(self, samples: Samples) -> Tensor:
        """What all say of new samples on average: log-probabilities (n, K), a logit (n, 1), or numbers (n, K)."""
        return average([one.outputs(samples) for one in self.members], self.members[0].shape.target)

    def outputs_on(self, part: Split) -> Tensor:
        """The same of a part of the data that they were trained on."""
        return average([outputs_on(one, part) for one in self.members], self.members[0].shape.target)


def ensemble(study: StudyRecord, data: Data, size: int = SIZE) -> Ensemble | None:
    """The best trials of a study as one model; those are chosen on the validation part: see ``choose``.

    Args:
        study: whose trials kept their models.
        data: that they were trained on.
        size: members, at most.

    Returns:
        None if there are fewer than two models, if all others are clearly worse than the best, or there is no target to
        average for.
    """
    part = data.validation
    if part is None or data.shape.target.kind == "none":
        return None
    found = [(one, load_model(one.path / "model")) for one in _candidates(study)]
    if len(found) < 2:
        return None
    y = part.fields["y"].index_select(0, part.index).cpu()
    outputs = [outputs_on(fitted, part).cpu() for _, fitted in found]
    chosen = choose(outputs, y, data.shape.target, size)
    if len(chosen) < 2:
        return None
    return Ensemble(tuple(found[i][1] for i in chosen), tuple(found[i][0].number for i in chosen))


def recorded(study: StudyRecord) -> Ensemble | None:
    """The ensemble that was chosen when a study ended, and whose figures its summary tells; None if none was.

    Raises:
        RunError: a trial's model is gone.
    """
    numbers = [int(number) for number in (study.summary.get("ensemble") or {}).get("members", [])]
    places = {one.number: one.path for one in study.trials}
    missing = [number for number in numbers if number not in places]
    if missing:
        raise RunError(
            f"trial {missing[0]} of study {study.name} is gone, which its ensemble needs",
            "the trials' folders within the study's",
            "predict without --ensemble, or tune again",
        )
    models = {number: load_model(places[number] / "model") for number in set(numbers)}
    return Ensemble(tuple(models[number] for number in numbers), tuple(numbers)) if numbers else None


def _candidates(study: StudyRecord) -> list[TrialRecord]:
    return [one for one in study.ranked() if one.has_model][:CANDIDATES]


def summary(made: Ensemble, best: Fitted, default: Fitted | None, data: Data) -> dict[str, Any]:
    """``ensemble`` of a study's summary: its members, its metrics, and what it gains over one model alone.

    ``gain`` is that over the best model, ``gain_over_default`` that over the default's with its interval: see
    ``comparing.gain``. They are of the test part if there is one.
    """
    target, chosen = data.shape.target, objective_of(data)
    found, gained, over = dict[str, float](), 0.0, None
    for part in ("val", "test"):
        split = data.parts.get(part)
        if split is None:
            continue
        y = split.fields["y"].index_select(0, split.index).cpu()
        outputs = made.outputs_on(split).cpu()
        figures = metrics(outputs, y, target)
        figures[chosen.metric] = torch.tensor(chosen.shown(float(chosen.score(outputs, y, target))))
        found |= {f"{part}/{name}": float(value) for name, value in figures.items()}
        gained = gain(outputs, outputs_on(best, split), split, data).mean
        over = gain(outputs, outputs_on(default, split), split, data).plain() if default else None
    return {
        "members": list(made.numbers), "metrics": found, "gain": gained, "gain_over_default": over
    }  # fmt: skip


def outputs_on(fitted: Fitted, part: Split) -> Tensor:
    """What one model says of a part of the data that it was trained on: (N, K)."""
    with torch.inference_mode():
        device = part.index.device
        return outputs_of(fitted.family, fitted.model.to(device), part)
