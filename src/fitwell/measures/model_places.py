"""The line that makes an optimizer, an activation, a layer or its first weights: where a finding about them points.

The candidates are what the program's source says (``fitwell.watching.building``); among several, none is guessed where
nothing tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fitwell.evidence import View
from fitwell.measures.losses import place_or_failure
from fitwell.measures.metrics import HELD_OUT
from fitwell.measures.places import Line, Place, lines

LARGE_BIAS = 5
INSIDE = re.compile(r"atte?n|gate|gating|rout", re.IGNORECASE)  # weights of parts, not what a model ends with
LAST = ("Sigmoid", "Tanh", "Relu", "Softplus", "Softmax", "LogSoftmax", "Exp", "Abs")


def made_place(view: View) -> Line | None:
    """Where the optimizer of the thread was made."""
    where: Line | None = (view.known("coverage") or {}).get("where")
    made = view.fact("signals", "coverage", "optimizers") or []
    return where or (made[0].get("where") if len(made) == 1 else None)


def batch_place(view: View) -> Line | None:
    """Where the training data are put into batches, if one loader does, else where the optimizer was made."""
    found = [line for line in lines(view, "loaders") if not HELD_OUT.search(line["text"])]
    return _only(line for line in found if "DataLoader(" in line["text"]) or made_place(view)


def _only(found: Iterable[Line]) -> Line | None:
    """The line, if all that was found is in one."""
    at = {(line["file"], line["line"]): line for line in found}
    return next(iter(at.values())) if len(at) == 1 else None


def _owner(line: Line) -> str:
    """The class that a line is in."""
    return str(line.get("function")).partition(".<locals>")[0].rpartition(".")[0]


def _head(view: View) -> Line | None:
    """Where the last layer with parameters is called."""
    table = (view.known("layers") or {}).get("table") or []
    called = [row["where"] for row in table if row.get("where") and row.get("parameters")]
    return called[-1] if called else None


def activation_place(*operations: str) -> Place:
    """Gives where the activation is applied, or made, that the loss gets: one of these, or else the last one seen.

    The one in the line of the loss or before it in its function, else in the class that calls the last layer, else the
    last if all are in one function. If there is none, the line of the loss.
    """

    def place(view: View) -> Line | None:
        loss = place_or_failure(view)
        made_by = view.subject.get("name"), view.subject.get("of"), *(view.subject.get("made_by") or [])
        wanted = [name for name in made_by if name in operations][:1] or operations
        found = [line for line in lines(view, "activations") if line["operation"] in wanted]
        found = [line for line in found if not INSIDE.search(f"{line['function']} {line['text']}")]
        return _before(found, loss) or _in_head(found, _head(view)) or _last_of_all(found) or loss

    return place


def _before(found: list[Line], loss: Line | None) -> Line | None:
    """The last one before the loss in its function."""
    if loss is None:
        return None
    beside = [line for line in found if _same_function(line, loss) and line["line"] <= loss["line"]]
    return max(beside, key=_number, default=None)


def _last_of_all(found: list[Line]) -> Line | None:
    """The last, if all are in one function, or in none."""
    together = len({(line["file"], line["function"]) for line in found}) == 1
    return max(found, key=_number) if together else None


def _same_function(line: Line, other: Line) -> bool:
    return line.get("file") == other.get("file") and line.get("function") == other.get("function")


def _in_head(found: list[Line], head: Line | None) -> Line | None:
    """The last in the function that calls the last layer, from there on; else in its class."""
    if head is None:
        return None
    after = [line for line in found if _same_function(line, head) and line["line"] >= head["line"]]
    within = [line for line in found if line["in_model"] and _owner(line) == _owner(head)]
    return max(after if head.get("function") != "<module>" else [], key=_number, default=None) or _only(
        within
    )


def _number(line: Line) -> int:
    return int(line["line"])


def symmetric_place(view: View) -> Line | None:
    """Where the weights of the layer get one value."""
    return _of_layer(view, [line for line in _weights(view) if line["constant"] is not None]) or _called(view)


def scaled_initially_place(view: View) -> Line | None:
    """Where weights are drawn, or scaled, by numbers of the program's own, if that is one place."""
    return _of_layer(view, [line for line in _weights(view) if line["way"] in ("drawn", "scaled")])


