"""Timing on a GPU, on the fake CUDA: one protocol for every contender, and what it must not count."""

from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.harness import contenders, run_onnxruntime
from benchmarks.harness.board import State
from benchmarks.harness.contenders import Contender, OpenContender, open_contender
from benchmarks.harness.lane import Bound, Lane, Lanes, throughput
from runtime.backends import onnxruntime_cuda
from runtime.errors import BackendError, ClosedError, InputError
from runtime.images import Images
from tests.runtime.conftest import make_info, write_artifact
from tests.support.fake_cuda import FakeCuda, memory_at
from tests.support.fake_onnxruntime import FakeOrt
from tests.support.fake_tensorrt import FakeTensorRT
from tests.support.plans import write_plan

PICTURES = contenders.pictures_of(contenders.Contender("onnxruntime", "", 16, 24, batch=2))


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    cuda = FakeCuda()
    for module in ("runtime.cuda", "runtime.backends.onnxruntime_cuda", "runtime.backends.trt.session"):
        monkeypatch.setattr(f"{module}.open_cuda", lambda: cuda)
        monkeypatch.setattr(f"{module}.driver_found", lambda: True)
    yield cuda
    gc.collect()
    assert cuda.leaks() == {}


def negative(cuda: FakeCuda, images: Images, operations: int = 5) -> Any:
    """A network of so many operations, all on the stream that it is bound to."""

    def bind(source: int, target: int, stream: int) -> Bound:
        def enqueue() -> None:
            for _ in range(operations - 1):
                cuda.enqueue(stream, lambda: None)
            count = images.nbytes
            cuda.enqueue(stream, lambda: np.copyto(memory_at(target, count), 255 - memory_at(source, count)))

        return Bound(enqueue)

    return bind


def test_the_parts_are_the_gpus_whatever_keeps_it_busy_before(cuda: FakeCuda) -> None:
    lane = Lane(cuda, 0, PICTURES, negative(cuda, PICTURES))
    before = len(cuda.calls)
    found = lane.sample()
    assert (found.to_device, found.device, found.to_host, found.latency) == (1.0, 5.0, 1.0, 7.0)
    assert found.enqueue is not None and 0 < found.enqueue < found.total
    # One by itself; then some that keep the GPU busy, and one behind them, before the host waits again.
    calls = [name for name in cuda.calls[before:] if name in ("copy_to_device", "record", "synchronize")]
    assert calls[:2] == ["copy_to_device", "synchronize"]
    holding = calls[2 : calls.index("record")]
    assert holding and set(holding) == {"copy_to_device"}
    assert calls[2:].count("synchronize") == 1
    lane.close()
    lane.close()


def test_the_result_is_the_networks(cuda: FakeCuda) -> None:
    lane = Lane(cuda, 0, PICTURES, negative(cuda, PICTURES))
    assert np.array_equal(lane.enhance(PICTURES), 255 - PICTURES)
    with pytest.raises(InputError, match="bound to pictures"):
        lane.enhance(PICTURES[:1])
    lane.close()


def test_what_fails_half_way_leaves_nothing(cuda: FakeCuda) -> None:
    def bind(source: int, target: int, stream: int) -> Bound:
        raise BackendError("no")

    with pytest.raises(BackendError, match="no"):
        Lane(cuda, 0, PICTURES, bind)


def test_each_stream_has_one_run_under_way_and_one_behind(cuda: FakeCuda) -> None:
    lanes = [Lane(cuda, 0, PICTURES, negative(cuda, PICTURES)) for _ in range(2)]
    joules = itertools.count(100.0, 2.0)

    class OneBoard:
        def state(self) -> State:
            return State(1980, next(joules), ("power cap",))

    ticks = itertools.count()
    board: Any = OneBoard()
    most = 0

    def clock() -> float:
        nonlocal most
        most = max(most, *(cuda.pending(handle) for handle in cuda._streams))  # pyright: ignore[reportPrivateUsage]
        return next(ticks) / 10

    found = throughput(lanes, 2, 1.0, board, clock)
    # Ten rounds of two lanes, two pictures each.
    assert found.streams == 2 and found.pictures == pytest.approx(10 * 2 * 2 / 1.2, rel=0.2)
    assert found.joules == pytest.approx(4.0 / 40, rel=0.2) and found.watts == pytest.approx(4.0 / 1.2, rel=0.2)
    assert (found.sm_mhz, found.held_back) == (1980, ("power cap",))
    assert 0 < most <= 2 * 7
    assert throughput(lanes, 2, 0.5, None).joules is None
    for lane in lanes:
        lane.close()


def test_what_is_bound_ends_before_its_stream(cuda: FakeCuda) -> None:
    """ONNX Runtime's session uses the stream that it was given until its end."""
    ended: list[int] = []

    class Session:
        def run(self) -> None: ...

        def __del__(self) -> None:
            ended.append(cuda.leaks().get("streams", 0))

    lane = Lane(cuda, 0, PICTURES, lambda source, target, stream: Bound(Session().run))
    assert ended == []
    lane.close()
    assert ended == [1]


