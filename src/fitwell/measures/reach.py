"""What training reaches: which parameters get a gradient, are held by an optimizer that steps, and change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fitwell.evidence import Measure, Value, View

WITHOUT_GRAPH = ("does not require grad and does not have a grad_fn", "has no attribute 'backward'")
LEAST_STEPS = 2  # that a share is read from
SCHEDULE_OVER = "The specified number of total steps is"
EMPTY_OPTIMIZER = "optimizer got an empty parameter list"


def _coverage(view: View) -> Mapping[str, Any] | None:
    found = view.fact("signals", "coverage")
    return found if isinstance(found, Mapping) and "backwards" in found else None


def _whole(what: str) -> Callable[[View], Value]:
    """Reads what is known of the program as a whole."""

    def read(view: View) -> Value:
        found = _coverage(view)
        return None if found is None else found.get(what)

    return read


def _own(what: str) -> Callable[[View], Value]:
    """Reads what is known of the thread."""

    def read(view: View) -> Value:
        found = _coverage(view) and view.known("coverage")
        return found.get(what) if found else None

    return read


def _held(view: View) -> Value:
    return _own("parameters")(view) if _own("looks")(view) else None  # a step that failed tells nothing


LOOKS = Measure("steps seen", _own("looks"), "steps")
CHANGED = Measure("a parameter of the optimizer changed in a step", _own("changed"))
PARAMETERS = Measure("parameters of the optimizer that require a gradient", _held, "tensors")
OF_MODULES = Measure("parameters of modules that the optimizer holds", _own("of_modules"), "tensors")
REACHED = Measure("parameters of the optimizer that a gradient reached", _own("reached"), "tensors")
BACKWARDS = Measure("backward passes seen", _whole("backwards"), "passes")
REACHED_ANYWHERE = Measure(
    "parameters of any module that a gradient reached", _whole("reached_parameters"), "tensors"
)


def _never_stepped(view: View) -> Value:
    found = _coverage(view)
    if found is None:
        return None
    made = found.get("optimizers", [])
    return found["backwards"] if made and not any(each["stepped"] for each in made) else 0


BACKWARDS_WITHOUT_STEP = Measure(
    "backward passes while no optimizer that was made has stepped", _never_stepped, "passes"
)
IDLE_OPTIMIZERS = Measure(
    "optimizers that never stepped, with parameters that gradients reach and no other one updates",
    lambda view: None if (found := _coverage(view)) is None else len(found.get("idle_optimizers", [])),
    "optimizers",
)
LARGEST_RATE = Measure(
    "largest learning rate seen",
    lambda view: max(found.finite, default=None) if (found := view.series("lr")) else None,
)


def idle_place(view: View) -> Mapping[str, Any] | None:
    """Where the optimizer was made that does not step."""
    found = _coverage(view) or {}
    made = found.get("idle_optimizers") or found.get("optimizers") or []
    return next((each["where"] for each in made if each["where"]), None)


def optimizer_place(view: View) -> Mapping[str, Any] | None:
    """Where the thread's optimizer was made."""
    found = (view.known("coverage") or {}) if _coverage(view) else {}
    where: Mapping[str, Any] | None = found.get("where")
    return where or failure_place(view) or idle_place(view)


def backward_place(view: View) -> Mapping[str, Any] | None:
    """Where the program propagates back; where it failed to, if it did."""
    return failure_place(view) or (_coverage(view) or {}).get("where")


def failure_place(view: View) -> Mapping[str, Any] | None:
    """The line that ended the program."""
    where: Mapping[str, Any] | None = view.fact("failure", "where")
    return where


def _forgotten(view: View) -> Value:
    found = _coverage(view)
    return None if found is None else found.get("not_in_optimizer", {}).get("forgotten")


FORGOTTEN = Measure(
    "parameters that gradients reach and no optimizer holds, other than loaded ones", _forgotten, "tensors"
)


def _unheld(view: View) -> Value:
    found = _coverage(view)
    return None if found is None else found.get("not_in_optimizer", {}).get("parameters")


FORGOTTEN_TENSORS = Measure(
    "plain tensors that gradients reach at step after step and no optimizer holds",
    lambda view: None if (found := _coverage(view)) is None else found["not_in_optimizer"].get("plain", 0),
    "tensors",
)
UNHELD = Measure("parameters that gradients reach and no optimizer holds", _unheld, "tensors")


