"""model-too-small: the model has too few units for its task, and its training loss stands still high."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.measures.curves import FALL, LATE_FALL, STEPS
from fitwell.measures.gradients import NARROWEST, PARAMETERS, UNITS


def _run(
    width: int, end: float, late: float = 0.0, parameters: int = 100, steps: int = 200, classes: int = 10
) -> tuple[dict[str, object], dict[str, list[float]]]:
    table = [
        {"name": name, "class": "Linear", "output": [8, n]} for name, n in (("a", width), ("b", classes))
    ]
    place = {"function": "cross_entropy", "part": "train"}
    facts: dict[str, object] = {"threads": [{"name": "", "steps": steps, "parameters": parameters}]}
    facts |= {"signals": {"layers": {"table": table}, "loss_inputs": {"places": [place]}}}
    before = end / (1 - late)
    return facts, {"loss/batch": [2.0] * 5, "loss/window": [before] * 6 + [end] * 2}


RULE = Rule(
    kind="cause",
    severity="advice",
    says="the model is too small for its task: its training loss stays high",
    when=all_of(
        any_of(
            NARROWEST <= 0.3,  # all that is known of a sample passes through it
            all_of(UNITS <= 2, FALL < 0.7),
            PARAMETERS < 20,
        ),
        FALL > 0.02,  # it learns, so that nothing else is broken ...
        FALL < 0.8,
        LATE_FALL < 0.2,  # ... and has learned what it can
        STEPS >= 30,
    ),
    because="Ten classes do not fit through two units, and a curve does not fit a line. Such a model cannot even learn "
    "its training data by heart.",
    may_be_wrong_if="the task is as simple as the model, and the rest of the loss is noise.",
    remedies=(
        "make the narrow layer at least as wide as there are classes, better several times that",
        "add a hidden layer, and see whether 64 samples can then be learned by heart",
    ),
    sources=(
        Source("A recipe for training neural networks", "https://karpathy.github.io/2019/04/25/recipe/"),
    ),
    proves=False,
    verdict="underfitting",
    explains=("underfitting", "loss-plateau", "slow-convergence"),
    fires=(
        Example("three units before ten classes", *_run(3, 1.4)),
        Example("two units before five classes", *_run(2, 1.0, classes=5)),
        Example("a line for a curve", *_run(10, 1.4, parameters=2)),
    ),
    quiet=(
        Example("wide enough, 23 parameters", *_run(10, 1.4, parameters=23)),
        Example("a third of the classes", *_run(3, 1.4, classes=9)),
        Example("few units suffice", *_run(2, 0.35)),
        Example("it does not learn at all", *_run(2, 1.964)),
        Example("it still learns", *_run(2, 1.4, late=0.22)),
        Example("it has hardly begun", *_run(2, 1.4, steps=29)),
        Example("two units suffice for five classes", *_run(2, 0.56, classes=5)),
    ),
)
