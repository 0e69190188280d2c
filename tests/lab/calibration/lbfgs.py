"""Regression with L-BFGS: the loss is made in a closure, all samples at once."""

from program import MARK, Fault, Template

SOURCE = """\
import torch
from sklearn.datasets import make_friedman1

torch.manual_seed(17)
inputs, target = make_friedman1(n_samples=700, n_features=6, noise=0.6, random_state=17)
inputs = torch.as_tensor(inputs, dtype=torch.float32)
target = torch.as_tensor(target, dtype=torch.float32).unsqueeze(1)
inputs = (inputs - inputs.mean(dim=0)) / inputs.std(dim=0)
target = (target - target.mean()) / target.std()
fit_in, fit_out = inputs[:500], target[:500]
held_in, held_out = inputs[500:], target[500:]

network = torch.nn.Sequential(
    torch.nn.Linear(6, 10),
    torch.nn.Tanh(),
    torch.nn.Linear(10, 1),
)
optimizer = torch.optim.LBFGS(network.parameters(), lr=0.5, max_iter=5)
penalty = 1e-3


def closure():
    optimizer.zero_grad()
    residual = network(fit_in) - fit_out
    loss = residual.pow(2).mean()
    loss = loss + penalty * sum(p.pow(2).sum() for p in network.parameters())
    loss.backward()
    return loss


for epoch in range(35):
    loss = optimizer.step(closure)
    with torch.no_grad():
        held = torch.nn.functional.mse_loss(network(held_in), held_out)
    print(f"epoch {epoch} loss {loss.item():.5f} held out {held.item():.5f}")
"""

CLEAR = "    optimizer.zero_grad()\n"
RESIDUAL = "    residual = network(fit_in) - fit_out\n"
MARKED = RESIDUAL.replace("\n", f"{MARK}\n")
BACKWARD = "    loss.backward()\n"
LBFGS = "torch.optim.LBFGS(network.parameters(), lr=0.5, max_iter=5)"
TANH = "    torch.nn.Tanh(),\n"
MADE = "penalty = 1e-3\n"
STANDARD = "inputs = (inputs - inputs.mean(dim=0)) / inputs.std(dim=0)\n"
SPLIT = "fit_in, fit_out = inputs[:500], target[:500]\n"
LAYERS = "    torch.nn.Linear(6, 10),\n    torch.nn.Tanh(),\n    torch.nn.Linear(10, 1),\n"
CALL = "    loss = optimizer.step(closure)\n"

FAULTS = (
    Fault("gradients-not-cleared", ((CLEAR, ""), (BACKWARD, BACKWARD.replace("\n", f"{MARK}\n"))),
          note="in the closure"),
    Fault("loss-broadcasts", ((RESIDUAL, f"    residual = network(fit_in) - fit_out.squeeze(){MARK}\n"),
          ("    loss = residual.pow(2).mean()\n", f"    loss = residual.pow(2).mean(){MARK}\n"))),
    Fault("optimizer-never-steps", ((CALL, f"    loss = closure(){MARK}\n"),),
          note="the closure is called, not given to step"),
    Fault("loss-detached", ((RESIDUAL, f"    residual = network(fit_in).detach() - fit_out{MARK}\n"),
          ("    loss = loss + penalty * sum(p.pow(2).sum() for p in network.parameters())\n",
          "    loss.requires_grad_()\n"))),
    Fault("parameters-frozen", ((MADE, MADE
          + f"for p in network[0].parameters():\n    p.requires_grad = False{MARK}\n"
          f"network[2].weight.requires_grad = False{MARK}\n"),), note="all but the last bias"),
    Fault("no-nonlinearity", ((TANH, ""), ("    torch.nn.Linear(6, 10),", f"    torch.nn.Linear(6, 10),{MARK}")),
          accept=("underfitting",)),
    Fault("input-ignored", ((RESIDUAL, f"    residual = network(fit_in * 0) - fit_out{MARK}\n"),),
          accept=("underfitting", "loss-plateau")),
    Fault("output-range-excludes-targets", (("    torch.nn.Linear(10, 1),\n",
          f"    torch.nn.Linear(10, 1),\n    torch.nn.Softplus(),{MARK}\n"), (RESIDUAL, MARKED)),
          note="softplus, targets on both sides of 0"),
    Fault("overfitting", ((SPLIT, "fit_in, fit_out = inputs[:60], target[:60]\n"), ("penalty = 1e-3",
          "penalty = 0.0"), (LAYERS, LAYERS.replace("10", "60")), ("range(35)", "range(80)")),
          accept=("too-little-data",), note="60 samples, 60 units, no penalty"),
    Fault("underfitting", ((LAYERS, LAYERS.replace("10", "1")), (STANDARD, STANDARD
          + "target = torch.sign(inputs[:, :1] * inputs[:, 1:2])\n")), accept=("model-too-small",), note="one unit"),
    Fault("weight-decay-too-strong", (("penalty = 1e-3", "penalty = 1.0"),), accept=("underfitting",),
          note="a penalty of 1 in the loss"),
    Fault("saturated-activations", ((MADE, MADE
          + "penalty = 0\ntorch.nn.init.normal_(network[0].weight, std=200.0)\n"),),
          accept=("badly-scaled-initialization", "loss-plateau", "overfitting"), note="weights of deviation 200"),
    Fault("symmetric-initialization", ((MADE, MADE
          + "for p in network.parameters():\n    torch.nn.init.constant_(p, 0.1)\n"),), accept=("underfitting",)),
    Fault("input-not-finite", ((STANDARD, "inputs[41, 2] = float('inf')\n"),), accept=("loss-not-finite",),
          note="one value is infinite"),
    Fault("learning-rate-too-high", ((LBFGS, LBFGS.replace("0.5", "60.0")),), accept=("loss-not-finite",
          "exploding-gradients", "saturated-activations"), note="x120"),
    Fault("learning-rate-too-low", ((LBFGS, LBFGS.replace("0.5", "2e-4")),), accept=("slow-convergence",),
          note="/2500"),
    Fault("shape-mismatch", ((RESIDUAL, f"    residual = network(fit_in.t()) - fit_out{MARK}\n"),),
          note="features and samples are exchanged"),
)  # fmt: skip

VARIANTS = (
    ("seed", (("torch.manual_seed(17)", "torch.manual_seed(71)"),)),
    ("strong-wolfe", ((LBFGS,
     'torch.optim.LBFGS(network.parameters(), max_iter=4, line_search_fn="strong_wolfe")'),)),
    ("softplus", ((TANH, "    torch.nn.Softplus(),\n"),)),
    ("wide", ((LAYERS, LAYERS.replace("10", "14")), ("penalty = 1e-3", "penalty = 2e-3"))),
)  # fmt: skip

TEMPLATES = [Template("lbfgs", SOURCE, FAULTS, VARIANTS)]
