import pytest

from fitwell.patch import Code
from fitwell.patching.loops import epochs

LOOPS = {
    "nested": ("for epoch in range(5):\n    for x in data:\n        loss.backward()\n", "5"),
    "from one on": ("for epoch in range(1, N + 1):\n    for x in data:\n        loss.backward()\n", "N"),
    "steps alone": ("for it in trange(max_iters):\n    loss.backward()\n", "max_iters"),
    "with a bar": ("for _ in tqdm(range(9), leave=False):\n    loss.backward()\n", "9"),
    "in a function": (
        "def train(x):\n    for i in range(7):\n        loss.backward()\n\n"
        "for epoch in range(args.epochs):\n    train(x)\n",
        "args.epochs",
    ),
    "over seeds": ("for seed in range(3):\n    for epoch in range(8):\n        loss.backward()\n", "8"),
    "over slices": (
        "for epoch in range(4):\n    for i in range(0, n, 8):\n        loss.backward()\n",
        "4",
    ),
    "a closure": (
        "def closure():\n    loss.backward()\n    return loss\n\nfor i in range(6):\n    opt.step(closure)\n",
        "6",
    ),
    "methods": (
        "class T:\n    def one(self):\n        self.loss.backward()\n    def fit(self, n):\n"
        "        for e in range(n):\n            self.one()\n",
        "n",
    ),
    "nothing is trained": ("for epoch in range(5):\n    print(epoch)\n", None),
    "two of them": (
        "for epoch in range(5):\n    loss.backward()\nfor epoch in range(3):\n    loss.backward()\n",
        None,
    ),
    "while": ("while True:\n    loss.backward()\n", None),
    "folds": ("for fold in range(5):\n    loss.backward()\n", None),
    "in steps of two": ("for epoch in range(0, 10, 2):\n    loss.backward()\n", None),
}


@pytest.mark.parametrize(("text", "end"), LOOPS.values(), ids=LOOPS)
def test_the_epochs_are_found(text: str, end: str | None) -> None:
    code = Code(text)
    found = epochs(code)
    assert (found and code.segment(found)) == end
