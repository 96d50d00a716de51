"""An exported graph is the network: torch against ONNX Runtime, in codes of 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from benchmarks.measures.differences import compare
from export.image_graph import ImageGraph
from tests.support.weights import weights_for
from train.networks import NETWORKS, get_spec
from train.networks.weights import load

Images = NDArray[np.uint8]
Exported = Callable[[str], Path]

SMALL = [(1, 16, 16), (1, 33, 47), (2, 18, 61)]
LARGE = [(1, 401, 603), (1, 400, 600), (2, 256, 320)]
#: Too slow on a CPU for the large sizes.
HEAVY = ("dsn", "dsn-reverse")


@lru_cache(maxsize=2)
def _run(path: Path) -> Callable[[Images], Images]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run(["enhanced"], {"image": images})[0])


@lru_cache(maxsize=1)
def _torch(name: str, folder: Path) -> Callable[[Images], Images]:
    spec = get_spec(name)
    module = ImageGraph(load(spec, weights_for(name, folder)).network, spec.multiple).eval()

    def run(images: Images) -> Images:
        with torch.inference_mode():
            return module(torch.from_numpy(images)).numpy()

    return run


def _crop(photographs: list[Images], shape: tuple[int, int, int]) -> Images:
    """A batch of that shape out of real photographs, repeated where they are too small."""
    count, height, width = shape
    pictures = [
        np.tile(p, (-(-height // p.shape[0]), -(-width // p.shape[1]), 1))[:height, :width] for p in photographs[:count]
    ]
    return np.ascontiguousarray(np.stack(pictures))


def _from_torch(name: str, exported: Exported, images: Images) -> tuple[Images, Images]:
    """What the FP32 file makes of pictures, and what torch does."""
    folder = exported(name)
    found, wanted = _run(folder / f"{name}.onnx")(images), _torch(name, folder)(images)
    assert found.shape == wanted.shape and found.dtype == np.uint8
    return found, wanted


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        *((name, shape) for name in NETWORKS for shape in SMALL),
        *(pytest.param(name, shape, marks=pytest.mark.slow) for name in NETWORKS if name not in HEAVY for shape in LARGE),
    ],
    ids=str,
)
def test_fp32_at_many_sizes(name: str, shape: tuple[int, int, int], exported: Exported, dark_photographs: list[Images]) -> None:
    images = _crop(dark_photographs, shape)
    found, wanted = _from_torch(name, exported, images)
    assert compare(images, wanted, found).max_codes <= 1


@pytest.mark.parametrize("name", NETWORKS)
def test_fp32_on_hard_pictures(name: str, exported: Exported, hard_pictures: dict[str, Images]) -> None:
    # A flat picture has no deviation: what msr and msrcr stretch there is rounding noise, whatever runs the graph.
    flat = ("black", "one code", "white") if name in ("msr", "msrcr") else ()
    kinds = [kind for kind in hard_pictures if kind not in flat]
    images = np.concatenate([hard_pictures[kind] for kind in kinds])
    found, wanted = _from_torch(name, exported, images)
    worst = {kind: compare(*[each[i : i + 1] for each in (images, wanted, found)]).max_codes for i, kind in enumerate(kinds)}
    assert max(worst.values()) <= 1, worst


@pytest.mark.parametrize("name", NETWORKS)
def test_fp16_stays_close_to_fp32(name: str, exported: Exported, dark_photographs: list[Images]) -> None:
    shape = (1, 48, 64) if name in HEAVY else (2, 144, 208)
    images = _crop(dark_photographs, shape)
    folder = exported(name)
    difference = compare(images, _run(folder / f"{name}.onnx")(images), _run(folder / f"{name}_fp16.onnx")(images))
    least, codes = (50.0, 2) if name in HEAVY else (55.0, 1)
    assert difference.psnr >= least
    assert difference.p999_codes <= codes
