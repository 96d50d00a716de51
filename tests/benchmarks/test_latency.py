"""The latency command: what it compares, what it refuses, what it writes. Real runs are tiny; no test looks at a clock."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from benchmarks import latency
from benchmarks.harness import claims, contenders, lane, memory, record, timing, trtexec
from benchmarks.harness.contenders import KINDS, Contender
from benchmarks.latency import Method, Row, Table
from benchmarks.pages.latency import estimate
from runtime.backends import onnxruntime_cuda
from runtime.errors import BackendUnavailableError, InputError
from tests.runtime.conftest import make_info, write_artifact
from tests.support.fake_cuda import FakeCuda
from tests.support.fake_tensorrt import FakeTensorRT
from tests.support.plans import write_plan

Exported = Callable[[str], Path]
QUICK = Method(rounds=2, repeats=1, warm_up=0.01, pause=0.0, memory=False)


@pytest.fixture
def small_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.harness.roofline._MATRIX", 64)
    monkeypatch.setattr("benchmarks.harness.roofline._COPY", 2**16)


@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider'")
def test_a_bare_contender_on_the_gpu_never_runs_on_the_cpu(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime goes on without its CUDA provider where that can't be loaded, and says nothing."""
    if onnxruntime_cuda.PROVIDER in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has the CUDA provider")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [onnxruntime_cuda.PROVIDER, "CPUExecutionProvider"])
    contender = Contender("onnxruntime", str(exported("msr") / "msr.onnx"), 32, 48, device="cuda")
    with pytest.raises(BackendUnavailableError, match=r"CUDAExecutionProvider can't be loaded.*retinexrt\[gpu\]"):
        contenders.open_contender(contender)


@pytest.mark.parametrize("kind", ["retinexrt", "torch", "onnxruntime", "openvino"])
def test_every_contender_computes_the_same_pictures(exported: Exported, kind: str) -> None:
    if kind == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is not installed")
    path = exported("msr") / "msr.onnx"
    images = contenders.pictures_of(Contender(kind, str(path), 32, 48, batch=2))
    reference = contenders.open_contender(Contender("onnxruntime", str(path), 32, 48, batch=2)).enhance(images)
    contender = contenders.open_contender(Contender(kind, str(path), 32, 48, batch=2, threads=1))
    found = contender.enhance(images)
    assert contender.run().total > 0
    contender.close()
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - reference.astype(int)).max() <= 1


def test_an_unknown_contender_is_named() -> None:
    with pytest.raises(InputError, match=r"unknown contender 'tflite'; known: retinexrt, torch"):
        latency.make_contenders([Path("x.onnx")], ["tflite"], (32, 32), 1, None)


def test_other_contenders_run_the_first_engines_network() -> None:
    found = latency.make_contenders([Path("a.onnx"), Path("b.onnx")], ["torch"], (32, 48), 2, 1)
    assert [(one.kind, one.artifact) for one in found] == [
        ("retinexrt", "a.onnx"),
        ("retinexrt", "b.onnx"),
        ("torch", "a.onnx"),
    ]
    assert {(one.height, one.width, one.batch, one.threads, one.device) for one in found} == {(32, 48, 2, 1, "cpu")}
    own, other = latency.make_contenders([Path("a.onnx")], ["torch"], (32, 48), 1, None, "cuda")
    assert (own.backend, other.device) == ("onnxruntime-cuda", "cuda")


def test_precisions_are_not_mixed_unless_asked(exported: Exported) -> None:
    folder = exported("msr")
    both = latency.make_contenders([folder / "msr.onnx", folder / "msr_fp16.onnx"], [], (32, 32), 1, None)
    with pytest.raises(InputError, match=r"one precision, found fp32: msr\.onnx .*fp16: msr_fp16\.onnx.*--mix"):
        latency.check_comparable(both, mix=False)
    latency.check_comparable(both, mix=True)
    rounded = latency.make_contenders([folder / "msr.onnx"], ["openvino-bf16"], (32, 32), 1, None)
    with pytest.raises(InputError, match="bf16"):
        latency.check_comparable(rounded, mix=False)


def test_an_artifact_of_another_size_is_refused(tmp_path: Path) -> None:
    info = make_info()
    path = write_artifact(tmp_path / "fixed.onnx", replace(info, input=replace(info.input, shape=("N", 32, 48, 3))))
    latency.check_comparable([Contender("retinexrt", str(path), 32, 48)], mix=False)
    with pytest.raises(InputError, match="does not take 1x64x64"):
        latency.check_comparable([Contender("retinexrt", str(path), 64, 64)], mix=True)


