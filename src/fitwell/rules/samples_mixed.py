"""samples-mixed: what the model says of one sample depends on the other samples of the batch."""

from fitwell.diagnosis import Example, Rule, Source, subjects_place
from fitwell.evidence import for_some
from fitwell.measures.model_places import mixing_place
from fitwell.measures.places import first_of
from fitwell.measures.structure import OTHERS_CHANGED, models


def _mixed(share: float) -> dict[str, object]:
    return {"signals": {"examination": {"net": {"random": {"repeats": True}, "mixed": share}}}}


RULE = Rule(
    kind="bug",
    severity="error",
    says="{model} mixes samples: in evaluation mode its output for one sample changes with another sample of the batch",
    when=for_some("models examined", models, OTHERS_CHANGED > 0),
    because="The samples of a batch have nothing to do with each other, so in evaluation mode each must be answered "
    "alone. Here one sample was exchanged for another, and the answers to others changed. A view or reshape where a "
    "transpose is meant does that, and a recurrent or attention layer that takes the batch for time.",
    may_be_wrong_if="samples are meant to look at each other: a graph, attention between samples, or statistics of the "
    "batch as in minibatch discrimination.",
    remedies=(
        "exchange axes with transpose or permute, never with view or reshape",
        "pass batch_first=True to the LSTM, GRU, MultiheadAttention or TransformerEncoderLayer, or give it (time, "
        "batch, features)",
    ),
    sources=(
        Source("A Recipe for Training Neural Networks", "https://karpathy.github.io/2019/04/25/recipe/"),
        Source("nn.LSTM: batch_first", "https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html"),
    ),
    proves=True,
    fires=(Example("an LSTM takes the batch for time", _mixed(0.45)),),
    quiet=(Example("every sample for itself", _mixed(0.0)),),
    where=first_of(mixing_place, subjects_place),
)
