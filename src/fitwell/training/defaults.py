"""Decide what a plan leaves to the data: every ``"auto"`` becomes a value with a reason."""

from __future__ import annotations

from typing import Any

import torch

from fitwell.data.contract import Data
from fitwell.errors import PlanError
from fitwell.models import families, family
from fitwell.models.criterion import criterion
from fitwell.plan import Plan
from fitwell.shape import Shape
from fitwell.training.optimizers import find_optimizer

STEPS = 2000  # enough for the built-in families to converge on the bundled sets
FEWEST, MOST = 10, 30  # epochs
MANY = 500  # validation samples from which their accuracy tells epochs apart
DEVICES = ("cpu", "cuda", "mps", "xpu")
Choice = tuple[Any, str]


def decide(plan: Plan, data: Data) -> tuple[Plan, dict[str, str]]:
    """The plan with everything decided but the learning rate and the threads, which are measured.

    Returns:
        The plan, and for each setting that was decided, by its path, one line of why.

    Raises:
        PlanError: the family can't learn from this data, or there is no such family.
    """
    reasons = {f"data.{part}": f"{size:,} samples" for part, size in _sizes(data).items()}
    plan = _apply(plan, {"family": _family(data.shape), "device": _device(plan)}, reasons)
    chosen = family(plan.model.family)
    needed = chosen.suits(data.shape)
    if needed:
        suitable = ", ".join(name for name, one in families().items() if one.suits(data.shape) is None)
        raise PlanError(
            f"{plan.model.family} can't learn from this data", needed, f"choose --model among {suitable}"
        )
    if data.encoder["encoding"] != "columns":
        plan = _apply(plan, {"embedding": ("none", "only the columns of a table are embedded")}, reasons)
    samples = len(data.train)
    plan = _apply(plan, chosen.defaults(data.shape, samples), reasons)
    plan = _apply(plan, {"batch_size": _batch_size(samples)}, reasons)
    plan = _apply(plan, {"epochs": _epochs(samples, plan)}, reasons)
    plan = _apply(plan, _others(plan, data), reasons)
    _check(plan, data)
    return plan, reasons


def _apply(plan: Plan, choices: dict[str, Choice], reasons: dict[str, str]) -> Plan:
    """Set those settings that are still ``"auto"``."""
    values = {}
    for path, value, _ in plan.settings():
        name = path.split(".")[-1]
        if value == "auto" and name in choices:
            values[name], reasons[path] = choices[name]
    return plan.change(**values)


def _family(shape: Shape) -> Choice:
    if any(one.kind == "image" for one in shape.inputs.values()):
        return "cnn", "the samples are images: neighbouring pixels belong together"
    return "mlp", "the samples are columns of numbers and categories"


def _device(plan: Plan) -> Choice:
    if torch.cuda.is_available():
        return "cuda", "a CUDA device is there"
    if torch.backends.mps.is_available() and plan.precision == "fp32":
        return "mps", "Apple's GPU is there"
    return "cpu", "no GPU was found"


def _batch_size(samples: int) -> Choice:
    size = 16
    while size < 128 and size * 40 < samples:
        size *= 2
    return size, f"about forty steps or more in an epoch of {samples:,} samples"


def _epochs(samples: int, plan: Plan) -> Choice:
    steps = max(1, round(samples / (int(plan.batch_size) * plan.accumulate)))
    epochs = min(MOST, max(FEWEST, round(STEPS / steps)))
    return epochs, f"about {epochs * steps:,} steps in all"


def _others(plan: Plan, data: Data) -> dict[str, Choice]:
    target = data.shape.target.kind
    task = {"binary": "classes"}.get(target, target)
    function = {"classes": "cross-entropy", "binary": "bce", "number": "mse", "none": "auto"}[target]
    warmup = {"one-cycle": 0.25, "constant": 0.0, "plateau": 0.0}.get(plan.schedule.shape, 0.05)
    return {
        "task": (task, "found from the values of the target"),
        "function": (function, f"for a target of {task}" if target != "none" else "the family's own"),
        "patience": _patience(plan, data),
        "warmup": (warmup, f"what {plan.schedule.shape} usually takes"),
        "weight_decay": (0.01, "AdamW's own default: weak"),
        "augment": ((), "only images of some size are augmented"),
        "activation": ("relu", "cheap, and its gradient does not vanish"),
        "norm": ("none", "a shallow net trains well without"),
        "dropout": (0.0, "validation decides when to stop"),
        "embedding": ("none", "the family has none"),
        "monitor": _monitor(plan, data),
        "hidden": ((128,), "one layer of moderate width"),
    }


def _sizes(data: Data) -> dict[str, int]:
    return {
        "validation": len(data.validation) if data.validation else 0,
        "test": len(data.test) if data.test else 0,
    }


def _monitor(plan: Plan, data: Data) -> Choice:
    if plan.loss.class_weights:
        return "loss", "it knows of the class weights, the accuracy does not"
    if data.shape.target.kind not in ("classes", "binary"):
        return "loss", "the validation loss is what shall be small"
    if data.validation is None or len(data.validation) < MANY:
        return "loss", "finer than the accuracy of few validation samples"
    return "metric", "the accuracy may still rise when the loss grows by overconfidence"


def _patience(plan: Plan, data: Data) -> Choice:
    if data.validation is None:
        return None, "there is no validation part to stop by"
    if plan.schedule.shape in ("one-cycle", "cosine"):
        return None, f"{plan.schedule.shape} needs its last, fine steps; the best weights are kept anyway"
    return max(5, int(plan.stopping.epochs) // 3), "a third of the epochs without a better validation loss"


def _check(plan: Plan, data: Data) -> None:
    """Refuse what the data can't carry."""
    find_optimizer(plan.optimizer.algorithm)
    if data.shape.target.kind != "none":
        criterion(plan.loss, data.shape.target, None)
    regularization = plan.regularization
    image = any(one.kind == "image" for one in data.shape.inputs.values())
    if regularization.augment and not image:
        raise PlanError("augmentation of data that holds no images", "images", "leave out --augment")
    if regularization.mixup and ("codes" in data.shape.inputs or data.shape.target.kind == "none"):
        raise PlanError(
            "mixup of categories, or without a target", "numbers or images with a target", "leave out --mixup"
        )
    try:
        usable = plan.device.partition(":")[0] in DEVICES and torch.zeros(1, device=plan.device).isfinite()
    except (RuntimeError, AssertionError):
        usable = False
    if not usable:
        raise PlanError(f"device {plan.device!r} can't be used here", "cpu, cuda or mps", "change --device")
