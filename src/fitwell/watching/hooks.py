"""Which functions of torch are probed, and what each of them means."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from fitwell.watching.probe import Probe
from fitwell.watching.source import maker

if TYPE_CHECKING:
    from fitwell.watching.receiver import Receiver

Hook = Callable[..., None]
Guard = Callable[[Hook], Hook]
Wanted = tuple[Any, Hook | None, Hook | None]

LOSSES = (
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "cross_entropy",
    "ctc_loss", "gaussian_nll_loss", "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss",
    "margin_ranking_loss", "mse_loss", "multi_margin_loss", "multilabel_margin_loss",
    "multilabel_soft_margin_loss", "nll_loss", "poisson_nll_loss", "smooth_l1_loss", "soft_margin_loss",
    "triplet_margin_loss",
)  # fmt: skip


def losses(hook_of: Callable[[str], Hook]) -> list[Probe]:
    """Probes of the loss functions, which stay armed."""
    return _probes(
        [(getattr(functional, name), None, hook_of(name)) for name in LOSSES if hasattr(functional, name)]
    )


def arguments_of(function: str, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """The arguments of a loss function by name."""
    return dict(zip(_names(function), arguments, strict=False))


@cache
def _names(function: str) -> tuple[str, ...]:
    return tuple(inspect.signature(getattr(functional, function)).parameters)


def batches(ask: Hook, give: Hook) -> list[Probe]:
    """The probe of a DataLoader that gives a batch, which stays armed."""
    from torch.utils.data.dataloader import _BaseDataLoaderIter

    return _probes([(_BaseDataLoaderIter.__next__, ask, give)])


def lasting(receiver: Receiver, guard: Guard) -> list[Probe]:
    """Probes that stay armed because they are called seldom, or cost little beside what they stand in."""
    from torch._functorch import eager_transforms
    from torch.utils.data import DataLoader

    def made(_result: None, thing: Any, *_: Any) -> None:
        receiver.called("made", thing, None, maker(thing))

    return _guarded(
        [
            (DataLoader.__iter__, receiver.loaders.begins, None),
            (nn.Module.train, receiver.mode_set, None),
            (nn.Module.load_state_dict, lambda module, *_: receiver.called("load", module), None),
            (torch.optim.Optimizer.__init__, None, made),
            (torch.optim.lr_scheduler.LRScheduler.__init__, None, made),
            (torch.amp.GradScaler.scale, None, receiver.scaled),
            (torch.compile, receiver.compiled, None),
            (
                eager_transforms.grad_and_value_impl,
                receiver.function_gradient_begins,
                receiver.function_gradient_ended,
            ),
        ],
        guard,
    )


def backward(enter: Hook, leave: Hook | None) -> list[Probe]:
    """A probe of ``backward`` alone; a function has one armed probe at a time."""
    return _probes([(torch.autograd.backward, enter, leave)])


def looking(receiver: Receiver, guard: Guard) -> list[Probe]:
    """Probes of ``backward`` and of the order of calls, armed for the steps that are looked at."""
    from torch.nn.utils import clip_grad_norm_, clip_grad_value_
    from torch.optim import Optimizer, lr_scheduler

    def begins(what: str) -> Hook:
        return lambda on, *_: receiver.called(what, on)

    def ended(what: str) -> Hook:
        return lambda result, on, *_: receiver.called(what, on, result)

    return _guarded(
        [
            (torch.autograd.backward, receiver.backward, receiver.backward_ended),
            (Optimizer.zero_grad, begins("zero_grad"), None),
            (nn.Module.zero_grad, begins("zero_grad"), None),
            (clip_grad_norm_, None, ended("clip")),
            (clip_grad_value_, None, ended("clip")),
            (torch.amp.GradScaler.unscale_, begins("unscale"), None),
            (lr_scheduler.LRScheduler.step, begins("scheduler"), None),
            (lr_scheduler.ReduceLROnPlateau.step, begins("scheduler"), None),
            (lr_scheduler.CosineAnnealingWarmRestarts.step, begins("scheduler"), None),
        ],
        guard,
    )


def modules(receiver: Receiver, guard: Guard) -> list[Probe]:
    """The probe of every call of a module, armed for the steps that are watched with everything."""
    return _guarded([(nn.Module._call_impl, receiver.modules.called, receiver.modules.returned)], guard)


def _guarded(wanted: list[Wanted], guard: Guard) -> list[Probe]:
    return _probes([(f, enter and guard(enter), leave and guard(leave)) for f, enter, leave in wanted])


def _probes(wanted: list[Wanted]) -> list[Probe]:
    """The probes that can be made with this version of torch."""
    probes = []
    for function, enter, leave in wanted:
        try:
            probes.append(Probe(function, enter, leave))
        except (OSError, TypeError, ValueError, SyntaxError):  # no source, or none that is known: not seen
            continue
    return probes
