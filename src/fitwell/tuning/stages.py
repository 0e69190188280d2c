"""Stages: what is tuned first. Learning rate, architecture, batch size, regularisation, optimizer.

The order is that of the usual guides (Smith 2018, "A disciplined approach to neural network hyper-parameters"; Godbole
et al. 2023, "Deep learning tuning playbook"): without a fair rate nothing else can be compared; what limits the fit
comes before what keeps it from memorising; and the rate is tuned along wherever the best one moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fitwell.plan import Plan
from fitwell.shape import Shape
from fitwell.space import LogUniform, Space, loguniform, uniform

Widths = tuple[int, ...]
Dimensions = dict[str, Any]
LAYERED = ("mlp", "cnn", "autoencoder")  # families with any number of layers, with norms and dropout
OPTIMIZERS = ("adamw", "adam", "sgd", "rmsprop")
NARROWEST = 4  # units of a layer that is halved
SMALLEST_BATCH, FEWEST_BATCHES = 8, 10  # samples of one; of them in an epoch
# AdamW's decay is a share of lr by which weights shrink; elsewhere it is a term of the gradient, and far smaller.
DECAY, DECAY_IN_GRADIENT = (1e-4, 1.0), (1e-6, 1e-2)


@dataclass(frozen=True)
class Stage:
    """A search among some of the settings, while the others stay as they are.

    Args:
        name: one word.
        why: a sentence for a beginner.
        space: what is tried, around the plan's own values.
        method: of search, a file in ``fitwell/tuning/methods``.
        share: of all trials.
    """

    name: str
    why: str
    space: Space
    method: str
    share: float


def stages(plan: Plan, shape: Shape, samples: int) -> list[Stage]:
    """The stages of a plan, in order; their shares add up to 1.

    Their ranges lie around the values of the plan. When a stage has found better ones, ask again with those, and take
    the next stage by its name: one in which nothing can be varied is left out.

    Args:
        plan: decided throughout, its learning rate too.
        shape: of its data.
        samples: in the training part.
    """
    drafts: list[tuple[str, str, Dimensions, str, float]] = [
        ("rate", "With a wrong learning rate good and bad models look the same, so it comes first.",
         {"lr": _around(plan, 1 / 10, 10)}, "random", 0.2),
        ("architecture", "A model must be able to fit before anything can help it to fit better.",
         _architecture(plan), "bayes", 0.3),
        ("batch", "Small batches take many noisy steps, large ones few and steady ones, each at a rate of its own.",
         _batch(plan, samples), "random", 0.1),
        ("regularisation", "What fits the training data is kept from memorising it, to do well on other data too.",
         _regularisation(plan, shape), "bayes", 0.25),
        ("optimizer", "Another way of taking steps seldom changes much, so it comes last.",
         _optimizer(plan), "bayes", 0.15),
    ]  # fmt: skip
    total = sum(share for _, _, dimensions, _, share in drafts if dimensions)
    return [
        Stage(name, why, Space.of(dimensions), method, share / total)
        for name, why, dimensions, method, share in drafts
        if dimensions
    ]


def default_space(plan: Plan, shape: Shape, samples: int) -> Space:
    """All that the stages try as one space; where several try a setting, the first stage's range.

    Args:
        plan: decided throughout, its learning rate too.
        shape: of its data.
        samples: in the training part.
    """
    whole: Dimensions = {}
    for stage in stages(plan, shape, samples):
        for name, dimension in stage.space.dimensions.items():
            whole.setdefault(name, dimension)
    return Space.of(whole)


def _around(plan: Plan, low: float, high: float) -> LogUniform:
    rate = float(plan.optimizer.lr)
    return loguniform(rate * low, rate * high)


def _options(own: Any, *others: Any) -> list[Any]:
    """The plan's own value and others, each once."""
    return list(dict.fromkeys((own, *others)))


