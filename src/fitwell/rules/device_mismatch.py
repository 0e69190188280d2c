"""device-mismatch: an operation is given tensors that lie on different devices."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import for_some
from fitwell.measures.failures import ERROR_IS_ABOUT, ended, errors, tensor
from fitwell.measures.messages import DEVICES

RULE = Rule(
    kind="bug",
    severity="error",
    says="tensors on different devices meet: {said}",
    when=for_some("errors that ended the program", errors, ERROR_IS_ABOUT.equals(DEVICES)),
    because="An operation runs on one device. Tensors are made on the CPU unless they are told otherwise, a model is "
    "moved by model.to(device), and a plain tensor that is an attribute of a module is not moved with it.",
    may_be_wrong_if="the error is raised on purpose, as a test of a program does.",
    remedies=(
        "move model and data to one device: model.to(device) before the optimizer is made, batch = batch.to(device)",
        "register constants of a module by register_buffer, so that they move with it",
        "make new tensors where the others are: torch.zeros(..., device=x.device)",
    ),
    sources=(
        Source(
            "Module.register_buffer",
            "https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.register_buffer",
        ),
        Source("CUDA semantics", "https://docs.pytorch.org/docs/stable/notes/cuda.html"),
    ),
    proves=True,
    explains=("optimizer-never-steps",),
    fires=(
        Example(
            "data left on the CPU",
            ended(
                "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!",
                tensor("x", [32, 10]),
                tensor("self.fc1.weight", [20, 10], device="cuda:0"),
            ),
        ),
        Example(
            "types of two devices",
            ended(
                "Input type (torch.FloatTensor) and weight type (torch.cuda.FloatTensor) should be the same"
            ),
        ),
        Example(
            "a tensor of the GPU given to NumPy",
            ended(
                "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.",
                kind="TypeError",
            ),
        ),
    ),
    quiet=(
        Example("a program that ended well", {"failure": None}),
        Example(
            "types of one device",
            ended("Input type (torch.DoubleTensor) and weight type (torch.FloatTensor) should be the same"),
        ),
        Example(
            "memory of the device is full",
            ended("CUDA out of memory. Tried to allocate 2.00 GiB", kind="OutOfMemoryError"),
        ),
        Example("a key named device", ended("'device'", kind="KeyError")),
    ),
)
