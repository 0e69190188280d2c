"""overfitting: the model knows its training data by heart, and does worse on data that it has not seen."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.measures.curves import GAP, LEARNED, MEMORY, RISE
from fitwell.verdict import GAP as LARGEST_GAP
from fitwell.verdict import LEARNED as LEAST_LEARNED
from fitwell.verdict import MEMORY as LARGEST_MEMORY
from fitwell.verdict import RISE as LARGEST_RISE

FALLING = [1.0, 0.6, 0.3, 0.2, 0.1, 0.05]


def _fit(train: float, validation: float, samples: int = 1000, chance: float = 1.0) -> dict[str, object]:
    judged = {"metric": [train, validation], "validation_samples": samples, "chance": chance}
    return {"fit": {"best_epoch": 3, "judged": judged}}


def _curves(validation: list[float], train: list[float] | None = None) -> dict[str, list[float]]:
    return {"loss/train": train or FALLING, "loss/val": validation}


BY_HEART = [1.0, 0.3, 0.1, 0.01, 0.001, 0.001]
RISING = _curves([1.0, 0.6, 0.55, 0.7, 0.8, 0.9])

RULE = Rule(
    kind="cause",
    severity="warning",
    says="the model overfits: it does better and better on its training data, and worse on data held out",
    when=all_of(
        LEARNED > LEAST_LEARNED,
        # The same figures and limits as of the verdict.
        any_of(GAP > LARGEST_GAP, RISE > LARGEST_RISE, MEMORY > LARGEST_MEMORY),
    ),
    because="What a model learns of the noise in its training data does not hold for other data. The gap between the "
    "two is what it knows by heart.",
    may_be_wrong_if="the held-out data is of another kind than the training data, which looks the same.",
    remedies=(
        "keep the weights of the best epoch (early stopping)",
        "get more data, or augment it",
        "regularize: weight decay, dropout, label smoothing; or take a smaller model",
    ),
    sources=(
        Source("Deep learning, chapter 7", "https://www.deeplearningbook.org/contents/regularization.html"),
    ),
    proves=False,
    fires=(
        Example("perfect in training, 80 % held out", _fit(1.0, 0.8), RISING),
        Example("the validation loss rises", {}, RISING),
        Example(
            "nothing is left to learn of the training data", {}, _curves([0.5, 0.4] + [0.3] * 4, BY_HEART)
        ),
    ),
    quiet=(
        Example("within the error of 20 samples", _fit(1.0, 0.8, 20), RISING),
        Example("by heart, and nearly as good on other data", {}, _curves([0.5, 0.4] + [0.17] * 4, BY_HEART)),
        Example("a gap of 0.06", _fit(0.97, 0.885), RISING),
        Example("it settles a little higher", {}, _curves([1.0, 0.6, 0.5, 0.57, 0.572, 0.573])),
        Example(
            "nothing learned",
            {},
            _curves([1.0, 0.6, 0.55, 0.7, 0.8, 0.9], [1.0, 0.99, 0.983, 0.99, 1.0, 1.0]),
        ),
    ),
)
