"""A recurrent network that classifies sequences: a class Trainer, RMSprop, gradients clipped."""

from program import MARK, Fault, Template

SOURCE = """\
import random

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset, random_split


def make_waves(n, length=20):
    labels = torch.randint(0, 3, (n,))
    t = torch.arange(length) / length
    phase = torch.rand(n, 1) * 6.28
    speed = torch.rand(n, 1) + 2.0
    angle = 6.28 * speed * t + phase
    shapes = torch.stack([torch.sin(angle), torch.sign(torch.sin(angle)), 2 * ((angle / 6.28) % 1) - 1])
    waves = shapes[labels, torch.arange(n)]
    return (waves + 0.1 * torch.randn(n, length)).unsqueeze(-1), labels


class WaveClassifier(nn.Module):
    def __init__(self, hidden=24, classes=3):
        super().__init__()
        self.rnn = nn.GRU(1, hidden, batch_first=True)
        self.head = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def forward(self, x):
        outputs, last = self.rnn(x)
        return self.head(last[-1])


class Trainer:
    def __init__(self, model, train_set, val_set, lr=5e-3, batch_size=40, clip=1.0):
        self.model = model
        self.train_loader = DataLoader(train_set, batch_size=batch_size, shuffle=True)
        self.val_loader = DataLoader(val_set, batch_size=200)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.RMSprop(model.parameters(), lr=lr)
        self.clip = clip

    def training_step(self, batch):
        x, y = batch
        logits = self.model(x)
        loss = self.criterion(logits, y)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        losses, right, total = [], 0, 0
        for x, y in self.val_loader:
            logits = self.model(x)
            losses.append(self.criterion(logits, y).item())
            right += (logits.argmax(-1) == y).sum().item()
            total += len(y)
        return sum(losses) / len(losses), right / total

    def fit(self, epochs):
        for epoch in range(epochs):
            self.model.train()
            losses = [self.training_step(batch) for batch in self.train_loader]
            val_loss, accuracy = self.validate()
            print(f"[{epoch}] loss={sum(losses) / len(losses):.4f} val={val_loss:.4f} acc={accuracy:.3f}")


if __name__ == "__main__":
    random.seed(0)
    torch.manual_seed(0)
    waves, labels = make_waves(1500)
    train_set, val_set = random_split(TensorDataset(waves, labels), [1100, 400])
    model = WaveClassifier()
    Trainer(model, train_set, val_set).fit(12)
"""

RNN = "        self.rnn = nn.GRU(1, hidden, batch_first=True)\n"
RMS = "torch.optim.RMSprop(model.parameters(), lr=lr)"
CLIP = "        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)\n"
STEP = "        loss.backward()\n" + CLIP + "        self.optimizer.step()\n"
LOSS = "        loss = self.criterion(logits, y)\n"
HEAD = "        self.head = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes))\n"
MODEL = "    model = WaveClassifier()\n"
LAST = "        return self.head(last[-1])\n"
DATA = "    waves, labels = make_waves(1500)\n"

