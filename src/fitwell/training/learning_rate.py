"""Find a learning rate: train a copy of the model while the rate grows, and look where the loss falls.

Smith 2017, "Cyclical learning rates", section 3.3, with the ladder, the smoothing and the slope all in the
logarithm of the rate.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from fitwell.data.contract import Split
from fitwell.shape import Batch
from fitwell.training.evaluation import measure
from fitwell.training.job import Job
from fitwell.training.loop import batches_of, precision, shuffled, vary
from fitwell.training.optimizers import make_optimizer

LOWEST, HIGHEST = 1e-6, 10.0
STEPS = 100
WARM_UP = 20  # batches that only pass forward
PROBE = 512  # training samples that the loss is measured on
SMOOTHING = 0.9  # of the moving average over the ladder's steps, about ten of them
DIVERGED = 3.0  # times the best smoothed loss above the floor
SHORTEST = 10  # steps from which a curve can be read
LEARNED = 1e-3  # share of the loss by which it must fall
FALLBACK = 1e-3  # Adam's own default (Kingma and Ba 2015)


@dataclass(frozen=True)
class RangeTest:
    """What the finder saw.

    Args:
        rates: of each step.
        losses: raw, of each step.
        smoothed: the same as a bias-corrected moving average.
        suggestion: the rate to use.
        reasons: why, a sentence each.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float
    reasons: list[str]


def find_learning_rate(job: Job) -> RangeTest:
    """Run the range test on a copy of the job's model; the job and the random streams stay as they were.

    Its cost is at most ``STEPS`` training steps, each with a look at the probe.
    """
    devices = [job.device] if job.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(job.plan.seed)
        rates, losses = _climb(job)
    smoothed = smooth(losses)
    suggestion, reasons = suggest(rates, smoothed)
    return RangeTest(rates, losses, smoothed, suggestion, reasons)


def _climb(job: Job) -> tuple[list[float], list[float]]:
    model = copy.deepcopy(job.model).train()
    optimizer = make_optimizer(job.plan.change(lr=LOWEST).optimizer, model, job.device)
    ladder = (HIGHEST / LOWEST) ** (1 / (STEPS - 1))
    rates: list[float] = []
    losses: list[float] = []
    floor = math.inf
    # The same samples after each step: between batches the loss differs by more than a step changes it.
    sample = job.train_sample.index
    probe = Split(job.data.train.fields, sample[:: -(-len(sample) // PROBE)])
    batches = _batches(job)
    with torch.no_grad():  # a batch norm's statistics settle first: that would pass for learning
        for _, batch in zip(range(WARM_UP), batches, strict=False):
            job.family.loss(model, vary(job, batch))
    for number, batch in zip(range(STEPS), batches, strict=False):
        rate = LOWEST * ladder**number
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        with precision(job):
            loss = job.family.loss(model, vary(job, batch))
        loss.backward()
        optimizer.step()
        value = measure(job.family, model, probe, job.data.shape.target)["loss"]
        if not math.isfinite(value):
            break
        rates.append(rate)
        losses.append(value)
        floor = min(floor, value)
        if value - floor > DIVERGED * max(losses[0] - floor, abs(losses[0]) * 0.1):
            break
    return rates, losses


def _batches(job: Job) -> Iterator[Batch]:
    """Batches without end, shuffled anew for each pass."""
    train: Split = job.data.train
    generator = torch.Generator().manual_seed(job.plan.seed)
    while True:
        for index in batches_of(shuffled(train.index, generator), int(job.plan.batch_size)):
            yield train.take(index)


def smooth(losses: list[float]) -> list[float]:
    """The bias-corrected exponential moving average (Kingma and Ba 2015, section 3)."""
    average, smoothed = 0.0, []
    for number, loss in enumerate(losses, start=1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed.append(average / (1 - SMOOTHING**number))
    return smoothed


def suggest(rates: list[float], smoothed: list[float]) -> tuple[float, list[str]]:
    """A rate from the curve: between the steepest fall and the lowest point, in log rate.

    Where the loss falls fastest, a step gains most; where it is lowest, the next rate does harm. The peak of
    a schedule that warms up and anneals lies between: their geometric mean had the least regret against a
    grid of rates on seven tasks, and 2 % in the median on seven others (``benchmarks/learning_rate.py``).
    """
    if len(rates) < SHORTEST or min(smoothed) > smoothed[0] - LEARNED * abs(smoothed[0]):
        return FALLBACK, [f"the loss fell at no rate, so the usual {FALLBACK:g} is taken"]
    lowest = min(range(len(smoothed)), key=smoothed.__getitem__)
    slopes = [smoothed[i + 1] - smoothed[i - 1] for i in range(1, max(lowest, 2))]
    steepest = 1 + min(range(len(slopes)), key=slopes.__getitem__)
    suggestion = float(f"{math.sqrt(rates[steepest] * rates[lowest]):.2g}")
    return suggestion, [
        f"the loss falls fastest at {rates[steepest]:.2g}",
        f"it is lowest at {rates[lowest]:.2g}: beyond, a step does harm",
        f"half-way between, in log rate, lies {suggestion:.2g}",
    ]
