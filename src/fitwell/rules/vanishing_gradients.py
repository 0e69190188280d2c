"""vanishing-gradients: the first layers get next to no gradient, and nothing is learned."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of
from fitwell.experiment import Change, Check
from fitwell.measures.curves import FALL, STEPS
from fitwell.measures.gradients import THROUGH_DEPTH
from fitwell.measures.model_places import squashing_place


def _run(first: float, end: float, steps: int = 100) -> tuple[dict[str, object], dict[str, list[float]]]:
    gradients = {"a": first, "b": 0.1, "c": 1.0}
    signals = {f"layer/{layer}/gradient_norm": [norm] * 5 for layer, norm in gradients.items()}
    signals |= {f"layer/{layer}/weight_norm": [5.0] * 5 for layer in gradients}
    table = [{"name": layer} for layer in gradients]
    facts: dict[str, object] = {
        "threads": [{"name": "", "steps": steps}],
        "signals": {"layers": {"table": table}},
    }
    return facts, signals | {"loss/batch": [2.3] * 5, "loss/window": [2.3, end, end, end]}


RULE = Rule(
    kind="cause",
    severity="warning",
    says="hardly any gradient reaches the first layers, and the loss does not fall",
    when=all_of(
        # Healthy runs: 0.002 and more. Each sigmoid layer takes a factor of four or more.
        THROUGH_DEPTH < 1e-3,
        FALL < 0.1,
        STEPS >= 50,
    ),
    because="Each layer multiplies the gradient by its weights and by the slope of its activation. Where that is less "
    "than one, the layers that see the data first do not learn, and those after them are given noise.",
    may_be_wrong_if="the first layers were trained before and are meant to stay nearly as they are.",
    remedies=(
        "use ReLU or GELU instead of sigmoid or tanh between layers",
        "add batch or layer normalization, or residual connections",
        "initialize weights for the activation: torch.nn.init.xavier_uniform_ for tanh and sigmoid",
    ),
    sources=(
        Source(
            "Understanding the difficulty of training deep feedforward neural networks",
            "https://proceedings.mlr.press/v9/glorot10a.html",
        ),
    ),
    proves=False,
    verdict="not-converging",
    explains=(
        "loss-plateau",
        "slow-convergence",
        "learning-rate-too-low",
        "underfitting",
        "model-too-small",
        "batch-size-too-small",
        "loss-oscillates",
        "label-noise",
        "augmentation-too-strong",
        "labels-unrelated-to-input",
        "class-imbalance",
    ),
    check=Check(
        (Change("activation", {"name": "relu"}), Change("initialize", {"scheme": "kaiming"})),
        least=0.2,
        steps=60,
        fresh=True,
    ),
    suspects=all_of(THROUGH_DEPTH < 0.01, FALL < 0.3),
    fires=(Example("sigmoids, eight layers deep", *_run(1e-7, 2.29)),),
    quiet=(
        Example("a deep net that learns", *_run(1e-7, 2.05)),
        Example("a ratio that still teaches", *_run(1.1e-3, 2.29)),
        Example("it has hardly begun", *_run(1e-7, 2.29, steps=45)),
    ),
    where=squashing_place,
)
