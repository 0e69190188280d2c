"""slow-convergence: the training loss still falls at a steady rate when the run ends."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of
from fitwell.measures.curves import FALL, LATE_CERTAINTY, LATE_PART, STEPS
from fitwell.measures.model_places import made_place


def _run(losses: list[float], steps: int = 200) -> tuple[dict[str, object], dict[str, list[float]]]:
    return {"threads": [{"name": "", "steps": steps}]}, {"loss/batch": [2.0] * 5, "loss/window": losses}


RULE = Rule(
    kind="symptom",
    severity="advice",
    says="the training loss was still falling steadily when the run ended",
    when=all_of(
        LATE_CERTAINTY > 3,
        LATE_PART > 0.3,  # a steady fall has half of it there, one that settles next to nothing
        FALL < 0.6,
        STEPS >= 100,
    ),
    because="The model learns, but the run ends long before it has learned what it can.",
    may_be_wrong_if="the run was meant to be short.",
    remedies=(
        "train for longer",
        "raise the learning rate by three, or use Adam or momentum",
    ),
    sources=(Source("Deep learning tuning playbook", "https://github.com/google-research/tuning_playbook"),),
    proves=False,
    verdict="slow",
    explains=("underfitting",),
    fires=(Example("a steady fall", *_run([2.0, 1.95, 1.9, 1.85, 1.8, 1.75, 1.7, 1.65])),),
    quiet=(
        Example("as much noise as fall", *_run([2.0, 1.95, 1.9, 1.85, 1.78, 1.77, 1.66, 1.67])),
        Example("it settles", *_run([2.0, 1.7, 1.55, 1.45, 1.38, 1.32, 1.26, 1.2])),
        Example("most of it learned", *_run([1.8, 1.6, 1.45, 1.3, 1.15, 1.0, 0.77, 0.76])),
        Example("it has hardly begun", *_run([2.0, 1.95, 1.9, 1.85, 1.8, 1.75, 1.7, 1.65], 90)),
    ),
    where=made_place,
)
