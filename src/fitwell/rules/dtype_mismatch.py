"""dtype-mismatch: an operation is given tensors of types that it does not take together."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import for_some
from fitwell.measures.failures import ERROR_IS_ABOUT, ended, errors, tensor
from fitwell.measures.messages import DTYPES

RULE = Rule(
    kind="bug",
    severity="error",
    says="the type of a tensor does not fit: {said}",
    when=for_some("errors that ended the program", errors, ERROR_IS_ABOUT.equals(DTYPES)),
    because="Layers hold float32 and do not convert: NumPy makes float64, and labels of classes are indices, which "
    "are int64, while targets of a regression or of binary cross entropy are floats.",
    may_be_wrong_if="the error is raised on purpose, as a test of a program does.",
    remedies=(
        "convert where the data are made: torch.astensor(x, dtype=torch.float32), torch.astensor(y, dtype=torch.int64)",
        "use autocast for mixed precision instead of calling .half() on parts",
    ),
    sources=(
        Source("Tensor attributes", "https://docs.pytorch.org/docs/stable/tensor_attributes.html"),
        Source(
            "CrossEntropyLoss",
            "https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html",
        ),
    ),
    proves=True,
    explains=("optimizer-never-steps",),
    fires=(
        Example(
            "float64 from NumPy",
            ended(
                "mat1 and mat2 must have the same dtype, but got Double and Float",
                tensor("x", [32, 10], "torch.float64"),
                tensor("self.fc1.weight", [20, 10]),
            ),
        ),
        Example("labels as floats", ended("expected scalar type Long but found Float")),
        Example(
            "labels as int32",
            ended("\"nll_loss_forward_reduce_cuda_kernel_2d_index\" not implemented for 'Int'"),
        ),
    ),
    quiet=(
        Example("a program that ended well", {"failure": None}),
        Example(
            "on two devices",
            ended(
                "Input type (torch.cuda.FloatTensor) and weight type (torch.FloatTensor) should be the same"
            ),
        ),
        Example("a double key", ended("the column float is there in double", kind="KeyError")),
    ),
)
