"""learning-rate-too-low: all steps together hardly move the weights, and the loss hardly falls."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import absent, all_of, any_of
from fitwell.experiment import Change, Check
from fitwell.measures.curves import FALL, LATE_PART, STEPS, TRAINED_BEFORE
from fitwell.measures.gradients import COSINE, LONGEST_STEP, PATH
from fitwell.measures.model_places import made_place

Recorded = tuple[dict[str, object], dict[str, list[float]]]


def _run(
    update: float = 1e-5,
    end: float = 2.28,
    steps: int = 200,
    start: float = 2.3,
    warm: float = 1.0,
    counts: tuple[int, ...] = (),
) -> Recorded:
    place = {"function": "cross_entropy", "part": "train", "counts": list(counts)}
    facts: dict[str, object] = {"threads": [{"name": "", "steps": steps}]}
    facts |= {"signals": {"labels": {"places": [place] if counts else []}}}
    losses = {"loss/batch": [start] * 5, "loss/window": [start, end, end, end]}
    return facts, losses | {"update/ratio": [update] * 5, "lr": [1e-5] * 5 + [1e-5 * warm] * 195} | {
        "gradient/cosine": [0.2] * 5
    }


def _all_data(losses: list[float], update: float = 0.02, cosine: float = 1.0, steps: int = 35) -> Recorded:
    """Each step sees all the data."""
    facts, signals = _run(update, steps=steps)
    return facts, signals | {"loss/window": losses, "gradient/cosine": [cosine] * 5}


STEADY = [2.3, 2.2, 2.1, 2.0, 1.9, 1.8, 1.7, 1.6]
SETTLING = [2.3, 1.8, 1.65, 1.61, 1.6, 1.6, 1.6, 1.6]
LATE = [2.3, 1.9, 1.75, 1.68, 1.68, 1.62, 1.55, 1.5]
FAST = [2.3, 2.1, 1.9, 1.7, 1.5, 1.3, 1.05, 0.8]

RULE = Rule(
    kind="cause",
    severity="warning",
    says="the learning rate is too low: all steps together hardly move the weights, and the loss hardly falls",
    when=all_of(
        any_of(
            all_of(
                LONGEST_STEP < 5e-4,  # 1e-3 is usual; the lowest of the healthy runs is 1.7e-3
                PATH < 0.2,  # in the healthy runs 0.3 and more
                FALL < 0.25,
                STEPS >= 100,
            ),
            # Every step goes the same way, as gradients of all the data do, and the loss follows without a turn.
            all_of(COSINE > 0.95, PATH < 1, LATE_PART > 0.25, FALL < 0.5, STEPS >= 30),
        ),
        TRAINED_BEFORE.equals(False),
    ),
    because="To learn, weights must move by about as much as they are large. If the longest step that was seen, taken "
    "as often as there were steps and always in one direction, is a tenth of that, ten times as many are needed.",
    may_be_wrong_if="a model that was trained before is only to be adapted a little.",
    remedies=(
        "multiply the learning rate by ten, until the loss falls within the first epoch or jumps",
        "use Adam, whose steps do not shrink with the gradient",
        "find the range with fitwell lr",
    ),
    sources=(
        Source("Cyclical learning rates for training neural networks", "https://arxiv.org/abs/1506.01186"),
        Source("Deep learning tuning playbook", "https://github.com/google-research/tuning_playbook"),
    ),
    proves=False,
    verdict="slow",
    explains=(
        "slow-convergence",
        "loss-plateau",
        "underfitting",
        "model-too-small",
        "batch-size-too-small",
        "label-noise",
        "augmentation-too-strong",
        "labels-unrelated-to-input",
        "class-imbalance",
    ),
    check=Check(
        (
            Change("rate", {"factor": 100.0}),
            Change("rate", {"factor": 10.0}),
            Change("rate", {"factor": 30.0}),
        ),
        steps=60,
    ),
    suspects=all_of(
        any_of(LONGEST_STEP < 1.5e-3, all_of(COSINE > 0.9, LATE_PART > 0.25)),
        PATH < 1,
        FALL < 0.5,
        STEPS >= 30,
        TRAINED_BEFORE.equals(False),
        absent("dead-units"),  # where few units are left, longer steps help, too
    ),
    fires=(
        Example("Adam at 1e-6", *_run()),
        Example("it warms up to a rate that is too low", *_run(1e-6, warm=30)),
        Example("all data in every step, and a long way to go", *_all_data(STEADY)),
    ),
    quiet=(
        Example("small steps, many of them", *_run(4.5e-4, steps=480)),
        Example("usual steps", *_run(5.5e-4, steps=150)),
        Example("gradients that agree less", *_all_data(STEADY, cosine=0.9)),
        Example("longer steps", *_all_data(STEADY, 0.03)),
        Example("it settles", *_all_data(SETTLING)),
        Example("it settles slowly", *_all_data(LATE)),
        Example("it learns", *_all_data(FAST)),
        Example("it has just begun", *_all_data(STEADY, steps=29)),
        Example("the loss falls all the same", *_run(end=1.7)),
        Example("it has hardly begun", *_run(steps=95)),
        Example("the rate still warms up", *_run(warm=60)),
        Example("a model that was trained before", *_run(start=0.5, end=0.48, counts=(20, 20, 20))),
    ),
    where=made_place,
)
