"""exploding-gradients: gradients are far larger than the weights, or grow tenfold, and the loss is lost by it."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.experiment import Change, Check
from fitwell.measures.curves import FALL, LATE_FALL, NOT_FINITE, STARTS_FINITE
from fitwell.measures.gradients import CLIPPED, GRADIENT_SIZE, LARGEST_UPDATE, NORM_GROWTH
from fitwell.measures.model_places import exploding_place

NAN = float("nan")


def _run(
    norms: list[float], losses: list[float], weight: float = 10.0, **more: list[float]
) -> dict[str, list[float]]:
    found = {
        "gradient/norm": norms,
        "layer/first/weight_norm": [weight] * len(norms),
        "loss/batch": losses[:1],
    }
    return (
        found | {"loss/window": losses} | {name.replace("__", "/"): values for name, values in more.items()}
    )


LOST = [90.0] + [9.0] * 7
FALLING = [90.0] + [9.0] * 5 + [8.8] * 2
RULE = Rule(
    kind="cause",
    severity="warning",
    says="the gradients explode, and the loss with them",
    when=all_of(
        CLIPPED.equals(False),
        STARTS_FINITE.equals(True),  # else it is lost by a formula, before any gradient
        any_of(
            # At the first step: in the healthy runs 0.6 times the weights at most, 50 for a loss that is a sum.
            all_of(GRADIENT_SIZE > 10, any_of(NOT_FINITE.equals(True), FALL < 0.1)),
            # A step that is longer than the weights leaves nothing of them, and what comes after it stands still.
            all_of(GRADIENT_SIZE > 100, LARGEST_UPDATE > 1, LATE_FALL < 0.02),
            # In play and in adversarial training the norm grows as the loss does, and nothing is wrong.
            all_of(NORM_GROWTH > 10, NOT_FINITE.equals(True)),
        ),
    ),
    because="A gradient that grows through layers or time steps moves the weights so far that the loss rises, and with "
    "it the next gradient, until numbers overflow.",
    may_be_wrong_if="the loss is a sum over many samples, whose gradient is large by its nature, and something else "
    "keeps it from falling.",
    remedies=(
        "initialize weights for the activation (kaiming for ReLU, xavier for tanh), or add a normalization layer",
        "clip: torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0) between backward and step",
        "lower the learning rate by ten",
    ),
    sources=(
        Source("On the difficulty of training recurrent neural networks", "https://arxiv.org/abs/1211.5063"),
        Source("Delving deep into rectifiers", "https://arxiv.org/abs/1502.01852"),
    ),
    proves=False,
    verdict="not-converging",
    explains=(
        "loss-not-finite",
        "loss-oscillates",
        "loss-plateau",
        "underfitting",
        "label-noise",
        "augmentation-too-strong",
        "labels-unrelated-to-input",
        "vanishing-gradients",
        "dead-units",
    ),
    check=Check(
        (Change("clip", {"percentile": 10.0}), Change("rate", {"factor": 0.1})), least=0.3, fresh=True
    ),
    fires=(
        Example("overflow at once", {}, _run([1e4, 1e4, 1e4], [1e9, NAN, NAN, NAN])),
        Example("too large to learn", {}, _run([150.0, 140.0, 150.0], [9.0, 9.0, 9.0])),
        Example("the first step undoes the initialization", {}, _run([2e3] * 3, LOST, update__ratio=[1.4])),
        Example("a recurrent net whose norm jumps", {}, _run([1.0, 1.1, 14.0], [2.0, NAN])),
    ),
    quiet=(
        Example("the logarithm of a negative number", {}, _run([150.0] * 3, [NAN, NAN, NAN])),
        Example(
            "they are clipped",
            {},
            _run([1e4, 1e4, 1e4], [1e9, NAN, NAN, NAN], gradient__norm_before_clipping=[1e5, 1e5, 1e5]),
        ),
        Example("a sum over a batch that learns", {}, _run([150.0, 140.0, 150.0], [9.0, 8.0, 8.0])),
        Example("a large one, and all is learned", {}, _run([2e3] * 3, FALLING, update__ratio=[1.4])),
        Example("a large one, and steps as long as usual", {}, _run([2e3] * 3, LOST, update__ratio=[0.9])),
        Example("a third of the sum over a batch", {}, _run([900.0] * 3, LOST, update__ratio=[1.4])),
        Example("nearly as large, and no learning", {}, _run([98.0, 90.0, 90.0], [9.0, 9.0, 9.0])),
        Example("a norm that grew ninefold before NaN", {}, _run([1.0, 1.0, 9.0], [2.0, NAN])),
        Example("a norm that grew as a critic does", {}, _run([1.0, 1.1, 14.0], [2.0, 2.0, 2.0])),
    ),
    where=exploding_place,
)
