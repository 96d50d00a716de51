"""Every GPU backend that is here, on a real GPU, against FP32 on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import Enhancer, backends, tiling
from runtime.artifact import locate
from runtime.backends.session import Session
from runtime.cuda import Cuda, open_cuda
from runtime.cuda.interop import allocate_like, as_device_images, current_stream
from runtime.cuda.staging import Staging
from runtime.errors import InputError
from runtime.images import DeviceImages
from tests.gpu.marks import needs_gpu
from tests.gpu.plans import build_plan

pytestmark = [pytest.mark.gpu, needs_gpu]

Images = NDArray[np.uint8]
GPU = ("tensorrt", "tensorrt_rtx", "onnxruntime-cuda")


@pytest.fixture(scope="module")
def reference(exported: Callable[[str], Path]) -> Iterator[Callable[[Images], Images]]:
    """PDN in FP32 on the CPU."""
    session = backends.get_backend("onnxruntime").open(exported("pdn") / "pdn.onnx")

    def run(images: Images) -> Images:
        out = np.empty_like(images)
        session.run(images, out)
        return out

    yield run
    session.close()


@pytest.fixture(scope="module", params=GPU)
def session(
    request: pytest.FixtureRequest, exported: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Session]:
    """PDN's FP16 artifact, opened; a plan is built first."""
    backend = backends.get_backend(request.param)
    if not (probe := backend.probe()).usable:
        pytest.skip(f"{request.param}: {probe.reason}")
    artifact = exported("pdn") / "pdn_fp16.onnx"
    if request.param != "onnxruntime-cuda":
        folder = tmp_path_factory.mktemp(request.param)
        artifact = build_plan(artifact, folder, request.param, "1x16x16", "1x400x600", "4x512x640")
    session = backend.open(artifact)
    yield session
    session.close()


def pictures(*shape: int, seed: int = 0) -> Images:
    return np.random.default_rng(seed).integers(0, 60, (*shape, 3), dtype=np.uint8)


def close_to(found: Images, expected: Images) -> bool:
    difference = np.abs(found.astype(int) - expected.astype(int))
    return float(np.quantile(difference, 0.999)) <= 1.0


@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 37, 53), (3, 64, 80), (1, 400, 600)])
def test_fp16_is_within_a_code_of_fp32(session: Session, reference: Callable[[Images], Images], shape: tuple[int, ...]) -> None:
    for seed in range(4):  # eager, captured, replayed
        images = pictures(*shape, seed=seed)
        out = np.empty_like(images)
        session.run(images, out)
        assert close_to(out, reference(images))


def test_threads(session: Session, reference: Callable[[Images], Images]) -> None:
    inputs = [pictures(1, 64, 64 + 8 * (seed % 3), seed=seed) for seed in range(24)]

    def work(images: Images) -> Images:
        out = np.empty_like(images)
        session.run(images, out)
        return out

    with ThreadPoolExecutor(6) as pool:
        for images, out in zip(inputs, pool.map(work, inputs), strict=True):
            assert close_to(out, reference(images))


@contextmanager
def callers_memory(count: int) -> Generator[tuple[Cuda, int, Staging]]:
    """What an application brings: a stream, and memory for pictures of so many bytes."""
    cuda = open_cuda()
    context = cuda.open_context(0)
    with cuda.using(context):
        stream = cuda.create_stream()
        staging = Staging(cuda, count)
        yield cuda, stream, staging
        staging.close()
        cuda.destroy_stream(stream)
    cuda.close_context(context)


def test_raw_pointers_on_the_callers_stream(session: Session, reference: Callable[[Images], Images]) -> None:
    """A batch at once, and its pictures one by one, whose addresses are multiples of nothing."""
    images = pictures(3, 37, 53)
    out, count = np.empty_like(images), images[:1].nbytes
    with callers_memory(images.nbytes) as (cuda, stream, staging):
        for parts in [(0, 3)], [(1, 1), (2, 1), (0, 1)]:
            for _ in range(4):
                staging.fill(images)
                staging.upload(images.nbytes, stream)
                for first, number in parts:
                    source, target = (
                        DeviceImages(memory + first * count, (number, 37, 53, 3))
                        for memory in (staging.device_in, staging.device_out)
                    )
                    session.run_device(source, target, stream)
                staging.download(images.nbytes, stream)
                cuda.synchronize(stream)
                staging.take(out)
                assert close_to(out, reference(images))


def test_a_stream_that_is_captured_is_refused(session: Session) -> None:
    shape = (1, 48, 64, 3)
    with callers_memory(48 * 64 * 3) as (cuda, stream, staging):
        source, target = DeviceImages(staging.device_in, shape), DeviceImages(staging.device_out, shape)
        cuda.begin_capture(stream)
        with pytest.raises(InputError, match="being captured"):
            session.run_device(source, target, stream)
        cuda.destroy_graph(cuda.end_capture(stream))
        session.run_device(source, target, stream)
        cuda.synchronize(stream)


def _torch_array(images: Images) -> tuple[Any, Callable[[Any], Images]]:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    return torch.from_numpy(images).cuda(), lambda array: array.cpu().numpy()


def _cupy_array(images: Images) -> tuple[Any, Callable[[Any], Images]]:
    cupy: Any = pytest.importorskip("cupy", reason="CuPy is not installed")
    return cupy.asarray(images), cupy.asnumpy


@pytest.mark.parametrize("make", [_torch_array, _cupy_array])
def test_arrays_of_other_libraries(
    session: Session,
    reference: Callable[[Images], Images],
    make: Callable[[Images], tuple[Any, Callable[[Any], Images]]],
) -> None:
    images = pictures(1, 80, 96)
    array, to_numpy = make(images)
    out = allocate_like(array)
    assert type(out) is type(array)
    stream = current_stream(array)
    assert session.gpu is not None
    session.run_device(as_device_images(array, stream, session.gpu), as_device_images(out, stream, session.gpu), stream)
    assert close_to(to_numpy(out), reference(images))


@pytest.mark.parametrize("name", GPU)
def test_large_pictures_are_enhanced_in_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """An ONNX file is cut in two; a plan comes with its halves, whose squares are at least 8 pixels wide."""
    backend = backends.get_backend(name)
    if not (probe := backend.probe()).usable:
        pytest.skip(f"{name}: {probe.reason}")
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 300 * 300)
    image, artifact = pictures(800, 1000), locate.onnx_file("dawn").with_stem("dawn_fp16")
    with Enhancer("dawn", backend="onnxruntime", threads=1) as enhancer:
        expected = enhancer(image)
    if name != "onnxruntime-cuda":
        artifact = build_plan(artifact, tmp_path, name, "1x16x16", "1x256x256", "1x400x600")
    with Enhancer(artifact, backend=name) as enhancer:
        found = enhancer(image)
    assert np.abs(found.astype(int) - expected).max() <= 3
