"""unused-parameters: layers are registered and never run."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of
from fitwell.measures.model_places import unused_place
from fitwell.measures.reach import MODEL_LOOKS, UNUSED_LAYERS


def _unused(count: int, looks: int = 5) -> dict[str, object]:
    return {
        "signals": {
            "coverage": {"backwards": looks, "models": [{"unused": {"count": count}, "looks": looks}]}
        }
    }


RULE = Rule(
    kind="bug",
    severity="advice",
    says="layers with trainable parameters are part of the model and never run",
    when=all_of(MODEL_LOOKS >= 4, UNUSED_LAYERS > 0),
    because="parameters that take no part in the output cost memory and do nothing. Often a layer was made and "
    "forgotten in forward.",
    may_be_wrong_if="the layers run only now and then, at other steps than those that were looked at.",
    remedies=("call the layers in forward, or remove them",),
    sources=(
        Source(
            "DistributedDataParallel: find_unused_parameters",
            "https://docs.pytorch.org/docs/stable/generated/torch.nn.parallel.DistributedDataParallel.html",
        ),
    ),
    proves=True,
    explains=(),
    fires=(Example("a forgotten layer", _unused(1)),),
    quiet=(
        Example("all run", _unused(0)),
        Example("seen for three steps only", _unused(1, 3)),
    ),
    where=unused_place,
)
