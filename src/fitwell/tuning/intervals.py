"""Intervals: how sure the mean of some scores is, over seeds, folds or resampled training parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from fitwell import experiment


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval by Student's t.

    Args:
        mean: of the values.
        low: end of the interval; None if one value tells nothing of the spread.
        high: its other end.
        count: how many values.
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    def plain(self) -> dict[str, float | int | None]:
        """As JSON."""
        return asdict(self)


def interval(values: Sequence[float], test_share: float | None = None) -> Interval:
    """The 95 % interval of the mean.

    The training parts of k folds share most of their samples, so their scores differ less than those of independent
    trainings would. With ``test_share`` the variance of the mean is s² (1/k + n_test/n_train) in place of s²/k
    (Nadeau & Bengio 2003, Inference for the generalization error, Machine Learning 52, section 3.1).

    Args:
        values: finite scores, one for each training.
        test_share: size of the validation part / size of the training part, for folds and other resamples.

    Raises:
        ValueError: there are no values.

    >>> found = interval([0.8, 0.9, 1.0])
    >>> f"{found.low:.3f} to {found.high:.3f}"
    '0.652 to 1.148'
    """
    found = experiment.paired(values)
    if found.pairs < 2:
        return Interval(found.mean, None, None, found.pairs)
    half = (found.high - found.mean) * math.sqrt(1 + found.pairs * (test_share or 0.0))
    return Interval(found.mean, found.mean - half, found.mean + half, found.pairs)


def paired(a: Sequence[float], b: Sequence[float], test_share: float | None = None) -> Interval:
    """The interval of the differences a - b, of pairs such as the same seed or the same fold.

    Args:
        a: finite scores.
        b: as many, in the same order.
        test_share: as for ``interval``.

    Raises:
        ValueError: there are no pairs, or one is longer.
    """
    return interval([x - y for x, y in zip(a, b, strict=True)], test_share)
