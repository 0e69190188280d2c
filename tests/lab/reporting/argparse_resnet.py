"""A small residual network on digits in the form of the official examples: argparse, train(), test(), main()."""

# ruff: noqa: E501 (texts to be exchanged stand as they do in the program)

from program import MARK, Fault, Template

SOURCE = """\
import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset


class Digits(Dataset):
    def __init__(self, images, labels, augment=False):
        self.images = torch.from_numpy(images).float().div(16.0).sub(0.305).div(0.376).unsqueeze(1)
        self.labels = torch.from_numpy(labels).long()
        self.augment = augment

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = self.images[index]
        if self.augment:
            shift = int(torch.randint(-1, 2, (1,)))
            image = torch.roll(image, shift, dims=2)
        return image, self.labels[index]


class Block(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.skip(x))


class Net(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.block1 = Block(1, width)
        self.block2 = Block(width, 2 * width)
        self.dropout = nn.Dropout(0.25)
        self.fc = nn.Linear(2 * width * 4, 10)

    def forward(self, x):
        x = F.max_pool2d(self.block1(x), 2)
        x = F.max_pool2d(self.block2(x), 2)
        x = torch.flatten(x, 1)
        x = self.fc(self.dropout(x))
        return F.log_softmax(x, dim=1)


def train(args, model, device, train_loader, optimizer, epoch):
    model.train()
    total = 0.0
    for batch_idx, (data, target) in enumerate(train_loader):
        data, target = data.to(device), target.to(device)
        optimizer.zero_grad()
        output = model(data)
        loss = F.nll_loss(output, target)
        loss.backward()
        optimizer.step()
        total += loss.item()
        if batch_idx % args.log_interval == 0:
            print(f"Train Epoch: {epoch} [{batch_idx * len(data)}/{len(train_loader.dataset)}] Loss: {loss.item():.6f}")
    return total / len(train_loader)


def test(model, device, test_loader):
    model.eval()
    test_loss = 0.0
    correct = 0
    with torch.no_grad():
        for data, target in test_loader:
            data, target = data.to(device), target.to(device)
            output = model(data)
            test_loss += F.nll_loss(output, target, reduction="sum").item()
            pred = output.argmax(dim=1, keepdim=True)
            correct += pred.eq(target.view_as(pred)).sum().item()
    test_loss /= len(test_loader.dataset)
    accuracy = correct / len(test_loader.dataset)
    print(f"Test set: Average loss: {test_loss:.4f}, Accuracy: {accuracy:.4f}")
    return accuracy


def main():
    parser = argparse.ArgumentParser(description="digits")
    parser.add_argument("--batch-size", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--lr", type=float, default=0.03)
    parser.add_argument("--gamma", type=float, default=0.4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log-interval", type=int, default=10)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    device = torch.device("cpu")

    digits = load_digits()
    x_train, x_test, y_train, y_test = train_test_split(
        digits.images, digits.target, test_size=0.25, random_state=args.seed
    )
    train_loader = DataLoader(Digits(x_train, y_train, augment=True), batch_size=args.batch_size, shuffle=True)
    test_loader = DataLoader(Digits(x_test, y_test), batch_size=200)

    model = Net().to(device)
    optimizer = optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4)
    scheduler = StepLR(optimizer, step_size=2, gamma=args.gamma)
    for epoch in range(1, args.epochs + 1):
        train(args, model, device, train_loader, optimizer, epoch)
        test(model, device, test_loader)
        scheduler.step()


if __name__ == "__main__":
    main()
"""

SGD = "optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=5e-4)"
MODEL = "    model = Net().to(device)\n"
LR = '"--lr", type=float, default=0.03'
BATCH = '"--batch-size", type=int, default=48'
SEED = '"--seed", type=int, default=1'
EPOCHS = '"--epochs", type=int, default=7'
OUTPUT = "        output = model(data)\n        loss = F.nll_loss(output, target)\n"
STEP = "        loss.backward()\n        optimizer.step()\n"
CLEAR = "        optimizer.zero_grad()\n"

