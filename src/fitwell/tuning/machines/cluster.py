"""Join a Ray cluster, or start one on this machine that nobody else can use and that leaves nothing behind."""

from __future__ import annotations

import functools
import logging
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from fitwell.errors import FitwellError
from fitwell.training.threads import available
from fitwell.tuning.engine import Engine, MakeEngine
from fitwell.tuning.machines.ray import on_ray
from fitwell.tuning.populations.packing import Say

LOCAL = "local"
PATIENCE = 20.0  # seconds in which a cluster must answer
LOOPBACK = "127.0.0.1"
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # fitwell sends nobody anything, nor does what it starts
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # as later versions of Ray do by themselves; else it warns
}
OWN = QUIET | {
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on any system: listen to this machine alone
    "RAY_ROTATION_MAX_BYTES": str(2**20),  # of a log file
    "RAY_ROTATION_BACKUP_COUNT": "1",
}
LOGGED = r"^\[.*?\] \S+: "  # what begins a line of Ray's log
# Ray ends the process that asks where no cluster answers, after more than a minute: another one asks first.
PROBE = "import sys, logging, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)"


@contextmanager
def engines(address: str | None, say: Say, workers: int | None = None) -> Iterator[MakeEngine]:
    """What makes engines inside the block: in this process, or on a Ray cluster.

    Args:
        address: None for this process; ``local`` starts a cluster on this machine; ``auto`` finds one that runs on it;
            or the address of one that this machine belongs to.
        say: is told what a person should know.
        workers: of a local cluster; by default one for each core.

    Raises:
        FitwellError: Ray is not installed, or no cluster answers.
    """
    if address is None:
        yield Engine
        return
    with _environment(OWN | _token() if address == LOCAL else QUIET):
        ray = _imported()
        if ray.is_initialized():
            say("this process has joined a Ray cluster already: that one is used")
            yield on_ray(ray)
            return
        with _started(ray, workers) if address == LOCAL else _joined(ray, address, say):
            yield on_ray(ray)


@contextmanager
def _started(ray: Any, workers: int | None) -> Iterator[None]:
    """A cluster of this machine's cores, its files and all, inside the block."""
    # Sockets have short names: the folder for temporary files may be too deep. Ray opens its own to everybody: it lies
    # in one that is closed.
    folder = tempfile.mkdtemp(prefix="fitwell-ray-", dir="/tmp" if Path("/tmp").is_dir() else None)
    try:
        _init(
            ray, LOCAL, num_cpus=workers or available(), include_dashboard=False, _node_ip_address=LOOPBACK,
            _temp_dir=f"{folder}/ray",
        )  # fmt: skip
        if any(node["NodeManagerAddress"] != LOOPBACK for node in ray.nodes()):
            raise FitwellError(
                "Ray was imported before, with settings that let its cluster listen to the network",
                "a cluster for this machine alone",
                "call fitwell before anything imports ray, or call ray.init yourself before",
            )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _joined(ray: Any, address: str, say: Say) -> Iterator[None]:
    """A cluster that runs already."""
    _asked(address)
    _init(ray, address)
    try:
        if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
            say("this Ray cluster obeys whoever reaches it: start it, and fitwell, with RAY_AUTH_MODE=token")
        yield
    finally:
        ray.shutdown()


def _asked(address: str) -> None:
    """Make sure that a cluster answers."""
    probe, silent, heard = [sys.executable, "-c", PROBE, address], subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(probe, stdout=silent, stderr=heard, text=True) as asked:
        late = threading.Timer(PATIENCE, asked.kill)
        late.start()
        try:
            said = asked.communicate()[1].strip()
        finally:
            late.cancel()
    if asked.returncode:
        reason = (
            re.sub(LOGGED, "", said.splitlines()[-1]) if said else f"nothing was heard for {PATIENCE:.0f} s"
        )
        raise FitwellError(
            f"no Ray cluster answers at {address}: {reason}",
            "a cluster that this machine belongs to, with the same token",
            "start one (`ray start --head`, on further machines `ray start --address=HEAD:6379`), or use --ray local",
        )


def _imported() -> Any:
    try:
        return import_module("ray")
    except ImportError as error:
        raise FitwellError(
            f"Ray can't be imported: {error}", "the package ray", "pip install 'fitwell[ray]'"
        ) from error


@functools.cache
def _secret() -> str:
    return secrets.token_hex(32)  # Ray reads it once a process


def _token() -> dict[str, str]:
    """A token for clusters that this process starts; it is written nowhere."""
    given = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ)
    return {} if given else {"RAY_AUTH_TOKEN": _secret()}


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables that nobody has set, inside the block; Ray sets some, too, such as what breakpoint() does."""
    before = set(os.environ)
    os.environ.update({name: value for name, value in values.items() if name not in before})
    try:
        yield
    finally:
        for name in set(os.environ) - before:
            if name.startswith("RAY_") or name == "PYTHONBREAKPOINT":
                del os.environ[name]


def _init(ray: Any, address: str, **options: Any) -> None:
    """Connect, and leave what SIGTERM does as it was: Ray changes it."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)
