"""The line of the program at fault: what happened there, or what its source says, from ``source_lines``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fitwell.evidence import View
from fitwell.measures.metrics import HELD_OUT
from fitwell.measures.reach import backward_place, idle_place

Line = Mapping[str, Any]
Place = Callable[[View], Line | None]
LIKELY = 3  # rank of an operation that makes NaN or infinity of an ordinary number, 0 or a negative one


def lines(view: View, kind: str) -> list[Line]:
    """The lines of a kind: see ``fitwell.watching.places.lines_of``."""
    return view.fact("signals", "source_lines", kind) or []


def _together(line: Line, other: Line | None) -> bool:
    """Whether two lines are in one function."""
    return other is not None and line.get("file") == other.get("file") and _function(line) == _function(other)


def _function(line: Line) -> str:
    """The function that a line is in, also if it is in a generator or a comprehension there."""
    return str(line.get("function")).partition(".<locals>.<")[0]


def _nearest(found: list[Line], to: Line, *, before: bool = False) -> Line | None:
    """The nearest line in the same function."""
    near = [line for line in found if _together(line, to) and not (before and line["line"] > to["line"])]
    return min(near, key=lambda line: abs(line["line"] - to["line"]), default=None)


def _backwards(view: View) -> list[Line]:
    """Where the thread propagates back, if it was seen; else where anything does."""
    steps = (view.known("call_order") or {}).get("first_steps") or []
    last = [[call for call in step if call["what"] == "backward"][-1:] for step in steps]
    seen = {(call["file"], call["line"]) for calls in last for call in calls}
    own = [line for line in lines(view, "backwards") if (line["file"], line["line"]) in seen]
    place = backward_place(view)
    return own or ([place] if place is not None else lines(view, "backwards"))


def cut_place(view: View) -> Line | None:
    """Where a graph is cut: between the layers that gradients do not reach and the first that they do."""
    cut = set(((view.known("coverage") or {}).get("cut") or {}).get("names", []))
    table = [row for row in (view.known("layers") or {}).get("table", []) if row.get("where")]
    above = [row["where"] for row in table if row["name"] in cut][-1:]
    below = [row["where"] for row in table if row["name"] not in cut and row["parameters"]][:1] if cut else []
    backwards, cuts = _backwards(view), lines(view, "cuts")
    within = [at for at in (*below, *above) if not any(_together(at, back) for back in backwards)]
    found: list[Line | None] = [_nearest(cuts, at) for at in within]
    found += [line for line in cuts if line["in_model"] and not line["function"].endswith("__init__")]
    found += [_nearest(cuts, back, before=True) for back in backwards]
    found += _called_beside_backward(view, cuts)
    found += [at for at in below if at in within]
    return next((line for line in found if line), None) or backward_place(view)


def _called_beside_backward(view: View, found: list[Line]) -> list[Line]:
    """Those of some lines that are in functions which are called where something is propagated back."""
    called = {name for line in lines(view, "backwards") for name in line["calls"]}
    return [line for line in found if _function(line).rpartition(".")[2] in called]


def detached_place(view: View) -> Line | None:
    """Where the loss, or what it is computed from, leaves the graph: before it is propagated back."""
    cuts = lines(view, "cuts")
    places = view.fact("signals", "loss_inputs", "places") or []
    found: list[Line | None] = [_nearest(cuts, at, before=True) for at in _backwards(view)]
    found += [_nearest(cuts, place["where"]) for place in places if place.get("where")]
    found += _called_beside_backward(view, cuts)
    found += [line for line in cuts if line["in_model"] and not line["function"].endswith("__init__")]
    return next((line for line in found if line), None) or backward_place(view)


def kept_place(view: View) -> Line | None:
    """Where the losses of earlier steps are kept."""
    near = [_nearest(lines(view, "keeps"), back) for back in _backwards(view)]
    return next((line for line in (*near, *lines(view, "keeps")) if line), None)


def frozen_place(view: View) -> Line | None:
    """Where parameters are frozen."""
    return next(iter(lines(view, "freezes")), None)


def unshuffled_place(view: View) -> Line | None:
    """Where the data of training are put in order: the first loader that does not shuffle them, or else the loop."""
    found = [
        line for line in lines(view, "loaders") if not line["shuffle"] and not HELD_OUT.search(line["text"])
    ]
    told = [line for line in found if line["shuffle"] is False]
    return next(iter([*told, *found, *lines(view, "loops")]), None)


def idle_step_place(view: View) -> Line | None:
    """Where the step of an idle optimizer belongs: behind the backward pass of its gradients."""
    made = idle_place(view)
    text = str((made or {}).get("text", ""))
    name = text.partition("=")[0].strip()
    cleared = [line for line in lines(view, "clears") if line["name"] == name]
    after = [
        line for line in lines(view, "backwards")
        if any(_together(line, each) and line["line"] > each["line"] for each in cleared)
    ]  # fmt: skip
    return after[0] if after else made


def unstepped_place(view: View) -> Line | None:
    """Where backward runs without a step behind it; if in a closure, where that is called."""
    back = next(iter(_backwards(view)), None)
    called = [line for line in lines(view, "closures") if back and "LBFGS" in _made(view)]
    name = str((back or {}).get("function", "")).rpartition(".")[2]
    return next((line for line in called if line["name"] == name), back)


def _made(view: View) -> set[str]:
    return {each["kind"] for each in view.fact("signals", "coverage", "optimizers") or []}


def call_place(part: str, training: bool | None = None) -> Place:
    """Gives the line that calls a model on data of a part: ``train`` or ``held-out``; in this mode, if one is given."""

    def place(view: View) -> Line | None:
        calls = [line for line in lines(view, "calls") if line["part"] == part]
        return next((line for line in calls if training in (None, line["training"])), None)

    return place


def first_layer_place(view: View) -> Line | None:
    """The line that calls the first layer with parameters."""
    table = (view.known("layers") or {}).get("table") or []
    return next((row["where"] for row in table if row.get("where") and row["parameters"]), None)


def eval_place(view: View) -> Line | None:
    """Where training goes on in evaluation mode: the call of ``eval``, unless it serves an evaluation before."""
    where: Line | None = (view.known("modes") or {}).get("where")
    called = call_place("train", False)(view) or call_place("train")(view)
    if where is None or called is None:
        return where or called
    evaluations = [line for line in lines(view, "calls") if line["part"] == "held-out"]
    served = any(_together(where, line) and line["line"] >= where["line"] for line in evaluations)
    return called if served and not _precedes(where, view) else where


def _precedes(where: Line, view: View) -> bool:
    """Whether a line is passed on the way to the backward pass of a step."""
    return any(_together(where, back) and where["line"] < back["line"] for back in _backwards(view))


def pair_place(view: View) -> Line | None:
    """Where layers are listed one directly behind the other, unless a ``forward`` calls them one by one."""
    called: Line | None = view.subject.get("where")
    function = _function(called or {})
    owner, _, name = function.rpartition(".")
    found = lines(view, "pairs")
    own = [line for line in found if name == "forward" and _function(line).startswith(f"{owner}.")]
    return next(iter(own or ([called] if name == "forward" and called else found)), None)


def metric_place(view: View) -> Line | None:
    """Where what a variable says is counted: the comparison in the function that gives it, or the assignment."""
    assigned = [line for line in lines(view, "accuracies") if line["name"] == view.subject.get("variable")]
    compares = lines(view, "compares")
    for line in assigned:
        inner = [each for each in compares if each["function"].rpartition(".")[2] == line["called"]]
        near = _nearest(compares, line, before=True)
        if inner or near:
            return inner[0] if inner else near
    return next(iter([*assigned, *compares]), None)


def risky_place(view: View) -> Line | None:
    """The operation that made a value that is not finite, where the program has it.

    Among several that of the model, if it was a module that gave the first such value, else one outside of it.
    """
    known = view.fact("signals", "non_finite") or {}
    facts = (known.get("first") or {}).get(view.thread) or known.get("pending") or {}
    module, operation = facts.get("module") or {}, (facts.get("operation") or {}).get("operation")
    if operation is None and (module.get("inputs_finite") or (facts.get("loss") or {}).get("input_finite")):
        return None  # the module or the loss function made it, whose line is known
    found = [
        line for line in lines(view, "risks")
        if line["operation"] == operation or (operation is None and line["rank"] >= LIKELY)
    ]  # fmt: skip
    return max(found, key=lambda line: (line["in_model"] == bool(module), line["rank"]), default=None)


def first_of(*places: Place) -> Place:
    """Gives the first of these lines that is known."""

    def place(view: View) -> Line | None:
        return next((found for each in places if (found := each(view)) is not None), None)

    return place
