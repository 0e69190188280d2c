"""Patches of when gradients are cleared and clipped, in the styles in which training loops are written."""

from __future__ import annotations

import pytest
from mended import mended

CLEARED = {
    "flat script, the line of the step": (
        """\
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for x, y in loader:
    loss = f(net(x), y)
    loss.backward()
    opt.step()  # <-
""",
        """\
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for x, y in loader:
    loss = f(net(x), y)
    opt.zero_grad()
    loss.backward()
    opt.step()
""",
    ),
    "accumulation, the line of backward": (
        """\
def train_one_epoch(model, loader, optimizer, k):
    for i, (x, y) in enumerate(loader):
        loss = f(model(x), y) / k
        loss.backward()  # <-
        if (i + 1) % k == 0:
            optimizer.step()
""",
        """\
def train_one_epoch(model, loader, optimizer, k):
    for i, (x, y) in enumerate(loader):
        loss = f(model(x), y) / k
        loss.backward()
        if (i + 1) % k == 0:
            optimizer.step()
            optimizer.zero_grad()
""",
    ),
    "accumulation on one line": (
        "for i in r:\n    f(i).backward()\n    if i % 4 == 3: optim.step()  # <-\n",
        "for i in r:\n    f(i).backward()\n    if i % 4 == 3: optim.step(); optim.zero_grad()\n",
    ),
    "mini-batches in an inner loop": (
        """\
for batch in loader:
    for part in batch.chunk(4):
        f(part).backward()  # <-
    self.optimizer.step()
""",
        """\
for batch in loader:
    self.optimizer.zero_grad()
    for part in batch.chunk(4):
        f(part).backward()
    self.optimizer.step()
""",
    ),
    "mixed precision": (
        """\
def step(self, x):
    with autocast():
        loss = self.model(x).mean()
    self.scaler.scale(loss).backward()
    self.scaler.step(self.optimizer)  # <-
    self.scaler.update()
""",
        """\
def step(self, x):
    with autocast():
        loss = self.model(x).mean()
    self.optimizer.zero_grad()
    self.scaler.scale(loss).backward()
    self.scaler.step(self.optimizer)
    self.scaler.update()
""",
    ),
    "adversaries: what the other loss left is cleared, too": (
        """\
for x in loader:
    loss_d(x).backward()
    optimizer_d.step()  # <-
    optimizer_g.zero_grad()
    loss_g(x).backward()
    optimizer_g.step()
""",
        """\
for x in loader:
    optimizer_d.zero_grad()
    loss_d(x).backward()
    optimizer_d.step()
    optimizer_g.zero_grad()
    loss_g(x).backward()
    optimizer_g.step()
""",
    ),
    "two losses, one step": (
        "for x in data:\n    a(x).backward()\n    b(x).backward()\n    opt.step()  # <-\n",
        "for x in data:\n    opt.zero_grad()\n    a(x).backward()\n    b(x).backward()\n    opt.step()\n",
    ),
    "both ways of a condition": (
        "def fit(d, opt):\n    if amp:\n        scaler.scale(f(d)).backward()\n        scaler.step(opt)  # <-\n"
        "    else:\n        f(d).backward()\n        opt.step()\n",
        "def fit(d, opt):\n    if amp:\n        opt.zero_grad()\n        scaler.scale(f(d)).backward()\n"
        "        scaler.step(opt)\n    else:\n        opt.zero_grad()\n        f(d).backward()\n        opt.step()\n",
    ),
    "a loop over optimizers": (
        "for x in d:\n    f(x).backward()  # <-\n    for opt in opts:\n        opt.step()\n",
        "for x in d:\n    f(x).backward()\n    for opt in opts:\n        opt.step()\n        opt.zero_grad()\n",
    ),
    "a closure": (
        """\
optimizer = LBFGS(net.parameters())
def closure():
    loss = f(net(x), y)
    loss.backward()  # <-
    return loss
for _ in range(9):
    optimizer.step(closure)
""",
        """\
optimizer = LBFGS(net.parameters())
def closure():
    loss = f(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    return loss
for _ in range(9):
    optimizer.step(closure)
""",
    ),
    "a scheduler's step is none": (
        "for x in d:\n    f(x).backward()  # <-\n    scheduler.step()\n    opt.step()\n",
        "for x in d:\n    opt.zero_grad()\n    f(x).backward()\n    scheduler.step()\n    opt.step()\n",
    ),
    "backward in a function of its own": (
        "def back(loss):\n    loss.backward()\ndef fit(o, d):\n    for x in d:\n        back(f(x))\n"
        "        optimizer.step()  # <-\n",
        "def back(loss):\n    loss.backward()\ndef fit(o, d):\n    for x in d:\n        back(f(x))\n"
        "        optimizer.step()\n        optimizer.zero_grad()\n",
    ),
}

