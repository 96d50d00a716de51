"""OpenVINO's session: which model runs, in which precision, and what is left when it is closed under way."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from runtime import ArtifactError, BackendError, BackendUnavailableError, ClosedError, Enhancer, InputError, tiling
from runtime.artifact import CpuPrecision, locate
from runtime.backends import get_backend, openvino_cpu, specialisation
from runtime.backends.openvino_cpu import OvSession
from runtime.backends.specialisation import SpecialisationPolicy
from runtime.options import OpenOptions
from tests.runtime.conftest import double
from tests.support.files import asking_for_bf16

openvino = pytest.importorskip("openvino")

SHIPPED = Path(openvino_cpu.__file__).parents[1] / "models"
needs_bf16 = pytest.mark.skipif(
    "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"), reason="this CPU has no bfloat16"
)


def opened(path: Path, threads: int | None, precision: CpuPrecision | None = None) -> OvSession:
    return OvSession(get_backend("openvino"), path, OpenOptions(threads=threads, precision=precision))


@pytest.fixture
def session(artifacts: Path) -> OvSession:
    return opened(artifacts / "double.onnx", 1)


def enhance(session: OvSession, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    out = np.empty_like(images)
    session.run(images, out)
    return out


def compiled(session: OvSession) -> list[tuple[int, ...]]:
    """The shapes that have a model of their own, the longest unused first."""
    return list(session._fixed)  # pyright: ignore[reportPrivateUsage]


def test_a_shape_gets_a_model_of_its_own_when_it_keeps_coming(session: OvSession, dark: NDArray[np.uint8]) -> None:
    small, large = dark[None, :20, :24].copy(), dark[None, :31, :33].copy()
    for images in (small, large, small, large, large):
        assert np.array_equal(enhance(session, images), double(images))
    assert not compiled(session)
    assert np.array_equal(enhance(session, large), double(large))
    assert compiled(session) == [large.shape]
    for images in (small, large, small, large, small, small):  # never three in a row, whatever already has a model
        assert np.array_equal(enhance(session, images), double(images))
    assert compiled(session) == [large.shape]
    enhance(session, small)
    assert compiled(session) == [large.shape, small.shape]


def test_models_of_one_shape_are_kept_for_so_many_pixels(
    session: OvSession, dark: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(specialisation, "KEPT", 800)
    shapes: list[tuple[int, ...]] = []
    for side in (16, 17, 18, 40):
        images = dark[None, :side, :side].copy()
        shapes.append(images.shape)
        for _ in range(4):
            assert np.array_equal(enhance(session, images), double(images))
    # The first went when the third came; the last is too large to be kept at all.
    assert compiled(session) == shapes[1:3]


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.onnx") if not path.stem.endswith("_fp16")))
def test_a_picture_comes_out_in_one_way(name: str, dark: NDArray[np.uint8]) -> None:
    """A model of one shape gives the bytes of the one for all; where it might not, it is there from the first run on."""
    session = opened(SHIPPED / f"{name}.onnx", None, "fp32")
    images = dark[None].copy()
    before = enhance(session, images)
    logarithms = any(node.op_type == "Log" for node in onnx.load(SHIPPED / f"{name}.onnx").graph.node)
    assert compiled(session) == ([images.shape] if logarithms else [])
    for _ in range(3):
        assert np.array_equal(enhance(session, images), before)
    assert compiled(session) == [images.shape]


@needs_bf16
def test_bfloat16_is_asked_for_and_never_the_same_picture_twice_differently(dark: NDArray[np.uint8]) -> None:
    images = dark[None].copy()
    exact = enhance(opened(SHIPPED / "pdn.onnx", None), images)
    session = opened(SHIPPED / "pdn.onnx", None, "bf16")
    assert session.precision == "bf16"
    results = [enhance(session, images) for _ in range(4)]
    assert all(np.array_equal(result, results[0]) for result in results)
    assert compiled(session) == [images.shape]
    difference = np.abs(results[0].astype(int) - exact)
    assert difference.max() > 0 and difference.mean() < 1.0


def test_bfloat16_is_refused_where_it_cannot_be_had(artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(openvino.Core):
        def get_property(self, *_: Any) -> list[str]:
            return ["FP32"]

    monkeypatch.setattr(openvino, "Core", Plain)
    assert opened(asking_for_bf16(SHIPPED / "pdn.onnx", tmp_path), None).precision == "fp32"
    with pytest.raises(BackendUnavailableError, match="no bfloat16"):
        opened(artifacts / "double.onnx", None, "bf16")


def test_only_openvino_has_the_choice(artifacts: Path) -> None:
    path = artifacts / "double.onnx"
    with Enhancer(path, precision="fp32") as enhancer:
        assert (enhancer.backend, enhancer.precision) == ("openvino", "fp32")
    with pytest.raises(BackendUnavailableError, match="takes no other"):
        Enhancer(path, backend="onnxruntime", precision="bf16")
    with pytest.raises(InputError, match="fp16"):
        Enhancer(path, precision="fp16")  # pyright: ignore[reportArgumentType]


def test_a_file_that_openvino_refuses_is_an_artifact_error(artifacts: Path, tmp_path: Path) -> None:
    content = bytearray((artifacts / "double.onnx").read_bytes())
    at = content.index(b"Transpose")
    content[at : at + 9] = b"Transpoze"
    (tmp_path / "double.onnx").write_bytes(content)
    with pytest.raises(ArtifactError, match="OpenVINO cannot load"):
        opened(tmp_path / "double.onnx", 1)


def test_a_model_that_cannot_be_compiled_for_a_shape_fails_the_run(
    session: OvSession, dark: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def compile_model(self, *_: Any) -> Any:
            raise RuntimeError("somewhere inside\nno memory")

    images = dark[None].copy()
    for _ in range(2):
        enhance(session, images)
    monkeypatch.setattr(session, "_core", Full())
    with pytest.raises(BackendError, match=r"failed on \(1, .*: no memory"):
        enhance(session, images)


class SlowCore:
    """Compiles when it is let."""

    def __init__(self, core: Any) -> None:
        self._core = core
        self.begun, self.let = threading.Event(), threading.Event()
        self.compiled = 0

    def compile_model(self, *arguments: Any) -> Any:
        self.begun.set()
        assert self.let.wait(60)
        self.compiled += 1
        return self._core.compile_model(*arguments)


@pytest.fixture
def slow(session: OvSession, monkeypatch: pytest.MonkeyPatch) -> SlowCore:
    core = SlowCore(session._core)  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(session, "_core", core)
    return core


def test_others_run_while_a_model_is_made(session: OvSession, slow: SlowCore, dark: NDArray[np.uint8]) -> None:
    images, other = dark[None].copy(), dark[None, :20, :24].copy()
    for _ in range(2):
        enhance(session, images)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(enhance, session, images)
        assert slow.begun.wait(60)
        for _ in range(4):  # also for a shape whose turn it would be
            assert np.array_equal(enhance(session, other), double(other))
        assert np.array_equal(enhance(session, images), double(images))
        assert not made.done() and not compiled(session)
        slow.let.set()
        assert np.array_equal(made.result(60), double(images))
    assert compiled(session) == [images.shape] and slow.compiled == 1


def test_without_a_model_for_all_only_new_shapes_wait(
    session: OvSession, slow: SlowCore, dark: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in bfloat16; both threads that want the new shape get the same model."""
    monkeypatch.setattr(session, "_any", None)
    monkeypatch.setattr(session, "_policy", SpecialisationPolicy(fixed=False, identical=False))
    known, new = dark[None, :20, :24].copy(), dark[None].copy()
    slow.let.set()
    enhance(session, known)
    slow.let.clear()
    slow.begun.clear()
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(enhance, session, new) for _ in range(2)]
        assert slow.begun.wait(60)
        assert np.array_equal(enhance(session, known), double(known))
        assert not any(each.done() for each in both)
        slow.let.set()
        assert all(np.array_equal(each.result(60), double(new)) for each in both)
    assert compiled(session) == [known.shape, new.shape] and slow.compiled == 2


