"""What the losses of a training were given, place by place: a place is a line that calls one loss function.

Each place is a mapping as in the facts of the signal ``loss_inputs``, with ``where``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fitwell.evidence import Measure, Subject, View

REGRESSION = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
CLASSES = ("cross_entropy", "nll_loss")
PROBABILITIES = ("Sigmoid", "Softmax", "Hardsigmoid")
LAYERS = ("Addmm", "Mm", "Bmm", "Baddbmm", "Convolution", "Linear", "Mv", "Dot")
# A row of probabilities sums to 1 but for rounding, which in bfloat16 is up to 0.01.
ROUNDING = 0.02


def places(*functions: str, part: str = "train") -> Callable[[View], Iterable[Subject] | None]:
    """Gives the places of these loss functions; of all if none are named.

    Args:
        functions: names in ``torch.nn.functional``.
        part: whose data they are computed on.
    """

    def subjects(view: View) -> list[Mapping[str, Any]] | None:
        seen = view.fact("signals", "loss_inputs", "places")
        if seen is None:
            return None
        return [p for p in seen if p["part"] == part and (not functions or p["function"] in functions)]

    return subjects


def _end(which: str, end: int) -> Callable[[View], float | None]:
    def read(view: View) -> float | None:
        found = view.subject.get(which)
        return None if found is None else found[end]

    return read


def _row_sum(which: str, end: int) -> Callable[[View], float | None]:
    def read(view: View) -> float | None:
        sums, axis = view.subject.get(which), view.subject.get("class_axis")
        return None if not sums or axis is None or axis >= len(sums) else sums[axis][end]

    return read


def _operations(view: View) -> list[str] | None:
    """What made the input, the last one first, up to a layer."""
    found: list[str] | None = view.subject.get("made_by")
    return found


def _last_operation(view: View) -> str | None:
    found = _operations(view)
    return None if found is None else next(iter(found), "nothing that is known")


def _probability_maker(view: View) -> bool | None:
    """Whether the loss is given the result of a sigmoid or softmax, at most cut off or turned round."""
    found = _operations(view)
    if found is None:
        return None
    rest = [name for name in found if name not in ("Clamp", "Hardtanh", "Rsub")]
    return bool(rest) and rest[0] in PROBABILITIES


def _raw(view: View) -> bool | None:
    """Whether nothing but cutting off lies between a layer and the loss."""
    found = _operations(view)
    if not found:
        return None
    rest = [name for name in found if name not in ("Relu", "LeakyRelu", "Elu", "Clamp", "Hardtanh")]
    return bool(rest) and rest[0] in LAYERS


def _sum_is_one(ranges: list[float | None] | None) -> bool:
    return bool(ranges) and all(value is not None and abs(value - 1) < ROUNDING for value in ranges or ())


def _one_along(view: View) -> set[int] | None:
    """The axes along which the input are probabilities or log-probabilities, of at least two."""
    place = view.subject
    sums, exp_sums, input = place.get("sums"), place.get("exp_sums"), place.get("input")
    if sums is None or exp_sums is None or not input:
        return None
    shape = place.get("input_shape") or []
    wide = [axis for axis in range(len(sums)) if axis < len(shape) and shape[axis] > 1]
    positive = input[0] is not None and input[0] >= 0
    return {axis for axis in wide if (positive and _sum_is_one(sums[axis])) or _sum_is_one(exp_sums[axis])}


def _normalized_elsewhere(view: View) -> bool | None:
    """Along another axis than the classes; where the loss does not say which those are: over the rows of a table."""
    found, place = _one_along(view), view.subject
    if found is None:
        return None
    classes = place["class_axis"]
    if place["function"] in CLASSES:
        return bool(found) and classes not in found
    return found == {0} and len(place["input_shape"]) == 2 and place["input_shape"][1] > 1


def _least_exp_sum(view: View) -> float | None:
    """Log-probabilities sum to 1 along some axis: the largest sum along the one that comes nearest.

    Where the loss was only given what is not a number, as the logarithm of a negative one is, there is none.
    """
    sums, given = view.subject.get("exp_sums"), view.subject.get("input")
    if given is not None and list(given) == [None, None]:
        sums = [(low, low) for low, _ in sums or ()]
        if any(low is None for low, _ in sums):
            return None
    ends = [high if high is not None else math.inf for _, high in sums or ()]
    axis = view.subject.get("class_axis")
    if view.subject.get("function") == "nll_loss":
        return ends[axis] if ends and axis is not None and axis < len(ends) else None
    return min(ends, key=lambda high: abs(high - 1)) if ends else None


def _constant_one(view: View) -> bool | None:
    input, made_by = view.subject.get("input"), _operations(view)
    if not input or made_by is None:
        return None
    return list(input) == [1.0, 1.0] and made_by[:1] == ["Softmax"]


def _grown(view: View) -> bool | None:
    """Whether [B, 1] met [B]: without axes of size 1 both shapes are the same, and their sum has more elements."""
    place = view.subject
    if "broadcast" not in place:
        return None
    shapes = place["broadcast"]
    if not shapes or len(shapes[0]) == len(shapes[1]):
        return False
    same = [[size for size in shape if size > 1] for shape in shapes]
    return (
        same[0] == same[1] and len(same[0]) > 0 and max(same[0]) > 1 and _spread(*shapes) > math.prod(same[0])
    )


def _spread(one: list[int], other: list[int]) -> int:
    """Elements of what two shapes are broadcast to."""
    axes = max(len(one), len(other))
    padded = [[1] * (axes - len(shape)) + list(shape) for shape in (one, other)]
    return math.prod(max(pair) for pair in zip(*padded, strict=True))


def _class_labels(view: View) -> int | None:
    """How many classes the integers 0, 1, ... of a target name; 0 if it is no such."""
    place, target = view.subject, view.subject.get("target")
    if not target or None in target or "labels_are_integers" not in place:
        return None
    labels = place["labels_are_integers"] and place.get("target_whole") and target[0] == 0
    return int(target[1]) + 1 if labels else 0


def _soft(view: View) -> bool | None:
    """Whether the targets of a loss of classes are probabilities, not indices."""
    kind = view.subject.get("target_dtype")
    return None if kind is None else str(kind).startswith(("float", "bfloat"))


def _target_row_sum(view: View) -> float | None:
    soft, sums = _soft(view), view.subject.get("target_sum")
    return sums[1] if sums else None if soft is None else 1.0


def _soft_target_least(view: View) -> float | None:
    """Indices of classes are no such: 0."""
    soft, target = _soft(view), view.subject.get("target")
    return (target[0] if soft else 0.0) if target and soft is not None else None


def _label_for_all(view: View) -> bool | None:
    """Whether all outputs, one a class, are to be the number of the class."""
    place, target = view.subject, view.subject.get("target")
    if "target_repeated" not in place or not target or None in target:
        return None
    numbers = bool(place.get("target_whole")) and target[0] == 0 and target[1] == place["outputs"] - 1
    return bool(place["target_repeated"]) and numbers and place["outputs"] > 2


def _one_output(view: View) -> bool | None:
    """Whether the model has one output for each sample."""
    shape, outputs = view.subject.get("input_shape"), view.subject.get("outputs")
    return None if shape is None else len(shape) == 1 or (len(shape) == 2 and outputs == 1)


def failure_message(view: View) -> str | None:
    """What the exception said that ended the program; "nothing" if it ended well."""
    failure = view.fact("failure")
    if failure is None:
        return "nothing" if "failure" in view.facts else None
    return str(failure["message"])


def place_or_failure(view: View) -> Mapping[str, Any] | None:
    """The line of the subject, else the one at which the program ended."""
    where: Mapping[str, Any] | None = view.subject.get("where") or view.fact("failure", "where")
    return where


INPUT_LEAST = Measure("least value that the loss is given", _end("input", 0))
INPUT_LARGEST = Measure("largest value that the loss is given", _end("input", 1))
LEAST_ROW_SUM = Measure("least sum over the classes of what the loss is given", _row_sum("sums", 0))
LARGEST_ROW_SUM = Measure("largest sum over the classes of what the loss is given", _row_sum("sums", 1))
EXP_SUM = Measure(
    "largest sum over the classes of exp(what the loss is given), which is 1 for log-probabilities",
    _least_exp_sum,
)
LAST_OPERATION = Measure("last operation before the loss", _last_operation)
PROBABILITY_MAKER = Measure("the loss is given what a sigmoid or softmax made", _probability_maker)
RAW = Measure("the loss is given what a layer computed, at most with its negative values cut off", _raw)
FUNCTION = Measure("loss function", lambda view: view.subject.get("function"))
OUTPUTS = Measure("classes that the loss is given", lambda view: view.subject.get("outputs"))
LOSS_LEAST = Measure("least value of the loss", _end("value", 0))
LOSS_LARGEST = Measure("largest value of the loss", _end("value", 1))
CONSTANT_ONE = Measure("the loss is given a softmax of single numbers, which is always 1", _constant_one)
NORMALIZED_ELSEWHERE = Measure(
    "what the loss is given sums to 1 along another axis than that of the classes", _normalized_elsewhere
)
GROWN = Measure(
    "prediction and target differ in shape and are both repeated to fit, as [B, 1] and [B] to [B, B]", _grown
)
UNREACHABLE = Measure(
    "targets outside of what the last operation can produce",
    lambda view: view.subject.get("target_unreachable"),
    "share",
)
TARGET_LEAST = Measure("least target", _end("target", 0))
TARGET_LARGEST = Measure("largest target", _end("target", 1))
TARGET_ROW_SUM = Measure("largest sum over the classes of the targets", _target_row_sum)
SOFT_TARGET_LEAST = Measure("least target, where targets are probabilities of classes", _soft_target_least)
CLASS_LABELS = Measure("classes that the target numbers from 0 on", _class_labels)
ONE_OUTPUT = Measure("the model has one output", _one_output)
LABEL_FOR_ALL = Measure(
    "there is an output for each class, and all are to be the number of the class", _label_for_all
)
FAILURE = Measure("what ended the program", failure_message)
