"""A small vision transformer on digits: dataclass config, autocast to bfloat16, gradients of two micro-batches summed."""

# ruff: noqa: E501 (texts to be exchanged stand as they do in the program)

from program import MARK, Fault, Template

SOURCE = """\
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split


@dataclass
class Config:
    seed: int = 0
    patch: int = 4
    dim: int = 32
    depth: int = 2
    heads: int = 4
    dropout: float = 0.1
    batch: int = 32
    accumulate: int = 2
    epochs: int = 11
    lr: float = 6e-3
    wd: float = 0.01


class ViT(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.patch = cfg.patch
        tokens = (8 // cfg.patch) ** 2
        self.embed = nn.Linear(cfg.patch * cfg.patch, cfg.dim)
        self.cls = nn.Parameter(torch.zeros(1, 1, cfg.dim))
        self.pos = nn.Parameter(torch.randn(1, tokens + 1, cfg.dim) * 0.1)
        layer = nn.TransformerEncoderLayer(
            cfg.dim, cfg.heads, 2 * cfg.dim, dropout=cfg.dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, cfg.depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(cfg.dim)
        self.head = nn.Linear(cfg.dim, 10)

    def patchify(self, img):
        b = img.shape[0]
        p = self.patch
        x = img.reshape(b, 8 // p, p, 8 // p, p)
        return x.permute(0, 1, 3, 2, 4).reshape(b, -1, p * p)

    def forward(self, img):
        x = self.embed(self.patchify(img))
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], dim=1)
        x = x + self.pos
        x = self.encoder(x)
        return self.head(self.norm(x[:, 0]))


def get_data(cfg):
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)
    images = (images - images.mean()) / images.std()
    dataset = TensorDataset(images, torch.tensor(digits.target))
    train, val = random_split(dataset, [1437, 360], generator=torch.Generator().manual_seed(cfg.seed))
    return (
        DataLoader(train, batch_size=cfg.batch, shuffle=True, drop_last=True),
        DataLoader(val, batch_size=180),
    )


def augment(img):
    dx = int(torch.randint(-1, 2, (1,)))
    img = torch.roll(img, dx, dims=2)
    return img + 0.1 * torch.randn_like(img)


@torch.no_grad()
def validate(model, loader):
    model.eval()
    loss = acc = n = 0
    for img, label in loader:
        logits = model(img)
        loss += F.cross_entropy(logits, label, reduction="sum").item()
        acc += (logits.argmax(-1) == label).sum().item()
        n += label.numel()
    return {"val/loss": loss / n, "val/acc": acc / n}


def run(cfg):
    torch.manual_seed(cfg.seed)
    train_loader, val_loader = get_data(cfg)
    model = ViT(cfg)
    opt = torch.optim.AdamW(model.parameters(), lr=cfg.lr, weight_decay=cfg.wd, betas=(0.9, 0.98))
    updates = cfg.epochs * len(train_loader) // cfg.accumulate
    warm = torch.optim.lr_scheduler.LinearLR(opt, start_factor=0.1, total_iters=updates // 10)
    cos = torch.optim.lr_scheduler.CosineAnnealingLR(opt, updates - updates // 10, eta_min=1e-5)
    sched = torch.optim.lr_scheduler.SequentialLR(opt, [warm, cos], milestones=[updates // 10])
    for epoch in range(cfg.epochs):
        model.train()
        tally = 0.0
        for i, (img, label) in enumerate(train_loader):
            img = augment(img)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(img)
                loss = F.cross_entropy(logits, label)
            (loss / cfg.accumulate).backward()
            tally += loss.item()
            if (i + 1) % cfg.accumulate == 0:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                opt.step()
                sched.step()
                opt.zero_grad()
        metrics = {"train/loss": tally / len(train_loader), **validate(model, val_loader)}
        print(f"epoch {epoch} " + " ".join(f"{k} {v:.4f}" for k, v in metrics.items()))


if __name__ == "__main__":
    run(Config())
"""

