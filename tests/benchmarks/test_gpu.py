"""The script for GPU machines: every step by itself, the budget kept, the words of what fails recorded."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu, gpu_step
from benchmarks.gpu import Step, run, run_all, steps
from benchmarks.harness import contenders, record
from benchmarks.harness.contenders import in_half
from benchmarks.harness.timing import Sample
from benchmarks.latency import Method
from benchmarks.pictures import parity_set
from runtime.artifact import locate
from runtime.errors import InputError
from train.networks import get_spec
from train.networks.registry import NETWORKS


def python(name: str, code: str, limit: float = 60, **more: object) -> Step:
    return Step(name, (sys.executable, "-c", code), limit, **more)  # pyright: ignore[reportArgumentType]


def test_a_step_that_works_leaves_its_result(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    code = f"open({str(result)!r}, 'w').write('{{\"sum\": 3}}')"
    outcome = run(python("sum", code, result=result), 60)
    assert (outcome.status, outcome.result, outcome.words) == ("ok", {"sum": 3}, ())


def test_a_step_that_fails_leaves_its_words() -> None:
    code = "import sys, pathlib; print('one'); sys.exit(f'\\x1b[31mno tensorrt in {pathlib.Path.home()}/lib\\x1b[0m')"
    outcome = run(python("fails", code), 60)
    assert (outcome.status, outcome.words) == ("failed", ("one", "no tensorrt in lib"))


def test_a_crash_is_an_outcome() -> None:
    assert run(python("crash", "import os; os.abort()"), 60).status == "failed"


def test_a_hang_is_killed_with_its_children() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    started = time.monotonic()
    outcome = run(python("hang", code, limit=5), 60)
    assert outcome.status == "timed out"
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_step_ends_with_whoever_wanted_it(how: signal.Signals, tmp_path: Path) -> None:
    """Else it lives on, on the GPU, and disturbs what comes next."""
    mark = tmp_path / "running"
    step = f"import os, pathlib, time; pathlib.Path({str(mark)!r}).write_text(str(os.getpid())); time.sleep(600)"
    code = (
        "import signal, sys; from benchmarks import gpu; signal.signal(signal.SIGTERM, lambda *_: sys.exit(1));"
        f"gpu.run(gpu.Step('x', (sys.executable, '-c', {step!r}), 600), 600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=record.ROOT)
    assert _within(60, lambda: mark.is_file() and mark.read_text())
    process.send_signal(how)
    process.wait(60)
    assert _within(20, lambda: not _alive(int(mark.read_text())))


def _within(seconds: float, condition: Callable[[], object]) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _alive(process: int) -> bool:
    """Zombies, whose parent has yet to ask, are not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_of_failing_tests_every_traceback_is_kept() -> None:
    (tests,) = (step for step in steps((), "400x600", Path()) if step.name == "tests")
    outcome = run(replace(tests, command=(sys.executable, "-c", "for i in range(300): print(i)\nraise SystemExit(1)")), 60)
    assert len(outcome.words) == 300


@pytest.mark.parametrize("there", [True, False])
def test_the_cuda_layer_is_checked_by_nvidias_memory_checker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    checker = tmp_path / "compute-sanitizer"
    if there:
        checker.write_text("#!/bin/sh\n")
        checker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {step.name: step.command for step in steps((), "400x600", tmp_path)}
    assert list(found) == ["tests", *["memory check"] * there]
    if there:
        assert found["memory check"][0] == str(checker) and found["memory check"][-1] == "tests/gpu/test_cuda.py"


def test_what_is_shipped_is_not_exported_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_ENGINES", tmp_path)
    names = [step.name for step in steps(("pdn", "blnet"), "400x600", tmp_path)]
    assert "pdn: export" not in names and "blnet: export" in names


def test_what_takes_longest_comes_last(tmp_path: Path) -> None:
    names = [step.name for step in steps(("pdn", "msr"), "400x600", tmp_path)]
    assert names.index("msr: onnxruntime-cuda") < names.index("pdn: torch") < names.index("pdn: torch-compile")
    assert names.index("msr: torch") < names.index("pdn: torch-compile")


def test_a_data_folder_without_photographs_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no photographs: expected LOL"):
        parity_set.photographs(3, (100, 100), tmp_path)


def test_without_time_nothing_is_started() -> None:
    assert run(python("late", "raise SystemExit(1)"), 1).status == "no time left"


def test_a_failure_stops_what_needs_it_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    planned = [
        python("build", "raise SystemExit('no GPU')"),
        python("run", "pass", needs=("build",)),
        python("run again", "pass", needs=("run",)),
        python("other", "pass"),
    ]
    saved: list[int] = []
    outcomes = run_all(planned, 5, lambda outcomes: saved.append(len(outcomes)))
    assert saved == [1, 2, 3, 4]
    assert [outcome.status for outcome in outcomes] == ["failed", "needs another step", "needs another step", "ok"]
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4
    assert printed[0].endswith("build: no GPU")


