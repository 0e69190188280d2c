"""Whether a training has one aim, so that its loss tells how good it is."""

from __future__ import annotations

from itertools import pairwise

from fitwell.run import Run

TURNS = 2  # times the number of models: fewer are those of models that are trained one after the other


def has_rivals(run: Run) -> bool:
    """Whether models take turns to minimise losses of their own, as in a GAN.

    There the loss of one may fall because another gets worse. Models that share one loss, each with its optimizer,
    are no rivals, nor are those that are trained one after the other.
    """
    aims = (run.facts.get("signals", {}).get("objective") or {}).values()
    prefixes = [thread["prefix"] for thread in run.facts.get("threads") or []]
    if sum(bool(aim.get("places")) for aim in aims) < 2 or len(prefixes) < 2:
        return False
    steps = [_whose(event["signals"], prefixes) for event in run.events]
    return sum(one != other for one, other in pairwise(steps)) > TURNS * len(prefixes)


def _whose(signals: dict[str, float], prefixes: list[str]) -> str:
    """The prefix of the thread that an event is of."""
    return next((each for each in prefixes if each and any(name.startswith(each) for name in signals)), "")
