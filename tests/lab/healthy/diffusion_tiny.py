"""Denoising diffusion of two moons: predict the noise, keep a moving average of the weights, sample."""

import copy
import math
import random

import numpy as np
import torch
import torch.nn.functional as F
from digest import digest
from torch import nn

T = 50


def moons(n):
    angle = torch.rand(n) * math.pi
    upper = torch.rand(n) < 0.5
    x = torch.where(upper, angle.cos(), 1 - angle.cos()) - 0.5
    y = torch.where(upper, angle.sin(), 0.5 - angle.sin()) - 0.25
    return torch.stack([x / 0.87, y / 0.5], 1) + 0.05 * torch.randn(n, 2)


class Denoiser(nn.Module):
    def __init__(self, hidden=64, n_frequencies=8):
        super().__init__()
        self.register_buffer("frequencies", 2.0 ** torch.arange(n_frequencies // 2) * math.pi / 8)
        self.inp = nn.Linear(2, hidden)
        self.time = nn.Linear(n_frequencies, hidden)
        self.mid = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 2)

    def forward(self, x, t):
        angles = (t[:, None] / T * 8) * self.frequencies
        embedding = torch.cat([angles.sin(), angles.cos()], 1)
        h = F.silu(self.inp(x) + self.time(embedding))
        return self.out(h + F.silu(self.mid(h)))


class Diffusion:
    def __init__(self):
        self.beta = torch.linspace(1e-3, 0.15, T)
        self.alpha = 1 - self.beta
        self.alpha_bar = self.alpha.cumprod(0)

    def loss(self, model, x0):
        t = torch.randint(T, (len(x0),))
        noise = torch.randn_like(x0)
        signal = self.alpha_bar[t, None]
        return F.mse_loss(model(signal.sqrt() * x0 + (1 - signal).sqrt() * noise, t), noise)

    @torch.no_grad()
    def sample(self, model, n):
        x = torch.randn(n, 2)
        for t in reversed(range(T)):
            predicted = model(x, torch.full((n,), t))
            x = (x - self.beta[t] / (1 - self.alpha_bar[t]).sqrt() * predicted) / self.alpha[t].sqrt()
            if t > 0:
                x = x + self.beta[t].sqrt() * torch.randn_like(x)
        return x


def update_average(average, model, decay=0.99):
    with torch.no_grad():
        for a, p in zip(average.parameters(), model.parameters(), strict=True):
            a.lerp_(p, 1 - decay)


if __name__ == "__main__":
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(6)
    model, diffusion = Denoiser(), Diffusion()
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    running = 0.0
    for step in range(1, 801):
        loss = diffusion.loss(model, moons(256))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update_average(average, model)
        running += loss.item()
        if step % 100 == 0:
            print(f"step {step:4d}  noise mse {running / 100:.6f}")
            running = 0.0
    samples = diffusion.sample(average, 500)
    nearest = torch.cdist(samples, moons(2000)).min(1).values
    print(f"mean {samples.mean(0).tolist()}  std {samples.std(0).tolist()}")
    print(f"mean distance of a sample to the data {nearest.mean().item():.6f}")
    print(digest(model, average, samples))
