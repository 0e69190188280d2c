"""constant-feature: a column of the input never varies."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import for_some
from fitwell.measures.data import INPUTS_SEEN, constant_features


def _seen(rows: int, constant: list[int]) -> dict[str, Any]:
    entered: dict[str, Any] = {
        "dtype": "float32",
        "shape": [32, 3],
        "axis": 1,
        "features": 3,
        "samples": rows,
    }
    entered |= {"constant": {"count": len(constant), "first": constant}, "each": {"min": [0.5, 0.0, 1.0]}}
    held = {"samples": 10, "each": {"min": [0.5, 0.0, 1.0], "max": [0.5, 0.0, 1.0]}}
    return {"signals": {"input_statistics": {"threads": {"": entered | {"held_out": held}}}}}


RULE = Rule(
    kind="advice",
    severity="advice",
    says="column {feature} of the input is always {constant}: nothing can be learned from it",
    when=for_some(
        "columns that never vary",
        constant_features,
        INPUTS_SEEN >= 100,  # fewer rows may leave out a rare value
    ),
    because="A column without variance tells nothing about the label; often it was filled in, lost its values while it "
    "was read, or became 0 when it was scaled.",
    may_be_wrong_if="it varies in rows that were not looked at, or it is a constant on purpose.",
    remedies=(
        "leave the column out",
        "look at where it is read and prepared, if it should vary",
    ),
    sources=(Source("VarianceThreshold", "https://scikit-learn.org/stable/modules/feature_selection.html"),),
    proves=False,
    fires=(Example("the second of three columns", _seen(300, [1])),),
    quiet=(Example("all columns vary", _seen(300, [])), Example("ninety rows", _seen(80, [1]))),
)
