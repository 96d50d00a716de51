"""The ONNX Runtime CUDA session: the real ONNX Runtime, its CUDA provider and the GPU replaced by fakes."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from runtime import Enhancer, tiling
from runtime.artifact import locate
from runtime.backends import get_backend, onnxruntime_cuda
from runtime.backends.onnxruntime_cuda import PROVIDER, OrtCudaSession
from runtime.cuda.capture import recording
from runtime.errors import ArtifactError, BackendError, BackendUnavailableError, ClosedError, GpuLostError, InputError
from runtime.options import OpenOptions
from tests.runtime.conftest import double, make_info, write_artifact
from tests.support.fake_cuda import FakeCuda, on_device
from tests.support.fake_onnxruntime import FakeOrt
from tests.support.forked import forked

Images = NDArray[np.uint8]

CUDA = get_backend("onnxruntime-cuda")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    cuda = FakeCuda()
    monkeypatch.setattr(onnxruntime_cuda, "open_cuda", lambda: cuda)
    monkeypatch.setattr(onnxruntime_cuda, "driver_found", lambda: True)
    yield cuda
    gc.collect()
    assert cuda.leaks() == {}


@pytest.fixture
def ort(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeOrt:
    module = FakeOrt(cuda)
    monkeypatch.setitem(sys.modules, "onnxruntime", module)  # pyright: ignore[reportArgumentType]
    return module


@pytest.fixture
def session(ort: FakeOrt, artifacts: Path) -> Iterator[OrtCudaSession]:
    session = CUDA.open(artifacts / "double.onnx")
    yield session
    session.close()


def pictures(*shape: int, seed: int = 0) -> Images:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def test_pictures_of_any_size_are_enhanced(session: OrtCudaSession, cuda: FakeCuda) -> None:
    for shape in [(1, 33, 47), (3, 64, 80), (1, 16, 16)]:
        images = pictures(*shape)
        out = np.zeros_like(images)
        session.run(images, out)
        assert np.array_equal(out, double(images))
    assert cuda.calls.count("allocate") == 4, "memory is kept, and only grows"
    assert (session.backend, session.device) == ("onnxruntime-cuda", "cuda:0")


def test_the_provider_is_asked_for_full_fp32_on_our_stream(session: OrtCudaSession, ort: FakeOrt) -> None:
    assert ort.options["use_tf32"] == "0"
    assert ort.options["device_id"] == "0"
    assert int(ort.options["user_compute_stream"]) > 0
    assert ort.preloaded == 1


def test_pointers_are_handed_over_in_the_order_of_the_callers_stream(session: OrtCudaSession, cuda: FakeCuda) -> None:
    images, out, later = pictures(2, 32, 48), np.zeros((2, 32, 48, 3), np.uint8), np.zeros((2, 32, 48, 3), np.uint8)
    source = np.zeros_like(images)
    with cuda.using(1):
        stream = cuda.create_stream()
        cuda.copy_to_device(source.ctypes.data, images, stream)  # still pending when the session is called
    before = len(cuda.calls)
    session.run_device(on_device(source), on_device(out), stream)
    assert not {"synchronize", "copy_to_device", "copy_to_host"} & set(cuda.calls[before:])
    assert not out.any()
    with cuda.using(1):
        cuda.copy_on_device(later.ctypes.data, out.ctypes.data, out.nbytes, stream)
        cuda.synchronize(stream)
        cuda.destroy_stream(stream)
    assert np.array_equal(later, double(images))


def test_the_callers_stream_waits_for_what_a_failed_run_left(session: OrtCudaSession, ort: FakeOrt, cuda: FakeCuda) -> None:
    images, out = pictures(1, 32, 48), np.zeros((1, 32, 48, 3), np.uint8)
    ort.run_failure = RuntimeError("CUBLAS failure 3")
    before = len(cuda.calls)
    with pytest.raises(BackendError, match="CUBLAS failure 3"):
        session.run_device(on_device(images), on_device(out), 0)
    assert [name for name in cuda.calls[before:] if name in ("record", "wait")] == ["record", "wait"] * 2
    with cuda.using(1):
        cuda.synchronize(0)


@pytest.mark.parametrize("on_gpu", [False, True])
def test_a_run_over_which_the_gpu_is_lost_says_so(session: OrtCudaSession, ort: FakeOrt, cuda: FakeCuda, on_gpu: bool) -> None:
    """ONNX Runtime's own error is a run that failed, as many do."""
    images, out = pictures(1, 32, 48), np.zeros((1, 32, 48, 3), np.uint8)
    session.run(images, out)

    class LostError(RuntimeError):
        def __init__(self) -> None:
            cuda.lost = "CUDA_ERROR_ILLEGAL_ADDRESS"

    ort.run_failure = LostError  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(GpuLostError, match=r"CUDA_ERROR_ILLEGAL_ADDRESS; .* start another"):
        if on_gpu:
            session.run_device(on_device(images), on_device(out), 0)
        else:
            session.run(images, out)
    cuda.lost = None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_in_a_forked_child_a_session_says_so_and_frees_nothing(session: OrtCudaSession, cuda: FakeCuda) -> None:
    images = pictures(1, 32, 32)

    def child() -> Iterator[object]:
        before = list(cuda.calls)
        for call in (lambda: session.run(images, images), lambda: session.run_device(on_device(images), on_device(images), 0)):
            with pytest.raises(InputError, match="opened in another process"):
                call()
        session.close()
        yield cuda.calls == before

    assert forked(child)
    session.run(images, np.zeros_like(images))


