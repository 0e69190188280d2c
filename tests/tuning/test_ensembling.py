"""An ensemble's answers are averaged probabilities; its members are those that can't be told from the best."""

import itertools
from statistics import fmean, pstdev

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
from fitwell.tuning.objective import log_loss, losses

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
    """The best, and after it those whose loss on the same samples is not higher by two standard errors."""
    each = [losses(one, y, target).tolist() for one in outputs]
    ranked = sorted(range(len(each)), key=lambda place: fmean(each[place]))
    found = []
    for place in ranked:
        worse = [a - b for a, b in zip(each[place], each[ranked[0]], strict=True)]
        if fmean(worse) <= 2 * pstdev(worse) / len(worse) ** 0.5 + 1e-12:
            found.append(place)
    return found[:size]


@given(targets, st.integers(1, 6), st.integers(1, 6), seeds)
@settings(deadline=None)
def test_the_choice_is_the_best_and_those_that_are_not_clearly_worse(target, models, size, seed):
    outputs, y = drawn(target, models, 20, seed)
    assert choose(outputs, y, target, size) == by_hand(outputs, y, target, size)


def test_one_that_is_clearly_the_best_stays_alone():
    (good, *others), y = drawn(CLASSES, 4, 60, 4)
    assert choose([*others, 9 * F.one_hot(y, 3) + 0.1 * good], y, CLASSES, 5) == [3]


def test_a_lucky_member_does_not_stand_alone_where_there_are_few_samples():
    """All are sure, and each is wrong about every tenth sample: the one that is right about a few was lucky.

    To add another to it makes the loss on these few worse, so a greedy choice stays with it.
    """
    few, rest = slice(0, 20), slice(20, None)
    gains = []
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        y = torch.randint(3, (420,), generator=generator)
        wrong = torch.rand(8, 420, generator=generator) < 0.1
        outputs = list(8.0 * F.one_hot((y + wrong) % 3, 3))
        chosen = choose([one[few] for one in outputs], y[few], CLASSES, 5)
        together = loss(average([outputs[place][rest] for place in chosen], CLASSES), y[rest], CLASSES)
        gains.append(loss(outputs[chosen[0]][rest], y[rest], CLASSES) - together)
    assert min(gains) > 0


def test_equal_members_are_taken_in_their_order_and_broken_ones_never():
    outputs, y = drawn(CLASSES, 1, 10, 0)
    assert choose([outputs[0]] * 4, y, CLASSES, 3) == [0, 1, 2]
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
