"""loss-sign-flipped: training makes the loss larger, because its sign is wrong."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of, for_some
from fitwell.measures.objectives import BELOW_ZERO, DOWNWARD, LOSS_GROWTH, MODELS, UPWARD, objectives


def _given(
    negated: int, likelihood: int = 0, maximize: bool = False, models: int = 1, end: float = 2.0
) -> Any:
    place: dict[str, Any] = {"where": {"file": "train.py", "line": 31}, "calls": 20, "with_loss": 20}
    place |= {"negated": negated, "likelihood_minimised": likelihood, "values": [2.3, end]}
    facts = {"maximize": maximize, "places": [place]}
    return {"models": [{"name": "model"}] * models, "signals": {"objective": {"": facts}}}


GROWING, FALLING = {"loss/batch": [2.3, 2.9, 8.0]}, {"loss/batch": [2.3, 2.4, 2.4]}

RULE = Rule(
    kind="bug",
    severity="error",
    says="the sign of the loss, or of one of its terms, is wrong: there is no end to making it smaller",
    when=any_of(
        all_of(
            for_some("lines from which gradients are computed", objectives, UPWARD > 0.9),
            # Where two models play against each other, one of them may well maximise the loss of the other, which
            # then defends itself: a loss that grows without end is one that nobody minimises.
            any_of(MODELS <= 1, LOSS_GROWTH > 30),
            LOSS_GROWTH > 1.2,
        ),
        # One of several terms: a loss that cannot be negative is minimised, and yet their sum falls without end.
        for_some("sums that are minimised", objectives, all_of(DOWNWARD.equals(True), BELOW_ZERO > 100)),
    ),
    because="An optimizer minimises. With a minus before the loss, a likelihood without one, or maximize=True, it "
    "moves away from what is right, and nothing stops it.",
    may_be_wrong_if="the loss is to be made large on purpose, as when something is to be forgotten.",
    remedies=(
        "minimise the loss itself: leave out the minus, or maximize=True",
        "of a likelihood minimise the negative: loss = -log_probability.mean()",
    ),
    sources=(Source("SGD: maximize", "https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html"),),
    proves=True,
    explains=(
        "loss-not-finite",
        "metric-wrong",
    ),
    fires=(
        Example("loss = -criterion(output, y)", _given(20), GROWING),
        Example("maximize=True", _given(0, maximize=True), GROWING),
        Example("a generator that helps its critic", _given(20, models=2), {"loss/batch": [0.7, 90.0]}),
        Example("reconstruction error less divergence", _given(0, end=-1e22), GROWING),
        Example("log_softmax(x)[range(n), y].mean()", _given(0, 20), GROWING),
    ),
    quiet=(
        Example("the loss diverges", _given(0), GROWING),
        Example("now and then another loss", _given(16), GROWING),
        Example("a generator that maximises the loss of its critic", _given(20, models=2), GROWING),
        Example("a generator that nearly wins", _given(20, models=2), {"loss/batch": [0.7, 20.0]}),
        Example("a likelihood of sharp densities", _given(0, end=-200.0), GROWING),
        Example("a bound, of two models", _given(20, models=2, end=-1e22), FALLING),
        Example("a bound that hardly moves", _given(20), FALLING),
    ),
)
