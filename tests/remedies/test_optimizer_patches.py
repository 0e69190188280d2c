"""Patches of what an optimizer holds, of its steps and of its schedule."""

from __future__ import annotations

from typing import Any

import pytest
from mended import mended

STEPPED = {
    "forgotten": (
        "opt = Adam(w)\nfor x in d:\n    opt.zero_grad()\n    f(x).backward()  # <-\n    log(x)\n",
        "opt = Adam(w)\nfor x in d:\n    opt.zero_grad()\n    f(x).backward()\n    opt.step()\n    log(x)\n",
    ),
    "behind clipping": (
        "def train(model, loader, optimizer):\n    for x in loader:\n        f(model(x)).backward()  # <-\n"
        "        clip_grad_norm_(model.parameters(), 1.0)\n        seen += 1\n",
        "def train(model, loader, optimizer):\n    for x in loader:\n        f(model(x)).backward()\n"
        "        clip_grad_norm_(model.parameters(), 1.0)\n        optimizer.step()\n        seen += 1\n",
    ),
    "before it is cleared": (
        "optim = Adam(w)\nfor x in d:\n    f(x).backward()  # <-\n    if x % 4 == 0:\n        optim.zero_grad()\n",
        "optim = Adam(w)\nfor x in d:\n    f(x).backward()\n    if x % 4 == 0:\n        optim.step()\n"
        "        optim.zero_grad()\n",
    ),
    "without brackets": (
        "for x in d:\n    f(x).backward()  # <-\n    opt_g.step\n",
        "for x in d:\n    f(x).backward()\n    opt_g.step()\n",
    ),
    "a rate of zero": (
        "opt = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9)  # <-\n",
        "opt = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)\n",
    ),
    "a rate of zero by name": (
        "LR = 0\nopt = Adam(net.parameters(), lr=LR)  # <-\n",
        "LR = 0.001\nopt = Adam(net.parameters(), lr=LR)\n",
    ),
    "mixed precision": (
        "optimizer = AdamW(w)\nfor x in d:\n    optimizer.zero_grad()\n    scaler.scale(f(x)).backward()  # <-\n",
        "optimizer = AdamW(w)\nfor x in d:\n    optimizer.zero_grad()\n    scaler.scale(f(x)).backward()\n"
        "    scaler.step(optimizer)\n    scaler.update()\n",
    ),
    "mixed precision, updated without a step": (
        "optimizer = AdamW(w)\nfor x in d:\n    scaler.scale(f(x)).backward()  # <-\n    scaler.update()\n",
        "optimizer = AdamW(w)\nfor x in d:\n    scaler.scale(f(x)).backward()\n    scaler.step(optimizer)\n"
        "    scaler.update()\n",
    ),
    "the wrong optimizer": (
        "a_opt, b_opt = Adam(a), Adam(b)\nfor x in d:\n    a_opt.zero_grad()\n    f(x).backward()\n    a_opt.step()\n"
        "    b_opt.zero_grad()\n    g(x).backward()  # <-\n    a_opt.step()\n",
        "a_opt, b_opt = Adam(a), Adam(b)\nfor x in d:\n    a_opt.zero_grad()\n    f(x).backward()\n    a_opt.step()\n"
        "    b_opt.zero_grad()\n    g(x).backward()\n    b_opt.step()\n",
    ),
    "a closure that is called": (
        "o = torch.optim.LBFGS(w)\ndef closure():\n    o.zero_grad()\n    l = f()\n    l.backward()\n    return l\n"
        "for i in r:\n    closure()  # <-\n",
        "o = torch.optim.LBFGS(w)\ndef closure():\n    o.zero_grad()\n    l = f()\n    l.backward()\n    return l\n"
        "for i in r:\n    o.step(closure)\n",
    ),
    "out of reach: nothing is done": (
        "def train(model, d):\n    for x in d:\n        f(model(x)).backward()  # <-\ndef main():\n"
        "    optimizer = Adam(w)\n    train(model, d)\n",
        "def train(model, d):\n    for x in d:\n        f(model(x)).backward()\ndef main():\n"
        "    optimizer = Adam(w)\n    train(model, d)\n",
    ),
}


def missing(*models: str, known: tuple[str, ...] = ()) -> dict[str, Any]:
    """Facts of parameters that no optimizer holds."""
    tensors = [{"model": model or None, "name": "weight"} for model in models]
    coverage = {"not_in_optimizer": {"tensors": tensors}, "models": [{"name": name} for name in known]}
    return {"signals": {"coverage": coverage}}


