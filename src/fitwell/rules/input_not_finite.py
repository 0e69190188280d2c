"""input-not-finite: the data holds NaN or infinite numbers, and the loss is not finite."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, for_some
from fitwell.measures.data import BAD_VALUES, LOSS_BROKE, bad_places


def _seen(count: int) -> dict[str, Any]:
    features = [2] if count else []
    entered: dict[str, Any] = {"dtype": "float32", "shape": [32, 3], "axis": 1, "each": {}}
    entered |= {"not_finite": {"count": count, "features": features}}
    return {"signals": {"input_statistics": {"threads": {"": entered}}}}


RULE = Rule(
    kind="cause",
    severity="error",
    says="the input holds numbers that are NaN or infinite: input {place}",
    when=for_some(
        "inputs",
        bad_places,
        all_of(
            BAD_VALUES > 0,
            # A program may mean its missing values, and leave them out of the loss.
            LOSS_BROKE.equals(True),
        ),
    ),
    because="One such number makes the loss NaN, its gradient makes all weights NaN, and nothing more is learned.",
    may_be_wrong_if="the numbers are left out before they reach the loss, which broke for another reason.",
    remedies=(
        "find the rows: torch.isfinite(x).all(1), and fill in or leave out what is missing",
        "look for a division by a spread of 0 or a logarithm of 0 where the input is prepared",
    ),
    sources=(Source("torch.isfinite", "https://docs.pytorch.org/docs/stable/generated/torch.isfinite.html"),),
    proves=True,
    explains=(
        "loss-not-finite",
        "learning-rate-too-high",
        "exploding-gradients",
        "input-not-normalized",
        "badly-scaled-initialization",
    ),
    fires=(Example("NaN in the third column", _seen(4), {"loss/batch": [1.0, float("nan")]}),),
    quiet=(
        Example("all numbers are finite", _seen(0), {"loss/batch": [1.0, float("nan")]}),
        Example("missing values are left out", _seen(4), {"loss/batch": [1.0, 0.9]}),
    ),
)