FAULTS = (
    Fault("clipping-misplaced", ((STEP,
          f"{CLIP[:-1]}{MARK}\n        loss.backward()\n        self.optimizer.step()\n"),), note="before backward"),
    Fault("clipping-misplaced", ((STEP,
          f"        loss.backward()\n        self.optimizer.step()\n{CLIP[:-1]}{MARK}\n"),), note="after the step"),
    Fault("gradients-cleared-before-step", ((STEP,
          f"        loss.backward()\n{CLIP}        self.optimizer.zero_grad(){MARK}\n"
          "        self.optimizer.step()\n"), ("        self.optimizer.zero_grad()\n        loss", "        loss"))),
    Fault("gradients-not-cleared", (("        self.optimizer.zero_grad()\n", ""), (STEP,
          STEP.replace("loss.backward()", f"loss.backward(){MARK}").replace("step()\n", f"step(){MARK}\n")),
          ("clip=1.0", "clip=100.0"))),
    Fault("samples-mixed", ((RNN, f"        self.rnn = nn.GRU(1, hidden){MARK}\n"), (LAST,
          f"        return self.head(outputs[:, -1]){MARK}\n")), note="batch_first forgotten"),
    Fault("gradient-path-cut", ((LAST, f"        return self.head(last[-1].data){MARK}\n"),),
          note=".data between encoder and head"),
    Fault("parameters-not-in-optimizer", ((RMS, f"torch.optim.RMSprop(model.rnn.parameters(), lr=lr){MARK}"),),
          note="the head is left out"),
    Fault("parameters-not-in-optimizer", (("        self.clip = clip\n",
          f"        self.clip = clip\n        self.model.rnn = nn.GRU(1, 24, batch_first=True){MARK}\n"),),
          note="the encoder is made anew after the optimizer"),
    Fault("parameters-frozen", ((MODEL, MODEL
          + f"    model.head.requires_grad_(False){MARK}\n    model.rnn.requires_grad_(False){MARK}\n"
          "    model.head[0].bias.requires_grad_(True)\n"),), note="all but a bias"),
    Fault("optimizer-never-steps", ((STEP, STEP.replace("self.optimizer.step()", f"self.optimizer.step{MARK}")),),
          note="the call's brackets are missing"),
    Fault("labels-out-of-range", (("    labels = torch.randint(0, 3, (n,))\n",
          "    labels = torch.randint(0, 3, (n,))\n    names = labels + 1\n"), ("unsqueeze(-1), labels\n",
          "unsqueeze(-1), names\n"), (LOSS, LOSS.replace("\n", f"{MARK}\n"))), note="labels from 1"),
    Fault("vanishing-gradients", ((RNN,
          f"        self.rnn = nn.RNN(1, hidden, num_layers=6, batch_first=True){MARK}\n"), (MODEL, MODEL
          + "    for name, p in model.rnn.named_parameters():\n        if 'weight' in name:\n"
          "            nn.init.normal_(p, std=0.01)\n")), accept=("badly-scaled-initialization", "loss-plateau"),
          note="six layers of a plain RNN, tiny weights"),
    Fault("exploding-gradients", ((RNN,
          f"        self.rnn = nn.RNN(1, hidden, nonlinearity='relu', batch_first=True){MARK}\n"), (MODEL, MODEL
          + "    nn.init.normal_(model.rnn.weight_hh_l0, std=0.45)\n"), ("clip=1.0", "clip=1e9"), (RMS,
          "torch.optim.SGD(model.parameters(), lr=lr)")), accept=("learning-rate-too-high", "loss-not-finite",
          "badly-scaled-initialization"), note="a plain ReLU RNN, no clipping"),
    Fault("class-imbalance", (("    labels = torch.randint(0, 3, (n,))\n",
          "    labels = (torch.rand(n) < 0.04).long() + (torch.rand(n) < 0.02).long()\n"),
          ("    return (waves + 0.1 ", "    return (waves + 0.7 ")), note="94 : 6, noisy"),
    Fault("label-noise", ((DATA, DATA + "    flip = torch.rand(1500) < 0.45\n"
          "    labels[flip] = torch.randint(0, 3, (int(flip.sum()),))\n"),), accept=("overfitting",), note="0.45"),
    Fault("learning-rate-too-high", (("lr=5e-3", "lr=1.0"),), accept=("dead-units", "saturated-activations",
          "loss-plateau"), note="x200"),
    Fault("learning-rate-too-low", (("lr=5e-3", "lr=5e-6"),), accept=("slow-convergence",), note="/1000"),
    Fault("slow-convergence", (("lr=5e-3", "lr=1e-4"), (".fit(12)", ".fit(8)")), accept=("learning-rate-too-low",
          "underfitting"), note="still falling at the end"),
    Fault("shape-mismatch", (("nn.Linear(hidden, classes))", "nn.Linear(hidden + 1, classes))"), (LAST,
          LAST.replace("\n", f"{MARK}\n")))),
    Fault("graph-retained", (("        return loss.item()\n",
          f"        self.seen.append(loss){MARK}\n        return loss.item()\n"), ("        self.clip = clip\n",
          "        self.clip = clip\n        self.seen = []\n")), note="losses are kept with their graphs"),
)  # fmt: skip

VARIANTS = (
    ("seed", (("torch.manual_seed(0)", "torch.manual_seed(21)"),)),
    ("lstm", ((RNN, RNN.replace("GRU", "LSTM")), ("        outputs, last = self.rnn(x)\n",
     "        outputs, (last, _) = self.rnn(x)\n"))),
    ("adam", ((RMS, "torch.optim.Adam(model.parameters(), lr=lr)"),)),
    ("two-layers", ((RNN, RNN.replace("batch_first", "num_layers=2, batch_first")), ("lr=5e-3", "lr=3e-3"))),
    ("bidirectional", ((RNN, RNN.replace("batch_first", "bidirectional=True, batch_first")),
     ("nn.Linear(hidden, hidden), nn", "nn.Linear(2 * hidden, hidden), nn"), (LAST,
     "        return self.head(torch.cat([last[-2], last[-1]], dim=-1))\n"))),
    ("mean-pooled", ((LAST, "        return self.head(outputs.mean(dim=1))\n"),)),
    ("convolutions", ((RNN,
     "        self.rnn = nn.Sequential(nn.Conv1d(1, hidden, 5), nn.ReLU(), nn.Conv1d(hidden, hidden, "
     "5), nn.ReLU())\n"), ("        outputs, last = self.rnn(x)\n",
     "        features = self.rnn(x.transpose(1, 2))\n"), (LAST, "        return self.head(features.amax(-1))\n"))),
)  # fmt: skip

TEMPLATES = [Template("sequence-gru", SOURCE, FAULTS, VARIANTS)]
