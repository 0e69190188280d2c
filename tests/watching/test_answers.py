from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fitwell.watching.answers import Answers, answers
from fitwell.watching.losses import right_answers


def told(function: str, input: Tensor, target: Tensor) -> Answers:
    found = right_answers(function, input, target, {})
    assert found is not None
    made = answers(function, input, target, *found)
    assert made is not None
    return made


def test_recall_of_the_rarest_class_with_enough_labels() -> None:
    target = torch.tensor([0] * 80 + [1] * 20 + [2] * 2)
    said = torch.tensor([0] * 95 + [1] * 5 + [2] * 2)
    figures = told("cross_entropy", torch.eye(3)[said], target).figures("val")
    assert figures["rare_recall/val"].item() == pytest.approx(0.25)
    assert figures["common_class/val"].item() == pytest.approx(80 / 102)


def test_errors_among_the_surest_answers() -> None:
    target = torch.zeros(100, dtype=torch.long)
    logits = torch.stack([torch.linspace(0.1, 9, 100), torch.zeros(100)], 1)
    logits[-5:] = logits[-5:].flip(1)  # surely wrong
    both = told("cross_entropy", logits[:50], target[:50])
    both.add(told("cross_entropy", logits[50:], target[50:]))
    assert both.figures("val")["sure_errors/val"].item() == pytest.approx(5 / 25)


def test_two_classes_by_one_logit() -> None:
    figures = told(
        "binary_cross_entropy_with_logits", torch.tensor([[-1.0]] * 9 + [[2.0]]), torch.ones(10, 1)
    )
    assert figures.counts.tolist() == [[0, 10], [0, 1]]
    assert math.isclose(figures.figures("val")["common_class/val"].item(), 1.0)


@pytest.mark.parametrize(
    ("input", "target"),
    [(torch.randn(4, 3, 5), torch.zeros(4, 5).long()), (torch.randn(4, 50), torch.zeros(4).long())],
    ids=["pixels", "words"],
)
def test_other_answers_are_not_judged(input: Tensor, target: Tensor) -> None:
    found = right_answers("cross_entropy", input, target, {})
    assert found is not None
    assert answers("cross_entropy", input, target, *found) is None
