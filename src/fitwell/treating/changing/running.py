"""Which modules run now: the whole model that the program called, and what it calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.nn.parameter import is_lazy

OnCall = Callable[[nn.Module, tuple[Any, ...]], Any]


class Running:
    """Follows the calls of all modules by hooks, until their ``handles`` are removed.

    Calls that ``torch.compile`` traces, and those of a ``backward`` that computes activations again
    (``torch.utils.checkpoint``), are not calls of whole models. Neither are those of another thread while one is
    followed (``DataParallel``).
    """

    def __init__(self) -> None:
        self.modules: list[nn.Module] = []  # the whole model first
        self.output: Any = None  # of the whole model whose call just ended, as long as it is told
        self._watchers: list[tuple[OnCall | None, OnCall | None]] = []
        self._thread = 0
        self._inputs: tuple[Any, ...] = ()
        self.handles = (
            register_module_forward_pre_hook(self._enter),  # type: ignore[arg-type]  # it may return inputs
            register_module_forward_hook(self._leave, always_call=True),
        )

    def watch(self, before: OnCall | None, after: OnCall | None) -> None:
        """Call these before and after each call of a whole model; ``before`` may return other inputs."""
        self._watchers.append((before, after))

    @property
    def training(self) -> bool:
        """Whether what runs now is trained: the innermost module's mode, else whether there are gradients."""
        return self.modules[-1].training if self.modules else torch.is_grad_enabled()

    def _enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._ignored():
            return None
        if self.modules and self.modules[0] is module:  # something that is no Exception ended its last call
            self._ended(module)
        self.modules.append(module)
        if len(self.modules) > 1:
            return None
        self._thread, self._inputs = threading.get_ident(), inputs
        for before, _ in self._watchers:
            changed = None if before is None else before(module, inputs)
            inputs = inputs if changed is None else changed
        return inputs

    def _leave(self, module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
        if self._ignored() or not any(each is module for each in self.modules):
            return  # a hook before ours failed, so that we did not see it begin
        while len(self.modules) > 1 and self.modules[-1] is not module:
            self.modules.pop()
        if len(self.modules) == 1:
            self._ended(module, output)
        else:
            self.modules.pop()

    def _ended(self, model: nn.Module, output: Any = None) -> None:
        inputs, self._inputs, self.output = self._inputs, (), output
        self.modules.clear()
        for _, after in self._watchers:
            if after is not None:
                after(model, inputs)
        self.output = None

    def _ignored(self) -> bool:
        if torch.compiler.is_compiling():
            return True
        if self.modules:
            return threading.get_ident() != self._thread
        return torch._C._current_graph_task_id() >= 0


def is_model(module: nn.Module) -> bool:
    """Whether it has parameters, and knows their shapes by now."""
    parameters = list(module.parameters())
    return bool(parameters) and not any(is_lazy(each) for each in parameters)
