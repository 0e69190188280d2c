"""A generative adversarial network for points on a ring; two optimizers, the loop of the official example."""

# ruff: noqa: E501 (texts to be exchanged stand as they do in the program)

from program import MARK, Fault, Template

SOURCE = """\
import math

import torch
import torch.nn as nn
import torch.optim as optim

manualSeed = 999
torch.manual_seed(manualSeed)
nz, batch_size, num_iters = 2, 128, 1200


def real_batch():
    angle = 2 * math.pi * torch.rand(batch_size)
    radius = 1.0 + 0.05 * torch.randn(batch_size)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


netG = nn.Sequential(nn.Linear(nz, 64), nn.ReLU(True), nn.Linear(64, 64), nn.ReLU(True), nn.Linear(64, 2))
netD = nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
criterion = nn.BCEWithLogitsLoss()
fixed_noise = torch.randn(1000, nz)
optimizerD = optim.Adam(netD.parameters(), lr=2e-3, betas=(0.5, 0.999))
optimizerG = optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))

G_losses, D_losses = [], []
for i in range(num_iters):
    # (1) update D
    netD.zero_grad()
    real = real_batch()
    label = torch.full((batch_size,), 0.9)
    output = netD(real).view(-1)
    errD_real = criterion(output, label)
    errD_real.backward()
    noise = torch.randn(batch_size, nz)
    fake = netG(noise)
    label.fill_(0.0)
    output = netD(fake.detach()).view(-1)
    errD_fake = criterion(output, label)
    errD_fake.backward()
    errD = errD_real + errD_fake
    optimizerD.step()
    # (2) update G
    netG.zero_grad()
    label.fill_(1.0)
    output = netD(fake).view(-1)
    errG = criterion(output, label)
    errG.backward()
    optimizerG.step()
    G_losses.append(errG.item())
    D_losses.append(errD.item())
    if (i + 1) % 200 == 0:
        with torch.no_grad():
            points = netG(fixed_noise)
        radius = points.norm(dim=1)
        angles = torch.atan2(points[:, 1], points[:, 0])
        filled = torch.histc(angles, 12, -math.pi, math.pi).gt(20).float().mean()
        distance = (radius - 1).abs().mean() + (1 - filled)
        print("[%d/%d] Loss_D: %.4f Loss_G: %.4f distance %.4f" % (i + 1, num_iters, errD.item(), errG.item(), distance))
"""

VARIANTS = (
    ("seed7", (("manualSeed = 999", "manualSeed = 7"),)),
    (
        "rmsprop",
        (
            (
                "optim.Adam(netD.parameters(), lr=2e-3, betas=(0.5, 0.999))",
                "optim.RMSprop(netD.parameters(), lr=1e-3)",
            ),
            (
                "optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))",
                "optim.RMSprop(netG.parameters(), lr=1e-3)",
            ),
        ),
    ),
    (
        "hard-labels-tanh",
        (
            ("torch.full((batch_size,), 0.9)", "torch.full((batch_size,), 1.0)"),
            ("nn.ReLU(True), nn.Linear(64, 64), nn.ReLU(True)", "nn.Tanh(), nn.Linear(64, 64), nn.Tanh()"),
        ),
    ),
)

FAULTS = (
    Fault(
        "gradient-path-cut",
        (("    output = netD(fake).view(-1)\n", f"    output = netD(fake.detach()).view(-1){MARK}\n"),),
        accept=("optimizer-never-steps", "loss-detached", "gradients-cleared-before-step"),
        note="fake detached in the generator's step too",
    ),
    Fault(
        "parameters-not-in-optimizer",
        (
            ("optimizerG = optim.Adam(netG.parameters()", "optimizerG = optim.Adam(netD.parameters()"),
            ("    optimizerG.step()\n", f"    optimizerG.step(){MARK}\n"),
        ),
        accept=("optimizer-never-steps",),
        note="both optimizers hold the discriminator",
    ),
    Fault(
        "sigmoid-before-bce-with-logits",
        (
            (
                "nn.LeakyReLU(0.2), nn.Linear(64, 1))",
                f"nn.LeakyReLU(0.2), nn.Linear(64, 1), nn.Sigmoid()){MARK}",
            ),
        ),
    ),
    Fault(
        "gradients-not-cleared",
        (
            ("    netD.zero_grad()\n", ""),
            ("    netG.zero_grad()\n", ""),
            ("    errG.backward()\n", f"    errG.backward(){MARK}\n"),
            ("    optimizerD.step()\n", f"    optimizerD.step(){MARK}\n"),
        ),
        note="in both networks",
    ),
    Fault(
        "learning-rate-too-high",
        (
            ("optim.Adam(netG.parameters(), lr=1e-3,", "optim.Adam(netG.parameters(), lr=1.0,"),
            ("optim.Adam(netD.parameters(), lr=2e-3,", "optim.Adam(netD.parameters(), lr=1.0,"),
        ),
        accept=("loss-oscillates", "dead-units", "exploding-gradients"),
    ),
    Fault(
        "output-range-excludes-targets",
        (("nn.ReLU(True), nn.Linear(64, 2))", f"nn.ReLU(True), nn.Linear(64, 2), nn.Sigmoid()){MARK}"),),
        accept=("saturated-activations",),
        note="points between 0 and 1, the ring goes from -1 to 1",
    ),
)

TEMPLATES = (Template("gan-ring", SOURCE, FAULTS, VARIANTS),)
