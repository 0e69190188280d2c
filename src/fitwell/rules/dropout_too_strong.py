"""dropout-too-strong: dropout keeps the model from learning."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.experiment import Change, Check
from fitwell.measures.curves import FALL
from fitwell.measures.model_places import dropout_made_place
from fitwell.measures.modes import STRONGEST_DROPOUT, TRAIN_OVER_VALIDATION, dropout_place
from fitwell.measures.places import first_of


def _signals(end: float, validation: float) -> dict[str, tuple[float, ...]]:
    return {
        "loss/train": (2.0, 2.0, end, end, end),
        "loss/val": (2.0, 2.0, validation, validation, validation),
    }


def _facts(probability: float) -> dict[str, object]:
    layer = {"kind": "dropout", "probability": probability, "training": {}, "evaluation": {}}
    return {"signals": {"running_statistics": {"drop": layer}}}


RULE = Rule(
    kind="cause",
    severity="warning",
    says="dropout is so strong that the model can hardly learn",
    when=all_of(
        STRONGEST_DROPOUT > 0.5,  # the largest that is usual
        # The validation loss is computed without dropout. Where hardly anything passes, neither loss moves.
        any_of(TRAIN_OVER_VALIDATION > 1.25, STRONGEST_DROPOUT > 0.75),
        FALL < 0.5,
    ),
    because="Dropout with p leaves a share 1 - p of the values. Above one half the signal drowns in that noise. The "
    "training loss, with dropout, stays far above the loss without it, and it does not fall as it should.",
    may_be_wrong_if="the training data is much harder than the validation data, such as by augmentation.",
    remedies=(
        "use p = 0.1 to 0.3 for convolutions and transformers, at most 0.5 for wide linear layers",
        "leave out dropout until the model fits the training data",
    ),
    sources=(Source("Dropout (Srivastava et al., 2014)", "https://jmlr.org/papers/v15/srivastava14a.html"),),
    proves=False,
    verdict="underfitting",
    explains=("underfitting", "slow-convergence", "loss-plateau", "loss-oscillates", "label-noise"),
    check=Check((Change("dropout_scale", {"factor": 0.3}),), least=0.2),
    suspects=all_of(STRONGEST_DROPOUT > 0.5, FALL < 0.6),
    fires=(
        Example("p = 0.6", _facts(0.6), _signals(1.9, 1.4)),
        Example("p = 0.95: nothing is learned", _facts(0.95), _signals(2.0, 2.0)),
    ),
    quiet=(
        Example("p = 0.5", _facts(0.5), _signals(1.9, 1.4)),
        Example("the training loss falls by half", _facts(0.9), _signals(0.95, 0.7)),
        Example("as high without dropout", _facts(0.7), _signals(1.9, 1.6)),
    ),
    where=first_of(dropout_made_place, dropout_place),
)
