"""What becomes of a value, as the graph of a loss tells it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fitwell.treating.changing.graph import Use, roots, uses

LINEAR, CONV = nn.Linear(4, 4), nn.Conv2d(4, 4, 1)
NORM, RNN = nn.LayerNorm(4), nn.GRU(4, 4)
OTHER, WEIGHED, NORMED, ACTIVATED = Use.OTHER, Use.WEIGHED, Use.NORMED, Use.ACTIVATED

ENDS: dict[str, tuple[Callable[[Tensor], Tensor], set[Use]]] = {
    "a loss": (lambda h: h, {OTHER}),
    "a layer": (LINEAR, {WEIGHED}),
    "a convolution": (lambda h: CONV(h[..., None, None]), {WEIGHED}),
    "a matrix product": (lambda h: h @ torch.ones(4, 4, requires_grad=True), {WEIGHED}),
    "reshaped": (lambda h: LINEAR(h.view(2, 2, 4).flatten(0, 1).t().t()), {WEIGHED}),
    "pooled": (lambda h: LINEAR(F.max_pool1d(h[None], 3, 1, 1)[0] + F.avg_pool1d(h[None], 1)[0]), {WEIGHED}),
    "dropped out": (lambda h: LINEAR(F.dropout(h, 0.5)), {WEIGHED}),
    "scaled": (lambda h: LINEAR(2 * h / 3), {WEIGHED}),
    "normalized": (lambda h: LINEAR(NORM(h)), {NORMED}),
    "normalized at the end": (NORM, {OTHER}),
    "activated": (lambda h: LINEAR(h.relu()), {ACTIVATED}),
    "activated at the end": (torch.relu, {OTHER}),
    "normalized and activated": (lambda h: LINEAR(NORM(h).relu()), {OTHER}),
    "a gate": (lambda h: LINEAR(h * LINEAR(h)), {OTHER, WEIGHED}),
    "a residual": (lambda h: LINEAR(h + LINEAR(h)), {WEIGHED}),
    "two ends": (lambda h: LINEAR(h).sum() + h.sum(), {OTHER, WEIGHED}),
}


@pytest.mark.parametrize(("end", "wanted"), ENDS.values(), ids=ENDS)
def test_uses(end: Callable[[Tensor], Tensor], wanted: set[Use]) -> None:
    hidden = LINEAR(torch.randn(4, 4))
    assert uses([end(hidden).sum()], ())[hidden.grad_fn] == wanted


def test_what_another_model_makes_of_an_output_does_not_count() -> None:
    output = LINEAR(torch.randn(4, 4))
    loss = LINEAR(output).sum()
    assert uses([loss], {output.grad_fn})[output.grad_fn] == {OTHER}


def test_losses_add_up_and_what_leads_nowhere_is_not_there() -> None:
    hidden, apart = LINEAR(torch.randn(4, 4)), LINEAR(torch.randn(4, 4))
    found = uses([LINEAR(hidden).sum(), hidden.sum(), torch.zeros(())], ())
    assert found[hidden.grad_fn] == {OTHER, WEIGHED}
    assert apart.grad_fn not in found


@pytest.mark.parametrize(
    ("args", "kwargs", "wanted"),
    [
        ((1,), {}, [1]), (((1, 2), 3), {}, [1, 2]), ((), {"tensors": 1}, [1]), ((), {}, []),
        ((), {"inputs": 2, "outputs": [1]}, [1]), ((), {"grad_tensors": 2, "tensors": 1}, [1]),
    ],
)  # fmt: skip
def test_the_losses_of_a_call(args, kwargs, wanted: list[int]) -> None:
    def tensors(value):
        return torch.tensor(value) if isinstance(value, int) else type(value)(map(torch.tensor, value))

    found = roots(tuple(map(tensors, args)), {name: tensors(value) for name, value in kwargs.items()})
    assert [each.item() for each in found] == wanted
