"""Classification of signals by a Trainer class with a config dict, as research code has it."""

# ruff: noqa: E501 (texts to be exchanged stand as they do in the program)

from program import MARK, Fault, Template

SOURCE = """\
import functools
import math

import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset

CONFIG = {
    "seed": 3,
    "train_size": 2000,
    "val_size": 600,
    "length": 48,
    "widths": [16, 24, 32],
    "dropout": 0.1,
    "batch_size": 64,
    "epochs": 8,
    "lr": 4e-3,
    "weight_decay": 0.01,
    "warmup": 20,
    "clip": 1.0,
    "noise": 0.1,
    "workers": 0,
}


class Waves(Dataset):
    SHAPES = ("sine", "square", "saw", "chirp", "pulse")

    def __init__(self, size, length, seed, noise=0.0):
        rng = np.random.default_rng(seed)
        t = np.linspace(0, 1, length)
        phase, rate = rng.uniform(0, 1, (size, 1)), rng.uniform(1.5, 3.5, (size, 1))
        cycle = (t * rate + phase) % 1.0
        waves = np.stack([
            np.sin(2 * np.pi * cycle),
            np.sign(cycle - 0.5),
            2 * cycle - 1,
            np.sin(2 * np.pi * (t * rate * (1 + 2 * t) + phase)),
            np.where(cycle < 0.15, 1.0, -0.3),
        ])
        self.labels = rng.integers(0, 5, size)
        self.signals = waves[self.labels, np.arange(size)] * rng.uniform(0.7, 1.3, (size, 1))
        self.signals = self.signals + 0.2 * rng.standard_normal(self.signals.shape)
        self.noise = noise

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        x = torch.as_tensor(self.signals[i], dtype=torch.float32).unsqueeze(0)
        if self.noise:
            x = x + self.noise * torch.randn_like(x)
        return x, int(self.labels[i])


class Stage(nn.Module):
    def __init__(self, c_in, c_out, dropout):
        super().__init__()
        self.conv = nn.Conv1d(c_in, c_out, 5, padding=2)
        self.norm = nn.BatchNorm1d(c_out)
        self.act = nn.GELU()
        self.drop = nn.Dropout(dropout)
        self.pool = nn.MaxPool1d(2)

    def forward(self, x):
        return self.pool(self.drop(self.act(self.norm(self.conv(x)))))


class SignalNet(nn.Module):
    def __init__(self, config):
        super().__init__()
        widths = [1] + config["widths"]
        self.stages = nn.ModuleList(
            [Stage(a, b, config["dropout"]) for a, b in zip(widths[:-1], widths[1:])]
        )
        self.head = nn.Linear(widths[-1], 5)

    def forward(self, x):
        for stage in self.stages:
            x = stage(x)
        return self.head(x.mean(dim=-1))


def schedule(step, *, warmup, total):
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / (total - warmup))))


class Trainer:
    def __init__(self, config):
        self.config = config
        torch.manual_seed(config["seed"])
        train = Waves(config["train_size"], config["length"], seed=config["seed"], noise=config["noise"])
        val = Waves(config["val_size"], config["length"], seed=config["seed"] + 1000)
        self.train_loader = DataLoader(
            train, batch_size=config["batch_size"], shuffle=True, num_workers=config["workers"],
        )
        self.val_loader = DataLoader(val, batch_size=200)
        self.model = SignalNet(config)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = self.make_optimizer()
        total = config["epochs"] * len(self.train_loader)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, functools.partial(schedule, warmup=config["warmup"], total=total)
        )
        self.history = {"train_loss": [], "val_loss": [], "val_acc": []}

    def make_optimizer(self):
        decay = [p for n, p in self.model.named_parameters() if p.ndim > 1]
        others = [p for n, p in self.model.named_parameters() if p.ndim <= 1]
        groups = [
            {"params": decay, "weight_decay": self.config["weight_decay"]},
            {"params": others, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.config["lr"])

    def training_step(self, batch):
        x, y = batch
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.model(x)
        loss = self.criterion(logits, y)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config["clip"])
        self.optimizer.step()
        self.scheduler.step()
        return loss.detach()

    @torch.no_grad()
    def evaluate(self):
        self.model.eval()
        loss_sum, hits, count = 0.0, 0, 0
        for x, y in self.val_loader:
            logits = self.model(x)
            loss_sum += self.criterion(logits, y).item() * len(y)
            hits += int((logits.argmax(-1) == y).sum())
            count += len(y)
        return loss_sum / count, hits / count

    def fit(self):
        for epoch in range(self.config["epochs"]):
            self.model.train()
            losses = [self.training_step(batch) for batch in self.train_loader]
            train_loss = torch.stack(losses).mean().item()
            val_loss, val_acc = self.evaluate()
            self.history["train_loss"].append(train_loss)
            self.history["val_loss"].append(val_loss)
            self.history["val_acc"].append(val_acc)
            print(f"[{epoch:02d}] train_loss={train_loss:.4f} val_loss={val_loss:.4f} val_acc={val_acc:.4f}")


if __name__ == "__main__":
    trainer = Trainer(CONFIG)
    trainer.fit()
    print("final:", {k: round(v[-1], 4) for k, v in trainer.history.items()})
"""