def test_what_takes_its_time_before_the_first_run_is_no_warm_up(cuda: FakeCuda) -> None:
    opened: list[Lane] = []

    def open_lane() -> Lane:
        opened.append(Lane(cuda, 0, PICTURES, negative(cuda, PICTURES)))
        return opened[-1]

    lanes = Lanes(open_lane)
    assert len(opened) == 1
    lanes.sample()
    assert lanes.first(3) == opened and len(opened) == 3
    lanes.close()
    with pytest.raises(ClosedError):
        lanes.sample()


def _check(opened: OpenContender, expected: Images) -> None:
    assert opened.lanes is not None and opened.device == "cuda:0"
    assert np.array_equal(opened.enhance(PICTURES[:1]), expected)
    sample = opened.run()
    assert sample.device is not None and sample.latency is not None and sample.enqueue is not None
    one, two = opened.lanes.first(2)
    assert one is opened.lanes.first(1)[0] and one is not two
    for lane in (one, two):
        assert np.array_equal(lane.enhance(PICTURES[:1]), expected)
    opened.close()


def test_a_plan_is_timed_with_an_enhancer_for_each_stream(
    cuda: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = FakeTensorRT(cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", module)  # pyright: ignore[reportArgumentType]
    opened = open_contender(Contender("retinexrt", str(write_plan(tmp_path)), 16, 24))
    _check(opened, 255 - PICTURES[:1])
    assert len(module.deserialised) == 2


@pytest.fixture
def ort(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeOrt:
    fake = FakeOrt(cuda)
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(run_onnxruntime, "ort", fake)
    monkeypatch.setattr(onnxruntime_cuda, "preload", lambda _: None)
    return fake


@pytest.fixture
def artifact(tmp_path: Path) -> str:
    return str(write_artifact(tmp_path / "double.onnx", make_info()))


def test_onnxruntime_is_timed_on_bound_memory_and_as_a_graph(ort: FakeOrt, artifact: str) -> None:
    contender = Contender("onnxruntime", artifact, 16, 24, device="cuda")
    opened = open_contender(contender)
    assert opened.label.endswith("CUDA graph")
    _check(opened, PICTURES[:1] * 2)
    assert ort.options["enable_cuda_graph"] == "1" and ort.options["use_tf32"] == "0"
    ort.graph_failure = RuntimeError("a node runs on the CPU")
    opened = open_contender(contender)
    assert not opened.label.endswith("CUDA graph")
    _check(opened, PICTURES[:1] * 2)
    assert ort.options["enable_cuda_graph"] == "0"


def test_an_onnx_file_is_timed_on_a_gpu(ort: FakeOrt, artifact: str) -> None:
    _check(open_contender(Contender("retinexrt", artifact, 16, 24, backend="onnxruntime-cuda")), PICTURES[:1] * 2)


def test_torch_computes_in_half_what_it_is_given() -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.harness.run_torch import Halved
    from train.networks import get_spec

    for name in ("dawn", "msrnet"):
        network = get_spec(name).build().eval()
        image = torch.rand(1, 3, 32, 48) * 0.2
        with torch.inference_mode():
            expected = network(image)
            found = Halved(network)(image)
        assert found.dtype == torch.float32 and float((found - expected).abs().max()) < 0.02
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float16}


def test_torch_is_bound_to_a_lanes_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the host's memory in place of a GPU's: what is copied where, and on which stream."""
    torch = pytest.importorskip("torch")
    from contextlib import contextmanager, nullcontext

    from benchmarks.harness import run_torch

    streams: list[int] = []

    @contextmanager
    def graph_of(graph: Any, stream: Any) -> Generator[None]:
        assert stream.cuda_stream == 77
        yield

    class Graph:
        replays = 0

        def replay(self) -> None:
            Graph.replays += 1

        def reset(self) -> None:
            pass

    def on_stream(stream: Any) -> Any:
        streams.append(stream.cuda_stream)
        return nullcontext()

    fake = SimpleNamespace(
        ExternalStream=lambda handle: SimpleNamespace(cuda_stream=handle, synchronize=lambda: None),
        stream=on_stream, CUDAGraph=Graph, graph=graph_of,
    )  # fmt: skip
    monkeypatch.setattr(run_torch.torch, "cuda", fake)
    memory = {1: torch.full((1, 2, 2, 3), 9, dtype=torch.uint8), 2: torch.zeros((1, 2, 2, 3), dtype=torch.uint8)}
    monkeypatch.setattr(run_torch.torch, "as_tensor", lambda view, device: memory[view.__cuda_array_interface__["data"][0]])

    def forward(images: Any) -> Any:
        return images + 1

    run_torch._bind(forward, False, (1, 2, 2, 3), 1, 2, 77).enqueue()  # pyright: ignore[reportPrivateUsage]
    assert int(memory[2].max()) == 10 and set(streams) == {77}
    run_torch._bind(forward, True, (1, 2, 2, 3), 1, 2, 77).enqueue()  # pyright: ignore[reportPrivateUsage]
    assert Graph.replays == 1
