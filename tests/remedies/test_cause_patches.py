"""Patches of what causes a training to go as it goes: a text before and after, for several ways to write it."""

from __future__ import annotations

from typing import Any

import pytest
from mended import mended, plain

THREAD = {"threads": [{"name": "", "steps": 200}]}


def labels(function: str, text: str, line: int) -> dict[str, Any]:
    place = {"function": function, "part": "train", "where": {"line": line, "text": text}, "counts": [90, 10]}
    return {"signals": {"labels": {"places": [place]}}}


def scaled(size: float) -> dict[str, Any]:
    """Facts of an input of one feature."""
    each = {"mean": [0.0], "std": [size]}
    return {"signals": {"input_statistics": {"threads": {"": {"each": each, "dtype": "float32"}}}}}


CLIPPED = {
    "by the name of the model": (
        "import torch\nopt = torch.optim.SGD(net.parameters(), lr=1)\nloss.backward()\nopt.step()\n",
        "import torch\nopt = torch.optim.SGD(net.parameters(), lr=1)\nloss.backward()\n"
        "torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)\nopt.step()\n",
    ),
    "by the optimizer": (
        "from torch import nn\n\ndef train(optimizer):\n    loss.backward()\n    optimizer.step()\n",
        "from torch import nn\n\ndef train(optimizer):\n    loss.backward()\n"
        '    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)\n'
        "    optimizer.step()\n",
    ),
    "with a scaler": (
        "import torch\nscaler.scale(loss).backward()\nscaler.step(opt)\n",
        "import torch\nscaler.scale(loss).backward()\nscaler.unscale_(opt)\n"
        'torch.nn.utils.clip_grad_norm_([p for group in opt.param_groups for p in group["params"]], 1.0)\n'
        "scaler.step(opt)\n",
    ),
}


@pytest.mark.parametrize(("before", "clipped"), CLIPPED.values(), ids=CLIPPED)
def test_gradients_are_clipped_before_the_step(before: str, clipped: str) -> None:
    assert mended("clip_gradients", before) == clipped


def test_gradients_are_clipped_to_what_is_usual() -> None:
    text = CLIPPED["by the optimizer"][0]
    assert '["params"]], 0.2)' in mended("clip_gradients", text, gradient__norm=[0.1, 0.2, 90.0])
    assert '["params"]], 1.0)' in mended("clip_gradients", text, gradient__norm=[80.0, 90.0, float("nan")])


def test_what_is_clipped_is_left_alone() -> None:
    text = "import torch\nclip_grad_norm_(p, 9.0)\nopt.step()\n"
    assert mended("clip_gradients", text) == text


@pytest.mark.parametrize(
    ("before", "weaker"),
    [
        ("o = Adam(p, weight_decay=0.5)\n", "o = Adam(p, weight_decay=0)\n"),
        ("WD = 0.5\no = Adam(p, weight_decay=WD)\n", "WD = 0\no = Adam(p, weight_decay=WD)\n"),
        (
            "l2 = 0.5\nloss = f(x) + l2 * sum(p.pow(2).sum() for p in net.parameters())\n",
            "l2 = 0\nloss = f(x) + l2 * sum(p.pow(2).sum() for p in net.parameters())\n",
        ),
        ("a = sum(p.norm() for p in m.parameters()) * 0.5\n", "a = sum(p.norm() for p in m.parameters()) * 0\n"),
        ("o = Adam(p)\n", "o = Adam(p)\n"),
        ("x = 2 * sum(p.numel() for p in m.parameters())\n", "x = 2 * sum(p.numel() for p in m.parameters())\n"),
    ],
)  # fmt: skip
def test_weight_decay_gets_weaker(before: str, weaker: str) -> None:
    assert mended("weaker_weight_decay", before) == weaker


