"""Patches of modes, of chance, of devices and of how right answers are counted."""

from __future__ import annotations

import pytest
from mended import mended

MODEL = "class Net(nn.Module):\n    def forward(self, x):\n"

TRAINED = {
    "eval in the place of train": (
        "def train(model, d):\n    model.eval()  # <-\n    for x in d:\n        f(model(x)).backward()\n",
        "def train(model, d):\n    model.train()\n    for x in d:\n        f(model(x)).backward()\n",
    ),
    "two models, two loops": (
        "for e in r:\n    for x in d:\n        y = b(a(x))  # <-\n        f(y).backward()\n    a.eval()\n"
        "    b.eval()\n",
        "for e in r:\n    b.train()\n    a.train()\n    for x in d:\n        y = b(a(x))\n        f(y).backward()\n"
        "    a.eval()\n    b.eval()\n",
    ),
    "an evaluation within the loop": (
        "def test():\n    model.eval()\nfor i in r:\n    y = model(x)  # <-\n    f(y).backward()\n"
        "    if i % 9 == 0:\n"
        "        test()\n",
        "def test():\n    model.eval()\nfor i in r:\n    model.train()\n    y = model(x)\n    f(y).backward()\n"
        "    if i % 9 == 0:\n        test()\n",
    ),
    "a method without a loop": (
        "class T:\n    def step(self, x):\n        y = x + 1\n        z = self.model(y)  # <-\n"
        "        f(z).backward()\n",
        "class T:\n    def step(self, x):\n        y = x + 1\n        self.model.train()\n        z = self.model(y)\n"
        "        f(z).backward()\n",
    ),
}

EVALUATED = {
    "a function": (
        "def train(model, d):\n    model.train()\n    for x in d:\n        f(model(x)).backward()\n"
        "def test(model, d):\n    n = 0\n    with torch.no_grad():\n        for x in d:\n"
        "            n += g(model(x))  # <-\n"
        "    return n\n",
        "def train(model, d):\n    model.train()\n    for x in d:\n        f(model(x)).backward()\n"
        "def test(model, d):\n    n = 0\n    model.eval()\n    with torch.no_grad():\n        for x in d:\n"
        "            n += g(model(x))\n    return n\n",
    ),
    "a flat script that never switches": (
        "model = Sequential()\nfor e in r:\n    for x in d:\n        f(model(x)).backward()\n"
        "    with torch.no_grad():\n"
        "        y = model(v)  # <-\n    print(y)\n",
        "model = Sequential()\nfor e in r:\n    for x in d:\n        f(model(x)).backward()\n    model.eval()\n"
        "    with torch.no_grad():\n        y = model(v)\n    model.train()\n    print(y)\n",
    ),
    "train in the place of eval": (
        "for e in r:\n    m.train()\n    for x in d:\n        f(m(x)).backward()\n    m.train()\n"
        "    y = m(v)  # <-\n",
        "for e in r:\n    m.train()\n    for x in d:\n        f(m(x)).backward()\n    m.eval()\n    y = m(v)\n",
    ),
    "what is returned": (
        "def test(model, v):\n    return g(model(v))  # <-\ndef train(model, d):\n    for x in d:\n"
        "        f(model(x)).backward()\n",
        "def test(model, v):\n    model.eval()\n    return g(model(v))\ndef train(model, d):\n    model.train()\n"
        "    for x in d:\n        f(model(x)).backward()\n",
    ),
    "handed to a function": (
        "for e in r:\n    model.train()\n    run(model, a, optimizer)\n    with torch.no_grad():\n"
        "        run(model, b)  # <-\n",
        "for e in r:\n    model.train()\n    run(model, a, optimizer)\n    model.eval()\n    with torch.no_grad():\n"
        "        run(model, b)\n",
    ),
}

