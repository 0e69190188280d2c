"""Two tasks on images of digits, one trunk: which digit (cross entropy), and how much ink (squared error)."""

from program import MARK, Fault, Template

SOURCE = """\
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_digits


class TwoHeads(nn.Module):
    def __init__(self, width=40):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Linear(64, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Dropout(0.1),
        )
        self.digit = nn.Linear(width, 10)
        self.ink = nn.Linear(width, 1)

    def forward(self, x):
        features = self.trunk(x)
        return self.digit(features), self.ink(features)


def batches(n, size, shuffle=True):
    order = torch.randperm(n) if shuffle else torch.arange(n)
    for start in range(0, n - size + 1, size):
        yield order[start : start + size]


def losses(model, x, digit, ink):
    logits, amount = model(x)
    loss_digit = nn.functional.cross_entropy(logits, digit)
    loss_ink = nn.functional.mse_loss(amount.squeeze(1), ink)
    return logits, loss_digit, loss_ink


def main(seed=10, epochs=9, size=24, weight=0.5):
    torch.manual_seed(seed)
    x, y = load_digits(return_X_y=True)
    shuffled = np.random.RandomState(seed).permutation(len(x))
    x, y = x[shuffled] / 8 - 1, y[shuffled]
    ink = x.mean(axis=1)
    ink = (ink - ink.mean()) / ink.std()
    x, y, ink = torch.tensor(x).float(), torch.tensor(y), torch.tensor(ink).float()
    x_train, y_train, ink_train = x[:1400], y[:1400], ink[:1400]
    x_val, y_val, ink_val = x[1400:], y[1400:], ink[1400:]

    model = TwoHeads()
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.03)
    for epoch in range(epochs):
        model.train()
        seen = []
        for idx in batches(len(x_train), size):
            _, loss_digit, loss_ink = losses(model, x_train[idx], y_train[idx], ink_train[idx])
            loss = loss_digit + weight * loss_ink
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen.append((loss_digit.item(), loss_ink.item()))
        model.eval()
        with torch.no_grad():
            logits, val_digit, val_ink = losses(model, x_val, y_val, ink_val)
            accuracy = (logits.argmax(dim=1) == y_val).float().mean()
        print(epoch, np.mean(seen, axis=0).round(4), f"{val_digit:.4f} {val_ink:.4f} acc {accuracy:.4f}")


main()
"""

ADAGRAD = "torch.optim.Adagrad(model.parameters(), lr=0.03)"
CE = "    loss_digit = nn.functional.cross_entropy(logits, digit)\n"
INK = "    loss_ink = nn.functional.mse_loss(amount.squeeze(1), ink)\n"
HEADS = "        return self.digit(features), self.ink(features)\n"
EVAL = "        model.eval()\n"
MODEL = "    model = TwoHeads()\n"
STEP = "            loss.backward()\n            optimizer.step()\n"
SPLIT = "    x_train, y_train, ink_train = x[:1400], y[:1400], ink[:1400]\n"
SCALED = "    x, y = x[shuffled] / 8 - 1, y[shuffled]\n"
NOGRAD = "            logits, val_digit, val_ink = losses(model, x_val, y_val, ink_val)\n"
ACC = "            accuracy = (logits.argmax(dim=1) == y_val).float().mean()\n"

