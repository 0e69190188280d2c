"""Clip the gradients of an optimizer before its steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.optim import Optimizer

from fitwell.treating.changing.live import Live

Limit = Callable[[Optimizer, float], float]


def clip_steps(live: Live, limit: Limit) -> None:
    """Clip the gradients of each step by their total norm (Pascanu et al. 2013, arXiv:1211.5063).

    Where they are not finite the step leaves the weights as they are, and the gradients come back after it.

    Args:
        live: the training.
        limit: gives the largest norm from the optimizer and the norm; it is not asked about a norm that is not finite.
    """
    withheld: WeakKeyDictionary[Optimizer, list[tuple[Tensor, Tensor]]] = WeakKeyDictionary()

    def before(optimizer: Optimizer) -> None:
        found = [
            (p, p.grad) for group in optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        norm = total_norm([gradient for _, gradient in found])
        if not math.isfinite(norm):
            withheld[optimizer] = found
            for parameter, _ in found:
                parameter.grad = None
            return
        most = limit(optimizer, norm)
        if norm > most:
            with torch.no_grad():
                for _, gradient in found:
                    gradient.mul_(most / norm)

    def after(optimizer: Optimizer) -> None:
        for parameter, gradient in withheld.pop(optimizer, []):
            parameter.grad = gradient

    live.before_step(before)
    live.after_step(after)


def total_norm(gradients: list[Tensor]) -> float:
    """The Euclidean norm of all gradients together; 0 if there are none. Sparse ones are added up first."""
    norms = [torch.linalg.vector_norm(_values(gradient).float()) for gradient in gradients]
    return math.hypot(*(norm.item() for norm in norms))


def _values(gradient: Tensor) -> Tensor:
    gradient = gradient.detach()
    values = gradient.coalesce().values() if gradient.is_sparse else gradient
    return values.abs() if values.is_complex() else values
