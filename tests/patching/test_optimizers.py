from collections.abc import Mapping
from typing import Any

import pytest

from fitwell.evidence import View
from fitwell.patch import Code
from fitwell.patching.optimizers import constructions, scaled_rates, step, steps
from fitwell.remedy import About


def about(line: int | None = None, facts: Mapping[str, Any] | None = None) -> About:
    return About("learning-rate-too-high", View(facts or {}), line)


def lowered(text: str, line: int | None = None) -> str:
    code = Code(text)
    return code.edited(scaled_rates(code, about(line), 0.1))


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("opt = torch.optim.SGD(p, lr=0.5)\n", "opt = torch.optim.SGD(p, lr=0.05)\n"),
        ("opt = SGD(p, 0.5, 0.9)\n", "opt = SGD(p, 0.05, 0.9)\n"),
        ("opt = optim.Adam(p)\n", "opt = optim.Adam(p, lr=0.0001)\n"),
        ("opt = optim.AdamW(\n    p,\n    lr=1e-3,\n)\n", "opt = optim.AdamW(\n    p,\n    lr=0.0001,\n)\n"),
        ("lr = 1\nopt = optim.SGD(p, lr=lr)\n", "lr = 0.1\nopt = optim.SGD(p, lr=lr)\n"),
        (
            'opt = SGD([{"params": a}, {"params": b, "lr": 0.1}], lr=1.0)\n',
            'opt = SGD([{"params": a}, {"params": b, "lr": 0.01}], lr=0.1)\n',
        ),
        (
            "opt = SGD(p, lr=0.1)\ns = OneCycleLR(opt, max_lr=0.5, total_steps=9)\n",
            "opt = SGD(p, lr=0.01)\ns = OneCycleLR(opt, max_lr=0.05, total_steps=9)\n",
        ),
        ("opt = Adam(p, **options)\n", "opt = Adam(p, **options)\n"),
        ("s = StepLR(opt, 3)\n", "s = StepLR(opt, 3)\n"),
    ],
)
def test_the_rate_is_scaled_where_it_is_set(text: str, after: str) -> None:
    assert lowered(text) == after


def test_of_several_optimizers_a_line_tells_which() -> None:
    text = "a = SGD(p, lr=0.1)\nb = SGD(q, lr=0.2)\n"
    assert lowered(text) == text
    assert lowered(text, line=2) == "a = SGD(p, lr=0.1)\nb = SGD(q, lr=0.02)\n"
    assert lowered(text, line=9) == text


def test_nets_that_compete_keep_their_balance() -> None:
    text = "g = Adam(p, lr=0.1)\nd = Adam(q, lr=0.1)\n"
    assert lowered(text, line=1) == "g = Adam(p, lr=0.01)\nd = Adam(q, lr=0.01)\n"


def test_the_line_that_was_seen_counts_where_its_text_is_the_same() -> None:
    code = Code("a = SGD(p, lr=0.1)\nb = SGD(q, lr=0.2)\n")
    where = {"file": "train.py", "line": 2, "text": "b = SGD(q, lr=0.2)"}
    seen = about(None, {"signals": {"coverage": {"where": where}}})
    assert [call.lineno for call in constructions(code, seen)] == [2]
    other = about(None, {"signals": {"coverage": {"where": where | {"text": "something else"}}}})
    assert constructions(code, other) == []


@pytest.mark.parametrize(
    ("text", "optimizer", "scaler"),
    [
        ("optimizer.step()\nscheduler.step()\n", "optimizer", None),
        ("o = SGD(p)\no.step()\n", "o", None),
        ("class T:\n    def f(self):\n        self.opt.step()\n", "self.opt", None),
        ("scaler.step(opt)\nscaler.update()\n", "opt", "scaler"),
    ],
)
def test_the_step_is_found(text: str, optimizer: str, scaler: str | None) -> None:
    found = step(Code(text), about())
    assert found is not None
    assert (found.optimizer, found.scaler) == (optimizer, scaler)


@pytest.mark.parametrize(
    "text",
    [
        "env.step()\n",
        "opt.step(closure)\n",
        "loss = opt.step()\n",
        "a_opt.step()\nb_opt.step()\n",
        "if x: opt.step()\n",
    ],
)
def test_a_step_that_is_not_clear_is_not_found(text: str) -> None:
    assert step(Code(text), about()) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("o = SGD(p)\no.step()\n", [("o", None)]),
        ("self.o = SGD(p)\ntrainer.o.step()\n", [("trainer.o", None)]),
        ("scaler.step(optimizer_g)\n", [("optimizer_g", "scaler")]),
        ("opts[0].step(closure)\n", [("opts[0]", None)]),
        ("scheduler.step()\nenv.step(action)\nwarmup_opt.step()\n", []),
    ],
)
def test_steps_of_optimizers_are_told_from_others(text: str, found: list[tuple[str, str | None]]) -> None:
    assert [(each.optimizer, each.scaler) for each in steps(Code(text))] == found
