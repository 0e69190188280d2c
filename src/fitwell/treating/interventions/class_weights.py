"""Classes weigh as much as each other in training, however rare they are (King and Zeng 2001).

A class is counted as it is seen, once more than it was: so that the first batches do not weigh some classes too much.
Losses that the program weighs itself are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from fitwell.treating.changing.arguments import Arguments, learns, rewrite
from fitwell.treating.changing.live import Intervention, Live


def _apply(live: Live, weights: Sequence[float] | None = None) -> None:
    counts: dict[tuple[str, int], Tensor] = {}  # by what is counted and the number of classes

    def count(what: str, of_batch: Tensor) -> Tensor:
        key = (what, of_batch.numel())
        counts[key] = counts.get(key, torch.zeros_like(of_batch)).to(of_batch) + of_batch
        return counts[key] + 1

    def classes(arguments: Arguments) -> None:
        input = arguments["input"]
        if not learns(input) or arguments["weight"] is not None:
            return
        if weights is not None:
            arguments["weight"] = input.new_tensor(weights)
            return
        seen = count("class", _seen(input, arguments["target"], arguments["ignore_index"]))
        arguments["weight"] = (seen.sum() / (len(seen) * seen)).to(input.dtype)

    def yes_or_no(arguments: Arguments) -> None:
        input, target = arguments["input"], arguments["target"].detach()
        if not learns(input) or arguments["pos_weight"] is not None:
            return
        outputs = target.shape[-1] if target.dim() > 1 else 1
        positive = target.double().reshape(-1, outputs).sum(0)
        yes = count("yes", positive)
        no = count("no", target.numel() / outputs - positive)
        arguments["pos_weight"] = (no / yes).to(input.dtype)

    rewrite(live, functional, "cross_entropy", classes)
    rewrite(live, functional, "nll_loss", classes)
    rewrite(live, functional, "binary_cross_entropy_with_logits", yes_or_no)


def _seen(input: Tensor, target: Tensor, ignored: int) -> Tensor:
    """How often each class (C,) is among the targets, which are indices or shares like the input (N, C, ...)."""
    axis = min(1, input.dim() - 1)
    if target.is_floating_point():
        return target.detach().double().movedim(axis, -1).reshape(-1, target.shape[axis]).sum(0)
    kept = target[target != ignored].flatten()
    return torch.bincount(kept, minlength=input.shape[axis]).double()


INTERVENTION = Intervention(
    says="each class weighs the inverse of how often it is seen",
    apply=_apply,
    comparable=False,
)
