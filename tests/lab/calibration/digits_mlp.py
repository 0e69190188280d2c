"""A perceptron on images of digits: one flat script, Adam, a loader, validation after every epoch."""

from program import MARK, Fault, Template

SOURCE = """\
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
x_train, x_val, y_train, y_val = train_test_split(images, labels, test_size=0.25, random_state=0)
mean, std = x_train.mean(), x_train.std()
x_train = torch.tensor((x_train - mean) / std, dtype=torch.float32)
x_val = torch.tensor((x_val - mean) / std, dtype=torch.float32)
y_train = torch.tensor(y_train)
y_val = torch.tensor(y_val)

train_loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)
val_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=128)

model = nn.Sequential(
    nn.Linear(64, 32),
    nn.ReLU(),
    nn.Linear(32, 32),
    nn.ReLU(),
    nn.Linear(32, 10),
)
optimizer = torch.optim.Adam(model.parameters(), lr=0.003)

for epoch in range(10):
    model.train()
    total = 0.0
    for xb, yb in train_loader:
        optimizer.zero_grad()
        logits = model(xb)
        loss = F.cross_entropy(logits, yb)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(xb)
    model.eval()
    correct, val_total = 0, 0.0
    with torch.no_grad():
        for xb, yb in val_loader:
            out = model(xb)
            val_total += F.cross_entropy(out, yb, reduction="sum").item()
            correct += (out.argmax(dim=1) == yb).sum().item()
    print(f"epoch {epoch}: train {total / len(x_train):.4f} val {val_total / len(x_val):.4f} "
          f"accuracy {correct / len(x_val):.4f}")
"""

ADAM = "torch.optim.Adam(model.parameters(), lr=0.003)"
STEP = "        loss.backward()\n        optimizer.step()\n"
LOSS = "loss = F.cross_entropy(logits, yb)"
LABELS = "y_train = torch.tensor(y_train)\n"
LAYERS = (
    "    nn.Linear(64, 32),\n    nn.ReLU(),\n    nn.Linear(32, 32),\n    nn.ReLU(),\n    nn.Linear(32, 10),\n"
)
DEEP = "    nn.Linear(64, 32),\n" + "    nn.Sigmoid(),\n    nn.Linear(32, 32),\n" * 8
DEEP += "    nn.Sigmoid(),\n    nn.Linear(32, 10),\n"


def layers(width: int, activation: str = "nn.ReLU()", between: str = "") -> str:
    return (
        f"    nn.Linear(64, {width}),\n{between}    {activation},\n    nn.Linear({width}, {width}),\n"
        f"{between}    {activation},\n    nn.Linear({width}, 10),\n"
    )


