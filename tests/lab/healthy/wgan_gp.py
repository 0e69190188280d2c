"""Wasserstein GAN with a gradient penalty: autograd.grad with create_graph, five critic steps for one."""

import random

import numpy as np
import torch
from digest import digest
from torch import nn

random.seed(0)
np.random.seed(0)
torch.manual_seed(0)
LATENT, BATCH, CRITIC_STEPS, LAMBDA = 4, 64, 5, 1.0


class Critic(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.fc1 = nn.Linear(1, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        x = torch.nn.functional.silu(self.fc1(x))
        x = torch.nn.functional.silu(self.fc2(x))
        return self.out(x)


def sample_real(n):
    side = torch.randint(0, 2, (n, 1)) * 2.0 - 1.0
    return 1.5 * side + 0.3 * torch.randn(n, 1)


def gradient_penalty(critic, real, fake):
    eps = torch.rand(real.size(0), 1)
    mixed = (eps * real + (1 - eps) * fake).requires_grad_(True)
    scores = critic(mixed)
    (grad,) = torch.autograd.grad(
        outputs=scores, inputs=mixed, grad_outputs=torch.ones_like(scores), create_graph=True
    )
    return ((grad.norm(2, dim=1) - 1) ** 2).mean()


@torch.no_grad()
def wasserstein(generator, n=2000):
    """Distance between two samples on a line: sorted against sorted."""
    real, fake = sample_real(n), generator(torch.randn(n, LATENT))
    return (real.sort(dim=0).values - fake.sort(dim=0).values).abs().mean().item()


generator = nn.Sequential(nn.Linear(LATENT, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
critic = Critic()
g_optim = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.0, 0.9))
c_optim = torch.optim.Adam(critic.parameters(), lr=4e-3, betas=(0.0, 0.9))

print(f"before: W1 = {wasserstein(generator):.5f}")
for it in range(120):
    for _ in range(CRITIC_STEPS):
        real = sample_real(BATCH)
        with torch.no_grad():
            fake = generator(torch.randn(BATCH, LATENT))
        penalty = gradient_penalty(critic, real, fake)
        c_loss = critic(fake).mean() - critic(real).mean() + LAMBDA * penalty
        c_optim.zero_grad()
        c_loss.backward()
        c_optim.step()

    # The critic is only looked through here.
    critic.requires_grad_(False)
    g_loss = -critic(generator(torch.randn(BATCH, LATENT))).mean()
    g_optim.zero_grad()
    g_loss.backward()
    g_optim.step()
    critic.requires_grad_(True)

    if (it + 1) % 20 == 0:
        print(
            f"iter {it + 1:3d} | critic {c_loss.item():+.5f} | generator {g_loss.item():+.5f} "
            f"| penalty {penalty.item():.5f} | W1 {wasserstein(generator):.5f}"
        )

print(digest(generator, critic))
