"""Tabular classification as a flat script of a competition: everything at top level, percentages are printed."""

# ruff: noqa: E501 (texts to be exchanged stand as they do in the program)

from program import MARK, Fault, Template

SOURCE = """\
import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset

SEED = 42
np.random.seed(SEED)
torch.manual_seed(SEED)

X, y = make_classification(
    n_samples=6000, n_features=20, n_informative=10, n_redundant=4, n_classes=4, class_sep=1.6, flip_y=0.02,
    random_state=SEED,
)
X[:, :6] = X[:, :6] * 40.0 + 300.0  # some columns are money
X_train, X_valid, y_train, y_valid = train_test_split(X, y, test_size=0.2, random_state=SEED)
scaler = StandardScaler()
X_train = scaler.fit_transform(X_train)
X_valid = scaler.transform(X_valid)

train_ds = TensorDataset(torch.tensor(X_train, dtype=torch.float32), torch.tensor(y_train, dtype=torch.long))
valid_ds = TensorDataset(torch.tensor(X_valid, dtype=torch.float32), torch.tensor(y_valid, dtype=torch.long))
train_dl = DataLoader(train_ds, batch_size=128, shuffle=True)
valid_dl = DataLoader(valid_ds, batch_size=256)

model = nn.Sequential(
    nn.Linear(20, 64),
    nn.BatchNorm1d(64),
    nn.ReLU(),
    nn.Dropout(0.2),
    nn.Linear(64, 64),
    nn.BatchNorm1d(64),
    nn.ReLU(),
    nn.Dropout(0.2),
    nn.Linear(64, 4),
)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)
EPOCHS = 14
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)

for epoch in range(EPOCHS):
    model.train()
    total, correct, running = 0, 0, 0.0
    for xb, yb in train_dl:
        optimizer.zero_grad()
        out = model(xb)
        loss = criterion(out, yb)
        loss.backward()
        optimizer.step()
        running += loss.item() * len(yb)
        correct += (out.argmax(1) == yb).sum().item()
        total += len(yb)
    train_acc = 100 * correct / total
    scheduler.step()

    model.eval()
    v_total, v_correct, v_loss = 0, 0, 0.0
    with torch.no_grad():
        for xb, yb in valid_dl:
            out = model(xb)
            v_loss += criterion(out, yb).item() * len(yb)
            v_correct += (out.argmax(1) == yb).sum().item()
            v_total += len(yb)
    valid_acc = 100 * v_correct / v_total
    print(
        f"Epoch {epoch + 1}/{EPOCHS} | train loss {running / total:.4f} acc {train_acc:.2f}% "
        f"| valid loss {v_loss / v_total:.4f} acc {valid_acc:.2f}%"
    )
print("done, final valid acc: %.2f%%" % valid_acc)
"""

ADAM = "torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)"
COSINE = "torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)"
SPLIT = "X_train, X_valid, y_train, y_valid = train_test_split(X, y, test_size=0.2, random_state=SEED)\n"
TRAIN_STEP = """\
        optimizer.zero_grad()
        out = model(xb)
        loss = criterion(out, yb)
        loss.backward()
        optimizer.step()
"""
HEAD = "    nn.Linear(64, 4),\n)"
LOSS = "        loss = criterion(out, yb)\n"
SECOND = "    nn.Linear(64, 64),\n    nn.BatchNorm1d(64),\n    nn.ReLU(),\n"

VARIANTS = (
    ("seed7", (("SEED = 42", "SEED = 7"),)),
    ("seed8-adamw", (("SEED = 42", "SEED = 8"), (ADAM, "torch.optim.AdamW(model.parameters(), lr=2e-3)"))),
    (
        "sgd-nesterov",
        (
            (
                ADAM,
                "torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)",
            ),
        ),
    ),
    (
        "rmsprop-gelu",
        (
            (ADAM, "torch.optim.RMSprop(model.parameters(), lr=1e-3)"),
            (SECOND, "    nn.Linear(64, 64),\n    nn.LayerNorm(64),\n    nn.GELU(),\n"),
        ),
    ),
    (
        "one-cycle",
        (
            (
                COSINE,
                "torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=EPOCHS * len(train_dl))",
            ),
            ("    scheduler.step()\n", ""),
            ("        optimizer.step()\n", "        optimizer.step()\n        scheduler.step()\n"),
        ),
    ),
    (
        "label-smoothing-drop-last",
        (
            ("nn.CrossEntropyLoss()", "nn.CrossEntropyLoss(label_smoothing=0.05)"),
            ("shuffle=True)", "shuffle=True, drop_last=True)"),
        ),
    ),
    (
        "plain-batch-32",
        (("batch_size=128", "batch_size=32"), ("EPOCHS = 14", "EPOCHS = 8"), ("lr=3e-3", "lr=2e-3")),
    ),
)

