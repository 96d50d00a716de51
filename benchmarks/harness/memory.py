"""Peak memory of a contender, measured in a process of its own.

Run as a program it reads a contender as JSON from its only argument and prints the answer as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.harness.contenders import Contender
from benchmarks.harness.record import ROOT, gpu_in_use
from runtime.errors import BackendError

_MEGABYTE = 2**20

#: Where Linux says what a process needs.
_STATUS = Path("/proc/self/status")

#: Seconds between two looks at another process. The kernel keeps the largest, so only what its very end needs is missed.
_INTERVAL = 0.02


@dataclass(frozen=True)
class Footprint:
    """In megabytes (2**20 bytes)."""

    #: Resident memory of the process at its largest: libraries, weights, activations.
    host: float
    #: Growth of the GPU's used memory; None without a GPU.
    gpu: float | None = None


def measure(contender: Contender, runs: int = 2, timeout: float = 600.0) -> Footprint | None:
    """Open a contender in a fresh process, run it, and ask for its peak; None where the system doesn't tell."""
    words = [sys.executable, "-m", "benchmarks.harness.memory", json.dumps({"contender": asdict(contender), "runs": runs})]
    try:
        answer = subprocess.run(
            words, capture_output=True, text=True, timeout=timeout, check=True, env=project_on_path()
        ).stdout
        return Footprint(**json.loads(answer.splitlines()[-1]))
    except (subprocess.SubprocessError, ValueError, IndexError, TypeError):
        return None


def project_on_path() -> dict[str, str]:
    """The environment for a child process that imports this project, installed or not."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}


def peak_host() -> float | None:
    """Largest resident memory of this process so far."""
    if _STATUS.exists():
        return _peak_in(_STATUS)
    import psutil

    peak = getattr(psutil.Process().memory_info(), "peak_wset", None)
    return None if peak is None else peak / _MEGABYTE


def peak_of(command: Sequence[str]) -> float:
    """Run a program to its end, and return its resident memory at its largest. BackendError: it failed."""
    if not _STATUS.exists():
        raise BackendError("the memory of another program is read from /proc, which this system does not have")
    peak = 0.0
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, stdout=said, stderr=said, env=project_on_path()) as process,
    ):
        while process.poll() is None:
            peak = _peak_in(Path(f"/proc/{process.pid}/status")) or peak
            time.sleep(_INTERVAL)
        if process.returncode:
            said.seek(0)
            raise BackendError(f"{command[0]} ended with {process.returncode}: {(said.read().splitlines() or [''])[-1]}")
    return peak


def _peak_in(status: Path) -> float | None:
    """The peak that the kernel reports of a process; None: it has ended."""
    # Not getrusage: on Linux that figure survives exec, and would be the parent's.
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), None)


def used_gpu(uuid: str) -> float | None:
    """Megabytes that this process uses of a GPU; where the driver lists no processes, as in containers, all that is in use."""
    try:
        mine = [row for row in _ask("--query-compute-apps=gpu_uuid,pid,used_memory") if row[:2] == [uuid, str(os.getpid())]]
        rows = mine or [row for row in _ask("--query-gpu=uuid,memory.used") if row[0] == uuid]
        return float(rows[0][-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def _ask(query: str) -> list[list[str]]:
    words = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout
    return [[cell.strip() for cell in line.split(",")] for line in answer.splitlines() if line.strip()]


def main() -> int:
    """Entry point of the fresh process."""
    from benchmarks.harness.contenders import open_contender

    request = json.loads(sys.argv[1])
    uuid = gpu_in_use()
    before = used_gpu(uuid)
    opened = open_contender(Contender(**request["contender"]))
    for _ in range(request["runs"]):
        opened.run()
    after, host = used_gpu(uuid), peak_host()
    opened.close()
    gpu = None
    if opened.device.startswith("cuda") and before is not None and after is not None:
        gpu = round(after - before, 1)
    print(json.dumps({"host": round(host, 1), "gpu": gpu} if host else {}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
