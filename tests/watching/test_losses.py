"""Which loss was trained on, what it counts for, and which answers are right."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fitwell.watching.losses import Objective, Totals, judge, objective, read, seen_loss

SHARES = pytest.mark.parametrize("share", [1.0, 1e-9], ids=["whole", "seldom"])


def computed(loss: Tensor, input: Tensor, **arguments: Any) -> Any:
    return seen_loss("cross_entropy", loss, {"input": input, **arguments})


def test_a_sum_is_recorded_as_the_mean_of_its_samples() -> None:
    totals = Totals()
    values = torch.tensor([])
    for samples, reduction in ((7, "mean"), (3, "sum")):
        input, target = torch.randn(samples, 3), torch.randint(0, 3, (samples,))
        seen = computed(F.cross_entropy(input, target, reduction=reduction), input, reduction=reduction)
        totals.count(seen)
        values = torch.cat([values, F.cross_entropy(input, target, reduction="none")])
    assert totals.means() == pytest.approx({"cross_entropy": values.mean().item()})


def test_a_value_on_another_device_is_not_waited_for() -> None:
    value = torch.zeros((), device="meta", requires_grad=True)
    assert isinstance(read(value), Tensor)
    assert not read(value).requires_grad
    assert read(torch.tensor(2.0)) == 2.0


@pytest.mark.parametrize(
    "root",
    [
        lambda loss: loss,
        lambda loss: loss / 4,
        lambda loss: 0.5 * loss + 1.0,
        lambda loss: loss.sum().view(1),
    ],
)
def test_the_loss_is_found_beneath_what_was_made_of_it(root: Any) -> None:
    input = torch.randn(5, 3, requires_grad=True)
    loss = F.cross_entropy(input, torch.randint(0, 3, (5,)))
    other = F.cross_entropy(input * 2, torch.randint(0, 3, (5,)))
    pending = [computed(loss, input), computed(other, input)]
    found, rest = objective([root(loss)], pending, {})
    assert found.parts == [pending[0]]
    assert rest == [pending[1]]
    assert found.loss == pytest.approx(loss.item())
    assert found.value == pytest.approx(root(loss).item())


@pytest.mark.parametrize("steps", [2, 40, 300])
def test_every_part_of_a_sum_over_time_steps_is_found(steps: int) -> None:
    cell, head = nn.GRUCell(3, 4), nn.Linear(4, 3)
    state, total, pending = torch.zeros(2, 4), torch.zeros(()), []
    for _ in range(steps):
        state = cell(torch.randn(2, 3), state)
        output = head(state)
        loss = F.cross_entropy(output, torch.randint(0, 3, (2,)))
        pending.append(computed(loss, output))
        total = total + loss
    found, rest = objective([total], pending, {})
    assert len(found.parts) == steps
    assert rest == []
    assert found.loss == pytest.approx(total.item())


def test_what_is_far_below_or_not_there_is_not_searched_for_long() -> None:
    deep = torch.randn(3, requires_grad=True)
    pending = [computed(F.mse_loss(deep, torch.zeros(3)), deep)]
    for _ in range(3000):
        deep = deep + 1
    found, rest = objective([deep.sum()], pending, {})
    assert found.parts == []
    assert rest == pending


def test_no_graph_no_root_and_what_is_no_scalar() -> None:
    assert objective([], [], {}) == (Objective(None, []), [])
    assert objective([torch.zeros(())], [], {})[0].value is None
    assert objective([torch.zeros(3, requires_grad=True) * 2], [], {})[0].value is None


@SHARES
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_reductions(reduction: str, share: float, watched: Any) -> None:
    x, y = torch.randn(96, 4), torch.randint(0, 3, (96,))
    loader = DataLoader(TensorDataset(x, y), batch_size=20)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    hand = []
    with watched(share) as record:
        for _ in range(5):
            losses, weights = 0.0, 0
            for inputs, targets in loader:
                loss = F.cross_entropy(model(inputs), targets, reduction=reduction)
                loss = loss.mean() if reduction == "none" else loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                weight = {"mean": len(targets), "sum": 1, "none": 1}[reduction]
                losses += loss.item() * weight
                weights += 1 if reduction == "none" else len(targets)  # a loss by hand is of unknown samples
            hand.append(losses / weights)
    assert record.values("loss/train") == pytest.approx(hand, rel=1e-5)


def plain(loss: Tensor) -> Tensor:
    return loss


def quarter(loss: Tensor) -> Tensor:
    return loss / 4


@SHARES
@pytest.mark.parametrize("scale", [plain, quarter])
def test_accumulation_gives_the_loss_of_each_batch(scale: Any, share: float, watched: Any) -> None:
    x, y = torch.randn(96, 4), torch.randint(0, 3, (96,))
    loader = DataLoader(TensorDataset(x, y), batch_size=8)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    hand = []
    with watched(share) as record:
        for _ in range(5):
            losses = []
            for number, (inputs, targets) in enumerate(loader, 1):
                loss = F.cross_entropy(model(inputs), targets)
                scale(loss).backward()
                losses.append(loss.item())
                if number % 4 == 0:
                    optimizer.step()
                    optimizer.zero_grad()
            hand.append(sum(losses) / 12)
    assert record.values("loss/train") == pytest.approx(hand, rel=1e-5)
    assert record.facts["threads"][0]["epochs"] == 5


@SHARES
def test_a_scaled_loss_is_the_loss_before(share: float, watched: Any) -> None:
    x, y = torch.randn(96, 4), torch.randint(0, 3, (96,))
    loader = DataLoader(TensorDataset(x, y), batch_size=16)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu")
    losses, minimised = [], []
    with watched(share) as record:
        for _ in range(5):
            for inputs, targets in loader:
                optimizer.zero_grad()
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = F.cross_entropy(model(inputs), targets)
                total = loss + 0.01 * model.weight.square().sum()
                scaler.scale(total).backward()
                scaler.step(optimizer)
                scaler.update()
                losses.append(loss.item())
                minimised.append(total.item())
    means = [sum(losses[i : i + 6]) / 6 for i in range(0, 30, 6)]
    assert record.values("loss/train") == pytest.approx(means, rel=1e-5)
    # What else is minimised is known of the steps that are looked at.
    assert record.values("loss/optimized")[0] in (
        pytest.approx(sum(minimised[:5]) / 5, rel=1e-5), pytest.approx(sum(minimised[:6]) / 6, rel=1e-5),
    )  # fmt: skip


@SHARES
def test_several_losses_are_recorded_as_what_was_minimised(share: float, watched: Any) -> None:
    x, y = torch.randn(96, 4), torch.randint(0, 3, (96,))
    sums = x.sum(1)
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    hand, parts = [], []
    with watched(share) as record:
        for _ in range(5):
            total = first = 0.0
            for i in range(0, 96, 20):
                output = model(x[i : i + 20])
                one = F.cross_entropy(output[:, :3], y[i : i + 20])
                loss = one + 0.3 * F.mse_loss(output[:, 3], sums[i : i + 20])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total, first = total + loss.item() * len(output), first + one.item() * len(output)
            hand.append(total / 96)
            parts.append(first / 96)
    assert record.facts["threads"][0]["epochs"] == 5
    assert record.values("loss/train") == pytest.approx(hand, rel=1e-5)
    assert record.values("loss/cross_entropy/train")[0] == pytest.approx(parts[0], rel=1e-5)


@SHARES
def test_a_loss_by_hand_is_what_backward_begins_with(share: float, watched: Any) -> None:
    x = torch.randn(96, 4)
    loader = DataLoader(TensorDataset(x, x.sum(1)), batch_size=16)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    hand = []
    with watched(share) as record:
        for _ in range(5):
            losses = []
            for inputs, targets in loader:
                loss = ((model(inputs)[:, 0] - targets) ** 2).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            hand.append(sum(losses) / 6)
    assert record.values("loss/train") == pytest.approx(hand, rel=1e-5)
    assert record.facts["threads"][0]["epochs"] == 5


@SHARES
def test_a_closure_is_one_step(share: float, watched: Any) -> None:
    x, y = torch.randn(96, 4), torch.randint(0, 3, (96,))
    model = nn.Linear(4, 3)
    optimizer = torch.optim.LBFGS(model.parameters(), 0.1, max_iter=4)
    hand: list[list[float]] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        hand[-1].append(loss.item())
        return loss

    with watched(share) as record:
        for _ in range(8):
            hand.append([])
            optimizer.step(closure)
    means = [sum(losses) / len(losses) for losses in hand]
    thread = record.facts["threads"][0]
    assert (thread["steps"], thread["epochs"]) == (8, 8)
    assert record.values("loss/train")[1:] == pytest.approx(means[2:], rel=1e-5)
    assert record.values("loss/batch")[:5] == pytest.approx(means[:5], rel=1e-5)


# name, input, target, further arguments, right answers, judged answers
CASES = [
    ("cross_entropy", [[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]], [0, 1, 1], {}, 2, 3),
    ("cross_entropy", [[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]], [0, -100, 1], {}, 1, 2),
    ("cross_entropy", [[2.0, 1.0], [0.0, 1.0]], [0, 1], {"ignore_index": 1}, 1, 1),
    ("cross_entropy", [2.0, 1.0], 0, {}, 1, 1),
    ("cross_entropy", [[2.0, 1.0], [0.0, 1.0]], [[0.9, 0.1], [0.8, 0.2]], {}, 1, 2),
    ("cross_entropy", [[[2.0, 0.0], [1.0, 1.0]]], [[0, 0]], {}, 1, 2),
    ("nll_loss", [[-0.1, -2.0]], [1], {}, 0, 1),
    ("binary_cross_entropy", [0.9, 0.2, 0.6], [1.0, 0.0, 0.0], {}, 2, 3),
    ("binary_cross_entropy_with_logits", [[0.3], [-2.0]], [[1.0], [1.0]], {}, 1, 2),
    ("binary_cross_entropy", [0.9, 0.2], [0.7, 0.2], {}, 0, 0),
    ("mse_loss", [0.9, 0.2], [1.0, 0.0], {}, 0, 0),
    ("cross_entropy", [], [], {}, 0, 0),
]


@pytest.mark.parametrize(("name", "input", "target", "more", "right", "judged"), CASES)
def test_right_answers(name: str, input: Any, target: Any, more: Any, right: int, judged: int) -> None:
    given, true = torch.tensor(input), torch.tensor(target)
    if not len(given):
        given, true = torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)
    seen = seen_loss(name, torch.zeros(()), {"input": given})
    judge(seen, {"input": given, "target": true, **more})
    assert (seen.correct, seen.judged) == (right, judged)


def test_what_is_no_classification_is_not_judged() -> None:
    seen = seen_loss("cross_entropy", torch.zeros(()), {"input": torch.zeros(2, 3)})
    judge(seen, {"input": torch.zeros(2, 3), "target": None})
    judge(seen, {"input": torch.zeros(2, 3), "target": torch.rand(3)})
    assert seen.judged == 0