def test_a_session_closed_while_a_model_is_made_keeps_none(session: OvSession, slow: SlowCore, dark: NDArray[np.uint8]) -> None:
    images = dark[None].copy()
    for _ in range(2):
        enhance(session, images)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(enhance, session, images)
        assert slow.begun.wait(60)
        session.close()
        slow.let.set()
        with pytest.raises(ClosedError):
            made.result(60)
    assert not compiled(session)


def test_the_file_may_go_once_it_was_opened(artifacts: Path, tmp_path: Path, dark: NDArray[np.uint8]) -> None:
    path = tmp_path / "double.onnx"
    path.write_bytes((artifacts / "double.onnx").read_bytes())
    session = opened(path, 1)
    path.write_bytes(b"")
    path.unlink()
    for _ in range(4):
        assert np.array_equal(enhance(session, dark[None].copy()), double(dark[None]))
    assert compiled(session)


def test_many_may_close_at_once_while_others_run(session: OvSession, dark: NDArray[np.uint8]) -> None:
    """Each run either comes to its end or says that the session is closed."""
    begun = threading.Barrier(9)
    surprises: list[BaseException] = []

    def run(side: int) -> None:
        images = dark[None, :side, :side].copy()
        begun.wait()
        try:
            for _ in range(200):
                assert np.array_equal(enhance(session, images), double(images))
        except ClosedError:
            pass
        except BaseException as error:
            surprises.append(error)

    def close() -> None:
        begun.wait()
        time.sleep(0.02)
        try:
            session.close()
        except BaseException as error:
            surprises.append(error)

    threads = [threading.Thread(target=run, args=(16 + side,), daemon=True) for side in range(4)]
    threads += [threading.Thread(target=close, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads) and surprises == []
    with pytest.raises(ClosedError):
        enhance(session, dark[None].copy())


def test_a_run_that_outlives_its_session_leaves_no_request(
    session: OvSession, dark: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests keep the model in memory."""
    idle: SimpleQueue[Any] = SimpleQueue()
    monkeypatch.setattr(session._any, "_idle", idle)  # pyright: ignore[reportPrivateUsage]
    images, out = dark[None].copy(), np.empty_like(dark[None])
    session.run(images, out)
    assert idle.qsize() == 1
    request = idle.get()

    class Closing:
        """Closes the session while the request computes."""

        def infer(self, **options: Any) -> None:
            request.infer(**options)
            session.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(request, name)

    idle.put(Closing())
    out[:] = 0
    session.run(images, out)
    assert np.array_equal(out, double(images))
    assert idle.empty()
    with pytest.raises(ClosedError):
        session.run(images, out)


def test_frames_of_a_film_are_what_pictures_are() -> None:
    """They have a model of their own, for one shape and one side of the squares; what doesn't fit it is an error of ours."""
    path = locate.onnx_file("dawn")
    session = opened(path, 1, "fp32")
    parts = session.open_parts()
    assert parts is not None
    random = np.random.default_rng(0)
    for shape in ((64, 96), (64, 96), (96, 64), (300, 420), (64, 96)):
        image = random.integers(0, 60, (*shape, 3), dtype=np.uint8)
        side, grid = tiling.overview_of(image, session.info)
        light = parts.decide(grid)
        expected = parts.render(image[None], side, light)
        found = parts.render(image[None], side, light, film=True)
        assert np.abs(found.astype(int) - expected).max() <= 1
    with pytest.raises(BackendError, match=r"OpenVINO failed on image \(1, 64, 80, 3\)"):
        parts.render(image[None, :, :80].copy(), side, [np.concatenate([each, each], axis=1) for each in light], film=True)
    assert np.array_equal(parts.render(image[None], side, light, film=True), found)
