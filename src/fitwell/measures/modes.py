"""In which mode layers and models ran: of the signals ``running_statistics``, ``modes`` and ``examination``.

Dropout and batch norm do one thing while training and another while evaluating.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fitwell.evidence import Measure, Subject, View

CLASSIFYING = {"cross_entropy", "nll_loss"}
AGAIN = "train_evaluated"  # the part of training data that is looked at without training


def layers(*kinds: str) -> Callable[[View], Iterable[Subject] | None]:
    """Gives the layers with a mode, each with its name as ``layer`` and the line that calls it.

    Args:
        kinds: ``dropout``, ``batch_norm``.
    """

    def subjects(view: View) -> list[Mapping[str, Any]] | None:
        table = (view.known("layers") or {}).get("table")
        if table is None:
            return None
        rows = {row["name"]: row.get("where") for row in table}
        seen = view.known("running_statistics") or {}
        return [
            {"layer": name, "where": rows.get(name)} | known
            for name, known in seen.items()
            if known["kind"] in kinds
        ]

    return subjects


def _held_out(which: str) -> Callable[[View], int | None]:
    def read(view: View) -> int | None:
        calls: Mapping[str, int] | None = view.subject.get(which)
        return None if calls is None else sum(n for part, n in calls.items() if part != "train")

    return read


def _count(what: str) -> Callable[[View], int | None]:
    return lambda view: int(view.subject.get(what, 0)) if "training" in view.subject else None


def _judged(view: View) -> int | None:
    """Held-out calls whose answers are judged: by a loss, or of a classifier, or with data of another loader."""
    if "training" not in view.subject:
        return None
    parts = [part for part, n in view.subject["training"].items() if n and part not in ("train", AGAIN)]
    if not parts:
        return 0
    known = view.subject.get("held_out_losses_in_training_mode", 0)
    known += view.subject.get("held_out_batches_in_training_mode", 0)
    return int(known or (_held_out("training")(view) or 0) * _classifies(view))


def _classifies(view: View) -> bool:
    places = view.fact("signals", "loss_inputs", "places") or []
    functions = {place["function"] for place in places if place["part"] == "train"}
    return bool(functions) and functions <= CLASSIFYING


JUDGED_IN_TRAINING_MODE = Measure("evaluations of held-out data seen in training mode", _judged, "calls")
IN_EVALUATION_MODE = Measure("calls on held-out data in evaluation mode", _held_out("evaluation"), "calls")
APART = Measure(
    "of these, calls with the whole model in evaluation mode", _count("held_out_calls_apart"), "calls"
)
REPEATED = Measure(
    "of these, calls with the inputs of the call before", _count("held_out_calls_repeated"), "calls"
)


def _moved(view: View) -> float | None:
    moved = view.subject.get("moved_by_evaluation")
    return float(moved) if moved is not None else 0.0 if "training" in view.subject else None


def _tiny(view: View) -> float | None:
    trained = (view.subject.get("training") or {}).get("train", 0)
    return view.subject["tiny"] / trained if trained and "tiny" in view.subject else None


MOVED = Measure("change of the running mean between two evaluated batches", _moved)
TINY_STEPS = Measure("steps in which it had at most three samples", _tiny, "share")
MOST_SAMPLES = Measure("most samples that it had", lambda view: view.subject.get("most_samples"), "samples")


def _of_thread(read: Callable[[Mapping[str, Any]], Any]) -> Callable[[View], Any]:
    def found(view: View) -> Any:
        modes = view.known("modes")
        return read(modes) if modes else None if view.fact("signals", "modes") is None else 0

    return found


LATEST_IN_EVALUATION_MODE = Measure(
    "last steps in a row with the whole model in evaluation mode",
    _of_thread(lambda modes: modes["latest_in_evaluation_mode"]),
    "steps seen",
)


def mode_set(view: View) -> Mapping[str, Any] | None:
    """The line that put the model into evaluation mode."""
    where: Mapping[str, Any] | None = (view.known("modes") or {}).get("where")
    return where


def _strongest(view: View) -> float | None:
    found = [known.get("probability", 0.0) for known in (view.known("running_statistics") or {}).values()]
    found += [known["dropout"] for known in (view.known("examination") or {}).values() if "dropout" in known]
    return max(found, default=None)


def dropout_place(view: View) -> Mapping[str, Any] | None:
    """The line that calls the layer with the strongest dropout."""
    known = (view.known("running_statistics") or {}).items()
    strong = max(known, key=lambda item: item[1].get("probability", 0.0), default=None)
    table = (view.known("layers") or {}).get("table") or []
    name = strong[0] if strong is not None and strong[1].get("probability") else None
    return next((row.get("where") for row in table if row["name"] == name), None)


def _ratio(view: View) -> float | None:
    """Of the last training loss to the last validation loss."""
    train, validation = view.series("loss/train"), view.series("loss/val")
    if train is None or validation is None or not train.finite or not validation.finite:
        return None
    return train.finite[-1] / validation.finite[-1] if validation.finite[-1] > 0 else None


STRONGEST_DROPOUT = Measure("largest probability of dropout", _strongest)
TRAIN_OVER_VALIDATION = Measure("training loss at the end, with dropout, over validation loss", _ratio)


def _evaluated(view: View) -> bool | None:
    """Whether a model was seen to be called on held-out data, or evaluated in epochs."""
    seen = view.known("examination")
    if not seen:
        return None
    return view.series("loss/val") is not None or any(
        known["calls"]["held_out"] or known.get("evals") for known in seen.values()
    )


EVALUATED = Measure("the model is evaluated on held-out data, too", _evaluated)
