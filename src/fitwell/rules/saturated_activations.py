"""saturated-activations: most units of a layer are at the flat ends of their activation."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of, for_some
from fitwell.experiment import Change, Check
from fitwell.measures.curves import FALL
from fitwell.measures.model_places import units_place
from fitwell.measures.structure import IS_OUTPUT, UNIT_SHARE, unit_layers


def _view(
    share: float, end: float = 0.9, loss: str | None = None
) -> tuple[dict[str, object], dict[str, tuple[float, ...]]]:
    known = {"fc1": {"kind": "tanh", "loss": loss}}
    facts: dict[str, object] = {"signals": {"layers": {"table": [{"name": "fc1"}]}, "saturated_units": known}}
    return facts, {"layer/fc1/saturated_share": (share,) * 5, "loss/train": (1.0, end, end, end)}


RULE = Rule(
    kind="cause",
    severity="warning",
    says="most units of {layer} are saturated: their activation is flat there, and hardly any gradient passes",
    when=any_of(
        all_of(
            for_some(
                "layers with activations that saturate",
                unit_layers("saturated_share"),
                all_of(UNIT_SHARE > 0.5, IS_OUTPUT.equals(False)),  # sure answers at the output are no fault
            ),
            FALL < 0.5,  # units that are as good as binary can still serve
        ),
        # With hardly any other unit, what those that are as good as binary serve is soon at its end.
        all_of(
            for_some(
                "layers with activations that saturate",
                unit_layers("saturated_share"),
                all_of(UNIT_SHARE > 0.9, IS_OUTPUT.equals(False)),
            ),
            FALL < 0.8,
        ),
    ),
    because="Far from zero tanh and sigmoid are flat: their derivative is below a thousandth, and so is what passes "
    "of the gradient. The layers before learn next to nothing.",
    may_be_wrong_if="the units are meant to be binary, such as gates, and the loss falls no further for another "
    "reason.",
    remedies=(
        "normalize the input to mean 0 and deviation 1",
        "use smaller initial weights (nn.init.xavier_uniform_) and a lower learning rate",
        "use ReLU or GELU in hidden layers, or put a normalization layer before the activation",
    ),
    sources=(
        Source(
            "Understanding the difficulty of training (Glorot and Bengio, 2010)",
            "https://proceedings.mlr.press/v9/glorot10a.html",
        ),
    ),
    proves=False,
    verdict="underfitting",
    explains=(
        "vanishing-gradients",
        "loss-plateau",
        "underfitting",
        "slow-convergence",
        "class-imbalance",
    ),
    check=Check(
        (Change("activation", {"name": "relu"}), Change("initialize", {"scheme": "xavier"})),
        least=0.2,
        steps=60,
        fresh=True,
    ),
    fires=(
        Example("nine in ten are saturated", *_view(0.9)),
        Example("all are saturated, and the loss falls a little", *_view(1.0, end=0.4)),
    ),
    quiet=(
        Example("just under half", *_view(0.45)),
        Example("the loss falls", *_view(0.9, end=0.45)),
        Example("just under nine in ten", *_view(0.89, end=0.4)),
        Example("all are saturated, and the loss falls well", *_view(1.0, end=0.19)),
        Example("a sigmoid at the output", *_view(1.0, loss="binary_cross_entropy")),
    ),
    where=units_place,
)