def _cut(view: View) -> Value:
    cut = ((_coverage(view) and view.known("coverage")) or {}).get("cut")
    return None if cut is None else cut["count"]


CUT_LAYERS = Measure(
    "layers that ran before all those a gradient reaches, and were reached by none themselves", _cut, "layers"
)


def _passed_by(view: View) -> float | None:
    found = _coverage(view) and view.known("coverage")
    ran = (found or {}).get("ran", 0)
    return float((found or {}).get("detached_losses", 0) / ran) if ran >= LEAST_STEPS else None


UNREACHED_LAYERS = Measure(
    "layers that ran in training and no gradient reached",
    lambda view: ((_coverage(view) and view.known("coverage")) or {}).get("unreached", {}).get("count"),
    "layers",
)
DETACHED_LOSSES = Measure(
    "share of the steps in which a loss without a graph was computed, with gradients on", _passed_by, "share"
)


FLAT_OPERATIONS = Measure(
    "kinds of operations with a derivative of zero that gradients pass",
    lambda view: None if (found := _coverage(view)) is None else len(found.get("flat_operations", [])),
    "operations",
)
ZERO_GRADIENTS = Measure(
    "parameters whose gradient was zero at every step seen",
    lambda view: (view.known("missing_gradients") or {}).get("always_zero", {}).get("count"),
    "tensors",
)


def _models(view: View) -> list[Mapping[str, Any]] | None:
    found = _coverage(view)
    return None if found is None else list(found.get("models", []))


def _frozen_share(view: View) -> float | None:
    models = _models(view)
    whole = sum(model["parameters"] for model in models or [])
    return sum(model["frozen"]["count"] for model in models or []) / whole if whole else None


FROZEN_SHARE = Measure("share of the parameters that are frozen", _frozen_share, "share")


def _blank_head(view: View) -> Value:
    models = _models(view)
    if models is None:
        return None
    return any(_is_blank(model, view.thread) for model in models)


def _is_blank(model: Mapping[str, Any], thread: str) -> bool:
    """Whether a model's head is, or all of a model that an optimizer holds, such as a head of its own."""
    if model["thread"] == thread:
        return bool(model.get("blank_head"))
    return bool(model.get("blank_held")) and model["blank_held"] == model["parameters"]


BLANK_HEAD = Measure(
    "the weights of the model's last layer are frozen, and were neither trained nor loaded", _blank_head
)


def _ended(*messages: str) -> Callable[[View], Value]:
    def read(view: View) -> Value:
        if "failure" not in view.facts:
            return None
        message = view.fact("failure", "message") or ""
        return any(each in message for each in messages)

    return read


BLANK_FROZEN = Measure(
    "frozen parameters that the optimizer holds, and that were neither trained nor loaded",
    lambda view: None if (models := _models(view)) is None else sum(m.get("blank_held", 0) for m in models),
    "tensors",
)
ENDED_WITHOUT_GRAPH = Measure("backward failed because the loss has no graph", _ended(*WITHOUT_GRAPH))

ENDED_IN_OLD_GRAPH = Measure(
    "backward failed because it led into the graph of an earlier step",
    _ended("backward through the graph a second"),
)
ENDED_BY_SCHEDULE = Measure(
    "the scheduler failed because it was called more often than it was made for", _ended(SCHEDULE_OVER)
)


def _empty_because_frozen(view: View) -> Value:
    empty = _ended(EMPTY_OPTIMIZER)(view)
    text = (view.fact("failure", "where", "text") or "") if empty else ""
    return empty and "requires_grad" in text


EMPTY_OPTIMIZER_OF_FROZEN = Measure(
    "the optimizer was given those parameters that require a gradient, and there were none",
    _empty_because_frozen,
)
UNUSED_LAYERS = Measure(
    "layers with trainable parameters that never ran",
    lambda view: None if not (models := _models(view)) else max(model["unused"]["count"] for model in models),
    "layers",
)
MODEL_LOOKS = Measure(
    "steps at which the model was looked at",
    lambda view: None if not (models := _models(view)) else max(model["looks"] for model in models),
    "steps",
)
