"""Another optimizer, with a learning rate of its own; groups keep the ratio of their rates.

An optimizer of torch's that the program makes becomes one of the other kind: it is still an instance of the class that
was asked for, so that schedulers and the program's own checks accept it. Classes that the program derives itself, LBFGS
and SparseAdam stay as they are. Undoing the change does not turn back those that were made.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import optim

from fitwell.treating.changing.live import Intervention, Live

NAMES = ("SGD", "Adam", "AdamW", "RMSprop")
_REPLACED = (
    "SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "ASGD", "NAdam", "RAdam", "Rprop",
)  # fmt: skip


def _apply(live: Live, name: str, lr: float) -> None:
    if name not in NAMES:
        raise ValueError(f"there is no optimizer {name!r} to put in the place of others; choose of {NAMES}")
    new = getattr(optim, name)
    new_init = new.__init__

    def make(cls: type[optim.Optimizer]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def replaced(old: Callable[..., Any]) -> Callable[..., Any]:
            signature = inspect.signature(old)

            def init(self: optim.Optimizer, *args: Any, **kwargs: Any) -> None:
                if type(self) is not cls:
                    old(self, *args, **kwargs)
                    return
                given = signature.bind(self, *args, **kwargs)
                given.apply_defaults()
                decay = {name: given.arguments[name] for name in ("weight_decay",) if name in given.arguments}
                self.__class__ = new
                new_init(self, _groups(given.arguments, lr), lr=lr, **decay)
                self.__class__ = _both(new, cls)

            return init

        return replaced

    for each in _REPLACED:
        cls = getattr(optim, each)
        if cls is not new:
            live.replace(cls, "__init__", make(cls))


def _groups(given: dict[str, Any], lr: float) -> list[Any]:
    """The parameters, with the rates of groups in the ratio that the program gives them."""
    params = list(given["params"])
    scaled = [dict(group) if isinstance(group, dict) else group for group in params]
    for group in scaled:
        if isinstance(group, dict) and "lr" in group and given["lr"]:
            group["lr"] = lr * group["lr"] / given["lr"]
    return scaled


def _both(new: type[optim.Optimizer], old: type[optim.Optimizer]) -> type[optim.Optimizer]:
    """A class that is the new one, and passes for the old one."""
    if issubclass(new, old):
        return new
    if issubclass(old, new):  # AdamW is an Adam with another setting
        return old
    return type(new.__name__, (new, old), {"__module__": new.__module__})


INTERVENTION = Intervention(
    says="{name} with a learning rate of {lr:g}",
    apply=_apply,
    forks=False,
    examples=({"name": "Adam", "lr": 1e-3}, {"name": "SGD", "lr": 0.1}),
)
