"""Recorded runs that were never trained: what the views read is all there is."""

import base64
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fitwell.plan import Plan
from fitwell.run import Run, create_run
from fitwell.run.events import EventLog
from fitwell.run.files import write_json

MISSING: dict[str, Any] = {}
PIXEL = (
    "data:image/png;base64,"
    + base64.b64encode(
        bytes.fromhex(
            "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
            "3a7e9b550000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
        )
    ).decode()
)


def _events(run: Run, metric: str, epochs: int, batches: int) -> None:
    log = EventLog(run.events_path)
    for epoch in range(epochs):
        for batch in range(0, batches, 5):
            at = epoch + batch / batches
            lr = 0.003 * math.sin(math.pi * (at + 0.1) / (epochs + 0.2))
            noise = 0.1 * math.sin(13 * at)
            signals = {"loss/batch": 2.3 * math.exp(-at) + 0.12 + noise * math.exp(-at / 4), "lr": lr}
            log.append(epoch * batches + batch, at, signals | {"gradient/norm": 1 / (1 + at)})
        at = epoch + 1
        train, val = 1.6 * math.exp(-0.7 * at) + 0.004, 1.5 * math.exp(-0.7 * at) + 0.05 + 0.002 * at
        signals = {"loss/optimized": train + 0.1, "loss/train": train, "loss/val": val}
        if metric:
            flip = (lambda loss: 1 - loss / 3) if metric in ("accuracy", "r2") else (lambda loss: 40 * loss)
            signals |= {f"{metric}/train": flip(train), f"{metric}/val": flip(val)}
        log.append(at * batches, at, signals)
    log.flush()


def _result(run: Run, metric: str, epochs: int, extra: dict[str, float]) -> dict[str, Any]:
    metrics = {"train/loss": 0.0123, "val/loss": 0.0456, "test/loss": 0.0481}
    if metric:
        metrics |= {f"train/{metric}": 0.9991, f"val/{metric}": 0.9861, f"test/{metric}": 0.9833}
    return {
        "run": str(run.path), "seconds": 12.34, "epochs": epochs, "steps": epochs * 40, "parameters": 101770,
        "metrics": metrics | extra, "verdict": "just-right", "best_epoch": max(1, epochs - 1),
        "verdict_reason": "validation loss settled and stays close to the training loss",
        "converged_at_epoch": max(1, epochs - 2), "findings": [],
    }  # fmt: skip


