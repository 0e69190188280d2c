"""Regression on a table as cells of a notebook: globals, an inner function or two, R2 is printed."""

from program import MARK, Fault, Template

SOURCE = """\
# %% imports
import copy

import numpy as np
import torch
from sklearn.datasets import make_friedman1
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)

# %% data
X, y = make_friedman1(n_samples=4000, n_features=8, noise=0.7, random_state=0)
X = X.astype(np.float32)
y = y.astype(np.float32)
idx = np.random.RandomState(0).permutation(len(X))
tr, va = idx[:3200], idx[3200:]
mu, sd = X[tr].mean(0), X[tr].std(0) + 1e-8
Xn = (X - mu) / sd
ym, ys = y[tr].mean(), y[tr].std()
yn = (y - ym) / ys
train_loader = DataLoader(
    TensorDataset(torch.from_numpy(Xn[tr]), torch.from_numpy(yn[tr])), batch_size=64, shuffle=True
)
Xv, yv = torch.from_numpy(Xn[va]), torch.from_numpy(yn[va])

# %% model
net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
opt = torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-5)
sched = torch.optim.lr_scheduler.ReduceLROnPlateau(opt, factor=0.3, patience=1)
loss_fn = nn.MSELoss()

# %% training
history = []
best, best_state, wait = float("inf"), None, 0
for epoch in range(16):
    net.train()
    losses = []
    for xb, yb in train_loader:
        pred = net(xb).squeeze(-1)
        loss = loss_fn(pred, yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    net.eval()
    with torch.no_grad():
        val = loss_fn(net(Xv).squeeze(-1), yv).item()
    sched.step(val)
    history.append((np.mean(losses), val))
    print(f"epoch {epoch:2d}  train mse {np.mean(losses):.4f}  val mse {val:.4f}")
    if val < best:
        best, best_state, wait = val, copy.deepcopy(net.state_dict()), 0
    else:
        wait += 1
        if wait >= 5:
            print("early stop")
            break

# %% result
if best_state is not None:
    net.load_state_dict(best_state)
with torch.no_grad():
    final = torch.nn.functional.mse_loss(net(Xv).squeeze(-1), yv).item()
print("best val", best)
print("R2 on validation:", round(1 - final / float(yv.var()), 4))
"""

NET = "net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))\n"
ADAM = "torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-5)"
PRED = "        pred = net(xb).squeeze(-1)\n"
LOSS = "        loss = loss_fn(pred, yb)\n"
SPLIT = "tr, va = idx[:3200], idx[3200:]\n"
SHIFTED = "import numpy as np\n"

VARIANTS = (
    ("seed5", (("torch.manual_seed(0)", "torch.manual_seed(5)"),)),
    (
        "huber-adamw",
        (("nn.MSELoss()", "nn.SmoothL1Loss()"), (ADAM, "torch.optim.AdamW(net.parameters(), lr=2e-3)")),
    ),
    ("sgd", ((ADAM, "torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)"),)),
    (
        "tanh-rmsprop",
        (
            (NET, NET.replace("nn.ReLU()", "nn.Tanh()")),
            (ADAM, "torch.optim.RMSprop(net.parameters(), lr=1e-3)"),
            ("range(16)", "range(22)"),
        ),
    ),
    (
        "silu-batch-32",
        (
            (NET, NET.replace("nn.ReLU()", "nn.SiLU()")),
            ("batch_size=64", "batch_size=32"),
            ("range(16)", "range(10)"),
        ),
    ),
    (
        "columns",
        (("        pred = net(xb).squeeze(-1)\n", "        pred = net(xb)\n        yb = yb.unsqueeze(1)\n"),),
    ),
)

