"""Periodic embeddings: each number keeps to itself, beside itself, and bends quickly."""

import math

import torch
from torch import nn

from fitwell.models.periodic import FREQUENCY, WIDTH, Periodic


def test_it_is_the_equation_column_by_column():
    torch.manual_seed(0)
    layer, x = Periodic(3), torch.randn(5, 3)
    expected = [x]
    for column in range(3):
        waves = torch.cos(x[:, [column]] * layer.frequency_FW[column] + layer.phase_bias_FW[column])
        expected.append(torch.relu(waves @ layer.weight_FWD[column] + layer.bias_FD[column]))
    y = layer(x)
    assert y.shape == (5, layer.width) == (5, 3 + 3 * WIDTH)
    torch.testing.assert_close(y, torch.cat(expected, 1))


def test_a_number_changes_only_its_own_embedding():
    layer, x = Periodic(2), torch.zeros(1, 2)
    moved = x.clone()
    moved[0, 1] = 0.37
    changed = (layer(x) != layer(moved))[0]
    assert not changed[0]
    assert changed[1]
    assert not changed[2 : 2 + WIDTH].any()
    assert changed[2 + WIDTH :].any()


def test_the_initial_frequencies_have_their_spread_and_the_phases_fill_the_circle():
    torch.manual_seed(0)
    layer = Periodic(2000)
    assert math.isclose(float(layer.frequency_FW.detach().std()), 2 * math.pi * FREQUENCY, rel_tol=0.02)
    phases = layer.phase_bias_FW.detach()
    assert float(phases.abs().max()) <= math.pi
    assert math.isclose(float(phases.std()), math.pi / math.sqrt(3), rel_tol=0.02)


def test_a_net_with_it_learns_a_step_pattern_that_a_dense_net_does_not():
    x = torch.linspace(-2, 2, 400)[:, None]
    y = torch.sign(torch.sin(7 * x))

    def error(*first: nn.Module, width: int) -> float:
        net = nn.Sequential(*first, nn.Linear(width, 32), nn.SiLU(), nn.Linear(32, 1))
        optimizer = torch.optim.Adam(net.parameters(), 1e-2)
        for _ in range(150):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(net(x), y)
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    torch.manual_seed(0)
    periodic = Periodic(1)
    assert error(periodic, width=periodic.width) < 0.5 * error(width=1)
