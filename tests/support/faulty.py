"""Workers for tests: slow ones that say who they are, and ones that die over a picture."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import ray

from runtime.errors import GpuLostError
from runtime.ray_cluster.ledger import Ledger, Outcome, RemoteLedger
from runtime.ray_cluster.tasks import Task
from runtime.ray_cluster.worker import Loaded, Settings, Worker


class SlowWorker(Worker):
    """Takes its time, notes process and node in the artifact's folder, and every picture that it writes."""

    seconds = 0.05

    def __init__(self, settings: Settings, ledger: Ledger | RemoteLedger) -> None:
        super().__init__(settings, ledger)
        self.folder = Path(settings.source).parent / "noted"
        self.folder.mkdir(exist_ok=True)
        (self.folder / f"{os.getpid()}.worker").write_text(ray.get_runtime_context().get_node_id())

    def _enhance(self, loaded: Loaded) -> Loaded:
        time.sleep(self.seconds)
        return super()._enhance(loaded)

    def _store(self, task: Task, made: Loaded) -> Outcome:
        outcome = super()._store(task, made)
        with (self.folder / f"{os.getpid()}.written").open("a") as file:
            file.write(f"{Path(task.target).name}\n")
        return outcome


class FatalWorker(SlowWorker):
    """Is killed, as by the kernel when memory is out, by every picture called fatal; has too little for one called huge."""

    seconds = 0.0

    def _load(self, task: Task) -> Loaded:
        name = Path(task.source).stem
        if name == "fatal":
            os.kill(os.getpid(), signal.SIGKILL)
        loaded = super()._load(task)
        if name == "huge":
            _ask_for_too_much()
        return loaded


class LostWorker(SlowWorker):
    """One of them, and once: loses its GPU when it has finished a picture."""

    seconds = 0.0

    def _enhance(self, loaded: Loaded) -> Loaded:
        mark = self.folder / "lost"
        if not mark.exists() and (self.folder / f"{os.getpid()}.written").exists():
            mark.touch()
            raise GpuLostError("cuLaunchKernel: CUDA_ERROR_ILLEGAL_ADDRESS")
        return super()._enhance(loaded)


def _ask_for_too_much() -> Any:
    """Run into a limit of memory, for real."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, before[1]))
    try:
        return bytearray(2**30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
