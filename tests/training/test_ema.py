"""The moving average against its closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fitwell.training.ema import Ema


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).double()


def wander(net: nn.Module, draw: torch.Generator) -> dict[str, torch.Tensor]:
    """Other weights, and other statistics of the batch norm."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
        net(torch.randn(8, 3, generator=draw, dtype=torch.float64))
    return {name: value.clone() for name, value in net.state_dict().items()}


@pytest.mark.parametrize("decay", [0.9, 0.5, 0.05])
def test_it_is_the_weighted_sum_of_all_weights(decay: float) -> None:
    net, draw = model(), torch.Generator().manual_seed(1)
    ema, history = Ema(net, decay), [{k: v.clone() for k, v in net.state_dict().items()}]
    for _ in range(200):
        history.append(wander(net, draw))
        ema.update(net)
    decays = [min(decay, (1 + t) / (10 + t)) for t in range(1, 201)]
    for name, value in ema.average.items():
        if not value.is_floating_point():
            assert torch.equal(value, history[-1][name])  # the count of batches is the last one
            continue
        share, expected = 1.0, torch.zeros_like(value)
        for weights, own in zip(reversed(history[1:]), reversed(decays), strict=True):
            expected += share * (1 - own) * weights[name]
            share *= own
        torch.testing.assert_close(value, expected + share * history[0][name], rtol=1e-10, atol=1e-10)


def test_it_averages_the_statistics_of_batch_norm() -> None:
    net, draw = model(), torch.Generator().manual_seed(1)
    ema = Ema(net, 0.9)
    wander(net, draw)
    ema.update(net)
    for name in ("1.running_mean", "1.running_var"):
        start = torch.zeros(4) if name.endswith("mean") else torch.ones(4)
        own = net.state_dict()[name]
        torch.testing.assert_close(ema.average[name], start.double().lerp(own, 1 - 2 / 11))
        assert not torch.equal(ema.average[name], own)


def test_applied_lends_the_average_and_puts_the_weights_back() -> None:
    net, draw = model(), torch.Generator().manual_seed(1)
    ema = Ema(net, 0.9)
    own = wander(net, draw)
    ema.update(net)
    average = {name: value.clone() for name, value in ema.average.items()}

    def put_to_use(fail: bool) -> None:
        with ema.applied(net):
            assert all(torch.equal(value, average[name]) for name, value in net.state_dict().items())
            if fail:
                raise KeyboardInterrupt

    put_to_use(fail=False)
    assert all(torch.equal(value, own[name]) for name, value in net.state_dict().items())
    with pytest.raises(KeyboardInterrupt):
        put_to_use(fail=True)
    assert all(torch.equal(value, own[name]) for name, value in net.state_dict().items())
    assert all(torch.equal(value, average[name]) for name, value in ema.average.items())


def test_it_shares_no_memory_with_the_model() -> None:
    net = model()
    ema = Ema(net, 0.9)
    before = {name: value.clone() for name, value in ema.average.items()}
    wander(net, torch.Generator().manual_seed(1))
    assert all(torch.equal(value, before[name]) for name, value in ema.average.items())
