"""A perceptron for regression with plain formulas: no loss module, batches by index, AdamW with a cosine schedule."""

from program import MARK, Fault, Template

SOURCE = """\
import numpy as np
import torch
from sklearn.datasets import make_friedman1

rng = np.random.RandomState(3)
torch.manual_seed(3)
X, t = make_friedman1(n_samples=2400, n_features=8, noise=0.5, random_state=rng)
X = X.astype(np.float32)
t = t.astype(np.float32)
X = (X - X[:1800].mean(0)) / X[:1800].std(0)
t = (t - t[:1800].mean()) / t[:1800].std()
X_train, X_val = torch.from_numpy(X[:1800]), torch.from_numpy(X[1800:])
t_train, t_val = torch.from_numpy(t[:1800]), torch.from_numpy(t[1800:])


class Regressor(torch.nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.hidden1 = torch.nn.Linear(inputs, hidden)
        self.hidden2 = torch.nn.Linear(hidden, hidden)
        self.out = torch.nn.Linear(hidden, 1)

    def forward(self, x):
        h = torch.tanh(self.hidden1(x))
        h = torch.tanh(self.hidden2(h))
        return self.out(h).squeeze(-1)


net = Regressor(8, 32)
opt = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.01)
EPOCHS, BATCH = 20, 60
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, EPOCHS)

history = []
for epoch in range(EPOCHS):
    order = torch.randperm(len(X_train))
    losses = []
    for i in range(0, len(order), BATCH):
        idx = order[i : i + BATCH]
        opt.zero_grad()
        pred = net(X_train[idx])
        mse = ((pred - t_train[idx]) ** 2).mean()
        mse.backward()
        opt.step()
        losses.append(mse.item())
    schedule.step()
    with torch.no_grad():
        val = ((net(X_val) - t_val) ** 2).mean().item()
    history.append((np.mean(losses), val))
    print(f"{epoch:3d}  mse {history[-1][0]:.4f}  validation {val:.4f}")
r2 = 1 - val / t_val.var().item()
print(f"R2 {r2:.4f}")
"""

OPT = "torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.01)"
STANDARD = "X = (X - X[:1800].mean(0)) / X[:1800].std(0)\n"
TARGET = "t = (t - t[:1800].mean()) / t[:1800].std()\n"
MSE = "        mse = ((pred - t_train[idx]) ** 2).mean()\n"
MARKED_MSE = MSE.replace("\n", f"{MARK}\n")
OUT = "        return self.out(h).squeeze(-1)\n"
STEP = "        mse.backward()\n        opt.step()\n"
MARKED = STEP.replace("()\n", f"(){MARK}\n")
TANH1, TANH2 = "        h = torch.tanh(self.hidden1(x))\n", "        h = torch.tanh(self.hidden2(h))\n"
VAL = "        val = ((net(X_val) - t_val) ** 2).mean().item()\n"

