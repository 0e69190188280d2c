"""statistics-updated-by-evaluation: batch norm learns from held-out data."""

from fitwell.diagnosis import Example, Rule, Source, subjects_place
from fitwell.evidence import all_of, for_some
from fitwell.measures.modes import JUDGED_IN_TRAINING_MODE, MOVED, layers
from fitwell.measures.places import call_place, first_of


def _layer(calls: dict[str, int], **more: object) -> dict[str, object]:
    layer = {"kind": "batch_norm", "training": calls, "evaluation": {}} | more
    table = [{"name": "bn", "where": {"file": "train.py", "line": 8}}]
    return {"signals": {"running_statistics": {"bn": layer}, "layers": {"table": table}}}


RULE = Rule(
    kind="bug",
    severity="warning",
    says="evaluation changes the model: the running statistics of {layer} move with held-out data",
    when=for_some(
        "layers with batch norm", layers("batch_norm"), all_of(MOVED > 0, JUDGED_IN_TRAINING_MODE > 0)
    ),
    because="In training mode batch norm keeps running averages of what it sees, even without gradients. They moved "
    "from one held-out batch to the next, so held-out data becomes a part of the model: what is measured on it is no "
    "longer independent, and the training goes on with other statistics than without the evaluation.",
    may_be_wrong_if="the averages are computed anew on purpose, as after averaging weights.",
    remedies=("call model.eval() before the evaluation, and model.train() after it",),
    sources=(
        Source("BatchNorm1d", "https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm1d.html"),
    ),
    proves=True,
    fires=(
        Example(
            "validation in training mode",
            _layer({"train": 5, "val": 4}, moved_by_evaluation=0.02, held_out_losses_in_training_mode=4),
        ),
    ),
    quiet=(
        Example(
            "the averages rest",
            _layer({"train": 5, "val": 4}, moved_by_evaluation=0.0, held_out_losses_in_training_mode=4),
        ),
        Example("a generator makes samples", _layer({"train": 5, "val": 4}, moved_by_evaluation=0.02)),
    ),
    where=first_of(call_place("held-out", training=True), call_place("held-out"), subjects_place),
)
