"""Only one process may train a run."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fitwell.errors import RunError
from fitwell.run.lock import _taken, is_locked, locked

HOLDER = """
import sys, time
from pathlib import Path
from fitwell.run.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_dies(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_locked(tmp_path)
        with pytest.raises(RunError, match="another process"), locked(tmp_path):
            pass
        holder.kill()
        holder.wait()
    assert not is_locked(tmp_path)
    with locked(tmp_path):
        assert is_locked(tmp_path)


def test_a_look_at_the_lock_does_not_stop_a_training(tmp_path: Path) -> None:
    with open(tmp_path / ".lock", "w") as looker:
        assert _taken(looker)
        threading.Timer(0.1, looker.close).start()
        with locked(tmp_path):
            pass
