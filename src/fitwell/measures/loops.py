"""The order of calls in a training loop: what is cleared, clipped, stepped and scheduled, and when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from fitwell.evidence import Measure, Value, View

CALLED_EVERY_STEP = 0.9  # calls of a scheduler per step from which it counts as called at each
END_OF_SCHEDULE = 0.02  # of the largest rate: below it a schedule is over


def count(signal: str, what: str) -> Callable[[View], Value]:
    """Reads a number of a signal's facts about the thread: 0 where the signal has facts and does not name it."""

    def read(view: View) -> Value:
        facts = view.known(signal)
        return facts.get(what, 0) if isinstance(facts, Mapping) and facts else None

    return read


def share(signal: str, what: str, of: str) -> Callable[[View], float | None]:
    """Reads one number of a signal's facts as a share of another; None while there is nothing to share."""

    def read(view: View) -> float | None:
        facts = view.known(signal)
        whole = facts.get(of) if isinstance(facts, Mapping) else None
        return facts.get(what, 0) / whole if whole else None

    return read


def place_of(signal: str, *whats: str) -> Callable[[View], Mapping[str, Any] | None]:
    """Gives the line that a signal's facts hold for the first of these calls that has one."""

    def where(view: View) -> Mapping[str, Any] | None:
        facts = view.known(signal) or {}
        places = facts.get("where") or {}
        if not whats:
            return places or None
        return next((places[what] for what in whats if what in places), None)

    return where


STEPS_SEEN = Measure("steps whose calls were seen", count("call_order", "steps"), "steps")
CARRIED_LOOKS = Measure("steps compared with the one before", count("carried_gradients", "looks"), "steps")
CLEARED = Measure("steps before which zero_grad was called", count("call_order", "cleared"), "steps")
CARRIED = Measure(
    "share of steps to whose gradients those of the step before were added",
    share("carried_gradients", "carried", "looks"),
    "share",
)
LOST = Measure(
    "share of steps that found no gradient, though backward had just left some",
    share("missing_gradients", "lost", "looks"),
    "share",
)
CLEARED_TOO_LATE = Measure(
    "share of steps with gradients cleared between backward and step",
    share("call_order", "cleared_between_backward_and_step", "steps"),
    "share",
)
DISCARDED = Measure(
    "share of steps before which a backward pass was cleared away unused",
    share("call_order", "discarded_backward", "steps"),
    "share",
)


def _gradientless(view: View) -> float | None:
    facts = view.known("missing_gradients")
    if not facts or not facts.get("parameters"):
        return None
    empty = facts["always_missing"]["count"] + facts["always_zero"]["count"]
    return float(empty / facts["parameters"])


GRADIENTLESS = Measure(
    "share of the optimizer's parameters whose gradient was missing or zero at every step seen",
    _gradientless,
    "share",
)

CLIPPED = Measure("steps seen with gradient clipping", count("call_order", "clipped"), "steps")
CLIP_BEFORE_BACKWARD = Measure(
    "share of the clipped steps in which clipping came before backward",
    share("call_order", "clip_before_backward", "clipped"),
    "share",
)
CLIP_AFTER_STEP = Measure(
    "share of the clipped steps in which clipping came after the step",
    share("call_order", "clip_after_step", "clipped"),
    "share",
)
CLIP_BEFORE_UNSCALE = Measure(
    "share of the clipped steps in which gradients were clipped while still scaled",
    share("call_order", "clip_before_unscale", "clipped"),
    "share",
)

SCHEDULED_BEFORE_STEP = Measure(
    "steps with scheduler.step called before optimizer.step",
    count("call_order", "scheduler_before_step"),
    "steps",
)


def _schedulers(view: View) -> list[Mapping[str, Any]] | None:
    """Those of the thread; an empty list if it has none."""
    found = view.known("schedulers")
    if found is None:
        return [] if view.known("call_order") else None
    return list(found)


def _calls(view: View, scheduler: Mapping[str, Any]) -> float:
    """How often a scheduler was called by the end, if it went on as it was last seen."""
    seen = scheduler.get("steps")
    return float(scheduler["calls"] * _steps(view) / seen if seen else scheduler["calls"])


def _steps(view: View) -> int:
    """Of the thread."""
    known = [int(thread["steps"]) for thread in view.fact("threads") or [] if thread["name"] == view.thread]
    rate = view.series("lr")
    return max([*known, int(rate.steps[-1]) if rate else 0])


def _scheduled_per_step(view: View) -> float | None:
    found, steps = _schedulers(view), _steps(view)
    if found is None or not steps:
        return None
    return max((_calls(view, each) / steps for each in found), default=0.0)


SCHEDULED_PER_STEP = Measure("calls of the scheduler per step of the optimizer", _scheduled_per_step, "calls")


