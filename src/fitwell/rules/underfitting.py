"""underfitting: the model settles on a high loss, in training as on held-out data, and no other fault was found."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import absent, all_of, any_of
from fitwell.measures.curves import FALL, LATE_FALL, LEARNED, SHORTFALL, VALIDATED
from fitwell.verdict import LEARNED as LEAST_LEARNED


def _run(end: float, late: float = 0.0, first: float = 2.0, validation: int = 8) -> dict[str, list[float]]:
    before = end / (1 - late)
    losses = [first, *[before] * 5, end, end]
    return {"loss/batch": [2.0] * 5, "loss/train": losses, "loss/val": losses[:validation]}


def _fit(metric: float, baseline: float) -> dict[str, object]:
    judged = {"metric": [metric, metric], "validation_samples": 1000, "baseline": baseline, "chance": 2.0}
    return {"fit": {"best_epoch": 8, "judged": judged}}


RULE = Rule(
    kind="cause",
    severity="advice",
    says="the model underfits: it could learn more of its training data than it does",
    when=all_of(
        LEARNED > LEAST_LEARNED,
        any_of(
            SHORTFALL > LEAST_LEARNED,  # of gradient boosting on the same data, which only fit measures
            all_of(VALIDATED.equals(True), FALL < 0.4, LATE_FALL < 0.02),
        ),
        absent("overfitting"),  # what else keeps a model from learning explains it
    ),
    because="Training and validation loss have settled side by side, far above zero: more data would not help, but a "
    "larger model, better features or less regularization might.",
    may_be_wrong_if="the rest of the loss is noise that no model can explain.",
    remedies=(
        "take a larger model: wider first, then deeper",
        "lessen weight decay, dropout and augmentation",
        "see whether the model can learn 64 samples by heart",
    ),
    sources=(Source("Deep learning tuning playbook", "https://github.com/google-research/tuning_playbook"),),
    proves=False,
    verdict="underfitting",
    fires=(
        Example("settled at three quarters of the loss", {}, _run(1.5)),
        Example("gradient boosting does better", _fit(0.8, 0.95), _run(0.4)),
    ),
    quiet=(
        Example("settled at half of the loss", {}, _run(1.19)),
        Example("still falling", {}, _run(1.5, 0.022)),
        Example("no validation data", {}, _run(1.5, validation=2)),
        Example("nothing learned", {}, _run(1.964)),
        Example("gradient boosting does as well", _fit(0.8, 0.845), _run(0.4)),
        Example("it overfits all the same", {}, _run(1.5), ("overfitting",)),
    ),
)
