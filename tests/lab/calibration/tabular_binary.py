"""A table with two classes: a Dataset class, loader, BCEWithLogitsLoss, Adam, model in a file of plain functions."""

from program import MARK, Fault, Template

SOURCE = """\
import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

SEED = 4
torch.manual_seed(SEED)
np.random.seed(SEED)


class Tumors(Dataset):
    def __init__(self, noise=0.0):
        data = load_breast_cancer()
        features, target = data.data, data.target
        features = StandardScaler().fit_transform(features)
        self.features = torch.tensor(features, dtype=torch.float32)
        self.target = torch.tensor(target, dtype=torch.float32)
        self.noise = noise

    def __len__(self):
        return len(self.target)

    def __getitem__(self, i):
        row = self.features[i]
        return row, self.target[i]


def build(inputs, width):
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LeakyReLU(),
        nn.Dropout(0.2),
        nn.Linear(width, width),
        nn.LeakyReLU(),
        nn.Linear(width, 1),
    )


def run_epoch(model, loader, loss_function, optimizer=None):
    total, hits, count = 0.0, 0, 0
    for rows, target in loader:
        output = model(rows).squeeze(1)
        loss = loss_function(output, target)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        total += loss.item() * len(target)
        hits += ((output > 0).float() == target).sum().item()
        count += len(target)
    return total / count, hits / count


data = Tumors()
order = np.random.permutation(len(data))
train_loader = DataLoader(Subset(data, order[:400]), batch_size=16, shuffle=True)
valid_loader = DataLoader(Subset(data, order[400:]), batch_size=64)
model = build(30, 16)
loss_function = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.002, weight_decay=1e-3)
for epoch in range(10):
    model.train()
    loss, accuracy = run_epoch(model, train_loader, loss_function, optimizer)
    model.eval()
    with torch.no_grad():
        val_loss, val_accuracy = run_epoch(model, valid_loader, loss_function)
    print(f"{epoch} {loss:.4f} {accuracy:.4f} {val_loss:.4f} {val_accuracy:.4f}")
"""

LAST = "        nn.Linear(width, 1),\n"
LOSS = "        loss = loss_function(output, target)\n"
MARKED = LOSS.replace("\n", f"{MARK}\n")
OUTPUT = "        output = model(rows).squeeze(1)\n"
ADAM = "torch.optim.Adam(model.parameters(), lr=0.002, weight_decay=1e-3)"
SCALED = "        features = StandardScaler().fit_transform(features)\n"
LOADED = "        features, target = data.data, data.target\n"
ROW = "        row = self.features[i]\n"
HITS = "((output > 0).float() == target)"
TRAIN = "    model.train()\n"
ORDER = "order = np.random.permutation(len(data))\n"
NOISY = (
    ROW + "        if self.noise:\n"
    "            row = row + self.noise * torch.from_numpy(self.rng.normal(size=30)).float()\n"
)
WORKERS = (
    ("data = Tumors()", "data = Tumors(noise=0.3)"),
    ("batch_size=16, shuffle=True)", "batch_size=16, shuffle=True, num_workers=2)"),
)
FEWER = ("for epoch in range(10)", "for epoch in range(4)")

