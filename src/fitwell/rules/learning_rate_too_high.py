"""learning-rate-too-high: steps move the weights by a large part of themselves, and the loss is the worse for it."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.experiment import Change, Check
from fitwell.measures.curves import FALL, LATE_FALL, NOISE, NOT_FINITE, PEAK
from fitwell.measures.gradients import GRADIENT_SIZE, LARGEST_UPDATE, QUASI_NEWTON
from fitwell.measures.model_places import made_place

NAN = float("nan")
WORSE = [1.4, 1.4, 1.4, 1.42, 1.44, 1.46]
LBFGS: dict[str, object] = {"signals": {"learning_rate": {"": {"optimizer": "LBFGS"}}}}
ZIGZAG = [1.2, 0.5, 0.9, 0.6, 0.5, 0.8, 0.6, 1.0]


def _run(
    update: float, losses: list[float], *, peak: float = 2.3, gradient: float = 1.0
) -> dict[str, list[float]]:
    return {
        "update/ratio": [update, update / 2, update / 3],
        "gradient/norm": [gradient],
        "layer/first/weight_norm": [10.0],
        "loss/batch": [2.3, peak],
        "loss/window": losses,
    }


RULE = Rule(
    kind="cause",
    severity="warning",
    says="the learning rate is too high: steps overshoot, and the loss does not fall",
    when=all_of(
        any_of(
            # Healthy runs whose loss did not fall stay below 0.02; those above 0.2 learn.
            all_of(LARGEST_UPDATE > 0.2, QUASI_NEWTON.equals(False)),
            all_of(PEAK > 3, LARGEST_UPDATE > 0.05),
        ),
        any_of(
            NOT_FINITE.equals(True),
            all_of(
                any_of(PEAK > 1.05, NOISE > 0.01),  # a loss that does not stir is held by something else
                any_of(
                    FALL < 0.1,
                    # It learned something, and now gets worse, or jumps about without getting better.
                    all_of(LATE_FALL < 0, FALL < 0.5),
                    all_of(LATE_FALL < 0.1, NOISE > 0.1, FALL < 0.9),
                ),
            ),
        ),
        GRADIENT_SIZE < 10,  # more than that explodes at any rate
    ),
    because="A step follows the slope of the loss, which holds near the weights only. One that moves them by a fifth "
    "of their norm jumps over the valley: the loss rises, or units die, and learning does not recover.",
    may_be_wrong_if="the loss need not fall, as in play or adversarial training, or the weights start at zero.",
    remedies=(
        "divide the learning rate by ten; 1e-3 is usual for Adam, 0.01 to 0.1 for SGD",
        "let the rate rise over the first few hundred steps (warm-up)",
        "find the range with fitwell lr",
    ),
    sources=(
        Source("Cyclical learning rates for training neural networks", "https://arxiv.org/abs/1506.01186"),
        Source("Deep learning tuning playbook", "https://github.com/google-research/tuning_playbook"),
    ),
    proves=False,
    verdict="not-converging",
    explains=(
        "loss-not-finite",
        "exploding-gradients",
        "loss-oscillates",
        "loss-plateau",
        "vanishing-gradients",
        "batch-size-too-small",
        "underfitting",
        "model-too-small",
        "label-noise",
        "augmentation-too-strong",
        "labels-unrelated-to-input",
        "class-imbalance",
    ),
    check=Check((Change("rate", {"factor": 0.1}), Change("rate", {"factor": 0.01})), least=0.3, fresh=True),
    # A loss that stands still at steps of a usual length, too: most often that is the noise of its batches.
    suspects=all_of(
        LARGEST_UPDATE > 0.03,
        QUASI_NEWTON.equals(False),
        any_of(NOT_FINITE.equals(True), FALL < 0.1, all_of(LATE_FALL < 0.1, FALL < 0.9)),
    ),
    fires=(
        Example("Adam at 1: stuck at chance", {}, _run(5.0, [9.0, 2.4, 2.3, 2.3])),
        Example("SGD diverges", {}, _run(0.3, [2.5, NAN, NAN, NAN])),
        Example("it overshoots and comes back to chance", {}, _run(0.1, [30.0, 2.4, 2.3, 2.3], peak=40.0)),
        Example("it stirs, and does not learn", {}, _run(0.8, [2.3, 2.2, 2.3, 2.2, 2.3, 2.2, 2.3, 2.2])),
        Example("it learned, and gets worse", {}, _run(0.3, [1.6, 1.5, *WORSE], peak=2.5)),
        Example("it learned and jumps about", {}, _run(0.8, ZIGZAG)),
    ),
    quiet=(
        Example("something else holds the loss", {}, _run(0.8, [2.3] * 4 + [2.3127, 2.2873] * 2, peak=2.35)),
        Example(
            "half of it learned, and a little worse", {}, _run(0.3, [1.1] + [1.04] * 4 + [1.1] * 3, peak=2.5)
        ),
        Example(
            "long steps, and it settles", {}, _run(0.3, [2.3, 1.8, 1.6, 1.5, 1.5, 1.5, 1.49, 1.49], peak=2.5)
        ),
        Example("small, and noise is left", {}, _run(0.3, [0.5, 0.2, 0.2, 0.15, 0.2, 0.14, 0.2, 0.16])),
        Example("an optimizer of long steps", LBFGS, _run(0.8, [2.3, 2.2, 2.3, 2.2, 2.3, 2.2, 2.3, 2.2])),
        Example(
            "large steps of a new head that learns", {}, _run(0.8, [1.2, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
        ),
        Example("NaN of another cause", {}, _run(0.02, [2.5, NAN, NAN, NAN])),
        Example("not learning, steps of a fifth", {}, _run(0.19, [2.4, 2.3, 2.3, 2.3])),
        Example("steps of a fifth, and learning", {}, _run(0.3, [2.3, 2.1, 2.05, 2.03])),
        Example("losses grow as in play, by small steps", {}, _run(0.045, [30.0, 2.4, 2.3, 2.3], peak=40.0)),
        Example("no such peak", {}, _run(0.1, [2.4, 2.3, 2.3, 2.3], peak=6.5)),
        Example("it jumps about a little", {}, _run(0.8, [1.2, 0.5, 0.58, 0.5, 0.52, 0.465, 0.55, 0.53])),
        Example("it jumps about on its way down", {}, _run(0.8, [1.2, 0.9, 0.5, 0.8, 0.7, 0.3, 0.6, 0.3])),
        Example("it explodes at any rate", {}, _run(0.3, [2.5, NAN, NAN, NAN], gradient=101.0)),
    ),
    where=made_place,
)
