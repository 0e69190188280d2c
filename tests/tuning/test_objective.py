"""Scores are lower for better models, agree with the figures of a run, and are the same under vmap."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fitwell.errors import PlanError
from fitwell.shape import Target
from fitwell.training.evaluation import main_metric, metrics
from fitwell.tuning.objective import Objective, choose_objective, log_probabilities

CLASSES, BINARY = Target("classes", ("a", "b", "c")), Target("binary", ("no", "yes"))
NUMBER = Target("number", ("u", "v"), (0.0, 1.0), (1.0, 5.0))
TARGETS = [CLASSES, BINARY, NUMBER]
OBJECTIVES = [
    (CLASSES, Objective("accuracy", True)), (CLASSES, Objective("log_loss", False)),
    (BINARY, Objective("accuracy", True)), (BINARY, Objective("log_loss", False)), (NUMBER, Objective("r2", True)),
]  # fmt: skip


def drawn(target, samples, seed, models=()):
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(*models, samples, target.outputs, generator=generator) * 3
    if target.kind == "classes":
        return outputs, torch.randint(3, (samples,), generator=generator)
    if target.kind == "binary":
        return outputs, torch.randint(2, (samples, 1), generator=generator).float()
    return outputs, torch.randn(samples, target.outputs, generator=generator)


@pytest.mark.parametrize(
    ("target", "samples", "metric", "higher"),
    [
        (CLASSES, 500, "accuracy", True), (CLASSES, 499, "log_loss", False), (BINARY, 10_000, "accuracy", True),
        (BINARY, 60, "log_loss", False), (NUMBER, 10, "r2", True), (Target("none"), 1000, "loss", False),
    ],
)  # fmt: skip
def test_the_objective_is_chosen_by_the_target_and_the_samples(target, samples, metric, higher):
    assert choose_objective(target, samples) == Objective(metric, higher)


@given(st.sampled_from(TARGETS), st.integers(2, 700), st.integers(0, 999))
@settings(deadline=None)
def test_a_score_shows_the_figure_of_the_run(target, samples, seed):
    outputs, y = drawn(target, samples, seed)
    chosen = choose_objective(target, samples)
    score = chosen.score(outputs, y, target)
    assert (score.shape, score.dtype) == ((), torch.float64)
    if chosen.metric == "log_loss":
        loss = F.cross_entropy if target.kind == "classes" else F.binary_cross_entropy_with_logits
        truth = y if target.kind == "classes" else y.double()
        assert chosen.shown(float(score)) == pytest.approx(float(loss(outputs.double(), truth)))
    else:
        assert chosen.metric == main_metric(target)
        assert chosen.shown(float(score)) == pytest.approx(float(metrics(outputs, y, target)[chosen.metric]))
    assert chosen.shown(chosen.shown(float(score))) == pytest.approx(float(score))


@pytest.mark.parametrize(("target", "by"), OBJECTIVES)
@pytest.mark.parametrize("own_samples", [False, True])
def test_a_population_is_scored_as_its_models_are_alone(target, by, own_samples):
    outputs, y = drawn(target, 40, 0, (5,))
    each = torch.stack([y.roll(m, 0) for m in range(5)]) if own_samples else y
    scored = torch.vmap(lambda o, t: by.score(o, t, target), in_dims=(0, 0 if own_samples else None))(
        outputs, each
    )
    alone = torch.stack([by.score(o, each[m] if own_samples else y, target) for m, o in enumerate(outputs)])
    assert torch.allclose(scored, alone, rtol=1e-12)
    assert torch.vmap(lambda o: choose_objective(target, len(y)).score(o, y, target))(outputs).shape == (5,)


@pytest.mark.parametrize(("target", "by"), OBJECTIVES)
def test_the_better_model_has_the_lower_score_and_a_broken_one_the_highest(target, by):
    _, y = drawn(target, 80, 1)
    right = {
        "classes": lambda: F.one_hot(y, 3) * 20.0, "binary": lambda: (2 * y - 1) * 20, "number": lambda: y,
    }[target.kind]()  # fmt: skip
    scores = [float(by.score(one, y, target)) for one in (right, right * 0.1, -right)]
    assert scores == sorted(scores)
    assert scores[0] < scores[2]
    assert scores[0] == pytest.approx(0, abs=1e-6)
    for bad in (torch.nan, torch.inf, -torch.inf):
        broken = right.clone()
        broken[3, 0] = bad
        assert float(by.score(broken, y, target)) == float("inf")


@given(st.sampled_from([CLASSES, BINARY]), st.integers(0, 99))
@settings(deadline=None)
def test_log_probabilities_are_of_classes_that_sum_to_one(target, seed):
    outputs, _ = drawn(target, 6, seed)
    logs = log_probabilities(outputs, target)
    assert logs.shape == (6, len(target.names))
    assert torch.allclose(logs.exp().sum(1), torch.ones(6, dtype=torch.float64))
    assert log_probabilities(outputs * 1000, target).isfinite().all()


def test_without_a_target_the_family_has_to_say():
    with pytest.raises(PlanError, match="without a target"):
        choose_objective(Target("none"), 5).score(torch.zeros(5, 2), torch.zeros(5), Target("none"))