def test_a_stream_that_the_caller_captures_is_refused(session: OrtCudaSession, cuda: FakeCuda) -> None:
    with cuda.using(1):
        stream = cuda.create_stream()
        cuda.begin_capture(stream)
    with pytest.raises(InputError, match="being captured into a CUDA graph"):
        session.run_device(on_device(pictures(1, 32, 48)), on_device(pictures(1, 32, 48)), stream)
    with cuda.using(1):
        cuda.destroy_graph(cuda.end_capture(stream))
        cuda.destroy_stream(stream)


def test_threads_take_turns(session: OrtCudaSession) -> None:
    def work(seed: int) -> bool:
        images = pictures(1, 32, 32 + seed % 3, seed=seed)
        out = np.zeros_like(images)
        session.run(images, out)
        return np.array_equal(out, double(images))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(40)))


def test_an_output_of_another_shape_is_refused(session: OrtCudaSession) -> None:
    with pytest.raises(InputError, match="found an output of"):
        session.run(pictures(1, 32, 32), pictures(1, 32, 33))


def test_closing_twice_is_fine_and_running_after_it_is_not(ort: FakeOrt, cuda: FakeCuda, artifacts: Path) -> None:
    session = CUDA.open(artifacts / "double.onnx", OpenOptions(threads=2))
    session.run(pictures(1, 32, 32), pictures(1, 32, 32))
    session.close()
    session.close()
    assert cuda.leaks() == {}
    with pytest.raises(ClosedError):
        session.run(pictures(1, 32, 32), pictures(1, 32, 32))
    with pytest.raises(ClosedError):
        session.run_device(on_device(pictures(1, 32, 32)), on_device(pictures(1, 32, 32)), 0)


def test_a_silent_fallback_to_the_cpu_is_an_error(ort: FakeOrt, artifacts: Path) -> None:
    ort.falls_back = True
    with pytest.raises(BackendUnavailableError, match=r"fell back to CPUExecutionProvider.*retinexrt\[gpu\]"):
        CUDA.open(artifacts / "double.onnx")


