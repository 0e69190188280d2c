from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn


def train(model, x_of, steps=12, part=torch.optim.SGD):
    optimizer = part(model.parameters(), lr=1e-6)
    for number in range(steps):
        optimizer.zero_grad()
        output = model(x_of(number))
        F.mse_loss(output, torch.zeros_like(output)).backward()
        optimizer.step()


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(3, 10), nn.Linear(10, 1)

    def forward(self, x):
        return self.out(F.relu(self.hidden(x)))


def killed(layer, units):
    with torch.no_grad():
        layer.bias[:units] = -1000
        layer.bias[units:] = 1000
    return layer


def test_the_share_of_units_that_are_always_zero(watched):
    with watched() as record:
        net = Functional()
        killed(net.hidden, 4)
        train(net, lambda _: torch.randn(6, 3))
    curve = record.curve("layer/hidden/dead_share")
    assert curve[0][0] == 4  # four batches say enough
    assert [value for _, value in curve] == pytest.approx([0.4] * len(curve))


def test_a_module_gives_its_name_and_many_samples_are_enough_at_once(watched):
    with watched() as record:
        train(
            nn.Sequential(killed(nn.Linear(3, 10), 3), nn.ReLU(), nn.Linear(10, 1)),
            lambda _: torch.randn(600, 3),
        )
    assert record.curve("layer/1/dead_share")[0] == (1, pytest.approx(0.3))
    assert not record.values("layer/0/dead_share")


def test_a_unit_that_lives_in_one_batch_of_several_is_not_dead(watched):
    with watched() as record:
        net = Functional()
        with torch.no_grad():
            net.hidden.weight.zero_()
            net.hidden.weight[:, 0] = 1
            net.hidden.bias.zero_()
        train(net, lambda n: torch.full((6, 3), 1.0 if n == 2 else -1.0), steps=4)
    assert record.values("layer/hidden/dead_share") == [0.0]


def test_a_unit_that_lives_for_one_sample_of_a_large_batch_is_not_dead(watched):
    with watched() as record:
        net = nn.Sequential(nn.Linear(1, 256), nn.ReLU(), nn.Linear(256, 1))
        with torch.no_grad():
            net[0].weight.fill_(1)
            net[0].bias.zero_()
        x = torch.full((4096, 1), -1.0)
        x[1234] = 1.0
        train(net, lambda _: x, steps=2)
    assert set(record.values("layer/1/dead_share")) == {0.0}


def test_channels_are_the_units_of_a_convolution(watched):
    class Conv(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = killed(nn.Conv2d(1, 8, 3), 2), nn.Linear(8 * 9, 1)

        def forward(self, x):
            return self.fc(F.max_pool2d(F.relu(self.conv(x)), 2).flatten(1))

    with watched() as record:
        train(Conv(), lambda _: torch.randn(4, 1, 8, 8), steps=5)
    assert record.values("layer/conv/dead_share") == pytest.approx([0.25, 0.25])


def test_zeros_of_inputs_and_embeddings_do_not_count(watched):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb, self.fc = nn.Embedding(5, 4, padding_idx=0), nn.Linear(4, 1)

        def forward(self, x):
            return self.fc(self.emb(x))

    with watched() as record:
        train(Net(), lambda _: torch.zeros(6, dtype=torch.int64), steps=6)
    assert not [name for event in record.events for name in event["signals"] if "dead_share" in name]
