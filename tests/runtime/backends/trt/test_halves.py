"""The halves of a plan on a fake GPU: the graphs of `dawn` stand for what TensorRT would make of them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import runtime.backends.trt.session as trt
from runtime import Enhancer
from runtime.artifact import locate, manifest, read_info
from runtime.artifact.onnx_parts import cut_file
from runtime.backends.trt.session import TensorRTSession, open_plan
from runtime.errors import ArtifactError, BackendError, ClosedError, GpuLostError, InputError, ManifestError
from tests.support.fake_cuda import FakeCuda
from tests.support.fake_tensorrt import FakeTensorRT
from tests.support.plans import write_plan

Images = NDArray[np.uint8]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    cuda = FakeCuda()
    monkeypatch.setattr(trt, "open_cuda", lambda: cuda)
    monkeypatch.setattr(trt, "driver_found", lambda: True)
    yield cuda
    gc.collect()
    assert cuda.leaks() == {}


@pytest.fixture(params=["tensorrt", "tensorrt_rtx"])
def tensorrt(request: pytest.FixtureRequest, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    rtx = request.param == "tensorrt_rtx"
    module = FakeTensorRT(cuda, "1.7.1.116" if rtx else "11.4.0.106", rtx)
    monkeypatch.setitem(sys.modules, request.param, module)  # pyright: ignore[reportArgumentType]
    return module


@pytest.fixture
def plan(tmp_path: Path, tensorrt: FakeTensorRT) -> Path:
    """A plan of `dawn` for pictures of at most 64x96, and its halves."""
    onnx = locate.onnx_file("dawn")
    info = read_info(onnx)
    return write_plan(
        tmp_path, "dawn", described=info, halves=cut_file(onnx, info), flavour=tensorrt.__name__, version=tensorrt.__version__
    )  # fmt: skip


def opened(plan: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> TensorRTSession:
    return open_plan(plan, tensorrt.__name__, 0, cuda)  # pyright: ignore[reportArgumentType]


def picture(height: int, width: int) -> Images:
    return np.random.default_rng(0).integers(0, 60, (height, width, 3), dtype=np.uint8)


def test_a_picture_beyond_the_profile_is_what_the_onnx_file_makes_of_it(plan: Path, cuda: FakeCuda) -> None:
    image, told = picture(360, 200), list[tuple[int, int]]()
    with Enhancer(locate.onnx_file("dawn"), backend="onnxruntime", threads=1) as enhancer:
        expected = enhancer(image)
    with Enhancer(plan) as enhancer:
        assert not enhancer.comes_apart, "the parts of a film are as large as it is"
        found = enhancer(image, progress=lambda done, total: told.append((done, total)))
        assert np.array_equal(enhancer(image), found)
        with pytest.raises(InputError, match="without tiles at most 64x96"):
            enhancer(image, tile="off")
        small = picture(64, 96)
        assert np.array_equal(enhancer(small), 255 - small), "the plan itself does what it takes"
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert told == [(done + 1, 6) for done in range(6)], "no part is larger than what the halves take"


@pytest.mark.parametrize(
    ("least", "size", "words"),
    [
        (4, (3000, 1900), r"too large for .* 4 to 16 pixels wide, not 20; open dawn\.onnx"),
        (8, (65, 97), "too small"),
    ],
)
def test_a_picture_with_squares_that_the_halves_do_not_take(plan: Path, least: int, size: tuple[int, int], words: str) -> None:
    info = manifest.read(plan)
    assert info.plan is not None and info.plan.parts is not None
    parts = replace(info.plan.parts, smallest_side=least)
    manifest.write(replace(info, plan=replace(info.plan, parts=parts)), plan)
    with Enhancer(plan) as enhancer, pytest.raises(InputError, match=words):
        enhancer(picture(*size))


def test_halves_that_are_not_the_plans_are_refused_unseen(plan: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    decide, render = (manifest.half_path(plan, half) for half in manifest.HALVES)
    kept = render.read_bytes()
    render.write_bytes(decide.read_bytes())
    with closing(opened(plan, cuda, tensorrt)) as session:
        with pytest.raises(ManifestError, match=r"dawn\.render has SHA-256 .* build it again with: retinexrt build dawn"):
            session.open_parts()
        render.write_bytes(kept)
        assert session.open_parts() is session.open_parts() is not None
        render.unlink()
    with closing(opened(plan, cuda, tensorrt)) as session, pytest.raises(ArtifactError, match=r"dawn\.render does not exist"):
        session.open_parts()
    assert sum(b".render" in data[:60] for data in tensorrt.deserialised) == 1, "only what the manifest describes"


def test_a_plan_without_halves_says_what_takes_the_picture(tmp_path: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    plan = write_plan(
        tmp_path, "dawn", described=read_info(locate.onnx_file("dawn")), flavour=tensorrt.__name__, version=tensorrt.__version__
    )  # fmt: skip
    with (
        Enhancer(plan) as enhancer,
        pytest.raises(InputError, match=r"has no halves for large ones.*--max 1x360x200, or open dawn"),
    ):
        enhancer(picture(360, 200))


def test_a_failure_is_an_error_and_the_next_picture_works(plan: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    overview = np.zeros((1, 3, 8, 8), np.float32)
    with closing(opened(plan, cuda, tensorrt)) as session:
        parts = session.open_parts()
        assert parts is not None
        expected = parts.decide(overview)
        for failing, words in (("execute", "failed to enqueue .*API Usage Error"), ("shape", "failed to set the shape of")):
            tensorrt.failing.add(failing)
            with pytest.raises(BackendError, match=words):
                parts.decide(overview)
            tensorrt.failing.clear()
        assert all(np.array_equal(*both) for both in zip(parts.decide(overview), expected, strict=True))
        tensorrt.failing |= {"execute", "loses the GPU"}
        with pytest.raises(GpuLostError, match="start another"):
            parts.decide(overview)
        cuda.lost = None


def test_halves_end_with_the_session(plan: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    session = opened(plan, cuda, tensorrt)
    parts = session.open_parts()
    assert parts is not None
    parts.decide(np.zeros((1, 3, 8, 8), np.float32))
    session.close()
    assert cuda.leaks() == {}
    with pytest.raises(ClosedError):
        parts.decide(np.zeros((1, 3, 8, 8), np.float32))
    with pytest.raises(ClosedError):
        session.open_parts()
    gc.collect()
    assert tensorrt.ended and all(contexts == 1 for _, contexts in tensorrt.ended)


def test_kernels_of_each_half_are_kept_beside_it(plan: Path, cuda: FakeCuda, tensorrt: FakeTensorRT) -> None:
    with Enhancer(plan) as enhancer:
        enhancer(picture(300, 300))
        enhancer(picture(300, 300))
        kept = sorted(path.name.partition(".sm")[0] for path in plan.parent.glob("*.cache"))
        assert kept == (["dawn.decide", "dawn.render"] if tensorrt.__name__ == "tensorrt_rtx" else [])
