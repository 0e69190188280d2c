"""Which functions of torch are probed, and that they are left as they were."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import optimizer as optimizers
from torch.utils.data import DataLoader

from fitwell.watching import hooks
from fitwell.watching.watcher import Watcher


def codes() -> list[Any]:
    functions = [
        *(getattr(F, name) for name in hooks.LOSSES), torch.autograd.backward, nn.Module._call_impl, nn.Module.train,
        nn.Module.zero_grad, DataLoader.__iter__, torch.optim.Optimizer.zero_grad, torch.amp.GradScaler.scale,
        torch.compile, torch.optim.lr_scheduler.LRScheduler.step, torch.nn.utils.clip_grad_norm_,
    ]  # fmt: skip
    return [getattr(function, "__wrapped__", function).__code__ for function in functions]


def test_every_loss_of_torch_that_trains_is_probed() -> None:
    scalar = {
        name
        for name in dir(F)
        if not name.startswith("_")
        and (name.endswith(("_loss", "cross_entropy", "_with_logits")) or name in ("kl_div", "nll_loss"))
    }
    special = {"triplet_margin_with_distance_loss", "multi_head_attention_forward", "linear_cross_entropy"}
    assert scalar - special <= set(hooks.LOSSES)
    probes = hooks.losses(lambda _: lambda *_: None)
    assert len(probes) == len(hooks.LOSSES)


@pytest.mark.parametrize("name", hooks.LOSSES)
def test_arguments_by_name(name: str) -> None:
    first = next(iter(hooks.arguments_of(name, (1, 2, 3))))
    assert first in ("input", "input1", "anchor", "log_probs")
    assert list(hooks.arguments_of(name, (1, 2, 3)).values()) == [1, 2, 3]


def test_torch_is_left_as_it_was(tmp_path: Any) -> None:
    before = codes()
    handlers = len(optimizers._global_optimizer_pre_hooks), len(optimizers._global_optimizer_post_hooks)
    watcher = Watcher(tmp_path, 1.0)
    assert all(now is then for now, then in zip(codes(), before, strict=True))
    watcher.attach()
    during = codes()
    watcher.detach()
    assert all(now is then for now, then in zip(codes(), before, strict=True))
    assert sum(now is not then for now, then in zip(during, before, strict=True)) > len(hooks.LOSSES)
    assert handlers == (
        len(optimizers._global_optimizer_pre_hooks), len(optimizers._global_optimizer_post_hooks),
    )  # fmt: skip


@pytest.mark.parametrize("share", [1.0, 1e-9], ids=["whole", "seldom"])
def test_torch_is_left_as_it_was_after_an_exception(share: float, tmp_path: Any) -> None:
    before = codes()
    watcher = Watcher(tmp_path, share)
    watcher.attach()
    model = nn.Linear(2, 2)
    with pytest.raises(RuntimeError, match="shapes"):
        model(torch.zeros(1, 3))
    watcher.detach({"type": "RuntimeError", "message": "shapes", "where": None, "operands": []})
    assert all(now is then for now, then in zip(codes(), before, strict=True))
    assert watcher.failure is not None
