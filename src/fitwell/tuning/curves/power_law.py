"""Power law: how the error falls with the number of samples, a + b n^-c, and what twice as many would likely give.

Learning curves of networks follow it over orders of magnitude, once there are enough samples to learn anything at all
(Hestness et al. 2017, arXiv 1712.00409; Rosenfeld et al. 2020, arXiv 1909.12673). With the few points of a study it is
a guess: how uncertain is told by fitting it again to points that are moved by their own noise.

Shape legend: S sizes, D draws, C exponents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

EXPONENTS = np.geomspace(
    0.05, 2.0, 60
)  # measured ones lie between 0.07 and 1, which noiseless problems reach
TAIL = 5  # the largest sizes, to which it is fitted: below, a model may not have begun to learn
FEWEST = 4  # points for three unknowns
DRAWS = 1000


@dataclass(frozen=True)
class Outlook:
    """What more samples would give, as far as the power law goes on.

    Args:
        exponent: c, of the points as they are.
        floor: a, the error that remains with any number of samples.
        now: the error with the samples that there are, by the law.
        then: the error with twice as many.
        gain: the 95 % interval of the difference.
    """

    exponent: float
    floor: float
    now: float
    then: float
    gain: tuple[float, float]


def outlook(
    samples: Sequence[int], errors: Sequence[Sequence[float]], validated: int = 0, seed: int = 0
) -> Outlook | None:
    """Fit the law to the errors with each number of samples, and extrapolate it to twice the largest.

    Args:
        samples: rising.
        errors: of each training with so many; 0 or more.
        validated: of how many samples the errors are the share that was wrong; 0 if they are no share.
        seed: of the draws.

    Returns:
        None where it can't be fitted: fewer than four sizes, no repeats, or an error that does not fall beyond
        its noise.
    """
    sizes_S = np.asarray(samples[-TAIL:], float)
    tail = [np.asarray(values, float) for values in errors[-TAIL:]]
    if len(tail) < FEWEST or min(map(len, tail)) < 2:
        return None
    means_S = np.array([values.mean() for values in tail])
    noise_S = _standard_errors(tail, validated)
    if not noise_S.any() or means_S[0] - means_S[-1] <= 2 * math.hypot(noise_S[0], noise_S[-1]):
        return None
    random = np.random.Generator(np.random.PCG64(seed))
    drawn_DS = means_S + noise_S * random.standard_normal((DRAWS, len(tail)))
    weights_S = 1 / np.maximum(noise_S, noise_S.max() / 10) ** 2
    laws_D3 = fit(sizes_S, np.concatenate([means_S[None], drawn_DS]), weights_S)
    now_D, then_D = (at(laws_D3, times * sizes_S[-1]) for times in (1, 2))
    floor, _, exponent = laws_D3[0].tolist()
    low, high = np.quantile((now_D - then_D)[1:], [0.025, 0.975]).tolist()
    return Outlook(exponent, floor, float(now_D[0]), float(then_D[0]), (low, high))


def _standard_errors(tail: Sequence[np.ndarray], validated: int) -> np.ndarray:
    """Of each mean, from its repeats and from the samples that all of them were validated on.

    Of few repeats a deviation says little, so that of all sizes counts half.
    """
    variances = np.array([values.var(ddof=1) for values in tail])
    counts = np.array([len(values) for values in tail])
    found = (variances + variances.mean()) / 2 / counts
    if validated:
        # One error and one right answer more (Agresti & Coull): no errors among few samples are no certainty.
        shares = (np.array([values.mean() for values in tail]) * validated + 1) / (validated + 2)
        found = found + shares * (1 - shares) / validated
    root: np.ndarray = np.sqrt(found)
    return root


def fit(sizes_S: np.ndarray, errors_DS: np.ndarray, weights_S: np.ndarray) -> np.ndarray:
    """(D, 3) a, b and c with the least weighted squares, a and b not negative; a law for each row of errors."""
    best_D3 = np.zeros((len(errors_DS), 3))
    least_D = np.full(len(errors_DS), np.inf)
    share_S = weights_S / weights_S.sum()
    mean_D = errors_DS @ share_S
    for exponent in EXPONENTS:
        powers_S = (sizes_S / sizes_S[0]) ** -exponent
        middle = powers_S @ share_S
        slope_D = ((errors_DS - mean_D[:, None]) * (powers_S - middle)) @ share_S
        slope_D = np.maximum(slope_D / (((powers_S - middle) ** 2) @ share_S), 0)
        floor_D = mean_D - slope_D * middle
        through_D = np.maximum((errors_DS * powers_S) @ share_S / (powers_S**2 @ share_S), 0)  # where a is 0
        slope_D, floor_D = np.where(floor_D < 0, through_D, slope_D), np.maximum(floor_D, 0)
        left_D = (errors_DS - floor_D[:, None] - slope_D[:, None] * powers_S) ** 2 @ share_S
        better = left_D < least_D
        least_D[better] = left_D[better]
        found_D3 = np.stack(
            [floor_D, slope_D * sizes_S[0] ** exponent, np.full_like(slope_D, exponent)], axis=1
        )
        best_D3[better] = found_D3[better]
    return best_D3


def at(laws_D3: np.ndarray, samples: float) -> np.ndarray:
    """(D,) the error that each law gives for so many samples."""
    error_D: np.ndarray = laws_D3[:, 0] + laws_D3[:, 1] * samples ** -laws_D3[:, 2]
    return error_D