def units_place(view: View) -> Line | None:
    """Where weights or biases are set that leave units at the flat ends, if that is one place."""
    biases = [line for line in lines(view, "initializes") if line["bias"] and line["constant"]]
    own = [line for line in _weights(view) if line["way"] != "standard"]
    return _only([*biases, *own]) or _only(biases) or _called(view)


def _weights(view: View) -> list[Line]:
    return [line for line in lines(view, "initializes") if not line["bias"]]


def _of_layer(view: View, found: list[Line]) -> Line | None:
    """The only one; of several those that name the layer, else the first if they are all in one function."""
    layer = str(view.subject.get("layer") or "").rpartition(".")[2]
    named = [line for line in found if layer and layer in str(line.get("of"))] if not layer.isdigit() else []
    together = found[:1] if len({(line["file"], line["function"]) for line in found}) == 1 else []
    return _only(found) or _only(named) or next(iter(together), None)


def _called(view: View) -> Line | None:
    where: Line | None = view.subject.get("where")
    return where


def dropout_made_place(view: View) -> Line | None:
    """Where the strongest dropout is made or applied."""
    found = lines(view, "dropouts")
    known = [line["probability"] for line in found if line["probability"] is not None]
    seen = [
        each.get("probability") or 0.0
        for each in (view.known("running_statistics") or {}).values()
        if isinstance(each, dict)
    ]
    strongest = max([*seen, *known], default=0.0)
    strong = [line for line in found if line["probability"] == strongest]
    return next(iter(strong or [line for line in found if line["probability"] is None]), None)


def squashing_place(view: View) -> Line | None:
    """Where the activations that gradients vanish in are made, or else applied, if that is one place."""
    for kind in ("constructed", "activations"):
        found = [line for line in lines(view, kind) if line["operation"] in ("Sigmoid", "Tanh")]
        if _only(found):
            return _only(found)
    return _only(lines(view, "recurrences")) if not _squashing(view) else None


def _squashing(view: View) -> bool:
    return any(line["operation"] in ("Sigmoid", "Tanh") for line in lines(view, "constructed"))


def exploding_place(view: View) -> Line | None:
    """Where weights begin too large, or a ReLU is fed back to itself, if that is one place; else the optimizer's."""
    large = [line for line in lines(view, "initializes") if _enlarges(line)]
    relu = [line for line in lines(view, "recurrences") if line["nonlinearity"] == "relu"]
    return _only(large) or _only(relu) or made_place(view)


def _enlarges(line: Line) -> bool:
    """Whether weights are drawn with a deviation above 1 or multiplied by as much, or biases begin far from 0."""
    if line["bias"]:
        return bool(abs(line["constant"] or 0.0) > LARGE_BIAS)
    return bool(line["way"] != "even" and (line["scale"] or 0.0) > 1)


def mixing_place(view: View) -> Line | None:
    """Where a model may take samples for something else, if that is one place."""
    found = lines(view, "reshapes")
    return _only(line for line in found if line["rank"] == 2) or _only(found)


def ignoring_place(view: View) -> Line | None:
    """Where a model loses its input, if that is one place."""
    return _only(lines(view, "ignores"))


def unused_place(view: View) -> Line | None:
    """Where the first layer is made that never ran."""
    models = view.fact("signals", "coverage", "models") or []
    names = {
        name.split(".")[0] for model in models for name in (model.get("unused") or {}).get("names") or []
    }
    return next((line for line in lines(view, "layers") if line["name"] in names), None)