def test_every_network_and_contender_is_planned(tmp_path: Path) -> None:
    assert set(gpu.NETWORKS) == set(NETWORKS) and set(gpu.NETWORKS[-2:]) == {"dsn", "dsn-reverse"}  # a short budget
    planned = list(steps(gpu.NETWORKS, "400x600", tmp_path))
    names = [step.name for step in planned]
    assert len(set(names)) == len(names)
    for network in gpu.NETWORKS:
        for what in ("reference", "build with tensorrt", "build with tensorrt_rtx", *gpu_step.BACKENDS, *gpu_step.TORCH):
            assert f"{network}: {what}" in names
    known = set(names)
    assert all(set(step.needs) <= known for step in planned)
    assert len({step.result for step in planned if step.result}) == sum(step.result is not None for step in planned)


def test_of_a_flavour_that_cannot_run_here_one_plan_is_tried(tmp_path: Path) -> None:
    names = [step.name for step in steps(("pdn", "msr"), "400x600", tmp_path, ["tensorrt"])]
    assert {"pdn: build with tensorrt_rtx", "pdn: TensorRT-RTX's own words", "msr: build with tensorrt"} <= set(names)
    assert not any("rtx" in name.lower() and name.startswith("msr") for name in names)


def test_torch_computes_in_fp32_what_fp16_cannot_hold() -> None:
    assert [name for name in gpu.NETWORKS if not in_half(get_spec(name))] == ["msr", "msrcr"]


def test_a_size_without_photographs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.delenv("RETINEXRT_DATA", raising=False)
    command = ["reference", "--result", str(tmp_path / "r.json"), "--network", "msr", "--work", str(tmp_path)]
    assert gpu_step.main([*command, "--artifact", str(locate.onnx_file("msr")), "--size", "3000x4000"]) == 2
    assert "too small for 3000x4000" in capsys.readouterr().err


def test_every_planned_command_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps' own command lines parse, without running them."""
    seen: list[str] = []

    def note(kind: str) -> Callable[..., dict[str, str]]:
        def take(*arguments: object) -> dict[str, str]:
            seen.append(kind)
            return {}

        return take

    for kind in ("reference", "measure", "words"):
        monkeypatch.setattr(gpu_step, kind, note(kind))
    for step in steps(("pdn",), "400x600", tmp_path):
        if step.command[1:3] == ("-m", "benchmarks.gpu_step"):
            assert gpu_step.main(step.command[3:]) == 0
            assert step.result is not None and json.loads(step.result.read_text()) == {}
    assert sorted(set(seen)) == ["measure", "reference", "words"]


def test_the_record_holds_every_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "driver_found", lambda: True)
    monkeypatch.setattr(
        gpu, "steps", lambda *_: [python("tests", "print('3 passed')"), python("pdn: x", "raise SystemExit('words')")]
    )
    assert gpu.main(["--networks", "pdn", "--minutes", "2", "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("gpu-*.json")
    found = record.read(path)
    assert found.kind == "gpu"
    assert [(entry["name"], entry["status"], entry["words"]) for entry in found.results] == [
        ("tests", "ok", ["3 passed"]),
        ("pdn: x", "failed", ["words"]),
    ]


def test_failing_tests_are_an_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "driver_found", lambda: True)
    monkeypatch.setattr(gpu, "steps", lambda *_: [python("tests", "raise SystemExit(1)")])
    assert gpu.main(["--out", str(tmp_path)]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--networks", "pdn,nope"], "unknown network 'nope'"),
        ([], "no NVIDIA driver"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "driver_found", lambda: False)
    assert gpu.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_a_session_is_compared_and_timed(
    exported: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The measuring itself, on the CPU's FP16 graph."""
    small = parity_set.default_cases("msrnet", size=(33, 47), count=1)
    monkeypatch.setattr(parity_set, "default_cases", lambda name: small)
    monkeypatch.setattr(gpu_step, "METHOD", Method(rounds=3, repeats=2, warm_up=0.0, pause=0.0, memory=False))
    folder = exported("msrnet")
    reference = gpu_step.reference("msrnet", folder / "msrnet.onnx", tmp_path, (48, 64))
    assert (reference["backend"], reference["cases"]) == ("onnxruntime", len(small) + 1)
    asked: list[contenders.Contender] = []

    def on_the_cpu(contender: contenders.Contender) -> contenders.OpenContender:
        asked.append(contender)
        opened = contenders.open_contender(replace(contender, backend="onnxruntime"))

        def timed() -> Sample:
            logging.getLogger("retinexrt.tensorrt").warning("no CUDA graph for %s", (1, 48, 64, 3))
            return Sample(2.0, 0.25, 1.0, 0.5)

        return replace(opened, run=timed)

    monkeypatch.setattr(gpu_step, "open_contender", on_the_cpu)
    found = gpu_step.measure("msrnet", "tensorrt", folder / "msrnet_fp16.onnx", tmp_path, (48, 64))
    assert [(one.kind, one.backend, one.device) for one in asked] == [("retinexrt", "tensorrt", "cuda")]
    assert found["row"]["computing"]["p50"] == 1.0 and found["row"]["total"]["p50"] == 2.0
    assert found["row"]["total"]["count"] == 6 and found["row"]["estimate_compute"] is None
    assert found["warnings"] == ["WARNING: no CUDA graph for (1, 48, 64, 3)"]
    assert set(found["parity"]) == {"photograph", "hard"}
    assert found["parity"]["photograph"]["p999_codes"] <= 1