@pytest.mark.parametrize(
    ("before", "stronger"),
    [
        ("o = Adam(p, weight_decay=1e-3)\n", "o = Adam(p, weight_decay=0.01)\n"),
        ("o = SGD(p, lr=1)\n", "o = SGD(p, lr=1, weight_decay=0.001)\n"),
        ("o = AdamW(p)\n", "o = AdamW(p, weight_decay=0.1)\n"),
        ("o = LBFGS(p)\n", "o = LBFGS(p)\n"),
        ("o = Adam(p, **more)\n", "o = Adam(p, **more)\n"),
    ],
)
def test_weight_decay_gets_stronger(before: str, stronger: str) -> None:
    assert mended("stronger_weight_decay", before) == stronger


ACTIVATED = {
    "a sequence": (
        "m = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1), nn.Sigmoid())\n",
        "m = nn.Sequential(nn.Linear(2, 3), nn.LeakyReLU(), nn.Linear(3, 1), nn.Sigmoid())\n",
    ),
    "functions": (
        "import torch\n\ndef forward(self, x):\n    h = torch.tanh(self.a(x))\n    return torch.tanh(self.b(h))\n",
        "import torch\n\ndef forward(self, x):\n    h = torch.nn.functional.leaky_relu(self.a(x))\n"
        "    return torch.tanh(self.b(h))\n",
    ),
    "products": (
        "import torch\nfor w in ws:\n    x = torch.sigmoid(x @ w + b)\n",
        "import torch\nfor w in ws:\n    x = torch.nn.functional.leaky_relu(x @ w + b)\n",
    ),
    "a gate": ("import torch\ng = torch.sigmoid(self.a(x))\ny = g * x\nself.b(g)\n", None),
    "another one": ("m = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))\n", None),
}


@pytest.mark.parametrize(("before", "better"), ACTIVATED.values(), ids=ACTIVATED)
def test_hidden_activations_are_exchanged(before: str, better: str | None) -> None:
    assert mended("better_activation", before, finding="vanishing-gradients") == (better or before)


def test_dead_units_get_a_leak() -> None:
    text = "m = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))\n"
    assert mended("better_activation", text, finding="dead-units") == text.replace("nn.ReLU", "nn.LeakyReLU")


@pytest.mark.parametrize(
    ("before", "dose", "better"),
    [
        ("a = 1\nnn.init.constant_(m.bias, -20.0)  # <-\n", 0, "a = 1\n"),
        ("a = 1\nnn.init.normal_(m.weight, std=9)  # <-\n", 1, "a = 1\nnn.init.xavier_uniform_(m.weight)\n"),
        ("for p in m.parameters():\n    p.data.fill_(3.0)  # <-\nf()\n", 0, "f()\n"),
        (
            "import torch\nw = (torch.randn(3, n + 1) * 50).requires_grad_()\nx @ w\n",
            0,
            "import torch\nw = (torch.randn(3, n + 1) / 3**0.5).requires_grad_()\nx @ w\n",
        ),
        ("opt = SGD(p)  # <-\n", 0, "opt = SGD(p)\n"),
        ("p.grad.zero_()  # <-\n", 0, "p.grad.zero_()\n"),
    ],
)
def test_weights_begin_well(before: str, dose: int, better: str) -> None:
    assert mended("better_initialization", before, dose=dose, finding="saturated-activations") == better


STANDARDIZED = {
    "parts": (
        "x_train, x_val = x[:9], x[9:]\ny_train, y_val = y[:9], y[9:]\n",
        "x_train, x_val = x[:9], x[9:]\nmean, std = x_train.mean(0), x_train.std(0)\nstd[std == 0] = 1\n"
        "x_train = (x_train - mean) / std\nx_val = (x_val - mean) / std\ny_train, y_val = y[:9], y[9:]\n",
    ),
    "capitals, three parts": (
        "def main():\n    X_train = a\n    X_test = b\n    X_val = c\n",
        "def main():\n    X_train = a\n    X_test = b\n    X_val = c\n"
        "    mean, std = X_train.mean(0), X_train.std(0)\n    std[std == 0] = 1\n"
        "    X_train = (X_train - mean) / std\n    X_val = (X_val - mean) / std\n    X_test = (X_test - mean) / std\n",
    ),
    "images": (
        "train_images, test_images = f()\n",
        "train_images, test_images = f()\nmean, std = train_images.mean(0), train_images.std(0)\nstd[std == 0] = 1\n"
        "train_images = (train_images - mean) / std\ntest_images = (test_images - mean) / std\n",
    ),
    "labels": ("y_train, y_val = y[:9], y[9:]\n", None),
    "one part": ("x_train = x[:9]\n", None),
    "losses": ("train_loss, val_loss = f()\n", None),
    "loaders": ("train_loader = a\nval_loader = b\n", None),
    "in a loop": ("for fold in folds:\n    x_train, x_val = f(fold)\n", None),
}


