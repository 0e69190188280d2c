"""SGD, RMSprop, Adam and AdamW for rows of weights, each row with its own rate, momentum and decay.

torch's optimizers have one rate for all; these do the same arithmetic on (K, P) matrices, a column of settings beside
them. Every other optimizer of torch is called for one member after another: see ``Each``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fitwell.plan import OptimizerPlan
from fitwell.tuning.populations.stacking.rows import Rows

LARGE = 20_000  # weights a member from which torch's fused kernel, member by member, is faster than passes over all
BETAS, EPSILON = (0.9, 0.999), 1e-8  # torch's own defaults (Kingma and Ba 2015)
ALPHA = 0.99  # of RMSprop, torch's own


class Settings:
    """What differs between members, as (K, 1) columns: momentum (of sgd and rmsprop) and weight decay.

    Args:
        plans: of the members.
        device: of their weights.
    """

    def __init__(self, plans: Sequence[OptimizerPlan], device: torch.device) -> None:
        self.momentum_K1, self.decay_K1 = (
            torch.tensor([[float(getattr(plan, name))] for plan in plans], device=device)
            for name in ("momentum", "weight_decay")
        )


class Optimizer:
    """Moves rows of weights against their gradients.

    Args:
        rows: weights and gradients.
        settings: of each row.

    ``slots`` names what is kept of each weight, as torch's optimizer of the same name calls it.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, rows: Rows, settings: Settings) -> None:
        self.rows, self.settings = rows, settings
        self.kept = [torch.zeros_like(rows.weights_KP) for _ in self.slots]
        self.steps = [0] * len(rows.models)
        self.scratch_KP = torch.empty_like(rows.weights_KP)
        self.decaying = bool(settings.decay_K1.any())

    def step(self, first: int, last: int, rates: Sequence[float]) -> None:
        """One step of the rows from ``first`` to before ``last``.

        Args:
            first: row.
            last: row.
            rates: of these rows.
        """
        for row in range(first, last):
            self.steps[row] += 1
        self._step(slice(first, last), rates)

    def _step(self, part: slice, rates: Sequence[float]) -> None:
        raise NotImplementedError

    def _of(self, matrix: Tensor, part: slice) -> Tensor:
        """Those rows; all of them without a view, for every operation is a moment that threads wait for each other."""
        return matrix if part.stop - part.start == len(matrix) else matrix[part]

    def _column(self, values: Sequence[float]) -> Tensor:
        """(K, 1)."""
        return torch.tensor(values, dtype=torch.float32, device=self.scratch_KP.device)[:, None]

    def tell(self, own: Sequence[torch.optim.Optimizer]) -> None:
        """Tell the members' own optimizers how many steps were taken; the rest of their state is in the rows."""
        for steps, optimizer in zip(self.steps, own, strict=True):
            for state in optimizer.state.values():
                state["step"] = torch.tensor(float(steps))

    def _add_decay(self, part: slice) -> Tensor:
        """The gradients, with decay times weight added where weights decay (as torch's weight_decay)."""
        gradients_KP = self._of(self.rows.gradients_KP, part)
        if self.decaying:
            decayed = slice(0, self.rows.layout.decayed)
            weights = self.rows.weights_KP[part, decayed]
            gradients_KP[:, decayed] += weights * self.settings.decay_K1[part]
        return gradients_KP


class Sgd(Optimizer):
    """v = momentum v + g; w = w - rate v."""

    slots = ("momentum_buffer",)

    def _step(self, part: slice, rates: Sequence[float]) -> None:
        gradients_KP, velocity_KP = self._add_decay(part), self.kept[0][part]
        velocity_KP.mul_(self.settings.momentum_K1[part]).add_(gradients_KP)
        self.rows.weights_KP[part] -= torch.mul(velocity_KP, self._column(rates), out=self.scratch_KP[part])


class RmsProp(Optimizer):
    """s = 0.99 s + 0.01 g^2; v = momentum v + g / (sqrt(s) + eps); w = w - rate v (torch's form)."""

    slots = ("square_avg", "momentum_buffer")

    def _step(self, part: slice, rates: Sequence[float]) -> None:
        gradients_KP, (square_KP, velocity_KP) = self._add_decay(part), (kept[part] for kept in self.kept)
        square_KP.mul_(ALPHA).addcmul_(gradients_KP, gradients_KP, value=1 - ALPHA)
        scratch_KP = torch.sqrt(square_KP, out=self.scratch_KP[part]).add_(EPSILON)
        torch.div(gradients_KP, scratch_KP, out=scratch_KP)
        velocity_KP.mul_(self.settings.momentum_K1[part]).add_(scratch_KP)
        self.rows.weights_KP[part] -= torch.mul(velocity_KP, self._column(rates), out=scratch_KP)


