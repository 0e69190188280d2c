"""From raw data to tensors: read, describe the target, divide, learn the encoding from the training part.

A kind of data is a file here with a ``KIND``; a way to turn samples into tensors is a file in ``encoding/``
with an ``ENCODING``.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fitwell.data.contract import Data, Encoding, Kind, Samples, Split
from fitwell.data.splitting import Parts, split
from fitwell.data.targets import encode_target, fit_target
from fitwell.discovery import members
from fitwell.errors import DataError
from fitwell.plan import DataPlan, Memory
from fitwell.shape import Fields, Shape, Target


@dataclass(frozen=True)
class Described:
    """Samples and what is to be predicted of them, before they are divided.

    Args:
        plan: where they are from; its task is ``none`` where the target is left out.
        samples: as they were read.
        target: found from all samples; mean and deviation of a number are taken anew from each training part.
        codes: the class of each sample (N,), for targets that are classes.
        said: notes about the target.
    """

    plan: DataPlan
    samples: Samples
    target: Target
    codes: np.ndarray | None
    said: tuple[str, ...]


def load(plan: DataPlan, seed: int = 0, supervised: bool = True) -> Data:
    """Read a plan's data and make it ready for training.

    Args:
        plan: where the data is and how it is divided.
        seed: of the division.
        supervised: False leaves the target out, for families that need none.

    Raises:
        DataError: the data can't be read or learned from; it names file, column and row.
    """
    described = describe(plan, supervised)
    return assemble(described, split(described.samples, described.plan, seed, described.codes))


def describe(plan: DataPlan, supervised: bool = True) -> Described:
    """Read a plan's samples and find out what their target is.

    Raises:
        DataError: the data can't be read, is empty or has no target that can be learned.
    """
    if not supervised:
        plan = dataclasses.replace(plan, task="none")
    samples = read(plan)
    if not samples.count:
        raise DataError(f"{plan.source} holds no samples", "at least a few samples", "check the source")
    if samples.target is None and plan.task != "none":
        raise DataError(
            f"{plan.source} has no target", "a target for each sample", "add y, or train --model autoencoder"
        )
    target, said = fit_target(samples.target, samples.target_names, plan.task, np.arange(samples.count))
    codes = None
    if samples.target is not None and target.kind in ("classes", "binary"):
        codes = encode_target(target, samples.target).numpy().astype(np.int64).ravel()
    return Described(plan, samples, target, codes, tuple(said))


def assemble(described: Described, rows: Parts, like: Data | None = None) -> Data:
    """The data of a division, with everything learned from its training part alone.

    Args:
        described: the samples.
        rows: the indices of the training, validation and test samples.
        like: data of another division of the same samples, whose tensors are shared where they are equal.

    Raises:
        DataError: no samples are left to train on, or nothing can be learned from them.
    """
    samples, target, said = described.samples, described.target, described.said
    if not len(rows[0]):
        raise DataError(
            "no samples are left to train on", "a training part", "make --validation and --test smaller"
        )
    raw = samples.target if target.kind != "none" else None
    if target.kind == "number":  # its mean and deviation are of the training part alone
        target, notes = fit_target(raw, samples.target_names, described.plan.task, rows[0])
        said = tuple(notes)
    encoder, fields, shape = _encode_new(samples, rows[0], target)
    if raw is not None:
        fields["y"] = encode_target(target, raw)
    if like is not None:
        fields = _shared(fields, like.train.fields)
    train, *others = (Split(fields, torch.from_numpy(part)) for part in rows)
    validation, test = (part if len(part) else None for part in others)
    return Data(
        train=train,
        validation=validation,
        test=test,
        shape=shape,
        encoder=encoder,
        structured=samples.structured,
        target_name=samples.target_names[0] if raw is not None else None,
        notes=(*samples.notes, *said, *encoder["state"].get("notes", ())),
        rows=samples.rows,
        fingerprint=like.fingerprint if like and fields is like.train.fields else fingerprint(fields),
    )


def _shared(fields: Fields, others: Fields) -> Fields:
    """The fields, those that equal others' as the others' tensors; the others themselves if all do.

    Images stay as they are whatever was learned from them, so all divisions of a data set need one copy only.
    """
    equal = {name for name, values in fields.items() if name in others and _equal(values, others[name])}
    if equal == set(fields) == set(others):
        return others
    return {name: others[name] if name in equal else values for name, values in fields.items()}


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


def read(plan: DataPlan, like: Shape | None = None) -> Samples:
    """Raw samples of a source; with ``like``, new data for a model of that shape.

    Raises:
        DataError: no kind of data recognises the source, or it can't be read.
    """
    kinds: dict[str, Kind] = members("fitwell.data", "KIND")
    for kind in kinds.values():
        if kind.recognises(plan.source):
            return kind.read(plan, like)
    if isinstance(plan.source, Memory):
        what = f"{type(plan.source.value).__name__} is no data that fitwell can read"
    elif plan.source == "memory":
        what = "the data of this plan lived in memory"
    else:
        what = f"{plan.source!r} is neither a data set nor a file or folder here"
    raise DataError(
        what,
        f"a name ({', '.join(NAMES)}), a table (.csv, .tsv, .parquet), arrays (.npz), a folder of images, "
        "or (X, y) or a DataFrame in Python",
        "check the spelling and the path; in Python pass the data again as `data=`",
    )


NAMES = ("digits", "iris", "wine", "breast_cancer", "diabetes", "mnist", "fashion_mnist")


def encode(encoder: dict[str, Any], samples: Samples) -> Fields:
    """The input fields of new samples, by what was learned from the training part.

    Raises:
        DataError: the samples are of another form than those trained on.
    """
    encoding: Encoding = members("fitwell.data.encoding", "ENCODING")[encoder["encoding"]]
    if not encoding.accepts(samples.raw):
        raise DataError(
            f"the new data is {_describe(samples.raw)}",
            f"data like that trained on ({encoder['encoding']})",
            "give data of the same kind as for training",
        )
    return encoding.encode(encoder["state"], samples.raw)


def _encode_new(
    samples: Samples, train_rows: np.ndarray, target: Target
) -> tuple[dict[str, Any], Fields, Shape]:
    encodings: dict[str, Encoding] = members("fitwell.data.encoding", "ENCODING")
    for name, encoding in encodings.items():
        if encoding.accepts(samples.raw):
            state = encoding.fit(samples.raw, train_rows)
            shape = Shape(inputs=encoding.inputs(state), target=target)
            return {"encoding": name, "state": state}, encoding.encode(state, samples.raw), shape
    raise DataError(
        f"{_describe(samples.raw)} can't be turned into tensors",
        "numbers (N, F), images (N, H, W) or (N, C, H, W), or a table",
        "change the shape or the type of the data",
    )


def _describe(raw: Any) -> str:
    if hasattr(raw, "shape"):
        return f"a {type(raw).__name__} of shape {tuple(raw.shape)} and type {getattr(raw, 'dtype', 'mixed')}"
    return f"a {type(raw).__name__}"


def fingerprint(fields: Fields) -> str:
    """SHA-256 over all values: resuming checks that the data is still the same."""
    digest = hashlib.sha256()
    for name, values in fields.items():
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}".encode())
        digest.update(values.contiguous().numpy().view(np.uint8).data)
    return digest.hexdigest()


def to_device(data: Data, device: torch.device) -> Data:
    """The same data on a device, still as one shared copy."""
    if data.train.index.device == device:
        return data
    fields = {name: values.to(device) for name, values in data.train.fields.items()}

    def moved(part: Split | None) -> Split | None:
        return None if part is None else Split(fields, part.index.to(device))

    return dataclasses.replace(
        data,
        train=Split(fields, data.train.index.to(device)),
        validation=moved(data.validation),
        test=moved(data.test),
    )
