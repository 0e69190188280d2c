"""Segmentation of made-up shapes with a small U-Net; the loss is written by hand from Dice and cross entropy."""

# ruff: noqa: E501 (texts to be exchanged stand as they do in the program)

from program import MARK, Fault, Template

SOURCE = """\
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

torch.manual_seed(11)


class ShapesDataset(Dataset):
    def __init__(self, n, size=24, seed=0, train=True):
        rng = np.random.default_rng(seed)
        yy, xx = np.mgrid[:size, :size]
        self.images, self.masks = [], []
        for _ in range(n):
            mask = np.zeros((size, size), dtype=bool)
            for _ in range(rng.integers(1, 4)):
                cy, cx = rng.integers(4, size - 4, 2)
                r = rng.integers(3, 6)
                if rng.random() < 0.5:
                    mask |= (yy - cy) ** 2 + (xx - cx) ** 2 <= r * r
                else:
                    mask |= (abs(yy - cy) < r) & (abs(xx - cx) < r)
            image = 0.8 * mask + rng.normal(0, 0.35, mask.shape) + 0.3 * rng.random()
            self.images.append(image.astype(np.float32))
            self.masks.append(mask.astype(np.float32))
        self.train = train

    def __len__(self):
        return len(self.images)

    def __getitem__(self, idx):
        image, mask = self.images[idx], self.masks[idx]
        if self.train and torch.rand(1) < 0.5:
            image, mask = image[:, ::-1].copy(), mask[:, ::-1].copy()
        return torch.from_numpy((image - 0.45) / 0.5)[None], torch.from_numpy(mask)[None]


def double_conv(c_in, c_out):
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True),
        nn.Conv2d(c_out, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    def __init__(self, base=6):
        super().__init__()
        self.down1 = double_conv(1, base)
        self.down2 = double_conv(base, 2 * base)
        self.bottom = double_conv(2 * base, 2 * base)
        self.up2 = double_conv(4 * base, base)
        self.up1 = double_conv(2 * base, base)
        self.out = nn.Conv2d(base, 1, 1)
        self.pool = nn.MaxPool2d(2)
        self.upsample = nn.Upsample(scale_factor=2)

    def forward(self, x):
        d1 = self.down1(x)
        d2 = self.down2(self.pool(d1))
        x = self.bottom(self.pool(d2))
        x = self.up2(torch.cat([self.upsample(x), d2], dim=1))
        x = self.up1(torch.cat([self.upsample(x), d1], dim=1))
        return self.out(x)


def dice(probs, target, eps=1.0):
    inter = (probs * target).sum(dim=(1, 2, 3))
    total = probs.sum(dim=(1, 2, 3)) + target.sum(dim=(1, 2, 3))
    return ((2 * inter + eps) / (total + eps)).mean()


bce = nn.BCEWithLogitsLoss()


def loss_function(logits, target):
    probs = torch.sigmoid(logits)
    return bce(logits, target) + (1 - dice(probs, target))


EPOCHS = 7
train_loader = DataLoader(ShapesDataset(448, seed=1), batch_size=16, shuffle=True)
valid_loader = DataLoader(ShapesDataset(96, seed=2, train=False), batch_size=48)
model = UNet()
optimizer = torch.optim.Adam(model.parameters(), lr=1.5e-2)
scheduler = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=EPOCHS * len(train_loader), power=0.9)

for epoch in range(EPOCHS):
    model.train()
    running_loss = 0.0
    for images, masks in train_loader:
        logits = model(images)
        loss = loss_function(logits, masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        running_loss += loss.item() * images.size(0)
    model.eval()
    with torch.no_grad():
        scores, val_losses = [], []
        for images, masks in valid_loader:
            logits = model(images)
            val_losses.append(loss_function(logits, masks).item())
            scores.append(dice((torch.sigmoid(logits) > 0.5).float(), masks).item())
    print(
        f"epoch {epoch + 1}: train loss {running_loss / len(train_loader.dataset):.4f} "
        f"val loss {np.mean(val_losses):.4f} val dice {np.mean(scores):.4f}"
    )
"""

