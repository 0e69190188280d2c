"""evaluated-in-training-mode: dropout or batch norm train while held-out data is evaluated."""

from fitwell.diagnosis import Example, Rule, Source, subjects_place
from fitwell.evidence import all_of, for_some
from fitwell.measures.modes import APART, IN_EVALUATION_MODE, JUDGED_IN_TRAINING_MODE, REPEATED, layers
from fitwell.measures.places import call_place, first_of


def _layer(
    calls: dict[str, int], evaluation: dict[str, int] | None = None, **more: object
) -> dict[str, object]:
    layer = {"kind": "batch_norm", "training": calls, "evaluation": evaluation or {}} | more
    table = [{"name": "bn", "where": {"file": "train.py", "line": 8}}]
    return {"signals": {"running_statistics": {"bn": layer}, "layers": {"table": table}}}


RULE = Rule(
    kind="bug",
    severity="warning",
    says="held-out data is evaluated in training mode: {layer} behaves as in training",
    when=for_some(
        "layers with dropout or batch norm",
        layers("dropout", "batch_norm"),
        all_of(
            JUDGED_IN_TRAINING_MODE > 0,
            IN_EVALUATION_MODE.equals(0),
            # Monte Carlo dropout: only the dropout is on, or the same inputs are given again and again.
            APART.equals(0),
            REPEATED.equals(0),
        ),
    ),
    because="In training mode dropout sets values to zero and batch norm uses the statistics of the batch at hand. An "
    "evaluation in this mode measures another model than the one that will be used: its loss is noisy and mostly "
    "too high, and depends on which samples share a batch.",
    may_be_wrong_if="dropout is kept on purpose to see how uncertain the model is, or what runs without gradients is "
    "no evaluation, such as a generator that makes samples.",
    remedies=("call model.eval() before the evaluation, and model.train() after it",),
    sources=(
        Source("Module.eval", "https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html"),
        Source("Autograd: evaluation mode", "https://docs.pytorch.org/docs/stable/notes/autograd.html"),
    ),
    proves=True,
    explains=("statistics-updated-by-evaluation", "distribution-shift"),
    fires=(
        Example(
            "validation without model.eval()",
            _layer({"train": 5, "val": 4}, held_out_losses_in_training_mode=4),
        ),
    ),
    quiet=(
        Example("training alone", _layer({"train": 5})),
        Example(
            "evaluated in both modes",
            _layer({"train": 5, "val": 4}, {"val": 4}, held_out_losses_in_training_mode=4),
        ),
        Example(
            "dropout alone is on, in a model in evaluation mode",
            _layer({"train": 5, "val": 4}, held_out_losses_in_training_mode=4, held_out_calls_apart=4),
        ),
        Example(
            "many passes over the same inputs",
            _layer({"train": 5, "val": 4}, held_out_losses_in_training_mode=4, held_out_calls_repeated=3),
        ),
    ),
    where=first_of(call_place("held-out", training=True), call_place("held-out"), subjects_place),
)
