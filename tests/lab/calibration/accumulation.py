"""Gradients accumulated over four batches, scaled and clipped, in mixed precision; a loader of noisy spirals."""

from program import MARK, Fault, Template

SOURCE = """\
import random

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

CONFIG = {"seed": 14, "lr": 0.01, "epochs": 6, "batch": 12, "accumulate": 4, "max_norm": 2.0}
CONFIG |= {"width": 32, "jitter": 0.02}


class Spirals(Dataset):
    \"\"\"Points of three spirals, moved a little every time.\"\"\"

    def __init__(self, n, jitter, seed):
        generator = np.random.RandomState(seed)
        self.label = generator.randint(0, 3, n)
        radius = generator.rand(n) * 0.9 + 0.1
        angle = radius * 4 + self.label * 2 * np.pi / 3 + 0.08 * generator.randn(n)
        self.point = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1) * 2
        self.jitter = jitter

    def __len__(self):
        return len(self.label)

    def __getitem__(self, i):
        point = torch.tensor(self.point[i], dtype=torch.float32)
        point = point + self.jitter * torch.randn(2)
        return point, int(self.label[i])


def make_model(width):
    return nn.Sequential(
        nn.Linear(2, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, 3),
    )


def train_one_epoch(model, loader, criterion, optimizer, scaler, config):
    model.train()
    total = 0.0
    optimizer.zero_grad()
    for i, (points, labels) in enumerate(loader):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(points)
            loss = criterion(logits.float(), labels) / config["accumulate"]
        scaler.scale(loss).backward()
        if (i + 1) % config["accumulate"] == 0:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), config["max_norm"])
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
        total += loss.item() * config["accumulate"]
    return total / len(loader)


@torch.inference_mode()
def evaluate(model, loader, criterion):
    model.eval()
    total, right = 0.0, 0
    for points, labels in loader:
        logits = model(points)
        total += criterion(logits, labels).item()
        right += int((logits.argmax(dim=1) == labels).sum())
    return total / len(loader), right / len(loader.dataset)


def main(config):
    random.seed(config["seed"])
    np.random.seed(config["seed"])
    torch.manual_seed(config["seed"])
    train_set = Spirals(1152, config["jitter"], seed=0)
    valid_set = Spirals(400, 0.0, seed=1)
    train_loader = DataLoader(train_set, batch_size=config["batch"], shuffle=True)
    valid_loader = DataLoader(valid_set, batch_size=100)
    model = make_model(config["width"])
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["lr"])
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for epoch in range(config["epochs"]):
        train_loss = train_one_epoch(model, train_loader, criterion, optimizer, scaler, config)
        valid_loss, accuracy = evaluate(model, valid_loader, criterion)
        print(f"epoch={epoch} train={train_loss:.4f} valid={valid_loss:.4f} accuracy={accuracy:.4f}")


main(CONFIG)
"""

CLIP = '            nn.utils.clip_grad_norm_(model.parameters(), config["max_norm"])\n'
UNSCALE = "            scaler.unscale_(optimizer)\n"
SCALED = "            scaler.step(optimizer)\n            scaler.update()\n"
AFTER = SCALED + "            optimizer.zero_grad()\n"
ADAMW = 'torch.optim.AdamW(model.parameters(), lr=config["lr"])'
POINT = "        point = point + self.jitter * torch.randn(2)\n"
LABEL = "        return point, int(self.label[i])\n"
LOADER = 'batch_size=config["batch"], shuffle=True)'
LAYERS = (
    "        nn.Linear(2, width),\n        nn.ReLU(),\n        nn.Linear(width, width),\n"
    "        nn.ReLU(),\n        nn.Linear(width, 3),\n"
)
EPOCHS = '"epochs": 6'
RATE = '"lr": 0.01'
MODEL = '    model = make_model(config["width"])\n'
VALID = "    valid_set = Spirals(400, 0.0, seed=1)\n"
START = "    total = 0.0\n    optimizer.zero_grad()\n"
BACKWARD = "        scaler.scale(loss).backward()\n"
LOGITS = "            logits = model(points)\n            loss"
ONE = ('"batch": 12, "accumulate": 4', '"batch": 48, "accumulate": 1')
DEEP = (
    "        nn.Linear(2, width),\n        nn.Sigmoid(),\n"
    + "        nn.Linear(width, width),\n        nn.Sigmoid(),\n" * 7
    + "        nn.Linear(width, 3),\n"
)