CLEARED_BEFORE = {
    "between backward and step": (
        """\
for x in loader:
    loss = f(x)
    loss.backward()
    optimizer.zero_grad()  # <-
    optimizer.step()
""",
        """\
for x in loader:
    loss = f(x)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
    ),
    "the line of the step is given": (
        "for x in d:\n    f(x).backward()\n    clip(net)\n    opt.zero_grad()\n    opt.step()  # <-\n",
        "for x in d:\n    opt.zero_grad()\n    f(x).backward()\n    clip(net)\n    opt.step()\n",
    ),
    "gradients are set to None in a loop": (
        """\
for x in loader:
    f(x).backward()
    for p in net.parameters():
        p.grad = None  # <-
    opt.step()
""",
        """\
for x in loader:
    for p in net.parameters():
        p.grad = None
    f(x).backward()
    opt.step()
""",
    ),
    "accumulation, in the condition": (
        "for i in r:\n    f(i).backward()\n    if i % 4 == 3:\n        opt.zero_grad()  # <-\n        opt.step()\n",
        "for i in r:\n    f(i).backward()\n    if i % 4 == 3:\n        opt.step()\n        opt.zero_grad()\n",
    ),
    "accumulation, cleared at each batch": (
        "for i in r:\n    opt.zero_grad()  # <-\n    f(i).backward()\n    if i % 4 == 3:\n        opt.step()\n",
        "for i in r:\n    f(i).backward()\n    if i % 4 == 3:\n        opt.step()\n        opt.zero_grad()\n",
    ),
    "all on one line": (
        "for x in d: f(x).backward(); opt.zero_grad(); opt.step()  # <-\n",
        "for x in d: opt.zero_grad(); f(x).backward(); pass; opt.step()\n",
    ),
}

CLIPPED = {
    "before backward": (
        "def s(self, x):\n    clip_grad_norm_(self.net.parameters(), 1.0)  # <-\n    f(x).backward()\n"
        "    self.opt.step()\n",
        "def s(self, x):\n    f(x).backward()\n    clip_grad_norm_(self.net.parameters(), 1.0)\n"
        "    self.opt.step()\n",
    ),
    "after the step": (
        "for x in d:\n    f(x).backward()\n    opt.step()\n    nn.utils.clip_grad_value_(w, 1.0)  # <-\n"
        "    opt.zero_grad()\n",
        "for x in d:\n    f(x).backward()\n    nn.utils.clip_grad_value_(w, 1.0)\n    opt.step()\n"
        "    opt.zero_grad()\n",
    ),
    "over several lines": (
        "for x in d:\n    f(x).backward()\n    opt.step()\n    clip_grad_norm_(\n        w,\n        1.0,\n"
        "    )  # <-\n",
        "for x in d:\n    f(x).backward()\n    clip_grad_norm_(\n        w,\n        1.0,\n    )\n    opt.step()\n",
    ),
    "scaled": (
        "for x in d:\n    scaler.scale(f(x)).backward()\n    clip_grad_norm_(w, 1.0)  # <-\n    scaler.step(opt)\n"
        "    scaler.update()\n",
        "for x in d:\n    scaler.scale(f(x)).backward()\n    scaler.unscale_(opt)\n    clip_grad_norm_(w, 1.0)\n"
        "    scaler.step(opt)\n    scaler.update()\n",
    ),
    "unscaled too late": (
        "for x in d:\n    scaler.scale(f(x)).backward()\n    clip_grad_norm_(w, 1.0)  # <-\n"
        "    scaler.unscale_(opt)\n    scaler.step(opt)\n",
        "for x in d:\n    scaler.scale(f(x)).backward()\n    scaler.unscale_(opt)\n    clip_grad_norm_(w, 1.0)\n"
        "    scaler.step(opt)\n",
    ),
    "accumulation": (
        "for i in r:\n    clip_grad_norm_(w, 1.0)  # <-\n    f(i).backward()\n    if i % 4 == 3:\n"
        "        opt.step()\n",
        "for i in r:\n    f(i).backward()\n    if i % 4 == 3:\n        clip_grad_norm_(w, 1.0)\n        opt.step()\n",
    ),
    "the norm is used: nothing is done": (
        "for x in d:\n    norm = clip_grad_norm_(w, 1.0)  # <-\n    log(norm)\n    f(x).backward()\n    opt.step()\n",
        "for x in d:\n    norm = clip_grad_norm_(w, 1.0)\n    log(norm)\n    f(x).backward()\n    opt.step()\n",
    ),
}


@pytest.mark.parametrize("name", CLEARED)
def test_gradients_are_cleared_once_for_every_step(name: str) -> None:
    before, after = CLEARED[name]
    assert mended("clear_gradients", before) == after


@pytest.mark.parametrize("name", CLEARED_BEFORE)
def test_gradients_are_not_cleared_between_backward_and_step(name: str) -> None:
    before, after = CLEARED_BEFORE[name]
    assert mended("clear_before_backward", before) == after


@pytest.mark.parametrize("name", CLIPPED)
def test_gradients_are_clipped_between_backward_and_step(name: str) -> None:
    before, after = CLIPPED[name]
    assert mended("clip_between", before) == after


@pytest.mark.parametrize("remedy", ["clear_gradients", "clear_before_backward", "clip_between"])
def test_a_program_without_a_loop_is_left_alone(remedy: str) -> None:
    text = "import torch\nx = torch.zeros(3)  # <-\nprint(x)\n"
    assert mended(remedy, text) == text.replace("  # <-", "")