@pytest.mark.parametrize(("before", "better"), STANDARDIZED.values(), ids=STANDARDIZED)
def test_inputs_are_standardized_by_the_training_part(before: str, better: str | None) -> None:
    assert mended("standardize_inputs", before, facts=scaled(80.0)) == (better or before)


def test_inputs_of_usual_scale_are_left_alone() -> None:
    text = STANDARDIZED["parts"][0]
    assert mended("standardize_inputs", text, facts=scaled(1.0)) == text
    assert mended("standardize_inputs", text) == text


@pytest.mark.parametrize(
    ("before", "guarded"),
    [
        ("a = torch.log(p)  # <-\n", "a = torch.log(p.clamp_min(1e-8))\n"),
        ("a = (x + y).sqrt()  # <-\n", "a = (x + y).clamp_min(1e-12).sqrt()\n"),
        ("a = torch.log(1 - p)  # <-\n", "a = torch.log((1 - p).clamp_min(1e-8))\n"),
        ("a = torch.log(p + 1e-6)  # <-\n", "a = torch.log(p + 1e-6)\n"),
        ("a = torch.log(p)\n", "a = torch.log(p)\n"),
    ],
)
def test_operations_are_guarded(before: str, guarded: str) -> None:
    assert mended("guard_operation", "import torch\n" + before) == "import torch\n" + guarded


@pytest.mark.parametrize(
    ("function", "before", "weighted"),
    [
        ("cross_entropy", "loss = F.cross_entropy(o, y)", "weight=torch.tensor([0.556, 5], device=o.device)"),
        ("binary_cross_entropy_with_logits", "c = nn.BCEWithLogitsLoss()", "pos_weight=torch.tensor([9])"),
    ],
)
def test_classes_are_weighted_by_their_counts(function: str, before: str, weighted: str) -> None:
    text = f"import torch\n{before}\n"
    facts = labels(function, before, 2)
    assert weighted in mended("class_weights", text, facts=facts)
    assert (
        mended("class_weights", text + "# another\n", facts=labels(function, "other", 2))
        == text + "# another\n"
    )


def test_a_loss_that_evaluates_too_keeps_its_meaning() -> None:
    text = "import torch\nloss = F.cross_entropy(o, y)\n"
    facts = labels("cross_entropy", "loss = F.cross_entropy(o, y)", 2)
    (place,) = facts["signals"]["labels"]["places"]
    facts["signals"]["labels"]["places"].append(place | {"part": "val"})
    assert mended("class_weights", text, facts=facts) == text


def test_labels_are_smoothed() -> None:
    text = "loss = F.cross_entropy(o, y)"
    assert mended("label_smoothing", text, facts=labels("cross_entropy", text, 1)) == (
        "loss = F.cross_entropy(o, y, label_smoothing=0.1)\n"
    )


