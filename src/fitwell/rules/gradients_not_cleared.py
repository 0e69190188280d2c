"""gradients-not-cleared: the gradients of all steps add up, because nobody clears them."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.measures.loops import CARRIED, CARRIED_LOOKS, CLEARED, place_of


def _carried(looks: int, carried: int, cleared: int = 0) -> dict[str, object]:
    where = {"file": "train.py", "line": 20}
    gradients = {"looks": looks, "carried": carried, "where": where}
    return {"signals": {"carried_gradients": gradients, "call_order": {"steps": 5, "cleared": cleared}}}


RULE = Rule(
    kind="bug",
    severity="error",
    says="gradients are not cleared between steps: each step uses the sum of those of all steps before",
    when=all_of(
        # Clearing once an epoch carries gradients in every step but the first of each; a healthy loop carries none,
        # also if it accumulates those of several batches. One of two steps leaves room for a step that is skipped.
        CARRIED > 0.5,
        # Of several models that step in turn perhaps two steps are seen: then nothing may have cleared the gradients.
        any_of(CARRIED_LOOKS >= 2, CLEARED <= 0),
    ),
    because="backward adds to the gradients that are there. Without clearing them each step follows the sum of "
    "all gradients since the beginning: old ones count as much as new ones, and the steps grow until "
    "training diverges.",
    may_be_wrong_if="a model is meant to be trained with the sum of all its gradients, as in dual averaging.",
    remedies=(
        "call optimizer.zero_grad() once a step, before backward",
        "to accumulate over several batches, clear right after optimizer.step()",
    ),
    sources=(
        Source(
            "Optimizer.zero_grad",
            "https://docs.pytorch.org/docs/stable/generated/torch.optim.Optimizer.zero_grad.html",
        ),
        Source("warn on a missing zero_grad", "https://github.com/pytorch/pytorch/issues/47175"),
    ),
    proves=True,
    explains=(
        "loss-not-finite",
        "clipping-misplaced",
    ),
    fires=(
        Example("carried at every step", _carried(4, 4)),
        Example("cleared once an epoch of eight steps", _carried(8, 7, 1)),
        Example("a generator, of which two steps were seen", _carried(1, 1)),
    ),
    quiet=(
        Example("cleared, and seen once", _carried(1, 1, 1)),
        Example("as often carried as not", _carried(20, 9)),
    ),
    where=place_of("carried_gradients"),
)
