"""Dropout (Srivastava et al. 2014) whose masks cost a third of torch's on a CPU: four numbers from each random draw.

torch draws at least 32 bits for every number of the mask; 16 are enough to decide with a probability that is right to
1 in 65,536, and one call of the generator gives 64.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LANES = 4  # numbers of 16 bits in a draw
LEAST, STEPS = -(2**15), 2**16  # the smallest of these numbers, and how many there are


def draws(count: int) -> int:
    """How many numbers of 64 bits are drawn for a mask of so many."""
    return -(-count // LANES)


def draw(numbers: Tensor, generator: torch.Generator | None = None) -> None:
    """Fill int64 numbers with random bits, all 64 of each.

    Args:
        numbers: int64, on the CPU.
        generator: by default torch's own.
    """
    numbers.random_(LEAST << 48, None, generator=generator)


def threshold(share: float) -> int:
    """Of the int16 numbers that random bits make, those below it are kept.

    Args:
        share: that is dropped, at least 0 and less than 1.
    """
    return LEAST + min(round((1 - share) * STEPS), STEPS - 1)


class Dropout(nn.Dropout):
    """See ``torch.nn.Dropout``; on other devices than a CPU it is that."""

    def forward(self, input: Tensor) -> Tensor:
        """In training some numbers zero, the others scaled to the same expectation; in evaluation as it is."""
        if not self.training or not 0 < self.p < 1 or input.device.type != "cpu":
            return super().forward(input)
        numbers = torch.empty(draws(input.numel()), dtype=torch.int64)
        draw(numbers)
        kept = numbers.view(torch.int16)[: input.numel()].view(input.shape) < threshold(self.p)
        return input * kept.to(input.dtype).mul_(1 / (1 - self.p))