FAULTS = (
    Fault(
        "gradients-not-cleared",
        (
            (ADAM, "torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)"),
            (
                TRAIN_STEP,
                f"""\
        out = model(xb)
        loss = criterion(out, yb)
        loss.backward(){MARK}
        optimizer.step(){MARK}
""",
            ),
        ),
        note="zero_grad forgotten, SGD with momentum",
    ),
    Fault(
        "gradients-not-cleared",
        (
            ("        optimizer.zero_grad()\n", ""),
            ("    model.train()\n", "    model.train()\n    optimizer.zero_grad()\n"),
            ("        loss.backward()\n", f"        loss.backward(){MARK}\n"),
        ),
        note="cleared once an epoch only, Adam",
    ),
    Fault(
        "softmax-before-cross-entropy", ((HEAD, f"    nn.Linear(64, 4),\n    nn.Softmax(dim=1),{MARK}\n)"),)
    ),
    Fault(
        "nll-without-log-softmax", (("criterion = nn.CrossEntropyLoss()", f"criterion = nn.NLLLoss(){MARK}"),)
    ),
    Fault(
        "loss-does-not-match-target",
        (
            (HEAD, "    nn.Linear(64, 1),\n)"),
            ("criterion = nn.CrossEntropyLoss()", "criterion = nn.MSELoss()"),
            (
                "        out = model(xb)\n        loss = criterion(out, yb)\n",
                f"        out = model(xb)\n        loss = criterion(out.squeeze(1), yb.float()){MARK}\n",
            ),
            ("        correct += (out.argmax(1) == yb)", "        correct += (out.squeeze(1).round() == yb)"),
            (
                "            v_loss += criterion(out, yb)",
                "            v_loss += criterion(out.squeeze(1), yb.float())",
            ),
            (
                "            v_correct += (out.argmax(1) == yb)",
                "            v_correct += (out.squeeze(1).round() == yb)",
            ),
        ),
        note="the class number as a quantity",
    ),
    Fault(
        "normalization-on-tiny-batch",
        (("batch_size=128, shuffle=True", "batch_size=2, shuffle=True"), ("EPOCHS = 14", "EPOCHS = 1")),
        accept=("batch-size-too-small", "learning-rate-too-high"),
        note="batches of 2",
    ),
    Fault(
        "class-imbalance",
        (("n_classes=4, class_sep=1.6,", "n_classes=2, weights=[0.975], class_sep=0.25,"),),
        note="3 % of one class, rarely predicted",
    ),
    Fault(
        "input-not-normalized",
        (
            ("X_train = scaler.fit_transform(X_train)\n", ""),
            ("X_valid = scaler.transform(X_valid)\n", ""),
            ("    nn.Linear(20, 64),\n    nn.BatchNorm1d(64),\n", "    nn.Linear(20, 64),\n"),
            (SECOND, "    nn.Linear(64, 64),\n    nn.ReLU(),\n"),
        ),
        note="scaler left out, no batch norm",
    ),
    Fault(
        "input-not-finite",
        (
            (
                "X_train = scaler.fit_transform(X_train)\n",
                "X_train = scaler.fit_transform(X_train)\n"
                f"X_train[np.random.rand(*X_train.shape) < 0.001] = np.nan{MARK}\n",
            ),
        ),
        accept=("loss-not-finite",),
        note="a few missing values",
    ),
    Fault(
        "input-not-finite",
        (
            (
                "X_train = scaler.fit_transform(X_train)\n",
                f"X_train = scaler.fit_transform(X_train)\nX_train[17, 3] = np.inf{MARK}\n",
            ),
        ),
        accept=("loss-not-finite",),
        note="one infinite value",
    ),
    Fault(
        "constant-feature",
        (
            (
                "X_train = scaler.fit_transform(X_train)\n",
                "X[:, 9] = 7.0\nX_train[:, 9] = 7.0\nX_valid[:, 9] = 7.0\n"
                "X_train = scaler.fit_transform(X_train)\n",
            ),
        ),
    ),
    Fault(
        "label-noise",
        (
            (
                SPLIT,
                SPLIT + "wrong = np.random.rand(len(y_train)) < 0.6\n"
                f"y_train[wrong] = np.random.randint(0, 4, wrong.sum()){MARK}\n",
            ),
        ),
        note="45 % of the training labels wrong",
    ),
    Fault(
        "labels-unrelated-to-input",
        ((SPLIT, f"X = X[np.random.permutation(len(X))]{MARK}\n" + SPLIT), ("EPOCHS = 14", "EPOCHS = 20")),
        accept=("label-noise", "loss-plateau", "underfitting", "overfitting"),
        note="rows shuffled without their labels",
    ),
    Fault(
        "train-validation-overlap",
        ((SPLIT, f"X, y = np.repeat(X[:3000], 2, axis=0), np.repeat(y[:3000], 2){MARK}\n" + SPLIT),),
        note="oversampled before the split",
    ),
    Fault(
        "evaluated-in-training-mode",
        (
            ("    model.eval()\n", ""),
            (
                "        for xb, yb in valid_dl:\n            out = model(xb)\n",
                f"        for xb, yb in valid_dl:\n            out = model(xb){MARK}\n",
            ),
        ),
        accept=("statistics-updated-by-evaluation", "evaluation-not-deterministic"),
    ),
    Fault(
        "metric-wrong",
        (
            (
                "    valid_acc = 100 * v_correct / v_total\n",
                f"    valid_acc = 100 * v_correct / len(valid_dl){MARK}\n",
            ),
        ),
        note="divided by the number of batches",
    ),
    Fault(
        "learning-rate-too-high",
        ((ADAM, f"torch.optim.Adam(model.parameters(), lr=3.0){MARK}"),),
        accept=("loss-oscillates", "exploding-gradients", "loss-plateau", "dead-units"),
        note="Adam with 3",
    ),
    Fault(
        "learning-rate-too-low",
        ((ADAM, f"torch.optim.Adam(model.parameters(), lr=3e-6){MARK}"),),
        accept=("slow-convergence",),
    ),
    Fault(
        "loss-oscillates",
        (
            (ADAM, f"torch.optim.RMSprop(model.parameters(), lr=0.3){MARK}"),
            (COSINE, "torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)"),
        ),
        accept=("learning-rate-too-high",),
        note="it falls, but up and down, to three times the good loss",
    ),
    Fault(
        "dropout-too-strong",
        (
            (SECOND + "    nn.Dropout(0.2),\n", SECOND + f"    nn.Dropout(0.9),{MARK}\n"),
            (
                "    nn.ReLU(),\n    nn.Dropout(0.2),\n    nn.Linear(64, 64)",
                f"    nn.ReLU(),\n    nn.Dropout(0.9),{MARK}\n    nn.Linear(64, 64)",
            ),
        ),
        note="0.9 twice",
    ),
    Fault(
        "distribution-shift",
        (
            ("X_valid = scaler.transform(X_valid)\n", ""),
            (
                "valid_ds = TensorDataset(torch.tensor(X_valid, dtype=torch.float32)",
                "valid_ds = TensorDataset(torch.tensor(X_valid, dtype=torch.float32)",
            ),
        ),
        note="validation data not scaled",
    ),
    Fault(
        "labels-out-of-range",
        ((HEAD, f"    nn.Linear(64, 3),{MARK}\n)"),),
        accept=("shape-mismatch",),
        note="one class has no output",
    ),
    Fault(
        "data-not-shuffled",
        (
            (
                "X_train = scaler.fit_transform(X_train)\n",
                "order = np.argsort(y_train)\nX_train, y_train = X_train[order], y_train[order]\n"
                "X_train = scaler.fit_transform(X_train)\n",
            ),
            (
                "train_dl = DataLoader(train_ds, batch_size=128, shuffle=True)",
                f"train_dl = DataLoader(train_ds, batch_size=128){MARK}",
            ),
        ),
        note="sorted by label",
    ),
    Fault(
        "overfitting",
        (
            (SPLIT, SPLIT + "X_train, y_train = X_train[:250], y_train[:250]\n"),
            ("nn.Linear(20, 64),", "nn.Linear(20, 512),"),
            (
                "    nn.BatchNorm1d(64),\n    nn.ReLU(),\n    nn.Dropout(0.2),\n    nn.Linear(64, 64),\n    nn.BatchNorm1d(64),\n"
                "    nn.ReLU(),\n    nn.Dropout(0.2),\n    nn.Linear(64, 4)",
                "    nn.ReLU(),\n    nn.Linear(512, 512),\n    nn.ReLU(),\n    nn.Linear(512, 4)",
            ),
            ("batch_size=128", "batch_size=32"),
            ("EPOCHS = 14", "EPOCHS = 60"),
            (", weight_decay=1e-4", ""),
        ),
        accept=("too-little-data",),
        note="wide network on 250 rows",
    ),
)

TEMPLATES = (Template("kaggle-flat", SOURCE, FAULTS, VARIANTS),)
