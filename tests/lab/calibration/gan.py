"""Two networks that compete: a generator of points on a ring, both with Adam, BCEWithLogitsLoss."""

from program import MARK, Fault, Template

SOURCE = """\
import math

import torch
from torch import nn

torch.manual_seed(6)


def real_points(n):
    angle = torch.rand(n) * 2 * math.pi
    radius = 1 + 0.05 * torch.randn(n)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


generator = nn.Sequential(nn.Linear(4, 48), nn.LeakyReLU(0.2), nn.Linear(48, 48), nn.LeakyReLU(0.2), nn.Linear(48, 2))
critic = nn.Sequential(nn.Linear(2, 48), nn.LeakyReLU(0.2), nn.Linear(48, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1))
g_opt = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
d_opt = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.999))
adversarial = nn.BCEWithLogitsLoss()
batch = 64
real_label, fake_label = torch.ones(batch, 1), torch.zeros(batch, 1)

for epoch in range(10):
    d_sum, g_sum = 0.0, 0.0
    for step in range(60):
        real = real_points(batch)
        noise = torch.randn(batch, 4)
        fake = generator(noise)

        d_opt.zero_grad()
        d_loss = adversarial(critic(real), real_label) + adversarial(critic(fake.detach()), fake_label)
        d_loss.backward()
        d_opt.step()

        g_opt.zero_grad()
        g_loss = adversarial(critic(fake), real_label)
        g_loss.backward()
        g_opt.step()
        d_sum += d_loss.item()
        g_sum += g_loss.item()
    with torch.no_grad():
        sample = generator(torch.randn(500, 4))
        off = (sample.norm(dim=1) - 1).abs().mean().item()
    print(f"epoch {epoch}: d {d_sum / 60:.3f} g {g_sum / 60:.3f} distance from the ring {off:.3f}")
"""

D_OPT = "d_opt = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.999))\n"
G_OPT = "g_opt = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))\n"
G_LOSS = "        g_loss = adversarial(critic(fake), real_label)\n"
D_LOSS = (
    "        d_loss = adversarial(critic(real), real_label) + "
    "adversarial(critic(fake.detach()), fake_label)\n"
)
G_STEP = "        g_loss.backward()\n        g_opt.step()\n"
D_STEP = "        d_loss.backward()\n        d_opt.step()\n"
CRITIC = (
    "critic = nn.Sequential(nn.Linear(2, 48), nn.LeakyReLU(0.2), nn.Linear(48, 48), "
    "nn.LeakyReLU(0.2), nn.Linear(48, 1))\n"
)
GENERATOR = (
    "generator = nn.Sequential(nn.Linear(4, 48), nn.LeakyReLU(0.2), nn.Linear(48, 48), "
    "nn.LeakyReLU(0.2), nn.Linear(48, 2))\n"
)
FAKE = "        fake = generator(noise)\n"

