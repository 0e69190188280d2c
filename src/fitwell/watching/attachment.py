"""The probes and hooks of a watcher in torch, and which of them are in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from fitwell.watching import hooks

if TYPE_CHECKING:
    from fitwell.watching.probe import Probe
    from fitwell.watching.quick import Quick
    from fitwell.watching.receiver import Receiver


class Attachment:
    """What a watcher has put into torch: nothing until ``attach``, and nothing after ``detach``.

    Args:
        receiver: is told while somebody looks, and of what is seldom.
        quick: is told between the looks.
        guard: makes a method of the receiver into a hook.
        told: whether a trainer tells of its epochs and evaluations, so that they need not be found out.
    """

    def __init__(
        self, receiver: Receiver, quick: Quick, guard: Callable[[hooks.Hook], hooks.Hook], *, told: bool
    ) -> None:
        batches = quick.batch_hooks(guard(receiver.loaders.asked), guard(receiver.loaders.given))
        always = [*hooks.losses(quick.loss_hook), *hooks.batches(*batches), *hooks.lasting(receiver, guard)]
        looking = hooks.looking(receiver, guard)
        self._lasting, self._looking = ([], [*always, *looking]) if told else (always, looking)
        self._modules = hooks.modules(receiver, guard)
        self._objectives = hooks.backward(quick.backward_hook, None)
        self._step, self._before_step = quick.step_hook, guard(receiver.before_step)
        self._handles: list[Any] = []
        self._before: Any = None  # the handle of the hook before a step, while somebody looks

    def attach(self) -> None:
        """Put in place what stays there."""
        _arm(self._lasting)
        self._handles = [register_optimizer_step_post_hook(self._step)]

    def detach(self) -> None:
        """Leave torch as it was."""
        self.look_away(objectives=False)
        _disarm([*self._lasting, *self._objectives])
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def look(self, *, modules: bool) -> None:
        """Put in place what sees the order of calls and, if it is wanted, every call of a module."""
        _disarm(self._objectives)
        _arm(self._looking)
        self._before = self._before or register_optimizer_step_pre_hook(self._before_step)
        if modules:
            _arm(self._modules)

    def leave_modules(self) -> None:
        """See no calls of modules from now on."""
        _disarm(self._modules)

    def look_away(self, *, objectives: bool) -> None:
        """Leave in place only what stays, and what sees each ``backward`` if that is wanted."""
        _disarm([*self._looking, *self._modules])
        if self._before is not None:
            self._before.remove()
            self._before = None
        if objectives:
            _arm(self._objectives)


def _arm(probes: Sequence[Probe]) -> None:
    for probe in probes:
        probe.arm()


def _disarm(probes: Sequence[Probe]) -> None:
    for probe in probes:
        probe.disarm()
