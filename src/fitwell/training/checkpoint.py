"""Checkpoints: everything that a training needs to go on as if nothing had happened.

``checkpoints/last`` and ``checkpoints/best`` each hold model.safetensors, optimizer.safetensors and
state.json with the SHA-256 of both. A checkpoint is written beside the old one, synced, and renamed into its
place; at any moment a complete one is there. No pickle.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from fitwell.errors import DamagedError
from fitwell.run.files import read_sealed, sealed, sha256, storage, sync_folder, write_durable
from fitwell.training.job import Job

SCHEMA = 1


@dataclass(frozen=True)
class State:
    """The part of a checkpoint that is not tensors: state.json."""

    schema: int
    epoch: int
    position: int
    step: int
    best_score: float
    best_epoch: int
    schedule: dict[str, Any]
    optimizer: dict[str, Any]
    ema_updates: int
    events_size: int
    seconds: float
    sha256: dict[str, str]


@dataclass(frozen=True)
class Snapshot:
    """A training between two steps: what ``put_back`` needs to let a freshly made job go on.

    Args:
        state: all that is not tensors.
        weights: of the model, with its buffers.
        others: of the optimizer, the moving average and torch's own random generator.
        best: the best weights so far; empty if there are none.
    """

    state: State
    weights: dict[str, Tensor]
    others: dict[str, Tensor]
    best: dict[str, Tensor]


def taken(job: Job, events_size: int = 0, seconds: float = 0.0) -> Snapshot:
    """A snapshot of a job between two steps; its tensors are the job's own, not copies.

    Args:
        job: a training.
        events_size: bytes of the event log that belong to this moment.
        seconds: time spent training until now.
    """
    scalars, tensors = _optimizer_parts(job.optimizer.state_dict())
    state = _state(job, scalars, events_size, seconds)
    return Snapshot(state, job.model.state_dict(), tensors | _other_tensors(job), job.best_weights)


def put_back(job: Job, snapshot: Snapshot) -> None:
    """Bring a job to where another of the same plan was; torch's own random generator, too."""
    state, others = snapshot.state, snapshot.others
    job.model.load_state_dict(snapshot.weights)
    job.optimizer.load_state_dict(_optimizer_state(state.optimizer, others))
    job.schedule.load_state_dict(state.schedule)
    job.epoch, job.position, job.step = state.epoch, state.position, state.step
    job.best_score, job.best_epoch = state.best_score, state.best_epoch
    job.best_weights = {name: value.to(job.device) for name, value in snapshot.best.items()}
    if job.ema is not None:
        job.ema.updates = state.ema_updates
        job.ema.average = {k: v.to(job.device) for k, v in _under("ema.", others).items()}
    job.tally.copy_(others["tally"])
    torch.set_rng_state(others["rng.cpu"])
    if "rng.cuda" in others:
        torch.cuda.set_rng_state(others["rng.cuda"], job.device)


def save(job: Job, folder: Path, events_size: int, seconds: float) -> None:
    """Save a job: ``best`` if its weights are newer than those saved, then ``last``.

    Args:
        job: a training between two steps.
        folder: the run's ``checkpoints``.
        events_size: bytes of the event log that belong to this moment.
        seconds: time spent training until now.

    Raises:
        StorageError: the disk refuses; the former checkpoint is untouched.
    """
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        snapshot = taken(job, events_size, seconds)
        if snapshot.best and _saved_best(folder) != job.best_epoch:
            _write(folder, "best", snapshot.best, {}, snapshot.state)
        _write(folder, "last", snapshot.weights, snapshot.others, snapshot.state)


def load(job: Job, folder: Path) -> State | None:
    """Bring a freshly made job to where its last checkpoint was; None if there is none.

    Raises:
        DamagedError: a file is missing, changed or cut short.
    """
    last = _complete(folder, "last")
    if last is None:
        return None
    state, weights, others = _read(last)
    place = _complete(folder, "best") if state.best_epoch else None
    # `best` may be newer than `last`, if the process died between the two: it is found again on the way.
    put_back(job, Snapshot(state, weights, others, _read(place)[1] if place is not None else {}))
    return state


