"""GPU memory through the Enhancer, with a session and a CUDA that live in host memory."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import Enhancer, InputError, backends, tiling
from runtime.artifact.info import Parts
from runtime.cuda import Gpu
from runtime.images import DeviceImages, Images
from tests.runtime.conftest import double, make_info
from tests.support.fake_cuda import DeviceArray, FakeCuda, memory_at


class GpuSession:
    """Doubles "device" memory at once; remembers the streams."""

    backend, device, precision = "fake", "cuda:0", "fp32"

    def __init__(self) -> None:
        self.info = make_info()
        self.streams: list[int] = []
        self.cuda = FakeCuda()
        self.gpu: Gpu | None = Gpu(self.cuda, 0, self.cuda.open_context(0))

    def run(self, images: Images, out: Images) -> None:
        out[:] = double(images)

    def run_device(self, images: DeviceImages, out: DeviceImages, stream: int) -> None:
        self.streams.append(stream)
        count = int(np.prod(images.shape))
        memory_at(out.pointer, count)[:] = double(memory_at(images.pointer, count))

    def open_parts(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def session() -> GpuSession:
    return GpuSession()


@pytest.fixture
def open_enhancer(session: GpuSession, artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Enhancer]:
    monkeypatch.setattr(backends, "open_session", lambda *_: (session, artifacts / "double.onnx"))
    return lambda **options: Enhancer("double", **options)


def test_raw_pointers_go_to_the_session_on_the_callers_stream(
    open_enhancer: Callable[..., Enhancer], session: GpuSession, dark: NDArray[np.uint8]
) -> None:
    out = np.zeros_like(dark)
    result = open_enhancer().enhance_device(dark.ctypes.data, dark.shape, 77, out=out.ctypes.data)
    assert (result.pointer, result.shape, session.streams) == (out.ctypes.data, (1, 33, 47, 3), [77])
    assert np.array_equal(out, double(dark))


def test_without_out_memory_is_allocated_and_freed_with_the_result(
    open_enhancer: Callable[..., Enhancer], session: GpuSession, dark: NDArray[np.uint8]
) -> None:
    batch = np.stack([dark, dark // 2])
    before = session.cuda.leaks()
    result = open_enhancer().enhance_device(batch.ctypes.data, batch.shape)
    assert np.array_equal(memory_at(result.pointer, batch.size).reshape(batch.shape), double(batch))
    assert session.cuda.leaks() == {"memory": 1, "contexts": 2}
    del result
    gc.collect()
    assert session.cuda.leaks() == before


def test_for_a_stream_that_is_captured_no_memory_is_allocated(
    open_enhancer: Callable[..., Enhancer], session: GpuSession, dark: NDArray[np.uint8]
) -> None:
    """It would spoil the capture."""
    cuda = session.cuda
    with cuda.using(cuda.open_context(0)):
        stream = cuda.create_stream()
        cuda.begin_capture(stream)
        with pytest.raises(InputError, match="being captured"):
            open_enhancer().enhance_device(dark.ctypes.data, dark.shape, stream)
        cuda.destroy_graph(cuda.end_capture(stream))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((20, 20), "expected a shape"),
        ((20, 20, 4), "expected a shape"),
        ((0, 20, 3), "expected a shape"),
        ((15, 20, 3), "1x15x20x3 is outside of 1x16x16 to anyxanyxany"),
    ],
)
def test_bad_shapes_are_refused(open_enhancer: Callable[..., Enhancer], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_enhancer().enhance_device(4096, shape, out=2**30)


def test_overlap_and_colour_are_refused(open_enhancer: Callable[..., Enhancer]) -> None:
    with pytest.raises(InputError, match="out overlaps the image"):
        open_enhancer().enhance_device(4096, (20, 20, 3), out=4097)
    with pytest.raises(InputError, match="GPU memory is RGB"):
        open_enhancer(color="bgr").enhance_device(4096, (20, 20, 3), out=2**30)


def test_null_pointers_are_refused(
    open_enhancer: Callable[..., Enhancer], session: GpuSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "run_device", lambda images, out, stream: session.streams.append(stream))
    for pointer, out, message in ((0, 4096, "the image is a null pointer"), (0, None, "the image"), (4096, 0, "out is a null")):
        with pytest.raises(InputError, match=message):
            open_enhancer().enhance_device(pointer, (20, 20, 3), out=out)
    assert not session.streams


def test_arrays_on_the_gpu_must_lie_apart(
    open_enhancer: Callable[..., Enhancer], session: GpuSession, dark: NDArray[np.uint8]
) -> None:
    memory = np.concatenate([dark, dark])
    first, shifted, second = (DeviceArray(memory[row : row + 33]) for row in (0, 32, 33))
    for out in (first, shifted):
        with pytest.raises(InputError, match="out overlaps the image"):
            open_enhancer()(first, out=out)
    assert not session.streams
    assert open_enhancer()(first, out=second) is second


def test_memory_is_bounded_wherever_no_plan_bounds_it(
    open_enhancer: Callable[..., Enhancer], session: GpuSession, dark: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ONNX file on a GPU: tiles and batches as on the CPU."""
    seen: list[tuple[int, ...]] = []

    def run(images: Images, out: Images) -> None:
        seen.append(images.shape)
        out[:] = double(images)

    monkeypatch.setattr(session, "run", run)
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 2 * dark.shape[0] * dark.shape[1])
    batch = np.stack([dark] * 5)
    assert np.array_equal(open_enhancer()(batch), double(batch))
    assert [shape[0] for shape in seen] == [2, 2, 1]
    large = np.tile(dark, (2, 2, 1))
    with pytest.raises(InputError, match=r"at most 3,102 pixels fit.*dawn"):
        session.info = make_info(halo=None, contract=())
        open_enhancer()(large)
    session.info = make_info(halo=None, contract=(), parts=Parts("overview", "side", ("light",), 250, 75))
    with pytest.raises(InputError, match=r"has no halves for large ones.*--max 1x66x94, or open double\.onnx"):
        open_enhancer()(large)
    seen.clear()
    monkeypatch.setattr(tiling, "_CORE", 32)
    session.info = make_info()
    assert np.array_equal(open_enhancer()(large), double(large))
    assert len(seen) > 3


def test_arrays_of_other_libraries_stay_where_they_are(open_enhancer: Callable[..., Enhancer], dark: NDArray[np.uint8]) -> None:
    source, target = DeviceArray(dark.copy()), DeviceArray(np.zeros_like(dark))
    assert open_enhancer()(source, out=target) is target
    pointer = target.__cuda_array_interface__["data"][0]
    assert np.array_equal(memory_at(pointer, dark.size).reshape(dark.shape), double(dark))


def test_what_cannot_be_done_with_them_is_said(open_enhancer: Callable[..., Enhancer], dark: NDArray[np.uint8]) -> None:
    source = DeviceArray(dark.copy())
    cases: list[tuple[dict[str, Any], str]] = [
        ({"strength": 0.5}, "not on GPU memory"),
        ({"gate": True}, "not on GPU memory"),
        ({}, "pass an array for the result as out="),
        ({"out": DeviceArray(np.zeros((16, 16, 3), np.uint8))}, "out must have the image's shape"),
    ]
    for options, message in cases:
        with pytest.raises(InputError, match=message):
            open_enhancer()(source, **options)


def test_numpy_on_a_gpu_session_goes_through_its_staging(
    open_enhancer: Callable[..., Enhancer], dark: NDArray[np.uint8]
) -> None:
    assert np.array_equal(open_enhancer()(dark), double(dark))
