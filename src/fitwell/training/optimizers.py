"""Optimizers: the usual four with their usual settings, and any other of torch.optim by name."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from fitwell.errors import PlanError
from fitwell.plan import OptimizerPlan

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.Embedding)


def make_optimizer(plan: OptimizerPlan, model: nn.Module, device: torch.device) -> torch.optim.Optimizer:
    """The optimizer of a plan in which lr and weight decay are decided.

    Weight decay applies to matrices only: decaying the scale of a norm, a bias or an embedding fights what
    these are for and does not make the function simpler (He et al. 2019, "Bag of tricks", section 3.1).

    Raises:
        PlanError: no such algorithm, or an argument that it does not take.
    """
    cls = find_optimizer(plan.algorithm)
    known = inspect.signature(cls).parameters
    arguments: dict[str, Any] = {"lr": plan.lr}
    if cls in (torch.optim.SGD, torch.optim.RMSprop):
        arguments["momentum"] = plan.momentum
    # One kernel for all parameters: the largest single saving for small models.
    if "fused" in known and device.type in ("cpu", "cuda") and "foreach" not in plan.options:
        arguments["fused"] = True
    arguments |= plan.options
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise PlanError(
            f"{cls.__name__} takes no argument {unknown[0]!r}",
            f"one of {', '.join(name for name in known if name != 'params')}",
            "change optimizer.options",
        )
    decay = plan.weight_decay if "weight_decay" in known else None
    try:
        optimizer: torch.optim.Optimizer = cls(parameter_groups(model, decay), **arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise PlanError(
            f"{cls.__name__} refuses its settings: {error}",
            "settings that it can use",
            "change optimizer.options",
        ) from None
    return optimizer


def parameter_groups(model: nn.Module, decay: Any) -> list[dict[str, Any]]:
    """The trainable parameters in two groups: those with weight decay, and norms and biases without.

    Every trainable parameter is in exactly one group. Without decay (0, or None for an algorithm that has
    none) one group is enough.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    if decay is None:
        return [{"params": trainable}]
    if decay == 0:  # one group is one call of the fused kernel; AdamW's own default would be 0.01
        return [{"params": trainable, "weight_decay": 0.0}]
    free: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim < 2 or isinstance(module, _NORMS) or "bias" in name:
                free.add(id(parameter))
    groups = [
        {"params": [p for p in trainable if id(p) not in free], "weight_decay": decay},
        {"params": [p for p in trainable if id(p) in free], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def find_optimizer(name: str) -> type[Any]:
    """The class of torch.optim of this name, in any case of letters.

    Raises:
        PlanError: there is none that takes one gradient a step.
    """
    available = {
        key.lower(): value
        for key, value in vars(torch.optim).items()
        if isinstance(value, type)
        and issubclass(value, torch.optim.Optimizer)
        and value is not torch.optim.Optimizer
    }
    # They need a closure, sparse gradients only, matrices only.
    for unusable in ("lbfgs", "sparseadam", "muon"):
        available.pop(unusable, None)
    if name.lower() not in available:
        raise PlanError(
            f"there is no optimizer {name!r}", f"one of {', '.join(sorted(available))}", "change --optimizer"
        )
    return available[name.lower()]
