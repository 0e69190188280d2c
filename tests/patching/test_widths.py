import pytest

from fitwell.patch import Code
from fitwell.patching.widths import scaled_widths

SEQUENCE = "m = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3), nn.Sigmoid())\n"
WIDER = {
    "numbers": (SEQUENCE, SEQUENCE.replace("4", "8").replace("Linear(8, 8)", "Linear(8, 8)")),
    "a default": (
        "class Net(nn.Module):\n    def __init__(self, inputs, hidden=4):\n        self.a = nn.Linear(inputs, hidden)\n"
        "        self.b = nn.Linear(hidden, 1)\n\nNet(8)\n",
        "class Net(nn.Module):\n    def __init__(self, inputs, hidden=8):\n        self.a = nn.Linear(inputs, hidden)\n"
        "        self.b = nn.Linear(hidden, 1)\n\nNet(8)\n",
    ),
    "multiples": (
        "W = 4\na, b, c = nn.Conv2d(1, W, 3), nn.Conv2d(W, 2 * W, 3), nn.Linear(2 * W * 9, 10)\n",
        "W = 8\na, b, c = nn.Conv2d(1, W, 3), nn.Conv2d(W, 2 * W, 3), nn.Linear(2 * W * 9, 10)\n",
    ),
    "two nets": (
        "g = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 2))\nd = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1))\n",
        "g = nn.Sequential(nn.Linear(2, 8), nn.Linear(8, 2))\nd = nn.Sequential(nn.Linear(2, 8), nn.Linear(8, 1))\n",
    ),
    "two nets that share a name": (
        "h, n = 4, 2\ng = nn.Sequential(nn.Linear(9, h), nn.Linear(h, n))\n"
        "d = nn.Sequential(nn.Linear(n, h), nn.Linear(h, 1))\n",
        "h, n = 8, 2\ng = nn.Sequential(nn.Linear(9, h), nn.Linear(h, n))\n"
        "d = nn.Sequential(nn.Linear(n, h), nn.Linear(h, 1))\n",
    ),
    "a code between two classes": (
        "class E:\n    def __init__(self, code):\n        self.a = nn.Linear(9, code)\n\n"
        "class D:\n    def __init__(self, code):\n        self.a = nn.Linear(code, 9)\n\nE(1), D(1)\n",
        "class E:\n    def __init__(self, code):\n        self.a = nn.Linear(9, code)\n\n"
        "class D:\n    def __init__(self, code):\n        self.a = nn.Linear(code, 9)\n\nE(2), D(2)\n",
    ),
}
AS_IT_IS = {
    "no hidden layer": "m = nn.Sequential(nn.Linear(8, 3))\n",
    "numbers that do not meet": "m = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(64, 3))\n",
    "classes": "a, b = nn.Linear(3, num_classes), nn.Linear(num_classes, 3)\nnum_classes = 4\n",
    "the input": "d = 5\nm = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, 1))\n",
}


@pytest.mark.parametrize(("text", "wide"), WIDER.values(), ids=WIDER)
def test_hidden_layers_get_wider_and_ends_stay(text: str, wide: str) -> None:
    code = Code(text)
    assert code.edited(scaled_widths(code, 2)) == wide


@pytest.mark.parametrize("text", AS_IT_IS.values(), ids=AS_IT_IS)
def test_what_is_not_clear_stays(text: str) -> None:
    assert scaled_widths(Code(text), 2) == []
