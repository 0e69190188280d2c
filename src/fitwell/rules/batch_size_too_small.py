"""batch-size-too-small: steps are taken from a few samples, whose gradients disagree, and the loss stays high."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of
from fitwell.measures.curves import FALL, STEPS
from fitwell.measures.gradients import BATCH, COSINE
from fitwell.measures.model_places import batch_place


def _run(
    batch: int, end: float, cosine: float, steps: int = 300
) -> tuple[dict[str, object], dict[str, list[float]]]:
    place = {
        "function": "cross_entropy",
        "part": "train",
        "target_shape": [batch],
        "input_shape": [batch, 10],
    }
    facts: dict[str, object] = {
        "threads": [{"name": "", "steps": steps, "epochs": 1}],
        "signals": {"loss_inputs": {"places": [place]}},
    }
    losses = {"loss/batch": [2.0] * 5, "loss/window": [2.0, end, end, end]}
    return facts, losses | {"gradient/cosine": [cosine] * 4}


RULE = Rule(
    kind="cause",
    severity="warning",
    says="the batch is too small: gradients of successive steps have little in common, and the loss stays high",
    when=all_of(
        BATCH <= 4,
        COSINE < 0.2,  # healthy runs lie on both sides: it is the size of the batch that decides
        FALL < 0.7,
        STEPS >= 200,
    ),
    because="The gradient of one sample points anywhere; only its mean over many points down. At a rate that is fit "
    "for larger batches the weights wander about instead of settling.",
    may_be_wrong_if="the rest of the loss is noise that no model can explain, or each sample holds many answers.",
    remedies=(
        "take batches of 32 or more, or accumulate the gradients of several batches before each step",
        "lower the learning rate in proportion to the batch",
    ),
    sources=(Source("An empirical model of large-batch training", "https://arxiv.org/abs/1812.06162"),),
    proves=False,
    verdict="underfitting",
    explains=("loss-oscillates", "loss-plateau", "underfitting"),
    fires=(Example("one sample a step", *_run(1, 1.0, 0.05)),),
    quiet=(
        Example("five samples", *_run(5, 1.0, 0.05)),
        Example("gradients that agree", *_run(1, 1.0, 0.22)),
        Example("it learns all the same", *_run(1, 0.58, 0.05)),
        Example("it has hardly begun", *_run(1, 1.0, 0.05, 190)),
    ),
    where=batch_place,
)
