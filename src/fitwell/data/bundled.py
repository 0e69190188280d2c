"""The data sets that scikit-learn brings along: no download, a second of training."""

from __future__ import annotations

from typing import Any

import numpy as np

from fitwell.data.contract import Kind, Samples
from fitwell.errors import DataError
from fitwell.plan import DataPlan
from fitwell.shape import Shape

TABLES = ("iris", "wine", "breast_cancer", "diabetes")
NAMES = ("digits", *TABLES)
TARGETS = dict.fromkeys(NAMES, "class") | {"digits": "digit", "diabetes": "progression"}


def recognises(source: Any) -> bool:
    """Whether it is the name of a bundled set; hyphens and capitals are forgiven."""
    return isinstance(source, str) and _name(source) in NAMES


def read(plan: DataPlan, like: Shape | None = None) -> Samples:
    """All samples of the set: images (N, 8, 8) for digits, a DataFrame for the others.

    Raises:
        DataError: another target is asked for than the set has.
    """
    from sklearn import datasets

    name = _name(plan.source)
    if like is None:
        refuse_other_target(plan, TARGETS[name])
    if name == "digits":
        digits = datasets.load_digits()
        return Samples(
            raw=digits.images.astype(np.uint8),  # whole numbers from 0 to 16
            count=len(digits.images),
            target=digits.target.astype(str),
            target_names=(TARGETS[name],),
        )
    options: dict[str, Any] = {"as_frame": True}
    if name == "diabetes":
        options["scaled"] = False  # its scaled form has seen every sample, also those of the test part
    table = getattr(datasets, f"load_{name}")(**options)
    target = table.target.to_numpy()
    if name != "diabetes":
        target = np.array([str(label) for label in table.target_names])[target]
    return Samples(
        raw=table.data,
        count=len(table.data),
        target=target,
        target_names=(TARGETS[name],),
        structured=True,
    )


def refuse_other_target(plan: DataPlan, own: str = "class") -> None:
    """Say that the data has one target of its own, if another is asked for.

    Raises:
        DataError: the plan names another target than its ``own``.
    """
    if plan.target not in (None, own):
        raise DataError(
            f"target = {plan.target!r}: {plan.source} has one target of its own, {own!r}",
            "no choice of a target",
            "leave target out, or give a table",
        )


def _name(source: str) -> str:
    return source.lower().replace("-", "_")


KIND = Kind(recognises, read)
