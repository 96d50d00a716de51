"""Records of measurements: what was measured, with what, on what machine. Figures in documents have no other source.

A record is one JSON file in benchmarks/results/. It names no machine, no person and no path outside the project.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runtime.backends import BACKENDS, installed_version, usable_cpus
from runtime.cuda import open_cuda
from runtime.errors import ArtifactError, BackendError, OutputError
from runtime.files import as_typed, write_atomically

#: Raised whenever a reader of the old schema would misread a new record.
SCHEMA = 1

#: The project's folder.
ROOT = Path(__file__).resolve().parents[2]
#: The tracked records; under the current folder where retinexrt is installed without its project.
RESULTS = (ROOT / "benchmarks" if (ROOT / "pyproject.toml").exists() else Path.cwd()) / "results"

#: Packages whose version can change a figure.
_PACKAGES = (
    *("retinexrt", "numpy", "opencv-python", "opencv-python-headless", "torch", "onnx", "polygraphy", "scikit-image"),
    *("cuda-python", "cuda-bindings", "pycuda", "tensorrt-cu13", "tensorrt-cu12", "nvidia-cudnn-cu13", "nvidia-cudnn-cu12"),
    *sorted({package for backend in BACKENDS for package in backend.packages}),
)
#: CPU features that decide how fast a convolution can be.
_FEATURES = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "sve")
#: What a record holds of an NVIDIA GPU, and what nvidia-smi calls it. Clocks are those of the moment: idle ones are far below
#: those under load.
GPU_FIELDS = {
    "name": "name",
    "driver": "driver_version",
    "sm": "compute_cap",
    "memory": "memory.total",
    "sm_clock": "clocks.sm",
    "sm_clock_max": "clocks.max.sm",
    "memory_clock": "clocks.mem",
    "power_limit": "power.limit",
    "temperature": "temperature.gpu",
}
#: Their values, in the driver's words and with units, e.g. "1410 MHz".
Gpu = Mapping[str, str]


@dataclass(frozen=True)
class Environment:
    """Everything about a machine that can explain a figure."""

    cpu: str
    cores: int
    #: The subset that matters here, e.g. "avx512_bf16".
    cpu_features: tuple[str, ...]
    memory_gb: float | None
    system: str
    python: str
    packages: Mapping[str, str]
    #: Cores that others kept busy just before, of all together; None where the system doesn't say.
    load: float | None
    gpus: tuple[Gpu, ...] = ()

    @property
    def busy(self) -> bool:
        """Whether something else was running: figures taken then are upper bounds."""
        return self.load is not None and self.load > 0.5 * self.cores

    @property
    def short(self) -> str:
        """In a few words."""
        return f"{self.cores} cores of {self.cpu}" + (", busy with other work" if self.busy else "")


@dataclass(frozen=True)
class Record:
    """One run of one command."""

    #: "latency", "parity", "quality" ...
    kind: str
    #: The command that makes the same record again.
    command: str
    #: UTC, to the second.
    created: str
    configuration: Mapping[str, Any]
    environment: Environment
    #: The figures; their form belongs to the kind.
    results: Any
    schema: int = field(default=SCHEMA)


def environment() -> Environment:
    """Look at this machine, now."""
    return Environment(
        cpu=_cpu(),
        cores=usable_cpus(),
        cpu_features=_features(),
        memory_gb=_memory_gb(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        packages={name: found for name in _PACKAGES if (found := installed_version(name))},
        load=load(),
        gpus=gpus(gpu_in_use()),
    )


def load(seconds: float = 0.5) -> float | None:
    """Cores that are busy while this process sleeps. (An average over a minute still holds the benchmark before this one.)"""
    clock = Path("/proc/stat")
    if not clock.is_file():
        return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    before = _clock(clock)
    time.sleep(seconds)
    passed = [after - at for after, at in zip(_clock(clock), before, strict=True)]
    idle, whole = passed[3] + passed[4], max(sum(passed), 1)
    return round((os.cpu_count() or 1) * (1 - idle / whole), 2)


def _clock(stat: Path) -> list[int]:
    """Time spent by all cores: user, nice, system, idle, waiting for a device, interrupts (2), stolen."""
    return [int(word) for word in stat.read_text().split("\n", 1)[0].split()[1:9]]


def make(kind: str, configuration: Mapping[str, Any], results: Any, environment: Environment) -> Record:
    """A record of what just ran; dataclasses in `results` become objects."""
    return Record(kind, command_line(), _now(), plain(configuration), environment, plain(results))


def write(record: Record, name: str, folder: Path | None = None) -> Path:
    """Write a record as NAME.json, whole or not at all, and return its path."""
    text = to_text(record)
    for private in {str(ROOT), str(Path.home())}:
        if len(private) > 1 and f"{private}/" in text.replace("\\\\", "/"):
            raise OutputError(f"a record may not hold paths of this machine, and {name} holds {private}")
    path = (folder or RESULTS) / f"{name}.json"
    write_atomically(path, text.encode())
    return path


def to_text(record: Record) -> str:
    """A record as the text of its file."""
    return json.dumps(asdict(record), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def read(path: Path) -> Record:
    """Read one record, or raise ArtifactError."""
    try:
        document = json.loads(path.read_text())
        if document["schema"] != SCHEMA:
            raise ArtifactError(f"{path.name} has schema {document['schema']}, expected {SCHEMA}; measure it again")
        machine = dict(document["environment"])
        machine["gpus"] = tuple(machine["gpus"])
        machine["cpu_features"] = tuple(machine["cpu_features"])
        values: dict[str, Any] = {**document, "environment": Environment(**machine)}
        return Record(**values)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path.name} is no record ({error}); measure it again") from error


def read_all(folder: Path | None = None, kind: str | None = None) -> dict[str, Record]:
    """All records of a folder by name, or those of one kind."""
    found = {path.stem: read(path) for path in sorted((folder or RESULTS).glob("*.json"))}
    return {name: record for name, record in found.items() if kind is None or record.kind == kind}


def by_kind(records: Mapping[str, Record]) -> defaultdict[str, dict[str, Record]]:
    """The records of each kind, in the order of their names."""
    found: defaultdict[str, dict[str, Record]] = defaultdict(dict)
    for name in sorted(records):
        found[records[name].kind][name] = records[name]
    return found


def command_line() -> str:
    """The command that is running, as it would be typed in the project's folder; other folders lose their path."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    script = ["-m", spec.name] if spec is not None and spec.name.startswith("benchmarks.") else [sys.argv[0]]
    return as_typed(["python", *script, *sys.argv[1:]])


