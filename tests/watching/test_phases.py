"""Training and evaluation are told apart, and their losses are the means that one computes by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler, TensorDataset

WHOLE, SELDOM = (
    1.0,
    1e-9,
)  # shares of the time: look at every step that may be, and at none but the first ones
EPOCHS = 6
Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass
class Loop:
    """A classifier, its data, and the means that are computed by hand."""

    x: Tensor = field(default_factory=lambda: torch.randn(96, 4))
    y: Tensor = field(default_factory=lambda: torch.randint(0, 3, (96,)))
    x_val: Tensor = field(default_factory=lambda: torch.randn(40, 4))
    y_val: Tensor = field(default_factory=lambda: torch.randint(0, 3, (40,)))
    train: list[float] = field(default_factory=list)
    val: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = nn.Linear(4, 3)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        loss = F.cross_entropy(self.model(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach() * len(y)

    def epoch(self, batches: Batches) -> None:
        losses, samples = 0.0, 0
        for x, y in batches:
            losses, samples = losses + self.step(x, y).item(), samples + len(y)
        self.train.append(losses / samples)

    def evaluate(self, batches: Batches, grad: bool = False) -> tuple[float, float]:
        losses, right, samples = 0.0, 0, 0
        with torch.set_grad_enabled(grad):
            for x, y in batches:
                output = self.model(x)
                losses += F.cross_entropy(output, y).item() * len(y)
                right, samples = right + int((output.argmax(1) == y).sum()), samples + len(y)
        return losses / samples, right / samples

    def validate(self, batches: Batches, grad: bool = False) -> None:
        loss, accuracy = self.evaluate(batches, grad)
        self.val.append(loss)
        self.accuracy.append(accuracy)


def slices(x: Tensor, y: Tensor, size: int = 20) -> Iterator[tuple[Tensor, Tensor]]:
    return ((x[i : i + size], y[i : i + size]) for i in range(0, len(x), size))


def picked(x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    order = torch.randperm(len(x))
    return ((x[order[i : i + 20]], y[order[i : i + 20]]) for i in range(0, len(x), 20))


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.x, self.y, strict=True)


def by_loader(loop: Loop) -> None:
    loader = DataLoader(TensorDataset(loop.x, loop.y), batch_size=20, shuffle=True)
    held_out = DataLoader(TensorDataset(loop.x_val, loop.y_val), batch_size=16)
    for _ in range(EPOCHS):
        loop.epoch(loader)
        loop.validate(held_out)


def by_new_loader(loop: Loop) -> None:
    dataset = TensorDataset(loop.x, loop.y)
    for _ in range(EPOCHS):
        loop.epoch(DataLoader(dataset, batch_size=20, shuffle=True))
        loop.validate(slices(loop.x_val, loop.y_val, 16))


def by_new_dataset(loop: Loop) -> None:
    for _ in range(EPOCHS):
        loop.epoch(DataLoader(TensorDataset(loop.x, loop.y), batch_size=20, shuffle=True))


def by_two_samplers_of_one_dataset(loop: Loop) -> None:
    data = TensorDataset(torch.cat([loop.x, loop.x_val]), torch.cat([loop.y, loop.y_val]))
    loader = DataLoader(data, batch_size=20, sampler=SubsetRandomSampler(range(96)))
    held_out = DataLoader(data, batch_size=20, sampler=SubsetRandomSampler(range(96, 136)))
    for _ in range(EPOCHS):
        loop.epoch(loader)
        loop.validate(held_out)


def by_two_loaders_at_once(loop: Loop) -> None:
    xs, ys = DataLoader(loop.x, batch_size=20), DataLoader(loop.y, batch_size=20)
    for _ in range(EPOCHS):
        loop.epoch(zip(xs, ys, strict=True))
        loop.validate([(loop.x_val, loop.y_val)])


def by_loaders_in_turn(loop: Loop) -> None:
    one = DataLoader(TensorDataset(loop.x[:48], loop.y[:48]), batch_size=16)
    other = DataLoader(TensorDataset(loop.x[48:], loop.y[48:]), batch_size=16)
    for _ in range(EPOCHS):
        iterators = iter(one), iter(other)
        loop.epoch(next(iterator) for _ in range(3) for iterator in iterators)
        loop.validate([(loop.x_val, loop.y_val)])


def by_stream(loop: Loop) -> None:
    loader = DataLoader(Stream(loop.x, loop.y), batch_size=20)
    for _ in range(EPOCHS):
        loop.epoch(loader)
        loop.validate(slices(loop.x_val, loop.y_val, 16))


def by_slices(loop: Loop) -> None:
    for _ in range(EPOCHS):
        loop.epoch(slices(loop.x, loop.y))
        loop.validate(slices(loop.x_val, loop.y_val, 16))


def by_slices_alone(loop: Loop) -> None:
    for _ in range(EPOCHS):
        loop.epoch(slices(loop.x, loop.y))


def by_slices_of_a_column(loop: Loop) -> None:
    table = torch.cat([loop.x, loop.y[:, None].float()], 1)
    y = table.long()[:, -1]  # a column: each row of it is five numbers away from the next
    for _ in range(EPOCHS):
        loop.epoch(slices(table[:, :-1], y))


def by_permuted_copies(loop: Loop) -> None:
    for _ in range(EPOCHS):
        order = torch.randperm(len(loop.x))
        loop.x, loop.y = loop.x[order], loop.y[order]
        loop.epoch(slices(loop.x, loop.y))
        loop.validate(slices(loop.x_val, loop.y_val, 16))


def by_picked_samples(loop: Loop) -> None:
    for _ in range(EPOCHS):
        loop.epoch(picked(loop.x, loop.y))
        loop.validate(slices(loop.x_val, loop.y_val, 16))


def by_everything_at_once(loop: Loop) -> None:
    for _ in range(EPOCHS):
        loop.epoch([(loop.x, loop.y)])
        loop.validate([(loop.x_val, loop.y_val)])


def without_no_grad(loop: Loop) -> None:
    loader = DataLoader(TensorDataset(loop.x, loop.y), batch_size=20)
    held_out = DataLoader(TensorDataset(loop.x_val, loop.y_val), batch_size=16)
    for _ in range(EPOCHS):
        loop.epoch(loader)
        loop.validate(held_out, grad=True)


def with_a_look_at_each_step(loop: Loop) -> None:
    """The loss after a step, logged: it is neither trained on nor is it an evaluation."""
    for _ in range(EPOCHS):

        def looked_at() -> Batches:
            for x, y in picked(loop.x, loop.y):
                yield x, y
                loop.evaluate([(x, y)])

        loop.epoch(looked_at())
        loop.validate([(loop.x_val, loop.y_val)])


def with_a_check_before(loop: Loop) -> None:
    loop.validate([(loop.x_val, loop.y_val)])
    for _ in range(EPOCHS):
        loop.epoch(slices(loop.x, loop.y))
        loop.validate([(loop.x_val, loop.y_val)])


PROGRAMS = [
    by_loader, by_new_loader, by_new_dataset, by_two_samplers_of_one_dataset, by_two_loaders_at_once,
    by_loaders_in_turn, by_stream, by_slices, by_slices_alone, by_slices_of_a_column, by_permuted_copies,
    by_picked_samples, by_everything_at_once, without_no_grad, with_a_look_at_each_step, with_a_check_before,
]  # fmt: skip


@pytest.mark.parametrize("share", [WHOLE, SELDOM], ids=["whole", "seldom"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_means_and_epochs_are_those_by_hand(
    program: Callable[[Loop], None], share: float, watched: Any
) -> None:
    loop = Loop()
    with watched(share) as record:
        program(loop)
    steps = EPOCHS * {by_everything_at_once: 1, by_loaders_in_turn: 6}.get(program, 5)
    (thread,) = record.facts["threads"]
    assert (thread["steps"], thread["epochs"]) == (steps, EPOCHS)
    train = record.values("loss/train")
    # That each step is a pass over everything is known at the second one.
    hand = loop.train if program is not by_everything_at_once or len(train) == EPOCHS else [
        sum(loop.train[:2]) / 2, *loop.train[2:],
    ]  # fmt: skip
    assert train == pytest.approx(hand, rel=1e-5)
    assert record.values("loss/val") == pytest.approx(loop.val, rel=1e-5)
    if (
        share == WHOLE and program is not without_no_grad
    ):  # what has a graph is judged only where it is looked at
        assert record.values("accuracy/val") == pytest.approx(loop.accuracy)


@pytest.mark.parametrize("share", [WHOLE, SELDOM], ids=["whole", "seldom"])
def test_one_tensor_cut_into_training_and_held_out_data(share: float, watched: Any) -> None:
    x, y = torch.randn(200, 4), torch.randint(0, 3, (200,))
    loop = Loop(x[:160], y[:160], x[160:], y[160:])
    with watched(share) as record:
        by_slices(loop)
    assert record.facts["threads"][0]["epochs"] == EPOCHS
    assert record.values("loss/train") == pytest.approx(loop.train, rel=1e-5)
    assert record.values("loss/val") == pytest.approx(loop.val, rel=1e-5)
    assert not record.values("loss/train_evaluated")


@pytest.mark.parametrize("share", [WHOLE, SELDOM], ids=["whole", "seldom"])
def test_training_data_that_is_evaluated_is_not_held_out(share: float, watched: Any) -> None:
    loop, hand = Loop(), []
    loader = DataLoader(TensorDataset(loop.x, loop.y), batch_size=20)
    held_out = DataLoader(TensorDataset(loop.x_val, loop.y_val), batch_size=16)
    with watched(share) as record:
        for _ in range(EPOCHS):
            loop.epoch(loader)
            hand.append(loop.evaluate(loader)[0])
            loop.validate(held_out)
    assert record.facts["threads"][0]["epochs"] == EPOCHS
    assert record.values("loss/train_evaluated") == pytest.approx(hand, rel=1e-5)
    assert record.values("loss/val") == pytest.approx(loop.val, rel=1e-5)
    assert [step for step, _ in record.curve("loss/train_evaluated")] == [5 * n for n in range(1, EPOCHS + 1)]


def test_training_data_alone_is_evaluated(watched: Any) -> None:
    loop, hand = Loop(), []
    with watched() as record:
        for _ in range(EPOCHS):
            loop.epoch(slices(loop.x, loop.y))
            hand.append(loop.evaluate(slices(loop.x, loop.y))[0])
    assert record.values("loss/train_evaluated") == pytest.approx(hand, rel=1e-5)


@pytest.mark.parametrize("share", [WHOLE, SELDOM], ids=["whole", "seldom"])
def test_held_out_parts_are_named_in_their_order(share: float, watched: Any) -> None:
    loop, tested = Loop(), []
    loader = DataLoader(TensorDataset(loop.x, loop.y), batch_size=20)
    held_out = DataLoader(TensorDataset(loop.x_val, loop.y_val), batch_size=16)
    test = DataLoader(TensorDataset(loop.x_val + 1, loop.y_val), batch_size=16)
    with watched(share) as record:
        for _ in range(EPOCHS):
            loop.epoch(loader)
            loop.validate(held_out)
            tested.append(loop.evaluate(test)[0])
    assert record.values("loss/val") == pytest.approx(loop.val, rel=1e-5)
    assert record.values("loss/test") == pytest.approx(tested, rel=1e-5)


@pytest.mark.parametrize("share", [WHOLE, SELDOM], ids=["whole", "seldom"])
def test_evaluation_in_the_middle_of_a_pass(share: float, watched: Any) -> None:
    loop, parts = Loop(), []
    loader = DataLoader(TensorDataset(loop.x, loop.y), batch_size=8)
    with watched(share) as record:
        for _ in range(3):
            for number, (x, y) in enumerate(loader, 1):
                parts.append(loop.step(x, y).item() / len(y))
                if number % 4 == 0:
                    loop.validate([(loop.x_val, loop.y_val)])
    hand = [sum(parts[i : i + 4]) / 4 for i in range(0, 36, 4)]
    assert record.facts["threads"][0]["epochs"] == 3
    assert record.values("loss/train") == pytest.approx(hand, rel=1e-5)
    assert record.values("loss/val") == pytest.approx(loop.val, rel=1e-5)
    assert [step for step, _ in record.curve("loss/val")] == list(range(4, 40, 4))


@pytest.mark.parametrize("share", [WHOLE, SELDOM], ids=["whole", "seldom"])
def test_quick_epochs_are_counted_though_few_are_recorded(share: float, watched: Any) -> None:
    loop = Loop()
    with watched(share) as record:
        begin = time.monotonic()
        for _ in range(300):
            loop.epoch(picked(loop.x, loop.y))
            loop.validate([(loop.x_val, loop.y_val)])
        seconds = time.monotonic() - begin
    assert record.facts["threads"][0]["epochs"] == 300
    for name, hand in (("loss/train", loop.train), ("loss/val", loop.val)):
        recorded = record.values(name)
        assert 50 < len(recorded) < 125 + seconds / 0.05
        assert recorded[:50] == pytest.approx(hand[:50], rel=1e-5)


@pytest.mark.parametrize("share", [WHOLE, SELDOM], ids=["whole", "seldom"])
def test_two_trainings_after_one_another_do_not_share_a_pass(share: float, watched: Any) -> None:
    def train() -> Loop:
        loop = Loop(x, y)
        loop.epoch(slices(x, y))
        loop.epoch(slices(x, y))
        return loop

    def stop_early() -> None:
        loop = Loop(x, y)
        for _ in range(2):
            loop.epoch(slices(x, y))
        loop.step(x[:20], y[:20])

    x, y = torch.randn(96, 4), torch.randint(0, 3, (96,))
    with watched(share) as record:
        stop_early()
        loop = train()
    second = record.facts["threads"][1]
    assert second["epochs"] == 2
    assert record.values(f"{second['prefix']}loss/train") == pytest.approx(loop.train, rel=1e-5)


def test_a_part_of_the_held_out_data_says_so_little_that_it_is_judged_whole(watched: Any) -> None:
    loop = Loop()
    with watched() as record:
        by_loader(loop)
    assert record.values("accuracy/val") == pytest.approx(loop.accuracy)


@pytest.mark.parametrize("share", [WHOLE, SELDOM], ids=["whole", "seldom"])
def test_an_evaluation_of_many_batches_keeps_none_of_them(share: float, watched: Any) -> None:
    import gc
    import weakref

    loop = Loop()
    references = []
    with watched(share) as record:
        for _ in range(6):
            loop.step(loop.x, loop.y)
        for _ in range(2000):
            target = torch.randint(0, 3, (96,))
            references.append(weakref.ref(target))
            loss = F.cross_entropy(loop.model(loop.x), target)
        del target, loss
        gc.collect()
        alive = sum(reference() is not None for reference in references)
        for _ in range(6):
            loop.step(loop.x, loop.y)
    assert alive == 0
    assert record.facts["threads"][0]["steps"] == 12
