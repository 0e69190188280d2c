"""What to try next: some remedies once, then other doses of the best, and all the others only if that is no help."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter

from fitwell.treating.candidates import Candidate
from fitwell.treating.doses import may_be_better
from fitwell.treating.screening import Screened

MOST_SCREENED = 8
MOST_FIRST = 4  # remedies of which one dose is tried before more doses of the best
CLEARLY = 10  # times the least gain that counts: what one training tells beyond its noise


def next_try(left: Sequence[Candidate], tried: Sequence[Screened], most: int = MOST_SCREENED) -> int | None:
    """The place of what to try next.

    Args:
        left: was not tried, the likeliest first.
        tried: was.
        most: trainings.

    Returns:
        None if nothing more is worth a training.
    """
    if len(tried) >= most or any(each.perfect for each in tried):
        return None
    lost = any(map(_was_lost, tried))
    able = [place for place, each in enumerate(left) if _may_be_better(each, tried, lost)]
    known = {each.candidate.remedy for each in tried}
    best = max(
        (each for each in tried if each.gain > CLEARLY * each.least), key=attrgetter("order"), default=None
    )
    if best is None:
        return next(iter(able), None)
    fresh = [place for place in able if left[place].remedy not in known]
    if len(known) < MOST_FIRST and (likely := [p for p in fresh if left[p].last <= best.candidate.last]):
        return likely[0]
    # Of a training that fails little is known: then other doses of the likeliest remedy are worth a try as well.
    wanted = [best.candidate.remedy, *([tried[0].candidate.remedy] if lost else [])]
    more = [place for name in wanted for place in able if left[place].remedy == name]
    return next(iter(more or (able if lost else [])), None)


def _was_lost(each: Screened) -> bool:
    """Whether the training as it is fails: then whatever does not is infinitely better, which tells little."""
    return each.gain == math.inf or (each.gain == 0 and each.good == -math.inf)


def _may_be_better(candidate: Candidate, tried: Sequence[Screened], lost: bool) -> bool:
    same = [each for each in tried if each.candidate.remedy == candidate.remedy]
    doses = [(each.candidate.dose, each.good) for each in same]
    least = max((each.least for each in same), default=0.0)
    helps = any(each.gain > CLEARLY * each.least for each in same)
    clearly = least if helps else CLEARLY * least  # where nothing helps, chance alone makes the difference
    return may_be_better(candidate.dose, doses, -math.inf if lost else 0.0, clearly)
