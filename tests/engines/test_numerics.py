"""The networks that TensorRT-RTX's parser makes of our graphs compute what ONNX Runtime computes from them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.measures import differences
from engines import builder
from engines.flavours import TENSORRT_RTX, tensorrt_module
from runtime import backends
from runtime.options import OpenOptions
from tests.engines.test_build import NETWORKS
from tests.support.interpreter import Interpreter

pytestmark = [
    pytest.mark.skipif(
        find_spec("tensorrt_rtx") is None or find_spec("polygraphy") is None,
        reason="TensorRT-RTX and Polygraphy are not installed",
    ),
    pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops:DeprecationWarning"),
]

Images = NDArray[np.uint8]

#: None of them an example that the exporter saw.
SHAPES = [(1, 37, 53), (2, 18, 70), (1, 16, 16)]


def parse(path: Path) -> tuple[Any, Any]:
    """The parsed network, and the builder that it lives as long as."""
    builder._load_flavour(TENSORRT_RTX)  # pyright: ignore[reportPrivateUsage]
    from polygraphy.backend.trt import NetworkFromOnnxPath

    owner, network, _ = NetworkFromOnnxPath(str(path), strongly_typed=True)()
    return network, owner


def interpreter(network: Any) -> Interpreter:
    return Interpreter(network, tensorrt_module())


def dark(shape: tuple[int, ...], seed: int) -> Images:
    """A dark scene: a smooth light over noise, with black and white in it."""
    random = np.random.default_rng(seed)
    n, height, width = shape
    light = np.linspace(2, 50, width) * np.linspace(1, 0.2, height)[:, None]
    images = random.poisson(light[None, :, :, None] * random.uniform(0.5, 1.5, (n, 1, 1, 3))).clip(0, 255).astype(np.uint8)
    images[:, :3, :3], images[:, -3:, -3:] = 0, 255
    return images


def expected(path: Path, images: Images) -> Images:
    session = backends.get_backend("onnxruntime").open(path, OpenOptions(threads=1))
    out = np.empty_like(images)
    session.run(images, out)
    session.close()
    return out


@pytest.mark.parametrize("name", NETWORKS)
def test_the_parsed_networks_compute_the_same(exported: Callable[[str], Path], name: str) -> None:
    folder = exported(name)
    exact, typed = (parse(folder / file) for file in (f"{name}.onnx", f"{name}_fp16.onnx"))
    most, least = (2, 50.0) if name == "dsn" else (1, 55.0)
    for seed, shape in enumerate(SHAPES):
        images = dark(shape, seed)
        reference = expected(folder / f"{name}.onnx", images)
        assert differences.compare(images, reference, interpreter(exact[0])(images)).max_codes <= 1
        half = differences.compare(images, reference, interpreter(typed[0])(images))
        assert half.p999_codes <= most and half.psnr >= least, half


@pytest.mark.parametrize("change", ["crop", "border", "illumination"])
def test_a_difference_is_seen(exported: Callable[[str], Path], change: str) -> None:
    """What a parser could get wrong, done to PDN on purpose."""
    path = exported("pdn") / "pdn.onnx"
    network, _owner = parse(path)
    trt: Any = tensorrt_module()
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if change == "crop" and layer.type == trt.LayerType.DECONVOLUTION:
            layer.__class__ = trt.IDeconvolutionLayer
            layer.pre_padding, layer.post_padding = (0, 0), (1, 1)
        elif change == "border" and layer.type == trt.LayerType.SLICE:
            layer.__class__ = trt.ISliceLayer
            if layer.mode == trt.SampleMode.CLAMP:
                layer.mode = trt.SampleMode.WRAP
        elif change == "illumination" and layer.type == trt.LayerType.ACTIVATION:
            layer.__class__ = trt.IActivationLayer
            if layer.type == trt.ActivationType.CLIP and 0 < layer.alpha < 0.1:
                layer.alpha = 0.1
    images = dark((1, 37, 53), 0)
    assert differences.compare(images, expected(path, images), interpreter(network)(images)).max_codes > 1