VARIANTS = (
    ("seed2", ((SEED, '"--seed", type=int, default=2'),)),
    ("adamw", ((SGD, "optim.AdamW(model.parameters(), lr=2e-3)"),)),
    ("seed3-wide", ((SEED, '"--seed", type=int, default=3'), ("Net()", "Net(width=16)"))),
    (
        "batch-32",
        ((BATCH, '"--batch-size", type=int, default=32'), (EPOCHS, '"--epochs", type=int, default=6')),
    ),
    (
        "cross-entropy",
        (
            ("F.nll_loss(output, target)\n", "F.cross_entropy(output, target)\n"),
            (
                'F.nll_loss(output, target, reduction="sum")',
                'F.cross_entropy(output, target, reduction="sum")',
            ),
            ("        return F.log_softmax(x, dim=1)", "        return x"),
        ),
    ),
    (
        "zero-init-residual",
        (
            (EPOCHS, '"--epochs", type=int, default=10'),
            ('"--gamma", type=float, default=0.4', '"--gamma", type=float, default=0.5'),
            ("        self.skip =", "        nn.init.zeros_(self.bn2.weight)\n        self.skip ="),
        ),
    ),
    ("clear-after-step", ((CLEAR, ""), (STEP, STEP + "        optimizer.zero_grad(set_to_none=True)\n"))),
)