@pytest.mark.parametrize(
    ("before", "shuffled"),
    [
        ("a = DataLoader(d, batch_size=3)  # <-\n", "a = DataLoader(d, batch_size=3, shuffle=True)\n"),
        ("a = DataLoader(d, 3, False)\n", "a = DataLoader(d, 3, True)\n"),
        (
            "for i in batches(n, shuffle=False):  # <-\n    f(i)\n",
            "for i in batches(n, shuffle=True):\n    f(i)\n",
        ),
        ("a = DataLoader(d, sampler=s)  # <-\n", None),
        ("a = DataLoader(d, shuffle=True)  # <-\n", None),
        ("val_loader = DataLoader(d, shuffle=False)\n", None),
    ],
)
def test_training_data_is_shuffled(before: str, shuffled: str | None) -> None:
    assert mended("shuffle_training_data", before) == (shuffled or plain(before))


@pytest.mark.parametrize(
    ("before", "adam"),
    [
        ("opt = torch.optim.SGD(p, lr=0.1, momentum=0.9)\n", "opt = torch.optim.Adam(p, lr=0.001)\n"),
        (
            "opt = torch.optim.SGD(p, 0.1, weight_decay=w)\n",
            "opt = torch.optim.Adam(p, lr=0.001, weight_decay=w)\n",
        ),
        ("opt = torch.optim.Adam(p)\n", None),
        ("opt = torch.optim.SGD([{'params': p}], lr=1)\n", None),
    ],
)
def test_sgd_becomes_adam(before: str, adam: str | None) -> None:
    assert mended("use_adam", "import torch\n" + before) == "import torch\n" + (adam or before)


def test_training_takes_longer_and_its_schedule_too() -> None:
    text = "s = CosineAnnealingLR(opt, T_max=20)\nfor epoch in range(20):\n    loss.backward()\n"
    assert mended("train_longer", text) == text.replace("20", "60")


def test_training_stops_where_held_out_data_was_predicted_best() -> None:
    text = "for epoch in range(10):\n    loss.backward()\n"
    best = [1.0, 0.8, 0.7, 0.75, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3]
    assert mended("stop_earlier", text, loss__val=best) == text.replace("10", "5")
    assert mended("stop_earlier", text, loss__val=sorted(best, reverse=True)) == text
    assert mended("stop_earlier", text) == text


def test_dropout_and_norms_are_added_between_hidden_layers() -> None:
    text = "m = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))\n"
    assert "nn.ReLU(), nn.Dropout(0.3), nn.Linear(3, 1)" in mended("add_dropout", text)
    assert "nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU()" in mended("add_normalization", text)
    table = {"signals": {"layers": {"table": [{"class": "Linear", "output": [2, 9, 3]}]}}}
    assert mended("add_normalization", text, facts=table) == text, "rows of sequences"


@pytest.mark.parametrize(
    ("before", "weaker"),
    [
        ("a = nn.Dropout(0.8)  # <-\nb = nn.Dropout(0.2)\n", "a = nn.Dropout(0.2)\nb = nn.Dropout(0.2)\n"),
        ("p = 0.8\nx = F.dropout(x, p, self.training)\n", "p = 0.2\nx = F.dropout(x, p, self.training)\n"),
        ("a = nn.Dropout()\n", "a = nn.Dropout(p=0.125)\n"),
    ],
)
def test_dropout_gets_weaker(before: str, weaker: str) -> None:
    assert mended("weaker_dropout", before) == weaker


def test_batch_norm_gives_way_to_group_norm() -> None:
    assert mended("replace_batch_norm", "a = nn.BatchNorm2d(2 * n)\n") == "a = nn.GroupNorm(1, 2 * n)\n"


def test_rates_warm_up_and_decay() -> None:
    text = (
        "import torch\nopt = torch.optim.SGD(p, lr=1)\nfor x in data:\n    loss.backward()\n    opt.step()\n"
    )
    warm = mended("warm_up", text, facts=THREAD)
    assert "schedule = torch.optim.lr_scheduler.LinearLR(opt, start_factor=0.01, total_iters=20)\n" in warm
    assert warm.endswith("    opt.step()\n    schedule.step()\n")
    assert "CosineAnnealingLR(opt, T_max=200)" in mended("decay_the_rate", text, facts=THREAD)
    assert mended("warm_up", text) == text, "nobody knows how long it takes"