FAULTS = (
    Fault("clipping-misplaced", ((UNSCALE, ""), (CLIP, CLIP.replace("\n", f"{MARK}\n"))), note="before unscaling"),
    Fault("clipping-misplaced", ((UNSCALE + CLIP + SCALED, UNSCALE + SCALED + CLIP.replace("\n", f"{MARK}\n")),),
          note="after the step"),
    Fault("gradients-not-cleared", ((START, "    total = 0.0\n"), (BACKWARD, BACKWARD.replace("\n", f"{MARK}\n")),
          (AFTER, SCALED.replace("scaler.step(optimizer)", f"scaler.step(optimizer){MARK}"))),
          note="never cleared while accumulating"),
    Fault("gradients-cleared-before-step", ((CLIP, f"{CLIP}            optimizer.zero_grad(){MARK}\n"), (AFTER,
          SCALED))),
    Fault("workers-share-randomness", ((POINT,
          "        point = point + self.jitter * torch.tensor([self.random.gauss(0, 1), "
          "self.random.gauss(0, 1)])\n"), ("        self.jitter = jitter\n",
          "        self.jitter = jitter\n        self.random = random.Random(seed)\n"), (LOADER,
          'batch_size=config["batch"], shuffle=True, num_workers=2)'), ('"jitter": 0.02', '"jitter": 0.1'), (EPOCHS,
          '"epochs": 4')), note="a generator of Python in the data set"),
    Fault("workers-share-randomness", ((POINT,
          "        point = point + self.jitter * torch.randn(2, generator=self.generator)\n"),
          ("        self.jitter = jitter\n",
          "        self.jitter = jitter\n        self.generator = torch.Generator().manual_seed(seed)\n"), (LOADER,
          'batch_size=config["batch"], shuffle=True, num_workers=2)'), ('"jitter": 0.02', '"jitter": 0.1'), (EPOCHS,
          '"epochs": 4')), note="a generator of torch in the data set"),
    Fault("augmentation-too-strong", (('"jitter": 0.02', '"jitter": 1.2'),), accept=("underfitting", "label-noise",
          "distribution-shift"), note="moved by as much as the spirals are apart"),
    Fault("constant-feature", ((LABEL, "        return torch.cat([point, torch.ones(1)]), int(self.label[i])\n"),
          ("        nn.Linear(2, width),", "        nn.Linear(3, width),"))),
    Fault("distribution-shift", ((VALID, VALID + "    valid_set.point = valid_set.point[:, ::-1] * 1.5 + 1\n"),),
          accept=("overfitting",), note="coordinates are exchanged and moved"),
    Fault("input-ignored", ((LOGITS,
          f"            logits = model(torch.ones_like(points)){MARK}\n            loss"),), accept=("underfitting",
          "loss-plateau"), note="ones go in"),
    Fault("model-too-small", (('"width": 32', '"width": 2'),), accept=("underfitting",), note="two units wide"),
    Fault("underfitting", ((LAYERS, "        nn.Linear(2, 3),\n"),), accept=("model-too-small",),
          note="a linear model of spirals"),
    Fault("vanishing-gradients", ((LAYERS, DEEP),), accept=("saturated-activations", "loss-plateau"),
          note="nine layers of sigmoids"),
    Fault("loss-plateau", ((LAYERS, DEEP), (ADAMW, "torch.optim.SGD(model.parameters(), lr=config[\"lr\"])")),
          accept=("vanishing-gradients", "learning-rate-too-low", "saturated-activations"), note="sigmoids and SGD"),
    Fault("loss-oscillates", ((ADAMW, 'torch.optim.SGD(model.parameters(), lr=4.0, momentum=0.9)'), ONE,
          ('"max_norm": 2.0', '"max_norm": 50.0')), accept=("learning-rate-too-high", "exploding-gradients",
          "dead-units", "loss-not-finite"), note="SGD at 4"),
    Fault("labels-unrelated-to-input", ((LABEL, "        return point, int(self.label[i - 7])\n"),),
          accept=("underfitting", "loss-plateau"), note="labels are off by 7 places"),
    Fault("label-noise", ((LABEL, "        return point, int(self.label[i]) if i % 5 < 3 else i % 3\n"),),
          accept=("underfitting",), note="0.27 of the labels"),
    Fault("learning-rate-too-low", ((RATE, '"lr": 3e-6'),), accept=("slow-convergence",), note="/3000"),
    Fault("learning-rate-too-high", ((RATE, '"lr": 2.0'),), accept=("dead-units", "loss-plateau",
          "loss-oscillates"), note="x200"),
    Fault("slow-convergence", ((ADAMW, "torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.5)"),),
          accept=("learning-rate-too-low", "underfitting"), note="SGD at 0.02"),
    Fault("train-validation-overlap", ((VALID,
          "    valid_set = Spirals(400, 0.0, seed=1)\n    train_set.jitter = 0.0\n"
          "    valid_set.point[:200], valid_set.label[:200] = train_set.point[:200], " "train_set.label[:200]\n"),)),
)  # fmt: skip

VARIANTS = (
    ("seed", (('"seed": 14', '"seed": 41'),)),
    ("not-accumulated", (ONE,)),
    ("no-clipping", ((UNSCALE + CLIP, ""),)),
    ("sgd", ((ADAMW, "torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)"), ('"width": 32', '"width": 48'))),
    ("float32", (("            logits = model(points)\n            loss = criterion(logits.float(), labels)",
     "            logits = model(points)\n            loss = criterion(logits, labels)"),
     ('        with torch.autocast("cpu", dtype=torch.bfloat16):\n',
     '        with torch.autocast("cpu", enabled=False):\n'))),
    ("workers", ((LOADER, 'batch_size=config["batch"], shuffle=True, num_workers=2)'), (EPOCHS, '"epochs": 4'))),
)  # fmt: skip

TEMPLATES = [Template("accumulation", SOURCE, FAULTS, VARIANTS)]
