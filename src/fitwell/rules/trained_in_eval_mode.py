"""trained-in-eval-mode: the weights are updated while the whole model is in evaluation mode."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.measures.modes import LATEST_IN_EVALUATION_MODE
from fitwell.measures.places import eval_place


def _steps(latest: int) -> dict[str, object]:
    modes = {"looks": 9, "in_evaluation_mode": latest, "latest_in_evaluation_mode": latest, "where": None}
    return {"signals": {"modes": modes}}


RULE = Rule(
    kind="bug",
    severity="warning",
    says="the model is trained in evaluation mode: dropout is off and batch norm learns no statistics",
    # An attack or a probe may leave a single step in evaluation mode; who forgot model.train() leaves all later ones.
    when=LATEST_IN_EVALUATION_MODE >= 3,
    because="model.eval() holds until model.train() is called. Without that, after the first evaluation the training "
    "goes on without dropout, and batch norm neither uses the statistics of the batch nor updates its averages.",
    may_be_wrong_if="a pretrained model is tuned with all of it in evaluation mode on purpose, to keep its statistics.",
    remedies=("call model.train() at the beginning of every epoch, after each evaluation",),
    sources=(Source("Module.train", "https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html"),),
    proves=True,
    explains=("overfitting",),
    fires=(Example("model.train() is missing after the first evaluation", _steps(4)),),
    quiet=(Example("two steps", _steps(2)), Example("in training mode", _steps(0))),
    where=eval_place,
)
