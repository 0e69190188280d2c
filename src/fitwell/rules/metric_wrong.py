"""metric-wrong: the program's own accuracy is not the one that its outputs and labels give."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of, for_some
from fitwell.measures.metrics import (
    BY_BATCHES,
    EVALUATIONS,
    FITS_NONE,
    HELD_OUT_NAME,
    IN_PROPORTION,
    LEAST_APART,
    LEAST_BELOW,
    accuracies,
)
from fitwell.measures.places import metric_place


def _given(name: str, *pairs: tuple[float, float], batches: int = 20) -> Any:
    rows = [
        {"value": value, "counted": counted, "samples": 640, "batches": batches, "new": True}
        for value, counted in pairs
    ]
    return {"signals": {"metrics": {"variables": {name: rows}}}}


RULE = Rule(
    kind="bug",
    severity="error",
    says="the accuracy that the program computes ({variable}) is not that of its outputs",
    when=for_some(
        "accuracies of the program",
        accuracies,
        all_of(
            # After every evaluation: a value that fits one of them may only be late.
            FITS_NONE >= 1.0,
            any_of(
                # Divided by len(loader), not by the number of samples: exact to rounding, so one is enough.
                BY_BATCHES >= 1.0,
                IN_PROPORTION.equals(True),
                # Else two evaluations, and more than the mean over unequal batches explains, or, where it may be
                # that of training, worse than training ever is.
                all_of(HELD_OUT_NAME.equals(True), EVALUATIONS >= 2, LEAST_APART > 0.1),
                all_of(EVALUATIONS >= 2, LEAST_BELOW > 0.5),
            ),
        ),
    ),
    because="Accuracy is the share of right answers among all samples. To divide by the number of batches, to take "
    "argmax over the samples, or to compare [B, 1] with [B] gives numbers that look like one.",
    may_be_wrong_if="the variable holds the accuracy of another model, of other data, or of another kind.",
    remedies=(
        "add up the right answers and the number of samples of every batch, and divide at the end",
        "compare predictions and labels of one shape, with argmax over the axis of the classes",
    ),
    sources=(
        Source(
            "torch.argmax",
            "https://docs.pytorch.org/docs/stable/generated/torch.argmax.html",
        ),
        Source("Broadcasting", "https://docs.pytorch.org/docs/stable/notes/broadcasting.html"),
    ),
    proves=True,
    fires=(
        Example("divided by the number of batches", _given("accuracy", (16.0, 0.5))),
        Example("divided by twice as many", _given("accuracy", (0.47, 0.94), (0.475, 0.95), (0.48, 0.96))),
        Example(
            "argmax over the samples, in any variable", _given("acc", (0.0, 0.7), (0.0, 0.8), (0.0, 0.8))
        ),
        Example("right answers over samples, of half of them", _given("val_acc", (0.36, 0.7), (0.43, 0.8))),
    ),
    quiet=(
        Example(
            "in percent, and late by an evaluation", _given("val_acc", (70.0, 0.5), (50.0, 0.72), (71.0, 0.9))
        ),
        Example("at first of other data", _given("val_acc", (0.02, 0.7), (0.8, 0.8))),
        Example("of the training data", _given("acc", (0.95, 0.7), (0.97, 0.75))),
        Example("noisy samples in training", _given("acc", (0.26, 0.7), (0.27, 0.75))),
        Example("learned by heart", _given("acc", (0.95, 0.5), (0.97, 0.51), (0.98, 0.5))),
        Example("far below, once", _given("acc", (0.1, 0.8))),
        Example("seen once", _given("val_acc", (0.95, 0.7))),
        Example("of unequal batches", _given("val_acc", (0.79, 0.7), (0.615, 0.7))),
        Example("now and then divided by the batches", _given("accuracy", (16.0, 0.5), (1.9, 0.7))),
    ),
    where=metric_place,
)
