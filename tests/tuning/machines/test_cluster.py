"""Clusters: one that is started here is this machine's alone and leaves nothing; one that is silent is told of."""

from __future__ import annotations

import os
import re
import signal
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from fitwell.errors import FitwellError
from fitwell.tuning.engine import Engine
from fitwell.tuning.machines import cluster
from fitwell.tuning.machines.cluster import engines

with_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: pip install 'fitwell[ray]'"
)
LISTENING = "0A"  # a socket's state, as Linux tells it


def silent(_text: str) -> None:
    pass


def test_without_an_address_this_process_trains() -> None:
    with engines(None, silent) as engine:
        assert engine is Engine


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(FitwellError, match=re.escape("pip install 'fitwell[ray]'")), engines("auto", silent):
        pass


def test_a_cluster_that_does_not_answer_is_no_long_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 3.0)
    monkeypatch.setattr(cluster, "PROBE", "import time; time.sleep(60)")
    monkeypatch.setitem(sys.modules, "ray", type(sys)("ray"))
    monkeypatch.setattr(sys.modules["ray"], "is_initialized", lambda: False, raising=False)
    with (
        pytest.raises(FitwellError, match=r"no Ray cluster answers at .*: nothing was heard for 3 s"),
        engines("10.0.0.1:6379", silent),
    ):
        pass


@with_ray
@pytest.mark.slow
def test_an_address_without_a_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 8.0)
    for address, says in (
        ("127.0.0.1:1", "Failed to connect"),
        ("nonsense", "Invalid address format"),
    ):
        with pytest.raises(FitwellError, match=f"no Ray cluster answers at {address}: (ValueError: )?{says}"):
            cluster._asked(address)


def family(pid: int) -> set[int]:
    """A process and all that descend from it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening(pids: set[int]) -> set[str]:
    """The addresses at which these processes listen, as Linux writes them."""
    owned = set()
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                owned.add(os.readlink(handle))
            except OSError:
                continue
    texts = [Path("/proc/net", kind).read_text() for kind in ("tcp", "tcp6")]
    rows = [line.split() for text in texts for line in text.splitlines() if ":" in line]
    return {row[1].split(":")[0] for row in rows if row[3] == LISTENING and f"socket:[{row[9]}]" in owned}


@with_ray
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells who listens where")
def test_a_local_cluster_is_this_machines_alone_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(*_: object) -> None:
        pass

    before, previous = dict(os.environ), signal.signal(signal.SIGTERM, handler)
    folders = set(Path("/tmp").glob("fitwell-ray-*"))
    try:
        with engines("local", silent, workers=2):
            ray: Any = import_module("ray")
            assert signal.getsignal(signal.SIGTERM) is handler
            (folder,) = set(Path("/tmp").glob("fitwell-ray-*")) - folders
            assert folder.stat().st_mode & 0o077 == 0
            assert ray.cluster_resources()["CPU"] == 2
            started = family(os.getpid()) - {os.getpid()}
            assert listening(started) == {"0100007F", "0000000000000000FFFF00000100007F"}
            told = ray.get(ray.remote(lambda: dict(os.environ)).remote())
            assert told["RAY_AUTH_MODE"] == "token"
            assert told["RAY_USAGE_STATS_ENABLED"] == "0"
            address = ray.get_runtime_context().gcs_address
            cluster._asked(address)
            monkeypatch.setattr(cluster, "PATIENCE", 5.0)
            for name, value in (("RAY_AUTH_TOKEN", "wrong"), ("RAY_AUTH_MODE", "disabled")):
                with monkeypatch.context() as changed:
                    changed.setenv(name, value)
                    with pytest.raises(FitwellError, match="InvalidAuthToken"):
                        cluster._asked(address)
        assert dict(os.environ) == before
        assert set(Path("/tmp").glob("fitwell-ray-*")) == folders
        assert not family(os.getpid()) & started
        assert not ray.is_initialized()
    finally:
        signal.signal(signal.SIGTERM, previous)