FAULTS = (
    Fault("loss-broadcasts", ((INK, f"    loss_ink = ((amount - ink) ** 2).mean(){MARK}\n"),),
          note="the second of two losses"),
    Fault("loss-does-not-match-target", ((CE,
          f"    loss_digit = nn.functional.mse_loss(logits.mean(dim=1), digit.float()){MARK}\n"), (ACC,
          "            accuracy = (logits.mean(dim=1).round() == y_val).float().mean()\n")),
          note="squared error on the number of the digit"),
    Fault("loss-does-not-match-target", ((CE,
          "    loss_digit = nn.functional.cross_entropy(logits, (digit / 10)[:, None].expand(-1, "
          f"10)){MARK}\n"),), note="cross entropy on a fraction"),
    Fault("softmax-wrong-dimension", ((HEADS,
          f"        return torch.log_softmax(self.digit(features), dim=0), self.ink(features){MARK}\n"), (CE,
          f"    loss_digit = nn.functional.nll_loss(logits, digit){MARK}\n")), accept=("nll-without-log-softmax",)),
    Fault("softmax-before-cross-entropy", ((HEADS,
          f"        return torch.softmax(self.digit(features), dim=-1), self.ink(features){MARK}\n"), (CE,
          CE.replace("\n", f"{MARK}\n"))), note="one of two heads"),
    Fault("nll-without-log-softmax", ((HEADS,
          f"        return torch.softmax(self.digit(features), dim=-1), self.ink(features){MARK}\n"), (CE,
          f"    loss_digit = nn.functional.nll_loss(logits, digit){MARK}\n")),
          note="probabilities instead of their logarithms"),
    Fault("parameters-not-in-optimizer", ((ADAGRAD,
          "torch.optim.Adagrad(list(model.trunk.parameters()) + list(model.ink.parameters()), "
          f"lr=0.03){MARK}"),), note="one head is left out"),
    Fault("gradient-path-cut", ((HEADS,
          f"        return self.digit(features), torch.tensor(self.ink(features).tolist()){MARK}\n"),),
          note="the second head's output is rebuilt from numbers"),
    Fault("parameters-frozen", ((MODEL, MODEL + "    for name, p in model.named_parameters():\n"
          f"        if 'trunk' in name or 'digit' in name:\n            p.requires_grad_(False){MARK}\n"),),
          note="the trunk and one head"),
    Fault("statistics-updated-by-evaluation", ((EVAL, ""), ("            nn.Dropout(0.1),\n", ""), (NOGRAD,
          NOGRAD.replace("\n", f"{MARK}\n"))), accept=("evaluated-in-training-mode",)),
    Fault("evaluated-in-training-mode", ((EVAL, f"        model.train(){MARK}\n"), ("nn.Dropout(0.1)",
          "nn.Dropout(0.4)"), (NOGRAD, NOGRAD.replace("\n", f"{MARK}\n"))),
          accept=("statistics-updated-by-evaluation",)),
    Fault("evaluation-not-deterministic", ((HEADS,
          f"        features = nn.functional.dropout(features, p=0.4, training=True){MARK}\n" + HEADS),)),
    Fault("evaluation-not-deterministic", ((HEADS,
          f"        features = features + 0.5 * torch.randn_like(features){MARK}\n" + HEADS),),
          note="noise that is not switched off"),
    Fault("data-not-shuffled", (("        for idx in batches(len(x_train), size):\n",
          f"        for idx in batches(len(x_train), size, shuffle=False):{MARK}\n"), (SPLIT, SPLIT
          + "    order = y_train.argsort()\n"
          "    x_train, y_train, ink_train = x_train[order], y_train[order], ink_train[order]\n")),
          note="sorted by digit"),
    Fault("class-imbalance", ((SPLIT, SPLIT
          + "    keep = ((y_train < 2) | (torch.arange(1400) % 40 == 0)).nonzero().flatten()\n"
          "    x_train, y_train, ink_train = x_train[keep], y_train[keep], ink_train[keep]\n"), ("epochs=9",
          "epochs=12"), ("lr=0.03", "lr=0.01")), accept=("distribution-shift", "overfitting", "too-little-data"),
          note="two digits 40 times as often as the others"),
    Fault("label-noise", ((SPLIT, "    wrong = torch.rand(len(y)) < 0.5\n"
          "    y[wrong] = torch.randint(0, 10, (int(wrong.sum()),))\n" + SPLIT),), accept=("overfitting",),
          note="0.5, in both parts"),
    Fault("too-little-data", ((SPLIT, SPLIT.replace("1400", "72")), ("epochs=9", "epochs=100")),
          accept=("overfitting",), note="72 images"),
    Fault("overfitting", ((SPLIT, SPLIT.replace("1400", "150")), ("epochs=9", "epochs=60"), ("TwoHeads()\n",
          "TwoHeads(300)\n"), ("            nn.Dropout(0.1),\n", ""), ("    ink = x.mean(axis=1)\n",
          "    ink = x.mean(axis=1) + 0.3 * np.random.RandomState(1).randn(len(x))\n"
          "    x = x + 0.8 * np.random.RandomState(2).randn(*x.shape)\n")), accept=("too-little-data",),
          note="150 noisy images, 300 units"),
    Fault("input-not-finite", ((SCALED, "    x, y = x[shuffled], y[shuffled]\n    x = np.log(x)\n"),),
          accept=("loss-not-finite",), note="the logarithm of black pixels"),
    Fault("normalization-on-tiny-batch", (("size=24", "size=2"), ("epochs=9", "epochs=2")),
          accept=("batch-size-too-small",), note="batches of 2"),
    Fault("shape-mismatch", (("nn.Linear(width, 10)", "nn.Linear(64, 10)"), (HEADS, HEADS.replace("\n",
          f"{MARK}\n")))),
    Fault("metric-wrong", ((ACC,
          f"            accuracy = (logits.argmax(dim=0) == y_val[:10]).float().mean(){MARK}\n"),),
          note="argmax over the samples"),
    Fault("labels-out-of-range", (("    x, y = load_digits(return_X_y=True)\n",
          "    x, y = load_digits(return_X_y=True)\n    y = y - 1\n"), (CE, CE.replace("\n", f"{MARK}\n"))),
          note="-1"),
    Fault("dead-units", ((MODEL, MODEL + "    model.trunk[3].bias.data.fill_(-30.0)\n"),),
          accept=("badly-scaled-initialization",), note="bias of -30"),
)  # fmt: skip

VARIANTS = (
    ("seed", (("seed=10", "seed=77"),)),
    ("adam", ((ADAGRAD, "torch.optim.Adam(model.parameters(), lr=2e-3)"),)),
    ("nesterov", ((ADAGRAD, "torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True)"),)),
    ("layernorm-silu", (("            nn.BatchNorm1d(width),\n            nn.ReLU(),\n",
     "            nn.LayerNorm(width),\n            nn.SiLU(),\n"),)),
    ("two-backwards", ((STEP,
     "            loss_digit.backward(retain_graph=True)\n            (weight * loss_ink).backward()\n"
     "            optimizer.step()\n"), ("            loss = loss_digit + weight * loss_ink\n", ""))),
    ("batch-48", (("size=24", "size=48"), ("epochs=9", "epochs=14"), ("lr=0.03", "lr=0.04"))),
)  # fmt: skip

TEMPLATES = [Template("multi-task", SOURCE, FAULTS, VARIANTS)]
