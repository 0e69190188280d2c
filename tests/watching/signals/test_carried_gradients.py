"""Gradients that are never cleared are told from those that are accumulated on purpose."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam

from fitwell.watching.moments import Backward, Named, Step
from fitwell.watching.signals.carried_gradients import SIGNAL


def _loss(model: nn.Module) -> Tensor:
    return nn.functional.mse_loss(model(torch.randn(4, 3)), torch.randn(4, 2))


def _by_hand(model: nn.Module) -> None:
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.data.zero_()


CLEARING: dict[str, Callable[[nn.Module, SGD], None]] = {
    "optimizer": lambda model, optimizer: optimizer.zero_grad(),
    "zeros": lambda model, optimizer: optimizer.zero_grad(set_to_none=False),
    "model": lambda model, optimizer: model.zero_grad(),
    "by hand": lambda model, optimizer: _by_hand(model),
}


def test_a_loop_that_never_clears(watched) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = SGD(model.parameters(), 0.01)
    with watched() as record:
        for _ in range(5):
            _loss(model).backward()
            optimizer.step()
    assert record.values("gradient/carried") == [1, 1, 1, 1]
    facts = record.facts["signals"]["carried_gradients"]["model"]
    assert (facts["looks"], facts["carried"]) == (4, 4)
    assert "_loss(model).backward()" in facts["where"]["text"]


@pytest.mark.parametrize("clear", CLEARING.values(), ids=CLEARING)
@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("early", [True, False])
def test_loops_that_clear(watched, clear, batches: int, early: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = SGD(model.parameters(), 0.01)
    with watched() as record:
        for _ in range(5):
            if early:
                clear(model, optimizer)
            for _ in range(batches):
                (_loss(model) / batches).backward()
            optimizer.step()
            if not early:
                clear(model, optimizer)
    assert record.values("gradient/carried") == [0, 0, 0, 0]
    assert record.facts["signals"]["carried_gradients"]["model"]["carried"] == 0


def test_accumulation_that_never_clears(watched) -> None:
    model = nn.Linear(3, 2)
    optimizer = SGD(model.parameters(), 0.01)
    with watched() as record:
        for _ in range(5):
            for _ in range(3):
                _loss(model).backward()
            optimizer.step()
    assert record.values("gradient/carried") == [1, 1, 1, 1]


def test_a_part_that_is_not_cleared(watched) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = SGD(model.parameters(), 0.01)
    with watched() as record:
        for _ in range(5):
            model[0].zero_grad()
            _loss(model).backward()
            optimizer.step()
    assert record.values("gradient/carried") == [0.5] * 4


def test_a_closure_that_clears(watched) -> None:
    model, x, y = nn.Linear(3, 2), torch.randn(9, 3), torch.randn(9, 2)
    optimizer = LBFGS(model.parameters(), lr=0.1, max_iter=3)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        return loss

    with watched() as record:
        for _ in range(5):
            optimizer.step(closure)
    assert record.values("gradient/carried") == [0, 0, 0, 0]


def test_sparse_gradients(watched) -> None:
    model = nn.Embedding(20, 2, sparse=True)
    optimizer = SGD(model.parameters(), 0.01)
    with watched() as record:
        for _ in range(5):
            nn.functional.mse_loss(model(torch.randint(0, 20, (30,))), torch.randn(30, 2)).backward()
            optimizer.step()
    assert record.values("gradient/carried") == [1, 1, 1, 1]


@pytest.mark.parametrize("clears", [True, False])
def test_two_models_whose_gradients_flow_into_each_other(watched, clears: bool) -> None:
    maker, judge = nn.Linear(3, 2), nn.Linear(2, 1)
    of_maker, of_judge = Adam(maker.parameters(), 0.01), Adam(judge.parameters(), 0.01)
    bce = nn.functional.binary_cross_entropy_with_logits
    with watched() as record:
        for _ in range(5):
            if clears:
                of_judge.zero_grad()
            true = bce(judge(torch.randn(4, 2)), torch.ones(4, 1))
            (true + bce(judge(maker(torch.randn(4, 3)).detach()), torch.zeros(4, 1))).backward()
            of_judge.step()
            of_maker.zero_grad()
            bce(judge(maker(torch.randn(4, 3))), torch.ones(4, 1)).backward()
            of_maker.step()
    facts = record.facts["signals"]["carried_gradients"]
    assert facts["maker"]["carried"] == 0
    assert facts["judge"]["carried"] == (0 if clears else facts["judge"]["looks"])
    assert facts["judge"]["looks"] == 4


def test_what_the_program_changed_after_the_step_is_not_left_over(watched) -> None:
    model = nn.Linear(3, 2)
    optimizer = SGD(model.parameters(), 0.01)
    with watched() as record:
        for _ in range(5):
            _loss(model).backward()
            optimizer.step()
            for parameter in model.parameters():
                parameter.grad.mul_(0.5)
    assert record.values("gradient/carried") == [0, 0, 0, 0]


def test_steps_that_nobody_looked_at_between_two_others_are_no_evidence() -> None:
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    carried = SIGNAL.start()
    steps = [
        Step("model", number, None, [Named("layer", "weight", parameter)], [parameter.grad], {}, False, None)
        for number in (5, 6, 9)
    ]
    for step in steps:
        carried.on_backward(Backward([], True, [], None))
        carried.after_step(step)
    assert [bool(step.signals) for step in steps] == [False, True, False]
