"""A network of raw tensors and functions on the wine table: full batches, plain SGD, the author's own metrics."""

from program import MARK, Fault, Template

SOURCE = """\
import torch
from sklearn.datasets import load_wine

torch.manual_seed(12)
table = load_wine()
x = torch.tensor(table.data, dtype=torch.float)
y = torch.tensor(table.target)
x = (x - x.mean(0)) / x.std(0)
pick = torch.randperm(len(x))
train, held = pick[:128], pick[128:]


def weight(rows, columns):
    return (torch.randn(rows, columns) / rows**0.5).requires_grad_()


w1, b1 = weight(13, 16), torch.zeros(16, requires_grad=True)
w2, b2 = weight(16, 16), torch.zeros(16, requires_grad=True)
w3, b3 = weight(16, 3), torch.zeros(3, requires_grad=True)
params = [w1, b1, w2, b2, w3, b3]


def forward(inputs):
    h = torch.tanh(inputs @ w1 + b1)
    h = torch.tanh(h @ w2 + b2)
    return torch.log_softmax(h @ w3 + b3, dim=1)


sgd = torch.optim.SGD(params, lr=0.1, weight_decay=1e-3)
for epoch in range(200):
    log_probabilities = forward(x[train])
    loss = torch.nn.functional.nll_loss(log_probabilities, y[train])
    sgd.zero_grad()
    loss.backward()
    sgd.step()
    if epoch % 10 == 9:
        with torch.no_grad():
            answer = forward(x[held])
            held_loss = torch.nn.functional.nll_loss(answer, y[held])
            accuracy = (answer.argmax(1) == y[held]).float().mean()
        print(f"{epoch + 1} {loss:.4f} {held_loss:.4f} {accuracy:.4f}")
"""

H1, H2 = "    h = torch.tanh(inputs @ w1 + b1)\n", "    h = torch.tanh(h @ w2 + b2)\n"
RETURN = "    return torch.log_softmax(h @ w3 + b3, dim=1)\n"
LOSS = "    loss = torch.nn.functional.nll_loss(log_probabilities, y[train])\n"
MARKED = LOSS.replace("\n", f"{MARK}\n")
SGD = "torch.optim.SGD(params, lr=0.1, weight_decay=1e-3)"
CLEAR = "    sgd.zero_grad()\n"
STEP = "    loss.backward()\n    sgd.step()\n"
INIT = "    return (torch.randn(rows, columns) / rows**0.5).requires_grad_()\n"
STANDARD = "x = (x - x.mean(0)) / x.std(0)\n"
SPLIT = "train, held = pick[:128], pick[128:]\n"
LABELS = "y = torch.tensor(table.target)\n"

