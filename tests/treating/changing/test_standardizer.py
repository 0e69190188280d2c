"""Running statistics are those of all rows so far, however they came."""

from __future__ import annotations

import pytest
import torch

from fitwell.treating.changing.standardizer import Standardizer


def after(*batches: torch.Tensor) -> Standardizer:
    standardizer = Standardizer(batches[0].shape[1])
    for rows in batches:
        standardizer.update(rows)
    return standardizer


@pytest.mark.parametrize("sizes", [[60], [1] * 60, [7, 0, 50, 3]])
def test_how_rows_are_divided_into_batches_does_not_matter(sizes: list[int]) -> None:
    rows = torch.randn(60, 3, dtype=torch.float64) * torch.tensor([1e-3, 1.0, 1e3]) + 10
    found = after(*rows.split(sizes))
    torch.testing.assert_close(found.mean, rows.mean(0))
    torch.testing.assert_close(found.deviation, rows.std(0, correction=0), rtol=1e-6, atol=0)


def test_what_was_seen_has_mean_0_and_variance_1() -> None:
    rows = torch.randn(40, 2) * 3 + 5
    standardized = after(rows).standardized(rows)
    torch.testing.assert_close(standardized.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(standardized.var(0, correction=0), torch.ones(2))


def test_rows_of_any_shape_and_type() -> None:
    rows = torch.randn(2, 4, 3, dtype=torch.float16)
    standardized = after(torch.randn(50, 3)).standardized(rows)
    assert (standardized.shape, standardized.dtype) == (rows.shape, rows.dtype)


@pytest.mark.parametrize("value", [0.0, 1e8])
def test_a_constant_is_only_shifted(value: float) -> None:
    rows = torch.full((30, 1), value)
    standardizer = after(rows)
    assert standardizer.deviation.item() == 1
    assert standardizer.standardized(rows).abs().max() == 0


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_does_not_count(value: float) -> None:
    found = after(torch.tensor([[1.0, 2.0], [3.0, value], [value, 2.0]]))
    assert found.count.tolist() == [2, 2]
    assert found.mean.tolist() == [2, 2]
    assert found.deviation.tolist() == [1, 1]
    assert found.standardized(torch.tensor([3.0, 2.0])).tolist() == [1, 0]


def test_before_there_is_a_row_nothing_changes() -> None:
    rows = torch.randn(3, 2)
    assert Standardizer(2).standardized(rows).equal(rows)
