"""A shadow copy follows the weights as an exponential moving average and is what gets evaluated."""

import copy
import math
import random

import numpy as np
import torch
from digest import digest
from torch import nn


def two_spirals(n, noise=0.08):
    t = torch.rand(n).sqrt() * 1.5 * math.pi
    label = torch.randint(0, 2, (n,))
    turn = t + math.pi * label
    xy = torch.stack([t * turn.cos(), t * turn.sin()], dim=1) / 2.5
    return xy + noise * torch.randn(n, 2), label.float()


class EMA:
    def __init__(self, model, decay):
        self.decay = decay
        self.shadow = copy.deepcopy(model).eval()
        self.shadow.requires_grad_(False)

    @torch.no_grad()
    def update(self, model):
        for ours, theirs in zip(self.shadow.parameters(), model.parameters(), strict=True):
            ours.lerp_(theirs, 1.0 - self.decay)
        for ours, theirs in zip(self.shadow.buffers(), model.buffers(), strict=True):
            ours.copy_(theirs)


@torch.no_grad()
def score(model, x, y):
    model.eval()
    logits = model(x).squeeze(-1)
    loss = nn.functional.binary_cross_entropy_with_logits(logits, y).item()
    return loss, ((logits > 0).float() == y).float().mean().item()


def train(model, ema, data, val, epochs=12):
    x, y = data
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    bce = nn.BCEWithLogitsLoss()
    for epoch in range(epochs):
        model.train()
        running = 0.0
        for chunk in torch.randperm(len(x)).chunk(40):
            loss = bce(model(x[chunk]).squeeze(-1), y[chunk])
            opt.zero_grad()
            loss.backward()
            opt.step()
            ema.update(model)
            running += loss.item() / 40
        raw, averaged = score(model, *val), score(ema.shadow, *val)
        print(
            f"{epoch + 1:>3} loss {running:.5f} | raw {raw[0]:.5f} {raw[1]:.4f}"
            f" | ema {averaged[0]:.5f} {averaged[1]:.4f}"
        )


random.seed(15)
np.random.seed(15)
torch.manual_seed(15)
net = nn.Sequential(
    nn.Linear(2, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)
)
ema = EMA(net, decay=0.97)
train(net, ema, data=two_spirals(2000), val=two_spirals(500))
print(digest(net, ema.shadow))