ADAMW = "torch.optim.AdamW(model.parameters(), lr=cfg.lr, weight_decay=cfg.wd, betas=(0.9, 0.98))"
STEP = "                opt.step()\n                sched.step()\n                opt.zero_grad()\n"
CLIP = "                nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n"
CAST = '            with torch.autocast("cpu", dtype=torch.bfloat16):\n'
HEAD = "        self.head = nn.Linear(cfg.dim, 10)\n"
EMBED = "        x = self.embed(self.patchify(img))\n"
NORMAL = "    images = (images - images.mean()) / images.std()\n"
FIRST = "        return self.head(self.norm(x[:, 0]))\n"

VARIANTS = (
    ("seed1", (("seed: int = 0", "seed: int = 1"),)),
    ("no-autocast", ((CAST, "            if True:\n"), ("seed: int = 0", "seed: int = 2"))),
    (
        "no-accumulation",
        (("accumulate: int = 2", "accumulate: int = 1"), ("batch: int = 32", "batch: int = 64")),
    ),
    ("mean-pooling", ((FIRST, "        return self.head(self.norm(x[:, 1:].mean(1)))\n"),)),
    (
        "post-norm-relu",
        (
            ("norm_first=True", "norm_first=False"),
            ('activation="gelu"', 'activation="relu"'),
            ("lr: float = 6e-3", "lr: float = 5e-3"),
        ),
    ),
    (
        "adam-constant-rate",
        (
            (ADAMW, "torch.optim.Adam(model.parameters(), lr=cfg.lr)"),
            ("lr: float = 6e-3", "lr: float = 3e-3"),
            ("start_factor=0.1", "start_factor=1.0"),
            ("                sched.step()\n", ""),
        ),
    ),
    ("depth-1-wide", (("depth: int = 2", "depth: int = 1"), ("dim: int = 32", "dim: int = 48"))),
)

