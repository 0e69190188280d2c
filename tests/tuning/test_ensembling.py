"""An ensemble's answers are averaged probabilities; the greedy choice is never worse than its best member."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fitwell.errors import PlanError
from fitwell.shape import Target
from fitwell.training.evaluation import metrics, probabilities
from fitwell.training.held_out import further_figures
from fitwell.tuning.ensembling import average, choose
from fitwell.tuning.objective import log_loss

CLASSES, BINARY = Target("classes", ("a", "b", "c")), Target("binary", ("no", "yes"))
NUMBER = Target("number", ("u", "v"), (0.0, 1.0), (1.0, 5.0))
TARGETS = [CLASSES, BINARY, NUMBER]
targets, seeds = st.sampled_from(TARGETS), st.integers(0, 999)


def drawn(target, models, samples, seed, scale=2.0):
    """Outputs that know something of y, each with errors of its own."""
    generator = torch.Generator().manual_seed(seed)
    shape = (models, samples, target.outputs)
    noise = torch.randn(shape, generator=generator) * scale
    if target.kind == "classes":
        y = torch.randint(len(target.names), (samples,), generator=generator)
        return list(F.one_hot(y, 3) + noise), y
    if target.kind == "binary":
        y = torch.randint(2, (samples, 1), generator=generator).float()
        return list(2 * y - 1 + noise), y
    y = torch.randn(samples, target.outputs, generator=generator)
    return list(y + noise), y


def loss(outputs, y, target):
    if target.kind == "number":
        return float((outputs.double() - y.double()).square().mean())
    return float(log_loss(outputs, y, target))


@given(targets, st.integers(1, 6), seeds, st.sampled_from([0.1, 2.0, 50.0]))
@settings(deadline=None)
def test_the_average_has_the_mean_of_the_members_probabilities(target, models, seed, scale):
    outputs, _ = drawn(target, models, 8, seed, scale)
    made = average(outputs, target)
    assert made.shape == outputs[0].shape
    assert made.dtype == torch.float64
    if target.kind == "number":
        assert torch.allclose(made, torch.stack(outputs).double().mean(0))
    else:
        mean = torch.stack([probabilities(one, target) for one in outputs]).mean(0)
        assert torch.allclose(probabilities(made, target), mean, atol=1e-12)
        if target.kind == "classes":
            assert torch.allclose(made.exp(), mean, atol=1e-12)


def test_an_average_of_sure_members_stays_finite():
    sure = [torch.tensor([[800.0]]), torch.tensor([[900.0]])]
    assert 800 < float(average(sure, BINARY)) < 801  # 800 + log 2, which probabilities could not tell from 1
    assert average([torch.tensor([[900.0, 0.0, 0.0]])], CLASSES).isfinite().all()


@given(targets, st.integers(2, 6), seeds)
@settings(deadline=None)
def test_an_average_loses_at_most_what_its_mean_member_does(target, models, seed):
    outputs, y = drawn(target, models, 30, seed)
    members = [loss(one, y, target) for one in outputs]
    assert (
        loss(average(outputs, target), y, target) <= sum(members) / models + 1e-12
    )  # both losses are convex


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.kind)
def test_averages_are_taken_where_a_models_outputs_are(target):
    outputs, y = drawn(target, 3, 50, 0)
    made = average(outputs, target)
    assert metrics(made, y, target)
    assert further_figures(made, y, target)


def by_hand(outputs, y, target, size):
    """Caruana's selection, as it is told."""
    chosen, path = [], []
    for _ in range(size):
        tried = [
            loss(average([outputs[i] for i in (*chosen, new)], target), y, target)
            for new in range(len(outputs))
        ]
        chosen.append(tried.index(min(tried)))
        path.append(min(tried))
    return chosen[: [loss < min(path) + 1e-9 for loss in path].index(True) + 1]


@given(targets, st.integers(1, 6), st.integers(1, 6), seeds)
@settings(deadline=None)
def test_the_choice_is_the_greedy_one_and_no_worse_than_the_best_member(target, models, size, seed):
    outputs, y = drawn(target, models, 20, seed)
    chosen = choose(outputs, y, target, size)
    assert chosen == by_hand(outputs, y, target, size)
    made = loss(average([outputs[i] for i in chosen], target), y, target)
    assert made <= min(loss(one, y, target) for one in outputs) + 1e-12
    assert len(chosen) <= size


def test_a_member_is_taken_as_often_as_it_helps():
    y = torch.zeros(1, 1)
    target = Target("number", ("y",), (0.0,), (1.0,))
    outputs = [torch.tensor([[1.0]]), torch.tensor([[-2.0]]), torch.tensor([[9.0]])]
    assert sorted(choose(outputs, y, target, 10)) == [0, 0, 1]  # (1 + 1 - 2) / 3 is exact


def test_two_members_are_the_best_pair_with_the_best_member():
    outputs, y = drawn(CLASSES, 7, 60, 4)
    chosen = choose(outputs, y, CLASSES, 2)
    best = min(range(7), key=lambda i: loss(outputs[i], y, CLASSES))
    pairs = [loss(average([outputs[best], outputs[i]], CLASSES), y, CLASSES) for i in range(7)]
    assert chosen == [best, pairs.index(min(pairs))]


def test_equal_members_are_taken_in_their_order_and_broken_ones_never():
    outputs, y = drawn(CLASSES, 1, 10, 0)
    assert choose([outputs[0]] * 4, y, CLASSES, 3) == [0]
    broken = torch.full_like(outputs[0], torch.nan)
    infinite = outputs[0].clone()
    infinite[0, 0] = torch.inf
    for order in itertools.permutations([broken, infinite, outputs[0]]):
        assert [order[i] is outputs[0] for i in choose(order, y, CLASSES, 3)] == [True]
    sure = [torch.tensor([[1.0], [-1.0]]), torch.tensor([[torch.inf], [-torch.inf]])]
    assert choose(sure, torch.tensor([[1.0], [0.0]]), BINARY, 1) == [0]  # right, but it has diverged
    with pytest.raises(PlanError, match="finite outputs"):
        choose([broken], y, CLASSES, 3)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (lambda outputs, y: average([], CLASSES), "no members"),
        (lambda outputs, y: choose([], y, CLASSES, 2), "no members"),
        (lambda outputs, y: choose(outputs, y, CLASSES, 0), "0 members"),
        (lambda outputs, y: choose(outputs, y, Target("none"), 2), "without a target"),
    ],
)
def test_what_is_no_ensemble_is_refused(what, told):
    with pytest.raises(PlanError, match=told):
        what(*drawn(CLASSES, 2, 5, 0))
