"""The answers of a classifier in one pass over held-out data: what it recognizes, how often it is surely wrong.

Shapes: N samples, C classes. What is counted stays on the device, so that nothing waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

MOST_CLASSES = 20  # with more of them a rare class has too few samples to judge by
MOST_ROWS = 256  # of a batch whose confidence is kept
MOST_KEPT = 4_096  # in all
LEAST_LABELS = 5  # by which a class is judged
LEAST_ANSWERS = 80  # of which a quarter tells something
SUREST = 4  # one in so many answers counts as sure


@dataclass(slots=True)
class Answers:
    """Counts of a batch or of a pass.

    Args:
        counts: (2, C) labels of each class, and those of them that were recognized.
        sure: (2, N) of some samples the confidence of the answer, and whether it is right; a list of such.
    """

    counts: Tensor
    sure: list[Tensor] = field(default_factory=list)

    def add(self, other: Answers) -> None:
        """Count another batch, if it has as many classes."""
        if other.counts.shape != self.counts.shape or other.counts.device != self.counts.device:
            return
        self.counts = self.counts + other.counts
        if sum(each.shape[1] for each in self.sure) < MOST_KEPT:
            self.sure = self.sure + other.sure

    def figures(self, part: str) -> dict[str, Tensor]:
        """Signals of a pass.

        They are the recall of the rarest class that has enough labels, the share of the commonest one, and the errors
        among the surest answers.
        """
        labels_C, right_C = self.counts
        enough = labels_C >= LEAST_LABELS
        rarest = labels_C.masked_fill(~enough, labels_C.max() + 1).argmin()
        recall = (right_C / labels_C.clamp(min=1)).masked_fill(~enough, torch.nan)[rarest]
        recall = recall.masked_fill(enough.sum() < 2, torch.nan)  # one class alone is not rare
        common = labels_C.max() / labels_C.sum().clamp(min=1)
        found = {f"rare_recall/{part}": recall, f"common_class/{part}": common}
        sure = torch.cat(self.sure, 1) if self.sure else self.counts.new_zeros(2, 0)
        if sure.shape[1] >= LEAST_ANSWERS:
            surest = sure[0].topk(sure.shape[1] // SUREST).indices
            found[f"sure_errors/{part}"] = 1.0 - sure[1, surest].mean()
        return found


def answers(function: str, input: Tensor, target: Tensor, right: Tensor, counted: Tensor) -> Answers | None:
    """The answers of a batch; None unless there is one label a sample, of a few classes.

    Args:
        function: the loss: cross entropy, negative likelihood, or a binary cross entropy.
        input: what the loss is given: (N, C); for two classes (N,) or (N, 1).
        target: class indices (N,), or 0 and 1 in the shape of the input.
        right: whether each answer is right, in the shape of the target.
        counted: whether it counts.
    """
    several = function in ("cross_entropy", "nll_loss")
    if not target.dim() or not 0 < len(target) == len(input) == target.numel():
        return None
    if several and (target.is_floating_point() or input.dim() != 2 or target.dim() != 1):
        return None
    if input.is_complex() or (
        not 1 < input.shape[1] <= MOST_CLASSES if several else input.numel() != len(target)
    ):
        return None
    classes = input.shape[1] if several else 2
    labels_N = (target.reshape(-1).float() > 0.5).long() if not several else target.clamp(0, classes - 1)
    counted_N = counted.expand_as(right).reshape(-1).float()
    right_N = right.reshape(-1).float() * counted_N
    counts = torch.zeros(2, classes, device=input.device)
    counts.scatter_add_(1, labels_N.expand(2, -1), torch.stack([counted_N, right_N]))
    some = input[:MOST_ROWS].float()
    sure_N = _confidence(function, some, several)
    return Answers(counts, [torch.stack([sure_N, right_N[:MOST_ROWS]])])


def _confidence(function: str, some: Tensor, several: bool) -> Tensor:
    """Probability of each answer (N,), or something that grows with it."""
    if several:
        return (some.log_softmax(1) if function == "cross_entropy" else some).amax(1)
    return (some.reshape(-1) - (0.0 if function.endswith("with_logits") else 0.5)).abs()
