"""input-ignored: the output is the same whatever the model is given."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import for_some
from fitwell.measures.model_places import ignoring_place
from fitwell.measures.places import first_layer_place, first_of
from fitwell.measures.structure import INPUT_MATTERS, models


def _matters(answer: str) -> dict[str, object]:
    return {"signals": {"examination": {"net": {"random": {"repeats": True}, "ignored": answer}}}}


RULE = Rule(
    kind="cause",
    severity="error",
    says="{model} learns nothing of its input: its output is the same for every sample, with any weights",
    # Weights of the moment may hide the input for a while, such as a last layer that begins at 0: that is "now".
    when=for_some("models examined", models, INPUT_MATTERS.one_of("never", "constant")),
    because="The inputs of a training batch were exchanged for those of other samples and then shuffled, and not one "
    "bit of the output changed; nor did it with new random weights. So forward does not use them: it reads another "
    "variable, or multiplies them by zero.",
    may_be_wrong_if="the model is meant to give the same for every input, such as a table of learned vectors.",
    remedies=(
        "follow the argument of forward line by line to the output: is a result assigned to a name that is not used?",
        "look for products with 0, differences of equal things, and masks that hide everything",
    ),
    sources=(
        Source("A Recipe for Training Neural Networks", "https://karpathy.github.io/2019/04/25/recipe/"),
    ),
    proves=True,
    verdict="not-converging",
    explains=(
        "label-noise",
        "underfitting",
        "labels-unrelated-to-input",
        "loss-plateau",
        "unused-parameters",
        "gradient-path-cut",
        "vanishing-gradients",
        "dead-units",
        "saturated-activations",
        "class-imbalance",
        "slow-convergence",
        "learning-rate-too-high",
        "learning-rate-too-low",
        "weight-decay-too-strong",
        "batch-size-too-small",
        "exploding-gradients",
        "overfitting",
        "model-too-small",
        "loss-oscillates",
    ),
    fires=(
        Example("forward reads another variable", _matters("never")),
        Example("it is given zeros", _matters("constant")),
    ),
    quiet=(
        Example("the last layer begins at zero", _matters("now")),
        Example("the output depends on it", _matters("no")),
    ),
    where=first_of(ignoring_place, first_layer_place),
)