FAULTS = (
    Fault("sigmoid-before-bce-with-logits", ((LAST, f"{LAST}        nn.Sigmoid(),{MARK}\n"), (LOSS, MARKED), (HITS,
          "((output > 0.5).float() == target)"))),
    Fault("bce-input-not-probability", ((LAST, f"{LAST}        nn.Hardtanh(0.0, 1.0),{MARK}\n"),
          ("nn.BCEWithLogitsLoss()", "nn.BCELoss()"), (LOSS, MARKED), (HITS, "((output > 0.5).float() == target)")),
          note="clamped to 0..1 by a hard tanh"),
    Fault("bce-input-not-probability", (("nn.BCEWithLogitsLoss()", f"nn.BCELoss(){MARK}"), (LOSS, MARKED)),
          note="logits: PyTorch stops"),
    Fault("bce-input-not-probability", ((LAST, f"{LAST}        nn.ReLU(),{MARK}\n"), ("nn.BCEWithLogitsLoss()",
          "nn.BCELoss()"), (LOSS, MARKED)), note="ReLU: PyTorch stops when it exceeds 1"),
    Fault("single-unit-softmax", ((LAST, f"{LAST}        nn.Softmax(dim=1),{MARK}\n"), ("nn.BCEWithLogitsLoss()",
          "nn.BCELoss()"), (LOSS, MARKED), (HITS, "((output > 0.5).float() == target)"))),
    Fault("class-imbalance", (("        self.noise = noise\n", "        self.noise = noise\n"
          "        keep = torch.tensor([i for i in range(len(target)) if target[i] == 1 or i % 17 == " "0])\n"
          "        self.features, self.target = self.features[keep] + 2.5 * torch.randn(len(keep), "
          "30), self.target[keep]\n"), ("order[:400]", "order[:250]"), ("order[400:]", "order[250:]")),
          note="30 : 1, noisy features"),
    Fault("input-not-normalized", ((SCALED, ""), (ADAM, "torch.optim.SGD(model.parameters(), lr=0.01)")),
          accept=("exploding-gradients", "loss-not-finite", "learning-rate-too-high", "dead-units"),
          note="raw columns from 0.01 to 4000"),
    Fault("input-not-finite", ((SCALED, SCALED + "        features[37, 4] = np.nan\n"),),
          accept=("loss-not-finite",), note="one cell is NaN"),
    Fault("constant-feature", ((SCALED, SCALED + "        features[:, 7] = 1.0\n"),)),
    Fault("constant-feature", ((SCALED, SCALED
          + "        features = np.concatenate([features[:, :20], np.zeros((len(features), 10))], " "axis=1)\n"),),
          note="ten columns of zeros"),
    Fault("workers-share-randomness", ((ROW, NOISY), ("        self.noise = noise\n",
          "        self.noise = noise\n        self.rng = np.random.default_rng(0)\n"), *WORKERS, FEWER),
          note="a generator of NumPy in the data set"),
    Fault("workers-share-randomness", ((ROW, NOISY.replace("self.rng", "np.random")), *WORKERS[:1],
          ("batch_size=16, shuffle=True)", "batch_size=16, shuffle=True, num_workers=2,\n"
          f"                          worker_init_fn=lambda worker: np.random.seed(SEED)){MARK}"), FEWER),
          note="worker_init_fn gives all one seed"),
    Fault("distribution-shift", ((ORDER, ORDER
          + "data.features[order[400:]] = data.features[order[400:]] * 2 + 2.5\n"),), accept=("overfitting",),
          note="the validation part is scaled otherwise"),
    Fault("labels-unrelated-to-input", ((LOADED, LOADED + "        target = np.random.permutation(target)\n"),),
          accept=("overfitting", "underfitting")),
    Fault("too-little-data", (("order[:400]", "order[:24]"), ("range(10)", "range(120)"),
          ("        nn.Dropout(0.2),\n", ""), (SCALED, SCALED
          + "        features = features + 1.5 * np.random.randn(*features.shape)\n")), accept=("overfitting",),
          note="24 noisy rows"),
    Fault("train-validation-overlap", (("order[400:]", "order[300:]"),), note="100 rows are in both"),
    Fault("metric-wrong", (("        hits += ((output > 0).float() == target).sum().item()\n",
          f"        hits += ((output > 0).float() == target[:, None]).sum().item(){MARK}\n"),),
          note="broadcast: counts all pairs, above 1"),
    Fault("dropout-too-strong", (("nn.Dropout(0.2)", "nn.Dropout(0.97)"), ("build(30, 16)", "build(30, 8)")),
          accept=("underfitting",), note="0.97"),
    Fault("evaluated-in-training-mode", (("    model.eval()\n", ""), ("nn.Dropout(0.2)", "nn.Dropout(0.5)"),
          (OUTPUT, OUTPUT.replace("\n", f"{MARK}\n")))),
    Fault("labels-out-of-range", (("nn.BCEWithLogitsLoss()", "nn.CrossEntropyLoss()"), (OUTPUT,
          "        output = model(rows)\n"), (LOSS,
          f"        loss = loss_function(output, target.long()){MARK}\n")), accept=("single-unit-softmax",),
          note="one output for two classes"),
    Fault("learning-rate-too-high", ((ADAM, "torch.optim.SGD(model.parameters(), lr=100.0)"),),
          accept=("exploding-gradients", "loss-not-finite", "loss-oscillates"), note="x300"),
    Fault("weight-decay-too-strong", ((ADAM, ADAM.replace("1e-3", "1.0")),), accept=("underfitting",), note="1"),
)  # fmt: skip

VARIANTS = (
    ("seed", (("SEED = 4", "SEED = 9"),)),
    ("sgd", ((ADAM, "torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)"),
     ("batch_size=16", "batch_size=32"))),
    ("probabilities", ((LAST, LAST + "        nn.Sigmoid(),\n"), ("nn.BCEWithLogitsLoss()", "nn.BCELoss()"), (HITS,
     "((output > 0.5).float() == target)"))),
    ("two-classes", ((LAST, "        nn.Linear(width, 2),\n"), (OUTPUT, "        output = model(rows)\n"), (LOSS,
     "        loss = loss_function(output, target.long())\n"), ("nn.BCEWithLogitsLoss()", "nn.CrossEntropyLoss()"),
     (HITS, "(output.argmax(1) == target)"))),
    ("workers", (*WORKERS[1:], FEWER, ("lr=0.002", "lr=0.004"))),
    ("weighted", (("nn.BCEWithLogitsLoss()", "nn.BCEWithLogitsLoss(pos_weight=torch.tensor(0.6))"),
     ("build(30, 16)", "build(30, 32)"))),
)  # fmt: skip

TEMPLATES = [Template("tabular-binary", SOURCE, FAULTS, VARIANTS)]
