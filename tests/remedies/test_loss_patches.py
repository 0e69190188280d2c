"""Patches of losses: what they are made for, shapes that spread, signs."""

from __future__ import annotations

import pytest
from mended import patched, place


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("loss = F.nll_loss(net(x), y)  # <-\n", "loss = F.cross_entropy(net(x), y)\n"),
        ("loss = nn.functional.nll_loss(net(x), y)  # <-\n", "loss = nn.functional.cross_entropy(net(x), y)\n"),
        ("criterion = nn.NLLLoss(reduction='sum')\nloss = criterion(net(x), y)  # <-\n",
         "criterion = nn.CrossEntropyLoss(reduction='sum')\nloss = criterion(net(x), y)\n"),
        ("class T:\n    def __init__(self):\n        self.loss_fn = nn.NLLLoss()\n\n    def step(self, x, y):\n"
         "        return self.loss_fn(self.net(x), y)  # <-\n",
         "class T:\n    def __init__(self):\n        self.loss_fn = nn.CrossEntropyLoss()\n\n"
         "    def step(self, x, y):\n"
         "        return self.loss_fn(self.net(x), y)\n"),
        ("from torch.nn.functional import nll_loss\nloss = nll_loss(net(x), y)  # <-\n",
         "from torch.nn.functional import nll_loss\nloss = F.cross_entropy(net(x), y)\n"),
        ("self.loss_fn = F.nll_loss\nloss = self.loss_fn(net(x), y)  # <-\n",
         "self.loss_fn = F.nll_loss\nloss = F.cross_entropy(net(x), y)\n"),
        ("loss = F.mse_loss(net(x), y)  # <-\n", None),
    ],
)  # fmt: skip
def test_nll_loss_becomes_cross_entropy(before: str, after: str | None) -> None:
    assert patched("use_cross_entropy", "nll-without-log-softmax", before) == after


def test_a_softmax_before_it_goes_too() -> None:
    before = "def step(x, y):\n    p = torch.softmax(net(x), 1)\n    return F.nll_loss(p, y)  # <-\n"
    after = "def step(x, y):\n    p = net(x)\n    return F.cross_entropy(p, y)\n"
    facts = place("nll_loss", before, made_by=["Softmax", "Addmm"])
    assert patched("use_cross_entropy", "nll-without-log-softmax", before, facts) == after


LABELS = {"target_whole": True, "target": [0.0, 9.0]}


@pytest.mark.parametrize(
    ("before", "seen", "after"),
    [
        ("loss = F.mse_loss(logits.mean(dim=1), y.float())  # <-\nright = logits.mean(dim=1).round() == y\n", LABELS,
         "loss = F.cross_entropy(logits, y.long())\nright = logits.argmax(1) == y\n"),
        ("loss = F.mse_loss(net(x), y[:, None].expand(-1, 10).float())  # <-\n", LABELS | {"target_repeated": True},
         "loss = F.cross_entropy(net(x), y.long())\n"),
        ("criterion = nn.L1Loss()\nloss = criterion(net(x).max(1), y.to(torch.float32))  # <-\n", LABELS,
         "criterion = nn.CrossEntropyLoss()\nloss = criterion(net(x), y.long())\n"),
        ("loss = F.cross_entropy(net(x), (y / 9).unsqueeze(1).expand(-1, 10))  # <-\n", {"target_repeated": True},
         "loss = F.cross_entropy(net(x), y.long())\n"),
        ("loss = F.mse_loss(net(x), y)  # <-\n", {"target_whole": False}, None),
        ("criterion = nn.MSELoss()\na = criterion(net(x).mean(1), y.float())  # <-\n"
         "b = criterion(h, z)\n", LABELS, None),
    ],
)  # fmt: skip
def test_classes_get_cross_entropy(before: str, seen: dict, after: str | None) -> None:
    marked = next(line for line in before.splitlines() if "# <-" in line).removesuffix("  # <-")
    facts = place(marked, before, function="mse_loss", **seen)
    assert patched("classes_need_cross_entropy", "loss-does-not-match-target", before, facts) == after


