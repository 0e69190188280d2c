import ast

import pytest

from fitwell.patch import Code
from fitwell.patching.values import once, scaled, scaled_count, value, written

# Programs that call ``use(...)``, and the line in which the number that it is given is written.
PLACES = {
    "a literal": "use(0.1)  # <-\n",
    "a constant of the module": "LR = 0.1  # <-\n\ndef main():\n    use(LR)\n",
    "several constants in a line": "A, B = 5, 0.1  # <-\nuse(B)\n",
    "with a type": "LR: float = 0.1  # <-\nuse(LR)\n",
    "one name for another": "LR = 0.1  # <-\nrate = LR\nuse(rate)\n",
    "a default": "def train(x, lr=0.1):  # <-\n    use(lr)\n\ntrain(1)\n",
    "what the only call gives": "def train(x, lr=0.5):\n    use(lr)\n\ntrain(1, 0.1)  # <-\n",
    "by its name": "def train(x, *, lr):\n    use(lr)\n\ntrain(1, lr=0.1)  # <-\n",
    "of an object": """\
class Trainer:
    def __init__(self, model, lr=0.1):  # <-
        self.lr = lr

    def fit(self):
        use(self.lr)

Trainer(None).fit()
""",
    "of a method": "class T:\n    def fit(self, n):\n        use(n)\n\nT().fit(0.1)  # <-\n",
    "the command line": """\
parser = argparse.ArgumentParser()
parser.add_argument("-l", "--learning-rate", type=float, default=0.1)  # <-
args = parser.parse_args()

def main(args):
    use(args.learning_rate)
""",
    "a name of its own on the command line": (
        'p.add_argument("--rate", dest="lr", default=0.1)  # <-\nuse(p.parse_args().lr)\n'
    ),
    "a dict": 'config = {"size": 3, "lr": 0.1}  # <-\ndef main(c):\n    use(c["lr"])\n',
    "a dict by its function": 'config = dict(size=3, lr=0.1)  # <-\nuse(config["lr"])\n',
    "an entry": 'config = {}\nconfig["lr"] = 0.1  # <-\nuse(config["lr"])\n',
    "a dataclass": "@dataclass\nclass Config:\n    lr: float = 0.1  # <-\n\ncfg = Config()\nuse(cfg.lr)\n",
    "what a dataclass is given": "class Config:\n    lr: float = 1.0\n\ncfg = Config(lr=0.1)  # <-\nuse(cfg.lr)\n",
    "a class of settings": "class CFG:\n    lr = 0.1  # <-\n\nuse(CFG.lr)\n",
    "a namespace": "args = SimpleNamespace(lr=0.1)  # <-\nuse(args.lr)\n",
    "converted": 'config = {"lr": 0.1}  # <-\nuse(float(config["lr"]))\n',
}

UNCLEAR = {
    "assigned twice": "lr = 0.1\nlr = 0.2\nuse(lr)\n",
    "changed": "lr = 0.1\nlr *= 2\nuse(lr)\n",
    "a loop": "for lr in (0.1, 0.2):\n    use(lr)\n",
    "computed": "lr = 0.1 * 3\nuse(lr)\n",
    "two calls": "def f(lr):\n    use(lr)\n\nf(0.1)\nf(0.2)\n",
    "a call and the default": "def f(lr=0.5):\n    use(lr)\n\nf()\nf(0.2)\n",
    "nobody calls it": "def f(lr=0.5):\n    use(lr)\n",
    "passed on": "def f(lr=0.5):\n    use(lr)\n\nf()\nmap(f, [1])\n",
    "unpacked": "def f(lr=0.5):\n    use(lr)\n\nf(**options)\n",
    "two entries": 'a = {"lr": 0.1}\nb = {"lr": 0.2}\nuse(a["lr"])\n',
    "of nothing": "use(args.lr)\n",
    "of itself": "def f(lr=lr):\n    use(lr)\n\nf()\n",
}


def given(code: Code) -> ast.expr:
    (call,) = code.calls("use")
    return call.args[0]


@pytest.mark.parametrize("text", PLACES.values(), ids=PLACES)
def test_a_number_is_followed_to_where_it_is_written(text: str) -> None:
    code = Code(text)
    place = written(code, given(code))
    assert place is not None
    assert "<-" in text.splitlines()[place.lineno - 1]
    assert value(code, given(code)) == 0.1


@pytest.mark.parametrize("text", UNCLEAR.values(), ids=UNCLEAR)
def test_nothing_is_guessed(text: str) -> None:
    code = Code(text)
    assert written(code, given(code)) is None
    assert value(code, given(code)) is None


def test_a_number_is_scaled_where_it_is_written() -> None:
    code = Code("LR = 0.1\nuse(LR)\n")
    assert code.edited([scaled(code, given(code), 0.1)]) == "LR = 0.01\nuse(LR)\n"


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("use(lr)\n", "use(lr * 0.1)\n"),
        ("use(base / 2 + x)\n", "use((base / 2 + x) * 0.1)\n"),
        ("use(args.lr)\n", "use(args.lr * 0.1)\n"),
    ],
)
def test_what_is_not_known_is_multiplied(text: str, after: str) -> None:
    code = Code(text)
    assert code.edited([scaled(code, given(code), 0.1)]) == after


def test_a_default_that_was_not_used_is_left_alone() -> None:
    code = Code('p.add_argument("--lr", default=0.1)\nuse(p.parse_args().lr)\n')
    edit = scaled(code, given(code), 0.1, seen=[6.0])
    assert code.edited([edit]) == 'p.add_argument("--lr", default=0.1)\nuse(p.parse_args().lr * 0.1)\n'
    assert "default=0.01" in code.edited([scaled(code, given(code), 0.1, seen=[0.1])])


@pytest.mark.parametrize(("factor", "after"), [(3, "use(6)\n"), (0.5, "use(1)\n"), (0.1, "use(1)\n")])
def test_a_count_stays_a_whole_number_above_0(factor: float, after: str) -> None:
    code = Code("use(2)\n")
    edit = scaled_count(code, given(code), factor)
    assert edit is not None
    assert code.edited([edit]) == after


@pytest.mark.parametrize("text", ["use(1)\n", "use(0.5)\n", "use(0)\n", "use(n)\n"])
def test_what_is_no_count_is_left_alone(text: str) -> None:
    code = Code(text)
    assert scaled_count(code, given(code), 0.5) is None


def test_an_edit_is_made_once() -> None:
    code = Code("LR = 0.1\nuse(LR)\n")
    assert len(once([scaled(code, given(code), 0.1)] * 2)) == 1