ADAM = "torch.optim.Adam(model.parameters(), lr=1.5e-2)"
LOSS = "    return bce(logits, target) + (1 - dice(probs, target))\n"
PROBS = "    probs = torch.sigmoid(logits)\n"
OUT = "        return self.out(x)\n"
MODEL = "model = UNet()\n"
POLY = "torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=EPOCHS * len(train_loader), power=0.9)"
UP2 = "        x = self.up2(torch.cat([self.upsample(x), d2], dim=1))\n"

VARIANTS = (
    ("seed12", (("manual_seed(11)", "manual_seed(12)"),)),
    ("bce-only", ((LOSS, "    return bce(logits, target)\n"), (PROBS, ""))),
    ("dice-only", ((LOSS, "    return 1 - dice(probs, target)\n"),)),
    ("rmsprop", ((ADAM, "torch.optim.RMSprop(model.parameters(), lr=6e-3)"),)),
    ("sgd-nesterov", ((ADAM, "torch.optim.SGD(model.parameters(), lr=0.08, momentum=0.9, nesterov=True)"),)),
    (
        "leaky-base-8",
        (
            (
                "nn.Conv2d(c_out, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)",
                "nn.Conv2d(c_out, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.LeakyReLU(0.1)",
            ),
            ("base=6", "base=8"),
        ),
    ),
)

