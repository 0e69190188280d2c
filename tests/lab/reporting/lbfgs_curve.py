"""A physics-informed network for a differential equation, LBFGS with a closure."""

from program import MARK, Fault, Template

SOURCE = """\
import math

import torch
import torch.nn as nn

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)


class MLP(nn.Module):
    def __init__(self, sizes=(1, 24, 24, 1)):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:])])

    def forward(self, t):
        for layer in self.layers[:-1]:
            t = torch.tanh(layer(t))
        return self.layers[-1](t)


def exact(t):
    return torch.exp(-0.4 * t) * torch.cos(3 * t)


t_train = torch.linspace(0, 2, 64).unsqueeze(1).requires_grad_(True)
t_valid = (torch.rand(100) * 2).unsqueeze(1)
model = MLP()
optimizer = torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=10, history_size=20, line_search_fn="strong_wolfe")


def residual(t):
    u = model(t)
    (du,) = torch.autograd.grad(u.sum(), t, create_graph=True)
    (ddu,) = torch.autograd.grad(du.sum(), t, create_graph=True)
    return u, du, ddu + 0.8 * du + (9 + 0.16) * u


def compute_loss():
    u, du, res = residual(t_train)
    start = (u[0] - 1.0).pow(2).sum() + (du[0] + 0.4).pow(2).sum()
    data = (model(t_train) - exact(t_train.detach())).pow(2).mean()
    return 0.01 * res.pow(2).mean() + start + data


def closure():
    optimizer.zero_grad()
    loss = compute_loss()
    loss.backward()
    return loss


for epoch in range(40):
    loss = optimizer.step(closure)
    with torch.no_grad():
        error = (model(t_valid) - exact(t_valid)).norm() / exact(t_valid).norm()
    if epoch % 5 == 4:
        print(f"epoch {epoch + 1} loss {loss.item():.3e} relative error {error.item():.3e}")
"""

LBFGS = 'torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=10, history_size=20, line_search_fn="strong_wolfe")'
DATA = "    data = (model(t_train) - exact(t_train.detach())).pow(2).mean()\n"

VARIANTS = (
    ("seed1", (("manual_seed(0)", "manual_seed(1)"),)),
    (
        "no-line-search",
        (
            (LBFGS, "torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=10, history_size=20)"),
            ("range(40)", "range(60)"),
        ),
    ),
    (
        "adam",
        (
            (LBFGS, "torch.optim.Adam(model.parameters(), lr=1e-2)"),
            ("range(40)", "range(900)"),
            ("epoch % 5 == 4", "epoch % 100 == 99"),
            (
                "for epoch in",
                "scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 900)\nfor epoch in",
            ),
            (
                "    loss = optimizer.step(closure)\n",
                "    loss = optimizer.step(closure)\n    scheduler.step()\n",
            ),
        ),
    ),
    (
        "fit-only",
        (
            ("    return 0.01 * res.pow(2).mean() + start + data\n", "    return data + 0.0 * start\n"),
            ("torch.tanh(layer(t))", "nn.functional.silu(layer(t))"),
        ),
    ),
)

FAULTS = (
    Fault(
        "loss-broadcasts",
        ((DATA, f"    data = (model(t_train).squeeze(1) - exact(t_train.detach())).pow(2).mean(){MARK}\n"),),
        note="[64] against [64, 1]",
    ),
    Fault(
        "loss-not-finite",
        ((DATA, f"    data = (model(t_train) - exact(t_train.detach())).relu().sqrt().mean(){MARK}\n"),),
        note="the slope of a root at 0",
    ),
    Fault(
        "gradients-not-cleared",
        (("    optimizer.zero_grad()\n", ""), ("    loss.backward()\n", f"    loss.backward(){MARK}\n")),
        note="in the closure of LBFGS",
    ),
    Fault(
        "saturated-activations",
        (("            t = torch.tanh(layer(t))\n", f"            t = torch.tanh(60 * layer(t)){MARK}\n"),),
        accept=("badly-scaled-initialization", "vanishing-gradients"),
    ),
    Fault(
        "dtype-mismatch",
        (
            ("model = MLP()\n", "model = MLP().float()\n"),
            ("            t = torch.tanh(layer(t))\n", f"            t = torch.tanh(layer(t)){MARK}\n"),
        ),
        note="model in float32, times in float64",
    ),
)

TEMPLATES = (Template("lbfgs-curve", SOURCE, FAULTS, VARIANTS),)
