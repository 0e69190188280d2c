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
    from fitwell.treated import treat
    from fitwell.watched import watch

__version__ = "0.1.0"
__all__ = [
    "FittedRun",
    "FitwellError",
    "Plan",
    "Run",
    "diagnose",
    "find_run",
    "fit",
    "foresee",
    "list_runs",
    "resume",
    "treat",
    "watch",
]

_HOMES = {
    "FittedRun": "fitting", "FitwellError": "errors", "Plan": "plan", "Run": "run", "diagnose": "diagnosing",
    "find_run": "run",
    "fit": "fitting", "foresee": "fitting", "list_runs": "run", "resume": "fitting", "treat": "treated",
    "watch": "watched",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fitwell' has no attribute {name!r}")
    return getattr(importlib.import_module(f"fitwell.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
