"""NVIDIA's tool, replaced by a script that answers as it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness import trtexec
from runtime.artifact import read_info
from tests.support.plans import write_plan

TIMES = """[
 {"startEnqMs": 1.0, "endEnqMs": 1.02, "h2dMs": 0.03, "computeMs": 0.25, "d2hMs": 0.03, "latencyMs": 0.31},
 {"startEnqMs": 2.0, "endEnqMs": 2.02, "h2dMs": 0.03, "computeMs": 0.25, "d2hMs": 0.03, "latencyMs": 0.31}
]"""


def _install(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    tool = folder / "bin" / "trtexec"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n{body}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")


def test_its_times_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = write_plan(tmp_path)
    save = f'for a; do case $a in --exportTimes=*) cat > "${{a#*=}}" <<END\n{TIMES}\nEND\nesac; done'
    _install(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/asked\n{save}')
    found = trtexec.measure(plan, read_info(plan), (1, 32, 48, 3))
    assert found is not None and found.computing is not None and found.latency is not None and found.enqueue is not None
    assert (found.computing.count, found.computing.p50, found.latency.p50) == (2, 0.25, 0.31)
    assert found.enqueue.p50 == pytest.approx(0.02)
    asked = (tmp_path / "asked").read_text().split()
    assert asked[:2] == [f"--loadEngine={plan}", "--shapes=image:1x32x48x3"]
    assert {"--useCudaGraph", "--warmUp=500", "--duration=3"} <= set(asked)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("echo '[11/26/2026-10:00:00] [E] Error Code 1: version tag does not match'; exit 1", "version tag does not match"),
        ("exit 3", "exit code 3"),
        ('for a; do case $a in --exportTimes=*) echo "[]" > "${a#*=}"; esac; done', "can't be read"),
    ],
)
def test_why_it_did_not_measure_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, problem: str) -> None:
    plan = write_plan(tmp_path)
    _install(tmp_path, monkeypatch, body)
    found = trtexec.measure(plan, read_info(plan), (1, 32, 48, 3))
    assert found is not None and found.computing is None and problem in found.problem


def test_it_is_asked_only_for_plans_of_tensorrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = write_plan(tmp_path)
    assert trtexec.measure(plan, read_info(plan), (1, 32, 48, 3)) is None
    _install(tmp_path, monkeypatch, "exit 1")
    rtx = write_plan(tmp_path, "rtx", flavour="tensorrt_rtx")
    assert trtexec.measure(rtx, read_info(rtx), (1, 32, 48, 3)) is None
