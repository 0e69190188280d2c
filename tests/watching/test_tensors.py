"""Samples and norms agree with what whole tensors say, for every kind of tensor, and change none."""

import math

import pytest
import torch
from torch import nn

from fitwell.watching.moments import Named, Step
from fitwell.watching.tensors import (
    LATEST,
    by_layer,
    dense,
    gradients,
    growth,
    keep,
    measurable,
    norms,
    sums,
    thinned,
    total,
)

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64]


def test_norms_are_those_of_each_tensor_in_any_mixture_of_dtypes() -> None:
    for dtypes in [[torch.float32], [torch.bfloat16], [torch.float64], DTYPES]:
        tensors = [torch.randn(7, 5).to(dtype) for dtype in dtypes]
        expected = [
            t.to(torch.complex128 if t.is_complex() else torch.float64).norm().item() for t in tensors
        ]
        assert norms(tensors).tolist() == pytest.approx(expected, rel=1e-5)
        assert norms(tensors).dtype == torch.float64


def test_half_precision_is_summed_up_in_single() -> None:
    assert norms([torch.ones(100_000, dtype=torch.bfloat16)], order=1).tolist() == [100_000]
    assert norms([torch.full((100,), 60_000, dtype=torch.float16)]).tolist() == pytest.approx(
        [600_000], rel=1e-3
    )


def test_norms_of_nothing_and_of_empty_tensors() -> None:
    assert norms([]).tolist() == []
    assert norms([torch.zeros(0), torch.ones(4)]).tolist() == [0, 2]
    assert total(norms([])).item() == 0


def test_the_sum_of_absolute_values_is_zero_only_for_zeros() -> None:
    tiny = torch.full((3,), 1e-30)
    assert norms([tiny, torch.zeros(3)], order=1).tolist() == [pytest.approx(3e-30), 0]
    assert norms([tiny]).tolist() == [0]  # its squares are smaller than any number


def test_layers_sum_up_in_the_order_in_which_they_come() -> None:
    names, values = by_layer(["b", "a", "b"], torch.tensor([3.0, 5.0, 4.0]))
    assert names == ("b", "a")
    assert values.tolist() == [5, 5]
    names, values = by_layer(["b", "a"], torch.tensor([1e-30, 2.0], dtype=torch.float64))
    assert values.tolist() == [1e-30, 2]
    assert total(torch.tensor([3.0, 4.0])).item() == 5


def test_a_small_tensor_is_its_own_sample() -> None:
    tensor = torch.randn(4, 6, requires_grad=True)
    sample = thinned(tensor, 24)
    assert sample.data_ptr() == tensor.data_ptr()
    assert not sample.requires_grad
    assert growth(sample, tensor) == 1


@pytest.mark.parametrize("shape", [(1000, 64), (64, 1000), (10, 10, 24, 24), (100_003,)])
def test_a_sample_reads_all_columns_alike_and_is_a_view(shape: tuple[int, ...]) -> None:
    tensor = torch.arange(math.prod(shape)).view(shape).float()
    sample = thinned(tensor, 1000)
    assert 500 < sample.numel() <= 1000
    assert sample.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
    columns = (sample.to(torch.int64) % shape[-1]).bincount(minlength=shape[-1])
    assert columns.max() - columns.min() <= 2


def test_a_sample_is_of_the_same_places_whatever_the_layout() -> None:
    tensor = torch.randn(20, 30, 4, 4)
    expected = thinned(tensor, 500)
    assert torch.equal(thinned(tensor.to(memory_format=torch.channels_last), 500), expected)
    wide = torch.randn(20, 60, 4, 4)
    wide[:, ::2] = tensor
    assert torch.equal(thinned(wide[:, ::2], 500), expected)


@pytest.mark.parametrize("most", [10, 1000])
def test_a_sparse_tensor_has_the_same_sample_as_if_it_were_dense(most: int) -> None:
    places = torch.tensor([[3, 0, 3, 49], [1, 2, 1, 0]])
    sparse = torch.sparse_coo_tensor(places, torch.randn(4, 6), (50, 3, 6), check_invariants=True)
    assert torch.equal(thinned(sparse, most), thinned(sparse.to_dense(), most))
    assert not sparse.is_coalesced()


def test_the_sample_of_a_large_sparse_tensor_needs_no_dense_one() -> None:
    sparse = torch.sparse_coo_tensor(
        torch.tensor([[5, 2**40]]), torch.ones(2, 8), (2**44, 8), check_invariants=True
    )
    assert thinned(sparse).numel() <= 65_536


def test_a_complex_number_counts_as_two() -> None:
    tensor = torch.randn(50, dtype=torch.complex64).conj()
    assert thinned(tensor).norm().item() == pytest.approx(tensor.norm().item())
    assert growth(thinned(tensor), tensor) == 1
    assert growth(thinned(tensor, 20), tensor) == pytest.approx(math.sqrt(100 / thinned(tensor, 20).numel()))


def test_a_sample_grows_to_the_norm_of_the_whole() -> None:
    tensor = torch.randn(300, 400)
    sample = thinned(tensor, 10_000)
    assert growth(sample, tensor) * sample.norm().item() == pytest.approx(tensor.norm().item(), rel=0.03)


def test_a_sparse_gradient_counts_each_place_once() -> None:
    gradient = torch.sparse_coo_tensor(
        torch.tensor([[1, 1]]), torch.tensor([[3.0], [1.0]]), (5, 1), check_invariants=True
    )
    assert norms([dense(gradient)]).tolist() == [4]


def test_sums_tell_no_gradient_from_one_that_cannot_be_read() -> None:
    found = sums(
        [torch.tensor([-1.0, 2.0]), None, torch.ones(2, device="meta"), torch.zeros(2)], torch.device("cpu")
    )
    assert found[[0, 1, 3]].tolist() == [3, 0, 0]
    assert math.isnan(found[2])
    assert sums([None], torch.device("cpu")).tolist() == [0]


class _Special(nn.Parameter):
    pass


def test_what_can_be_measured() -> None:
    for dtype in DTYPES:
        assert measurable(torch.ones(2, dtype=dtype))
    assert measurable(nn.Parameter(torch.ones(2)))
    assert measurable(_Special(torch.ones(2)))
    assert measurable(torch.ones(2).to_sparse())
    assert not measurable(None)
    assert not measurable(torch.ones(2, dtype=torch.int64))
    assert not measurable(torch.ones(2, device="meta"))
    with torch._subclasses.FakeTensorMode():
        assert not measurable(torch.ones(2))


def test_gradients_leave_out_what_has_none() -> None:
    parameters = [Named("layer", name, torch.ones(2)) for name in "abc"]
    found = [torch.ones(2), None, torch.ones(2, device="meta")]
    named, values = gradients(Step("model", 1, None, parameters, found, {}, False, None))
    assert [each.name for each in named] == ["a"]
    assert [value.tolist() for value in values] == [[1, 1]]


def test_what_is_kept_is_of_the_latest_threads() -> None:
    kept: dict[str, int] = {}
    for number in range(LATEST):
        keep(kept, str(number), number)
    keep(kept, "0", 100)
    keep(kept, "new", 200)
    assert len(kept) == LATEST
    assert kept["0"] == 100
    assert "1" not in kept
