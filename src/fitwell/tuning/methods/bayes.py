"""Bayes: after some even points, those that are likely among the good ones and unlikely among the rest.

The tree-structured Parzen estimator (Bergstra et al. 2011, section 4; all settings together as in Falkner et al. 2018),
by Optuna. Of trials that have not been trained to their end those that have come further rank before the others, for
they were better where those were given up. Points of which nothing is known yet count as bad, so that a batch spreads
out. Options that have a size, as widths have, are places in their order: what is found of 128 units says something of
256.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fitwell.space import Choice, Dimension, Integer, Space, identity
from fitwell.space.dimensions import place_of
from fitwell.tuning.methods import Method
from fitwell.tuning.methods.random import proposals

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution

STARTS = 10  # scores that are known before the estimator is asked
EVEN = 4  # one proposal in so many is even: else what looked bad early is never tried again (Falkner et al. 2018)
TRIES = 16  # proposals of the estimator, of which one at least is to be new


@dataclass(frozen=True)
class Told:
    """What is known of some values: a score, None if they failed, and after how many epochs if not all."""

    score: float | None
    after: int | None


class Bayes:
    """A search by Optuna.

    Args:
        space: what may be tried.
        seed: of its draws.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._seed = space, seed
        self._even = proposals(space, seed)
        self._points: dict[str, tuple[dict[str, Any], Told | None]] = {}  # None: asked for, and not told yet

    def ask(self, count: int, /) -> list[dict[str, Any]]:
        """Even points until there are some scores, then mostly the estimator's."""
        found: list[dict[str, Any]] = []
        with _quiet():
            study = self._known() if self._scores() >= STARTS else None
            while len(found) < count:
                estimating = len(self._points) % EVEN
                values = self._estimated(study) if study is not None and estimating else None
                values = values or self._even_one()
                if values is None:
                    break
                self._points[identity(values)] = values, None
                found.append(values)
        return found

    def tell(self, values: Mapping[str, Any], score: float | None, /, after: int | None = None) -> None:
        """What failed is worse than all that did not, so that the search keeps away from it."""
        if self._space.contains(values):
            known = score is not None and math.isfinite(score)
            self._points[identity(values)] = dict(values), Told(score if known else None, after)

    def _scores(self) -> int:
        return sum(told is not None for _, told in self._points.values())

    def _even_one(self) -> dict[str, Any] | None:
        return next((each for each in self._even if identity(each) not in self._points), None)

    def _estimated(self, study: Study) -> dict[str, Any] | None:
        """A proposal of the estimator; None if it only has what was there before."""
        from optuna.trial import TrialState

        for _ in range(TRIES):
            trial = study.ask()
            values: dict[str, Any] = {}
            for name, dimension in self._space.dimensions.items():
                if self._space.active(name, values):
                    values[name] = _suggest(trial, name, dimension)
            if identity(values) not in self._points:
                return values
            study.tell(trial, state=TrialState.FAIL)  # which is ignored
        return None

    def _known(self) -> Study:
        """All that is known now as a study of Optuna, which could not take back what was told of a trial."""
        import optuna

        sampler = optuna.samplers.TPESampler(
            n_startup_trials=STARTS, multivariate=True, group=True, constant_liar=True,
            seed=self._seed + len(self._points),
        )  # fmt: skip
        study = optuna.create_study(sampler=sampler)
        for values, told in self._points.values():
            stored = {name: _stored(self._space.dimensions[name], value) for name, value in values.items()}
            if told is None:
                study.enqueue_trial(stored)
                trial = study.ask()
                for name in values:
                    _suggest(trial, name, self._space.dimensions[name])
            else:
                dimensions = {name: _distribution(self._space.dimensions[name]) for name in values}
                study.add_trial(optuna.create_trial(params=stored, distributions=dimensions, **_state(told)))
        return study


def _state(told: Told) -> dict[str, Any]:
    from optuna.trial import TrialState

    if told.score is None:
        # Where FAIL was told, which is ignored, 7 of 8 proposals went to the third of a space that failed; of
        # what is pruned without a value, which ranks last, 1 of 6 (test_it_keeps_away_from_what_fails).
        return {"state": TrialState.PRUNED}
    if told.after is None:
        return {"state": TrialState.COMPLETE, "value": told.score}
    return {"state": TrialState.PRUNED, "intermediate_values": {told.after: told.score}}


def _distribution(dimension: Dimension) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Choice):
        places = len(dimension.options)
        return (
            IntDistribution(0, places - 1) if _by_size(dimension) else CategoricalDistribution(range(places))
        )
    if isinstance(dimension, Integer):
        return IntDistribution(dimension.low, dimension.high, log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.logarithmic)


def _suggest(trial: Trial, name: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Choice):  # Optuna knows options by their place: they may be lists
        by_size, places = _by_size(dimension), len(dimension.options)
        if by_size:
            return by_size[trial.suggest_int(name, 0, places - 1)]
        return dimension.options[trial.suggest_categorical(name, range(places))]
    if isinstance(dimension, Integer):
        return trial.suggest_int(name, dimension.low, dimension.high, log=dimension.log)
    return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.logarithmic)


def _stored(dimension: Dimension, value: Any) -> Any:
    if isinstance(dimension, Choice):
        return place_of(value, _by_size(dimension) or dimension.options)
    return value


def _by_size(choice: Choice) -> list[Any]:
    """The options from small to large, if they are numbers or lists of numbers; else none.

    >>> _by_size(Choice([(256,), (64, 64), 64, ()]))
    [(), 64, (64, 64), (256,)]
    >>> _by_size(Choice(["relu", "tanh"]))
    []
    """
    if len(choice.options) < 2 or not all(map(_sized, choice.options)):
        return []
    return sorted(choice.options, key=lambda option: (sum(_widths(option)), len(_widths(option))))


def _sized(option: Any) -> bool:
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in _widths(option))


def _widths(option: Any) -> tuple[Any, ...]:
    return option if isinstance(option, tuple) else (option,)


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


METHOD = Method("tries what is likely to be good, from the scores so far", Bayes, at_once=12)
