"""The criterion is a mean over samples, whatever the batches, weights, smoothing and softness of y."""

import math

import pytest
import torch
import torch.nn.functional as F

from fitwell.errors import PlanError
from fitwell.models.criterion import class_weights, criterion
from fitwell.plan import LossPlan
from fitwell.shape import Target

CLASSES = Target("classes", ("a", "b", "c"))
BINARY = Target("binary", ("no", "yes"))
NUMBER = Target("number", ("height", "width"), (0.0, 0.0), (1.0, 1.0))
COUNTS = torch.tensor([60, 30, 10])


def sample(target: Target, count: int = 100) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    outputs = torch.randn(count, target.outputs, generator=generator)
    if target.kind == "classes":
        return outputs, torch.arange(3).repeat_interleave(COUNTS)[:count]
    if target.kind == "binary":
        return outputs, (torch.rand(count, 1, generator=generator) < 0.2).float()
    return outputs, torch.randn(count, 2, generator=generator)


@pytest.mark.parametrize("target", [CLASSES, BINARY, NUMBER], ids=lambda target: target.kind)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_mean_over_batches_is_the_mean_over_samples(target, weighted, smoothing):
    if target is NUMBER and (weighted or smoothing):
        pytest.skip("numbers have no classes")
    outputs, y = sample(target)
    counts = torch.bincount(y.long().view(-1)) if target is not NUMBER else None
    loss = criterion(LossPlan(class_weights=weighted, label_smoothing=smoothing), target, counts)
    parts = [len(y[part]) * loss(outputs[part], y[part]) for part in torch.arange(100).split(37)]
    torch.testing.assert_close(sum(parts) / 100, loss(outputs, y))


def test_auto_is_cross_entropy_bce_and_mse():
    plan = LossPlan()
    for target, expected in (
        (CLASSES, F.cross_entropy),
        (BINARY, F.binary_cross_entropy_with_logits),
        (NUMBER, F.mse_loss),
    ):
        outputs, y = sample(target)
        torch.testing.assert_close(criterion(plan, target, None)(outputs, y), expected(outputs, y))


def test_mae_and_huber_by_choice():
    outputs, y = sample(NUMBER)
    error = (outputs - y).abs()
    mae = criterion(LossPlan(function="mae"), NUMBER, None)(outputs, y)
    huber = criterion(LossPlan(function="huber"), NUMBER, None)(outputs, y)
    torch.testing.assert_close(mae, error.mean())
    torch.testing.assert_close(huber, torch.where(error < 1, error**2 / 2, error - 0.5).mean())


def test_class_weights_average_to_one_over_the_training_part():
    weights = class_weights(COUNTS)
    torch.testing.assert_close(weights, 100 / (3 * COUNTS.float()))
    torch.testing.assert_close((weights * COUNTS).sum() / 100, torch.tensor(1.0))
    weights = class_weights(torch.tensor([60, 0, 40]))
    assert weights.isfinite().all()
    torch.testing.assert_close((weights * torch.tensor([60, 0, 40])).sum() / 100, torch.tensor(1.0))


def test_every_class_weighs_the_same_in_all():
    outputs, y = sample(CLASSES)
    each = F.cross_entropy(outputs, y, reduction="none")
    balanced = torch.stack([each[y == k].mean() for k in range(3)]).mean()
    weighted = criterion(LossPlan(class_weights=True), CLASSES, COUNTS)(outputs, y)
    torch.testing.assert_close(weighted, balanced)

    outputs, y = sample(BINARY)
    each = F.binary_cross_entropy_with_logits(outputs, y, reduction="none")
    counts = torch.bincount(y.long().view(-1))
    weighted = criterion(LossPlan(class_weights=True), BINARY, counts)(outputs, y)
    torch.testing.assert_close(weighted, (each[y == 0].mean() + each[y == 1].mean()) / 2)


@pytest.mark.parametrize("weighted", [False, True])
def test_certain_probabilities_are_the_same_as_classes(weighted):
    outputs, y = sample(CLASSES)
    loss = criterion(LossPlan(class_weights=weighted, label_smoothing=0.1), CLASSES, COUNTS)
    torch.testing.assert_close(loss(outputs, F.one_hot(y, 3).float()), loss(outputs, y))


def test_smoothing_mixes_the_target_with_the_uniform_one():
    outputs, y = sample(CLASSES)
    plain, smooth = (criterion(LossPlan(label_smoothing=s), CLASSES, None) for s in (0.0, 0.3))
    mixed = 0.7 * F.one_hot(y, 3) + 0.1
    torch.testing.assert_close(smooth(outputs, y), plain(outputs, mixed))

    outputs, y = sample(BINARY)
    plain, smooth = (criterion(LossPlan(label_smoothing=s), BINARY, None) for s in (0.0, 0.3))
    torch.testing.assert_close(smooth(outputs, y), plain(outputs, 0.7 * y + 0.15))


def test_bce_is_the_cross_entropy_of_two_classes():
    outputs, y = sample(BINARY)
    two = F.cross_entropy(torch.cat([torch.zeros_like(outputs), outputs], 1), y[:, 0].long())
    for function in ("bce", "cross-entropy"):
        torch.testing.assert_close(criterion(LossPlan(function=function), BINARY, None)(outputs, y), two)


def test_ignorance_costs_ln_k():
    loss = criterion(LossPlan(), CLASSES, None)(torch.zeros(5, 3), torch.tensor([0, 1, 2, 0, 1]))
    assert float(loss) == pytest.approx(math.log(3))


@pytest.mark.parametrize(
    ("plan", "target"),
    [
        (LossPlan(function="cross-entropy"), NUMBER),
        (LossPlan(function="bce"), CLASSES),
        (LossPlan(function="mse"), CLASSES),
        (LossPlan(function="huber"), BINARY),
        (LossPlan(class_weights=True), NUMBER),
        (LossPlan(label_smoothing=0.1), NUMBER),
        (LossPlan(), Target("none")),
    ],
)
def test_what_does_not_fit_the_target_is_refused_with_the_fix(plan, target):
    with pytest.raises(PlanError) as refused:
        criterion(plan, target, None)
    assert refused.value.fix


def test_the_weights_stay_out_of_the_saved_model():
    assert not criterion(LossPlan(class_weights=True), CLASSES, COUNTS).state_dict()


def test_given_class_weights_are_used_as_they_are():
    outputs, y = torch.randn(30, 3), torch.arange(30) % 3
    given = criterion(LossPlan(class_weights=(1.0, 0.0, 4.0)), CLASSES, None)(outputs, y)
    each = torch.nn.functional.cross_entropy(outputs, y, reduction="none")
    torch.testing.assert_close(given, (torch.tensor([1.0, 0.0, 4.0])[y] * each).mean())
    with pytest.raises(PlanError, match="2 weights for 3 classes"):
        criterion(LossPlan(class_weights=(1.0, 2.0)), CLASSES, None)