FAULTS = (
    Fault("optimizer-never-steps", ((STEP, f"        loss.backward(){MARK}\n"),), note="no call of step"),
    Fault(
        "optimizer-never-steps",
        ((STEP, f"        loss.backward()\n        optimizer.step{MARK}\n"),),
        note="parentheses forgotten",
    ),
    Fault(
        "gradients-cleared-before-step",
        (
            (CLEAR, ""),
            (
                STEP,
                f"        loss.backward()\n        optimizer.zero_grad(){MARK}\n        optimizer.step()\n",
            ),
        ),
        accept=("optimizer-never-steps",),
    ),
    Fault(
        "scheduler-misused",
        (
            ("train_loader, optimizer, epoch):", "train_loader, optimizer, epoch, scheduler):"),
            ("train_loader, optimizer, epoch)\n", "train_loader, optimizer, epoch, scheduler)\n"),
            ("        scheduler.step()\n", ""),
            (STEP, f"{STEP}        scheduler.step(){MARK}\n"),
        ),
        accept=("learning-rate-too-low",),
        note="stepped every batch instead of every epoch",
    ),
    Fault(
        "scheduler-misused",
        (
            (CLEAR, f"        scheduler.step(){MARK}\n" + CLEAR),
            ("train_loader, optimizer, epoch):", "train_loader, optimizer, epoch, scheduler):"),
            ("train_loader, optimizer, epoch)\n", "train_loader, optimizer, epoch, scheduler)\n"),
            ("        scheduler.step()\n\n", "\n"),
            (
                "StepLR(optimizer, step_size=2, gamma=args.gamma)",
                "optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.8)",
            ),
        ),
        accept=("learning-rate-too-low",),
        note="before the optimizer's step and every batch",
    ),
    Fault(
        "trained-in-eval-mode",
        (
            ("    model.train()\n", ""),
            (MODEL, f"{MODEL}    model.eval()\n"),
            (OUTPUT, f"        output = model(data){MARK}\n        loss = F.nll_loss(output, target)\n"),
        ),
    ),
    Fault(
        "trained-in-eval-mode",
        (
            ("    model.train()\n    total", "    total"),
            (MODEL, f"{MODEL}    model.train()\n"),
            (OUTPUT, f"        output = model(data){MARK}\n        loss = F.nll_loss(output, target)\n"),
        ),
        note="train mode set once, test() switches it off after the first epoch",
    ),
    Fault(
        "statistics-updated-by-evaluation",
        (
            (
                "    model.eval()\n    test_loss",
                "    model.eval()\n    for m in model.modules():\n"
                "        if isinstance(m, nn.BatchNorm2d):\n            m.train()\n    test_loss",
            ),
            ("            output = model(data)\n", f"            output = model(data){MARK}\n"),
        ),
        accept=("evaluated-in-training-mode",),
        note="batch norm left in training mode",
    ),
    Fault(
        "evaluated-in-training-mode",
        (
            ("    model.eval()\n", ""),
            ("            output = model(data)\n", f"            output = model(data){MARK}\n"),
        ),
        accept=("statistics-updated-by-evaluation", "evaluation-not-deterministic"),
    ),
    Fault(
        "evaluated-in-training-mode",
        (
            ("    model.eval()\n", "    model.train(True)\n"),
            ("            output = model(data)\n", f"            output = model(data){MARK}\n"),
        ),
        accept=("statistics-updated-by-evaluation", "evaluation-not-deterministic"),
        note="train where eval was meant",
    ),
    Fault(
        "evaluation-not-deterministic",
        (("        x = self.fc(self.dropout(x))\n", f"        x = self.fc(F.dropout(x, 0.4)){MARK}\n"),),
        accept=("evaluated-in-training-mode",),
        note="functional dropout, always on",
    ),
    Fault(
        "normalization-on-tiny-batch",
        (
            (BATCH, '"--batch-size", type=int, default=2'),
            (EPOCHS, '"--epochs", type=int, default=2'),
        ),
        accept=("batch-size-too-small", "learning-rate-too-high", "loss-oscillates"),
        note="batches of 2",
    ),
    Fault(
        "shape-mismatch",
        (
            ("        x = self.fc(self.dropout(x))\n", f"        x = self.fc(self.dropout(x)){MARK}\n"),
            ("nn.Linear(2 * width * 4, 10)", "nn.Linear(2 * width * 16, 10)"),
        ),
        note="flattened size miscounted",
    ),
    Fault(
        "dtype-mismatch",
        (
            ("torch.from_numpy(labels).long()", "torch.from_numpy(labels).float()"),
            (OUTPUT, f"        output = model(data)\n        loss = F.nll_loss(output, target){MARK}\n"),
        ),
        note="float labels",
    ),
    Fault(
        "graph-retained",
        (("        total += loss.item()\n", f"        total += loss{MARK}\n"),),
        note="sum of losses with their graphs",
    ),
    Fault(
        "softmax-wrong-dimension",
        (("F.log_softmax(x, dim=1)", f"F.log_softmax(x, dim=0){MARK}"),),
        accept=("nll-without-log-softmax",),
    ),
    Fault(
        "nll-without-log-softmax",
        (("F.log_softmax(x, dim=1)", f"F.softmax(x, dim=1){MARK}"),),
        note="softmax instead of log_softmax",
    ),
    Fault(
        "softmax-before-cross-entropy",
        (
            (OUTPUT, f"        output = model(data)\n        loss = F.cross_entropy(output, target){MARK}\n"),
            ("F.log_softmax(x, dim=1)", f"torch.exp(x) / torch.exp(x).sum(dim=1, keepdim=True){MARK}"),
            (
                'F.nll_loss(output, target, reduction="sum")',
                'F.cross_entropy(output, target, reduction="sum")',
            ),
        ),
        note="softmax by hand",
    ),
    Fault(
        "samples-mixed",
        (
            (
                "        x = torch.flatten(x, 1)\n",
                f"        x = x.permute(1, 0, 2, 3).reshape(x.size(0), -1){MARK}\n",
            ),
        ),
        note="channels first, then reshaped",
    ),
    Fault(
        "symmetric-initialization",
        (
            (
                "        self.fc = nn.Linear(2 * width * 4, 10)\n",
                "        self.fc = nn.Linear(2 * width * 4, 10)\n        for p in self.parameters():\n"
                f"            nn.init.constant_(p, 0.01){MARK}\n",
            ),
        ),
        note="every weight 0.01",
    ),
    Fault(
        "badly-scaled-initialization",
        (
            (
                "        self.fc = nn.Linear(2 * width * 4, 10)\n",
                "        self.fc = nn.Linear(2 * width * 4, 10)\n"
                f"        nn.init.normal_(self.fc.weight, std=30.0){MARK}\n",
            ),
        ),
        accept=("learning-rate-too-high", "exploding-gradients"),
        note="output layer with a spread of 30",
    ),
    Fault(
        "learning-rate-too-high",
        ((LR, '"--lr", type=float, default=4.0'),),
        accept=("loss-oscillates", "loss-not-finite", "exploding-gradients", "dead-units", "loss-plateau"),
        note="4 with momentum",
    ),
    Fault(
        "weight-decay-too-strong",
        ((SGD, SGD.replace("5e-4", "0.8") + MARK),),
        accept=("underfitting", "loss-plateau"),
        note="0.8 instead of 0.0005",
    ),
    Fault(
        "augmentation-too-strong",
        (
            (
                "            image = torch.roll(image, shift, dims=2)\n",
                f"            image = torch.roll(image, shift, dims=2) * (torch.rand_like(image) > 0.6).float()"
                f" + 1.5 * torch.randn_like(image){MARK}\n",
            ),
        ),
        note="most pixels erased and much noise",
    ),
    Fault(
        "parameters-not-in-optimizer",
        (("    scheduler = StepLR", f"    model.fc = nn.Linear(96, 10){MARK}\n    scheduler = StepLR"),),
        note="head replaced after the optimizer was made",
    ),
    Fault(
        "metric-wrong",
        (
            (
                "pred = output.argmax(dim=1, keepdim=True)\n            correct += pred.eq(target.view_as(pred)).sum().item()",
                "pred = output.argmax(dim=1, keepdim=True)\n"
                f"            correct += pred.eq(target).sum().item(){MARK}",
            ),
        ),
        note="[B, 1] compared with [B]",
    ),
)

TEMPLATES = (Template("argparse-resnet", SOURCE, FAULTS, VARIANTS),)