FAULTS = (
    Fault("nll-without-log-softmax", ((RETURN, f"    return h @ w3 + b3{MARK}\n"), (LOSS, MARKED))),
    Fault("softmax-wrong-dimension", ((RETURN, f"    return torch.log_softmax(h @ w3 + b3, dim=0){MARK}\n"), (LOSS,
          MARKED)), accept=("nll-without-log-softmax",)),
    Fault("single-unit-softmax", (("weight(16, 3), torch.zeros(3, requires_grad=True)",
          "weight(16, 1), torch.zeros(1, requires_grad=True)"), (LABELS,
          "y = (torch.tensor(table.target) == 1).float()\n"), (RETURN,
          f"    return torch.softmax(h @ w3 + b3, dim=1)[:, 0]{MARK}\n"), (LOSS,
          f"    loss = torch.nn.functional.binary_cross_entropy(log_probabilities, y[train]){MARK}\n"),
          ("            held_loss = torch.nn.functional.nll_loss(answer, y[held])\n",
          "            held_loss = torch.nn.functional.binary_cross_entropy(answer, y[held])\n"),
          ("(answer.argmax(1) == y[held])", "((answer > 0.5) == y[held])"))),
    Fault("loss-does-not-match-target", ((RETURN, "    return h @ w3 + b3\n"), (LOSS,
          "    loss = torch.nn.functional.mse_loss(log_probabilities, y[train].float()[:, "
          f"None].expand(-1, 3)){MARK}\n")), note="squared error on class labels"),
    Fault("loss-oscillates", ((SGD, "torch.optim.SGD(params, lr=30.0)"),), accept=("learning-rate-too-high",
          "saturated-activations", "exploding-gradients"), note="full batches at 30"),
    Fault("loss-oscillates", ((SGD, "torch.optim.SGD(params, lr=1.0, momentum=0.99)"), (H1, H1.replace("torch.tanh",
          "torch.relu")), (H2, H2.replace("torch.tanh", "torch.relu"))), accept=("learning-rate-too-high",
          "exploding-gradients", "dead-units", "loss-not-finite"), note="momentum of 0.99, ReLU"),
    Fault("loss-plateau", ((SGD, "torch.optim.SGD(params, lr=0.1)"), (INIT,
          "    return (torch.randn(rows, columns) * 1e-4).requires_grad_()\n")), accept=("vanishing-gradients",
          "symmetric-initialization", "badly-scaled-initialization", "learning-rate-too-low"),
          note="weights of deviation 0.0001"),
    Fault("vanishing-gradients", ((H1, H1.replace("torch.tanh", "torch.sigmoid")), (H2,
          "    for _ in range(6):\n        h = torch.sigmoid(h @ w2 + b2)\n")), accept=("loss-plateau",
          "saturated-activations"), note="seven sigmoids"),
    Fault("saturated-activations", ((INIT, "    return (torch.randn(rows, columns) * 50).requires_grad_()\n"),),
          accept=("badly-scaled-initialization", "vanishing-gradients"), note="weights of deviation 50"),
    Fault("badly-scaled-initialization", ((INIT, "    return (torch.randn(rows, columns) * 4).requires_grad_()\n"),
          (H1, H1.replace("torch.tanh", "torch.relu")), (H2, H2.replace("torch.tanh", "torch.relu")), (SGD,
          "torch.optim.SGD(params, lr=0.001)")), accept=("exploding-gradients", "learning-rate-too-low",
          "slow-convergence"), note="deviation 4, ReLU"),
    Fault("exploding-gradients", ((INIT, "    return (torch.randn(rows, columns) * 1.6).requires_grad_()\n"), (H1,
          H1.replace("torch.tanh", "torch.relu")), (H2,
          "    for _ in range(5):\n        h = torch.relu(h @ w2 + b2)\n"), (SGD,
          "torch.optim.SGD(params, lr=0.002)")), accept=("badly-scaled-initialization", "learning-rate-too-high",
          "loss-not-finite", "dead-units"), note="one matrix five times, deviation 1.6, ReLU"),
    Fault("symmetric-initialization", ((INIT, "    return torch.zeros(rows, columns).requires_grad_()\n"),),
          accept=("loss-plateau",), note="zeros"),
    Fault("symmetric-initialization", ((INIT, "    return torch.full((rows, columns), 0.3).requires_grad_()\n"),),
          note="all 0.3"),
    Fault("input-not-normalized", ((STANDARD, ""),), accept=("saturated-activations", "loss-plateau"),
          note="raw columns from 0.1 to 1600"),
    Fault("slow-convergence", ((SGD, "torch.optim.SGD(params, lr=2e-3)"),), accept=("learning-rate-too-low",
          "underfitting"), note="SGD at 0.002"),
    Fault("learning-rate-too-low", ((SGD, "torch.optim.SGD(params, lr=1e-4)"),), accept=("slow-convergence",),
          note="/1000"),
    Fault("weight-decay-too-strong", ((SGD, "torch.optim.SGD(params, lr=0.1, weight_decay=0.5)"),),
          accept=("underfitting",), note="0.5"),
    Fault("gradients-not-cleared", ((CLEAR, ""), (STEP, STEP.replace("()\n", f"(){MARK}\n")))),
    Fault("parameters-not-in-optimizer", (("params = [w1, b1, w2, b2, w3, b3]\n", f"params = [w1, b1]{MARK}\n"),
          (SGD, SGD + MARK)), note="two of three layers are left out"),
    Fault("parameters-not-in-optimizer", (("sgd = ", f"w3 = weight(16, 3){MARK}\nsgd = "),),
          note="made anew after the list"),
    Fault("labels-unrelated-to-input", ((LABELS, "y = torch.tensor(table.target)[torch.randperm(178)]\n"),),
          accept=("overfitting",)),
    Fault("metric-wrong", (("accuracy = (answer.argmax(1) == y[held]).float().mean()",
          f"accuracy = (answer.argmax(1) == y[held]).float().sum() / 10{MARK}"),), note="divided by 10"),
    Fault("loss-sign-flipped", ((LOSS,
          f"    loss = -torch.nn.functional.nll_loss(log_probabilities, y[train]){MARK}\n"),)),
)  # fmt: skip

VARIANTS = (
    ("seed", (("torch.manual_seed(12)", "torch.manual_seed(112)"),)),
    ("relu", ((H1, H1.replace("torch.tanh", "torch.relu")), (H2, H2.replace("torch.tanh", "torch.relu")))),
    ("adam", ((SGD, "torch.optim.Adam(params, lr=0.003, weight_decay=1e-3)"),)),
    ("manual", ((SGD, "None"), (CLEAR, ""), ("    sgd.step()\n",
     "    with torch.no_grad():\n        for p in params:\n            p -= 0.1 * p.grad\n"
     "            p.grad = None\n"))),
    ("cross-entropy", ((RETURN, "    return h @ w3 + b3\n"), (LOSS, LOSS.replace("nll_loss", "cross_entropy")),
     ("held_loss = torch.nn.functional.nll_loss", "held_loss = torch.nn.functional.cross_entropy"))),
)  # fmt: skip

TEMPLATES = [Template("raw-tensors", SOURCE, FAULTS, VARIANTS)]
