"""Contrastive learning on digits: two views of an image, NT-Xent by hand, judged by nearest neighbors."""

from program import MARK, Fault, Template

SOURCE = """\
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits

EPOCHS, BATCH, TEMPERATURE = 16, 100, 0.3


def load(seed):
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8.0 - 1.0
    y = torch.tensor(digits.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return x[order[:1500]], y[order[:1500]], x[order[1500:]], y[order[1500:]]


def random_view(x):
    n = x.shape[0]
    shift = torch.randint(-1, 2, (n,))
    cols = (torch.arange(8).view(1, 8) + shift.view(n, 1)) % 8
    x = torch.gather(x, 3, cols.view(n, 1, 1, 8).expand(-1, -1, 8, -1))
    x = x + 0.25 * torch.randn_like(x)
    return x * (torch.rand(n, 1, 8, 8) > 0.1)


class Encoder(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(128, 64), nn.ReLU(),
        )
        self.projector = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, dim))

    def forward(self, x):
        h = self.backbone(x)
        return h, self.projector(h)


def nt_xent(z1, z2):
    n = z1.shape[0]
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    sim = z @ z.T / TEMPERATURE
    sim = sim.masked_fill(torch.eye(2 * n, dtype=torch.bool), -1e9)
    target = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
    return F.cross_entropy(sim, target)


@torch.no_grad()
def evaluate(model, x_train, y_train, x_test, y_test):
    model.eval()
    _, z1 = model(random_view(x_test))
    _, z2 = model(random_view(x_test))
    loss = nt_xent(z1[:100], z2[:100]).item()
    bank = F.normalize(model(x_train)[0], dim=1)
    query = F.normalize(model(x_test)[0], dim=1)
    votes = y_train[(query @ bank.T).topk(5).indices].mode().values
    return loss, (votes == y_test).float().mean().item()


torch.manual_seed(0)
x_train, y_train, x_test, y_test = load(seed=0)
model = Encoder()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-5)
steps = EPOCHS * (len(x_train) // BATCH)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
for epoch in range(EPOCHS):
    model.train()
    losses = []
    for idx in torch.randperm(len(x_train)).split(BATCH):
        x = x_train[idx]
        _, z1 = model(random_view(x))
        _, z2 = model(random_view(x))
        loss = nt_xent(z1, z2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.detach())
    test_loss, accuracy = evaluate(model, x_train, y_train, x_test, y_test)
    print(f"{epoch:3d} loss {torch.stack(losses).mean():.4f} test loss {test_loss:.4f} knn accuracy {accuracy:.4f}")
"""

ADAM = "torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-5)"
ONE_CYCLE = "torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)"
SECOND = "        _, z2 = model(random_view(x))\n        loss"
CE = "    return F.cross_entropy(sim, target)\n"
MODEL = "model = Encoder()\n"

VARIANTS = (
    ("seed1", (("manual_seed(0)\n", "manual_seed(1)\n"),)),
    (
        "sgd-cosine",
        (
            (ADAM, "torch.optim.SGD(model.parameters(), lr=0.04, momentum=0.9)"),
            (ONE_CYCLE, "torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)"),
        ),
    ),
    ("warm", (("TEMPERATURE = 16, 100, 0.3", "TEMPERATURE = 16, 100, 0.5"),)),
    (
        "stop-gradient",
        (
            (
                SECOND,
                "        _, z2 = model(random_view(x))\n        z1 = z1 + 0.0 * z2.detach()\n        loss",
            ),
            ("manual_seed(0)\n", "manual_seed(2)\n"),
        ),
    ),
    (
        "layer-norm",
        (
            (
                "nn.Flatten(), nn.Linear(128, 64), nn.ReLU(),",
                "nn.Flatten(), nn.Linear(128, 64), nn.LayerNorm(64), nn.SiLU(),",
            ),
        ),
    ),
)

