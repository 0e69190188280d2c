"""Let the classes count alike, however rare they are (King and Zeng 2001)."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.evidence import View
from fitwell.experiment import Change
from fitwell.patch import Code, Edit, argument, called
from fitwell.patching.losses import WEIGHTABLE, counts, training_loss, training_place
from fitwell.patching.names import name_of
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy


def _plan(plan: Plan, _: About) -> Plan | None:
    fits = plan.loss.function in ("cross-entropy", "bce") and plan.loss.class_weights is False
    return plan.change(class_weights=True) if fits else None


def _live(about: About) -> Sequence[Change]:
    place = training_place(about.view) or {}
    return (Change("class_weights"),) if place.get("function") in WEIGHTABLE else ()


def _evaluates(view: View, line: int | None) -> bool:
    """Whether held-out data is evaluated by such a loss, too: in this line, or in any if it is None.

    Weights would change what its loss means, and with it every comparison of trainings with them and without.
    """
    function = (training_place(view) or {}).get("function")
    others = [
        place for place in view.fact("signals", "labels", "places") or [] if place.get("part") != "train"
    ]
    return any(
        place.get("function") == function and line in (None, (place.get("where") or {}).get("line"))
        for place in others
    )


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """By the counts of the labels that were seen; of a loss that only the training uses."""
    call, seen, torch = training_loss(code, about), counts(about.view), name_of(code, "torch")
    if call is None or not seen or torch is None:
        return ()
    if _evaluates(about.view, call.lineno if called(call) in WEIGHTABLE else None):
        return ()
    if called(call) in ("cross_entropy", "CrossEntropyLoss"):
        name, weights = "weight", [sum(seen) / (len(seen) * count) for count in seen]
    elif len(seen) == 2:
        name, weights = "pos_weight", [seen[0] / seen[1]]
    else:
        return ()
    if argument(call, name) is not None or argument(call, "weight") is not None:
        return ()
    device = (
        f", device={code.segment(call.args[0])}.device" if called(call) in WEIGHTABLE and call.args else ""
    )
    text = f"{torch}.tensor([{', '.join(f'{weight:.3g}' for weight in weights)}]{device})"
    return (code.set_argument(call, name, text),)


REMEDY = Remedy(
    says="weight the classes in the loss by the inverse of how often they occur",
    treats={"class-imbalance": 1},
    costs="more false alarms for the rare classes, and probabilities that are no frequencies",
    not_when="probabilities are wanted, or overall accuracy is what counts",
    plan=_plan,
    live=_live,
    patch=_patch,
)
