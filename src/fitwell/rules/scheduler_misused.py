"""scheduler-misused: the learning rate's scheduler is called at the wrong time or pace."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.measures.loops import (
    COSINE_CALLS,
    END_RATE,
    PLAN_DONE,
    RATE_ENDS,
    SCHEDULED_BEFORE_STEP,
    SCHEDULED_PER_STEP,
    STEPS_PER_PASS,
    scheduler_place,
)
from fitwell.measures.reach import ENDED_BY_SCHEDULE


def _run(
    kind: str = "StepLR",
    planned: int | None = None,
    calls: int = 20,
    *,
    early: int = 0,
    epochs: int = 4,
    ends: int | None = None,
) -> dict[str, object]:
    order = {"steps": 5, "scheduler_before_step": early}
    scheduler: dict[str, object] = {"kind": kind, "planned": planned, "ends_at": ends, "calls": calls}
    scheduler["where"] = {"file": "train.py", "line": 25}
    signals = {"call_order": order, "schedulers": {"threads": {"model": [scheduler]}}}
    threads = [{"name": "model", "steps": 20, "epochs": epochs}]
    return {"failure": None, "threads": threads, "signals": signals}


_OVER = "Tried to step 13 times. The specified number of total steps is 12"
_STEADY = {"lr": [0.1] * 20}
_FALLS = {"lr": [0.1] * 8 + [0.001] * 12}


RULE = Rule(
    kind="bug",
    severity="warning",
    says="the scheduler is called at the wrong time or pace for what it was made for",
    when=any_of(
        # The first rate is skipped, or each step has the next one's rate.
        SCHEDULED_BEFORE_STEP >= 1,
        # Meant per epoch and called per batch: the rate is used up while most of the run lies ahead, or a cosine that
        # is called beyond its T_max rises again. Schedules that are planned per batch end with the run. The first
        # five steps are seen with four calls between them.
        all_of(
            any_of(
                # What ends a warmup and leaves the rate high ends nothing.
                all_of(RATE_ENDS < 0.5, END_RATE < 0.3),
                COSINE_CALLS > 1.5,
            ),
            SCHEDULED_PER_STEP > 0.7,
            STEPS_PER_PASS >= 2,
        ),
        # Meant per batch and called per epoch: the run ends while the schedule has just begun.
        PLAN_DONE < 0.2,
        ENDED_BY_SCHEDULE.equals(True),
    ),
    because="a scheduler counts its calls. Called per batch instead of per epoch, its rate is next to nothing "
    "after a small part of the run, or swings up and down; called per epoch instead of per batch, it "
    "never gets past its beginning; called before optimizer.step, it skips the first rate.",
    may_be_wrong_if="the rate is meant to end early, or the run was stopped long before its plan.",
    remedies=(
        "call scheduler.step() after optimizer.step(): once an epoch for StepLR, MultiStepLR, ExponentialLR "
        "and a cosine over epochs",
        "once a batch for OneCycleLR and warmup, with total_steps = epochs * len(loader)",
    ),
    sources=(
        Source(
            "How to adjust learning rate",
            "https://docs.pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate",
        ),
    ),
    proves=True,
    explains=(
        "loss-plateau",
        "slow-convergence",
        "learning-rate-too-low",
        "underfitting",
        "loss-oscillates",
        "class-imbalance",
        "augmentation-too-strong",
    ),
    fires=(
        Example("before the step", _run(early=1), _STEADY, thread="model"),
        Example("StepLR per batch", _run(), _FALLS, thread="model"),
        Example(
            "a cosine of two epochs called per batch", _run("CosineAnnealingLR", 2), _STEADY, thread="model"
        ),
        Example("one cycle called per epoch", _run("OneCycleLR", 20, 2), _STEADY, thread="model"),
        Example("called more often than planned", _run() | {"failure": {"message": _OVER}}, thread="model"),
    ),
    quiet=(
        Example("as it should be", _run("OneCycleLR", 20, 20), _STEADY, thread="model"),
        Example("called less often than the optimizer", _run(calls=13), _FALLS, thread="model"),
        Example("a cosine of several cycles", _run("CosineAnnealingLR", 2, 4), _STEADY, thread="model"),
        Example(
            "a step is half a pass or more", _run("CosineAnnealingLR", 2, epochs=11), _FALLS, thread="model"
        ),
        Example(
            "a warmup that is over, and the rate is high",
            _run("LinearLR", ends=8),
            {"lr": [0.1] * 19 + [0.032]},
            thread="model",
        ),
        Example("stays low from the middle on", _run(), {"lr": [0.1] * 10 + [0.001] * 10}, thread="model"),
        Example("a little beyond the cosine", _run("CosineAnnealingLR", 15), _STEADY, thread="model"),
        Example("stopped early", _run("OneCycleLR", 20, 4), _STEADY, thread="model"),
    ),
    where=scheduler_place,
)