FAULTS = (
    Fault(
        "augmentation-too-strong",
        (
            (
                "    x = x + 0.25 * torch.randn_like(x)\n    return x * (torch.rand(n, 1, 8, 8) > 0.1)\n",
                f"    x = x + 2.0 * torch.randn_like(x)\n    return x * (torch.rand(n, 1, 8, 8) > 0.8){MARK}\n",
            ),
        ),
        accept=("loss-plateau",),
        note="four of five pixels erased, noise of 2",
    ),
    Fault(
        "symmetric-initialization",
        ((MODEL, MODEL + f"for p in model.parameters():\n    nn.init.constant_(p, 0.05){MARK}\n"),),
        accept=("loss-plateau",),
    ),
    Fault(
        "loss-detached",
        (
            (
                "        loss = nt_xent(z1, z2)\n",
                f"        loss = torch.tensor(nt_xent(z1, z2), requires_grad=True){MARK}\n",
            ),
        ),
        accept=("optimizer-never-steps", "gradients-cleared-before-step"),
    ),
    Fault(
        "normalization-on-tiny-batch",
        (
            (
                "nn.Flatten(), nn.Linear(128, 64), nn.ReLU(),",
                "nn.Flatten(), nn.Linear(128, 64), nn.BatchNorm1d(64), nn.ReLU(),",
            ),
            ("EPOCHS, BATCH, TEMPERATURE = 16, 100, 0.3", "EPOCHS, BATCH, TEMPERATURE = 1, 2, 0.3"),
        ),
        accept=("batch-size-too-small",),
        note="batches of 2",
    ),
    Fault(
        "batch-size-too-small",
        (
            ("EPOCHS, BATCH, TEMPERATURE = 16, 100, 0.3", "EPOCHS, BATCH, TEMPERATURE = 1, 3, 0.3"),
            ("max_lr=4e-3", "max_lr=2e-2"),
        ),
        accept=("normalization-on-tiny-batch", "learning-rate-too-high"),
        note="three images, so four negatives",
    ),
    Fault(
        "softmax-before-cross-entropy",
        ((CE, f"    return F.cross_entropy(F.softmax(sim, dim=1), target){MARK}\n"),),
    ),
    Fault(
        "input-ignored",
        (("        h = self.backbone(x)\n", f"        h = self.backbone(torch.zeros_like(x)){MARK}\n"),),
        accept=("loss-plateau",),
    ),
    Fault(
        "learning-rate-too-low",
        ((ONE_CYCLE, ONE_CYCLE.replace("4e-3", "1e-7")),),
        accept=("slow-convergence",),
    ),
    Fault(
        "evaluated-in-training-mode",
        (
            ("    model.eval()\n", ""),
            (
                "    bank = F.normalize(model(x_train)[0], dim=1)\n",
                f"    bank = F.normalize(model(x_train)[0], dim=1){MARK}\n",
            ),
            (
                "    query = F.normalize(model(x_test)[0], dim=1)\n",
                f"    query = F.normalize(model(x_test)[0], dim=1){MARK}\n",
            ),
            ("    _, z1 = model(random_view(x_test))\n", f"    _, z1 = model(random_view(x_test)){MARK}\n"),
            ("    _, z2 = model(random_view(x_test))\n", f"    _, z2 = model(random_view(x_test)){MARK}\n"),
        ),
        accept=("statistics-updated-by-evaluation",),
    ),
    Fault(
        "model-too-small",
        (("def __init__(self, dim=32):", "def __init__(self, dim=1):"),),
        accept=("underfitting", "loss-plateau"),
        note="projection to one number",
    ),
    Fault(
        "loss-sign-flipped",
        (("    sim = z @ z.T / TEMPERATURE\n", f"    sim = -z @ z.T / TEMPERATURE{MARK}\n"),),
        accept=("loss-plateau",),
        note="distance where similarity was meant: views are pushed apart",
    ),
    Fault(
        "weight-decay-too-strong",
        ((ADAM, f"torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1.0){MARK}"),),
        accept=("loss-plateau", "underfitting"),
    ),
)

TEMPLATES = (Template("contrastive-digits", SOURCE, FAULTS, VARIANTS),)
