"""What the error is about that ended a program, and labels that no output stands for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fitwell.evidence import Measure, Subject, View
from fitwell.measures.messages import DEVICES, DTYPES, IN_PLACE, INDICES, LABELS, MESSAGES, SHAPES

# A message of another type is of something else: KeyError, FileNotFoundError, KeyboardInterrupt, ...
TYPES = ("RuntimeError", "ValueError", "IndexError", "TypeError", "AssertionError", "NotImplementedError",
         "AcceleratorError", "TorchRuntimeError")  # fmt: skip
MOST_SHOWN = 4  # operands
LONGEST = 200  # letters of a message
WHOLE = ("int64", "int32", "int16", "uint8", "int8")
CLASSES = ("cross_entropy", "nll_loss")
Operands = Sequence[Mapping[str, Any]]


def errors(view: View) -> list[Subject] | None:
    """The error that ended the program, as a list of one; none if it ended well, None if nobody looked.

    Each has ``about`` (see ``messages.py``; ``something else`` if it is none of these), ``said`` and ``where``.
    """
    if "failure" not in view.facts:
        return None
    failure = view.fact("failure")
    if not failure:
        return []
    about, advice = _recognized(failure)
    where = failure.get("where")
    in_place = failure.get("in_place") or {}
    if about in (DEVICES, DTYPES):
        where = failure.get("given_by") or where  # the tensor came as it is from there
    if about == IN_PLACE and in_place.get("likely") and in_place.get("changed") and not in_place.get("step"):
        where = in_place["changed"][0]
    return [{"about": about, "said": _said(failure, about, advice), "where": where}]


def message(view: View) -> str:
    """What the error said that ended the program."""
    return str(view.fact("failure", "message") or "")


def operands(view: View) -> Operands:
    """What the line that failed was given."""
    return list(view.fact("failure", "operands") or [])


def ended(message: str, *operands: Mapping[str, Any], kind: str = "RuntimeError") -> dict[str, Any]:
    """The facts of a program that an error ended, as examples of rules need them."""
    where = {"file": "train.py", "line": 31, "function": "Net.forward", "text": "return self.fc1(x)"}
    return {"failure": {"type": kind, "message": message, "where": where, "operands": list(operands)}}


def tensor(
    name: str, shape: Sequence[int], dtype: str = "torch.float32", device: str = "cpu"
) -> Mapping[str, Any]:
    """An operand of the line that failed."""
    return {"name": name, "shape": list(shape), "dtype": dtype, "device": device}


def class_losses(view: View) -> list[Subject] | None:
    """The places of losses that take class numbers, on any data."""
    seen = view.fact("signals", "loss_inputs", "places")
    if seen is None:
        return None
    return [place | {"said": _labels(place)} for place in seen if _takes_labels(place)]


def _takes_labels(place: Mapping[str, Any]) -> bool:
    numbers = place["function"] in CLASSES and "int" in place["target_dtype"]
    return numbers and None not in place.get("target", [None])  # None: every label was to be ignored


def _labels(place: Mapping[str, Any]) -> str:
    low, high = place["target"]
    return f"the labels run from {low:g} to {high:g}, and the model has {place['outputs']} outputs"


def _too_high(view: View) -> float:
    """By how much the highest label is over the last output."""
    return float(view.subject["target"][1] - view.subject["outputs"] + 1)


ERROR_IS_ABOUT = Measure("what the error is about that ended the program", lambda view: view.subject["about"])
LABELS_TOO_HIGH = Measure("the highest label, over the number of the last output", _too_high)
LEAST_LABEL = Measure("the lowest label", lambda view: view.subject["target"][0])


@cache
def _patterns() -> list[tuple[str, re.Pattern[str], str]]:
    return [(about, re.compile(pattern), advice) for about, pattern, advice in MESSAGES]


def _recognized(failure: Mapping[str, Any]) -> tuple[str, str]:
    """What an error is about, and what to do."""
    message = _of_worker(str(failure["message"]))
    for about, pattern, advice in _patterns() if failure["type"] in TYPES else ():
        match = pattern.search(message)
        if match is None or (about == INDICES and not _by_tensor(failure, message)):
            continue
        return about, advice.format(match[0], *match.groups()) if advice else ""
    return "something else", ""


def _of_worker(message: str) -> str:
    """The message of the error in a worker of a DataLoader, which is the last paragraph of the one that tells of it."""
    trace = message.partition("\nOriginal Traceback (most recent call last):\n")[2]
    found = re.search(r"^[\w.]+(?:Error|Exception): ([\s\S]*)", trace, re.MULTILINE)
    return found[1] if found else message


def _by_tensor(failure: Mapping[str, Any], message: str) -> bool:
    """Whether the index out of range comes from a tensor, not from a number such as in ``x[5]``."""
    if failure["type"] != "IndexError" or message.startswith("index out of range in self"):
        return True
    return any(_dtype(operand) in WHOLE and operand.get("shape") for operand in failure["operands"])


def _said(failure: Mapping[str, Any], about: str, advice: str) -> str:
    """The error in a sentence: the message, the operands with what differs in them, what to do."""
    message = _of_worker(str(failure["message"])).strip()
    if "modified by an inplace operation" in message and failure.get("in_place"):
        message = ""  # what is known of it says more
    message = re.sub(r"torch\.Size\((\[.*?\])\)", r"\1", message)
    first = re.split(r"\n\s*\n|\. |(?<!torch)\.(?=[A-Z])", message)[0]
    first = " ".join(first.split()).rstrip(".")[:LONGEST]
    shown = [
        _shown(failure, about),
        advice if about == DEVICES and advice else _further(failure, about) or advice,
    ]
    return "; ".join(text for text in (first, *shown) if text)


def _shown(failure: Mapping[str, Any], about: str) -> str:
    """The operands that the error is about."""
    if about == IN_PLACE:
        return _changed(failure.get("in_place") or {})
    tensors = _tensors(failure["operands"])
    if about == SHAPES:
        message = str(failure["message"])
        sizes = _sizes(message)
        if "size of tensor a" in message:  # layers are no part of it
            tensors = [each for each in tensors if not _is_parameter(each["name"])]
        relevant = [each for each in tensors if _views(each["shape"]) & sizes]
        texts = [f"{each['name']} is {each['shape']}" for each in (relevant or tensors)]
    elif about == DEVICES:
        texts = [f"{each['name']} is on {each['device']}" for each in tensors if "device" in each]
    elif about in (LABELS, INDICES):
        texts = [_index(each) for each in tensors if about == INDICES or not _is_parameter(each["name"])]
    else:
        texts = [f"{each['name']} is {_dtype(each)}" for each in tensors if "dtype" in each]
    return ", ".join(texts[:MOST_SHOWN])


def _is_parameter(name: str) -> bool:
    return re.search(r"(weight|bias)\w*$", name) is not None


def _tensors(operands: Operands) -> list[dict[str, Any]]:
    """Tensors, and the parameters of modules whose parameters are not among them; without ``self.``."""
    named: dict[str, dict[str, Any]] = {}
    for operand in operands:
        if operand.get("shape") is not None and not operand["name"].endswith(".bias"):
            named.setdefault(_plain(operand["name"]), {**operand, "name": _plain(operand["name"])})
    for operand in operands:
        shapes = operand.get("parameters") or {}
        for name, shape in shapes.items():
            full = f"{_plain(operand['name'])}.{name}"
            if name != "bias" and shape is not None:
                named.setdefault(full, {"name": full, "shape": shape})
    return list(named.values())


def _plain(name: str) -> str:
    return name.removeprefix("self.")


def _dtype(operand: Mapping[str, Any]) -> str:
    return str(operand.get("dtype", "")).removeprefix("torch.")


def _index(tensor: Mapping[str, Any]) -> str:
    """A tensor as labels or indices, or as what they point into."""
    if tensor.get("range"):
        low, high = tensor["range"]
        return f"{tensor['name']} runs from {low} to {high}"
    return f"{tensor['name']} is {tensor['shape']}"


def _sizes(message: str) -> set[tuple[int, ...]]:
    """The shapes in a message: ``[32, 10]``, ``(32x10 and 64x20)``, ``tensor a (3)``."""
    found = set()
    for text in re.findall(r"[\[(](\d+(?:, ?\d+)*),?[\])]|(\d+(?:x\d+)+)", message):
        found.add(tuple(int(number) for number in re.findall(r"\d+", "".join(text))))
    return found


def _views(shape: Sequence[int]) -> set[tuple[int, ...]]:
    """The shapes by which a message may speak of a tensor: its own, as a matrix, turned, and its last axis."""
    whole = tuple(shape)
    if not whole:
        return {whole}
    matrix = math.prod(whole[:-1]), whole[-1]
    return {whole, matrix, matrix[::-1], *((size,) for size in whole)}


def _further(failure: Mapping[str, Any], about: str) -> str:
    """What to do where that takes more than the message."""
    if about == DEVICES:
        return _move(failure["operands"])
    if about == IN_PLACE and (failure.get("in_place") or {}).get("step"):
        return "compute the loss anew after a step, or step when all backwards are done"
    channels = re.search(r"input\[(\d+), \d+, \d+, (\d+)\] to have (\d+) channels", str(failure["message"]))
    if channels and channels[2] == channels[3]:
        return "put the axis of channels second: x.permute(0, 3, 1, 2)"
    product = re.search(r"multiplied \((\d+)x(\d+) and (\d+)x\d+\)", str(failure["message"]))
    layers = [o for o in failure["operands"] if o.get("class") == "Linear"]
    if about != SHAPES or product is None or not layers:
        return ""
    columns, rows = int(product[2]), int(product[3])
    for tensor in _tensors(failure["operands"]):
        shape = tensor["shape"]
        if len(shape) > 2 and math.prod(shape[1:]) == rows:
            return f"flatten it first, such as {tensor['name']}.flatten(1): that gives [{shape[0]}, {rows}]"
    return f"give nn.Linear({columns}, ...), or change what comes before it to give {rows} features"


def _move(operands: Operands) -> str:
    """Which tensor to move where: to where the parameters are."""
    tensors = [each for each in operands if each.get("device")]
    weights = [each["device"] for each in tensors if _is_parameter(each["name"])]
    devices = dict.fromkeys(each["device"] for each in tensors)
    home = next((device for device in [*weights, *devices] if device != "cpu"), "")
    if len(devices) < 2 or not home:
        return "move model and data to one device: model.to(device), x = x.to(device)"
    stray = next(each for each in tensors if each["device"] != home)
    name = _plain(stray["name"])
    if _is_parameter(name):
        return f"move the model, too: model.to({home!r}) before the optimizer is made"
    return f"move it: {name} = {name}.to({home!r})"


def _changed(found: Mapping[str, Any]) -> str:
    """What is known of a tensor that was changed in place: what made it, who needs it, which lines it may be."""
    texts = []
    if found.get("step"):
        texts.append(f"it is a parameter, of shape {found['shape']} here")
    elif found.get("shape"):
        maker = f", the result of {found['made_by']}" if found["made_by"] else ""
        texts.append(f"it is of shape {found['shape']}{maker}")
    if found.get("saved_by"):
        texts.append(f"which {found['saved_by']} kept for backward")
    if found.get("saved"):
        texts.append(f"probably at {_line(found['saved'])}")
    changed = found.get("changed") or []
    if changed:
        sure = "" if found.get("certain") else "probably " if found.get("likely") else "perhaps "
        texts.append(f"{sure}changed in place at " + " or ".join(map(_line, changed)))
    return ", ".join(texts)


def _line(where: Mapping[str, Any]) -> str:
    return f"{Path(str(where['file'])).name}:{where['line']} ({where['text']})"