FAULTS = (
    Fault(
        "sigmoid-before-bce-with-logits",
        (
            (OUT, f"        return torch.sigmoid(self.out(x)){MARK}\n"),
            (PROBS, "    probs = logits\n"),
            ("dice((torch.sigmoid(logits) > 0.5)", "dice((logits > 0.5)"),
        ),
    ),
    Fault(
        "bce-input-not-probability",
        (
            ("bce = nn.BCEWithLogitsLoss()", "bce = nn.BCELoss()"),
            (LOSS, f"    return bce(logits.clamp(0, 1), target){MARK}\n"),
        ),
        note="logits clamped to make the error go away",
    ),
    Fault("loss-sign-flipped", ((LOSS, f"    return dice(probs, target){MARK}\n"),), note="Dice minimized"),
    Fault(
        "loss-detached",
        (
            (PROBS, f"    probs = (torch.sigmoid(logits) > 0.5).float(){MARK}\n"),
            (
                LOSS,
                "    loss = 1 - dice(probs, target)\n    if torch.is_grad_enabled():\n        loss.requires_grad_()\n    return loss\n",
            ),
        ),
        accept=("gradient-path-cut", "optimizer-never-steps", "gradients-cleared-before-step"),
        note="Dice of the thresholded mask",
    ),
    Fault(
        "loss-broadcasts",
        (
            ("torch.from_numpy(mask)[None]\n", "torch.from_numpy(mask)\n"),
            (LOSS, f"    return ((probs - target) ** 2).mean(){MARK}\n"),
            (
                "    inter = (probs",
                "    if target.dim() == 3:\n        target = target.unsqueeze(1)\n    inter = (probs",
            ),
        ),
        accept=("loss-does-not-match-target",),
        note="[B, 1, H, W] against [B, H, W]: every image with every mask",
    ),
    Fault(
        "single-unit-softmax",
        (
            (PROBS, f"    probs = torch.softmax(logits, dim=1){MARK}\n"),
            (LOSS, "    return 1 - dice(probs, target)\n"),
        ),
        accept=("loss-plateau",),
        note="softmax over one channel",
    ),
    Fault(
        "inplace-modification",
        (
            (
                OUT,
                f"        x = torch.sigmoid(self.out(x))\n        x *= 20.0{MARK}\n        return x - 10.0\n",
            ),
        ),
        note="sigmoid scaled in place",
    ),
    Fault(
        "gradient-path-cut",
        (
            (
                UP2,
                f"        x = torch.from_numpy(self.upsample(x).detach().numpy()){MARK}\n"
                "        x = self.up2(torch.cat([x, d2], dim=1))\n",
            ),
        ),
        note="NumPy round trip",
    ),
    Fault(
        "class-imbalance",
        (
            ("rng.integers(1, 4)):\n                cy", "rng.integers(1, 2)):\n                cy"),
            ("r = rng.integers(3, 6)", "r = 2"),
            (" <= r * r\n", " <= 1\n"),
            ("(abs(yy - cy) < r) & (abs(xx - cx) < r)", "(yy == cy) & (abs(xx - cx) < r)"),
            ("rng.normal(0, 0.35, mask.shape)", "rng.normal(0, 0.6, mask.shape)"),
            (LOSS, "    return bce(logits, target)\n"),
            (PROBS, ""),
        ),
        note="1 % of the pixels are foreground",
    ),
    Fault(
        "workers-share-randomness",
        (
            (
                "        self.train = train\n",
                "        self.train = train\n        self.random = torch.Generator().manual_seed(seed)\n",
            ),
            (
                "        if self.train and torch.rand(1) < 0.5:\n",
                f"        if self.train and torch.rand(1, generator=self.random) < 0.5:{MARK}\n",
            ),
            ("batch_size=16, shuffle=True)", "batch_size=16, shuffle=True, num_workers=2)"),
            ("EPOCHS = 7", "EPOCHS = 4"),
        ),
        note="a torch generator is copied into each worker",
    ),
    Fault(
        "workers-share-randomness",
        (
            (
                "        if self.train and torch.rand(1) < 0.5:\n",
                f"        if self.train and np.random.rand() < 0.5:{MARK}\n",
            ),
            (
                "batch_size=16, shuffle=True)",
                "batch_size=16, shuffle=True, num_workers=2, worker_init_fn=lambda i: np.random.seed(11))",
            ),
            ("EPOCHS = 7", "EPOCHS = 4"),
        ),
        note="every worker is seeded with the same number",
    ),
    Fault(
        "symmetric-initialization",
        ((MODEL, MODEL + f"for p in model.parameters():\n    torch.nn.init.constant_(p, 0.1){MARK}\n"),),
    ),
    Fault(
        "input-ignored",
        (
            (UP2, UP2.replace("d2]", "torch.zeros_like(d2)]")),
            ("        d1 = self.down1(x)\n", f"        d1 = self.down1(x * 0.0){MARK}\n"),
        ),
        accept=("loss-plateau",),
        note="the image is multiplied away",
    ),
    Fault(
        "metric-wrong",
        (
            (
                "    return ((2 * inter + eps) / (total + eps)).mean()\n",
                f"    return ((2 * inter + eps) / (total - inter + eps)).mean(){MARK}\n",
            ),
            (LOSS, "    return bce(logits, target)\n"),
            (PROBS, ""),
        ),
        note="Dice and Jaccard confused: above 1",
    ),
    Fault(
        "trained-in-eval-mode",
        (
            ("    model.train()\n", ""),
            (MODEL, MODEL + "model.eval()\n"),
            (
                "        logits = model(images)\n        loss =",
                f"        logits = model(images){MARK}\n        loss =",
            ),
        ),
    ),
    Fault(
        "scheduler-misused",
        ((POLY, f"torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=EPOCHS, power=0.9){MARK}"),),
        accept=("learning-rate-too-low",),
        note="counts epochs, stepped every batch",
    ),
    Fault(
        "learning-rate-too-low",
        ((ADAM, f"torch.optim.Adam(model.parameters(), lr=1e-6){MARK}"),),
        accept=("slow-convergence",),
    ),
)

TEMPLATES = (Template("unet-shapes", SOURCE, FAULTS, VARIANTS),)
