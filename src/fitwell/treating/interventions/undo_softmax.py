"""Cross-entropy is given the logarithm of what are probabilities already.

log_softmax(log p) = log p where p sums to 1, so that this is the exact negative log-likelihood.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fitwell.treating.changing.arguments import Arguments, rewrite
from fitwell.treating.changing.live import Intervention, Live

CLOSE = 1e-3  # of the sum of a row to 1, and 30 times that in half precision


def _apply(live: Live) -> None:
    def change(arguments: Arguments) -> None:
        if are_probabilities(arguments["input"]):
            p = arguments["input"]
            arguments["input"] = p.clamp_min(torch.finfo(p.dtype).tiny).log()

    rewrite(live, functional, "cross_entropy", change)


def are_probabilities(input: Tensor) -> bool:
    """Whether each row of scores (C,) or (N, C, ...) is at least 0 and adds up to 1."""
    if not input.is_floating_point() or not input.numel() or input.dim() == 0:
        return False
    p, classes = input.detach(), min(1, input.dim() - 1)
    if p.shape[classes] < 2 or bool((p < 0).any()):
        return False
    close = CLOSE if p.dtype.itemsize > 2 else 30 * CLOSE
    return bool(((p.float().sum(classes) - 1).abs() < close).all())


INTERVENTION = Intervention(
    says="cross-entropy is given the logarithm of the probabilities", apply=_apply, comparable=False
)
