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
from fitwell.tuning.ensembling import average, choose
from fitwell.tuning.intervals import paired
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
        return average([_outputs(one, part) for one in self.members], self.members[0].shape.target)


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
    outputs = [_outputs(fitted, part).cpu() for _, fitted in found]
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
    with_model = [one for one in study.ranked() if (one.path / "model" / "model.json").exists()]
    return with_model[:CANDIDATES]


def summary(made: Ensemble, best: Fitted, default: Fitted | None, data: Data) -> dict[str, Any]:
    """``ensemble`` of a study's summary: its members, its metrics, and what it gains over one model alone.

    ``gain`` is that over the best model, ``gain_over_default`` that over the default's with its 95 % interval over the
    samples. They are of what trials are compared by, on the test part if there is one; positive if it is better.
    """
    target, chosen = data.shape.target, objective_of(data)
    found: dict[str, float] = {}
    gain, over_default = 0.0, None
    for part in ("val", "test"):
        split = data.parts.get(part)
        if split is None:
            continue
        y = split.fields["y"].index_select(0, split.index).cpu()
        outputs = made.outputs_on(split).cpu()
        together_N = chosen.each(outputs, y, target)
        gain = float((chosen.each(_outputs(best, split).cpu(), y, target) - together_N).mean())
        if default is not None:
            default_N = chosen.each(_outputs(default, split).cpu(), y, target)
            over_default = paired(default_N.tolist(), together_N.tolist()).plain()
        figures = metrics(outputs, y, target)
        figures[chosen.metric] = torch.tensor(chosen.shown(float(together_N.mean())))
        found |= {f"{part}/{name}": float(value) for name, value in figures.items()}
    return {
        "members": list(made.numbers), "metrics": found, "gain": gain, "gain_over_default": over_default
    }  # fmt: skip


def _outputs(fitted: Fitted, part: Split) -> Tensor:
    with torch.inference_mode():
        device = part.index.device
        return outputs_of(fitted.family, fitted.model.to(device), part)