FAULTS = (
    Fault(
        "device-mismatch",
        (
            (HEAD, '        self.head = nn.Linear(cfg.dim, 10, device=torch.device("meta"))\n'),
            (FIRST, f"        return self.head(self.norm(x[:, 0])){MARK}\n"),
        ),
        note="head made on another device",
    ),
    Fault(
        "dtype-mismatch",
        (
            (CAST, "            if True:\n"),
            ("torch.tensor(digits.images, dtype=torch.float32)", "torch.tensor(digits.images)"),
            (EMBED, f"        x = self.embed(self.patchify(img)){MARK}\n"),
        ),
        note="images in float64",
    ),
    Fault(
        "dtype-mismatch",
        (
            (CAST, "            if True:\n"),
            ("    model = ViT(cfg)\n", "    model = ViT(cfg).to(torch.bfloat16)\n"),
            (EMBED, f"        x = self.embed(self.patchify(img)){MARK}\n"),
        ),
        note="model in bfloat16, images not",
    ),
    Fault(
        "shape-mismatch",
        (
            ("        x = x + self.pos\n", f"        x = x + self.pos{MARK}\n"),
            ("torch.randn(1, tokens + 1, cfg.dim)", "torch.randn(1, tokens, cfg.dim)"),
        ),
        note="no position for the class token",
    ),
    Fault(
        "gradients-not-cleared",
        (
            (STEP, "                opt.step()\n                sched.step()\n"),
            (
                "            (loss / cfg.accumulate).backward()\n",
                f"            (loss / cfg.accumulate).backward(){MARK}\n",
            ),
            (CLIP, ""),
        ),
        note="accumulated over the whole run",
    ),
    Fault(
        "gradients-cleared-before-step",
        (
            (
                "            (loss / cfg.accumulate).backward()\n",
                f"            (loss / cfg.accumulate).backward()\n            opt.zero_grad(){MARK}\n",
            ),
        ),
        accept=("optimizer-never-steps",),
        note="cleared after every micro-batch",
    ),
    Fault(
        "samples-mixed",
        (
            ("batch_first=True, norm_first", "norm_first"),
            ("        x = self.encoder(x)\n", f"        x = self.encoder(x){MARK}\n"),
        ),
        note="batch_first forgotten",
    ),
    Fault(
        "samples-mixed",
        (
            (
                "        return x.permute(0, 1, 3, 2, 4).reshape(b, -1, p * p)\n",
                f"        return x.permute(1, 3, 0, 2, 4).reshape(b, -1, p * p){MARK}\n",
            ),
        ),
        note="batch dimension moved before reshape",
    ),
    Fault(
        "overfitting",
        (
            ("            img = augment(img)\n", ""),
            ("dropout: float = 0.1", "dropout: float = 0.0"),
            (
                "    train, val = random_split(dataset, [1437, 360],",
                "    train, val, _ = random_split(dataset, [160, 360, 1277],",
            ),
            ("epochs: int = 11", "epochs: int = 60"),
        ),
        accept=("too-little-data",),
        note="160 images, no augmentation",
    ),
    Fault(
        "too-little-data",
        (
            (
                "    train, val = random_split(dataset, [1437, 360],",
                "    train, val, _ = random_split(dataset, [64, 360, 1373],",
            ),
            ("epochs: int = 11", "epochs: int = 100"),
        ),
        accept=("overfitting",),
        note="64 images",
    ),
    Fault(
        "data-not-shuffled",
        (
            (
                "    train, val = random_split(dataset, [1437, 360], generator=torch.Generator().manual_seed(cfg.seed))\n",
                "    train, val = random_split(dataset, [1437, 360], generator=torch.Generator().manual_seed(cfg.seed))\n"
                "    train.indices = sorted(train.indices, key=lambda i: digits.target[i])\n",
            ),
            (
                "        DataLoader(train, batch_size=cfg.batch, shuffle=True, drop_last=True),\n",
                f"        DataLoader(train, batch_size=cfg.batch, drop_last=True),{MARK}\n",
            ),
        ),
        accept=("loss-oscillates",),
        note="sorted by digit",
    ),
    Fault(
        "dropout-too-strong",
        (("dropout: float = 0.1", "dropout: float = 0.75"),),
        accept=("underfitting", "slow-convergence"),
    ),
    Fault(
        "augmentation-too-strong",
        (
            (
                "    dx = int(torch.randint(-1, 2, (1,)))\n",
                f"    dx = int(torch.randint(-4, 5, (1,))){MARK}\n",
            ),
            ("0.1 * torch.randn_like(img)", "2.0 * torch.randn_like(img)"),
        ),
        note="shifts to anywhere and noise of twice the spread",
    ),
    Fault(
        "unused-parameters",
        (
            (
                HEAD,
                HEAD
                + f"        self.pre_logits = nn.Sequential(nn.Linear(cfg.dim, cfg.dim), nn.Tanh()){MARK}\n",
            ),
        ),
    ),
    Fault(
        "evaluated-in-training-mode",
        (
            ("    model.eval()\n", ""),
            (
                "        logits = model(img)\n        loss +=",
                f"        logits = model(img){MARK}\n        loss +=",
            ),
        ),
        accept=("evaluation-not-deterministic",),
    ),
    Fault(
        "loss-plateau",
        (
            (ADAMW, f"torch.optim.SGD(model.parameters(), lr=cfg.lr){MARK}"),
            ("lr: float = 6e-3", "lr: float = 1e-4"),
        ),
        accept=("learning-rate-too-low", "slow-convergence"),
        note="SGD with Adam's rate",
    ),
    Fault(
        "label-noise",
        (
            (
                "torch.tensor(digits.target))",
                "torch.where(torch.rand(1797) < 0.6, torch.randint(0, 10, (1797,)), torch.tensor(digits.target)))",
            ),
        ),
        accept=("labels-unrelated-to-input", "overfitting"),
        note="more than half of the labels random",
    ),
    Fault(
        "learning-rate-too-high",
        (("lr: float = 6e-3", "lr: float = 0.5"),),
        accept=("loss-plateau", "loss-oscillates", "exploding-gradients"),
    ),
    Fault(
        "parameters-not-in-optimizer",
        ((ADAMW, f"torch.optim.AdamW(model.head.parameters(), lr=cfg.lr, weight_decay=cfg.wd){MARK}"),),
        accept=("underfitting",),
        note="only the head",
    ),
)

TEMPLATES = (Template("vit-digits", SOURCE, FAULTS, VARIANTS),)
