"""A GAN that runs both backwards before either optimizer steps."""

import argparse
import random
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from digest import digest
from torch import nn


def mlp(*sizes):
    layers = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


def real_samples(n):
    """Points on a noisy ring of radius one."""
    angle = 2 * torch.pi * torch.rand(n)
    ring = torch.stack([angle.cos(), angle.sin()], dim=1)
    return ring + 0.05 * torch.randn(n, 2)


class GAN:
    def __init__(self, latent, lr):
        self.latent = latent
        self.generator = mlp(latent, 48, 48, 2)
        self.discriminator = mlp(2, 48, 48, 1)
        self.opt_g = torch.optim.Adam(self.generator.parameters(), lr=lr, betas=(0.5, 0.99))
        self.opt_d = torch.optim.Adam(self.discriminator.parameters(), lr=2 * lr, betas=(0.5, 0.99))

    def sample(self, n):
        return self.generator(torch.randn(n, self.latent))

    def update(self, real):
        fake = self.sample(len(real))

        self.opt_g.zero_grad()
        g_loss = F.softplus(-self.discriminator(fake)).mean()
        g_loss.backward()

        # After the generator's backward, which has also reached the discriminator.
        self.opt_d.zero_grad()
        d_real, d_fake = self.discriminator(real), self.discriminator(fake.detach())
        d_loss = F.softplus(-d_real).mean() + F.softplus(d_fake).mean()
        d_loss.backward()

        self.opt_g.step()
        self.opt_d.step()
        return g_loss.item(), d_loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args()

    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    gan = GAN(latent=4, lr=args.lr)
    for step in range(1, args.steps + 1):
        g_loss, d_loss = gan.update(real_samples(args.batch_size))
        if step % 50 == 0:
            with torch.inference_mode():
                radius = gan.sample(1000).norm(dim=1)
            off = (radius - 1).abs().mean().item()
            print(f"step {step:4d}  g {g_loss:.5f}  d {d_loss:.5f}  off the ring by {off:.5f}")
    print(digest(gan.generator, gan.discriminator))


if __name__ == "__main__":
    main()
