"""Comparing: what one model gains over another on the same samples, with its interval."""

from __future__ import annotations

from torch import Tensor

from fitwell.data.contract import Data, Split
from fitwell.tuning.intervals import Interval, paired
from fitwell.tuning.populations.measuring import objective_of


def gain(mine: Tensor, other: Tensor, part: Split, data: Data) -> Interval:
    """By how much one is better in what trainings on the data are compared by, with the 95 % interval over the samples.

    The interval is that of these two models on other samples; other trainings with their settings differ more.

    Args:
        mine: outputs (N, K) on the part.
        other: those of the other model.
        part: of the data.
        data: with a target.

    Returns:
        Positive if it is better: of the accuracy, R2 or log loss.
    """
    chosen, target = objective_of(data), data.shape.target
    y = part.fields["y"].index_select(0, part.index).cpu()
    mine_N, other_N = (chosen.each(outputs.cpu(), y, target).tolist() for outputs in (mine, other))
    return paired(other_N, mine_N)