HELD = {
    "a head that is replaced later": (
        missing("model", known=("model",)),
        "model = resnet18()\noptimizer = Adam(model.parameters())  # <-\nmodel.fc = nn.Linear(512, 10)\n"
        "train(model)\n",
        "model = resnet18()\nmodel.fc = nn.Linear(512, 10)\noptimizer = Adam(model.parameters())\ntrain(model)\n",
    ),
    "with its scheduler": (
        missing("Net"),
        "def main():\n    opt = SGD(net.parameters(), lr=1)  # <-\n    sched = StepLR(opt, 3)\n    net = Net()\n",
        "def main():\n    net = Net()\n    opt = SGD(net.parameters(), lr=1)\n    sched = StepLR(opt, 3)\n",
    ),
    "some of the layers": (
        missing("model", known=("model",)),
        "opt = SGD(self.model.body.parameters(), 1)  # <-\n",
        "opt = SGD(self.model.parameters(), 1)\n",
    ),
    "another model": (
        missing("Head"),
        "body, head = Body(), Head()\nopt = Adam(body.parameters(), lr=1)  # <-\n",
        "body, head = Body(), Head()\nopt = Adam([*body.parameters(), *head.parameters()], lr=1)\n",
    ),
    "another model, by groups": (
        missing("Head"),
        'body, head = Body(), Head()\nopt = Adam([{"params": body.parameters(), "lr": 2}], lr=1)  # <-\n',
        'body, head = Body(), Head()\nopt = Adam([{"params": body.parameters(), "lr": 2}, '
        '{"params": head.parameters()}], lr=1)\n',
    ),
    "one of its kind": (
        missing("Net"),
        "net = Net(3)\nopt = Adam(Net(3).parameters())  # <-\n",
        "net = Net(3)\nopt = Adam(net.parameters())\n",
    ),
    "layers in a list": (
        missing("Linear"),
        "class Net(nn.Module):\n    def __init__(self):\n        self.layers = [nn.Linear(3, 3) for _ in range(2)]\n"
        "opt = Adam(net.parameters())  # <-\n",
        "class Net(nn.Module):\n    def __init__(self):\n"
        "        self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(2)])\nopt = Adam(net.parameters())\n",
    ),
    "plain tensors": (
        missing(""),
        "w = torch.randn(3, requires_grad=True)\nb = torch.zeros(3).requires_grad_()\nopt = SGD([w], lr=1)  # <-\n",
        "w = torch.randn(3, requires_grad=True)\nb = torch.zeros(3).requires_grad_()\nopt = SGD([w, b], lr=1)\n",
    ),
    "nothing is known: nothing is done": (
        missing("Unknown"),
        "opt = Adam(net.parameters())  # <-\n",
        "opt = Adam(net.parameters())\n",
    ),
}

FROZEN = {
    "a loop": (
        "for p in net.parameters():\n    p.requires_grad = False  # <-\nopt = Adam(net.parameters())\n",
        "opt = Adam(net.parameters())\n",
    ),
    "a loop with a condition": (
        "for n, p in net.named_parameters():\n    if 'head' in n:\n        p.requires_grad_(False)  # <-\nx = 1\n",
        "x = 1\n",
    ),
    "several parts of a model, but not of another": (
        "teacher.requires_grad_(False)\nnet.a.requires_grad_(False)  # <-\nnet.b.requires_grad_(False)\n",
        "teacher.requires_grad_(False)\n",
    ),
    "in an expression": (
        "head = nn.Linear(3, 3).requires_grad_(False)  # <-\n",
        "head = nn.Linear(3, 3).requires_grad_(True)\n",
    ),
    "alone in a function": (
        "def freeze(net):\n    for p in net.parameters():\n        p.requires_grad = False  # <-\n",
        "def freeze(net):\n    pass\n",
    ),
}

SCHEDULED = {
    "each batch instead of each epoch": (
        "s = StepLR(opt, 3)\nfor e in r:\n    for x in d:\n        opt.step()\n        s.step()  # <-\n    log(e)\n",
        "s = StepLR(opt, 3)\nfor e in r:\n    for x in d:\n        opt.step()\n    s.step()\n    log(e)\n",
    ),
    "before the optimizer": (
        "for e in r:\n    for x in d:\n        scheduler.step()  # <-\n        opt.step()\n",
        "for e in r:\n    for x in d:\n        opt.step()\n        scheduler.step()\n",
    ),
    "at the head of an epoch": (
        "for e in r:\n    self.scheduler.step()  # <-\n    for x in d:\n        self.opt.step()\n    test()\n",
        "for e in r:\n    for x in d:\n        self.opt.step()\n    self.scheduler.step()\n    test()\n",
    ),
    "each epoch instead of each batch": (
        "s = OneCycleLR(opt, 1.0, total_steps=5 * len(d))\nfor e in r:\n    for x in d:\n        opt.step()\n"
        "    s.step()  # <-\n",
        "s = OneCycleLR(opt, 1.0, total_steps=5 * len(d))\nfor e in r:\n    for x in d:\n        opt.step()\n"
        "        s.step()\n",
    ),
    "one loop: nothing is done": (
        "s = StepLR(opt, 3)\nfor x in d:\n    opt.step()\n    s.step()  # <-\n",
        "s = StepLR(opt, 3)\nfor x in d:\n    opt.step()\n    s.step()\n",
    ),
}


@pytest.mark.parametrize("name", STEPPED)
def test_the_optimizer_takes_its_steps(name: str) -> None:
    before, after = STEPPED[name]
    assert mended("step_optimizer", before) == after


@pytest.mark.parametrize("name", HELD)
def test_the_optimizer_holds_all_parameters(name: str) -> None:
    facts, before, after = HELD[name]
    assert mended("give_all_parameters", before, facts=facts) == after


@pytest.mark.parametrize("name", FROZEN)
def test_what_should_learn_is_not_frozen(name: str) -> None:
    before, after = FROZEN[name]
    assert mended("unfreeze", before) == after


@pytest.mark.parametrize("name", SCHEDULED)
def test_the_scheduler_is_stepped_as_it_was_planned(name: str) -> None:
    before, after = SCHEDULED[name]
    assert mended("follow_schedule", before) == after


def test_the_rate_is_kept_without_the_scheduler() -> None:
    before = "for x in d:\n    opt.step()\n    scheduler.step()  # <-\n"
    assert mended("hold_rate", before) == "for x in d:\n    opt.step()\n"
    assert mended("hold_rate", "for x in d:\n    opt.step()  # <-\n") == "for x in d:\n    opt.step()\n"