EVALUATED |= {
    "one loop for both parts": (
        "net = build()\nopt = Adam(net.parameters())\nfor phase in ['train', 'val']:\n    for x in d[phase]:\n"
        "        y = net(x)  # <-\n        if phase == 'train':\n            f(y).backward()\n"
        "            opt.step()\n",
        "net = build()\nopt = Adam(net.parameters())\nfor phase in ['train', 'val']:\n"
        "    net.train(phase == 'train')\n"
        "    for x in d[phase]:\n        y = net(x)\n        if phase == 'train':\n            f(y).backward()\n"
        "            opt.step()\n",
    ),
    "one function for both parts": (
        "def run(model, d, train):\n    for x in d:\n        y = model(x)  # <-\n        if train:\n"
        "            f(y).backward()\n",
        "def run(model, d, train):\n    model.train(bool(train))\n    for x in d:\n        y = model(x)\n"
        "        if train:\n            f(y).backward()\n",
    ),
    "an epoch of a class": (
        "class T:\n    def fit(self):\n        for e in r:\n            self.model.train()\n"
        "            for x in self.d:\n"
        "                self.step(x)\n            with torch.no_grad():\n"
        "                y = self.model(self.v)  # <-\n",
        "class T:\n    def fit(self):\n        for e in r:\n            self.model.train()\n"
        "            for x in self.d:\n"
        "                self.step(x)\n            self.model.eval()\n            with torch.no_grad():\n"
        "                y = self.model(self.v)\n",
    ),
}

CHANCE = {
    "dropout": (
        f"{MODEL}        return F.dropout(self.a(x), 0.3)  # <-\n",
        f"{MODEL}        return F.dropout(self.a(x), 0.3, training=self.training)\n",
    ),
    "dropout that is always on": (
        f"{MODEL}        return F.dropout(x, p=0.3, training=True)  # <-\n",
        f"{MODEL}        return F.dropout(x, p=0.3, training=self.training)\n",
    ),
    "a layer made anew": (
        f"{MODEL}        return nn.Dropout(0.3)(x)  # <-\n",
        f"{MODEL}        return nn.functional.dropout(x, 0.3, training=self.training)\n",
    ),
    "attention": (
        f"{MODEL}        return F.scaled_dot_product_attention(x, x, x, dropout_p=self.p)  # <-\n",
        f"{MODEL}        return F.scaled_dot_product_attention(x, x, x, dropout_p=self.p if self.training else 0.0)\n",
    ),
    "noise": (
        f"{MODEL}        x = x + 0.1 * torch.randn_like(x)  # <-\n        return x\n",
        f"{MODEL}        x = (x + 0.1 * torch.randn_like(x)) if self.training else x\n        return x\n",
    ),
    "a function that knows no mode": (
        "def f(x):\n    return F.dropout(x)  # <-\n",
        "def f(x):\n    return F.dropout(x)\n",
    ),
}

WORKERS = {
    "one seed for all": (
        "import torch\ndef init(i):\n    np.random.seed(0)\n    random.seed(1)\n"
        "DataLoader(s, worker_init_fn=init)  # <-\n",
        "import torch\ndef init(i):\n    np.random.seed(torch.initial_seed() % 2**32)\n"
        "    random.seed(torch.initial_seed() % 2**32)\nDataLoader(s, worker_init_fn=init)\n",
    ),
    "a generator of the data set": (
        "import torch\nclass S(Dataset):\n    def __init__(self):\n        self.rng = np.random.default_rng(0)\n"
        "    def __getitem__(self, i):\n        return i + self.rng.normal()  # <-\n",
        "import torch\nclass S(Dataset):\n    def __init__(self):\n        self.rng = None\n"
        "    def __getitem__(self, i):\n"
        '        if getattr(self, "worker_seed", None) != torch.initial_seed():\n'
        "            self.worker_seed = torch.initial_seed()\n"
        "            self.rng = np.random.default_rng(self.worker_seed % 2**32)\n"
        "        return i + self.rng.normal()\n",
    ),
    "a generator that is used elsewhere, too": (
        "import torch\nclass S(Dataset):\n    def __init__(self):\n        self.rng = random.Random(0)\n"
        "        self.x = self.rng.random()\n    def __getitem__(self, i):\n        return self.rng.random()  # <-\n",
        "import torch\nclass S(Dataset):\n    def __init__(self):\n        self.rng = random.Random(0)\n"
        "        self.x = self.rng.random()\n    def __getitem__(self, i):\n"
        '        if getattr(self, "worker_seed", None) != torch.initial_seed():\n'
        "            self.worker_seed = torch.initial_seed()\n"
        "            self.rng = random.Random(self.worker_seed % 2**32)\n"
        "        return self.rng.random()\n",
    ),
    "without torch: nothing is done": (
        "DataLoader(s, worker_init_fn=lambda i: np.random.seed(0))  # <-\n",
        "DataLoader(s, worker_init_fn=lambda i: np.random.seed(0))\n",
    ),
}

