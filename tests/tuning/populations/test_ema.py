"""The averages of all members are those that each would keep alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch

from fitwell.data.contract import Data
from fitwell.training.ema import Ema
from fitwell.tuning.populations.ema import RowsEma
from fitwell.tuning.populations.members import Member
from fitwell.tuning.populations.stacking.rows import Rows

Make = Callable[..., Member]
DECAYS = (0.5, 0.9, 0.999)


def population(make: Make, data: Data, **changes: Any) -> tuple[list[Member], Rows, RowsEma]:
    members = [
        make(data, ema=decay, hidden=(width,), **changes)
        for decay, width in zip(DECAYS, (8, 16, 12), strict=True)
    ]
    rows = Rows([one.job.model for one in members], [one.stream for one in members])
    return members, rows, RowsEma(rows, [one.job for one in members])


def wander(rows: Rows, draw: torch.Generator) -> None:
    """Other weights, and other statistics of batch norms."""
    rows.weights_KP += torch.randn(rows.weights_KP.shape, generator=draw) * (
        1 if rows.mask_KP is None else rows.mask_KP
    )
    for name, values in rows.buffers.items():
        if "running" in name:
            values.add_(torch.rand(values.shape, generator=draw))
        if "batches" in name:
            values.add_(1)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_each_average_is_the_members_own(norm: str, digits: Data, make: Make) -> None:
    members, rows, averages = population(make, digits, norm=norm)
    own = [Ema(one.job.model, decay) for one, decay in zip(members, DECAYS, strict=True)]
    draw = torch.Generator().manual_seed(0)
    for step in range(30):
        wander(rows, draw)
        first, last = ((0, 3), (0, 1), (1, 3))[step % 3]  # members of more steps go on without the others
        averages.update(first, last)
        for ema, one in list(zip(own, members, strict=True))[first:last]:
            ema.update(one.job.model)
    for ema, one in zip(own, members, strict=True):
        assert one.job.ema is not None
        assert one.job.ema.updates == ema.updates == 20
        assert one.job.ema.average.keys() == ema.average.keys()
        for name, values in ema.average.items():
            torch.testing.assert_close(one.job.ema.average[name], values, rtol=1e-5, atol=1e-5)


def test_averages_count_for_as_long_as_the_block_lasts(digits: Data, make: Make) -> None:
    members, rows, averages = population(make, digits, norm="batch")
    draw = torch.Generator().manual_seed(0)
    for _ in range(3):
        wander(rows, draw)
        averages.update(0, 3)
    before = [{k: v.clone() for k, v in one.job.model.state_dict().items()} for one in members]
    with contextlib.suppress(ZeroDivisionError), averages.applied():
        for one in members:
            assert one.job.ema is not None
            state = one.job.model.state_dict()
            assert all(torch.equal(state[name], values) for name, values in one.job.ema.average.items())
        raise ZeroDivisionError
    for one, state in zip(members, before, strict=True):
        now = one.job.model.state_dict()
        assert all(torch.equal(now[name], values) for name, values in state.items())


def test_averages_that_began_are_taken_over(digits: Data, make: Make) -> None:
    members, rows, averages = population(make, digits)
    wander(rows, torch.Generator().manual_seed(0))
    averages.update(0, 3)
    kept = [{k: v.clone() for k, v in one.job.ema.average.items()} for one in members if one.job.ema]
    others = members[::-1][:2]
    again = Rows([one.job.model for one in others], [one.stream for one in others])
    RowsEma(again, [one.job for one in others])
    for one, average in zip(others, kept[::-1][:2], strict=True):
        assert one.job.ema is not None
        assert one.job.ema.updates == 1
        assert all(torch.equal(one.job.ema.average[name], values) for name, values in average.items())
