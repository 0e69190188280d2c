"""loss-not-finite: the training loss became NaN or infinite, and a step was taken from it or the program ended."""

from fitwell.diagnosis import Example, Rule, Source, subjects_place
from fitwell.evidence import for_some
from fitwell.measures.not_finite import MADE_BY, origins
from fitwell.measures.places import first_of, risky_place

_FIRST = {
    "step": 7,
    "loss": {"function": "mse_loss", "input_finite": False, "where": {"file": "train.py", "line": 12}},
    "operation": {"operation": "log", "inputs": {"self": [0.0, 0.9]}},
}

RULE = Rule(
    kind="cause",
    severity="error",
    says="the training loss is not finite from step {step} on: {made_by}",
    when=for_some("losses that are not finite", origins, MADE_BY.none_of("")),
    because="A step that is taken from a loss of NaN makes every weight NaN, and what was learned is lost. The first "
    "operation that makes such a value of finite numbers is where to look: a logarithm or a division by 0, a square "
    "root whose slope at 0 is infinite, an exponential that overflows, or a step that was too large.",
    may_be_wrong_if="the program leaves out such batches on purpose, as when a batch holds no label.",
    remedies=(
        "keep the operation that made it away from its limit: log(x + 1e-8), clamp, log_softmax for log(softmax)",
        "if the weights overflowed: lower the learning rate by ten, or clip the norm of the gradient to 1",
        "see the exact line with torch.autograd.set_detect_anomaly(True)",
    ),
    sources=(
        Source(
            "Automatic anomaly detection",
            "https://docs.pytorch.org/docs/stable/autograd.html#anomaly-detection",
        ),
    ),
    proves=True,
    fires=(
        Example("log of 0", {"signals": {"non_finite": {"first": {"": _FIRST}}}}, {"loss/batch": [0.7, 0.5]}),
        Example(
            "seen in a mean of steps alone", {}, {"loss/batch": [0.7], "loss/window": [0.6, float("nan")]}
        ),
    ),
    quiet=(
        Example(
            "gradients that a scaler skips",
            {"signals": {"non_finite": {"first": {"": {"step": 1, "loss": None}}}}},
            {"loss/batch": [0.7, 0.6]},
        ),
    ),
    where=first_of(risky_place, subjects_place),
)
