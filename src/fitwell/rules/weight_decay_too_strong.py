"""weight-decay-too-strong: the decay pulls at the weights as hard as the gradient does, and nothing is learned."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.experiment import Change, Check
from fitwell.measures.curves import FALL, LATE_FALL, STEPS
from fitwell.measures.gradients import DECAY_SHARE, WEIGHTS_LEFT
from fitwell.measures.model_places import made_place


def _run(
    decay: float, end: float, steps: int = 100, kind: str = "SGD"
) -> tuple[dict[str, object], dict[str, list[float]]]:
    rate = {"optimizer": kind, "first_group": {"lr": 0.1, "weight_decay": decay}}
    facts: dict[str, object] = {
        "threads": [{"name": "", "steps": steps}],
        "signals": {"learning_rate": {"": rate}},
    }
    signals = {"gradient/norm": [1.0] * 5, "layer/first/weight_norm": [10.0] * 5, "update/ratio": [0.02] * 5}
    return facts, signals | {"loss/batch": [2.3] * 5, "loss/window": [2.3, end, end, end]}


def _shrunk(left: float, end: float, before: float = 1.0) -> tuple[dict[str, object], dict[str, list[float]]]:
    """A loss of 3 at the start, whose penalty shrinks the weights to a part of themselves."""
    facts, signals = _run(0.0, 2.3)
    losses = {"loss/batch": [3.0] * 5, "loss/window": [end * before] * 6 + [end] * 2}
    return facts, signals | losses | {"layer/first/weight_norm": [10.0, 10.0 * left]}


RULE = Rule(
    kind="cause",
    severity="warning",
    says="weight decay is too strong: it pulls the weights to zero against the gradient",
    when=any_of(
        all_of(DECAY_SHARE > 0.5, FALL < 0.6, STEPS >= 50),  # in the healthy runs 0.025 at most
        # The decay may be a term of the loss, which was seen as a whole only: it fell as the weights did, no further.
        all_of(WEIGHTS_LEFT < 0.1, LATE_FALL < 0.02, FALL > 0.1, FALL < 0.9),
    ),
    because="Decay takes the same share of every weight at each step. Where that is as much as the gradient gives, the "
    "weights shrink to zero whatever the data says, and the model answers the same to everything.",
    may_be_wrong_if="something else keeps the loss from falling, and the decay would matter only in a longer run.",
    remedies=(
        "divide weight_decay by a hundred: usual are 1e-4 with SGD, and 0.01 to 0.1 with AdamW",
        "use AdamW rather than Adam with weight_decay, which divides the decay by the size of the gradient",
    ),
    sources=(Source("Decoupled weight decay regularization", "https://arxiv.org/abs/1711.05101"),),
    proves=False,
    verdict="underfitting",
    explains=(
        "loss-plateau",
        "vanishing-gradients",
        "learning-rate-too-high",
        "slow-convergence",
        "underfitting",
        "model-too-small",
        "batch-size-too-small",
        "loss-oscillates",
        "overfitting",
        "label-noise",
        "labels-unrelated-to-input",
    ),
    check=Check((Change("weight_decay", {"factor": 0.0}),), least=0.15, steps=60, fresh=True),
    suspects=any_of(all_of(DECAY_SHARE > 0.1, FALL < 0.8), WEIGHTS_LEFT < 0.1),
    fires=(
        Example("a decay of 0.1 with SGD", *_run(0.1, 2.3)),
        Example("a penalty in the loss", *_shrunk(0.01, 1.0)),
        Example("a decay of 1 with AdamW", *_run(1.0, 2.3, kind="AdamW")),
    ),
    quiet=(
        Example("half as strong as the gradient", *_run(0.045, 2.3)),
        Example("the loss falls all the same", *_run(0.1, 0.9)),
        Example("a tenth of the weights is left", *_shrunk(0.11, 1.0)),
        Example("the loss still falls", *_shrunk(0.01, 1.0, 1.022)),
        Example("there is nothing to learn", *_shrunk(0.01, 2.73)),
        Example("small weights will do", *_shrunk(0.01, 0.2)),
        Example("it has hardly begun", *_run(0.1, 2.3, 45)),
    ),
    where=made_place,
)
