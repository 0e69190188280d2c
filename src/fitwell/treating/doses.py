"""Which dose of a remedy may be better than those that were tried: the effect rises up to one dose and falls after it.

This is how the minimum of a function with one valley is bracketed. What may not be better needs no training, and what
helps is followed until more of it helps no more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from fitwell.experiment import Settings

AS_IT_IS = {
    "factor": 1.0,
    "share": 0.0,
    "p": 0.0,
}  # the dose that changes nothing, by the name of the setting


def number(dose: Settings) -> tuple[str, float] | None:
    """The name and value of a dose that is one number; None if it is something else."""
    if len(dose) != 1:
        return None
    ((name, value),) = dose.items()
    return (name, float(value)) if isinstance(value, int | float) else None


def may_be_better(
    dose: Settings, tried: Iterable[tuple[Settings, float]], as_it_is: float, clearly: float
) -> bool:
    """Whether, seen from the best dose so far, none that is clearly worse comes before this one.

    Args:
        dose: asked about.
        tried: other doses of the remedy and how good each was, more is better; minus infinity if it failed.
        as_it_is: how good the training is without the remedy.
        clearly: by how much a dose is worse at least, if that is not to be by chance.

    Returns:
        Also True for what is no number.
    """
    asked = number(dose)
    if asked is None:
        return True
    name, place = asked
    known = [(found[1], good) for other, good in tried if (found := number(other)) and found[0] == name]
    if name in AS_IT_IS:
        known.append((AS_IT_IS[name], as_it_is))
    if not known:
        return True
    peak, best = max(known, key=lambda each: each[1])
    if best == -math.inf:  # between two that fail there is none that does not
        return not min(at for at, _ in known) < place < max(at for at, _ in known)
    worse = (at for at, good in known if good < best - clearly)
    return not any(min(peak, place) <= at <= max(peak, place) for at in worse)
