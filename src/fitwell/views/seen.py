"""What was seen of a watched training, and what was not, as the terminal and the page show it.

Everything may be missing: a program that was killed leaves no result and perhaps no facts, and a program that
never trained leaves no signals.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fitwell.run import Run
from fitwell.run.thinning import survivors

NOT_FINISHED = ("running", "preempted")
PARTS = {"train": "train", "train_evaluated": "train, evaluated", "val": "validation", "test": "test"}
NO_PARTS = ("batch", "window", "optimized")  # of signals that begin with ``loss/``
EPOCHS = {
    "loader": "a pass over the DataLoader",
    "tensor": "a pass over the tensor that batches are cut from",
    "evaluation": "the time from one evaluation to the next",
}
_THREAD = re.compile(r"thread/([^/]+)/(.+)")
_LAYER = re.compile(r"layer/(.+)/([^/]+)")
_LOSS = re.compile(r"loss/([^/]+)/[^/]+")


@dataclass(frozen=True)
class Series:
    """The values of a signal, oldest first; None is what was not finite."""

    steps: list[int] = field(default_factory=list)
    epochs: list[float] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)

    @property
    def finite(self) -> list[float]:
        """The values that are finite."""
        return [value for value in self.values if value is not None]

    @property
    def last(self) -> float | None:
        """The last finite value."""
        return next((value for value in reversed(self.values) if value is not None), None)

    @property
    def broken_at(self) -> int | None:
        """The step from which on no value was finite; None if the last one is."""
        row = len(self.values)
        while row and self.values[row - 1] is None:
            row -= 1
        return self.steps[row] if row < len(self.values) else None

    def points(self, most: int = 1000) -> list[tuple[float, float]]:
        """Step and value, about so many at most; of the others the extremes stay."""
        pairs = zip(self.steps, self.values, strict=True)
        found = [(float(step), value) for step, value in pairs if value is not None]
        if len(found) <= most:
            return found
        buckets = [row * (most // 3) // len(found) for row in range(len(found))]
        kept = survivors(buckets, [value for _, value in found])
        return [found[row] for row in kept]


@dataclass(frozen=True)
class Thread:
    """One model with what optimizes it.

    Args:
        name: unique in the run.
        about: what facts.json says of it.
        table: what is known of its layers beside their signals, in the order of their calls.
        signals: without the prefix of the thread.
        layers: by layer and signal.
    """

    name: str
    about: Mapping[str, Any] = field(default_factory=dict)
    table: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    signals: dict[str, Series] = field(default_factory=dict)
    layers: dict[str, dict[str, Series]] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """What it is judged by beside its loss, if there is anything."""
        return "accuracy" if any(name.startswith("accuracy/") for name in self.signals) else ""

    def points(self, signal: str) -> list[tuple[float, float]]:
        """The finite values of a signal by step; none if it was not recorded."""
        return self.signals[signal].points() if signal in self.signals else []


@dataclass(frozen=True)
class Unseen:
    """Something that was not seen: what, why, and what to do to see it."""

    what: str
    why: str
    fix: str = ""


class Seen:
    """What was seen of a watched run."""

    def __init__(self, run: Run) -> None:
        self.run, self.info, self.facts, self.state = run, run.info, run.facts, run.state
        self.result: dict[str, Any] = self.info.get("result") or {}

    @property
    def script(self) -> str:
        """What was watched, as people call it."""
        argv = (self.info.get("program") or {}).get("argv") or [""]
        name = Path(str(argv[0])).name
        return name if name.endswith(".py") else str(self.info.get("data") or self.run.name)

    @cached_property
    def threads(self) -> list[Thread]:
        """All threads, in order of their first step, with everything that was recorded of them."""
        known = [thread for thread in self.facts.get("threads") or [] if "name" in thread]
        found = {
            "" if number == 0 else thread["name"]: Thread(thread["name"], thread, self._table(thread["name"]))
            for number, thread in enumerate(known)
        }
        by_name: dict[str, Series] = {}
        for event in self.run.events:
            step, epoch = event["step"], event["epoch"]
            for name, value in event["signals"].items():
                if name not in by_name:
                    by_name[name] = _series(found, name)
                series = by_name[name]
                series.steps.append(step)
                series.epochs.append(epoch)
                series.values.append(value)
        return list(found.values())

    def _table(self, thread: str) -> dict[str, Mapping[str, Any]]:
        known = ((self.facts.get("signals") or {}).get("layers") or {}).get(thread) or {}
        return {str(row.get("name")): row for row in known.get("table") or []}

    @cached_property
    def steps(self) -> int:
        """Steps of all threads."""
        told = self.result.get("steps") or sum(thread.about.get("steps", 0) for thread in self.threads)
        return int(told or max((event["step"] for event in self.run.events), default=0))

    @property
    def epochs(self) -> int:
        """Passes over the data; 0 if none were recognised."""
        found = [thread.about.get("epochs", 0) for thread in self.threads]
        return int(self.result.get("epochs") or max(found, default=0))

    @property
    def seconds(self) -> float:
        """How long it was watched."""
        if "seconds" in self.result:
            return float(self.result["seconds"])
        start = float(self.info.get("started", 0.0))
        return max((float(event["time"]) for event in self.run.events), default=start) - start

    @property
    def parameters(self) -> int:
        """Of all threads."""
        counted = sum(thread.about.get("parameters", 0) for thread in self.threads)
        return int(self.result.get("parameters") or counted)

    @property
    def overhead(self) -> str:
        """What watching cost, and what it might have cost."""
        known = self.facts.get("overhead") or {}
        if "spent" not in known:
            return ""
        spent, budget = percent(known["spent"]), percent(known.get("budget", 0))
        return f"watching took {spent} of the time ({budget} allowed)"

    @property
    def failure(self) -> dict[str, Any] | None:
        """What ended the program: type, message, where, operands; None if it ended well or nobody knows."""
        known = self.facts.get("failure")
        if known:
            return dict(known)
        kind, _, message = str(self.info.get("error") or "").partition(": ")
        return {"type": kind, "message": message} if kind else None

    @property
    def verdict(self) -> tuple[str, str]:
        """The word, and the reason; the word is empty where there is no result."""
        if self.result.get("verdict"):
            return str(self.result["verdict"]), str(self.result.get("verdict_reason", ""))
        if self.state == "running":
            return "", "none yet: the program is running"
        return "", "none: the program was killed before its end"

    def lines(self) -> list[tuple[str, str]]:
        """What was seen, as (what, text)."""
        models = [f"{model['name']} ({model['class']})" for model in self.facts.get("models") or []]
        functions = list(dict.fromkeys(self._loss_functions()))
        parts = {name.rpartition("/")[2]: None for name in self._losses()}
        named = [PARTS.get(part, part.replace("_", " ")) for part in parts if part not in NO_PARTS]
        epochs = self.facts.get("epochs") or {}
        known_by = EPOCHS.get(epochs.get("known_by", ""), "")
        size = f" of {epochs['size']:,} {_unit(epochs)}" if known_by and epochs.get("size") else ""
        found = [
            ("models", _few(models)),
            ("trained", _few([_trained(thread) for thread in self.threads if thread.about])),
            ("losses", _few(functions)),
            ("phases", _few(named)),
            ("epochs", f"an epoch is {known_by}{size}" if known_by else ""),
        ]
        return [(name, text) for name, text in found if text]

    def unseen(self) -> list[Unseen]:
        """What was not seen, why, and what to do about it."""
        told = [_told(what, str(why)) for what, why in (self.facts.get("unseen") or {}).items()]
        return [*self._ending(), *(self._lacking() if self.steps else self._untrained()), *told]

    def _ending(self) -> list[Unseen]:
        if self.state != "preempted" or self.result:
            return []
        why = "the program was killed; what was recorded until then is shown"
        return [Unseen("the end", why, "end it with Ctrl-C, which lets the watching finish")]

    def _untrained(self) -> list[Unseen]:
        if not self.facts and self.state not in NOT_FINISHED:
            fix = "if it trains in another process, watch that one"
            return [Unseen("any training", "the program never imported torch", fix)]
        if self.facts or self.state == "preempted":
            fix = "if it trains in another process, watch that one; weights set by hand are not seen"
            return [Unseen("any step", "no optimizer of torch stepped in this process", fix)]
        return []

    def _lacking(self) -> Iterable[Unseen]:
        losses = self._losses()
        held_out = {name.rpartition("/")[2] for name in losses} - {*NO_PARTS, "train", "train_evaluated"}
        fix = "once an epoch compute the loss of held-out data, by the function that is trained on"
        if not losses:
            yield Unseen("the loss", "no loss function of torch, and no backward from a single number")
        elif not held_out:
            yield Unseen("validation", "no loss was computed on data that is not trained on", fix)
        elif not any(f"loss/{part}" in losses for part in held_out):
            yield Unseen("validation loss", "that of held-out data is another one than is trained on", fix)
        if self.facts and not (self.facts.get("epochs") or {}).get("known_by"):
            why = "there was no DataLoader, no tensor that batches are cut from, and no evaluation"
            yield Unseen("epochs", why, "read the data with a torch DataLoader, or evaluate after each epoch")

    def _loss_functions(self) -> Iterable[str]:
        """The names of the loss functions, and the lines that call them if those are known."""
        places = ((self.facts.get("signals") or {}).get("loss_inputs") or {}).get("places") or []
        for place in places:
            line = place.get("where") or {}
            at = f" at {Path(str(line['file'])).name}:{line['line']}" if line else ""
            yield str(place.get("function", "")).replace("_", " ") + at
        for name in self._losses() if not places else []:
            if match := _LOSS.fullmatch(name):
                yield match[1].replace("_", " ")

    def _losses(self) -> list[str]:
        names = {name: None for thread in self.threads for name in thread.signals}
        return [name for name in names if name.startswith("loss/")]


def _series(threads: dict[str, Thread], name: str) -> Series:
    """Where the values of a signal belong: to a thread, and perhaps to a layer of it."""
    of = _THREAD.fullmatch(name)
    key, signal = (of[1], of[2]) if of else ("", name)
    thread = threads.setdefault(key, Thread(key or "training"))
    match = _LAYER.fullmatch(signal)
    place = thread.layers.setdefault(match[1], {}) if match else thread.signals
    return place.setdefault(match[2] if match else signal, Series())


def layers_in_order(thread: Thread, signals: Collection[str]) -> list[str]:
    """The layers that have any of these signals, in the order of their calls if that is known."""
    names = dict.fromkeys([*thread.table, *thread.layers])
    return [name for name in names if any(signal in signals for signal in thread.layers.get(name, {}))]


def layer_class(about: Mapping[str, Any]) -> str:
    """The class of a layer, and whether it is trained."""
    frozen = " (frozen)" if about.get("trainable") is False and about.get("parameters") else ""
    return f"{about.get('class', '')}{frozen}"


def _told(what: str, why: str) -> Unseen:
    if "torch.compile" in why:
        return Unseen(what, why, "watch it once without torch.compile")
    if what.startswith("signal ") or why.startswith("watching it failed"):
        return Unseen(what, why, "this is a fault of fitwell's, please report it; everything else was seen")
    return Unseen(what, why)


def _trained(thread: Thread) -> str:
    about = thread.about
    optimizers = " then ".join(dict.fromkeys(map(str, about.get("optimizers") or [])))
    by = f" by {optimizers}".replace("by by", "by") if optimizers else ""
    size = counted(about.get("parameters", 0), "parameter")
    return f"{thread.name}{by} ({size}, {counted(about.get('steps', 0), 'step')})"


def _unit(epochs: Mapping[str, Any]) -> str:
    return "batches" if epochs.get("known_by") == "loader" else "samples"


def _few(texts: Sequence[str], most: int = 5) -> str:
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def operand_row(operand: Mapping[str, Any]) -> list[str]:
    """Name, kind, shape, type, device of a tensor; name, class, the shapes of its parameters of a module."""
    name = str(operand.get("name", ""))
    if "class" in operand:
        shapes = [f"{key} {_shape(value)}" for key, value in (operand.get("parameters") or {}).items()]
        return [name, str(operand["class"]), ", ".join(shapes), "", ""]
    dtype = str(operand.get("dtype", "")).removeprefix("torch.")
    return [name, "tensor", _shape(operand.get("shape")), dtype, str(operand.get("device", ""))]


def _shape(shape: Sequence[int] | None) -> str:
    return f"({', '.join(map(str, shape))})" if shape is not None else ""


def counted(count: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "step"), counted(1200, "step")
    ('1 step', '1,200 steps')
    """
    return f"{count:,} {what}{'s' * (count != 1)}"


def percent(share: float) -> str:
    """A share with two digits."""
    return f"{100 * share:.2g} %"
