"""train-validation-overlap: held-out samples were trained on."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, for_some
from fitwell.measures.data import EVEN, MASKED, MEANT, OVERLAP, OVERLAPPING, REPEATED, held_out_parts


def _seen(
    share: float, repeated: int = 0, masked: bool = False, even: bool = True, found: int = 40
) -> dict[str, Any]:
    train = {"rows": 1000, "duplicates_in_batches": repeated}
    part: dict[str, Any] = {
        "share": share,
        "corrected": share,
        "masked": masked,
        "even": even,
        "found_in_train": found,
    }
    part |= {"losses": ["train: loss = criterion(model(x), y)"]}
    return {
        "facts": {"signals": {"sample_hashes": {"threads": {"": {"parts": {"train": train, "val": part}}}}}}
    }


RULE = Rule(
    kind="bug",
    severity="warning",
    says="{percent} of the held-out samples were trained on: their score says little about new data",
    when=for_some(
        "held-out parts",
        held_out_parts,
        all_of(
            OVERLAP > 0.05,  # data may hold a few rows twice
            OVERLAPPING >= 10,
            # Rows of few different values meet again by themselves.
            REPEATED < 0.05,
            MASKED.equals(False),
            EVEN.equals(True),
            MEANT.equals(True),
        ),
    ),
    because="The rows are equal bit by bit. What was learned by heart is taken for what holds in general, and a model "
    "that overfits looks best.",
    may_be_wrong_if="that part is meant to be training data, looked at without training on it.",
    remedies=(
        "split once, before anything is drawn, repeated or augmented, and keep the parts apart",
        "remove equal rows before the split; keep rows of one person, place or time together",
        "begin each fold of a cross-validation with a new model",
    ),
    sources=(
        Source(
            "Kapoor and Narayanan 2023, leakage and the reproducibility crisis",
            "https://arxiv.org/abs/2207.07048",
        ),
        Source("common pitfalls in scikit-learn", "https://scikit-learn.org/stable/common_pitfalls.html"),
    ),
    proves=True,
    fires=(Example("a third of the validation rows", **_seen(0.3)),),
    quiet=(
        Example("a few equal rows", **_seen(0.045)),
        Example("nine rows", **_seen(0.3, found=9)),
        Example("rows of few different values", **_seen(0.3, repeated=55)),
        Example("nodes of one graph", **_seen(0.3, masked=True)),
        Example("some batches are training data", **_seen(0.3, even=False)),
        Example("the accuracy on training data", **_seen(1.0)),
    ),
)
