"""Sizes of a model: from one that is linear to one that is clearly too large, in the shape of the plan's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fitwell.data.contract import Data
from fitwell.errors import PlanError
from fitwell.models import family
from fitwell.plan import Plan
from fitwell.training.forecast import forecast
from fitwell.tuning.populations.members import member, obstacle
from fitwell.tuning.populations.population import Population
from fitwell.tuning.populations.stacking import Unstackable

Hidden = tuple[int, ...]

WIDEST = 512  # units of the first layer, unless the plan's own are more than half as many
CHANNELS = 4  # times the plan's own, of a cnn: each doubling takes about four times as long
BEYOND = 2  # times the plan's own width is tried however long it takes
LONG = 60.0  # seconds that a training wider than that may take where no time is given
USUAL: Hidden = (64,)  # where the plan itself is linear
FEWEST = 3  # sizes that are trained however little time there is

# What hides how much a model of some size can memorise; each with what it is without.
HIDING: Mapping[str, object] = {
    "dropout": 0.0, "weight_decay": 0.0, "augment": (), "mixup": 0.0, "label_smoothing": 0.0,
}  # fmt: skip


def bare(plan: Plan) -> tuple[Plan, list[str]]:
    """The plan without early stopping and without what hides capacity, and the names of what was taken away."""
    settings = {path.rpartition(".")[2]: value for path, value, _ in plan.settings()}
    taken = {name: without for name, without in HIDING.items() if settings[name] != without}
    return plan.change(patience=None, **taken), [name.replace("_", " ") for name in taken]


def scaled(plan: Plan, width: int) -> Hidden:
    """The hidden layers of the plan with another width of the first one, in the same proportion; 0 is none.

    >>> scaled(Plan(data="digits").change(hidden=(64, 32)), 8)
    (8, 4)
    """
    if width == 0:
        return ()
    own = _own(plan)
    return (width, *(max(1, round(units * width / own[0])) for units in own[1:]))


def widths(plan: Plan, data: Data) -> list[int]:
    """The widths that are tried: halves and doubles of the plan's own, and 0 where a linear model is possible.

    >>> from fitwell.data import load
    >>> plan = Plan(data="iris").change(family="mlp", hidden=(64, 32))
    >>> widths(plan, load(plan.data))
    [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    """
    own = _own(plan)[0]
    convolutional = not _linear(plan, data)
    most = CHANNELS * own if convolutional else max(WIDEST, BEYOND * own)
    found = {own}
    narrow = wide = own
    while narrow > 1:
        narrow //= 2
        found.add(narrow)
    while wide * 2 <= most:
        wide *= 2
        found.add(wide)
    return sorted(found if convolutional else found | {0})


def affordable(
    plan: Plan, data: Data, found: Sequence[int], seconds: float | None
) -> tuple[list[int], float]:
    """Those widths for which there is time, and the seconds that a training of each of them takes on one core.

    Args:
        plan: of which a width is changed.
        data: to train on.
        found: the widths, rising.
        seconds: of one core for all; None leaves out those that are much wider than the plan and take long.
    """
    kept: list[int] = []
    total = 0.0
    for width in found:
        needed = training_seconds(plan.change(hidden=scaled(plan, width)), data)
        far = width > BEYOND * _own(plan)[0] and needed > LONG
        late = total + needed > seconds if seconds is not None else far
        if late and len(kept) >= FEWEST:
            break
        kept.append(width)
        total += needed
    return kept, total


def training_seconds(plan: Plan, data: Data) -> float:
    """What a training takes on one core, from the time of a step; 0 where it can't be told."""
    one = member(plan, data)
    if obstacle(one.job) is not None:
        return 0.0
    try:
        population = Population([one])
    except Unstackable:
        return 0.0
    return population.step_seconds() * forecast(one.job).iterations.steps


def _own(plan: Plan) -> Hidden:
    return tuple(map(int, plan.model.hidden)) or USUAL


def _linear(plan: Plan, data: Data) -> bool:
    """Whether the family has models without hidden layers."""
    try:
        family(plan.model.family).build(plan.change(hidden=()).model, data.shape)
    except PlanError:
        return False
    return True