COUNTED = {
    "batches": ("accuracy = hits / len(val_loader)  # <-\n", "accuracy = hits / len(val_loader.dataset)\n"),
    "a number": (
        "accuracy = (out.argmax(1) == y).sum().item() / 32  # <-\n",
        "accuracy = (out.argmax(1) == y).float().mean().item()\n",
    ),
    "an axis too many": (
        "hits += (out.argmax(1) == y[:, None]).sum()  # <-\n",
        "hits += (out.argmax(1) == y[:, None].view_as(out.argmax(1))).sum()\n",
    ),
    "nothing is wrong": ("accuracy = hits / total  # <-\n", "accuracy = hits / total\n"),
}

DEVICES = {
    "moved away": ("y = head(x.to('cpu'))  # <-\n", "y = head(x)\n"),
    "made elsewhere": (
        "z = torch.randn(4, device='cpu')\ny = g(z)  # <-\n",
        "z = torch.randn(4)\ny = g(z)\n",
    ),
    "a batch that was not moved": (
        "model.to(device)\nfor x, y in d:\n    model.train()\n    out = model(x)  # <-\n",
        "model.to(device)\nfor x, y in d:\n    model.train()\n"
        "    out = model(x.to(next(model.parameters()).device))\n",
    ),
}


@pytest.mark.parametrize("name", TRAINED)
def test_training_is_done_in_training_mode(name: str) -> None:
    before, after = TRAINED[name]
    assert mended("train_in_training_mode", before) == after


@pytest.mark.parametrize("name", EVALUATED)
def test_evaluation_is_done_in_evaluation_mode(name: str) -> None:
    before, after = EVALUATED[name]
    assert mended("evaluate_in_eval_mode", before) == after


@pytest.mark.parametrize("name", CHANCE)
def test_numbers_are_drawn_in_training_only(name: str) -> None:
    before, after = CHANCE[name]
    assert mended("drop_in_training_only", before) == after


@pytest.mark.parametrize("name", WORKERS)
def test_workers_draw_differently(name: str) -> None:
    before, after = WORKERS[name]
    assert mended("seed_workers", before) == after


@pytest.mark.parametrize("name", COUNTED)
def test_samples_are_counted(name: str) -> None:
    before, after = COUNTED[name]
    assert mended("count_samples", before) == after


@pytest.mark.parametrize("name", DEVICES)
def test_what_meets_is_on_one_device(name: str) -> None:
    before, after = DEVICES[name]
    assert mended("use_one_device", before) == after


def test_parts_that_overlap_are_separated() -> None:
    assert mended("separate_parts", "a, b = x[:80], x[60:100]\n") == "a, b = x[:80], x[80:100]\n"
    assert mended("separate_parts", "a, b = x[:80], x[80:]\n") == "a, b = x[:80], x[80:]\n"
    assert (
        mended("separate_parts", "a, b, c = x[:80], x[60:90], x[90:]\n")
        == "a, b, c = x[:80], x[60:90], x[90:]\n"
    )