def _state(job: Job, optimizer: dict[str, Any], events_size: int, seconds: float) -> State:
    return State(
        schema=SCHEMA, epoch=job.epoch, position=job.position, step=job.step, best_score=job.best_score,
        best_epoch=job.best_epoch, schedule=job.schedule.state_dict(), optimizer=optimizer,
        ema_updates=job.ema.updates if job.ema else 0, events_size=events_size, seconds=seconds, sha256={},
    )  # fmt: skip


def _other_tensors(job: Job) -> dict[str, Tensor]:
    others = {"tally": job.tallied(), "rng.cpu": torch.get_rng_state()}
    if job.device.type == "cuda":
        others["rng.cuda"] = torch.cuda.get_rng_state(job.device)
    if job.ema is not None:
        others |= {f"ema.{name}": value for name, value in job.ema.average.items()}
    return others


def _optimizer_parts(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """An optimizer's state as JSON values and tensors: ``optimizer.0.exp_avg``."""
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, Any] = {}
    for number, values in state["state"].items():
        for name, value in values.items():
            key = f"optimizer.{number}.{name}"
            if isinstance(value, Tensor):
                tensors[key] = value
            else:
                scalars[key] = value
    return {"scalars": scalars, "param_groups": state["param_groups"]}, tensors


def _optimizer_state(saved: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for key, value in (_under("optimizer.", tensors) | _under("optimizer.", saved["scalars"])).items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    # JSON turns tuples (Adam's betas) into lists: torch compares some of them with tuples.
    groups = [{k: tuple(v) if isinstance(v, list) and k != "params" else v for k, v in group.items()}
              for group in saved["param_groups"]]  # fmt: skip
    return {"state": state, "param_groups": groups}


def _under(prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}


def _write(
    folder: Path, name: str, model: dict[str, Tensor], optimizer: dict[str, Tensor], state: State
) -> None:
    """Write beside the old checkpoint, then rename: the old one steps aside until the new one is there."""
    new, old, place = folder / f".{name}.new", folder / f".{name}.old", folder / name
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    sums = {}
    for file, tensors in (("model", model), ("optimizer", optimizer)):
        content = to_bytes(tensors)
        sums[file] = sha256(content)
        write_durable(new / f"{file}.safetensors", content)
    write_durable(new / "state.json", sealed(asdict(state) | {"sha256": sums}))
    sync_folder(new)
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.rename(place, old)
    os.rename(new, place)
    sync_folder(folder)
    shutil.rmtree(old, ignore_errors=True)


def _complete(folder: Path, name: str) -> Path | None:
    """Where a checkpoint is: in its place, or aside if the process died between the two renames."""
    for place in (folder / name, folder / f".{name}.old"):
        if (place / "state.json").exists():
            return place
    if (folder / name).exists():
        raise DamagedError(f"{folder / name} lacks state.json", "a whole checkpoint", "train again")
    return None


def _saved_best(folder: Path) -> int | None:
    place = folder / "best" / "state.json"
    return int(read_sealed(place)["best_epoch"]) if place.exists() else None


def _read(place: Path) -> tuple[State, dict[str, Tensor], dict[str, Tensor]]:
    try:
        state = State(**read_sealed(place / "state.json"))
    except TypeError as error:
        raise DamagedError(
            f"{place / 'state.json'} is no state: {error}", "what fitwell wrote", "train again"
        ) from None
    model, optimizer = (
        read_tensors(place / f"{n}.safetensors", state.sha256[n]) for n in ("model", "optimizer")
    )
    return state, model, optimizer


def to_bytes(tensors: dict[str, Tensor]) -> bytes:
    """Tensors in the safetensors format; tied or strided ones are written out in full."""
    return tensors_to_bytes(
        {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    )


def read_tensors(path: Path, checksum: str) -> dict[str, Tensor]:
    """The tensors of a file whose SHA-256 is checked before any is used.

    Raises:
        DamagedError: the file is missing, changed or cut short.
    """
    try:
        content = path.read_bytes()
        if sha256(content) == checksum:
            return dict(tensors_from_bytes(content))
    except (FileNotFoundError, SafetensorError):
        pass
    raise DamagedError(
        f"{path} is missing or was changed: its SHA-256 is not the one that was saved with it",
        f"SHA-256 {checksum}",
        "restore the file from a copy, or train again",
    )