CLIP = '        nn.utils.clip_grad_norm_(self.model.parameters(), self.config["clip"])\n'
BACKWARD = "        loss.backward()\n"
STEP = "        self.optimizer.step()\n"
NETWORK = "        self.model = SignalNet(config)\n"
HEAD = "        self.head = nn.Linear(widths[-1], 5)\n"
CHAIN = "        return self.pool(self.drop(self.act(self.norm(self.conv(x)))))\n"
ADAMW = 'torch.optim.AdamW(groups, lr=self.config["lr"])'
LOSS = "        loss = self.criterion(logits, y)\n"
LOOP = "        for stage in self.stages:\n            x = stage(x)\n"
DEEP = '"widths": [16, 24, 32],'
POOL = "        self.pool = nn.MaxPool1d(2)\n"
NORM = "        self.norm = nn.BatchNorm1d(c_out)\n"

VARIANTS = (
    ("seed4", (('"seed": 3', '"seed": 4'),)),
    ("seed5-relu", (('"seed": 3', '"seed": 5'), ("nn.GELU()", "nn.ReLU()"))),
    (
        "sgd",
        (
            (ADAMW, 'torch.optim.SGD(groups, lr=self.config["lr"], momentum=0.9)'),
            ('"lr": 4e-3', '"lr": 0.08'),
            ('"weight_decay": 0.01', '"weight_decay": 5e-4'),
        ),
    ),
    ("group-norm", ((NORM, "        self.norm = nn.GroupNorm(4, c_out)\n"), ('"epochs": 8', '"epochs": 10'))),
    (
        "no-noise-large-batch",
        (
            ('"noise": 0.1', '"noise": 0.0'),
            ('"batch_size": 64', '"batch_size": 100'),
            ('"epochs": 8', '"epochs": 10'),
            ('"lr": 4e-3', '"lr": 6e-3'),
        ),
    ),
    (
        "workers",
        (
            ('"workers": 0', '"workers": 2'),
            ('num_workers=config["workers"],', 'num_workers=config["workers"], persistent_workers=True,'),
        ),
    ),
    ("radam", (('"lr": 4e-3', '"lr": 1.5e-2'), (ADAMW, ADAMW.replace("AdamW", "RAdam")))),
)