def _steps_per_pass(view: View) -> float | None:
    threads = view.fact("threads") or []
    passes = next((thread.get("epochs") for thread in threads if thread["name"] == view.thread), None)
    # Passes that are not known, such as over random windows of a text, are taken for one.
    return None if passes is None else _steps(view) / max(1, passes)


STEPS_PER_PASS = Measure("steps in a pass over the data", _steps_per_pass, "steps")


def _rate_ends(view: View) -> float | None:
    """When the rate falls for good to the end of its schedule, as a share of the run; 1 if it does not."""
    schedulers, rate = _schedulers(view), view.series("lr")
    if schedulers is None or rate is None:
        return None
    planned = [s["ends_at"] / calls for s in schedulers if s.get("ends_at") and (calls := _calls(view, s))]
    low = END_OF_SCHEDULE * max(rate.finite, default=0.0)
    ends = len(rate)
    while ends > 0 and rate.values[ends - 1] <= low:
        ends -= 1
    seen = [rate.steps[ends] / _steps(view)] if 0 < ends < len(rate) else []
    return float(min([*planned, *seen], default=1.0))


RATE_ENDS = Measure(
    "share of the run after which the learning rate stays below 2 % of its maximum", _rate_ends, "share"
)


def _end_rate(view: View) -> float | None:
    """Of the first parameter group."""
    rate = view.series("lr")
    largest = max(rate.finite, default=0.0) if rate is not None else 0.0
    return rate.finite[-1] / largest if rate is not None and largest > 0 else None


END_RATE = Measure("learning rate at the end, as a share of its maximum", _end_rate, "share")


def _cosine_calls(view: View) -> float | None:
    found = _schedulers(view)
    if found is None:
        return None
    cosines = [each for each in found if each["kind"] == "CosineAnnealingLR" and each.get("planned")]
    return max((_calls(view, each) / each["planned"] for each in cosines), default=0.0)


COSINE_CALLS = Measure(
    "calls of CosineAnnealingLR, relative to the T_max after which the rate rises again", _cosine_calls, "x"
)


def _plan_done(view: View) -> float | None:
    """How much of its plan a scheduler was through at the end, if that plan counts the steps of this run."""
    found, steps = _schedulers(view), _steps(view)
    if found is None or not steps:
        return None
    # One that is never called is left out: another scheduler calls it, or the rate is meant to stay.
    called = [each for each in found if each.get("planned") and each["calls"] > 0]
    meant = [each for each in called if 0.8 <= each["planned"] / steps <= 1.25]
    return min((_calls(view, each) / each["planned"] for each in meant), default=1.0)


PLAN_DONE = Measure(
    "share of a scheduler's plan, made for as many calls as there were steps, that was done at the end",
    _plan_done,
    "share",
)


def scheduler_place(view: View) -> Mapping[str, Any] | None:
    """Where the scheduler is called."""
    ordered = place_of("call_order", "scheduler_before_step")(view)
    found = view.known("schedulers") or []
    return ordered or next((each["where"] for each in found if each.get("where")), None)


def _workers(what: str) -> Callable[[View], Value]:
    def read(view: View) -> Value:
        loaders = view.fact("signals", "loader_workers", "loaders")
        if not loaders:
            return None
        values = [each[what] for each in loaders]
        if what == "generators":
            return sum(map(len, values))
        return any(values) if what == "seeded_alike" else max(values)

    return read


SEEDED_ALIKE = Measure(
    "the function that sets up a worker gives each the same seed", _workers("seeded_alike")
)
COPIED_GENERATORS = Measure(
    "random generators that samples are drawn with and every worker gets an equal copy of",
    _workers("generators"),
    "generators",
)
EQUAL_BATCHES = Measure("batches equal to the one before, from another worker", _workers("equal"), "batches")


def workers_place(view: View) -> Mapping[str, Any] | None:
    """Where the workers are seeded, or draw."""
    loaders = view.fact("signals", "loader_workers", "loaders") or []
    found: Mapping[str, Any] | None = next((each["where"] for each in loaders if each["where"]), None)
    return found


RETAINED = Measure(
    "earlier steps whose loss graphs are still alive, at most",
    lambda view: max(found.finite, default=None) if (found := view.series("graph/retained_losses")) else None,
    "steps",
)


def _graph_growth(view: View) -> float | None:
    nodes = view.series("graph/nodes")
    if nodes is None or len(nodes) < 5:
        return None
    values = nodes.finite
    rising = all(before < after or after >= 5_000 for before, after in pairwise(values))
    return values[-1] / max(values[0], 1.0) if rising else 1.0


GRAPH_GROWTH = Measure(
    "nodes of the graph at the last step seen relative to the first, if it grew at each", _graph_growth, "x"
)
