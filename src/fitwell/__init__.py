"""fitwell trains neural networks that fit well, and can say why when they don't.

    run = fitwell.fit(fitwell.Plan(data="digits"))
    run.metrics; run.model; run.predict(X); run.figure(); run.report()

Importing fitwell costs nothing: torch is imported by the first verb.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fitwell.diagnosing import diagnose
    from fitwell.errors import FitwellError
    from fitwell.fitting import FittedRun, fit, foresee, resume
    from fitwell.plan import Plan
    from fitwell.run import Run, find_run, list_runs
    from fitwell.space import Space, choice, integer, loguniform, uniform
    from fitwell.treated import treat
    from fitwell.tuned import Study, capacity, cross_validate, learning_curve, resume_study, tune
    from fitwell.watched import watch

__version__ = "0.1.0"
_HOMES = {
    "diagnosing": ["diagnose"],
    "errors": ["FitwellError"],
    "fitting": ["FittedRun", "fit", "foresee", "resume"],
    "plan": ["Plan"],
    "run": ["Run", "find_run", "list_runs"],
    "space": ["Space", "choice", "integer", "loguniform", "uniform"],
    "treated": ["treat"],
    "tuned": ["Study", "capacity", "cross_validate", "learning_curve", "resume_study", "tune"],
    "watched": ["watch"],
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = [
    "FittedRun", "FitwellError", "Plan", "Run", "Space", "Study", "capacity", "choice", "cross_validate", "diagnose",
    "find_run", "fit", "foresee", "integer", "learning_curve", "list_runs", "loguniform", "resume", "resume_study",
    "treat", "tune", "uniform", "watch",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fitwell' has no attribute {name!r}")
    return getattr(importlib.import_module(f"fitwell.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
