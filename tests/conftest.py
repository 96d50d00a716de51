"""Fixtures that several folders share: photographs, and every network exported once."""

from __future__ import annotations

import os

# Several test processes share a few cores: threads that wait for one another would only cost.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

Images = NDArray[np.uint8]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with LOL/, unpaired/ and vgg/."""
    folder = os.environ.get("RETINEXRT_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("RETINEXRT_DATA names no folder with photographs")
    return Path(folder)


@pytest.fixture(scope="session")
def dark_photographs() -> list[Images]:
    """A few dark photographs, RGB: real ones of odd sizes, or darkened samples where there is no data folder."""
    folder = Path(os.environ.get("RETINEXRT_DATA", "")) / "unpaired"
    if not os.environ.get("RETINEXRT_DATA") or not folder.is_dir():
        from benchmarks.pictures.samples import sample_photographs

        return [image for _, image in sample_photographs()]
    paths = sorted(folder.rglob("*.*"))[::5]
    pictures = [cv2.imread(str(path)) for path in paths]
    return [
        np.ascontiguousarray(picture[..., ::-1]) for picture in pictures if picture is not None and picture.size < 2_000_000
    ]


@pytest.fixture(scope="session")
def hard_pictures() -> dict[str, Images]:
    """Synthetic pictures that break networks: black, one code, white, noise, a single bright pixel."""
    random = np.random.default_rng(7)
    shape = (1, 37, 53, 3)
    spark = np.zeros(shape, np.uint8)
    spark[0, 18, 26] = 255
    return {
        "black": np.zeros(shape, np.uint8),
        "one code": np.ones(shape, np.uint8),
        "white": np.full(shape, 255, np.uint8),
        "noise": random.integers(0, 256, shape, dtype=np.uint8),
        "dark noise": random.integers(0, 6, shape, dtype=np.uint8),
        "one bright pixel": spark,
    }


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """exported("pdn") is a folder with pdn.onnx and pdn_fp16.onnx, exported once in a test run."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported"

    def export(name: str) -> Path:
        from filelock import FileLock

        from export.exporter import Options, export_network, write
        from tests.support.weights import weights_for

        folder = shared / name
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if not (folder / f"{name}_fp16.onnx").exists():
                write(export_network(name, Options(weights=weights_for(name, folder))), folder)
        return folder

    return export
