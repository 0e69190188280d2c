"""shape-mismatch: an operation is given tensors whose shapes do not fit together."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import for_some
from fitwell.measures.failures import ERROR_IS_ABOUT, ended, errors, tensor
from fitwell.measures.messages import SHAPES

RULE = Rule(
    kind="bug",
    severity="error",
    says="shapes do not fit: {said}",
    when=for_some("errors that ended the program", errors, ERROR_IS_ABOUT.equals(SHAPES)),
    because="An operation says which axes of its operands must be equal. Most often a layer was made for another "
    "number of features or channels than the one before it gives, or two axes are in another order than was thought.",
    may_be_wrong_if="the error is raised on purpose, as a test of a program does.",
    remedies=(
        "print the shapes before that line, and write them beside the layers",
        "let the layer find its size: nn.LazyLinear, nn.LazyConv2d",
        "move axes by permute or transpose: view and reshape only count elements, and mix samples",
    ),
    sources=(
        Source("Broadcasting semantics", "https://docs.pytorch.org/docs/stable/notes/broadcasting.html"),
        Source("Linear", "https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html"),
    ),
    proves=True,
    explains=("optimizer-never-steps",),
    fires=(
        Example(
            "a layer made for other features",
            ended(
                "mat1 and mat2 shapes cannot be multiplied (32x10 and 64x20)",
                tensor("x", [32, 10]),
                tensor("self.fc1.weight", [20, 64]),
            ),
        ),
        Example(
            "samples of many sizes",
            ended("stack expects each tensor to be equal size, but got [2] at entry 0 and [3] at entry 1"),
        ),
        Example("a loss that is no number", ended("grad can be implicitly created only for scalar outputs")),
    ),
    quiet=(
        Example("a program that ended well", {"failure": None}),
        Example("another type", ended("mat1 and mat2 must have the same dtype, but got Double and Float")),
        Example("a file is missing", ended("no such file: shapes.csv", kind="FileNotFoundError")),
        Example(
            "one sample in batch normalization",
            ended(
                "Expected more than 1 value per channel when training, got input size torch.Size([1, 3])",
                kind="ValueError",
            ),
        ),
    ),
)
