"""inplace-modification: a tensor that backward needs was changed in place."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import for_some
from fitwell.measures.failures import ERROR_IS_ABOUT, ended, errors, tensor
from fitwell.measures.messages import IN_PLACE

RULE = Rule(
    kind="bug",
    severity="error",
    says="a tensor was changed in place that backward needs: {said}",
    when=for_some("errors that ended the program", errors, ERROR_IS_ABOUT.equals(IN_PLACE)),
    because="Autograd keeps the tensors from which it computes gradients, and counts the changes of each. If "
    "one has changed since, its gradient would be wrong, so backward refuses; and so autograd refuses to let a "
    "parameter be changed by hand.",
    may_be_wrong_if="other lines change tensors in place, too: a line that is named as probable comes from reading "
    "the program. torch.autograd.set_detect_anomaly(True) shows the line that kept the tensor.",
    remedies=(
        "make a new tensor: x = x + y for x += y, relu(x) for relu_(x), inplace=False, torch.where for x[mask] = y",
        "call optimizer.step() after every backward that needs the parameters as they were",
        "in a GAN detach what the other net made, and compute it anew after a step",
        "change parameters within torch.no_grad()",
    ),
    sources=(
        Source(
            "In-place operations with autograd",
            "https://docs.pytorch.org/docs/stable/notes/autograd.html#in-place-operations-with-autograd",
        ),
        Source(
            "Automatic differentiation package",
            "https://docs.pytorch.org/docs/stable/autograd.html#anomaly-detection",
        ),
    ),
    proves=True,
    explains=("optimizer-never-steps",),
    fires=(
        Example(
            "a result of exp changed",
            ended(
                "one of the variables needed for gradient computation has been modified by an "
                "inplace operation: [torch.FloatTensor [3]], which is output 0 of "
                "ExpBackward0, is at version 1; expected version 0 instead.",
                tensor("loss", [3]),
            ),
        ),
        Example(
            "a parameter changed by hand",
            ended("a leaf Variable that requires grad is being used in an in-place operation."),
        ),
    ),
    quiet=(
        Example("a program that ended well", {"failure": None}),
        Example(
            "backward twice",
            ended("Trying to backward through the graph a second time."),
        ),
        Example("another error", ended("the file was modified", kind="OSError")),
    ),
)
