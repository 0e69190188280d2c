"""One arm: what it records of a step, however the program minimizes, and how it ends."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fitwell.experiment import Change
from fitwell.treating.forks.arms import Trace, refusal

pytestmark = pytest.mark.skipif(refusal() is not None, reason=f"no forks here: {refusal()}")


def test_two_optimizers_of_one_loss(program: Any, training: type[Any]) -> None:
    mine, losses = training(), []
    halves = [torch.optim.SGD(part.parameters(), lr=0.1) for part in (mine.model[0], mine.model[3])]
    for optimizer in halves:
        losses.clear()
        with program(optimizer, at=2, steps=4) as asked:
            for _ in range(6):
                loss = mine.model(torch.randn(4, 8)).square().mean()
                mine.model.zero_grad()
                loss.backward()
                for half in halves:
                    half.step()
                losses.append(loss.item())
            found = asked[0].result(wait=60)
        assert found.control.losses == tuple(losses[2:6])
        assert found.control.accuracies == ()


def test_two_models_that_step_in_turn(program: Any) -> None:
    models = nn.Linear(2, 1), nn.Linear(2, 1)
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in models]
    for which in (0, 1):
        losses: tuple[list[float], ...] = ([], [])
        with program(optimizers[which], at=2, steps=4) as asked:
            for _ in range(7):
                for number in (0, 1):
                    loss = models[number](torch.randn(4, 2)).square().mean() + 100 * number
                    optimizers[number].zero_grad()
                    loss.backward()
                    optimizers[number].step()
                    losses[number].append(loss.item())
            found = asked[0].result(wait=60)
        assert found.control.losses == tuple(losses[which][2:6])


def test_gradients_that_are_accumulated_and_scaled(program: Any, training: type[Any]) -> None:
    mine, sums = training(), []
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    with program(mine.optimizer, at=2, steps=4) as asked:
        for _ in range(6):
            losses = [mine.model(torch.randn(4, 8)).square().mean() / 2 for _ in range(2)]
            mine.optimizer.zero_grad()
            for loss in losses:
                scaler.scale(loss).backward()
            scaler.step(mine.optimizer)
            scaler.update()
            sums.append(sum(loss.item() for loss in losses))
        found = asked[0].result(wait=60)
    assert found.control.losses == pytest.approx(sums[2:6])


def test_a_closure_counts_its_first_value(program: Any, training: type[Any]) -> None:
    mine, firsts = training(), []
    optimizer = torch.optim.LBFGS(mine.model.parameters(), lr=0.1, max_iter=4)
    mine.model.eval()
    with program(optimizer, at=1, steps=3) as asked:
        for _ in range(4):
            x, values = torch.randn(16, 8), []

            def closure(x: Tensor = x, values: list[float] = values) -> Tensor:
                optimizer.zero_grad()
                loss = mine.model(x).square().mean()
                loss.backward()
                values.append(loss.item())
                return loss

            optimizer.step(closure)
            firsts.append(values[0])
        found = asked[0].result(wait=60)
    assert found.control.losses == tuple(firsts[1:4])


def test_a_program_that_ends_or_fails_before_the_arm_does(training: type[Any]) -> None:
    mine = training()
    found = mine.asked(total=5, steps=30)
    assert found.control == Trace(tuple(mine.losses[3:5]), found.control.accuracies, "the program ended")
    failing = training(in_arm=lambda: {}[3]).asked(steps=30)
    assert failing.control.stopped == "KeyError: 3"
    leaving = training(in_arm=lambda: sys.exit(3)).asked(steps=30)
    assert leaving.control.stopped == "the program ended"
    assert leaving.control.losses == ()


def test_right_answers_are_counted_over_all_batches_of_a_step(program: Any, training: type[Any]) -> None:
    mine, shares = training(), []
    mine.model.eval()
    with program(mine.optimizer, at=2, steps=4) as asked:
        for _ in range(6):
            mine.optimizer.zero_grad()
            right = 0
            for size in (4, 12):
                x = torch.randn(size, 8)
                y, output = (x[:, 0] > 0).long(), mine.model(x)
                F.cross_entropy(output, y).backward()
                right += int((output.argmax(1) == y).sum())
            with torch.no_grad():  # what is only measured is no answer of the training
                F.cross_entropy(mine.model(torch.randn(50, 8)), torch.ones(50, dtype=torch.long))
            mine.optimizer.step()
            shares.append(right / 16)
        found = asked[0].result(wait=60)
    assert found.control.accuracies == tuple(shares[2:6])


def test_several_roots_of_one_pass_are_one_loss(program: Any, training: type[Any]) -> None:
    mine, sums = training(), []
    with program(mine.optimizer, at=1, steps=2) as asked:
        for _ in range(3):
            first, second = (mine.model(torch.randn(4, 8)).square().mean() for _ in range(2))
            mine.optimizer.zero_grad()
            torch.autograd.backward([first, second])
            mine.optimizer.step()
            sums.append(first.item() + second.item())
        found = asked[0].result(wait=60)
    assert found.control.losses == pytest.approx(sums[1:3])


def test_a_step_without_backward_and_a_change_that_fails_are_told(program: Any, training: type[Any]) -> None:
    mine = training()
    broken = [Change("rate", {"no": "such setting"})]
    with program(mine.optimizer, [broken], at=1, steps=3) as asked:
        mine.train(1)
        for _ in range(4):
            mine.optimizer.step()
        found = asked[0].result(wait=60)
    assert found.control == Trace((), (), "it steps without a call of backward")
    assert found.arms[0].losses == ()
    assert found.arms[0].stopped.startswith("TypeError")
