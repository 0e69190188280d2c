"""loss-plateau: the training loss stands still in the second half of the run, high above its floor."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of
from fitwell.measures.curves import FALL, LATE_FALL, STEPS


def _run(
    late: float, early: float = 1.9, steps: int = 200
) -> tuple[dict[str, object], dict[str, list[float]]]:
    losses = {"loss/batch": [2.0] * 5, "loss/window": [early] * 6 + [late] * 2}
    return {"threads": [{"name": "", "steps": steps}]}, losses


RULE = Rule(
    kind="symptom",
    severity="advice",
    says="the training loss stands still, having fallen by less than half",
    when=all_of(LATE_FALL < 0.02, FALL < 0.5, STEPS >= 100),
    because="What does not get better over half of a run will hardly do so in the next. Either the model is as good as "
    "it can be, or something keeps it from learning.",
    may_be_wrong_if="the rest of the loss is noise that no model can explain, or the loss need not fall, as in play or "
    "adversarial training.",
    remedies=(
        "see whether the model can learn 32 samples by heart: if it can not, look for a fault in the loop or the loss",
        "try a learning rate that is three times higher, and one that is three times lower",
    ),
    sources=(Source("Deep learning tuning playbook", "https://github.com/google-research/tuning_playbook"),),
    proves=False,
    fires=(Example("stuck", *_run(1.9)),),
    quiet=(
        Example("still falling a little", *_run(1.858)),
        Example("settled, half of it learned", *_run(0.95, 0.95)),
        Example("it has hardly begun", *_run(1.9, steps=90)),
    ),
)