FAULTS = (
    Fault("loss-broadcasts", ((OUT, "        return self.out(h)\n"), (MSE, MARKED_MSE))),
    Fault("output-range-excludes-targets", ((OUT, f"        return torch.sigmoid(self.out(h)).squeeze(-1){MARK}\n"),
          (MSE, MARKED_MSE)), note="sigmoid, targets on both sides of 0"),
    Fault("output-range-excludes-targets", ((OUT, f"        return torch.relu(self.out(h)).squeeze(-1){MARK}\n"),
          (MSE, MARKED_MSE)), accept=("dead-units",), note="ReLU, targets on both sides of 0"),
    Fault("loss-sign-flipped", ((MSE, f"        mse = -((pred - t_train[idx]) ** 2).mean(){MARK}\n"),),
          accept=("loss-not-finite",)),
    Fault("input-not-normalized", ((STANDARD, "X[:, 3] *= 30000\nX[:, 0] += 500\n"),),
          accept=("saturated-activations", "badly-scaled-initialization"),
          note="a feature 30000 times as large as the others"),
    Fault("saturated-activations", (("net = Regressor(8, 32)\n",
          "net = Regressor(8, 32)\nfor p in net.parameters():\n    torch.nn.init.normal_(p, std=6.0)\n"),),
          accept=("badly-scaled-initialization",), note="weights of deviation 6"),
    Fault("badly-scaled-initialization", (("net = Regressor(8, 32)\n",
          "net = Regressor(8, 32)\nfor p in net.parameters():\n    torch.nn.init.uniform_(p, -5, 5)\n"), (TANH1,
          TANH1.replace("torch.tanh", "torch.relu")), (TANH2, TANH2.replace("torch.tanh", "torch.relu")),
          ("lr=0.01", "lr=0.001")), accept=("exploding-gradients",), note="uniform in -5..5, ReLU"),
    Fault("no-nonlinearity", ((TANH1, f"        h = self.hidden1(x){MARK}\n"), (TANH2,
          f"        h = self.hidden2(h){MARK}\n")), accept=("underfitting",)),
    Fault("gradients-not-cleared", (("        opt.zero_grad()\n", ""), (STEP, MARKED), (OPT,
          "torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)"))),
    Fault("loss-detached", ((MSE,
          f"        mse = ((pred.detach() - t_train[idx]) ** 2).mean().requires_grad_(){MARK}\n"),),
          note="requires_grad_ after detach"),
    Fault("gradient-path-cut", ((TANH2,
          f"        h = torch.tanh(self.hidden2(torch.from_numpy(h.detach().numpy()))){MARK}\n"),),
          note="a round trip through NumPy"),
    Fault("input-ignored", ((TANH1, f"        h = torch.tanh(self.hidden1(x * 0)){MARK}\n"),),
          accept=("underfitting", "loss-plateau"), note="the inputs are multiplied by 0"),
    Fault("input-ignored", ((TANH1, "        h = torch.tanh(self.hidden1(torch.zeros_like(x)))" + MARK + "\n"),),
          accept=("underfitting", "loss-plateau"), note="zeros go in by mistake"),
    Fault("label-noise", ((TARGET, TARGET
          + "wild = rng.rand(1800) < 0.35\nt[:1800][wild] = rng.permutation(t[:1800][wild]) * 3\n"),),
          accept=("overfitting",), note="0.35 of the targets are another's"),
    Fault("learning-rate-too-high", (("lr=0.01", "lr=3.0"), ("    schedule.step()\n", "")),
          accept=("saturated-activations", "loss-oscillates"), note="x300, constant"),
    Fault("learning-rate-too-high", ((OPT, "torch.optim.SGD(net.parameters(), lr=5.0, momentum=0.9)"), (TANH1,
          TANH1.replace("torch.tanh", "torch.relu")), (TANH2, TANH2.replace("torch.tanh", "torch.relu"))),
          accept=("loss-not-finite", "exploding-gradients"), note="diverges to NaN"),
    Fault("learning-rate-too-low", (("lr=0.01", "lr=2e-5"),), accept=("slow-convergence",), note="/500"),
    Fault("weight-decay-too-strong", (("weight_decay=0.01", "weight_decay=20.0"),), accept=("underfitting",),
          note="20, AdamW"),
    Fault("scheduler-misused", (("CosineAnnealingLR(opt, EPOCHS)", "ExponentialLR(opt, 0.5)"),
          ("        losses.append(mse.item())\n    schedule.step()\n",
          f"        losses.append(mse.item())\n        schedule.step(){MARK}\n")), accept=("learning-rate-too-low",
          "slow-convergence", "loss-plateau"), note="once a batch"),
    Fault("samples-mixed", ((TANH1,
          f"        h = torch.tanh(self.hidden1(x.t().contiguous().view(-1, 8))){MARK}\n"),),
          accept=("labels-unrelated-to-input",), note="view used as a transpose"),
    Fault("overfitting", (("X_train, X_val = torch.from_numpy(X[:1800])",
          "X_train, X_val = torch.from_numpy(X[:90])"), ("t_train, t_val = torch.from_numpy(t[:1800])",
          "t_train, t_val = torch.from_numpy(t[:90])"), ("Regressor(8, 32)", "Regressor(8, 200)"),
          ("EPOCHS, BATCH = 20, 60", "EPOCHS, BATCH = 150, 30")), accept=("too-little-data",),
          note="90 samples, 200 units"),
    Fault("data-not-shuffled", (("    order = torch.randperm(len(X_train))\n",
          f"    order = torch.argsort(t_train){MARK}\n"), ("    schedule.step()\n", "")), note="sorted by target"),
    Fault("batch-size-too-small", (("EPOCHS, BATCH = 20, 60", "EPOCHS, BATCH = 2, 1"), ("    schedule.step()\n",
          "")), accept=("learning-rate-too-high", "loss-oscillates"), note="1"),
    Fault("dtype-mismatch", (("X = X.astype(np.float32)\n", ""), ("        pred = net(X_train[idx])\n",
          f"        pred = net(X_train[idx]){MARK}\n"))),
    Fault("loss-not-finite", ((MSE, f"        mse = ((torch.log(pred) - t_train[idx]) ** 2).mean(){MARK}\n"),),
          note="logarithm of a negative prediction"),
)  # fmt: skip

VARIANTS = (
    ("seed", (("RandomState(3)", "RandomState(11)"), ("manual_seed(3)", "manual_seed(12)"))),
    ("relu-adam", ((TANH1, TANH1.replace("torch.tanh", "torch.relu")), (TANH2, TANH2.replace("torch.tanh",
     "torch.relu")), (OPT, "torch.optim.Adam(net.parameters(), lr=0.005)"))),
    ("sgd", ((OPT, "torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)"), ("EPOCHS, BATCH = 20, 60",
     "EPOCHS, BATCH = 30, 60"))),
    ("rmsprop", ((OPT, "torch.optim.RMSprop(net.parameters(), lr=0.003)"),)),
    ("wide", (("Regressor(8, 32)", "Regressor(8, 64)"), ("lr=0.01", "lr=0.004"))),
    ("huber", ((MSE, "        mse = torch.nn.functional.smooth_l1_loss(pred, t_train[idx])\n"),)),
    ("column-targets", ((OUT, "        return self.out(h)\n"), (MSE, MSE.replace("t_train[idx]",
     "t_train[idx][:, None]")), (VAL, VAL.replace("- t_val)", "- t_val[:, None])")))),
)  # fmt: skip

TEMPLATES = [Template("regression", SOURCE, FAULTS, VARIANTS)]
