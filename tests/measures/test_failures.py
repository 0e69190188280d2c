"""What an error is about, told from the messages of torch; and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from fitwell.evidence import View
from fitwell.measures.failures import (
    ERROR_IS_ABOUT,
    LABELS_TOO_HIGH,
    LEAST_LABEL,
    class_losses,
    ended,
    errors,
    tensor,
)
from fitwell.measures.messages import DEVICES, DTYPES, IN_PLACE, INDICES, LABELS, SHAPES

OTHER = "something else"
CUDA_ASSERT = (
    "CUDA error: device-side assert triggered\n"
    "CUDA kernel errors might be asynchronously reported at some other API call"
)
WORKER = """Caught RuntimeError in DataLoader worker process 0.
Original Traceback (most recent call last):
  File "loader.py", line 3, in the expected scalar type Long but found Float
RuntimeError: stack expects each tensor to be equal size, but got [3] at entry 0 and [4] at entry 1
"""
SEEN = {
    "mat1 and mat2 shapes cannot be multiplied (4x5 and 3x2)": SHAPES,
    "size mismatch, got input (2), mat (2x3), vec (2)": SHAPES,
    "Given groups=1, weight of size [8, 3, 3, 3], expected input[2, 1, 8, 8] to have 3 channels, but got 1 channels "
    "instead": SHAPES,
    "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: [2, 8]": SHAPES,
    "The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 0": SHAPES,
    "shape '[5]' is invalid for input of size 6": SHAPES,
    "view size is not compatible with input tensor's size and stride": SHAPES,
    WORKER: SHAPES,
    "Sizes of tensors must match except in dimension 0. Expected size 2 but got size 3": SHAPES,
    "0D or 1D target tensor expected, multi-target not supported": SHAPES,
    "only batches of spatial targets supported (3D tensors) but got targets of dimension: 4": SHAPES,
    "running_mean should contain 5 elements not 3": SHAPES,
    "Given normalized_shape=[3], expected input with shape [*, 3], but got input of size[2, 4]": SHAPES,
    "input.size(-1) must be equal to input_size. Expected 3, got 6": SHAPES,
    "Expected hidden[0] size (1, 2, 4), got [1, 9, 4]": SHAPES,
    "Calculated padded input size per channel: (3 x 3). Kernel size: (5 x 5). Kernel size can't be greater than actual "
    "input size": SHAPES,
    "grad can be implicitly created only for scalar outputs": SHAPES,
    "a Tensor with 2 elements cannot be converted to Scalar": SHAPES,
    "Error(s) in loading state_dict for Linear:\n\tsize mismatch for weight: copying a param with shape": SHAPES,
    "output with shape [1, 28, 28] doesn't match the broadcast shape [3, 28, 28]": SHAPES,
    "einsum(): subscript j has size 4 for operand 1 which does not broadcast with previously seen size 3": SHAPES,
    "a and b must have same reduction dim, but got [4, 5] X [3, 2].": SHAPES,
    "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!": DEVICES,
    "Expected all tensors to be on the same device, but got mat1 is on cuda:0, different from other tensors on cpu": (
        DEVICES
    ),
    "Input type (torch.cuda.FloatTensor) and weight type (torch.FloatTensor) should be the same": DEVICES,
    "Input type (torch.FloatTensor) and weight type (torch.cuda.FloatTensor) should be the same": DEVICES,
    "Tensor for argument #1 'self' is on CPU, but expected it to be on GPU": DEVICES,
    "indices should be either on cpu or on the same device as the indexed tensor (cpu)": DEVICES,
    "Placeholder storage has not been allocated on MPS device!": DEVICES,
    "Tensor on device meta is not on the expected device cpu!": DEVICES,
    "module must have its parameters on device cuda:0 (device_ids[0]) but found one of them on device: cpu": DEVICES,
    "Expected a 'cuda' device type for generator but found 'cpu'": DEVICES,
    "Input type (torch.cuda.DoubleTensor) and weight type (torch.cuda.FloatTensor) should be the same": DTYPES,
    "Input type (double) and bias type (float) should be the same": DTYPES,
    "mat1 and mat2 must have the same dtype, but got Double and Float": DTYPES,
    "expected m1 and m2 to have the same dtype, but got: double != float": DTYPES,
    "expected scalar type Long but found Float": DTYPES,
    "expected scalar type Half but found Float": DTYPES,
    "Found dtype Double but expected Float": DTYPES,
    "\"nll_loss_forward_reduce_cuda_kernel_2d_index\" not implemented for 'Int'": DTYPES,
    "\"addmm_impl_cpu_\" not implemented for 'Half'": DTYPES,
    "result type Float can't be cast to the desired output type Long": DTYPES,
    "Only Tensors of floating point and complex dtype can require gradients": DTYPES,
    "Expected floating point type for target with class probabilities, got Long": DTYPES,
    "Index put requires the source and destination dtypes match, got Float for the destination and Double for the "
    "source.": DTYPES,
    "one of the variables needed for gradient computation has been modified by an inplace operation: "
    "[torch.FloatTensor [3]], which is output 0 of ExpBackward0, is at version 1; expected version 0 "
    "instead.": IN_PLACE,
    "a leaf Variable that requires grad is being used in an in-place operation.": IN_PLACE,
    "a view of a leaf Variable that requires grad is being used in an in-place operation.": IN_PLACE,
    "Output 0 of UnbindBackward0 is a view and is being modified inplace.": IN_PLACE,
    "Inplace update to inference tensor outside InferenceMode is not allowed.": IN_PLACE,
    "Target 10 is out of bounds.": LABELS,
    "Class values must be smaller than num_classes.": LABELS,
    CUDA_ASSERT: LABELS,
    "index out of range in self": INDICES,
    "index 5 is out of bounds for dimension 1 with size 3": INDICES,
    "Trying to backward through the graph a second time": OTHER,
    "element 0 of tensors does not require grad and does not have a grad_fn": OTHER,
    "all elements of input should be between 0 and 1": OTHER,
    "CUDA error: device-side assert triggered: Assertion `input_val >= zero && input_val <= one` failed.": OTHER,
    "CUDA out of memory. Tried to allocate 2.00 GiB": OTHER,
    "DataLoader worker (pid 12) is killed by signal: Killed.": OTHER,
    "optimizer got an empty parameter list": OTHER,
    "": OTHER,
}


def error(message: str, *operands: Any, kind: str = "RuntimeError", **more: Any) -> dict[str, Any]:
    """The error as rules see it."""
    facts = ended(message, *operands, kind=kind)
    facts["failure"] |= more
    (found,) = errors(View(facts)) or []
    return dict(found)


@pytest.mark.parametrize("message", SEEN)
def test_messages_are_recognized(message: str) -> None:
    found = error(message)
    assert found["about"] == SEEN[message]
    assert found["where"]["line"] == 31
    assert ERROR_IS_ABOUT.read(View(subject=found)) == SEEN[message]


@pytest.mark.parametrize("kind", ["KeyError", "FileNotFoundError", "KeyboardInterrupt", "OutOfMemoryError"])
@pytest.mark.parametrize("message", list(SEEN)[:60:7])
def test_an_error_of_another_type_is_about_something_else(kind: str, message: str) -> None:
    assert error(message, kind=kind)["about"] == OTHER


def test_a_program_that_ended_well_has_none_and_one_that_nobody_saw_is_unknown() -> None:
    assert errors(View({"failure": None})) == []
    assert errors(View()) is None


def test_a_number_out_of_range_is_no_label() -> None:
    message = "index 5 is out of bounds for dimension 0 with size 3"
    labels = tensor("y", [4], "torch.int64") | {"range": [0, 5]}
    assert error(message, tensor("x", [3]), kind="IndexError")["about"] == OTHER
    found = error(message, tensor("x", [3]), labels, kind="IndexError")
    assert found["about"] == INDICES
    assert "x is [3], y runs from 0 to 5" in found["said"]


FC1 = {"name": "self.fc1", "class": "Linear", "parameters": {"weight": [20, 64], "bias": [20]}}


def test_a_linear_layer_is_told_its_size() -> None:
    found = error("mat1 and mat2 shapes cannot be multiplied (32x10 and 64x20)", tensor("x", [32, 10]), FC1)
    assert found["said"] == (
        "mat1 and mat2 shapes cannot be multiplied (32x10 and 64x20); x is [32, 10], fc1.weight is [20, 64]; "
        "give nn.Linear(10, ...), or change what comes before it to give 64 features"
    )


def test_what_was_not_flattened_is_to_be_flattened() -> None:
    found = error(
        "mat1 and mat2 shapes cannot be multiplied (64x8 and 64x20)", tensor("x", [8, 1, 8, 8]), FC1
    )
    assert "x is [8, 1, 8, 8]" in found["said"]
    assert "x.flatten(1): that gives [8, 64]" in found["said"]


def test_matrices_are_told_what_must_be_equal() -> None:
    found = error("mat1 and mat2 shapes cannot be multiplied (2x3 and 2x5)", tensor("a", [2, 3]))
    assert "3 columns and the second 2 rows" in found["said"]


def test_channels_last_are_to_be_put_second() -> None:
    message = "expected input[2, 28, 28, 3] to have 3 channels, but got 28 channels instead"
    assert "permute(0, 3, 1, 2)" in error(message)["said"]
    message = message.replace("[2, 28, 28, 3]", "[2, 1, 28, 28]").replace("got 28", "got 1")
    assert "give the layer 1 input channels" in error(message)["said"]


def test_layers_are_no_part_of_a_sum() -> None:
    message = "The size of tensor a (4) must match the size of tensor b (5) at non-singleton dimension 1"
    found = error(message, tensor("h", [7, 5]), tensor("self.b.weight", [4, 5]), tensor("z", [9]))
    assert found["said"] == f"{message}; h is [7, 5]"


def test_dtypes_are_named() -> None:
    message = "mat1 and mat2 must have the same dtype, but got Double and Float"
    operands = tensor("x", [4, 3], "torch.float64"), tensor("net.0.weight", [2, 3]), tensor("net.0.bias", [2])
    assert (
        "; x is float64, net.0.weight is float32; NumPy's floats are float64"
        in error(message, *operands)["said"]
    )


@pytest.mark.parametrize(
    ("x", "weight", "fix"),
    [
        ("cpu", "cuda:0", "move it: x = x.to('cuda:0')"),
        ("cuda:0", "cpu", "move the model, too: model.to('cuda:0')"),
        ("cpu", "cpu", "move model and data to one device"),
    ],
)
def test_the_stray_tensor_is_to_be_moved(x: str, weight: str, fix: str) -> None:
    message = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
    found = error(message, tensor("x", [4], device=x), tensor("self.fc.weight", [4], device=weight))
    assert f"x is on {x}, fc.weight is on {weight}" in found["said"]
    assert fix in found["said"]


def test_labels_are_shown_with_their_range() -> None:
    labels = tensor("y", [8], "torch.int64") | {"range": [1, 10]}
    found = error("Target 10 is out of bounds.", labels, tensor("input", [8, 10]), kind="IndexError")
    assert found["said"].startswith(
        "Target 10 is out of bounds; y runs from 1 to 10, input is [8, 10]; number"
    )


LINE = {"file": "/home/me/train.py", "line": 12, "function": "f", "text": "h += 1"}
MODIFIED = (
    "one of the variables needed for gradient computation has been modified by an inplace operation: [x [3]]"
)


def test_a_change_in_place_names_both_lines() -> None:
    told = {
        "shape": [3], "made_by": "Exp", "saved_by": "Exp", "saved": LINE | {"line": 11, "text": "h = exp(x)"},
        "changed": [LINE], "step": False, "certain": False, "likely": True,
    }  # fmt: skip
    found = error(MODIFIED, in_place=told)
    assert found["said"].startswith("it is of shape [3], the result of Exp, which Exp kept for backward, ")
    assert (
        "probably at train.py:11 (h = exp(x)), probably changed in place at train.py:12 (h += 1)"
        in found["said"]
    )
    assert found["where"] == LINE


def test_a_step_between_forward_and_backward_is_named() -> None:
    told = {"shape": [3], "made_by": "", "saved_by": "", "saved": None, "changed": [LINE], "step": True}
    said = error(MODIFIED, in_place=told | {"certain": False, "likely": True})["said"]
    assert "it is a parameter" in said
    assert "compute the loss anew after a step" in said


def test_a_certain_line_is_not_called_probable() -> None:
    said = error("a leaf Variable that requires grad is being used in an in-place operation.",
                 in_place={"changed": [LINE], "certain": True})["said"]  # fmt: skip
    assert "; changed in place at train.py:12" in said


def test_a_change_whose_line_is_unknown_is_where_it_was_raised() -> None:
    assert error(MODIFIED, in_place=None)["where"]["line"] == 31


def place(low: float | None, high: float | None, **more: Any) -> dict[str, Any]:
    usual = {"function": "cross_entropy", "target_dtype": "int64", "outputs": 10, "target": [low, high]}
    return usual | more


def view_of(*places: dict[str, Any]) -> View:
    return View({"signals": {"loss_inputs": {"places": list(places)}}})


@pytest.mark.parametrize(
    ("low", "high", "above", "least"),
    [(0, 9, 0, 0), (0, 10, 1, 0), (-1, 3, -6, -1)],
)
def test_labels_are_compared_with_the_outputs(low: Any, high: Any, above: Any, least: Any) -> None:
    (subject,) = class_losses(view_of(place(low, high))) or []
    view = View(subject=subject)
    assert (LABELS_TOO_HIGH.read(view), LEAST_LABEL.read(view)) == (above, least)


def test_only_losses_of_class_numbers_have_labels() -> None:
    probabilities = place(0, 1, target_dtype="float32")
    regression = place(-5, 99, function="mse_loss")
    empty = {name: value for name, value in place(0, 1).items() if name != "target"}
    ignored = place(None, None)
    assert class_losses(view_of(probabilities, regression, empty, ignored)) == []
    (subject,) = class_losses(view_of(place(1, 10, function="nll_loss"))) or []
    assert subject["said"] == "the labels run from 1 to 10, and the model has 10 outputs"
    assert class_losses(View()) is None
