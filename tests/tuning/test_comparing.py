"""What one model gains over another is the difference of their scores, and how sure it is that of the samples."""

from __future__ import annotations

import dataclasses
from statistics import fmean, stdev

import pytest
import torch
from torch import Tensor

from fitwell.data.contract import Data, Split
from fitwell.tuning import objective
from fitwell.tuning.comparing import gain
from fitwell.tuning.populations.measuring import objective_of


def drawn(data: Data, part: Split, sharpness: float, seed: int) -> Tensor:
    """Outputs that know something of the target."""
    y = part.fields["y"].index_select(0, part.index)
    kind, outputs = data.shape.target.kind, data.shape.target.outputs
    truth = {
        "binary": lambda: 2.0 * y - 1,
        "number": lambda: y,
        "classes": lambda: 3 * torch.eye(outputs)[y.long()],
    }
    noise = torch.randn(len(part), outputs, generator=torch.Generator().manual_seed(seed))
    return truth[kind]() + noise / sharpness


@pytest.mark.parametrize("enough", [10, 10_000], ids=["accuracy", "log loss"])
@pytest.mark.parametrize("name", ["digits", "binary", "numbers"])
def test_it_is_the_difference_of_the_scores(
    name: str, enough: int, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objective, "ENOUGH", enough)
    data: Data = request.getfixturevalue(name)
    part, target = data.test, data.shape.target
    assert part is not None
    y = part.fields["y"].index_select(0, part.index)
    good, bad = (drawn(data, part, sharpness, seed) for seed, sharpness in enumerate((2.0, 0.3)))
    found, chosen = gain(good, bad, part, data), objective_of(data)
    scores = [float(chosen.score(outputs, y, target)) for outputs in (good, bad)]
    assert found.mean == pytest.approx(scores[1] - scores[0])
    assert found.mean > 0, "it is positive if it is better, of each figure"
    assert found.count == len(part)
    assert found.low is not None
    assert 0 < found.low < found.mean
    other = gain(bad, good, part, data)
    assert (other.mean, other.high) == pytest.approx((-found.mean, -found.low))


def test_the_interval_is_that_of_pairs_of_the_same_sample(digits: Data) -> None:
    part = digits.test
    assert part is not None
    one = drawn(digits, part, 0.5, 0)
    near = one + 0.1 * drawn(digits, part, 0.5, 1)
    found = gain(near, one, part, digits)
    y = part.fields["y"].index_select(0, part.index)
    each = [objective_of(digits).each(outputs, y, digits.shape.target) for outputs in (one, near)]
    differences = (each[0] - each[1]).tolist()
    assert found.high is not None
    half = found.high - found.mean
    assert half == pytest.approx(1.98 * stdev(differences) / len(differences) ** 0.5, rel=0.01)
    assert found.mean == pytest.approx(fmean(differences))
    half_of_them = dataclasses.replace(part, index=part.index[:50])
    assert gain(near[:50], one[:50], half_of_them, digits).count == 50
