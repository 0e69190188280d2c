"""A convolutional network on images of digits: functions train() and evaluate(), SGD with momentum, a schedule."""

from program import MARK, Fault, Template

SOURCE = """\
import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


class Digits(Dataset):
    def __init__(self, images, labels):
        self.images = images
        self.labels = labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = torch.from_numpy(self.images[index]).float()
        image = (image - 4.88) / 6.02
        return image.unsqueeze(0), int(self.labels[index])


class Net(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(2 * channels)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(2 * channels * 4, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = self.drop(x.flatten(1))
        return self.fc(x)


def train(model, loader, criterion, optimizer):
    model.train()
    running = 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        outputs = model(images)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running += loss.item()
    return running / len(loader)


def evaluate(model, loader, criterion):
    model.eval()
    loss, hits = 0.0, 0
    with torch.no_grad():
        for images, labels in loader:
            outputs = model(images)
            loss += criterion(outputs, labels).item()
            hits += (outputs.argmax(1) == labels).sum().item()
    return loss / len(loader), hits / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    digits = load_digits()
    order = np.random.default_rng(args.seed).permutation(len(digits.target))
    images, labels = digits.images[order], digits.target[order]
    train_set = Digits(images[:1400], labels[:1400])
    test_set = Digits(images[1400:], labels[1400:])
    train_loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=100)

    model = Net(8)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    for epoch in range(1, args.epochs + 1):
        train_loss = train(model, train_loader, criterion, optimizer)
        test_loss, accuracy = evaluate(model, test_loader, criterion)
        scheduler.step()
        print(f"epoch {epoch} train loss {train_loss:.4f} test loss {test_loss:.4f} accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
"""

LR = '"--lr", type=float, default=0.02'
BATCH = '"--batch-size", type=int, default=32'
EPOCHS = '"--epochs", type=int, default=5'
SGD = "optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)"
CLEAR = "        optimizer.zero_grad()\n"
STEP = "        loss.backward()\n        optimizer.step()\n"
MARKED = STEP.replace("()\n", f"(){MARK}\n")
LOSS = "        loss = criterion(outputs, labels)\n"
MARKED_LOSS = f"        loss = criterion(outputs, labels){MARK}\n"
LAST = "        return self.fc(x)\n"
EVAL = "    model.eval()\n"
NORMALIZED = "        image = (image - 4.88) / 6.02\n"
DROP = "        x = self.drop(x.flatten(1))\n"
CONV1 = "self.bn1(self.conv1(x))"
CONV2 = "self.bn2(self.conv2(x))"
BN1 = "        self.bn1 = nn.BatchNorm2d(channels)\n"
BN2 = "        self.bn2 = nn.BatchNorm2d(2 * channels)\n"
PLAIN = ((CONV1, "self.conv1(x)"), (CONV2, "self.conv2(x)"), (BN1, ""), (BN2, ""))
MODEL = "    model = Net(8)\n"
RUNNING = "        running += loss.item()\n"

