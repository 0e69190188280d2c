"""Populations for every option of a plan: the data, and what is changed for each member."""

from __future__ import annotations

from typing import Any

from fitwell.models import ACTIVATIONS

Changes = dict[str, Any]


def each(**lists: tuple[Any, ...]) -> list[Changes]:
    """A member's changes for each place of the lists."""
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def all_with(changes: list[Changes], **same: Any) -> list[Changes]:
    """The same for all members."""
    return [one | same for one in changes]


WIDTHS = each(hidden=((16, 8), (32, 32), (8, 40)))
CHANNELS = each(hidden=((4, 6), (6, 9), (4, 8)))
SGD = {"algorithm": "sgd", "lr": 0.02}
CNN = {"model": "cnn", "hidden": (4, 8), "lr": 0.003}
WARM = each(warmup=(0.1, 0.3), lr=(0.01, 0.003))
SCHEDULES = ("one-cycle", "cosine", "constant", "step", "exponential", "plateau")
RATES = each(lr=(1e-3, 3e-3, 1e-2))

CASES: dict[str, tuple[str, list[Changes]]] = {
    "rates": ("digits", RATES),
    "one member": ("digits", RATES[:1]),
    "linear model": ("digits", all_with(RATES, hidden=())),
    "sgd": ("digits", all_with(each(momentum=(0.0, 0.5, 0.9), weight_decay=(0.1, 0.0, 0.01)), **SGD)),
    "adam": ("digits", each(weight_decay=(0.0, 0.01, 0.1), algorithm=("adam",) * 3)),
    "adamw": ("digits", each(weight_decay=(0.0, 0.01, 0.1))),
    "rmsprop": (
        "digits",
        each(momentum=(0.0, 0.5), weight_decay=(0.0, 0.1), algorithm=("rmsprop",) * 2, lr=(1e-3,) * 2),
    ),
    "options": ("digits", all_with(RATES, options={"betas": (0.8, 0.99)}, shape="one-cycle")),
    "options and widths": ("digits", all_with(WIDTHS, options={"amsgrad": True}, algorithm="adam")),
    "nesterov and widths": ("digits", all_with(WIDTHS, options={"nesterov": True}, **SGD)),
    "without a form": (
        "digits",
        each(algorithm=("nadam",) * 2, shape=("one-cycle", "plateau"), lr=(1e-3, 1e-2)),
    ),
    "without a form, widths": ("digits", all_with(WIDTHS, algorithm="adagrad", ema=0.9)),
    "one that has no momentum": ("digits", all_with(WIDTHS, algorithm="adadelta", lr=1.0)),
    "schedules": ("digits", each(shape=SCHEDULES, warmup=(0.0, 0.1, 0.3) * 2, decay=(0.5, 0.1) * 3)),
    "clip": ("digits", each(clip=(None, 0.1, 1.0), lr=(0.05, 0.05, 0.05))),
    "accumulate": ("digits", all_with(each(seed=(0, 1), clip=(0.5, None)), accumulate=3, batch_size=8)),
    "accumulate shared batches": ("digits", all_with(RATES, accumulate=3, batch_size=8)),
    "accumulate, widths": ("digits", all_with(WIDTHS, accumulate=2, batch_size=16, norm="layer")),
    "ema": ("digits", each(ema=(0.9, 0.99, 0.9), hidden=((8,), (16,), (12,)))),
    "ema, batch norm": ("digits", all_with(each(ema=(0.9, 0.99)), norm="batch", **SGD)),
    "dropout": ("digits", each(dropout=(0.1, 0.3, 0.5), hidden=((32, 16),) * 3)),
    "dropout and widths": ("digits", all_with(WIDTHS, dropout=0.3)),
    "smoothing": ("digits", each(label_smoothing=(0.0, 0.1, 0.3))),
    "class weights": ("digits", each(class_weights=(True, False, tuple(range(1, 11))))),
    "class weights of the others": ("digits", each(class_weights=(False, True), ema=(0.9, 0.9))),
    "mixup": ("digits", each(mixup=(0.2, 1.0, 0.5))),
    "mixup of weighted classes": (
        "digits",
        each(mixup=(0.2, 1.0), label_smoothing=(0.1, 0.0), class_weights=(False, True)),
    ),
    "augmentation": ("digits", each(augment=(("shift",), ("rotate", "shift"), (), ("color", "flip")))),
    "augmentation, mixup, dropout": (
        "digits",
        each(augment=(("shift",), ("shift",)), mixup=(0.3, 0.3), dropout=(0.2, 0.5), seed=(0, 1)),
    ),
    "seeds": ("digits", each(seed=(0, 1, 2), dropout=(0.2, 0.2, 0.2))),
    "widths, layer norm": ("digits", all_with(WIDTHS, norm="layer", weight_decay=0.1)),
    "widths, batch norm": ("digits", all_with(WIDTHS, norm="batch", **SGD)),
    "mixed activations": ("digits", [{"activation": name} for name in ACTIVATIONS]),
    "mixed activations, widths, dropout": (
        "digits",
        all_with(
            each(activation=("tanh", "relu", "tanh", "sigmoid"), hidden=((8,), (16,), (4,), (12,))),
            dropout=0.2,
            norm="layer",
        ),
    ),
    "mixed activations, batch norm": (
        "digits",
        all_with(each(activation=("gelu", "relu")), norm="batch", **SGD),
    ),
    "large": ("digits", all_with(each(hidden=((520,), (600,))), lr=1e-3)),
    "large, adam": (
        "digits",
        all_with(each(weight_decay=(0.0, 0.1)), hidden=(520,), algorithm="adam", lr=1e-3),
    ),
    "large, accumulate": (
        "digits",
        all_with(each(seed=(0, 1)), hidden=(520,), accumulate=2, batch_size=16, lr=1e-3),
    ),
    "cnn": (
        "pictures",
        all_with(each(lr=(1e-3, 3e-3), augment=(("shift",), ())), model="cnn", hidden=(4, 8)),
    ),
    "cnn, batch norm": ("pictures", all_with(CHANNELS, model="cnn", norm="batch", **SGD)),
    "cnn, layer norm": (
        "pictures",
        all_with(each(lr=(1e-3, 1e-2), seed=(0, 1)), model="cnn", hidden=(4, 8), norm="layer"),
    ),
    "cnn, layer norm, channels": ("pictures", all_with(CHANNELS, model="cnn", norm="layer", lr=0.003)),
    "cnn without norm, channels": ("pictures", all_with(CHANNELS, model="cnn", norm="none", lr=0.003)),
    "cnn, dropout": ("pictures", all_with(CHANNELS, model="cnn", norm="none", dropout=0.3, lr=0.003)),
    "cnn, mixed activations": (
        "pictures",
        all_with(each(activation=("relu", "silu", "relu")), norm="none", **CNN),
    ),
    "cnn, ema": ("pictures", all_with(each(ema=(0.9, 0.99)), norm="batch", **(CNN | SGD))),
    "mse": ("numbers", each(lr=(1e-3, 1e-2), hidden=((8,), (16,)))),
    "mae": ("numbers", each(lr=(1e-3, 1e-2), function=("mae", "mae"))),
    "huber": ("numbers", each(lr=(1e-3, 1e-2), function=("huber", "huber"))),
    "mixup of numbers": ("numbers", each(mixup=(0.2, 1.0))),
    "periodic": ("numbers", each(embedding=("periodic",) * 2, lr=(1e-3, 1e-2), hidden=((8,), (16,)))),
    "binary": ("binary", each(label_smoothing=(0.0, 0.1, 0.0), class_weights=(False, True, True))),
    "periodic and codes": (
        "table",
        all_with(each(lr=(1e-3, 1e-2), hidden=((8,), (16,))), embedding="periodic", epochs=8),
    ),
    "numbers and codes": ("table", all_with(each(dropout=(0.1, 0.3)), epochs=8)),
    "codes": ("codes", all_with(each(lr=(1e-3, 1e-2), seed=(0, 1)), epochs=8)),
}
CASES |= {f"widths, {name}": ("digits", all_with(WIDTHS, activation=name)) for name in ACTIVATIONS}
CASES |= {
    f"{name}, warm-up": ("digits", all_with(WARM, shape=name, plateau_patience=1)) for name in SCHEDULES
}
