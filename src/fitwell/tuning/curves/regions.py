"""Regions of capacity: which sizes of a model are too little, just right, too much.

The verdict of a size is read from the whole curve, and from what the diagnoses of its own trainings say:

- The *best* size has the highest mean figure on validation data. Another one is *clearly worse* if the 95 % interval
  of the mean difference of their errors lies above 0. The sizes are trained on the same resampled training parts and
  validated on the same samples, so the differences are paired in both; the interval has a share from each (by
  Student's t over the training parts, by the normal distribution over the samples).
- ``underfitting``: it is smaller than the best, and it or a larger one below the best is clearly worse: capacity still
  pays there.
- ``overfitting``: it is larger than the best, clearly worse, and memorises: its gap between training and validation
  data is wider than that of the best. Half of the difference is enough where most of its trainings, and not those of
  the best, were diagnosed to overfit. Beyond the first such size that diagnosis alone is enough.
- A larger one that is clearly worse without memorising was trained badly; then it is what most of its trainings were
  diagnosed to be, or else ``slow``: the same epochs are not enough for it.
- ``just-right``: all others. None of them is clearly worse than the best.

Shape legend: R resampled training parts, N validation samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from fitwell.tuning.intervals import paired

NORMAL = 1.96  # standard errors within which 95 % lie
CLEAR = 1.0  # halves of the interval
ILL = ("broken", "not-converging", "slow")


@dataclass(frozen=True)
class Size:
    """What was measured of one size.

    Args:
        parameters: of the model.
        train: the main figure on the training part of each resample; 1 is perfect.
        val: the same on the validation part.
        errors: (R, N) of each validation sample: 0 or 1 of classes, the squared error of numbers.
        resamples: the numbers of the training parts, in the order of the rest.
        word: the verdict of most of its trainings.
    """

    parameters: int
    train: Sequence[float]
    val: Sequence[float]
    errors: np.ndarray
    resamples: Sequence[int]
    word: str = ""

    @property
    def gap(self) -> float:
        """By how much it is better on training than on validation data."""
        return fmean(self.train) - fmean(self.val)


def best_of(sizes: Sequence[Size]) -> int:
    """The place of the size that is best on validation data; of equal ones the smallest."""
    return max(range(len(sizes)), key=lambda place: (fmean(sizes[place].val), -place))


def worse(one: Size, other: Size) -> float:
    """By how much one makes more errors than the other, in halves of the interval of chance: more than 1 is clear."""
    both = [number for number in one.resamples if number in other.resamples]
    if not both:
        return 0.0
    errors_RN = one.errors[[list(one.resamples).index(number) for number in both]]
    others_RN = other.errors[[list(other.resamples).index(number) for number in both]]
    found = paired(errors_RN.mean(1).tolist(), others_RN.mean(1).tolist())
    of_parts = found.high - found.mean if found.high is not None else 0.0
    differences_N = (errors_RN - others_RN).mean(0)
    count = len(differences_N)
    of_samples = NORMAL * float(differences_N.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    half = math.hypot(of_parts, of_samples)
    return found.mean / half if half else math.copysign(math.inf, found.mean) if found.mean else 0.0


def verdicts(sizes: Sequence[Size]) -> list[str]:
    """The verdict of each size, as the module says.

    Args:
        sizes: from the smallest.
    """
    if not sizes:
        return []
    best = best_of(sizes)
    too_little = max((place for place in range(best) if worse(sizes[place], sizes[best]) > CLEAR), default=-1)
    words = ["underfitting" if place <= too_little else "just-right" for place in range(best + 1)]
    for size in sizes[best + 1 :]:
        words.append(_larger(size, sizes[best], "overfitting" in words))
    return words


def _larger(size: Size, best: Size, beyond: bool) -> str:
    """The verdict of a size above the best; beyond a size that overfits its diagnosis alone is enough."""
    by, diagnosed = worse(size, best), size.word == "overfitting"
    if size.word in ILL:
        return size.word if by > CLEAR else "just-right"
    if diagnosed and (beyond or (by > CLEAR / 2 and best.word != "overfitting")):
        return "overfitting"
    if by <= CLEAR:
        return "just-right"
    return "overfitting" if size.gap > best.gap else "slow"


def said(sizes: Sequence[Size], words: Sequence[str], metric: str) -> str:
    """The curve in a sentence.

    Args:
        sizes: from the smallest.
        words: their verdicts.
        metric: the name of the figure.
    """
    right = [size for size, word in zip(sizes, words, strict=True) if word == "just-right"]
    little = [size for size, word in zip(sizes, words, strict=True) if word == "underfitting"]
    enough, best = right[0], sizes[best_of(sizes)]
    first = f"{little[-1].parameters:,} parameters are too little, {enough.parameters:,} " if little else (
        f"{enough.parameters:,} parameters, the fewest that were tried, "
    )  # fmt: skip
    text = f"{first}{'just right' if little else 'are enough'}; {_beyond(sizes, words)}"
    if best.word == "overfitting":
        text += (
            f". Even the best size memorises ({metric} {figure(metric, fmean(best.train))} on training data, "
            f"{figure(metric, fmean(best.val))} on validation data): more data or regularisation would help, "
            "not another size"
        )
    return text


def _beyond(sizes: Sequence[Size], words: Sequence[str]) -> str:
    """What happens above the sizes that are just right."""
    last = max(place for place, word in enumerate(words) if word == "just-right")
    if words[last + 1 :] and "overfitting" in words[last + 1 :]:
        return f"beyond {sizes[last].parameters:,} it only memorises"
    if words[last + 1 :]:
        return (
            f"beyond {sizes[last].parameters:,} it does not train well: try a lower rate or more epochs there"
        )
    if "overfitting" in words:
        return "some larger ones do worse, but the largest does not"
    return f"no size up to {sizes[-1].parameters:,} is too large here"


def figure(metric: str, value: float) -> str:
    """A figure in a sentence.

    >>> figure("accuracy", 0.9731), figure("r2", 0.4812)
    ('97.3 %', '0.481')
    """
    return f"{100 * value:.1f} %" if metric == "accuracy" else f"{value:.3f}"