def _architecture(plan: Plan) -> Dimensions:
    model = plan.model
    dimensions: Dimensions = {"hidden": _hidden(plan)}
    if model.family in LAYERED:
        dimensions |= {
            "norm": _options(model.norm, "none", "batch", "layer"),
            "activation": _options(model.activation, "relu", "silu", "tanh"),
        }
    return dimensions | {"lr": _around(plan, 1 / 3, 3)}


def _hidden(plan: Plan) -> list[Widths]:
    """The plan's own widths, half and twice as wide, and with one layer more and fewer.

    The code of an autoencoder stays: a wider one rebuilds better, whatever it is worth.
    """
    own = tuple(int(width) for width in plan.model.hidden)
    family = plan.model.family
    kept = 1 if family == "autoencoder" else 0
    body, code = own[: len(own) - kept], own[len(own) - kept :]
    bodies = [body, tuple(min(w, max(w // 2, NARROWEST)) for w in body), tuple(2 * w for w in body)]
    if family in LAYERED:
        more = body[-1] if body else 2 * code[0] if code else 64
        bodies.append((*body, more))
        if len(own) > 1 or (
            family == "mlp" and own
        ):  # a perceptron may be linear, the others have one layer at least
            bodies.append(body[:-1])
    return _options(*(each + code for each in bodies))


def _batch(plan: Plan, samples: int) -> Dimensions:
    own = int(plan.batch_size)
    sizes = [own // 2, own * 2, own * 4]
    possible = [size for size in sizes if SMALLEST_BATCH <= size <= samples // FEWEST_BATCHES]
    if not possible:
        return {}
    return {"batch_size": sorted(_options(own, *possible)), "lr": _around(plan, 1 / 3, 3)}


def _regularisation(plan: Plan, shape: Shape) -> Dimensions:
    dimensions: Dimensions = {}
    if plan.model.family in LAYERED:
        dimensions["dropout"] = uniform(0.0, max(0.5, float(plan.model.dropout)))
    dimensions["weight_decay"] = _decay(plan)
    target = shape.target.kind
    if target in ("classes", "binary"):
        dimensions["label_smoothing"] = uniform(0.0, max(0.2, plan.loss.label_smoothing))
    images = [field for field in shape.inputs.values() if field.kind == "image"]
    if images and target != "none":
        dimensions["augment"] = _views(plan, colour=images[0].shape[0] >= 3)
    if target != "none" and all(field.kind != "codes" for field in shape.inputs.values()):
        dimensions["mixup"] = sorted(_options(plan.regularization.mixup, 0.0, 0.1, 0.4))
    return dimensions


def _decay(plan: Plan) -> LogUniform:
    own = float(plan.optimizer.weight_decay)
    low, high = DECAY if plan.optimizer.algorithm.lower() == "adamw" else DECAY_IN_GRADIENT
    return loguniform(min(low, own or low), max(high, own))


def _views(plan: Plan, *, colour: bool) -> list[tuple[str, ...]]:
    """Of images; a mirrored one may be of another class where it is a drawing or a letter, which are gray mostly."""
    views: list[tuple[str, ...]] = [(), ("shift",), ("shift", "rotate")]
    if colour:
        views += [("shift", "flip"), ("shift", "flip", "color")]
    return _options(tuple(plan.regularization.augment), *views)


def _optimizer(plan: Plan) -> Dimensions:
    own = plan.optimizer.algorithm.lower()
    if plan.optimizer.options:
        return {}  # they are those of this algorithm
    algorithms = _options(own, *OPTIMIZERS)
    others = [each for each in algorithms if each not in (own, "adamw")]
    return {
        "algorithm": algorithms,
        "momentum": uniform(0.0, 0.99, when={"algorithm": ["sgd", "rmsprop"]}),
        "weight_decay": loguniform(*DECAY_IN_GRADIENT, when={"algorithm": others}),
        # Sgd does not divide by the size of the gradient, and needs rates that are far higher.
        "lr": _around(plan, 1 / 30, 3) if own == "sgd" else _around(plan, 1 / 3, 30),
    }
