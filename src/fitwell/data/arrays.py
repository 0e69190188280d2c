"""Arrays: in memory (numpy, torch, lists; X, (X, y) or a dict) and in .npz and .npy files.

Two dimensions are a table of numbers, three or four are images. In a dict and an .npz the names say what is
what: ``X y``, ``images labels``, ``data target`` ..., or ``x_train y_train x_test y_test``, where the test
samples are set apart.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fitwell.data.contract import Kind, Samples
from fitwell.errors import DataError
from fitwell.plan import DataPlan, Memory
from fitwell.shape import Shape

SUFFIXES = (".npz", ".npy")
FORMS = (np.ndarray, torch.Tensor, Sequence, Mapping)
X_NAMES = ("x", "images", "data", "features", "arr_0")  # arr_0, arr_1: np.savez(file, X, y)
Y_NAMES = ("y", "labels", "label", "target", "targets", "arr_1")
UNNAMED = "target"  # what the target is called where nobody named it, also in the plan that a run keeps


def recognises(source: Any) -> bool:
    """Whether it is an .npz or .npy file, or anything in memory but a DataFrame, alone or with its target."""
    if isinstance(source, Memory):
        value = source.value[0] if _is_pair(source.value) else source.value
        return isinstance(value, FORMS) and not isinstance(value, str | bytes)
    return isinstance(source, str) and Path(source).suffix.lower() in SUFFIXES


def read(plan: DataPlan, like: Shape | None = None) -> Samples:
    """The samples of arrays: numbers (N, F) or images (N, H, W), (N, C, H, W), (N, H, W, C).

    Raises:
        DataError: X or y is missing, empty, ragged, of text or objects, or their lengths differ.
    """
    if not isinstance(plan.source, Memory):
        found = _open(Path(plan.source))
    elif isinstance(plan.source.value, Mapping):
        found = {str(name): value for name, value in plan.source.value.items()}
    elif _is_pair(plan.source.value):
        found = dict(zip(("X", plan.target or "y"), plan.source.value, strict=True))
    else:
        found = {"X": plan.source.value}
    parts, notes = _named(found, plan.target, where=str(plan.source))
    if plan.target and "y" not in parts and like is None:
        raise DataError(
            f"{plan.source} holds {', '.join(found)}, but no {plan.target!r}",
            "the target among the arrays",
            f"choose another target, or give {{'X': X, {plan.target!r}: y}}",
        )
    X = _features(parts["X"], "X", like)
    y = _labels(parts["y"], X) if "y" in parts else None
    test = None
    if "X_test" in parts:
        X_test = _features(parts["X_test"], "the test part of X", like)
        y_test = _labels(parts["y_test"], X_test) if "y_test" in parts else None
        _check_alike(X, X_test, y, y_test)
        test = np.arange(len(X), len(X) + len(X_test), dtype=np.int64)
        X = np.concatenate([X, X_test])
        y = np.concatenate([y, y_test]) if y is not None and y_test is not None else None
    names = (plan.target,) if plan.target and y is not None else (UNNAMED,)
    return Samples(X, len(X), y, names, structured=X.ndim == 2, test=test, notes=notes)


def _is_pair(value: Any) -> bool:
    """Whether it is (X, y): a list of two is data itself."""
    return isinstance(value, tuple) and len(value) == 2


# --- which array is what


def _open(path: Path) -> dict[str, Any]:
    """The arrays of a file by name; never an object, for loading one may run code."""
    if not path.is_file():
        raise DataError(f"there is no file {path}", "a file written by numpy", "check the path")
    try:
        with open(path, "rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return {"X": content}
            return {name: content[name] for name in content.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} can't be read: {error}",
            "an .npz or .npy file of numbers, without Python objects",
            "save it again with np.savez_compressed(file, X=X, y=y)",
        ) from None


def _named(found: dict[str, Any], target: str | None, where: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """X, y, X_test and y_test among arrays by name, and a note on those that stay unused."""
    y_names: tuple[str, ...] = (target.lower(),) if target else ()
    if target in (None, UNNAMED):
        y_names += Y_NAMES
    wanted = {
        "X": (*X_NAMES, *(f"{name}_train" for name in X_NAMES)),
        "y": (*y_names, *(f"{name}_train" for name in y_names)),
        "X_test": tuple(f"{name}_test" for name in X_NAMES),
        "y_test": tuple(f"{name}_test" for name in y_names),
    }
    by_name = {name.lower(): name for name in found}
    chosen = {part: next((by_name[n] for n in names if n in by_name), None) for part, names in wanted.items()}
    listed = ", ".join(found) or "nothing"
    if chosen["X"] is None:
        raise DataError(
            f"{where} holds {listed}",
            "an array X (or images, data, features, x_train)",
            "name the arrays X and y",
        )
    if chosen["X_test"] and chosen["y"] and not chosen["y_test"]:
        raise DataError(
            f"{where} holds {listed}", "y_test, as there is X_test", "add it, or leave out X_test"
        )
    used = {part: found[name] for part, name in chosen.items() if name is not None}
    unused = [name for name in found if name not in chosen.values()]
    return used, (f"not used: {', '.join(unused)}",) if unused else ()


# --- what an array may be


def _features(value: Any, name: str, like: Shape | None) -> np.ndarray:
    """X as an array of numbers (N, F) or images, brought to the form of a model if one is given."""
    X = _as_array(value, name)
    if X.dtype.kind not in "biuf":
        raise DataError(
            f"{name} holds {_values_of(X)}",
            "numbers",
            "give a DataFrame if some columns are text; else convert with X.astype('float32')",
        )
    X = X if like is None else _like(X, like)
    if X.ndim not in (2, 3, 4) or not X.size:
        raise DataError(
            f"{name} {'is empty: it ' if X.ndim and not X.size else ''}has the shape {X.shape}",
            "numbers (samples, features), or images (samples, height, width[, channels])",
            "for one feature use X.reshape(-1, 1), for one sample X.reshape(1, -1)",
        )
    if X.ndim > 2 and X.dtype.kind in "iu" and X.min() >= 0 and X.max() <= 255:
        return X.astype(np.uint8, copy=False)
    return X


def _like(X: np.ndarray, like: Shape) -> np.ndarray:
    """One sample alone becomes a batch of one; flat grey images get their height and width back."""
    shape = like.inputs["x"].shape if "x" in like.inputs else ()
    alone = [shape]
    if len(shape) == 3:
        alone.append((*shape[1:], shape[0]))
        if shape[0] == 1:
            alone.append(shape[1:])
    if X.shape in alone:
        X = X[None]
    if len(shape) == 3 and shape[0] == 1 and X.shape[1:] == (shape[1] * shape[2],):
        X = X.reshape(len(X), *shape)
    return X


def _labels(value: Any, X: np.ndarray) -> np.ndarray:
    """y, (N,) or (N, K), with one entry a sample of X."""
    y = _as_array(value, "y")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim not in (1, 2):
        raise DataError(f"y has the shape {y.shape}", "(samples,) or (samples, targets)", "reshape y")
    if len(y) != len(X):
        raise DataError(
            f"X has {len(X):,} samples, y {len(y):,} (their shapes are {X.shape} and {y.shape})",
            "an entry of y for each sample of X",
            "give both for the same samples",
        )
    return y


def _as_array(value: Any, name: str) -> np.ndarray:
    """A numpy array that shares memory with what was given, where that is possible."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return np.asarray((value.float() if value.dtype == torch.bfloat16 else value).numpy())
    if isinstance(value, Sequence) and value and isinstance(value[0], torch.Tensor):
        value = [np.asarray(item) for item in value]
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{name} is ragged: {_first_difference(value) or error}",
            "samples of one shape",
            "cut, fill or resize the samples; a folder of images is resized by fitwell",
        ) from None


def _first_difference(value: Any) -> str:
    shapes = [np.shape(item) if not isinstance(item, list) else (len(item),) for item in value]
    odd = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), None)
    return f"sample 0 has the shape {shapes[0]}, sample {odd} {shapes[odd]}" if odd is not None else ""


def _values_of(X: np.ndarray) -> str:
    if X.dtype == object:
        return "Python objects (dtype object)"
    return {"U": "text", "S": "text"}.get(X.dtype.kind, "values") + f" (dtype {X.dtype})"


def _check_alike(X: np.ndarray, X_test: np.ndarray, y: np.ndarray | None, y_test: np.ndarray | None) -> None:
    """Training and test arrays must fit together."""
    if X.shape[1:] != X_test.shape[1:] or X.dtype != X_test.dtype:
        raise DataError(
            f"X is {X.dtype} {X.shape}, its test part {X_test.dtype} {X_test.shape}",
            "samples of one type and shape",
            "bring both to the same form",
        )
    if y is not None and y_test is not None and y.shape[1:] != y_test.shape[1:]:
        raise DataError(
            f"y has the shape {y.shape}, y_test {y_test.shape}", "targets of one shape", "reshape one"
        )


KIND = Kind(recognises, read)
