"""What a watcher puts into torch, and that nothing of it stays behind."""

from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.optim import optimizer as optimizers
from torch.utils.data.dataloader import _BaseDataLoaderIter

from fitwell.watching.watcher import Watcher

WATCHED = (
    functional.cross_entropy,
    torch.autograd.backward,
    torch.nn.Module._call_impl,
    _BaseDataLoaderIter.__next__,
)


def in_place() -> list[Any]:
    return [function.__code__ for function in WATCHED]


def hooks_of_steps() -> tuple[int, int]:
    return len(optimizers._global_optimizer_pre_hooks), len(optimizers._global_optimizer_post_hooks)


def test_nothing_stays_behind(tmp_path: Path) -> None:
    before, hooks = in_place(), hooks_of_steps()
    watcher = Watcher(tmp_path, 0.03)
    assert in_place() == before, "what is made is not in place yet"
    watcher.attach()
    try:
        assert all(new is not old for new, old in zip(in_place(), before, strict=True))
        assert hooks_of_steps() == (hooks[0] + 1, hooks[1] + 1)
    finally:
        watcher.detach()
    assert all(new is old for new, old in zip(in_place(), before, strict=True))
    assert hooks_of_steps() == hooks


def test_between_looks_little_is_in_place(tmp_path: Path) -> None:
    before = in_place()
    watcher = Watcher(tmp_path, 0.03)
    watcher.attach()
    try:
        watcher._attachment.look_away(objectives=False)
        loss, backward, module, batch = (new is not old for new, old in zip(in_place(), before, strict=True))
        assert loss
        assert batch
        assert not backward
        assert not module
    finally:
        watcher.detach()
