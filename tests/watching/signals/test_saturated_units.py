from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fitwell.watching.signals.saturated_units import saturated


@pytest.mark.parametrize(
    ("kind", "function", "limits"),
    [
        ("tanh", torch.tanh, None),
        ("sigmoid", torch.sigmoid, None),
        ("softsign", F.softsign, None),
        ("hardtanh", F.hardtanh, (-1.0, 1.0)),
        ("hardsigmoid", F.hardsigmoid, (0.0, 1.0)),
    ],
)
def test_values_tell_the_derivative(kind, function, limits):
    x = torch.linspace(-60, 60, 2001, dtype=torch.float64, requires_grad=True)
    y = function(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(saturated(kind, y.detach(), limits), slope < 1e-3)


def train(model, loss, steps=8):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    shares = []
    for _ in range(steps):
        x = torch.randn(200, 4)
        optimizer.zero_grad()
        slope = 1 - model[0](x).detach().tanh() ** 2
        shares.append((slope < 1e-3).float().mean(0))
        loss(model(x)).backward()
        optimizer.step()
    return shares


def test_the_share_of_units_that_hardly_ever_pass_a_gradient(watched):
    with watched() as record:
        net = nn.Sequential(nn.Linear(4, 10), nn.Tanh(), nn.Linear(10, 1))
        with torch.no_grad():
            net[0].weight[:5] *= 1000  # saturated for nearly all samples
            net[0].weight[5:8] *= 8  # for some
        shares = train(net, lambda y: y.square().mean(), steps=5)
    measured = torch.stack(shares[:3]).mean(0)  # 3 x 200 samples are enough
    assert (measured > 0.3).sum() > (measured > 0.95).sum()  # the case tells entries from units
    assert record.curve("layer/1/saturated_share")[0] == (
        3,
        pytest.approx(float((measured > 0.95).float().mean())),
    )


def test_the_output_before_the_loss_is_marked(watched):
    with watched() as record:
        net = nn.Sequential(nn.Linear(4, 10), nn.Tanh(), nn.Linear(10, 1), nn.Sigmoid())
        train(net, lambda y: F.binary_cross_entropy(y.squeeze(1), torch.ones(200)))
    known = record.facts["signals"]["saturated_units"]["model"]
    assert known["3"] == {"kind": "sigmoid", "loss": "binary_cross_entropy"}
    assert known["1"] == {"kind": "tanh", "loss": None}


def test_softmax_and_gates_are_not_it(watched):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.fc = nn.LSTM(1, 6, batch_first=True), nn.Linear(6, 3)

        def __getitem__(self, _):
            return nn.Identity()

        def forward(self, x):
            return self.fc(self.rnn(x.unsqueeze(-1))[0][:, -1]).softmax(1)

    with watched() as record:
        train(Net(), lambda y: F.mse_loss(y, torch.ones_like(y)))
    assert not [name for event in record.events for name in event["signals"] if "saturated" in name]
