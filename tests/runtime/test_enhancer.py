"""The Enhancer's contract, on tiny artifacts and on both CPU backends."""

from __future__ import annotations

import pickle
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import ArtifactError, BackendUnavailableError, ClosedError, Enhancer, InputError, RetinexError, backends
from runtime.artifact import ArtifactInfo, TensorInfo
from runtime.images import DeviceImages, Images
from tests.runtime.conftest import double, make_info, write_artifact

Picture = NDArray[np.uint8]


@pytest.fixture(params=["onnxruntime", "openvino"])
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def enhancer(artifacts: Path, backend: str) -> Enhancer:
    return Enhancer(artifacts / "double.onnx", backend=backend, threads=1)


def test_a_picture_and_a_batch_come_back_in_their_shape(enhancer: Enhancer, dark: Picture) -> None:
    assert np.array_equal(enhancer(dark), double(dark))
    batch = np.stack([dark, dark // 2, dark // 3])
    assert np.array_equal(enhancer(batch), double(batch))
    assert enhancer(dark).flags.c_contiguous and enhancer(dark).flags.owndata


def test_it_says_what_it_is(enhancer: Enhancer, backend: str, artifacts: Path) -> None:
    assert enhancer.info.network == "double"
    assert enhancer.backend == backend and enhancer.device == "cpu"
    assert enhancer.source == str((artifacts / "double.onnx").resolve())
    assert backend in repr(enhancer)


def test_out_is_filled_and_returned(enhancer: Enhancer, dark: Picture) -> None:
    out = np.full_like(dark, 7)
    assert enhancer(dark, out=out) is out
    assert np.array_equal(out, double(dark))


def test_out_may_be_the_image_or_overlap_it(enhancer: Enhancer, dark: Picture) -> None:
    expected = double(dark)
    image = dark.copy()
    enhancer(image, out=image)
    assert np.array_equal(image, expected)
    memory = np.zeros((40, 47, 3), np.uint8)
    memory[:33] = dark
    enhancer(memory[:33], out=memory[7:])
    assert np.array_equal(memory[7:], expected)


def test_any_strides_come_in_and_go_out(enhancer: Enhancer, dark: Picture) -> None:
    turned = dark.swapaxes(0, 1)[::-1]
    out = np.zeros((94, 33, 3), np.uint8)[::2, ::-1]
    assert np.array_equal(enhancer(turned), double(turned))
    enhancer(turned, out=out)
    assert np.array_equal(out, double(turned))


def test_read_only_images_are_read(enhancer: Enhancer, dark: Picture) -> None:
    dark.flags.writeable = False
    assert np.array_equal(enhancer(dark), double(dark))


def test_bgr_goes_in_and_out_as_bgr(exported: Any, dark: Picture, backend: str) -> None:
    path = exported("msrnet") / "msrnet.onnx"
    rgb, bgr = Enhancer(path, backend=backend, threads=1), Enhancer(path, backend=backend, color="bgr", threads=1)
    expected = rgb(dark)
    assert not np.array_equal(expected, expected[..., ::-1])
    swapped = np.ascontiguousarray(dark[..., ::-1])
    for image in (swapped, dark[..., ::-1]):
        assert np.array_equal(bgr(image), expected[..., ::-1])
    out = np.empty_like(dark)
    bgr(swapped, out=out, strength=0.5)
    assert np.array_equal(out[..., ::-1], rgb(dark, strength=0.5))


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_nothing_of_a_frames_size_is_allocated(artifacts: Path, backend: str, color: Any) -> None:
    image = np.full((400, 600, 3), 20, np.uint8)
    out = np.empty_like(image)
    enhancer = Enhancer(artifacts / "double.onnx", backend=backend, color=color, threads=1)
    enhancer(image, out=out)
    tracemalloc.start()
    try:
        for _ in range(5):
            enhancer(image, out=out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < image.nbytes // 10
    assert out[0, 0, 0] == 40


def test_eight_threads_get_what_one_gets(artifacts: Path, backend: str) -> None:
    enhancer = Enhancer(artifacts / "blur.onnx", backend=backend, threads=1)
    random = np.random.default_rng(1)
    images = [random.integers(0, 120, (h, w, 3), dtype=np.uint8) for h, w in random.integers(16, 90, (64, 2))]
    serial = [enhancer(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            together = list(pool.map(enhancer, images))
            assert all(np.array_equal(one, other) for one, other in zip(serial, together, strict=True))


class CountingSession:
    """Remembers the shapes of its runs."""

    backend, precision = "fake", "fp32"

    def __init__(self, info: ArtifactInfo, device: str) -> None:
        self.info, self.device = info, device
        self.shapes: list[tuple[int, ...]] = []

    def run(self, images: Images, out: Images) -> None:
        self.shapes.append(images.shape)
        np.copyto(out, double(images))

    def run_device(self, images: DeviceImages, out: DeviceImages, stream: int) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize(("device", "runs"), [("cpu", [1, 1, 1]), ("cuda:0", [3])])
def test_a_picture_in_a_batch_is_the_picture_alone(
    artifacts: Path, dark: Picture, monkeypatch: pytest.MonkeyPatch, device: str, runs: list[int]
) -> None:
    """On a CPU, where some round a batch otherwise than its pictures and none is faster."""
    session = CountingSession(make_info(), device)
    monkeypatch.setattr(backends, "open_session", lambda *_: (session, artifacts / "double.onnx"))
    batch = np.stack([dark, dark // 2, dark // 3])
    assert np.array_equal(Enhancer("double")(batch), double(batch))
    assert [shape[0] for shape in session.shapes] == runs


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_what_the_gate_leaves_alone_is_not_enhanced(
    artifacts: Path, dark: Picture, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    session = CountingSession(make_info(), device)
    monkeypatch.setattr(backends, "open_session", lambda *_: (session, artifacts / "double.onnx"))
    bright = np.full_like(dark, 200)
    batch = np.stack([bright, dark // 9, bright])
    result = Enhancer("double")(batch, gate=True)
    assert session.shapes == [(1, 33, 47, 3)]
    assert np.array_equal(result, np.stack([bright, double(dark // 9), bright]))


class WaitingSession:
    """Returns from `run` only when two threads are in it."""

    backend, device, precision, gpu = "fake", "cpu", "fp32", None

    def __init__(self, info: ArtifactInfo) -> None:
        self.info = info
        self.barrier = threading.Barrier(2)

    def run(self, images: Images, out: Images) -> None:
        self.barrier.wait(timeout=60)
        out[:] = images

    def run_device(self, images: DeviceImages, out: DeviceImages, stream: int) -> None: ...

    def close(self) -> None: ...


def test_two_calls_are_in_the_backend_at_once(artifacts: Path, dark: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    session = WaitingSession(make_info())
    monkeypatch.setattr(backends, "open_session", lambda *_: (session, artifacts / "double.onnx"))
    enhancer = Enhancer("double")
    with ThreadPoolExecutor(2) as pool:
        assert all(np.array_equal(done, dark) for done in pool.map(enhancer, [dark, dark]))


def test_python_runs_while_the_backend_works(exported: Any, backend: str) -> None:
    """If the backend held the interpreter's lock, this thread would stand still as long as each call takes."""
    enhancer = Enhancer(exported("msrnet") / "msrnet.onnx", backend=backend, threads=1)
    image = np.full((200, 300, 3), 20, np.uint8)
    span: list[float] = []

    def call() -> None:
        start = time.monotonic()
        enhancer(image)
        span[:] = [start, time.monotonic()]

    shares: list[float] = []
    for _ in range(20):
        thread = threading.Thread(target=call)
        thread.start()
        stamps = [time.monotonic()]
        while thread.is_alive():
            stamps.append(time.monotonic())
        inside = [span[0], *(stamp for stamp in stamps if span[0] < stamp < span[1]), span[1]]
        shares.append(max(np.diff(inside)) / (span[1] - span[0]))
        if min(shares) < 0.5:
            break
    assert min(shares) < 0.5


def test_it_is_pickled_by_path(artifacts: Path, dark: Picture) -> None:
    enhancer = Enhancer(artifacts / "double.onnx", backend="onnxruntime", color="bgr", threads=1)
    again: Enhancer = pickle.loads(pickle.dumps(enhancer))
    assert (again.source, again.backend, again.color) == (enhancer.source, "onnxruntime", "bgr")
    assert np.array_equal(again(dark), double(dark))


def test_a_closed_enhancer_says_so(artifacts: Path, dark: Picture, backend: str) -> None:
    with Enhancer(artifacts / "double.onnx", backend=backend) as enhancer:
        session = enhancer._session  # pyright: ignore[reportPrivateUsage]
        enhancer(dark)
    enhancer.close()
    assert enhancer.info.network == "double" and "closed" in repr(enhancer)
    assert session is not None
    batch = dark[None]
    for call in (
        lambda: enhancer(dark),
        lambda: enhancer.enhance_device(1, (16, 16, 3), out=2**20),
        enhancer.__enter__,
        lambda: session.run(batch, batch.copy()),
    ):
        with pytest.raises(ClosedError, match="closed"):
            call()


BAD_IMAGES: dict[str, tuple[Any, str]] = {
    "floats out of range": (np.full((20, 20, 3), 30.0), r"floats lie in \[0, 1\], found 30 to 30; .*pass image / 255"),
    "negative floats": (np.full((20, 20, 3), -0.5), r"floats lie in \[0, 1\], found -0.5 to -0.5$"),
    "NaN": (np.full((20, 20, 3), np.nan), r"floats lie in \[0, 1\], found nan"),
    "16 bits": (np.zeros((20, 20, 3), np.uint16), "found uint16; of all 16 bits: pass image / 65535"),
    "signed": (np.zeros((20, 20, 3), np.int8), "uint8 or floats.*, found int8"),
    "bool": (np.zeros((20, 20, 3), bool), "uint8 or floats.*, found bool"),
    "2 channels": (np.zeros((20, 20, 2), np.uint8), r"H x W x 3.*\(20, 20, 2\)"),
    "5 channels": (np.zeros((20, 20, 5), np.uint8), r"H x W x 3.*\(20, 20, 5\)"),
    "channels first": (np.zeros((3, 20, 20), np.uint8), r"\(3, 20, 20\).*image.transpose\(1, 2, 0\)"),
    "rank 1": (np.zeros(20, np.uint8), r"H x W x 3.*\(20,\)"),
    "rank 5": (np.zeros((1, 1, 20, 20, 3), np.uint8), "H x W x 3"),
    "no pixels": (np.zeros((0, 20, 3), np.uint8), "empty"),
    "no pictures": (np.zeros((0, 20, 20, 3), np.uint8), "empty"),
    "15 high": (np.zeros((15, 20, 3), np.uint8), "15x20.*16x16 and up"),
    "15 wide": (np.zeros((20, 15, 3), np.uint8), "20x15.*16x16 and up"),
    "number": (3, "expected an array .*found int"),
    "list of numbers": ([[[1, 2, 3]]], "expected an array .*found int"),
    "absent path": ("night.jpg", r"night.jpg: No such file"),
    "path of a film": ("night.mp4", r"is a film.*retinexrt enhance night.mp4"),
    "None": (None, "expected an array .*found NoneType"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_images_are_refused(artifacts: Path, case: str) -> None:
    image, message = BAD_IMAGES[case]
    with pytest.raises(InputError, match=message):
        Enhancer(artifacts / "double.onnx", backend="onnxruntime")(image)


def _read_only(image: Picture) -> Picture:
    image.flags.writeable = False
    return image


BAD_OUTS: dict[str, tuple[Any, str]] = {
    "read-only": (_read_only(np.zeros((33, 47, 3), np.uint8)), "read-only"),
    "another shape": (np.zeros((33, 46, 3), np.uint8), r"\(33, 47, 3\), found ndarray of shape \(33, 46, 3\)"),
    "a batch for a picture": (np.zeros((1, 33, 47, 3), np.uint8), "shape"),
    "of floats": (np.zeros((33, 47, 3), np.float32), "out must be uint8"),
    "list": ([1], "found list"),
}


@pytest.mark.parametrize("case", BAD_OUTS)
def test_bad_outs_are_refused(artifacts: Path, dark: Picture, case: str) -> None:
    out, message = BAD_OUTS[case]
    with pytest.raises(InputError, match=message):
        Enhancer(artifacts / "double.onnx", backend="onnxruntime")(dark, out=out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": -0.1}, "strength lies between 0 and 1"),
        ({"strength": float("nan")}, "strength lies between 0 and 1"),
        ({"strength": "0.5"}, "strength lies between 0 and 1, found '0.5'"),
        ({"gate": "no"}, "gate is True or False, found 'no'"),
        ({"tile": "yes"}, "tile is"),
        ({"tile": ["off"]}, "tile is"),
        ({"progress": 3}, "progress is a function"),
    ],
)
def test_bad_options_are_refused(artifacts: Path, dark: Picture, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Enhancer(artifacts / "double.onnx", backend="onnxruntime")(dark, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color": "hsv"}, "color is"),
        ({"device": -1}, "device"),
        (
            {"device": "cpu"},
            r"number of a GPU, from 0 up \(a CPU is chosen by its backend, as backend=\"openvino\"\), found 'cpu'",
        ),
        ({"threads": 0}, "threads is at least 1, found 0"),
        ({"threads": 2.5}, "threads is at least 1, found 2.5"),
        ({"precision": "int8"}, 'precision is "fp32" or "bf16"'),
        ({"backend": 1}, "backend is"),
        ({"backend": "abacus"}, "known: auto"),
    ],
)
def test_bad_constructor_options_are_refused(artifacts: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Enhancer(artifacts / "double.onnx", **options)


def test_gpu_memory_is_refused_on_the_cpu(artifacts: Path) -> None:
    with pytest.raises(InputError, match="runs on the CPU"):
        Enhancer(artifacts / "double.onnx", backend="onnxruntime").enhance_device(4096, (20, 20, 3), out=2**20)


BAD_SOURCES: dict[str, tuple[str, bytes | None, str]] = {
    "absent": ("pdn.onnx", None, "does not exist.*retinexrt export pdn"),
    "absent plan": ("pdn_fp16.plan", None, "does not exist.*retinexrt build pdn"),
    "empty": ("empty.onnx", b"", "not an ONNX file"),
    "text": ("text.onnx", b"not a graph at all, but a line of text", "not an ONNX file|damaged"),
    "another kind": ("weights.pt", b"x", "neither the name of a network nor"),
}


@pytest.mark.parametrize("case", BAD_SOURCES)
def test_bad_files_are_refused(tmp_path: Path, case: str) -> None:
    name, content, message = BAD_SOURCES[case]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=message):
        Enhancer(tmp_path / name)


def test_a_truncated_artifact_is_refused_at_every_length(artifacts: Path, tmp_path: Path, backend: str) -> None:
    data = (artifacts / "blur.onnx").read_bytes()
    for length in range(0, len(data), 97):
        (tmp_path / "cut.onnx").write_bytes(data[:length])
        with pytest.raises(RetinexError):
            Enhancer(tmp_path / "cut.onnx", backend=backend)


def test_a_folder_is_no_artifact(tmp_path: Path) -> None:
    (tmp_path / "odd.onnx").mkdir()
    with pytest.raises(ArtifactError, match="is a folder"):
        Enhancer(tmp_path / "odd.onnx")


def test_a_tensor_graph_is_no_picture_graph(tmp_path: Path) -> None:
    path = write_artifact(tmp_path / "t.onnx", make_info(input=replace(make_info().input, dtype="float32")))
    with pytest.raises(ArtifactError, match="takes float32 tensors, not pictures"):
        Enhancer(path, backend="onnxruntime")


def test_a_fixed_size_is_named(tmp_path: Path, backend: str) -> None:
    fixed = TensorInfo("image", "uint8", (1, 32, 48, 3), "NHWC", 0.0, 255.0)
    path = write_artifact(tmp_path / "fixed.onnx", make_info(input=fixed, output=replace(fixed, name="enhanced"), halo=None))
    enhancer = Enhancer(path, backend=backend)
    image = np.full((32, 48, 3), 30, np.uint8)
    assert np.array_equal(enhancer(image), double(image))
    assert np.array_equal(enhancer(np.stack([image] * 3)), double(np.stack([image] * 3)))
    with pytest.raises(InputError, match=r"31x48.*32x48 and up"):
        enhancer(image[:31])
    with pytest.raises(InputError, match=r"at most 32x48 \(HxW\) fit"):
        enhancer(np.zeros((64, 64, 3), np.uint8))


def test_an_unusable_backend_is_no_silent_fallback(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runtime.backends.openvino_cpu as ov
    from runtime.backends.session import Probe

    monkeypatch.setattr(
        ov, "probe", lambda backend, device: Probe("openvino", False, "it is not there", "pip install openvino")
    )
    with pytest.raises(BackendUnavailableError, match="it is not there; install it with: pip install openvino"):
        Enhancer(artifacts / "double.onnx", backend="openvino")
    assert Enhancer(artifacts / "double.onnx").backend == "onnxruntime"
