"""What lies between layers with weights, read from the graph of a loss: from the loss back to the inputs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import Enum, auto
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

Node = Any  # torch.autograd.graph.Node, which can't be referred to weakly
WhenUsed = Callable[[set["Use"]], bool]


class Use(Enum):
    """What becomes of a value."""

    OTHER = auto()  # it is multiplied with something, goes into a loss, or comes from another model
    WEIGHED = auto()  # it goes into a layer with weights, perhaps reshaped, pooled, dropped out or added up
    NORMED = auto()  # the same, and is normalized on the way
    ACTIVATED = auto()  # it goes through an activation into a layer with weights, and is not normalized


# Names of nodes, without "Backward0".
_WEIGHTS = (
    "Addmm", "Addbmm", "Baddbmm", "Bmm", "Mm", "Mv", "Addmv", "Linear", "Convolution", "MkldnnLinear",
    "MkldnnConvolution", "MkldnnRnnLayer", "CudnnRnn", "MiopenRnn",
)  # fmt: skip
_ACTIVATIONS = (
    "Relu", "Sigmoid", "Tanh", "Gelu", "Silu", "Elu", "LeakyRelu", "Softplus", "Hardtanh", "PreluKernel", "Mish",
    "Threshold", "ClampMin", "Hardswish", "Hardsigmoid", "LogSigmoid", "Softsign", "Celu",
)  # fmt: skip
_NORMS = (
    "NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "NativeLayerNorm", "NativeGroupNorm", "FusedRmsNorm",
)  # fmt: skip
_PASSING = ("T", "Add", "Max", "Mean", "Amax", "NativeDropout", "FusedDropout")
_PASSING_FORMS = (  # beginnings of names
    "View", "UnsafeView", "Reshape", "Transpose", "Permute", "Squeeze", "Unsqueeze", "Expand", "Select", "Slice",
    "Index", "Stack", "Cat", "Split", "Unbind", "Clone", "ToCopy", "Alias", "AsStrided", "Copy", "Unfold", "Repeat",
    "MaxPool", "MkldnnMaxPool", "AvgPool", "MkldnnAvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool",
    "MkldnnAdaptiveAvgPool", "Upsample", "ConstantPad", "Reflection", "Replication",
)  # fmt: skip


def roots(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The losses that ``torch.autograd.backward`` or ``grad`` is called with."""
    given = args[0] if args else kwargs.get("tensors", kwargs.get("outputs"))
    return [each for each in tree_leaves(given) if isinstance(each, Tensor)]


def uses(losses: Iterable[Tensor], outputs: Collection[Node]) -> dict[Node, set[Use]]:
    """What becomes of the value of every node of a graph.

    Args:
        losses: from which the graph goes back.
        outputs: the nodes of what whole models gave: what another model makes of it does not count.
    """
    found: dict[Node, set[Use]] = {}
    left = [(loss.grad_fn, Use.OTHER) for loss in losses if loss.grad_fn is not None]
    while left:
        node, use = left.pop()
        if node in outputs:
            use = Use.OTHER
        if use in found.setdefault(node, set()):
            continue
        found[node].add(use)
        inputs = [source for source, _ in node.next_functions if source is not None]
        use = _of_inputs(node, use, len(inputs))
        left.extend((source, use) for source in inputs)
    return found


def _of_inputs(node: Node, use: Use, inputs: int) -> Use:
    """What becomes of the inputs of a node whose value is used in this way."""
    name = node.name().removeprefix("torch::autograd::").partition("Backward")[0]
    if name in _WEIGHTS:
        return Use.WEIGHED
    if name.startswith(_NORMS):
        return Use.NORMED if use in (Use.WEIGHED, Use.NORMED) else Use.OTHER
    if name in _ACTIVATIONS:
        return Use.ACTIVATED if use is Use.WEIGHED else Use.OTHER
    scaled = name in ("Mul", "Div") and inputs == 1  # by what has no gradient, such as the mask of a dropout
    return use if scaled or name in _PASSING or name.startswith(_PASSING_FORMS) else Use.OTHER
