"""Training leaves the process as it was, also when it fails."""

from __future__ import annotations

import pytest
import torch

from fitwell.training.process import process_kept


@pytest.mark.parametrize("fails", [False, True])
def test_random_stream_threads_and_determinism_come_back(fails: bool) -> None:
    stream, count = torch.get_rng_state(), torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()

    def change() -> None:
        with process_kept():
            torch.manual_seed(5)
            torch.rand(3)
            torch.set_num_threads(count + 1)
            torch.use_deterministic_algorithms(not strict)
            if fails:
                raise KeyboardInterrupt

    if fails:
        with pytest.raises(KeyboardInterrupt):
            change()
    else:
        change()
    assert torch.equal(torch.get_rng_state(), stream)
    assert torch.get_num_threads() == count
    assert torch.are_deterministic_algorithms_enabled() == strict
