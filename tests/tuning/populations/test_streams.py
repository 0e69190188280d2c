"""Each stream goes on as torch's own generator would, whoever else draws in between."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import torch

from fitwell.tuning.populations.streams import drawing_from


def draws(stream: torch.Generator, count: int) -> torch.Tensor:
    with drawing_from(stream):
        return torch.rand(count)


def test_a_stream_goes_on_where_it_was() -> None:
    streams = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    taken = [[draws(stream, 5) for stream in streams] for _ in range(4)]
    for number, seed in enumerate((3, 4)):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            expected = torch.cat([torch.rand(5) for _ in range(4)])
        assert torch.equal(torch.cat([own[number] for own in taken]), expected)


def test_torchs_own_stream_is_left_alone_even_by_what_fails() -> None:
    before = torch.get_rng_state()
    stream = torch.Generator().manual_seed(1)
    with contextlib.suppress(ZeroDivisionError), drawing_from(stream):
        torch.rand(3)
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), before)
    fresh = torch.Generator().manual_seed(1)
    torch.rand(3, generator=fresh)
    assert torch.equal(stream.get_state(), fresh.get_state())  # what was drawn is drawn


def test_threads_wait_for_each_other() -> None:
    def slowly(seed: int) -> torch.Tensor:
        stream, parts = torch.Generator().manual_seed(seed), []
        for _ in range(5):
            with drawing_from(stream):
                parts.append(torch.rand(2))
                time.sleep(0.002)
                parts.append(torch.rand(2))
        return torch.cat(parts)

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(slowly, range(3)))
    for seed, values in enumerate(found):
        assert torch.equal(values, torch.rand(20, generator=torch.Generator().manual_seed(seed)))
