from typing import Any

import pytest

from fitwell.evidence import View
from fitwell.patch import Code
from fitwell.patching.losses import (
    at_line,
    counts,
    exchanged,
    losses,
    thresholds,
    training_loss,
    training_place,
)
from fitwell.remedy import About


def view(function: str, line: int, text: str, seen: tuple[int, ...] = (90, 10)) -> View:
    where = {"file": "train.py", "line": line, "text": text}
    place: dict[str, Any] = {"function": function, "part": "train", "where": where, "counts": list(seen)}
    held = {"function": function, "part": "val", "where": where, "counts": [1, 1]}
    return View({"signals": {"labels": {"places": [place, held]}}})


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("loss = F.cross_entropy(a, b)\nval = F.cross_entropy(c, d)\n", 1, "F.cross_entropy(a, b)"),
        ("criterion = nn.CrossEntropyLoss()\nloss = criterion(a, b)\n", 2, "nn.CrossEntropyLoss()"),
        ("one = nn.CrossEntropyLoss()\ntwo = nn.CrossEntropyLoss()\nloss = one(a, b)\n", 3, None),
        ("loss = f(F.cross_entropy(a, b), F.cross_entropy(c, d))\n", 1, None),
        ("loss = own(a, b)\n", 1, None),
    ],
)
def test_the_loss_of_the_training_is_found(text: str, line: int, found: str | None) -> None:
    code = Code(text)
    about = About("class-imbalance", view("cross_entropy", line, text.splitlines()[line - 1]))
    call = training_loss(code, about)
    assert (call and code.segment(call)) == found


def test_another_text_in_its_line_is_another_program() -> None:
    about = About("class-imbalance", view("cross_entropy", 1, "something else"))
    assert training_loss(Code("loss = F.cross_entropy(a, b)\n"), about) is None


def test_other_losses_are_not_meant() -> None:
    text = "loss = F.nll_loss(a, b)"
    assert training_loss(Code(text), About("class-imbalance", view("nll_loss", 1, text))) is None


def test_labels_are_counted_where_all_classes_were_seen() -> None:
    assert counts(view("cross_entropy", 1, "")) == [90, 10]
    assert counts(view("cross_entropy", 1, "", (90, 0))) == []
    assert counts(View()) == []
    assert training_place(View()) is None


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("loss = F.mse_loss(a, b)\n", "loss = F.l1_loss(a, b)\n"),
        ("f = nn.MSELoss()\nloss = f(a, b)\n", "f = nn.L1Loss()\nloss = f(a, b)\n"),
        ("loss = nn.MSELoss(reduction='sum')(a, b)\n", "loss = nn.L1Loss(reduction='sum')(a, b)\n"),
        ("import torch.nn.functional as F\nf = F.mse_loss\nloss = f(a, b)\n",
         "import torch.nn.functional as F\nf = F.mse_loss\nloss = F.l1_loss(a, b)\n"),
        ("from torch.nn.functional import mse_loss\nloss = mse_loss(a, b)\n", None),
    ],
)  # fmt: skip
def test_another_loss_takes_the_place_of_one_however_it_is_called(text: str, new: str | None) -> None:
    code = Code(text)
    edits = exchanged(code, losses(code, "mse_loss"), "l1_loss")
    assert (code.edited(edits) if edits else None) == new


def test_the_losses_of_a_line_and_others_like_them() -> None:
    code = Code("a = F.mse_loss(x, y)\nb = F.l1_loss(x, y)\nc = F.mse_loss(z, y)\n")
    found = at_line(code, About("loss-does-not-match-target", View(), 1), "mse_loss", "l1_loss")
    assert [each.call.lineno for each in found] == [1, 3]
    assert at_line(code, About("loss-does-not-match-target", View(), 9), "mse_loss", "l1_loss") == []


def test_predictions_are_told_apart_elsewhere() -> None:
    code = Code("loss = F.binary_cross_entropy(p, y)\nhits = (p > 0.5) == (q > 0.5)\nyes = p.round()\n")
    edits = thresholds(code, losses(code), "0.5", "0")
    assert code.edited(edits).splitlines()[1:] == ["hits = (p > 0) == (q > 0.5)", "yes = (p > 0).float()"]
