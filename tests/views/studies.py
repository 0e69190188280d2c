"""Studies that were never trained: what is read of one is all there is."""

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fitwell.plan import Plan
from fitwell.run import create_run
from fitwell.space import Space
from fitwell.study import StudyRecord, create_study

PLAN = Plan(data="digits").change(lr=0.003, hidden=(64,), dropout=0.1, epochs=30, family="mlp", seed=7)
SPACE = {
    "lr": {"low": 1e-4, "high": 0.1, "log": True},
    "hidden": {"options": [64, 128, [128, 64]]},
    "dropout": {"low": 0.0, "high": 0.5},
}
STATES = {"done": "done", "stopped": "done", "failed": "failed", "running": "running"}


def interval(mean: float, half: float = 0.01, count: int = 5) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half, "count": count}


def add_trial(study: StudyRecord, number: int, **told: Any) -> Path:
    """A trial: values, score, state, stage, reason, verdict, epochs, metrics."""
    values, state = told.get("values", {}), told.get("state", "done")
    plan = Space.from_dict(SPACE).apply(PLAN, values)
    run = create_run(plan, f"trial-{number}", study.path / "trials")
    reason = told.get("reason", "after 4 of 30 epochs: 12 of 16 others were better")
    trial = {
        "number": number, "values": values, "stage": told.get("stage", "all"), "score": told.get("score"),
        "stopped": reason if state == "stopped" else None,
    }  # fmt: skip
    info: dict[str, Any] = {"state": STATES[state], "trial": trial}
    if state == "failed":
        info["error"] = reason
    elif state != "running":
        metrics = {"val/accuracy": told.get("score"), "val/loss": 0.1} | dict(told.get("metrics", {}))
        info["result"] = {
            "metrics": metrics, "epochs": told.get("epochs", 30), "seconds": 2.5, "parameters": 4810,
            "verdict": told.get("verdict", "just-right"), "verdict_reason": "it settled", "findings": [],
        }  # fmt: skip
    run.update(**info)
    return run.path


def make_study(
    folder: Path,
    kind: str = "tune",
    trials: Sequence[Mapping[str, Any]] = (),
    state: str = "done",
    **document: Any,
) -> StudyRecord:
    """A study with these trials, numbered from 1."""
    known = {"metric": "val/accuracy", "higher": True, "method": "auto", "space": SPACE}
    study = create_study(PLAN, kind, "digits", folder, **known | document)
    for number, told in enumerate(trials, start=1):
        add_trial(study, number, **told)
    study.update(state=state, result={"seconds": 83.0, "metrics": {}} if state == "done" else None)
    return study


def search(count: int = 24, seed: int = 1) -> list[dict[str, Any]]:
    """Trials whose score depends on the rate most; above 0.05 they fail; the first is the default."""
    draw = random.Random(seed)
    found: list[dict[str, Any]] = [{"values": {}, "score": 0.93, "stage": "default"}]
    for number in range(2, count + 1):
        lr = 10 ** draw.uniform(-4, -1)
        values = {
            "lr": lr,
            "hidden": draw.choice(SPACE["hidden"]["options"]),
            "dropout": draw.uniform(0, 0.5),
        }
        score = 0.98 - 0.05 * abs(math.log10(lr) + 2.2) - 0.01 * values["dropout"]
        if lr > 0.05:
            reason = f"the loss became nan in epoch {1 + number % 3}"
            found.append({"values": values, "state": "failed", "reason": reason})
        elif number % 7 == 0:
            found.append({"values": values, "state": "stopped", "score": score - 0.1, "epochs": 4})
        else:
            verdict = "overfitting" if values["dropout"] < 0.1 else "just-right"
            found.append({"values": values, "score": score, "verdict": verdict})
    return found


TUNED: dict[str, Any] = {
    "stages": [
        {"name": "rate", "why": "it matters most", "trials": [1, 2, 3], "best": 2, "found": "lr 0.006"},
        {"name": "all", "why": "the rest together", "trials": list(range(4, 25)), "best": 9, "found": None},
    ],
    "notes": ["the best lr, 0.098, lies at the edge of its range: the range was extended to 1"],
}


def verified(
    best: Sequence[float | None], default: Sequence[float | None], **difference: Any
) -> dict[str, Any]:
    return {
        "seeds": list(range(1, len(best) + 1)), "best": list(best), "default": list(default),
        "difference": difference or None,
    }  # fmt: skip


def capacity_summary() -> dict[str, Any]:
    rows = [
        ([4], 310, 0.71, 0.70, "underfitting", 0.2, 0.01), ([64], 4810, 0.97, 0.95, "just-right", 0.05, 0.02),
        ([512, 512], 300_000, 1.0, 0.90, "overfitting", 0.04, 0.07),
    ]  # fmt: skip
    points = [
        {"hidden": hidden, "parameters": parameters, "train": interval(train), "val": interval(val), "verdict": verdict,
         "trials": [1], "bias": bias, "variance": variance}
        for hidden, parameters, train, val, verdict, bias, variance in rows
    ]  # fmt: skip
    return {"points": points, "best": 1, "said": "64 units are just right: more only memorise"}


def samples_summary() -> dict[str, Any]:
    points = [
        {"samples": count, "train": interval(1 - 0.1 / count), "val": interval(1 - 20 / count), "verdict": "slow",
         "trials": [1]}
        for count in (100, 500, 1000)
    ]  # fmt: skip
    return {"points": points, "said": "more data would help: the curve still rises"}


def cv_summary() -> dict[str, Any]:
    folds = [
        {"fold": fold, "trial": fold, "metrics": {"accuracy": 0.94 + 0.01 * fold, "loss": 0.2 / fold}}
        for fold in (1, 2, 3)
    ]
    return {"folds": folds, "metrics": {"accuracy": interval(0.96, 0.011, 3), "loss": interval(0.12, 0.1, 3)}}