FAULTS = (
    Fault("gradients-not-cleared", (("        optimizer.zero_grad()\n", ""), (STEP, STEP.replace("()\n",
          f"(){MARK}\n")))),
    Fault("gradients-cleared-before-step", (("        optimizer.zero_grad()\n", ""), (STEP,
          f"        loss.backward()\n        optimizer.zero_grad(){MARK}\n        optimizer.step()\n")),),
    Fault("optimizer-never-steps", ((STEP, f"        loss.backward(){MARK}\n"),)),
    Fault("loss-detached", ((LOSS,
          f"loss = torch.tensor(F.cross_entropy(logits, yb).item(), requires_grad=True){MARK}"),)),
    Fault("graph-retained", (("total += loss.item() * len(xb)", f"total += loss * len(xb){MARK}"),)),
    Fault("dtype-mismatch", (("(x_train - mean) / std, dtype=torch.float32)", "(x_train - mean) / std)"),
          ("logits = model(xb)", f"logits = model(xb){MARK}"))),
    Fault("shape-mismatch", (("    nn.Linear(32, 10),", f"    nn.Linear(64, 10),{MARK}"), ("logits = model(xb)",
          f"logits = model(xb){MARK}"))),
    Fault("softmax-before-cross-entropy", (("    nn.Linear(32, 10),\n",
          f"    nn.Linear(32, 10),\n    nn.Softmax(dim=1),{MARK}\n"), (LOSS, LOSS + MARK))),
    Fault("no-nonlinearity", ((LAYERS,
          f"    nn.Linear(64, 32),{MARK}\n    nn.Linear(32, 32),{MARK}\n    nn.Linear(32, 10),{MARK}\n"),)),
    Fault("learning-rate-too-high", ((ADAM, ADAM.replace("0.003", "0.1")),), accept=("dead-units",
          "loss-oscillates"), note="x30"),
    Fault("learning-rate-too-high", ((ADAM, ADAM.replace("0.003", "1.0")),), accept=("dead-units", "loss-plateau"),
          note="x300"),
    Fault("learning-rate-too-low", ((ADAM, ADAM.replace("0.003", "1e-5")),), accept=("slow-convergence",),
          note="/300"),
    Fault("label-noise", ((LABELS, LABELS + "wrong = torch.rand(len(y_train)) < 0.4\n"
          "y_train[wrong] = torch.randint(0, 10, (int(wrong.sum()),))\n"),), accept=("overfitting",),
          note="0.4 of the labels"),
    Fault("labels-unrelated-to-input", (("images, labels = load_digits(return_X_y=True)\n",
          "images, labels = load_digits(return_X_y=True)\n"
          "labels = labels[torch.randperm(len(labels)).numpy()]\n"),), accept=("overfitting",)),
    Fault("data-not-shuffled", ((LABELS,
          "order = y_train.argsort()\nx_train, y_train = x_train[order], torch.tensor(y_train[order])\n"),
          ("batch_size=32, shuffle=True)", f"batch_size=32){MARK}"))),
    Fault("train-validation-overlap", (("images, labels, test_size=0.25, random_state=0)\n",
          "images, labels, test_size=0.25, random_state=0)\n"
          "x_val[:150], y_val[:150] = x_train[:150], y_train[:150]\n"),)),
    Fault("model-too-small", ((LAYERS, layers(1)),), accept=("underfitting",), note="one unit wide"),
    Fault("vanishing-gradients", ((LAYERS, DEEP),), accept=("saturated-activations", "loss-plateau"),
          note="ten layers of sigmoids"),
    Fault("symmetric-initialization", (("optimizer = torch",
          "for layer in model[::2]:\n    nn.init.constant_(layer.weight, 0.05)\n"
          "    nn.init.zeros_(layer.bias)\noptimizer = torch"),)),
    Fault("batch-size-too-small", (("batch_size=32", "batch_size=1"), ("range(10)", "range(3)"), ("lr=0.003",
          "lr=0.01")), accept=("learning-rate-too-high", "loss-oscillates", "dead-units"), note="1"),
    Fault("metric-wrong", (("accuracy {correct / len(x_val):.4f}", "accuracy {correct / len(val_loader):.4f}"),)),
    Fault("labels-out-of-range", (("    nn.Linear(32, 10),", f"    nn.Linear(32, 9),{MARK}"), (LOSS, LOSS + MARK))),
    Fault("weight-decay-too-strong", ((ADAM, ADAM.replace("0.003", "0.003, weight_decay=0.3")),),
          accept=("underfitting",), note="0.3"),
    Fault("too-little-data", ((LABELS, "x_train, y_train = x_train[:60], torch.tensor(y_train[:60])\n"),
          ("range(10)", "range(150)")), accept=("overfitting",), note="60 images"),
)  # fmt: skip

VARIANTS = (
    ("seed", (("torch.manual_seed(0)", "torch.manual_seed(7)"), ("random_state=0", "random_state=3"))),
    ("wide", ((LAYERS, layers(96)), (ADAM, ADAM.replace("0.003", "0.001")), ("range(10)", "range(8)"))),
    ("tanh-sgd", ((LAYERS, layers(32, "nn.Tanh()")), (ADAM,
     "torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)"))),
    ("batchnorm", ((LAYERS, layers(32, between="    nn.BatchNorm1d(32),\n")), ("range(10)", "range(8)"))),
    ("dropout-adamw", ((LAYERS, layers(64, "nn.GELU()", "    nn.Dropout(0.1),\n")), (ADAM,
     "torch.optim.AdamW(model.parameters(), lr=0.002, weight_decay=0.01)"))),
    ("batch-64", (("batch_size=32", "batch_size=64"), ("range(10)", "range(16)"))),
)  # fmt: skip

TEMPLATES = [Template("digits-mlp", SOURCE, FAULTS, VARIANTS)]