@pytest.mark.parametrize(
    ("before", "shapes", "after"),
    [
        ("loss = F.cross_entropy(net(x), t)  # <-\n", ([8, 1], [8, 1]), "loss = F.mse_loss(net(x), t)\n"),
        ("loss = F.cross_entropy(net(x), t)  # <-\n", ([8, 1], [8]), "loss = F.mse_loss(net(x).view_as(t), t)\n"),
        ("loss = F.cross_entropy(net(x), t)  # <-\n", ([8, 3], [8]), None),
    ],
)  # fmt: skip
def test_quantities_get_the_squared_error(before: str, shapes: tuple, after: str | None) -> None:
    seen = {
        "function": "cross_entropy",
        "target_whole": False,
        "input_shape": shapes[0],
        "target_shape": shapes[1],
    }
    facts = place("cross_entropy", before, **seen)
    assert patched("quantities_need_squared_error", "loss-does-not-match-target", before, facts) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("loss = F.mse_loss(net(x), y)  # <-\n", "loss = F.mse_loss(net(x).view_as(y), y)\n"),
        ("criterion = nn.MSELoss()\nfor x, y in data:\n    out = net(x)\n    loss = criterion(out, y)  # <-\n",
         "criterion = nn.MSELoss()\nfor x, y in data:\n    out = net(x)\n    loss = criterion(out, y.view_as(out))\n"),
        ("pred = net(x)\nloss = ((pred - y) ** 2).mean()\nloss.backward()  # <-\n",
         "pred = net(x)\nloss = ((pred - y.view_as(pred)) ** 2).mean()\nloss.backward()\n"),
        ("error = net(x) - y\nloss = error.pow(2).mean()\nloss.backward()  # <-\n",
         "error = net(x).view_as(y) - y\nloss = error.pow(2).mean()\nloss.backward()\n"),
        ("loss = torch.mean(torch.abs(net(x) - y))  # <-\n", "loss = torch.mean(torch.abs(net(x).view_as(y) - "
         "y))\n"),
        ("def mse(a, b):\n    d = a - b\n    return (d * d).mean()\n\nmse(net(x), y).backward()  # <-\n",
         "def mse(a, b):\n    d = a - b.view_as(a)\n    return (d * d).mean()\n\nmse(net(x), y).backward()\n"),
        ("class T:\n    def step(self, x, y):\n        out = self.net(x)\n"
         "        (out - y).square().mean().backward()  # <-\n",
         "class T:\n    def step(self, x, y):\n        out = self.net(x)\n"
         "        (out - y.view_as(out)).square().mean().backward()\n"),
        ("x = (x - x.mean(0)) / x.std(0)\nspread = ((x - mean) ** 2).mean()  # <-\n", None),
    ],
)  # fmt: skip
def test_predictions_and_targets_get_one_shape(before: str, after: str | None) -> None:
    assert patched("same_shape", "loss-broadcasts", before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("loss = -F.cross_entropy(net(x), y)  # <-\n", "loss = F.cross_entropy(net(x), y)\n"),
        ("loss = F.mse_loss(net(x), y)\n(-loss).backward()  # <-\n", "loss = F.mse_loss(net(x), y)\n"
         "loss.backward()\n"),
        ("loss = F.mse_loss(net(x), y)\n(loss * -1).backward()  # <-\n",
         "loss = F.mse_loss(net(x), y)\nloss.backward()\n"),
        ("loss = -1 * criterion(net(x), y)  # <-\n", "loss = criterion(net(x), y)\n"),
        ("mse = -((net(x) - y) ** 2).mean()\nmse.backward()  # <-\n", "mse = ((net(x) - y) ** 2).mean()\n"
         "mse.backward()\n"),
        ("ce = F.cross_entropy(a, y)\nloss = ce + -F.mse_loss(b, z)\nloss.backward()  # <-\n",
         "ce = F.cross_entropy(a, y)\nloss = ce + F.mse_loss(b, z)\nloss.backward()\n"),
        ("opt = torch.optim.SGD(p, lr=0.1, maximize=True)\nloss.backward()  # <-\n",
         "opt = torch.optim.SGD(p, lr=0.1, maximize=False)\nloss.backward()\n"),
        ("loss = F.mse_loss(net(x), y)\nloss *= -1\nloss.backward()  # <-\n",
         "loss = F.mse_loss(net(x), y)\nloss.backward()\n"),
        ("kl = 0.5 * torch.sum(1 + lv - mu ** 2 - lv.exp())\nloss = rec + kl\nloss.backward()  # <-\n",
         "kl = -0.5 * torch.sum(1 + lv - mu ** 2 - lv.exp())\nloss = rec + kl\nloss.backward()\n"),
        ("loss = dist.log_prob(x).mean()  # <-\n", "loss = -dist.log_prob(x).mean()\n"),
        ("loss = -dist.log_prob(x).mean()  # <-\n", None),
        ("loss = -torch.log(p).mean()\nloss.backward()  # <-\n", None),
        ("kl = -0.5 * torch.sum(1 + lv - mu ** 2 - lv.exp())  # <-\n", None),
        ("loss = F.mse_loss(net(x), y)\nloss.backward()  # <-\n", None),
    ],
)  # fmt: skip
def test_the_sign_of_a_loss_is_turned(before: str, after: str | None) -> None:
    assert patched("flip_sign", "loss-sign-flipped", before) == after
