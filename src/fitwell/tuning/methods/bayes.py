"""Bayes: after some even points, those that are likely among the good ones and unlikely among the rest.

The tree-structured Parzen estimator (Bergstra et al. 2011, section 4; all settings together as in Falkner et al. 2018),
by Optuna. Points whose scores are still awaited count as bad, so that a batch spreads out.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fitwell.space import Choice, Dimension, Integer, Space, identity
from fitwell.space.dimensions import place_of
from fitwell.tuning.methods import Method
from fitwell.tuning.methods.random import proposals

if TYPE_CHECKING:
    from optuna import Study, Trial

STARTS = 10  # scores that are known before the estimator is asked
TRIES = 16  # proposals of the estimator, of which one at least is to be new


class Bayes:
    """A search by Optuna.

    Args:
        space: what may be tried.
        seed: of its draws.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._even = proposals(space, seed)
        self._study = _make_study(seed)
        self._open: dict[str, Trial] = {}  # asked for, and not told yet
        self._seen: set[str] = set()
        self._told = 0

    def ask(self, count: int, /) -> list[dict[str, Any]]:
        """Even points until there are some scores, then the estimator's."""
        found: list[dict[str, Any]] = []
        with _quiet():
            while len(found) < count:
                values = self._next()
                if values is None:
                    break
                found.append(values)
        return found

    def tell(self, values: Mapping[str, Any], score: float | None, /) -> None:
        """What failed is worse than all that did not, so that the search keeps away from it."""
        from optuna.trial import TrialState

        with _quiet():
            trial = self._open.pop(identity(values), None)
            if trial is None:
                if not self._space.contains(values):
                    return
                trial = self._enter(values)
            self._told += 1
            if score is None or not math.isfinite(score):
                # Where FAIL was told, which is ignored, 7 of 8 proposals went to the third of a space that failed; of
                # what is pruned without a value, which ranks last, 1 of 6 (test_it_keeps_away_from_what_fails).
                self._study.tell(trial, state=TrialState.PRUNED)
            else:
                self._study.tell(trial, score)

    def _next(self) -> dict[str, Any] | None:
        if self._told >= STARTS:
            for _ in range(TRIES):
                values = self._estimated()
                if values is not None:
                    return values
        values = next((each for each in self._even if identity(each) not in self._seen), None)
        if values is not None:
            self._open[identity(values)] = self._enter(values)
        return values

    def _estimated(self) -> dict[str, Any] | None:
        """A proposal of the estimator; None if it was there before."""
        from optuna.trial import TrialState

        trial = self._study.ask()
        values: dict[str, Any] = {}
        for name, dimension in self._space.dimensions.items():
            if self._space.active(name, values):
                values[name] = _suggest(trial, name, dimension)
        key = identity(values)
        if key in self._seen:
            self._study.tell(trial, state=TrialState.FAIL)  # which is ignored
            return None
        self._seen.add(key)
        self._open[key] = trial
        return values

    def _enter(self, values: Mapping[str, Any]) -> Trial:
        """Values that were chosen elsewhere, as a trial of the study."""
        self._seen.add(identity(values))
        self._study.enqueue_trial(
            {name: _stored(self._space.dimensions[name], value) for name, value in values.items()}
        )
        trial = self._study.ask()
        for name in values:
            _suggest(trial, name, self._space.dimensions[name])
        return trial


def _make_study(seed: int) -> Study:
    import optuna

    with _quiet():
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=STARTS, multivariate=True, group=True, constant_liar=True, seed=seed
        )
        return optuna.create_study(sampler=sampler)


def _suggest(trial: Trial, name: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Choice):  # Optuna knows options by their place: they may be lists
        return dimension.options[trial.suggest_categorical(name, range(len(dimension.options)))]
    if isinstance(dimension, Integer):
        return trial.suggest_int(name, dimension.low, dimension.high, log=dimension.log)
    return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.logarithmic)


def _stored(dimension: Dimension, value: Any) -> Any:
    return place_of(value, dimension.options) if isinstance(dimension, Choice) else value


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's log and its warnings that a feature is experimental; as it was afterwards."""
    from optuna import logging
    from optuna.exceptions import ExperimentalWarning

    level = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        logging.set_verbosity(level)


METHOD = Method("tries what is likely to be good, from the scores so far", Bayes)