FAULTS = (
    Fault("evaluated-in-training-mode", ((EVAL, ""), ("            outputs = model(images)\n            loss +=",
          f"            outputs = model(images){MARK}\n            loss +="), ("nn.Dropout(0.2)",
          "nn.Dropout(0.5)")), accept=("statistics-updated-by-evaluation",)),
    Fault("trained-in-eval-mode", (("    model.train()\n", f"    model.eval(){MARK}\n"),
          ("        outputs = model(images)\n        loss =",
          f"        outputs = model(images){MARK}\n        loss ="))),
    Fault("statistics-updated-by-evaluation", ((EVAL, f"    model.drop.eval(){MARK}\n"),
          ("            outputs = model(images)\n            loss +=",
          f"            outputs = model(images){MARK}\n            loss +=")),
          accept=("evaluated-in-training-mode",), note="only the dropout is switched off"),
    Fault("evaluation-not-deterministic", ((DROP, f"        x = F.dropout(x.flatten(1), 0.5){MARK}\n"),)),
    Fault("normalization-on-tiny-batch", ((BATCH, BATCH.replace("32", "2")),), accept=("batch-size-too-small",),
          note="batches of 2"),
    Fault("dropout-too-strong", (("nn.Dropout(0.2)", "nn.Dropout(0.95)"),), accept=("underfitting",), note="0.95"),
    Fault("learning-rate-too-high", ((LR, LR.replace("0.02", "6.0")),), accept=("loss-oscillates",
          "exploding-gradients"), note="x300"),
    Fault("learning-rate-too-high", ((LR, LR.replace("0.02", "0.6")), *PLAIN), accept=("dead-units",
          "exploding-gradients", "loss-plateau", "loss-not-finite"), note="x30, no batch norm"),
    Fault("learning-rate-too-low", ((LR, LR.replace("0.02", "1e-5")),), accept=("slow-convergence",), note="/2000"),
    Fault("learning-rate-too-low", ((LR, LR.replace("0.02", "1e-4")),), accept=("slow-convergence",), note="/200"),
    Fault("gradients-not-cleared", ((CLEAR, ""), (STEP, MARKED))),
    Fault("gradients-not-cleared", (("    running = 0.0\n", "    running = 0.0\n    optimizer.zero_grad()\n"),
          ("        optimizer.zero_grad()\n        outputs", "        outputs"), (STEP, MARKED)),
          note="cleared once an epoch"),
    Fault("scheduler-misused", ((RUNNING, f"{RUNNING}        scheduler.step(){MARK}\n"),
          ("def train(model, loader, criterion, optimizer):",
          "def train(model, loader, criterion, optimizer, scheduler):"),
          ("train(model, train_loader, criterion, optimizer)",
          "train(model, train_loader, criterion, optimizer, scheduler)"),
          ("evaluate(model, test_loader, criterion)\n        scheduler.step()\n",
          "evaluate(model, test_loader, criterion)\n")), accept=("learning-rate-too-low",),
          note="once a batch instead of once an epoch"),
    Fault("softmax-before-cross-entropy", ((LAST, f"        return F.softmax(self.fc(x), dim=1){MARK}\n"), (LOSS,
          MARKED_LOSS))),
    Fault("softmax-wrong-dimension", ((LAST, f"        return F.log_softmax(self.fc(x), dim=0){MARK}\n"),
          ("nn.CrossEntropyLoss()", "nn.NLLLoss()"), (LOSS, MARKED_LOSS)), accept=("nll-without-log-softmax",),
          note="over the batch"),
    Fault("nll-without-log-softmax", (("nn.CrossEntropyLoss()", f"nn.NLLLoss(){MARK}"), (LOSS, MARKED_LOSS))),
    Fault("parameters-not-in-optimizer", ((SGD,
          "optim.SGD(list(model.conv1.parameters()) + list(model.conv2.parameters()), lr=args.lr, " "momentum=0.9)"
          + MARK),), note="the head and the norms are left out"),
    Fault("parameters-frozen", ((MODEL,
          f"{MODEL}    for p in model.parameters():\n        p.requires_grad = False{MARK}\n"
          "    model.conv1.weight.requires_grad = True\n"),), note="all but the first convolution"),
    Fault("gradient-path-cut", ((f"        x = F.max_pool2d(F.relu({CONV2}), 2)\n",
          f"        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x.detach()))), 2){MARK}\n"),),
          note="detach between layers"),
    Fault("unused-parameters", (("        self.drop = nn.Dropout(0.2)\n",
          "        self.drop = nn.Dropout(0.2)\n        self.fc0 = nn.Linear(2 * channels * 4, 64)\n"),)),
    Fault("augmentation-too-strong", ((NORMALIZED, NORMALIZED
          + "        if self.augment:\n            image = image + 3 * torch.randn_like(image)\n"
          "            image = torch.rot90(image, int(torch.randint(4, ())))\n"),
          ("    def __init__(self, images, labels):", "    def __init__(self, images, labels, augment=False):"),
          ("        self.images = images\n", "        self.images = images\n        self.augment = augment\n"),
          ("images[:1400], labels[:1400])", "images[:1400], labels[:1400], augment=True)")),
          accept=("underfitting",), note="noise of 3 deviations and quarter turns"),
    Fault("distribution-shift", (("    test_set = Digits(images[1400:]",
          "    test_set = Digits(16 - images[1400:]"),), accept=("overfitting",),
          note="the test images are negatives"),
    Fault("input-not-normalized", ((NORMALIZED, "        image = image * 15.9\n"), *PLAIN),
          accept=("exploding-gradients", "learning-rate-too-high", "loss-not-finite", "dead-units",
          "badly-scaled-initialization"), note="pixels from 0 to 255, no batch norm"),
    Fault("dead-units", ((MODEL, f"{MODEL}    nn.init.constant_(model.conv2.bias, -8.0)\n"), *PLAIN),
          accept=("badly-scaled-initialization",), note="bias of -8"),
    Fault("input-not-finite", ((NORMALIZED, "        image = (image - self.mean) / self.std\n"),
          ("        self.images = images\n", "        self.images = images\n"
          "        self.mean = torch.from_numpy(images.mean(0)).float()\n"
          "        self.std = torch.from_numpy(images.std(0)).float()\n")), accept=("loss-not-finite",),
          note="constant pixels are divided by their deviation, 0"),
)  # fmt: skip

VARIANTS = (
    ("seed", (('"--seed", type=int, default=1', '"--seed", type=int, default=5'),)),
    ("adam", ((SGD, "optim.Adam(model.parameters(), lr=args.lr)"), (LR, LR.replace("0.02", "0.003")))),
    ("no-batchnorm", (*PLAIN, (EPOCHS, EPOCHS.replace("5", "9")), ("step_size=2", "step_size=4"))),
    ("wide-batch-64", (("Net(8)", "Net(12)"), (BATCH, BATCH.replace("32", "64")), (LR, LR.replace("0.02", "0.05")))),
    ("gelu-cosine", (("F.relu(self.bn1", "F.gelu(self.bn1"), ("F.relu(self.bn2", "F.gelu(self.bn2"),
     ("StepLR(optimizer, step_size=2, gamma=0.5)", "CosineAnnealingLR(optimizer, args.epochs)"))),
    ("label-smoothing", (("nn.CrossEntropyLoss()", "nn.CrossEntropyLoss(label_smoothing=0.05)"),)),
    ("log-softmax", ((LAST, "        return F.log_softmax(self.fc(x), dim=1)\n"), ("nn.CrossEntropyLoss()",
     "nn.NLLLoss()"))),
)  # fmt: skip

TEMPLATES = [Template("digits-cnn", SOURCE, FAULTS, VARIANTS)]
