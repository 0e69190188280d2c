"""symmetric-initialization: all units of a layer begin alike, and stay so."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of, for_some
from fitwell.measures.model_places import symmetric_place
from fitwell.measures.structure import ALIKE, ALIKE_LOOKS, BEGAN_ALIKE, LAST_LAYER, UNITS, weights


def _first(
    units: int = 64, looks: int = 5, alike: int = 5, began: bool = True, zero: bool = True
) -> dict[str, object]:
    weight = {
        "layer": "fc1",
        "units": units,
        "alike": began,
        "zero": zero,
        "looks": looks,
        "alike_looks": alike,
    }
    last = {"layer": "fc2", "units": 3, "alike": True, "zero": False, "looks": 5, "alike_looks": 0}
    where = {"file": "train.py", "line": 14}
    table = [{"name": name, "class": "Linear", "where": where} for name in ("fc1", "fc2")]
    return {"signals": {"initial_weights": [weight, last], "layers": {"table": table}}}


RULE = Rule(
    kind="cause",
    severity="error",
    says="all {units} units of {layer} begin with the same weights: they learn the same, as if there were one",
    when=for_some(
        "weights of layers",
        weights,
        all_of(
            UNITS > 1,
            any_of(
                # A layer may begin at 0 if the next ones tell its units apart: then their gradients differ at once,
                # or after a step if the last layer begins at 0, too.
                all_of(ALIKE_LOOKS >= 3, ALIKE >= 1),
                # Dropout gives equal units unequal gradients, but they begin as one.
                all_of(BEGAN_ALIKE.equals(True), LAST_LAYER.equals(False)),
            ),
        ),
    ),
    because="Units with equal weights give equal outputs, so they get equal gradients and stay equal: the layer is "
    "as wide as one unit. Only random initial weights make them learn different things.",
    may_be_wrong_if="the layer is fixed or averages on purpose.",
    remedies=(
        "leave out the constant initialization: torch's own is random",
        "use nn.init.kaiming_normal_ or nn.init.xavier_uniform_ for weights; constants are for biases and norms",
    ),
    sources=(
        Source("Deep Learning, section 8.4", "https://www.deeplearningbook.org/contents/optimization.html"),
    ),
    proves=True,
    verdict="not-converging",
    explains=(
        "input-ignored",
        "label-noise",
        "underfitting",
        "loss-plateau",
        "slow-convergence",
        "badly-scaled-initialization",
        "vanishing-gradients",
        "model-too-small",
        "dead-units",
        "learning-rate-too-low",
        "learning-rate-too-high",
        "weight-decay-too-strong",
        "batch-size-too-small",
        "exploding-gradients",
        "overfitting",
        "loss-oscillates",
    ),
    fires=(
        Example("zeros in every layer", _first()),
        Example("ones, and dropout", _first(alike=0, zero=False)),
    ),
    quiet=(
        Example("a single unit", _first(units=1)),
        Example("seen twice", _first(looks=2, alike=2)),
        Example("a residual branch that begins at zero", _first(alike=4)),
        Example("random", _first(alike=0, began=False, zero=False)),
    ),
    where=symmetric_place,
)