FAULTS = (
    Fault(
        "parameters-frozen",
        (
            (
                NETWORK,
                f"{NETWORK}        for p in self.model.parameters():\n            p.requires_grad_(False){MARK}\n",
            ),
            (LOSS, LOSS + "        loss.requires_grad_(True)\n"),
        ),
        accept=("loss-detached", "optimizer-never-steps"),
        note="everything, and the error silenced",
    ),
    Fault(
        "parameters-not-in-optimizer",
        (
            (
                "        decay = [p for n, p in self.model.named_parameters() if p.ndim > 1]\n",
                f'        decay = [p for n, p in self.model.named_parameters() if n.endswith("conv.weight")]{MARK}\n',
            ),
        ),
        note="the head's weight is in no group",
    ),
    Fault(
        "parameters-not-in-optimizer",
        (
            (
                '        self.stages = nn.ModuleList(\n            [Stage(a, b, config["dropout"]) for a, b in zip(widths[:-1], widths[1:])]\n        )\n',
                f'        self.stages = [Stage(a, b, config["dropout"]) for a, b in zip(widths[:-1], widths[1:])]{MARK}\n',
            ),
        ),
        note="plain list instead of ModuleList",
    ),
    Fault(
        "clipping-misplaced",
        ((CLIP, ""), (BACKWARD, CLIP.rstrip("\n") + MARK + "\n" + BACKWARD)),
        note="before backward",
    ),
    Fault(
        "clipping-misplaced", ((CLIP, ""), (STEP, STEP + CLIP.rstrip("\n") + MARK + "\n")), note="after step"
    ),
    Fault(
        "scheduler-misused",
        (
            ("        self.scheduler.step()\n", ""),
            (
                "            val_loss, val_acc = self.evaluate()\n",
                f"            self.scheduler.step(){MARK}\n            val_loss, val_acc = self.evaluate()\n",
            ),
            ('"warmup": 20', '"warmup": 200'),
        ),
        accept=("learning-rate-too-low", "slow-convergence"),
        note="a schedule in steps is stepped once an epoch: it stays in the warm-up",
    ),
    Fault(
        "vanishing-gradients",
        (
            ("nn.GELU()", f"nn.Sigmoid(){MARK}"),
            (NORM, ""),
            (CHAIN, "        return self.act(self.conv(x))\n"),
            (DEEP, '"widths": [16] * 10,'),
            (ADAMW, "torch.optim.SGD(groups, lr=0.1, momentum=0.9)"),
        ),
        accept=("loss-plateau", "saturated-activations"),
        note="ten sigmoid layers",
    ),
    Fault(
        "vanishing-gradients",
        (
            ("nn.GELU()", f"nn.Tanh(){MARK}"),
            (NORM, "        nn.init.normal_(self.conv.weight, std=0.02)\n"),
            (CHAIN, "        return self.act(self.conv(x))\n"),
            (DEEP, '"widths": [16] * 8,'),
            (ADAMW, "torch.optim.SGD(groups, lr=0.1, momentum=0.9)"),
        ),
        accept=("loss-plateau", "badly-scaled-initialization"),
        note="eight tanh layers with tiny weights",
    ),
    Fault(
        "saturated-activations",
        (
            ("nn.GELU()", "nn.Tanh()"),
            (NORM, f"        nn.init.normal_(self.conv.weight, std=12.0){MARK}\n"),
            (CHAIN, "        return self.pool(self.act(self.conv(x)))\n"),
        ),
        accept=("badly-scaled-initialization", "vanishing-gradients"),
        note="tanh with weights of 12",
    ),
    Fault(
        "dead-units",
        (
            ("nn.GELU()", "nn.ReLU()"),
            (NORM, f"        nn.init.constant_(self.conv.bias, -3.0){MARK}\n"),
            (CHAIN, "        return self.pool(self.act(self.conv(x)))\n"),
        ),
        accept=("badly-scaled-initialization", "vanishing-gradients", "input-ignored", "loss-plateau"),
        note="ReLU with biases of -3",
    ),
    Fault(
        "loss-detached",
        (
            (
                LOSS,
                f"        loss = torch.tensor(self.criterion(logits, y).item(), requires_grad=True){MARK}\n",
            ),
        ),
        accept=("optimizer-never-steps", "gradients-cleared-before-step"),
        note="wrapped anew",
    ),
    Fault(
        "loss-detached",
        (
            (
                "        logits = self.model(x)\n        loss",
                f"        logits = self.model(x).detach().requires_grad_(){MARK}\n        loss",
            ),
        ),
        accept=("gradient-path-cut", "optimizer-never-steps", "gradients-cleared-before-step"),
        note="output detached to silence an error",
    ),
    Fault(
        "gradient-path-cut",
        ((LOOP, f"        for stage in self.stages:\n            x = stage(x.detach()){MARK}\n"),),
        note="detached between the stages",
    ),
    Fault("unused-parameters", ((HEAD, HEAD + f"        self.aux_head = nn.Linear(widths[1], 5){MARK}\n"),)),
    Fault(
        "input-ignored",
        ((LOOP, f"        x = x - x.mean(dim=1, keepdim=True){MARK}\n" + LOOP),),
        accept=("loss-plateau",),
        note="mean over the only channel subtracted",
    ),
    Fault("model-too-small", ((DEEP, '"widths": [1, 1, 1],'),), accept=("underfitting",), note="one channel"),
    Fault("dropout-too-strong", (('"dropout": 0.1', '"dropout": 0.8'),), note="0.8 in every stage"),
    Fault(
        "workers-share-randomness",
        (
            ('"workers": 0', '"workers": 2'),
            (
                "        self.noise = noise\n",
                "        self.noise = noise\n        self.rng = np.random.default_rng(0)\n",
            ),
            (
                "            x = x + self.noise * torch.randn_like(x)\n",
                f"            x = x + self.noise * torch.from_numpy(self.rng.standard_normal(x.shape)).float(){MARK}\n",
            ),
            ('"epochs": 8', '"epochs": 5'),
        ),
        note="a generator made before the workers fork",
    ),
    Fault(
        "loss-plateau",
        (
            (
                "    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / (total - warmup))))\n",
                f"    return 0.7 ** (step - warmup){MARK}\n",
            ),
            ('"warmup": 20', '"warmup": 3'),
        ),
        accept=("scheduler-misused", "learning-rate-too-low", "slow-convergence", "underfitting"),
        note="the rate decays to nothing within an epoch",
    ),
    Fault(
        "statistics-updated-by-evaluation",
        (
            (
                "        self.model.eval()\n",
                "        self.model.eval()\n        for m in self.model.modules():\n"
                "            if isinstance(m, nn.BatchNorm1d):\n                m.training = True\n",
            ),
            (
                "            logits = self.model(x)\n            loss_sum",
                f"            logits = self.model(x){MARK}\n            loss_sum",
            ),
        ),
        accept=("evaluated-in-training-mode",),
    ),
    Fault(
        "learning-rate-too-high",
        (
            ('"lr": 4e-3', '"lr": 0.4'),
            (NORM, ""),
            (CHAIN, "        return self.pool(self.drop(self.act(self.conv(x))))\n"),
        ),
        accept=("loss-oscillates", "exploding-gradients", "loss-plateau"),
    ),
)

TEMPLATES = (Template("trainer-signals", SOURCE, FAULTS, VARIANTS),)
