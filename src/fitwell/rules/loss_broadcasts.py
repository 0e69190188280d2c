"""loss-broadcasts: prediction and target differ in shape, and every prediction is compared with every target."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import any_of, for_some
from fitwell.measures.losses import GROWN, places
from fitwell.measures.objectives import GROWN_BY_HAND, objectives

WHERE = {"file": "train.py", "line": 31}


def _given(broadcast: Any, grown: Any = None) -> Any:
    place: dict[str, Any] = {"function": "mse_loss", "part": "train", "where": WHERE, "broadcast": broadcast}
    objective = {"maximize": False, "places": [{"where": WHERE, "grown": grown}]}
    return {"signals": {"loss_inputs": {"places": [place]}, "objective": {"": objective}}}


RULE = Rule(
    kind="bug",
    severity="error",
    says="prediction and target differ in shape, as [B, 1] and [B]: every prediction is compared with every target",
    when=any_of(
        for_some("calls of losses", places(), GROWN.equals(True)),
        for_some("losses written by hand", objectives, GROWN_BY_HAND.equals(True)),
    ),
    because="The difference of [B, 1] and [B] has the shape [B, B]. It is smallest where all predictions are the "
    "mean of the targets: that is what the model learns, whatever its input.",
    may_be_wrong_if="every prediction is to be compared with every target, as in losses of pairs.",
    remedies=(
        "give both the same shape: prediction.squeeze(1), or target.unsqueeze(1)",
        "assert prediction.shape == target.shape before the loss",
    ),
    sources=(
        Source("MSELoss", "https://docs.pytorch.org/docs/stable/generated/torch.nn.MSELoss.html"),
        Source("Broadcasting", "https://docs.pytorch.org/docs/stable/notes/broadcasting.html"),
    ),
    proves=True,
    explains=(
        "input-ignored",
        "metric-wrong",
    ),
    fires=(
        Example("[B, 1] and [B] in mse_loss", _given([[64, 1], [64]])),
        Example("((a - b) ** 2).mean()", _given(None, [[64, 1], [64, 64]])),
    ),
    quiet=(Example("one target for several heads", _given([[64, 5], [64, 1]])),),
)
