"""dead-units: most units of a layer give zero for every sample, so they learn no more."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of, for_some
from fitwell.experiment import Change, Check
from fitwell.measures.curves import FALL
from fitwell.measures.model_places import units_place
from fitwell.measures.structure import UNIT_EPOCHS, UNIT_SHARE, unit_layers


def _view(
    share: float, end: float = 0.9, epochs: int = 5
) -> tuple[dict[str, object], dict[str, tuple[float, ...]]]:
    facts: dict[str, object] = {"signals": {"layers": {"table": [{"name": "fc1"}]}}}
    return facts, {"layer/fc1/dead_share": (share,) * epochs, "loss/train": (1.0, end, end, end)}


RULE = Rule(
    kind="cause",
    severity="warning",
    says="most units of {layer} are dead: they give zero for every sample, and no gradient reaches them",
    when=any_of(
        all_of(
            for_some(
                "layers with units that can die",
                unit_layers("dead_share"),
                all_of(UNIT_SHARE > 0.5, UNIT_EPOCHS > 2),
            ),
            FALL < 0.5,  # layers with many dead units can do well
        ),
        # Where a layer is dead from the first steps on, hardly anything is learned afterwards.
        all_of(
            for_some("layers with units that can die", unit_layers("dead_share"), UNIT_SHARE > 0.9),
            FALL < 0.1,
        ),
    ),
    because="A ReLU whose input is negative for every sample gives zero and passes no gradient, so its weights never "
    "change again. Large steps and large negative biases kill units; with most of a layer dead, little passes it.",
    may_be_wrong_if="the layer is meant to be sparse, and the loss falls no further for another reason.",
    remedies=(
        "lower the learning rate, or let it rise slowly at the start",
        "begin with biases of 0 and He's initialization; normalize the input",
        "use LeakyReLU or GELU, which pass some gradient everywhere",
    ),
    sources=(Source("Dying ReLU and Initialization (Lu et al., 2019)", "https://arxiv.org/abs/1903.06733"),),
    proves=False,
    verdict="underfitting",
    explains=(
        "loss-plateau",
        "underfitting",
        "vanishing-gradients",
        "slow-convergence",
        "model-too-small",
        "class-imbalance",
        "augmentation-too-strong",
    ),
    check=Check(
        (Change("activation", {"name": "leaky_relu"}), Change("initialize", {"scheme": "kaiming"})),
        least=0.2,
        steps=60,
        fresh=True,
    ),
    fires=(
        Example("nine in ten are dead", *_view(0.9)),
        Example("dead from the start", *_view(1.0, end=0.95, epochs=2)),
    ),
    quiet=(
        Example("just under half", *_view(0.45)),
        Example("the loss falls", *_view(0.9, end=0.45)),
        Example("no more than two passes", *_view(0.9, epochs=2)),
        Example("just under nine in ten, at the start", *_view(0.89, end=0.95, epochs=2)),
        Example("dead at the start, and it learns", *_view(1.0, end=0.89, epochs=2)),
    ),
    where=units_place,
)
