"""Tiles give what the whole picture gives, wherever that is promised, and are refused or asked for elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime import Enhancer, InputError, tiling
from runtime.artifact import PlanInfo, Profile
from runtime.tiling import Limits, limits, spans
from tests.runtime.conftest import make_info

Exported = Callable[[str], Path]


def _picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth and noisy at once, dark."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 60, (height // 16 + 2, width // 16 + 2, 3)).repeat(16, 0).repeat(16, 1)
    return (coarse[:height, :width] + random.integers(0, 20, (height, width, 3))).astype(np.uint8)


@given(
    size=st.integers(16, 5000),
    halo=st.integers(0, 128),
    multiple=st.sampled_from([1, 4, 8, 16]),
    largest=st.one_of(st.none(), st.integers(300, 1500)),
)
@settings(max_examples=300, deadline=None)
def test_tiles_cover_everything_once_with_their_context(size: int, halo: int, multiple: int, largest: int | None) -> None:
    try:
        cut = spans(size, halo, multiple, 16, largest)
    except InputError:
        assert largest is not None
        return
    assert [span.core_start for span in cut] == [0, *(span.core_stop for span in cut[:-1])]
    assert cut[-1].core_stop == size
    for span in cut:
        assert span.start % multiple == 0
        assert span.start == 0 or span.core_start - span.start >= halo
        assert span.stop == size or (span.stop - span.core_stop >= halo and span.stop % multiple == 0)
        assert 16 <= span.stop - span.start <= (largest or size)


def test_tiles_too_small_for_their_context_are_refused() -> None:
    with pytest.raises(InputError, match="leave nothing beside a context of 128"):
        spans(1000, 128, 16, 16, 256)


def test_limits_come_from_the_artifact() -> None:
    assert limits(make_info()) == Limits((1, 16, 16), (None, None, None))
    profile = Profile((1, 64, 64, 3), (1, 400, 600, 3), (4, 1088, 1920, 3))
    plan = PlanInfo(
        **dict.fromkeys(PlanInfo.__dataclass_fields__) | {"profile": profile}  # pyright: ignore[reportArgumentType]
    )
    assert limits(make_info(plan=plan)) == Limits((1, 64, 64), (4, 1088, 1920))


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("height", "width"), [(150, 333), (97, 400), (64, 1000)])
def test_small_tiles_of_a_small_network(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch, backend: str, height: int, width: int
) -> None:
    enhancer = Enhancer(artifacts / "blur.onnx", backend=backend, threads=1)
    image = _picture(height, width)
    whole = enhancer(image, tile="off")
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 0)
    monkeypatch.setattr(tiling, "_CORE", 48)
    assert np.array_equal(enhancer(image), whole)
    batch = np.stack([image, image[::-1]])
    assert np.array_equal(enhancer(batch)[0], whole)


def test_tiles_of_one_shape_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend may have to compile a model for each shape."""
    monkeypatch.setattr(tiling, "_CORE", 48)
    shapes: list[tuple[int, ...]] = []

    def run(image: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        shapes.append(image.shape)
        out[:] = image

    image = _picture(200, 333)
    out = np.zeros_like(image)
    tiling.run_exact(run, image, out, make_info(halo=4, multiple=4), lambda done, total: None)
    assert np.array_equal(out, image)
    changes = sum(one != other for one, other in pairwise(shapes))
    assert 3 < changes + 1 == len(set(shapes)) < len(shapes)


@pytest.mark.parametrize(
    ("name", "height", "width"),
    [
        ("pdn", 301, 403),
        ("msrnet", 131, 150),
        pytest.param("sri", 131, 150, marks=pytest.mark.slow),
        pytest.param("blnet", 401, 403, marks=pytest.mark.slow),
    ],
)
def test_tiled_is_whole(exported: Exported, monkeypatch: pytest.MonkeyPatch, name: str, height: int, width: int) -> None:
    enhancer = Enhancer(exported(name) / f"{name}.onnx", backend="onnxruntime")
    image = _picture(height, width)
    whole = enhancer(image, tile="off")
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 0)
    monkeypatch.setattr(tiling, "_CORE", 64)
    monkeypatch.setattr(tiling, "_CONTEXTS", 1)
    rows = spans(height, enhancer.info.halo or 0, enhancer.info.multiple, 16, None)
    assert len(rows) > 1
    tiled = enhancer(image)
    assert np.abs(tiled.astype(int) - whole).max() <= 1
    assert (tiled != whole).mean() < 1e-3


def test_what_looks_at_the_whole_picture_is_not_cut_unasked(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "WHOLE_PIXELS", 100 * 100)
    enhancer = Enhancer(artifacts / "whole.onnx", backend="onnxruntime")
    image = _picture(101, 100)
    with pytest.raises(InputError, match=r"at most 10,000 pixels fit.*dawn"):
        enhancer(image)
    enhancer(image[:100])
    assert enhancer(image, tile="off").shape == image.shape


def test_a_plans_largest_shape_cuts_too(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enhancer = Enhancer(artifacts / "blur.onnx", backend="onnxruntime", threads=1)
    image = _picture(200, 310)
    whole = enhancer(image)
    seen: list[tuple[int, ...]] = []
    session = enhancer._session  # pyright: ignore[reportPrivateUsage]
    assert session is not None
    run = session.run
    monkeypatch.setattr(session, "run", lambda images, out: (seen.append(images.shape), run(images, out)))
    bounded = Limits((1, 64, 64), (2, 100, 120))
    monkeypatch.setattr(enhancer, "_limits", bounded)
    monkeypatch.setattr(tiling, "limits", lambda _: bounded)
    assert np.array_equal(enhancer(image), whole)
    assert all(bounded.admit(shape[:3]) for shape in seen) and len(seen) > 4
    seen.clear()
    monkeypatch.setattr(session, "device", "cuda:0")  # on a CPU pictures are run one by one
    batch = np.stack([image[:90, :110]] * 5)
    assert np.array_equal(enhancer(batch)[4], enhancer(batch[4]))
    assert [shape[0] for shape in seen] == [2, 2, 1, 1]
    with pytest.raises(InputError, match=r"63x110.*64x64 and up"):
        enhancer(image[:63, :110])


_MEASURE = """
import re, sys
from pathlib import Path
import numpy as np
from runtime import Enhancer
enhancer = Enhancer(sys.argv[1], backend=sys.argv[2], threads=2)
image = np.full((4000, 6000, 3), 12, np.uint8)
out = np.full_like(image, 1)
rows = int(sys.argv[3])
enhancer(image[:rows], out=out[:rows])
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("name", "rows"), [("pdn", 360), ("dawn", 720)])  # whole tiles: dawn's are the larger ones
def test_memory_of_a_24_megapixel_photograph(exported: Exported, name: str, rows: int, backend: str) -> None:
    """The photograph and its result are in memory; twice as many rows of it need no more beside that."""
    path = exported(name) / f"{name}.onnx"

    def peak(count: int) -> int:
        command = [sys.executable, "-c", _MEASURE, str(path), backend, str(count)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    one, two = peak(rows), peak(2 * rows)
    assert two < 1200
    assert two < one + 100
