"""A Ray cluster: joined, or started on this machine for as long as the command runs."""

from __future__ import annotations

import logging
import os
import re
import socket
import sysconfig
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from runtime.artifact import remedies
from runtime.backends import get_backend
from runtime.errors import BackendError, BackendUnavailableError, InputError, first_line
from runtime.ray_cluster.ledger import Ledger, RemoteLedger

INSTALL = remedies.install("ray")

#: The values of --ray: a cluster's address, "auto" (the one that runs here) or "local" (one of its own).
_ADDRESS = re.compile(r"auto|local|[\w.-]+:\d+|\[[0-9a-fA-F:.]+\]:\d+")
#: Seconds that a cluster has to answer.
_KNOCK = 5.0
#: Settings of the environment that workers share with the command.
_SHARED = ("OPENCV_LOG_LEVEL", "OPENCV_FFMPEG_LOGLEVEL")


@dataclass(frozen=True)
class Allocation:
    """How many workers, and what each takes of the cluster."""

    workers: int
    cpus: int
    gpus: float


def is_address(text: str) -> bool:
    """Whether a word after --ray is an address rather than an input."""
    if text.startswith("ray://"):
        raise InputError(
            "Ray's client protocol (ray://) is not used; run the command on a node of the cluster, with --ray auto"
        )
    return _ADDRESS.fullmatch(text) is not None


@contextmanager
def joined(address: str, cpus: int | None) -> Generator[Any]:
    """Ray, connected: to the cluster at `address`, to the one that runs here ("auto"), to a new one ("local"), or ("") to
    one that runs here or else a new one. A new one has `cpus` (None: this machine's) and ends with the block.
    """
    ray = _import()
    if ray.is_initialized():  # an application's own connection is used, and left as it is
        yield ray
        return
    if ":" in address:
        _knock(address)
    # A cluster that this command starts tells nobody about it; one that is joined was set up by others.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "runtime_env": _runtime_env()}
    try:
        if address != "local" and not _found(ray, address or "auto", options, needed=bool(address)):
            address = "local"
        if address == "local":
            ray.init(address="local", include_dashboard=False, num_cpus=cpus, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise BackendError(f"no Ray cluster at {address}: {first_line(error)}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _found(ray: Any, address: str, options: dict[str, Any], needed: bool) -> bool:
    """Join a cluster; False: there is none, and none is needed."""
    try:
        ray.init(address=address, **options)
    except ConnectionError:
        if needed:
            raise
        return False
    return True


def _knock(address: str) -> None:
    """Find out in seconds whether anybody is at an address; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK).close()
    except (OSError, OverflowError) as error:
        raise BackendError(f"no Ray cluster at {address}: {error}; start one with: ray start --head") from error


def _import() -> Any:
    try:
        import ray

        import_module("ray.data")
    except ImportError as error:
        raise BackendUnavailableError(f"--ray needs Ray Data ({error}); install it with: {INSTALL}") from error
    return ray


def _runtime_env() -> dict[str, Any]:
    """The environment of the workers. Those of a source tree find it where it lies, those of an installation need nothing."""
    variables = {name: os.environ[name] for name in _SHARED if name in os.environ}
    root = Path(__file__).resolve().parents[2]
    if str(root) not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        before = os.environ.get("PYTHONPATH")
        variables["PYTHONPATH"] = f"{root}{os.pathsep}{before}" if before else str(root)
    return {"env_vars": variables} if variables else {}


def allocate(ray: Any, workers: int | None, gpus_per_worker: float | None, threads: int | None, backend: str) -> Allocation:
    """Divide the cluster: a GPU for each worker where there are any, else as many CPUs as a worker has threads."""
    nodes: list[dict[str, float]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
    wanted = gpus >= 1 and (backend == "auto" or get_backend(backend).device == "cuda")
    share = gpus_per_worker if gpus_per_worker is not None else float(wanted)
    if share > gpus:
        raise InputError(f"--gpus-per-worker {share:g}: no node of the cluster has more than {gpus:g} GPUs")
    cpus = threads or 1
    largest = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    if cpus > largest:
        raise InputError(f"a worker of {cpus} threads needs as many CPUs, no node of the cluster has more than {largest:g}")
    most = sum(_room(node, cpus, share) for node in nodes)
    if not most:
        raise InputError(f"no node of the cluster has room for a worker of {cpus} CPUs and {share:g} GPUs")
    if workers is not None and workers > most:
        raise InputError(f"--workers {workers}: the cluster has room for {most} (each takes {cpus} CPUs and {share:g} GPUs)")
    return Allocation(workers or most, cpus, share)


def _room(node: dict[str, float], cpus: int, share: float) -> int:
    """How many workers fit on a node; Ray places none across two."""
    room = int(node.get("CPU", 0.0) // cpus)
    return min(room, int(node.get("GPU", 0.0) / share + 1e-9)) if share else room


def open_ledger(ray: Any, folder: str) -> RemoteLedger:
    """A ledger on this node, which no other node's end can take away."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return RemoteLedger(ray.remote(Ledger).options(num_cpus=0, scheduling_strategy=here).remote(folder))
