"""The settings of a study as coordinates: where their values lie between 0 and 1, and how much each matters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitwell.study import StudyRecord, TrialRecord
from fitwell.views.figures import number, shortened
from fitwell.views.study_texts import applied, setting_text

LEAST = 8  # done trials from which the importance of settings is told
TREES, POINTS, LEVELS = 64, 256, 16  # of the forest, of the other settings, of the setting itself
MOST_CHOICES = 12  # that have their name written on an axis
DECADES = (
    30.0  # largest / smallest value from which a setting that is not in the space has a logarithmic scale
)


@dataclass(frozen=True)
class Scale:
    """Where the values of a setting lie between 0 and 1: numbers by size or logarithm, others side by side.

    Args:
        name: of the setting.
        ends: the smallest and the largest number; None where values are named.
        log: whether by the logarithm.
        choices: the values that are named, as texts.
    """

    name: str
    ends: tuple[float, float] | None = None
    log: bool = False
    choices: tuple[str, ...] = ()

    def place(self, value: Any) -> float | None:
        """The place of a value, clipped to the ends; None if it has none."""
        if self.ends is None:
            text = setting_text(value)
            return _middle(self.choices.index(text), len(self.choices)) if text in self.choices else None
        if not is_number(value):
            return None
        low, high = map(self._turned, self.ends)
        return min(max((self._turned(value) - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Places with what to write there."""
        if self.ends is None:
            every = math.ceil(len(self.choices) / MOST_CHOICES)
            places = [(_middle(i, len(self.choices)), text) for i, text in enumerate(self.choices)]
            return [(place, shortened(text, 14)) for place, text in places[::every]]
        low, high = self.ends
        if low == high:
            return [(0.5, number(low, 3))]
        middle = math.sqrt(low * high) if self.log else (low + high) / 2
        return [(0.0, number(low, 3)), (0.5, number(middle, 3)), (1.0, number(high, 3))]

    def _turned(self, value: float) -> float:
        return math.log(max(value, math.ulp(0.0))) if self.log else float(value)


def _middle(place: int, count: int) -> float:
    return (place + 0.5) / count


def is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def scales(study: StudyRecord, trials: Sequence[TrialRecord]) -> list[Scale]:
    """The scale of each setting that the trials differ in: as wide as the space, and as their values."""
    dimensions, values = study.document.get("space") or {}, applied(study)
    found = []
    for name in study.settings():
        tried = [values[trial.number][name] for trial in trials if name in values[trial.number]]
        plain = dimensions.get(name)
        scale = _scale(name, plain if isinstance(plain, Mapping) else {}, tried)
        if scale is not None:
            found.append(scale)
    return found


def coordinates(study: StudyRecord, among: Sequence[Scale]) -> dict[int, list[float | None]]:
    """The places of each trial by its number; None where a setting did not apply."""
    return {
        trial: [scale.place(values[scale.name]) if scale.name in values else None for scale in among]
        for trial, values in applied(study).items()
    }


def _scale(name: str, plain: Mapping[str, Any], values: Sequence[Any]) -> Scale | None:
    texts = list(dict.fromkeys(map(setting_text, values)))
    if len(texts) < 2:
        return None
    if "options" in plain or not all(map(is_number, values)):
        order = map(setting_text, plain.get("options") or [])
        return Scale(name, choices=tuple(dict.fromkeys([*order, *texts])))
    ends = [*values, *(plain[end] for end in ("low", "high") if is_number(plain.get(end)))]
    log = bool(plain.get("log")) if "low" in plain else min(ends) > 0 and max(ends) / min(ends) > DECADES
    ends = [end for end in ends if end > 0] if log else ends  # 0 lies at the low end
    return Scale(name, (float(min(ends)), float(max(ends))), log)


def importance(study: StudyRecord) -> dict[str, float]:
    """How much each setting matters: the share of the score's variance that it explains alone, over all the space.

    Functional ANOVA (F. Hutter, H. Hoos, K. Leyton-Brown: An Efficient Approach for Assessing Hyperparameter
    Importance, ICML 2014): a random forest learns the score from the coordinates of the trials; the variance of its
    mean over all other settings, as one setting moves, is divided by its whole variance. The means are taken over
    random points, where the paper adds up the leaves. Scores that are far worse than most are moved to Tukey's fence
    (three quarters plus 1.5 interquartile ranges): otherwise it would tell what ruins a training alone.

    Returns:
        The shares, the largest first; what they lack to 1 is what settings do together. Empty with fewer than
        ``LEAST`` trials that are done, or if all have the same score.
    """
    trials = study.ranked()
    varied = scales(study, trials)
    if len(trials) < LEAST or not varied:
        return {}
    places, sign = coordinates(study, varied), -1 if study.higher else 1
    rows = [[0.5 if place is None else place for place in places[trial.number]] for trial in trials]
    shares = _shares(rows, [sign * (trial.score or 0.0) for trial in trials])
    found = dict(zip((scale.name for scale in varied), shares, strict=False))
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _shares(rows: Sequence[Sequence[float]], scores: Sequence[float]) -> list[float]:
    """The share of each column (N, D) in the variance of a forest over the unit cube."""
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor

    x_ND, y_N = np.asarray(rows, dtype=float), np.asarray(scores)
    quarter, three = np.quantile(y_N, [0.25, 0.75])
    y_N = np.minimum(y_N, three + 1.5 * (three - quarter)) if three > quarter else y_N
    forest = RandomForestRegressor(TREES, random_state=0, n_jobs=1).fit(x_ND, y_N)
    points_PD = np.random.default_rng(0).random((POINTS, x_ND.shape[1]))
    whole = float(np.var(forest.predict(points_PD)))
    if whole <= 0:
        return []
    shares = []
    for column in range(x_ND.shape[1]):
        moved_LPD = np.repeat(points_PD[None], LEVELS, axis=0)
        moved_LPD[:, :, column] = ((np.arange(LEVELS) + 0.5) / LEVELS)[:, None]
        mean_L = forest.predict(moved_LPD.reshape(-1, x_ND.shape[1])).reshape(LEVELS, POINTS).mean(axis=1)
        shares.append(min(float(np.var(mean_L)) / whole, 1.0))
    return shares