def plain(value: Any) -> Any:
    """Dataclasses as dictionaries, tuples as lists, all the way down."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.split(":")[0].strip() == key), "")


def _cpu() -> str:
    model = _cpuinfo("model name") or platform.processor() or platform.machine()
    family, number = _cpuinfo("cpu family"), _cpuinfo("model")
    # A virtual machine often hides the model's name, but not its family.
    return f"{model} (family {family}, model {number})" if family and number else model


def _features() -> tuple[str, ...]:
    found = set((_cpuinfo("flags") or _cpuinfo("Features")).split())
    return tuple(name for name in _FEATURES if name in found)


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def gpus(first: str = "") -> tuple[Gpu, ...]:
    """Each GPU as nvidia-smi describes it now, the one with the UUID `first` at the head; empty where there is none."""
    # The UUID, which names one machine, stays out of what is found.
    query = ["nvidia-smi", f"--query-gpu={','.join(GPU_FIELDS.values())},uuid", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.splitlines() if line.strip()]
    whole = sorted((row for row in rows if len(row) == len(GPU_FIELDS) + 1), key=lambda row: row[-1] != first)
    return tuple(dict(zip(GPU_FIELDS, row[:-1], strict=True)) for row in whole)


def gpu_in_use() -> str:
    """UUID of CUDA's device 0, which seldom is nvidia-smi's first (CUDA_VISIBLE_DEVICES, the fastest first); or empty."""
    try:
        return open_cuda().properties(0).uuid
    except BackendError:
        return ""
