"""The mean over time as a graph computes what Python does, from frame to frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from export import calm
from runtime.calm.average import Average, shifted
from runtime.images import Images
from tests.support.calm import GAIN, noisy, scene


def _planes(picture: Images, kind: Any) -> Any:
    return picture.transpose(2, 0, 1)[None].astype(kind)


class _Session:
    def __init__(self, path: Path, kind: Any) -> None:
        self._session: Any = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        self._kind = kind
        self.mean: Any = None

    def add(self, frame: Images, shift: tuple[int, int] = (0, 0), brighter: int = 0) -> Images:
        given = {
            "dark": (frame // GAIN)[None],
            "enhanced": frame[None],
            "mean": _planes(frame, self._kind) if self.mean is None else self.mean,
            "shift": np.array(shift, np.int64),
            "brighter": np.array([brighter], self._kind),
        }
        found, self.mean = self._session.run(["calm", "next"], given)
        return found[0]


@pytest.fixture(scope="module", params=["calm.onnx", "calm_fp16.onnx"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("calm")
    assert calm.main(["--out", str(folder)]) == 0
    return folder / request.param, np.float16 if "fp16" in request.param else np.float32


@pytest.mark.parametrize("size", [(96, 160), (97, 131)])
def test_the_graph_computes_what_python_does(written: tuple[Path, Any], size: tuple[int, int]) -> None:
    session, mean, still = _Session(*written), Average(), scene(*size)
    apart = np.zeros(0)
    for number in range(10):
        truth = still.copy()
        truth[20:50, 10 + 4 * number : 50 + 4 * number] = (230, 40, 120)
        frame = noisy(truth, number)
        apart = np.abs(session.add(frame).astype(np.int16) - mean.add(frame // GAIN, frame))
        assert np.mean(apart > 1) < 0.002, number
    assert np.abs(apart).mean() < 0.1


def test_a_moved_camera_and_a_fade(written: tuple[Path, Any]) -> None:
    session = _Session(*written)
    first = np.clip(scene(96, 160), 0, 200).astype(np.uint8)
    session.add(first)
    then = shifted(first, 2, -5) + np.uint8(20)
    found = session.add(noisy(then.astype(np.float32), 1, 2.0), (2, -5), 20)
    assert np.abs(found.astype(np.int16) - then).mean() < 0.6  # of noise with a mean of 1.6, a fifth