def test_a_provider_that_does_not_start_is_an_error_and_nothing_is_printed(
    ort: FakeOrt, cuda: FakeCuda, artifacts: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    ort.failure = RuntimeError("CUDA failure 35:\ndriver version is insufficient")
    with (
        caplog.at_level(logging.INFO, "retinexrt.onnxruntime"),
        pytest.raises(BackendUnavailableError, match=r"CUDA failure 35: driver version.*retinexrt\[gpu\]"),
    ):
        CUDA.open(artifacts / "double.onnx")
    assert capfd.readouterr() == ("", "")
    assert "Failed to load libcudnn.so.9" in caplog.text
    assert cuda.leaks() == {}


@pytest.mark.parametrize("beside", [False, True])
def test_libraries_of_cuda_are_found_where_another_folder_holds_them(
    ort: FakeOrt, artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    """As torch's, where ONNX Runtime was installed with --target: it looks beside itself alone."""
    for name in ("cudnn/lib/libcudnn.so.9", "cu13/lib/libcublas.so.13", "cu13/lib/libcublasLt.so.13", "cu13/lib/libother.so.1"):
        library = tmp_path / "site" / "nvidia" / name
        library.parent.mkdir(parents=True, exist_ok=True)
        library.touch()
    ort.__file__ = str(tmp_path / ("site" if beside else "target") / "onnxruntime" / "__init__.py")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    for module in [name for name in sys.modules if name.partition(".")[0] == "nvidia"]:
        monkeypatch.delitem(sys.modules, module)
    loaded: list[str] = []
    monkeypatch.setattr(onnxruntime_cuda.ctypes, "CDLL", lambda path, mode: loaded.append(Path(path).name))
    onnxruntime_cuda.preload(ort)
    assert loaded == ([] if beside else ["libcublasLt.so.13", "libcublas.so.13", "libcudnn.so.9"])


def test_it_works_in_the_primary_context_whichever_is_current(ort: FakeOrt, cuda: FakeCuda, artifacts: Path) -> None:
    cuda.current_by_application = 77
    session = CUDA.open(artifacts / "double.onnx")
    assert cuda.leaks()["contexts"] == 1
    images = pictures(1, 32, 32)
    out = np.zeros_like(images)
    session.run(images, out)
    assert np.array_equal(out, double(images))
    with pytest.raises(InputError, match="another CUDA context of GPU 0 is current"):
        session.run_device(on_device(images), on_device(out), 0)
    cuda.current_by_application = None
    session.close()


def test_closing_releases_all_even_where_cuda_fails(ort: FakeOrt, cuda: FakeCuda, artifacts: Path) -> None:
    session = CUDA.open(artifacts / "double.onnx")
    session.run(pictures(1, 32, 32), pictures(1, 32, 32))
    cuda.failing["synchronize"] = "CUDA_ERROR_ILLEGAL_ADDRESS"
    with pytest.raises(BackendError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
        session.close()
    assert cuda.leaks() == {}


def test_the_package_without_cuda_says_how_to_replace_it(
    cuda: FakeCuda, artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if PROVIDER in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has the CUDA provider")
    with pytest.raises(BackendUnavailableError, match="pip uninstall -y onnxruntime; pip install"):
        CUDA.open(artifacts / "double.onnx")
    assert not CUDA.probe().usable
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendUnavailableError, match="can't be imported"):
        CUDA.open(artifacts / "double.onnx")


def test_opening_and_closing_wait_until_no_graph_is_captured(ort: FakeOrt, cuda: FakeCuda, artifacts: Path) -> None:
    """The provider waits for the whole GPU then, which would spoil the capture."""
    sessions: list[OrtCudaSession] = []
    for work in (
        lambda: sessions.append(CUDA.open(artifacts / "double.onnx")),
        lambda: sessions.pop().close(),
    ):
        thread = threading.Thread(target=work)
        with recording() as undisturbed:
            assert undisturbed
            thread.start()
            thread.join(0.3)
            assert thread.is_alive()
        thread.join(60)
        assert not thread.is_alive()
    assert sessions == []


def test_a_damaged_graph_is_an_error_and_leaves_nothing(ort: FakeOrt, cuda: FakeCuda, tmp_path: Path) -> None:
    path = write_artifact(tmp_path / "double.onnx", make_info())
    path.write_bytes(path.read_bytes().replace(b"Transpose", b"Transpoze"))
    with pytest.raises(BackendError, match="ONNX Runtime can't open"):
        CUDA.open(path)
    assert cuda.leaks() == {}


def test_a_graph_for_tensors_is_refused(ort: FakeOrt, tmp_path: Path) -> None:
    info = make_info()
    path = write_artifact(tmp_path / "double.onnx", info)
    tensors = info.to_json().replace('"dtype": "uint8"', '"dtype": "fp_32"').encode()
    path.write_bytes(path.read_bytes().replace(info.to_json().encode(), tensors))
    with pytest.raises(ArtifactError, match="takes fp_32 tensors, not pictures"):
        CUDA.open(path)


def test_a_failing_run_is_an_error_and_the_next_one_works(session: OrtCudaSession, cuda: FakeCuda) -> None:
    cuda.failing["copy_to_host"] = "CUDA_ERROR_ILLEGAL_ADDRESS"
    images = pictures(1, 32, 32)
    with pytest.raises(BackendError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
        session.run(images, np.zeros_like(images))
    cuda.failing.clear()
    out = np.zeros_like(images)
    session.run(images, out)
    assert np.array_equal(out, double(images))


def test_the_probe_names_what_it_found(ort: FakeOrt, cuda: FakeCuda) -> None:
    probe = CUDA.probe()
    assert probe.usable
    assert probe.reason == f"onnxruntime {onnxruntime.__version__} on Fake GPU (8.9)"


def test_large_pictures_are_enhanced_in_parts(
    cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """`dawn` decides on the whole picture: its light comes from one half of the file, and the other enhances part by part."""
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 100 * 100)
    path = locate.onnx_file("dawn")
    image = np.random.default_rng(0).integers(0, 60, (97, 131, 3), dtype=np.uint8)
    with Enhancer(path, backend="onnxruntime", threads=1) as enhancer:
        expected = enhancer(image)
    ort: FakeOrt = request.getfixturevalue("ort")
    told: list[tuple[int, int]] = []
    with Enhancer(path, backend="onnxruntime-cuda") as enhancer:
        found = enhancer(image, progress=lambda done, total: told.append((done, total)))
        assert np.array_equal(enhancer(image), found)
        ort.run_failure = RuntimeError("illegal address")
        cuda.lost = "CUDA_ERROR_ILLEGAL_ADDRESS"
        with pytest.raises(GpuLostError):
            enhancer(image)
        ort.run_failure = cuda.lost = None
    assert np.array_equal(found, expected) and told[-1][0] == told[-1][1]


def test_halves_are_made_once_and_end_with_the_session(ort: FakeOrt) -> None:
    session = CUDA.open(locate.onnx_file("dawn"))
    parts = session.open_parts()
    assert parts is not None and session.open_parts() is parts
    session.close()
    with pytest.raises(ClosedError):
        parts.decide(np.zeros((1, 3, 8, 8), np.float32))
    with pytest.raises(ClosedError):
        session.open_parts()


def test_other_artifacts_have_no_halves(session: OrtCudaSession) -> None:
    assert session.open_parts() is None