def test_a_table_of_real_runs(exported: Exported, small_peaks: None, tmp_path: Path) -> None:
    folder = exported("msr")
    found = latency.make_contenders([folder / "msr.onnx"], ["onnxruntime", "torch"], (32, 48), 2, 1)
    table = latency.measure(found, QUICK)
    first, second, third = table.rows
    assert first.ratio is None
    assert second.ratio is not None and second.ratio.low <= second.ratio.value <= second.ratio.high
    assert third.kind == "torch"
    assert all(row.total.count == QUICK.rounds * QUICK.repeats for row in table.rows)
    assert first.throughput == pytest.approx(2e3 / first.total.p50)
    assert first.estimate_compute is not None and first.estimate_compute > 0
    assert first.computing is None
    text = latency.to_text(table)
    assert "2x32x48" in text and claims.CAVEAT in text
    found = record.make("latency", {}, [table], record.environment())
    assert record.read(record.write(found, "latency-msr", tmp_path)).results[0]["rows"][0]["artifact"]["file"] == "msr.onnx"


def _row(**changes: Any) -> Row:
    spread = timing.spread([1.0, 2.0, 3.0])
    row = Row(
        label="x", kind="retinexrt", network="blnet", artifact={}, precision="fp16", device="cuda:0", total=spread,
        to_device=spread, computing=spread, to_host=spread, throughput=500.0, warm_up=timing.WarmUp(10, 1.0, True), drift=0.0,
        host_mb=100.0, gpu_mb=50.0, ratio=None, estimate_compute=0.5, estimate_memory=1.0,
    )  # fmt: skip
    return replace(row, **changes)


def test_what_a_reader_must_know_stands_under_the_table() -> None:
    restless = _row(label="restless", drift=0.4)
    unwarmed = _row(label="unwarmed", warm_up=timing.WarmUp(3, 15.0, False))
    text = latency.to_text(Table(400, 600, 1, (_row(), restless, unwarmed), ()))
    assert "restless never settled (drift +40%)" in text
    assert "unwarmed never settled (not within 15 s of warm-up)" in text
    assert "x never settled" not in text
    assert "BLNet, claimed: 7 ms; hardware: not stated" in text
    assert "without waiting for the GPU" in text


def test_the_estimate_needs_the_precisions_peak() -> None:
    assert estimate(asdict(_row())) == 1.0
    assert estimate(asdict(_row(estimate_compute=None))) is None


def test_claims_have_sources() -> None:
    found = list(claims.CLAIMS)
    assert [claim.milliseconds for claim in found] == sorted(claim.milliseconds for claim in found)
    assert {claim.method: claim.milliseconds for claim in found}["BLNet"] == 7.0
    assert all(claim.source and claim.hardware and claim.resolution for claim in found)