FAULTS = (
    Fault(
        "loss-broadcasts",
        ((PRED, "        pred = net(xb)\n"), (LOSS, f"        loss = loss_fn(pred, yb){MARK}\n")),
        note="[64, 1] against [64]",
    ),
    Fault(
        "loss-broadcasts",
        ((LOSS, f"        loss = ((net(xb) - yb) ** 2).mean(){MARK}\n"),),
        note="difference by hand",
    ),
    Fault(
        "output-range-excludes-targets",
        ((NET, NET.replace("nn.Linear(64, 1))", f"nn.Linear(64, 1), nn.Sigmoid()){MARK}")),),
        note="sigmoid, targets are standardized",
    ),
    Fault(
        "output-range-excludes-targets",
        ((NET, NET.replace("nn.Linear(64, 1))", f"nn.Linear(64, 1), nn.ReLU()){MARK}")),),
        note="ReLU, half of the targets are negative",
    ),
    Fault(
        "no-nonlinearity",
        ((NET, f"net = nn.Sequential(nn.Linear(8, 64), nn.Linear(64, 64), nn.Linear(64, 1)){MARK}\n"),),
        accept=("underfitting",),
    ),
    Fault(
        "loss-does-not-match-target",
        (
            (NET, NET.replace("nn.Linear(64, 1)", "nn.Linear(64, 10)")),
            (PRED, "        pred = net(xb)\n"),
            (
                "y = y.astype(np.float32)\n",
                "y = np.digitize(y, np.quantile(y, np.arange(1, 10) / 10)).astype(np.float32)\n",
            ),
            (LOSS, f"        loss = loss_fn(pred, yb.unsqueeze(1).expand(-1, 10)){MARK}\n"),
            (
                "        val = loss_fn(net(Xv).squeeze(-1), yv).item()\n",
                "        val = loss_fn(net(Xv), yv.unsqueeze(1).expand(-1, 10)).item()\n",
            ),
            ("net(Xv).squeeze(-1), yv).item()\nprint", "net(Xv).mean(1), yv).item()\nprint"),
            ("ym, ys = y[tr].mean(), y[tr].std()\n", "ym, ys = 0.0, 1.0\n"),
        ),
        note="squared error on class numbers, ten outputs",
    ),
    Fault(
        "input-not-normalized",
        (
            (
                "Xn = (X - mu) / sd\n",
                "Xn = X * np.array([1, 1000, 1, 1, 5000, 1, 1, 200], dtype=np.float32)\n",
            ),
        ),
        accept=("badly-scaled-initialization",),
        note="columns in other units",
    ),
    Fault(
        "input-not-normalized",
        (("Xn = (X - mu) / sd\n", "Xn = X + np.float32(60.0)\n"),),
        note="far from zero",
    ),
    Fault(
        "too-little-data",
        (
            (SPLIT, "tr, va = idx[:60], idx[3200:]\n"),
            ("batch_size=64", "batch_size=8"),
            ("range(16)", "range(40)"),
            ("wait >= 5", "wait >= 50"),
        ),
        accept=("overfitting",),
        note="60 rows",
    ),
    Fault(
        "overfitting",
        (
            (SPLIT, "tr, va = idx[:300], idx[3200:]\n"),
            ("range(16)", "range(120)"),
            ("wait >= 5", "wait >= 500"),
            (NET, NET.replace("64", "256")),
            ("sched.step(val)", "pass"),
            ("noise=0.7", "noise=3.0"),
            ("batch_size=64", "batch_size=32"),
        ),
        accept=("too-little-data", "label-noise"),
        note="wide network, noisy target, long training",
    ),
    Fault(
        "underfitting",
        ((NET, "net = nn.Sequential(nn.Linear(8, 1), nn.ReLU(), nn.Linear(1, 1))\n"),),
        accept=("model-too-small",),
        note="one hidden unit",
    ),
    Fault(
        "model-too-small",
        ((NET, f"net = nn.Sequential(nn.Linear(8, 2), nn.Tanh(), nn.Linear(2, 1)){MARK}\n"),),
        accept=("underfitting",),
        note="two hidden units",
    ),
    Fault(
        "slow-convergence",
        ((ADAM, f"torch.optim.SGD(net.parameters(), lr=4e-4){MARK}"),),
        accept=("learning-rate-too-low", "underfitting"),
        note="plain SGD with a small rate",
    ),
    Fault(
        "loss-oscillates",
        (
            (ADAM, f"torch.optim.SGD(net.parameters(), lr=0.35){MARK}"),
            (NET, NET.replace("nn.ReLU()", "nn.Tanh()")),
            ("    sched.step(val)\n", ""),
            ("wait >= 5", "wait >= 50"),
        ),
        accept=(
            "learning-rate-too-high",
            "exploding-gradients",
            "loss-not-finite",
            "dead-units",
            "loss-plateau",
        ),
        note="rate at the edge",
    ),
    Fault(
        "gradients-not-cleared",
        (
            (
                "        opt.zero_grad()\n        loss.backward()\n        opt.step()\n",
                f"        loss.backward(){MARK}\n        opt.step(){MARK}\n",
            ),
            (ADAM, "torch.optim.SGD(net.parameters(), lr=0.02)"),
        ),
        note="SGD, MSE diverges or swings",
    ),
    Fault(
        "loss-sign-flipped",
        ((LOSS, f"        loss = -loss_fn(pred, yb){MARK}\n"),),
        accept=("loss-not-finite",),
    ),
    Fault(
        "constant-feature",
        (("idx = np.random.RandomState(0)", "X[:, 6] = 1.0\nX[:, 7] = 0.0\nidx = np.random.RandomState(0)"),),
        note="two columns without variance",
    ),
    Fault(
        "input-not-finite",
        (("Xn = (X - mu) / sd\n", f"X[:, 7] = 3.0\nXn = (X - X[tr].mean(0)) / X[tr].std(0){MARK}\n"),),
        accept=("loss-not-finite", "constant-feature"),
        note="0/0 in the scaling of a constant column",
    ),
    Fault(
        "weight-decay-too-strong",
        ((ADAM, f"torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1.0){MARK}"),),
        accept=("underfitting", "loss-plateau"),
    ),
    Fault(
        "batch-size-too-small",
        (
            ("batch_size=64", "batch_size=1"),
            (ADAM, "torch.optim.SGD(net.parameters(), lr=0.06)"),
            ("range(16)", "range(2)"),
        ),
        accept=(
            "learning-rate-too-high",
            "loss-oscillates",
            "dead-units",
            "exploding-gradients",
            "loss-not-finite",
        ),
        note="one sample a step",
    ),
    Fault(
        "train-validation-overlap",
        ((SPLIT, f"tr, va = idx[:3200], idx[2400:3200]{MARK}\n"),),
        note="validation cut from the training rows",
    ),
    Fault(
        "distribution-shift",
        (("idx = np.random.RandomState(0).permutation(len(X))", "idx = np.argsort(X[:, 3] + X[:, 0])"),),
        accept=("overfitting",),
        note="sorted by the important columns, then cut",
    ),
    Fault(
        "learning-rate-too-low",
        ((ADAM, f"torch.optim.Adam(net.parameters(), lr=2e-6){MARK}"),),
        accept=("slow-convergence",),
    ),
    Fault(
        "dead-units",
        (
            (
                "loss_fn = nn.MSELoss()\n",
                "loss_fn = nn.MSELoss()\nwith torch.no_grad():\n"
                f"    net[0].bias.fill_(-4.0){MARK}\n"
                f"    net[2].bias.fill_(-1.0){MARK}\n",
            ),
        ),
        accept=("badly-scaled-initialization", "loss-plateau", "input-ignored", "vanishing-gradients"),
        note="biases far below zero",
    ),
    Fault(
        "optimizer-never-steps",
        ((ADAM, ADAM.replace("net.", "copy.deepcopy(net).") + MARK),),
        accept=("parameters-not-in-optimizer", "gradients-cleared-before-step"),
        note="the optimizer holds a copy of the network",
    ),
)

TEMPLATES = (Template("notebook-regression", SOURCE, FAULTS, VARIANTS),)
