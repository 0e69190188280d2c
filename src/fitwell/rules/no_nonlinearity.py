"""no-nonlinearity: layers in a row without an activation between them act as one."""

from fitwell.diagnosis import Example, Rule, Source, subjects_place
from fitwell.evidence import all_of, any_of, for_some
from fitwell.measures.places import first_of, pair_place
from fitwell.measures.structure import ACTIVATIONS, AFFINE_ERROR, REDUNDANT_PAIRS, models


def _affine(error: float, redundant: int, activations: int = 0) -> dict[str, object]:
    affine = {"error": error, "redundant": redundant, "activations": activations, "layers": 3}
    return {"signals": {"examination": {"net": {"random": {"repeats": True}, "affine": affine}}}}


RULE = Rule(
    kind="bug",
    severity="error",
    says="{model} has no activation between its layers: together they compute no more than a single one",
    when=for_some(
        "models examined",
        models,
        all_of(
            # Float32 leaves 1e-7 to 1e-5 of an affine map; the least of the healthy nets measured was 0.27.
            any_of(AFFINE_ERROR < 1e-3, ACTIVATIONS.equals(0)),
            # A bottleneck on purpose (PCA, low rank) has no layer to spare.
            REDUNDANT_PAIRS > 0,
        ),
    ),
    because="A product of matrices is a matrix: without something nonlinear between them several linear or "
    "convolutional layers can express only what one of them can, however many there are. The test gives the model, "
    "with new weights, two inputs x and y and what lies on their line: f(3x - 2y) = 3 f(x) - 2 f(y) holds only for "
    "affine maps.",
    may_be_wrong_if="the model is meant to be linear, such as in a study of deep linear networks.",
    remedies=(
        "put an activation such as nn.ReLU() or F.relu after each hidden layer",
        "keep a single linear layer, if a linear model is meant",
    ),
    sources=(Source("Deep Learning, section 6.1", "https://www.deeplearningbook.org/contents/mlp.html"),),
    proves=True,
    fires=(
        Example("three linear layers", _affine(2e-7, 2)),
        Example("a matrix that is transformed by a hand-written affine operation", _affine(2e-7, 1, 3)),
        Example("convolutions with max pooling alone between", _affine(0.4, 2)),
    ),
    quiet=(
        Example("PCA: two linear layers around a bottleneck", _affine(2e-7, 0)),
        Example("nearly linear", _affine(1.1e-3, 2, 1)),
    ),
    where=first_of(pair_place, subjects_place),
)