class Adam(Optimizer):
    """Kingma and Ba 2015, algorithm 1; decay is added to the gradient."""

    slots = ("exp_avg", "exp_avg_sq")
    decoupled = False

    def _step(self, part: slice, rates: Sequence[float]) -> None:
        if self.rows.layout.width >= LARGE and self.rows.weights_KP.device.type == "cpu":
            self._fused(part, rates)
            return
        weights_KP = self._of(self.rows.weights_KP, part)
        mean_KP, square_KP = (self._of(kept, part) for kept in self.kept)
        if self.decoupled:
            gradients_KP = self._of(self.rows.gradients_KP, part)
            self._shrink(part, rates)
        else:
            gradients_KP = self._add_decay(part)
        mean_KP.lerp_(gradients_KP, 1 - BETAS[0])
        square_KP.mul_(BETAS[1]).addcmul_(gradients_KP, gradients_KP, value=1 - BETAS[1])
        # rate / c1 m / (sqrt(s) / sqrt(c2) + eps), with sqrt(c2) brought to the numerator
        roots = [math.sqrt(1 - BETAS[1] ** steps) for steps in self.steps[part]]
        firsts = [1 - BETAS[0] ** steps for steps in self.steps[part]]
        sizes = [rate * root / first for rate, root, first in zip(rates, roots, firsts, strict=True)]
        scratch_KP = torch.sqrt(square_KP, out=self._of(self.scratch_KP, part))
        same = min(roots) == max(roots)
        scratch_KP += EPSILON * roots[0] if same else self._column([EPSILON * root for root in roots])
        torch.div(mean_KP, scratch_KP, out=scratch_KP)
        weights_KP -= scratch_KP.mul_(self._column(sizes))

    def _shrink(self, part: slice, rates: Sequence[float]) -> None:
        """Weights times 1 - rate decay, apart from the gradient (Loshchilov and Hutter 2019, algorithm 2)."""
        if self.decaying:
            factor_K1 = 1 - self._column(rates) * self.settings.decay_K1[part]
            self.rows.weights_KP[part, : self.rows.layout.decayed] *= factor_K1

    def _fused(self, part: slice, rates: Sequence[float]) -> None:
        """The same by torch's kernel: one pass over a member's weights, while they are in the cache."""
        kernel = torch._fused_adamw_ if self.decoupled else torch._fused_adam_
        self.counts.copy_(torch.tensor(self.steps))
        for row, rate in enumerate(rates, start=part.start):
            for tensors, decay in self.pieces[row]:
                kernel(
                    *tensors, lr=rate, beta1=BETAS[0], beta2=BETAS[1], weight_decay=decay, eps=EPSILON,
                    amsgrad=False, maximize=False,
                )  # fmt: skip

    @cached_property
    def counts(self) -> Tensor:
        """(K,) the steps of each member, as torch's kernel reads them."""
        return torch.zeros(len(self.steps))

    @cached_property
    def pieces(self) -> list[list[tuple[tuple[list[Tensor], ...], float]]]:
        """For each row what torch's kernel takes, and the decay: of the weights that decay, and of the others."""
        decayed = self.rows.layout.decayed
        matrices = (self.rows.weights_KP, self.rows.gradients_KP, *self.kept)
        rows = []
        for row, decay in enumerate(self.settings.decay_K1[:, 0].tolist()):
            parts = (
                [(slice(0, decayed), decay), (slice(decayed, None), 0.0)] if decay else [(slice(None), 0.0)]
            )
            rows.append(
                [
                    ((*([matrix[row, columns]] for matrix in matrices), [], [self.counts[row]]), strength)
                    for columns, strength in parts
                ]
            )
        return rows


class AdamW(Adam):
    """Adam with decay apart from the gradient."""

    decoupled = True


class Each(Optimizer):
    """The members' own optimizers, one after another: for all those that have no form for rows.

    Args:
        rows: weights and gradients.
        settings: of each row.
        own: the optimizer of each member.
    """

    def __init__(self, rows: Rows, settings: Settings, own: Sequence[torch.optim.Optimizer]) -> None:
        super().__init__(rows, settings)
        self.own = own

    def tell(self, own: Sequence[torch.optim.Optimizer]) -> None:
        """They know."""

    def _step(self, part: slice, rates: Sequence[float]) -> None:
        # torch's fused kernels take weights for contiguous, which those of a padded row are not.
        for optimizer, rate in zip(self.own[part], rates, strict=True):
            before = [dict(group) for group in optimizer.param_groups]
            for group in optimizer.param_groups:
                group["lr"] = rate
                if self.rows.layout.ragged and "fused" in group:
                    group["fused"] = False
            optimizer.step()
            for group, settings in zip(optimizer.param_groups, before, strict=True):
                group.update(settings)  # the schedule's own rate, which is that of a later step


FORMS: dict[str, type[Optimizer]] = {"sgd": Sgd, "rmsprop": RmsProp, "adam": Adam, "adamw": AdamW}


def stacked_optimizer(
    plans: Sequence[OptimizerPlan], rows: Rows, own: Sequence[torch.optim.Optimizer]
) -> Optimizer:
    """The optimizer of members that have the same algorithm and options.

    Args:
        plans: of each member.
        rows: their weights.
        own: their own optimizers, whose state is taken over.
    """
    settings = Settings(plans, rows.weights_KP.device)
    form: Callable[..., Any] | None = FORMS.get(plans[0].algorithm.lower())
    if form is None or plans[0].options:
        return Each(rows, settings, own)
    made: Optimizer = form(rows, settings)
    for row, (model, optimizer) in enumerate(zip(rows.models, own, strict=True)):
        _take_over(made, row, model, optimizer)
    made.tell(own)
    return made


def _take_over(made: Optimizer, row: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Let the state of a member's own optimizer be views of its row, so that a checkpoint finds it there."""
    for kept_KP, slot in zip(made.kept, made.slots, strict=True):
        for _, parameter, view in made.rows.layout.of(kept_KP[row], model):
            state = optimizer.state[parameter]
            if slot in state and state[slot] is not None:
                view.copy_(state[slot])
            state[slot] = view
    for state in optimizer.state.values():
        if "step" in state:
            made.steps[row] = int(state["step"])
