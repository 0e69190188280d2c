"""evaluation-not-deterministic: dropout stays on in evaluation mode."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of, for_some
from fitwell.measures.modes import EVALUATED
from fitwell.measures.structure import (
    DROPOUT_IN_EVALUATION,
    NOISE_IN_EVALUATION,
    line_of_dropout,
    models,
)


def _model(
    text: str, differs: bool = True, evals: int = 3, noise: bool = False, **more: object
) -> dict[str, object]:
    line = {"file": "train.py", "line": 12, "text": text}
    model = {"calls": {"train": 5, "held_out": 0}, "evals": evals}
    drawn = {"dropout": None if noise else line, "noise": line if noise else None} if differs else {}
    model |= {"random": {"repeats": True, "differs": differs} | drawn} | more
    places = [{"function": "cross_entropy", "part": "train"}]
    return {"signals": {"examination": {"net": model}, "loss_inputs": {"places": places}}}


RULE = Rule(
    kind="bug",
    severity="warning",
    says="{model} draws random numbers in evaluation mode, too: equal inputs give other outputs each time",
    when=for_some(
        "models examined",
        models,
        all_of(
            any_of(DROPOUT_IN_EVALUATION.equals(True), NOISE_IN_EVALUATION.equals(True)),
            EVALUATED.equals(True),
        ),
    ),
    because="F.dropout drops values unless it is told otherwise: its argument training is True by default, and "
    "model.eval() does not reach it. In evaluation mode the same inputs were given twice; dropout drew numbers, and "
    "the outputs differ. So every metric on held-out data is measured on a crippled model.",
    may_be_wrong_if="dropout is kept on purpose to see how uncertain the model is (Monte Carlo dropout), or the "
    "model is meant to answer by chance.",
    remedies=(
        "write F.dropout(x, p, training=self.training), or use the module nn.Dropout",
        "give scaled_dot_product_attention dropout_p=p if self.training else 0.0",
    ),
    sources=(
        Source(
            "torch.nn.functional.dropout",
            "https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.dropout.html",
        ),
    ),
    proves=True,
    fires=(
        Example("F.dropout without training=self.training", _model("x = F.dropout(x, 0.3)")),
        Example("noise that is always added", _model("x = x + torch.randn_like(x)", noise=True)),
    ),
    quiet=(
        Example("many passes over the same samples", _model("x = F.dropout(x, 0.3)", repeated=19)),
        Example("meant so", _model("x = F.dropout(x, 0.3, training=True)")),
        Example("no dropout in evaluation mode", _model("", differs=False)),
        Example("never evaluated", _model("x = F.dropout(x, 0.3)", evals=0)),
    ),
    where=line_of_dropout,
)