def test_without_a_gpu_a_plan_gets_two_lines(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.harness.contenders.gpu_problem", lambda: "there is no NVIDIA driver here")
    monkeypatch.setattr("runtime.artifact.locate.find", lambda name: Path(name) if name == "pdn.onnx" else None)
    assert latency.main(["--engine", "pdn_fp16.plan"]) == 2
    missing, instead = capsys.readouterr().err.splitlines()
    assert missing == "pdn_fp16.plan needs an NVIDIA GPU: there is no NVIDIA driver here"
    assert instead == "what runs here: python benchmarks/latency.py --engine pdn.onnx"
    monkeypatch.setattr("runtime.artifact.locate.find", lambda name: None)
    assert latency.main(["--engine", "pdn_fp16.plan"]) == 2
    assert "retinexrt export pdn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine", "absent.onnx"], "absent.onnx does not exist"),
        (["--engine", "pdn.txt"], "pdn.txt"),
        (["--engine", "x.onnx", "--batch", "0"], "at least 1"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert latency.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_the_command(
    exported: Exported, small_peaks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.harness.record.RESULTS", tmp_path)
    path = str(exported("msr") / "msr.onnx")
    quick = ["--rounds", "2", "--repeats", "1", "--warm-up", "0.01", "--threads", "1"]
    assert latency.main(["--engine", path, "--size", "32x32", "48x32", *quick, "--json", "--record"]) == 0
    printed = json.loads(capsys.readouterr().out)
    written = json.loads((tmp_path / "latency-msr.json").read_text())
    assert printed == written
    assert [(table["height"], table["width"]) for table in written["results"]] == [(32, 32), (48, 32)]
    assert written["results"][0]["rows"][0]["host_mb"] > 20
    assert written["configuration"]["method"]["rounds"] == 2


def test_a_slow_contender_gets_fewer_rounds() -> None:
    opened: Any = replace(_opened(lambda: timing.Sample(1.0)), run=lambda: timing.timed(lambda: time.sleep(0.002))())
    method = Method(rounds=1000, repeats=4, warm_up=0.0, pause=0.0, seconds=0.1)
    (taken,) = latency.take([opened], method)
    assert 3 <= len(taken.turns) <= 10 and len(taken.samples) == 4 * len(taken.turns)


def _opened(run: Callable[[], timing.Sample]) -> contenders.OpenContender:
    info: Any = None
    return contenders.OpenContender(Contender("torch", "x", 1, 1), info, "x", "fp32", "cpu", run, lambda images: images)


def test_memory_of_a_process_that_fails_is_unknown(tmp_path: Path) -> None:
    assert memory.measure(Contender("retinexrt", str(tmp_path / "absent.onnx"), 32, 32)) is None


def test_every_contender_says_its_precision(exported: Exported) -> None:
    from export.onnx_files import load

    _, info = load(exported("msr") / "msr_fp16.onnx")
    found = {kind: Contender(kind, "x", 1, 1).precision(info) for kind in KINDS}
    assert found == {
        "retinexrt": "fp16", "torch": "fp32", "torch-compile": "fp32", "torch-graph": "fp32", "onnxruntime": "fp16",
        "openvino": "fp32",
        "openvino-bf16": "bf16", "retinexrt-bf16": "bf16",
    }  # fmt: skip
    assert Contender("torch", "x", 1, 1, device="cuda").precision(info) == "fp16"


@pytest.mark.gpu
def test_a_plan_on_a_gpu() -> None:
    from runtime.artifact import locate

    plan = locate.find("pdn_fp16.plan")
    if contenders.gpu_problem() or plan is None:
        pytest.skip("no GPU, or no plan built for it")
    table = latency.measure(latency.make_contenders([plan], ["torch"], (400, 600), 1, None, "cuda"), QUICK)
    row = table.rows[0]
    assert row.computing is not None and row.to_device is not None and row.to_host is not None
    assert row.total.p50 > row.computing.p50
    assert row.gpu_mb is None or row.gpu_mb >= 0


def test_a_missing_library_names_its_command(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "benchmarks.harness.run_openvino", raising=False)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendUnavailableError, match=r"retinexrt\[cpu\]"):
        contenders.open_contender(Contender("openvino", str(exported("msr") / "msr.onnx"), 32, 32))


def test_what_the_estimate_lacks_is_brought_by_the_command_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino")
    path = write_artifact(tmp_path / "double.onnx", make_info())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(latency.roofline, "peaks", lambda device: latency.roofline.Peaks("cpu", {"fp32": 1.0}, 1.0))
    quick = ["--size", "32x32", "--rounds", "1", "--repeats", "1", "--warm-up", "0.01", "--no-memory"]
    assert latency.main(["--engine", str(path), *quick]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("onnxruntime is missing") and "onnxruntime" in said.partition("retinexrt[")[2]


def _on_gpu(**changes: Any) -> latency.OnGpu:
    tenth = timing.spread([0.1])
    streams = (lane.Throughput(1, 4000.0, 350.0, 0.0876, 1980), lane.Throughput(2, 4100.0, held_back=("power cap",)))
    return replace(latency.OnGpu(tenth, tenth, streams, trtexec.Trtexec(computing=timing.spread([0.212]))), **changes)


def test_what_a_gpu_does_has_a_table_of_its_own() -> None:
    quick = _row(gpu=_on_gpu())
    slow = _row(label="launched", computing=timing.spread([0.12]), gpu=_on_gpu(trtexec=trtexec.Trtexec(problem="exit code 1")))
    text = latency.to_text(Table(400, 600, 1, (quick, slow, _row(label="cpu")), (), (), timing.spread([1900.0, 1980.0])))
    head = next(line for line in text.splitlines() if "on the GPU" in line)
    for column in ("latency", "enqueue", "trtexec", "pictures/s, 1 stream ", "pictures/s, 2 streams", "J/picture"):
        assert column in head
    assert "0.212" in text and "0.088" in text and "SM clock 1900 to 1980 MHz" in text
    assert "launched: the host enqueues hardly faster than the GPU computes" in text
    assert "x: the host enqueues" not in text
    assert "clocks were held back by power cap" in text
    assert "trtexec did not measure launched: exit code 1" in text


def test_on_a_gpu_samples_last_long_enough(tmp_path: Path) -> None:
    method = Method(rounds=3, repeats=2).on_gpu()
    assert (method.least_warm_up, method.least_samples, method.pause, method.streams) == (0.5, 3.0, 0.0, (1, 2, 4))
    short = replace(method, least_warm_up=0.02, least_samples=0.03)
    slow = replace(_opened(lambda: timing.Sample(1.0)), run=timing.timed(lambda: time.sleep(0.005)))
    quick = replace(slow, run=timing.timed(lambda: time.sleep(0.001)))
    taken = latency.take([slow, quick], short)
    assert all(its.warm_up.seconds >= 0.02 for its in taken)
    counts = [len(its.turns[0]) for its in taken]
    assert counts[0] == 2 and 5 <= counts[1] <= 10


def on_fakes(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """The fake CUDA, with the fake TensorRT on it."""
    cuda = FakeCuda()
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRT(cuda))
    for module in ("runtime.cuda", "runtime.backends.trt.session"):
        monkeypatch.setattr(f"{module}.open_cuda", lambda: cuda)
        monkeypatch.setattr(f"{module}.driver_found", lambda: True)
    return cuda


def test_a_plan_is_measured_on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole of it, on the fake TensorRT and the fake CUDA."""
    cuda = on_fakes(monkeypatch)
    monkeypatch.setattr(latency, "open_board", lambda uuid: None)
    monkeypatch.setattr(latency.roofline, "peaks", lambda device: None)
    method = replace(QUICK.on_gpu(), least_warm_up=0.01, least_samples=0.01, streaming=0.01)
    table = latency.measure(latency.make_contenders([write_plan(tmp_path)], [], (32, 48), 1, None, "cuda"), method)
    (row,) = table.rows
    assert row.computing is not None and row.gpu is not None
    assert row.gpu.latency.p50 == row.computing.p50 + 2 and [each.streams for each in row.gpu.streams] == [1, 2, 4]
    assert "on the GPU" in latency.to_text(replace(table, peaks=()))
    assert cuda.leaks() == {}


def test_trtexec_measures_what_runs_the_plan_and_no_rival(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rivals have the plan for their artifact, and another's figure in their row would be taken for theirs."""
    theirs = trtexec.Trtexec(problem="asked")
    monkeypatch.setattr(trtexec, "measure", lambda plan, info, shape: theirs)
    lanes: Any = object()
    sample = timing.Sample(1.0, 0.1, 0.2, 0.1, enqueue=0.1)
    taken = latency.Taken(timing.WarmUp(1, 1.0, True), [[sample]])
    for kind, wanted in (("retinexrt", theirs), ("torch-graph", None), ("onnxruntime", None)):
        opened = replace(_opened(lambda: sample), contender=Contender(kind, "x.plan", 1, 1), lanes=lanes)
        found = latency.measure_on_gpu(opened, taken, QUICK, None)
        assert found is not None and found.trtexec is wanted


def test_a_record_of_a_plan_has_its_layers_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = on_fakes(monkeypatch)
    monkeypatch.setattr("benchmarks.harness.layers.open_cuda", lambda: cuda)
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(latency, "measure", lambda contenders, method: Table(32, 48, 1, (), ()))
    assert latency.main(["--engine", str(write_plan(tmp_path)), "--size", "32x48", "--record", "latency-x"]) == 0
    found = record.read(tmp_path / "latency-x-layers-double_fp16.json")
    assert found.kind == "layers" and found.configuration == {"plan": "double_fp16.plan", "shape": [1, 32, 48, 3]}
    assert found.results["layers"] == [{"name": "load", "ms": 0.25}, {"name": "store", "ms": 0.5}]
    assert found.results["engine"]["Layers"] == ["load", "store"]
    assert cuda.leaks() == {}
