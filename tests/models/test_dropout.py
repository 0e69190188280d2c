"""Dropout: torch's in all but the bits that are drawn."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from fitwell.models.dropout import Dropout, draw, draws, threshold


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.77, 0.999])
def test_the_share_is_dropped_and_the_rest_is_scaled_to_the_same_mean(share: float) -> None:
    torch.manual_seed(0)
    layer, count = Dropout(share), 400_000
    said = layer(torch.ones(count))
    dropped = (said == 0).double().mean().item()
    sure = 5 * math.sqrt(share * (1 - share) / count)
    assert abs(dropped - share) < sure + 2**-16
    assert said.unique().tolist() == pytest.approx([0.0, 1 / (1 - share)])


def test_all_numbers_of_a_draw_are_independent_and_even() -> None:
    """Each of the 64 bits is set half of the time, and no two of them together more than by chance."""
    numbers = torch.empty(100_000, dtype=torch.int64)
    draw(numbers, torch.Generator().manual_seed(0))
    bits = torch.stack([(numbers >> place) & 1 for place in range(64)]).double()
    centred = 2 * bits - 1
    together = centred @ centred.T / len(numbers)
    assert torch.allclose(
        together, torch.eye(64, dtype=torch.float64), atol=5 / math.sqrt(len(numbers)) * 1.2
    )
    assert centred.mean(1).abs().max() < 5 / math.sqrt(len(numbers))


@pytest.mark.parametrize("shape", [(1,), (3, 5), (7, 2, 3), (2, 4, 4)])
def test_any_shape_is_drawn_in_its_order_from_torchs_own_stream(shape: tuple[int, ...]) -> None:
    torch.manual_seed(3)
    said = Dropout(0.4)(torch.ones(shape))
    after = torch.get_rng_state()
    torch.manual_seed(3)
    numbers = torch.empty(draws(math.prod(shape)), dtype=torch.int64)
    draw(numbers)
    assert torch.equal(torch.get_rng_state(), after)
    kept = numbers.view(torch.int16)[: math.prod(shape)].view(shape) < threshold(0.4)
    assert torch.equal(said != 0, kept)


def test_the_gradient_goes_where_the_numbers_went() -> None:
    x = torch.randn(50, 8, requires_grad=True)
    said = Dropout(0.3)(x)
    said.sum().backward()
    assert torch.allclose(said, x * x.grad)
    assert x.grad.unique().tolist() == pytest.approx([0.0, 1 / 0.7])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_and_everything_are_dropped_as_torch_does(share: float) -> None:
    x, before = torch.randn(20), torch.get_rng_state()
    assert torch.equal(Dropout(share)(x), nn.Dropout(share)(x))
    assert torch.equal(torch.get_rng_state(), before)


def test_evaluation_changes_and_draws_nothing() -> None:
    layer, x, before = Dropout(0.5).eval(), torch.randn(20), torch.get_rng_state()
    assert layer(x) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_half_precision_stays_half() -> None:
    assert Dropout(0.5)(torch.ones(8, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_the_threshold_is_within_the_numbers() -> None:
    assert threshold(0.0) == 2**15 - 1  # one of 65,536 would be dropped: nothing is drawn for a share of 0
    assert threshold(0.5) == 0
    assert threshold(1 - 2**-16) == -(2**15) + 1