FAULTS = (
    Fault("loss-detached", ((G_LOSS, G_LOSS.replace("(fake)", "(fake.detach())").replace("\n", f"{MARK}\n")),),
          accept=("gradient-path-cut", "gradients-cleared-before-step", "optimizer-never-steps"),
          note="the generator's loss, too, has detached points"),
    Fault("parameters-not-in-optimizer", ((G_OPT,
          f"g_opt = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.999)){MARK}\n"),),
          note="the generator's optimizer holds the critic"),
    Fault("optimizer-never-steps", ((G_STEP, f"        g_loss.backward(){MARK}\n        d_opt.step(){MARK}\n"),),
          accept=("parameters-not-in-optimizer",), note="the wrong optimizer steps"),
    Fault("sigmoid-before-bce-with-logits", ((CRITIC, CRITIC.replace("nn.Linear(48, 1))",
          "nn.Linear(48, 1), nn.Sigmoid())").replace("\n", f"{MARK}\n")), (G_LOSS, G_LOSS.replace("\n",
          f"{MARK}\n")), (D_LOSS, D_LOSS.replace("\n", f"{MARK}\n")))),
    Fault("loss-broadcasts", (("adversarial = nn.BCEWithLogitsLoss()\n",
          "adversarial = lambda score, label: ((score - label) ** 2).mean()\n"),
          ("torch.ones(batch, 1), torch.zeros(batch, 1)",
          "torch.ones(batch) + 0.1 * torch.randn(batch), torch.zeros(batch)"), (G_LOSS, G_LOSS.replace("\n",
          f"{MARK}\n")), (D_LOSS, D_LOSS.replace("\n", f"{MARK}\n"))),
          note="squared error by hand, [64, 1] against [64]"),
    Fault("gradients-not-cleared", (("        d_opt.zero_grad()\n", ""), (D_STEP, D_STEP.replace("()\n",
          f"(){MARK}\n"))), note="the critic's"),
    Fault("learning-rate-too-high", ((D_OPT, D_OPT.replace("1e-3", "0.5")), (G_OPT, G_OPT.replace("1e-3", "0.5"))),
          accept=("exploding-gradients", "loss-oscillates", "saturated-activations"), note="x500"),
    Fault("no-nonlinearity", ((GENERATOR,
          f"generator = nn.Sequential(nn.Linear(4, 48), nn.Linear(48, 48), nn.Linear(48, 2)){MARK}\n"),),
          note="the generator"),
    Fault("graph-retained", (("        d_sum += d_loss.item()\n", f"        d_sum = d_sum + d_loss{MARK}\n"),)),
    Fault("inplace-modification", ((D_LOSS, D_LOSS.replace("fake.detach()", "fake")), (D_STEP,
          "        d_loss.backward(retain_graph=True)\n        d_opt.step()\n"), (G_LOSS,
          "        g_loss = adversarial(judged, real_label)\n"), (FAKE, FAKE + "        judged = critic(fake)\n"),
          (G_STEP, G_STEP.replace("g_loss.backward()", f"g_loss.backward(){MARK}"))),
          note="the critic is stepped between forward and backward"),
    Fault("parameters-frozen", ((G_OPT,
          f"generator.requires_grad_(False){MARK}\ngenerator[4].bias.requires_grad_(True)\n" + G_OPT),),
          note="the generator, but for a bias"),
    Fault("single-unit-softmax", ((CRITIC, CRITIC.replace("nn.Linear(48, 1))",
          "nn.Linear(48, 1), nn.Softmax(dim=1))").replace("\n", f"{MARK}\n")), ("nn.BCEWithLogitsLoss()",
          "nn.BCELoss()"), (G_LOSS, G_LOSS.replace("\n", f"{MARK}\n")), (D_LOSS, D_LOSS.replace("\n",
          f"{MARK}\n")))),
    Fault("loss-sign-flipped", ((G_LOSS, G_LOSS.replace("= adv", "= -adv").replace("\n", f"{MARK}\n")),),
          note="the generator's"),
    Fault("device-mismatch", (("        noise = torch.randn(batch, 4)\n",
          "        noise = torch.randn(batch, 4, device='meta')\n"), (FAKE, FAKE.replace("\n", f"{MARK}\n"))),
          note="noise on another device"),
)  # fmt: skip

VARIANTS = (
    ("seed", (("torch.manual_seed(6)", "torch.manual_seed(66)"),)),
    ("least-squares", (("nn.BCEWithLogitsLoss()", "nn.MSELoss()"),)),
    ("probabilities", ((CRITIC, CRITIC.replace("nn.Linear(48, 1))", "nn.Linear(48, 1), nn.Sigmoid())")),
     ("nn.BCEWithLogitsLoss()", "nn.BCELoss()"))),
    ("rmsprop", ((D_OPT, "d_opt = torch.optim.RMSprop(critic.parameters(), lr=5e-4)\n"), (G_OPT,
     "g_opt = torch.optim.RMSprop(generator.parameters(), lr=5e-4)\n"))),
)  # fmt: skip

TEMPLATES = [Template("gan", SOURCE, FAULTS, VARIANTS)]