def _classes_evaluation(names: list[str]) -> dict[str, Any]:
    """An evaluation over these classes, with three mistakes of each kind that a report can show."""
    count = len(names)
    matrix = [[30 if i == j else (i * 7 + j * 3) % 11 // 9 for j in range(count)] for i in range(count)]
    mistakes = [
        {"row": "sample 17", "true": names[0], "predicted": names[1], "confidence": 0.98, "picture": PIXEL},
        {"row": names[-1] + ".png", "true": names[1], "predicted": names[-1], "confidence": 0.75},
        {
            "row": "sample 5",
            "true": names[1],
            "predicted": names[0],
            "confidence": 0.6,
            "values": {names[0]: 3},
        },
    ]
    return {"part": "test", "classes": names, "confusion": matrix, "mistakes": mistakes}


@pytest.fixture
def classes_evaluation() -> Callable[[list[str]], dict[str, Any]]:
    """Make an evaluation over classes of these names."""
    return _classes_evaluation


@pytest.fixture
def pixel() -> str:
    """A picture as a data URI."""
    return PIXEL


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    """Make a finished run: ``make_run(metric="mae", epochs=3, evaluation={...}, extra={...})``."""

    def make(
        metric: str = "accuracy",
        epochs: int = 10,
        evaluation: dict[str, Any] | None = None,
        extra: dict[str, float] | None = None,
        **info: Any,
    ) -> Run:
        plan = Plan(data="digits").change(lr=0.003, epochs=epochs, family="mlp", seed=7)
        run = create_run(plan, "digits", tmp_path / "runs")
        _events(run, metric, epochs, batches=40)
        if evaluation is None:
            evaluation = _classes_evaluation([str(digit) for digit in range(10)])
        write_json(run.path / "evaluation.json", evaluation)
        result = _result(run, metric, epochs, extra or {})
        notes = ["no --target was given: the last column is predicted"]
        run.update(**{"state": "done", "metric": metric, "notes": notes, "result": result} | info)
        return run

    return make


def _watched_events(
    run: Run, layers: list[str], steps: int, prefix: str = "", validated: bool = True
) -> None:
    """Looks at some steps, with the signals of layers, and a pass over the data every 40 steps."""
    log = EventLog(run.events_path)
    for step in [*range(1, 6), *range(10, steps + 1, 5)]:
        fall, share = math.exp(-step / 200), step / steps
        signals = {
            "loss/batch": 2.3 * fall + 0.05 * math.sin(step), "lr": 1e-3 * (1 - 0.9 * share),
            "gradient/norm": 1 + fall, "update/ratio": 1e-3 * (0.5 + fall), "gradient/cosine": 0.1 * fall,
        }  # fmt: skip
        for depth, layer in enumerate(layers):
            signals[f"layer/{layer}/gradient_norm"] = 10.0 ** -(depth / 4) * (0.2 + fall)
            signals[f"layer/{layer}/update_ratio"] = 10.0 ** (-3 - 0.1 * depth) * (0.5 + fall)
            signals[f"layer/{layer}/activation_std"] = 1.0 + 0.01 * depth
            if depth % 2:
                signals[f"layer/{layer}/dead_share"] = min(1.0, share * depth / len(layers))
        log.append(step, step / 40, {prefix + name: value for name, value in signals.items()})
        if step % 40 == 0:
            passed = {"loss/train": 2.1 * fall, "accuracy/train": 1 - fall / 2, "loss/optimized": 2.1 * fall}
            if validated:
                passed |= {"loss/val": 2 * fall + 0.1 + 0.2 * share, "accuracy/val": 0.98 - fall / 2}
            log.append(step, step / 40, {prefix + name: value for name, value in passed.items()})
    log.flush()


def _thread(name: str, prefix: str = "", steps: int = 400) -> dict[str, Any]:
    return {
        "name": name, "prefix": prefix, "models": [name], "optimizers": ["AdamW"], "steps": steps,
        "epochs": steps // 40, "parameters": 101770,
    }  # fmt: skip


def _watched_result(run: Run, steps: int) -> dict[str, Any]:
    return {
        "run": str(run.path), "seconds": 65.4, "epochs": steps // 40, "steps": steps, "parameters": 101770,
        "metrics": {"train/loss": 0.28, "val/loss": 0.57, "train/accuracy": 0.93, "val/accuracy": 0.91},
        "verdict": "overfitting", "verdict_reason": "the validation loss rose", "converged_at_epoch": None,
        "findings": [],
    }  # fmt: skip


SIGNALS = {
    "layers": {
        "model": {
            "table": [
                {"name": "fc2", "class": "Linear", "parameters": 1290, "trainable": True},
                {"name": "relu", "class": "ReLU", "parameters": 0, "trainable": False},
                {"name": "fc1", "class": "Linear", "parameters": 100480, "trainable": False},
            ]
        }
    },
    "loss_inputs": {
        "places": [{"function": "cross_entropy", "where": {"file": "/home/me/train.py", "line": 15}}]
    },
}
FAILURE = {
    "type": "RuntimeError",
    "message": "mat1 and mat2 shapes cannot be multiplied (32x64 and 65x10)",
    "where": {
        "file": "/home/me/train.py",
        "line": 31,
        "function": "Net.forward",
        "text": "return self.head(x)",
    },
    "operands": [
        {"name": "x", "shape": [32, 64], "dtype": "torch.float32", "device": "cpu"},
        {"name": "self.head", "class": "Linear", "parameters": {"weight": [10, 65], "bias": [10]}},
    ],
}


@pytest.fixture
def failure() -> dict[str, Any]:
    """What ends a program, as facts.json has it."""
    return FAILURE


@pytest.fixture
def make_watched(tmp_path: Path) -> Callable[..., Run]:
    """Make a watched run: ``make_watched(layers=[...], facts={...}, state="failed")``; without file: None."""

    def make(
        layers: list[str] | None = None,
        steps: int = 400,
        facts: dict[str, Any] | None = MISSING,
        threads: list[str] | None = None,
        validated: bool = True,
        **info: Any,
    ) -> Run:
        run = create_run(None, "train", tmp_path / "runs")
        run.update(program={"argv": ["/home/me/train.py", "--lr", "0.1"]})
        names = ["fc1", "relu", "fc2"] if layers is None else layers
        told = []
        for number, name in enumerate(threads or ["model"] if steps else []):
            prefix = f"thread/{name}/" if number else ""
            _watched_events(run, names, steps, prefix, validated)
            told.append(_thread(name, prefix, steps))
        if facts is not None:
            known = {
                "schema": 1, "models": [{"name": "model", "class": "Net"}], "threads": told,
                "epochs": {"known_by": "loader", "size": 40}, "unseen": {}, "signals": SIGNALS,
                "failure": None,
                "overhead": {"budget": 0.03, "spent": 0.0123, "looks": 90, "signals": {}},
            }  # fmt: skip
            write_json(run.path / "facts.json", known | facts)
        run.update(**{"state": "done", "result": _watched_result(run, steps)} | info)
        return run

    return make
