"""Records are whole, tell no machine's secrets, and come back as they were written."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import memory, record
from runtime.errors import ArtifactError, OutputError

ROOT = Path(__file__).resolve().parents[3]


def _record(**changes: Any) -> record.Record:
    machine = record.Environment("a CPU", 4, ("avx2",), 16.0, "Linux x86_64", "3.11.7", {"numpy": "2.0"}, 0.1)
    values: dict[str, Any] = {
        "kind": "latency", "command": "python x.py", "created": "2026-01-01T00:00:00Z", "configuration": {"batch": 1},
        "environment": machine, "results": [{"ms": 1.5}],
    }  # fmt: skip
    return record.Record(**{**values, **changes})


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    gpu = dict(zip(record.GPU_FIELDS, ("a GPU", "1", "8.9", "1 MiB", "1 MHz", "2 MHz", "3 MHz", "4 W", "40"), strict=True))
    machine = record.Environment("c", 1, (), None, "s", "3.11", {}, None, (gpu,))
    written = _record(environment=machine)
    path = record.write(written, "one", tmp_path)
    assert record.read(path) == written
    assert record.read_all(tmp_path) == {"one": written}
    assert record.read_all(tmp_path, "parity") == {}


def test_nothing_that_json_does_not_know_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        record.write(_record(results=[float("inf")]), "one", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_path_of_this_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="paths of this machine"):
        record.write(_record(configuration={"engine": str(ROOT / "engines" / "pdn.onnx")}), "one", tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_is_the_one_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [str(ROOT / "benchmarks" / "latency.py"), "--engine", str(ROOT / "engines" / "a b.plan"), "--out=/elsewhere/x.json"]
    monkeypatch.setattr("sys.argv", words)
    assert record.command_line() == "python benchmarks/latency.py --engine 'engines/a b.plan' --out=x.json"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 99}', '{"schema": 1, "environment": {}}'])
def test_what_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ArtifactError, match=r"bad\.json"):
        record.read(path)


def test_the_environment_of_this_machine() -> None:
    machine = record.environment()
    assert machine.cores >= 1
    assert machine.packages["numpy"]
    assert json.loads(record.to_text(_record(environment=machine)))["environment"]["cpu"] == machine.cpu


def test_gpus_are_read_from_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "NVIDIA X, 580.1, 8.9, 24000 MiB, 210 MHz, 2500 MHz, 405 MHz, 300.00 W, 41, GPU-1\n"

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, stdout=line)

    monkeypatch.setattr(subprocess, "run", run)
    (gpu,) = record.environment().gpus
    assert (gpu["name"], gpu["driver"], gpu["sm"], gpu["sm_clock"]) == ("NVIDIA X", "580.1", "8.9", "210 MHz")
    line += line.replace("X", "Y").replace("GPU-1", "GPU-2")
    monkeypatch.setattr(record, "gpu_in_use", lambda: "GPU-2")
    machine = record.environment()
    assert [gpu["name"] for gpu in machine.gpus] == ["NVIDIA Y", "NVIDIA X"], "the one in use comes first"
    assert "GPU-2" not in record.to_text(_record(environment=machine))


@pytest.mark.parametrize(
    ("processes", "megabytes"), [("GPU-1, {0}, 90\nGPU-2, {0}, 300\nGPU-2, 9, 800\n", 300.0), ("", 1500.0)]
)
def test_memory_is_that_of_this_process_on_its_own_gpu(
    processes: str, megabytes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        listed = processes.format(os.getpid()) if "compute-apps" in command[1] else "GPU-1, 7\nGPU-2, 1500\n"
        return subprocess.CompletedProcess(command, 0, stdout=listed)

    monkeypatch.setattr(subprocess, "run", run)
    assert memory.used_gpu("GPU-2") == megabytes


def test_tracked_records_hold_no_path_and_no_surprise() -> None:
    for path in record.RESULTS.glob("*.json"):
        record.read(path)
        assert not re.search(r'"/[\w.]+/', path.read_text()), f"{path.name} holds an absolute path"


def test_the_load_is_what_others_do_at_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([[100, 0, 50, 800, 10, 0, 0, 0], [130, 5, 65, 840, 20, 0, 0, 0]])
    monkeypatch.setattr(record, "_clock", lambda stat: next(times))
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr(record.Path, "is_file", lambda self: True)
    assert record.load(seconds=0) == pytest.approx(4 * 0.5)
