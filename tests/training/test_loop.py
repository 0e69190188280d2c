"""The loop is that of a textbook: the same steps, the same numbers, for every family."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import fitwell
import fitwell.fitting
from fitwell.data.contract import Data, Split
from fitwell.errors import DivergedError
from fitwell.models.autoencoder import Autoencoder
from fitwell.models.cnn import Cnn
from fitwell.models.mlp import Mlp
from fitwell.plan import Plan
from fitwell.shape import Batch
from fitwell.training import loop
from fitwell.training.evaluation import measure
from fitwell.training.job import Job
from fitwell.training.loop import Silent, batches_of, steps_of_epoch, train

Make = Callable[..., Job]


class Watching(Silent):
    """Calls a function after each step and keeps the rows of the epochs."""

    def __init__(self, look: Callable[[Job], Any] = lambda _job: None) -> None:
        self.look, self.seen, self.rows = look, [], []

    def step(self, job: Job) -> None:
        self.seen.append(self.look(job))

    def epoch(self, job: Job, row: dict[str, float]) -> None:
        self.rows.append(row)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# --- depth


@pytest.mark.parametrize(("family", "module"), [("mlp", Mlp), ("cnn", Cnn), ("autoencoder", Autoencoder)])
def test_at_most_four_frames_stand_between_fit_and_forward(
    family: str, module: type[nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, depths = module.forward, []

    def spy(self: nn.Module, *fields: Tensor) -> Tensor:
        if self.training:
            depths.append(frames_above(sys._getframe()))
        return forward(self, *fields)

    def frames_above(frame: FrameType) -> int:
        count, above = 0, frame.f_back
        while above is not None and above.f_code is not fitwell.fitting.fit.__code__:
            count, above = count + 1, above.f_back
        assert above is not None
        return count

    monkeypatch.setattr(module, "forward", spy)
    plan = Plan(data="digits").change(
        model=family, hidden=(4,), lr=0.01, epochs=1, batch_size=256, threads=1, dropout=0.0
    )
    fitwell.fit(plan, runs=tmp_path)
    assert depths
    assert max(depths) <= 4


# --- the textbook's numbers


@pytest.mark.parametrize("family", ["mlp", "autoencoder", "rbm"])
def test_it_is_the_textbook_loop_bit_for_bit(family: str, digits: Data, unlabelled: Data, make: Make) -> None:
    data = digits if family == "mlp" else unlabelled
    changes = {"dropout": 0.25} if family == "mlp" else {}
    job = make(data, model=family, weight_decay=0.05, **changes)
    model, x, y = copy.deepcopy(job.model), data.train.fields["x"], data.train.fields.get("y")
    batches = []
    for epoch in range(2):
        job.epoch = epoch
        batches += [index for ((index, _),) in steps_of_epoch(job)]
    job.epoch = 0

    torch.manual_seed(5)
    train(job, Silent())

    torch.manual_seed(5)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.05, fused=True)
    model.train()
    for index in batches:
        optimizer.zero_grad()
        if y is not None:
            loss = nn.functional.cross_entropy(model(x[index]), y[index])
        elif family == "autoencoder":
            standardized = model.standardize(x[index])
            loss = (model(x[index]) - standardized).square().mean()
        else:
            v = (x[index].flatten(1).float() / 16).clamp(0, 1)
            loss = (model.free_energy(v) - model.free_energy(model.gibbs(v, 1))).mean()
        loss.backward()
        optimizer.step()
    assert len(batches) == 10
    assert same(weights(job.model), weights(model))


def test_no_family_is_a_special_case() -> None:
    words = inspect.getsource(loop) + inspect.getsource(sys.modules[Job.__module__])
    for special in ("supervised", "isinstance", "rbm", "autoencoder", "mlp", "cnn"):
        assert special not in words


@pytest.mark.parametrize("samples", [300, 305, 256, 20])
@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulated_batches_are_one_large_batch(
    samples: int, accumulate: int, whole_digits: Data, make: Make
) -> None:
    fields, index = whole_digits.train.fields, whole_digits.train.index
    data = dataclasses.replace(whole_digits, train=Split(fields, index[:samples]))

    def gradients(**changes: int) -> list[Tensor]:
        job = make(data, optimizer="sgd", lr=0.1, epochs=1, **changes)
        job.model.double()
        look = Watching(lambda j: torch.cat([p.grad.flatten().clone() for p in j.model.parameters()]))
        train(job, look)
        return look.seen

    small = gradients(batch_size=64 // accumulate, accumulate=accumulate)
    large = gradients(batch_size=64)
    assert len(small) == len(large)
    for one, other in zip(small, large, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_steps_are_in_order(digits: Data, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make(digits, accumulate=2, clip=1.0, ema=0.9, epochs=1, batch_size=100)
    log: list[str] = []

    def logged(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            log.append(name)
            return call(*args, **kwargs)

        return called

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        if all(parameter.grad is None for parameter in model.parameters()):
            log.append("zero_grad")
        value = job_loss(model, batch)
        value.register_hook(lambda gradient: log.append("backward"))
        return value

    job_loss = logged("loss", job.family.loss)
    job.family = dataclasses.replace(job.family, loss=loss)
    for owner, name in ((job.optimizer, "step"), (job.ema, "update")):
        monkeypatch.setattr(owner, name, logged(name, getattr(owner, name)))
    monkeypatch.setattr(job.schedule, "step", logged("schedule", job.schedule.step))
    monkeypatch.setattr(nn.utils, "clip_grad_norm_", logged("clip", nn.utils.clip_grad_norm_))
    train(job, Watching(lambda _job: log.append("record")))
    two, one, end = (
        ["loss", "backward"] * 2,
        ["loss", "backward"],
        ["clip", "step", "schedule", "update", "record"],
    )
    assert log == ["zero_grad", *two, *end, "zero_grad", *one, *end]


# --- order of the samples


@given(
    samples=st.integers(1, 70),
    size=st.integers(1, 20),
    group=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 50),
)
def test_an_epoch_is_a_permutation_and_goes_on_where_it_was(
    samples: int, size: int, group: int, seed: int, epoch: int
) -> None:
    index = torch.arange(samples) * 3 + 5
    plan = Plan(data="digits").change(batch_size=size, accumulate=group, seed=seed)
    job: Any = SimpleNamespace(
        plan=plan, epoch=epoch, position=0, data=SimpleNamespace(train=Split({}, index))
    )
    steps = list(steps_of_epoch(job))
    assert torch.cat([b for step in steps for b, _ in step]).sort().values.tolist() == index.tolist()
    assert all(len(step) == group for step in steps[:-1])
    for position in range(len(steps) + 1):
        job.position = position
        torch.manual_seed(position)
        rest = list(steps_of_epoch(job))
        assert len(rest) == len(steps) - position
        for one, other in zip(rest, steps[position:], strict=True):
            assert [(b.tolist(), share) for b, share in one] == [(b.tolist(), share) for b, share in other]


def test_each_seed_and_epoch_has_its_own_order(digits: Data, make: Make) -> None:
    orders = set()
    for seed in range(3):
        job = make(digits, seed=seed)
        for epoch in range(3):
            job.epoch = epoch
            orders.add(tuple(torch.cat([i for ((i, _),) in steps_of_epoch(job)]).tolist()))
    assert len(orders) == 9


@pytest.mark.parametrize("at", [1, 4, 5, 6, 9])
def test_a_training_broken_off_goes_on_as_if_it_had_not(at: int, digits: Data, make: Make) -> None:
    whole = make(digits)
    rows = Watching()
    train(whole, rows)

    def stop(job: Job) -> None:
        if job.step == at:
            raise KeyboardInterrupt

    job, later = make(digits), Watching()
    with pytest.raises(KeyboardInterrupt):
        train(job, Watching(stop))
    torch.manual_seed(99)
    train(job, later)
    assert same(weights(job.model), weights(whole.model))
    assert later.rows[-1] == rows.rows[-1]
    assert (job.step, job.epoch, job.position) == (10, 2, 0)


@given(samples=st.integers(1, 200), size=st.integers(1, 70))
def test_no_batch_is_a_lone_sample(samples: int, size: int) -> None:
    lengths = [len(batch) for batch in batches_of(torch.arange(samples), size)]
    assert sum(lengths) == samples
    assert max(lengths) <= size + 1
    if size > 1 and samples > 1:
        assert min(lengths) > 1
    assert all(length == size for length in lengths[:-1])


def test_a_lone_last_sample_joins_the_batch_before() -> None:
    def lengths(samples: int, size: int) -> list[int]:
        return [len(batch) for batch in batches_of(torch.arange(samples), size)]

    assert lengths(65, 64) == [65]
    assert lengths(129, 64) == [64, 65]
    assert lengths(130, 64) == [64, 64, 2]
    assert lengths(3, 1) == [1, 1, 1]
    assert lengths(1, 64) == [1]


# --- figures of an epoch


def test_the_optimized_loss_is_the_mean_over_samples(digits: Data, make: Make) -> None:
    job, seen = make(digits, batch_size=128, accumulate=2), []

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        value = inner(model, batch)
        seen.append((float(value.detach()), len(batch["y"])))
        return value

    inner = job.family.loss
    job.family = dataclasses.replace(job.family, loss=loss)
    watching = Watching()
    train(job, watching)
    for epoch, row in enumerate(watching.rows):
        mine = seen[3 * epoch : 3 * epoch + 3]
        assert [count for _, count in mine] == [128, 128, 44]
        assert row["loss/optimized"] == pytest.approx(sum(v * n for v, n in mine) / 300, rel=1e-12)


def test_the_row_of_an_epoch_is_that_of_its_weights(digits: Data, make: Make) -> None:
    job, watching = make(digits), Watching()
    train(job, watching)
    row, target = watching.rows[-1], digits.shape.target
    for name, part in (("val", digits.validation), ("train", job.train_sample)):
        assert part is not None
        for figure, value in measure(job.family, job.model, part, target).items():
            assert row[f"{figure}/{name}"] == value
    assert row["lr"] == 0.01


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_is_an_error_that_names_a_lower_rate(bad: float, digits: Data, make: Make) -> None:
    job = make(digits)
    inner, calls = job.family.loss, []

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        calls.append(1)
        return inner(model, batch) * (bad if len(calls) == 7 else 1.0)

    job.family = dataclasses.replace(job.family, loss=loss)
    with pytest.raises(DivergedError, match=r"epoch 2(.|\n)*--lr 0\.001\)"):
        train(job, Silent())


# --- regularisation


def test_clipping_bounds_the_norm_of_what_is_applied(digits: Data, make: Make) -> None:
    def norms(**changes: float) -> list[tuple[float, float]]:
        def look(job: Job) -> tuple[float, float]:
            applied = torch.cat([p.grad.flatten() for p in job.model.parameters()]).norm()
            return float(applied), float(job.gradient_norm if job.gradient_norm is not None else applied)

        watching = Watching(look)
        train(make(digits, optimizer="sgd", epochs=1, **changes), watching)
        return watching.seen

    free = norms()
    limit = 0.9 * min(norm for norm, _ in free)
    clipped = norms(clip=limit)
    assert clipped[0][1] == pytest.approx(free[0][0], rel=1e-5)  # what is recorded is the norm before
    for applied, before in clipped:
        assert applied == pytest.approx(min(limit, before), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "changes"), [("augment", {"augment": ("shift",)}), ("mixup", {"mixup": 0.4})]
)
def test_samples_are_varied_in_training_only(
    name: str, changes: dict[str, Any], digits: Data, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, real, varied, given = make(digits, **changes), getattr(loop, name), [], []

    def spy(first: Any, *args: Any) -> Any:
        varied.append(real(first, *args))
        return varied[-1]

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        given.append(batch if name == "mixup" else batch["x"])
        return inner(model, batch)

    monkeypatch.setattr(loop, name, spy)
    inner = job.family.loss
    job.family = dataclasses.replace(job.family, loss=loss)
    watching = Watching()
    train(job, watching)
    assert len(varied) == len(given) == 10  # batches of training; none of evaluation
    assert all(one is other for one, other in zip(varied, given, strict=True))
    assert digits.validation is not None
    plain = measure(job.family, job.model, digits.validation, digits.shape.target)
    assert watching.rows[-1]["loss/val"] == plain["loss"]


def test_the_moving_average_is_what_is_evaluated(digits: Data, make: Make) -> None:
    job, watching = make(digits, ema=0.5), Watching()
    train(job, watching)
    assert job.ema is not None
    assert digits.validation is not None
    assert not same(weights(job.model), job.ema.average)
    with job.ema.applied(job.model):
        expected = measure(job.family, job.model, digits.validation, digits.shape.target)
    assert watching.rows[-1]["loss/val"] == expected["loss"]


def test_bf16_is_used_where_the_plan_asks_for_it(digits: Data, make: Make) -> None:
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        job, seen = make(digits, precision=precision, epochs=1), []
        job.model.layers[-1].register_forward_hook(
            lambda module, inputs, output, seen=seen: seen.append(output.dtype) if module.training else None
        )
        train(job, Silent())
        assert set(seen) == {dtype}
