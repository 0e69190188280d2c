"""loss-oscillates: the training loss goes up and down by a fifth of itself and more."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.measures.curves import FALL, NOISE, TURNS
from fitwell.measures.gradients import COSINE
from fitwell.measures.model_places import made_place


def _run(losses: list[float], cosine: float = 0.1) -> dict[str, list[float]]:
    return {"loss/batch": [2.0] * 5, "loss/window": losses, "gradient/cosine": [cosine] * 4}


RULE = Rule(
    kind="symptom",
    severity="advice",
    says="the training loss goes up and down",
    when=all_of(
        NOISE > 0.2,
        FALL < 0.9,  # near its floor a loss is small, and what is left of it noise
        any_of(
            TURNS > 0.6,  # noise alone turns in 2/3 of the steps, a curve that falls less often
            COSINE < -0.3,  # each gradient takes back the last step
        ),
    ),
    because="A loss that turns at every look is pulled across its valley, by steps that are too long or by gradients "
    "of too few samples.",
    may_be_wrong_if="batches differ by their nature, as texts of different length do, or the rate is cyclic.",
    remedies=(
        "lower the learning rate, or let it decay to zero by the end",
        "take larger batches, or accumulate gradients over several of them",
    ),
    sources=(
        Source(
            "Train faster: qualitatively characterizing stochastic gradient descent",
            "https://arxiv.org/abs/1802.08770",
        ),
    ),
    proves=False,
    fires=(
        Example("up and down", {}, _run([2.0, 1.0, 1.9, 0.9, 1.8, 1.0, 2.0, 1.0])),
        Example(
            "a long wave, gradients that oppose", {}, _run([1.0, 1.9, 2.8, 1.9, 1.0, 1.9, 2.8, 1.9], -0.5)
        ),
    ),
    quiet=(
        Example("up and down by a little", {}, _run([1.5, 1.0, 1.26, 1.0, 1.26, 1.0, 1.26, 1.0])),
        Example("near its floor", {}, _run([0.20, 0.10, 0.19, 0.09, 0.18, 0.10, 0.20, 0.18])),
        Example("a long wave", {}, _run([1.0, 1.9, 2.8, 1.9, 1.0, 1.9, 2.8, 1.9], -0.25)),
        Example("half of the changes turn", {}, _run([1.0, 2.0, 3.0, 1.5, 1.2, 1.0, 1.9, 2.8, 1.7], 0.0)),
    ),
    where=made_place,
)
