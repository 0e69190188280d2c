"""What losses are given."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from small_nets import changed
from torch import nn
from torch.nn.functional import cross_entropy as bound_before

PLACES = pytest.mark.parametrize("forked", [False, True], ids=["rerun", "fork"])


@PLACES
@pytest.mark.parametrize("shape", [(8, 3), (8, 3, 4)])
def test_cross_entropy_of_probabilities_is_that_of_their_logits(shape: tuple[int, ...], forked: bool) -> None:
    torch.manual_seed(0)
    logits = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    target = torch.randint(3, (shape[0], *shape[2:]))
    wanted = F.cross_entropy(logits, target)
    (gradient,) = torch.autograd.grad(wanted, logits)
    with changed("undo_softmax", forked=forked):
        loss = nn.CrossEntropyLoss()(logits.softmax(1), target)
        assert F.cross_entropy(logits.log_softmax(1), target).item() == pytest.approx(wanted.item(), abs=1e-9)
        assert F.cross_entropy(logits, target).item() == pytest.approx(wanted.item(), abs=1e-9)
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-6)
    torch.testing.assert_close(torch.autograd.grad(loss, logits)[0], gradient)


def test_names_that_are_bound_are_changed_in_a_fork() -> None:
    p, target = torch.tensor([[0.25, 0.75]]), torch.tensor([1])
    plain = bound_before(p, target).item()
    with changed("undo_softmax", forked=True):
        assert bound_before(p, target).item() == pytest.approx(-torch.tensor(0.75).log().item())
    assert bound_before(p, target).item() == plain


def test_a_probability_of_zero_has_a_finite_loss() -> None:
    with changed("undo_softmax"):
        assert F.cross_entropy(torch.tensor([[0.0, 1.0]]), torch.tensor([0])).isfinite()


@PLACES
def test_binary_cross_entropy_of_probabilities_is_that_of_their_logits(forked: bool) -> None:
    logits, target = torch.randn(50, dtype=torch.float64), torch.randint(2, (50,)).double()
    wanted = F.binary_cross_entropy_with_logits(logits, target).item()
    with changed("undo_sigmoid", forked=forked):
        losses = [F.binary_cross_entropy_with_logits(logits.sigmoid(), target).item()]
        losses += [F.binary_cross_entropy_with_logits(logits, target).item()]
    assert losses == pytest.approx([wanted, wanted], abs=1e-6)


def test_where_logits_were_seen_no_batch_is_taken_for_probabilities() -> None:
    with changed("undo_sigmoid"):
        for logit in (2.0, 0.5):
            loss = F.binary_cross_entropy_with_logits(torch.tensor([logit]), torch.ones(1)).item()
    assert loss == pytest.approx(F.softplus(torch.tensor(-0.5)).item())


@PLACES
def test_rare_classes_weigh_more_in_training_alone(forked: bool) -> None:
    logits = torch.zeros(100, 2, requires_grad=True)
    target = torch.tensor([0] * 90 + [1] * 10)
    with changed("class_weights", forked=forked):
        for _ in range(100):
            gradient = torch.autograd.grad(F.cross_entropy(logits, target), logits)[0]
        with torch.no_grad():
            assert F.cross_entropy(torch.tensor([[2.0, 0.0]]), target[:1]).item() == pytest.approx(
                0.1269, abs=1e-4
            )
    assert gradient[:90].sum(0).abs()[0].item() == pytest.approx(
        gradient[90:].sum(0).abs()[0].item(), rel=0.01
    )


def test_weights_that_are_given() -> None:
    logits, target = torch.randn(6, 2, requires_grad=True), torch.tensor([0, 1, 0, 1, 1, -100])
    wanted = F.cross_entropy(logits, target, weight=torch.tensor([1.0, 3.0]))
    with changed("class_weights", weights=[1.0, 3.0]):
        assert F.cross_entropy(logits, target).item() == pytest.approx(wanted.item())


def test_rare_yes_weighs_more() -> None:
    logits, target = torch.zeros(100, 1, requires_grad=True), torch.tensor([[0.0]] * 90 + [[1.0]] * 10)
    with changed("class_weights"):
        for _ in range(100):
            gradient = torch.autograd.grad(F.binary_cross_entropy_with_logits(logits, target), logits)[0]
    assert gradient.sum().item() == pytest.approx(0, abs=1e-3)


def test_labels_are_smoothed_in_training_alone() -> None:
    logits, target = torch.randn(6, 3, requires_grad=True), torch.arange(6) % 3
    smooth, plain = F.cross_entropy(logits, target, label_smoothing=0.2), F.cross_entropy(logits, target)
    with changed("label_smoothing", share=0.2):
        assert F.cross_entropy(logits, target).item() == pytest.approx(smooth.item())
        assert F.cross_entropy(logits.detach(), target).item() == pytest.approx(plain.item())
