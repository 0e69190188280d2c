"""nll-without-log-softmax: a loss that takes log-probabilities is given something else."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import for_some
from fitwell.measures.losses import EXP_SUM, places


def _given(largest: float) -> Any:
    place = {
        "function": "nll_loss",
        "part": "train",
        "class_axis": 1,
        "where": {"file": "train.py", "line": 31},
    }
    place |= {"exp_sums": [[3.0, 80.0], [0.9, largest]]}
    return {"signals": {"loss_inputs": {"places": [place]}}}


RULE = Rule(
    kind="bug",
    severity="error",
    says="a loss that takes log-probabilities is given raw outputs or probabilities",
    when=for_some(
        "calls of nll_loss and kl_div",
        places("nll_loss", "kl_div"),
        # Probabilities sum to 1, and to less where some classes are left out; rounding in half precision adds up to
        # 0.05. Raw outputs near 0 sum to the number of classes, and so at least to 2.
        EXP_SUM > 1.1,
    ),
    because="nll_loss only picks the number of the right class and changes its sign. Of anything but "
    "log-probabilities it can be made smaller without end, or is bounded where nothing is right yet, without "
    "telling the classes apart.",
    may_be_wrong_if="the loss is meant as a plain sum of scores and something else keeps them from growing.",
    remedies=(
        "apply log_softmax over the classes before nll_loss and kl_div",
        "use cross_entropy on the raw outputs: it does both",
    ),
    sources=(
        Source("NLLLoss", "https://docs.pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html"),
        Source("KLDivLoss", "https://docs.pytorch.org/docs/stable/generated/torch.nn.KLDivLoss.html"),
    ),
    proves=True,
    explains=(
        "loss-not-finite",
        "loss-sign-flipped",
        "metric-wrong",
    ),
    fires=(Example("raw outputs", _given(14.2)),),
    quiet=(Example("log-probabilities in half precision", _given(1.03)),),
)
