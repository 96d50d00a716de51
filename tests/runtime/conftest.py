"""Tiny artifacts that describe themselves like exported ones: fast, and with outputs that a line of numpy can check."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from runtime import Enhancer
from runtime.artifact import METADATA_KEY, SCHEMA, ArtifactInfo, TensorInfo
from runtime.artifact.contract import Division


def make_info(**changes: Any) -> ArtifactInfo:
    """The description of a graph that doubles brightness."""
    image = TensorInfo("image", "uint8", ("N", "H", "W", 3), "NHWC", 0.0, 255.0)
    info = ArtifactInfo(
        schema=SCHEMA,
        network="double",
        title="Doubles brightness",
        precision="fp32",
        trained=True,
        weights_sha256=64 * "0",
        input=image,
        output=replace(image, name="enhanced"),
        multiple=1,
        halo=1,
        islands=(),
        contract=(Division(1),),
        opset=20,
        tools={"onnx": onnx.__version__},
    )
    return replace(info, **changes)


def double(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What the graph computes."""
    return np.minimum(image.astype(np.int32) * 2, 255).astype(np.uint8)


def write_artifact(path: Path, info: ArtifactInfo, *, around: int = 0, whole: bool = False) -> Path:
    """Write a graph that doubles; `around`: then averages over so many pixels to each side (zeros beyond the border).

    `whole`: then adds the mean of the whole picture, so that tiles change the result.
    """
    constants = [
        helper.make_tensor("two", TensorProto.FLOAT, [], [2.0]),
        helper.make_tensor("low", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("high", TensorProto.FLOAT, [], [255.0]),
    ]
    nodes = [
        helper.make_node("Cast", ["image"], ["codes"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["codes"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planes", "two"], ["bright"]),
    ]
    last = "bright"
    if around:
        side = 2 * around + 1
        kernel = np.full((3, 1, side, side), 1 / side**2, np.float32)
        constants.append(helper.make_tensor("kernel", TensorProto.FLOAT, kernel.shape, kernel.ravel()))
        nodes.append(helper.make_node("Conv", [last, "kernel"], ["even"], group=3, pads=[around] * 4))
        last = "even"
    if whole:
        nodes += [
            helper.make_node("GlobalAveragePool", [last], ["mean"]),
            helper.make_node("Add", [last, "mean"], ["lifted"]),
        ]
        last = "lifted"
    nodes += [
        helper.make_node("Clip", [last, "low", "high"], ["clipped"]),
        helper.make_node("Round", ["clipped"], ["round"]),
        helper.make_node("Transpose", ["round"], ["pixels"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["pixels"], ["enhanced"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, list(info.input.shape))],
        [helper.make_tensor_value_info("enhanced", TensorProto.UINT8, list(info.output.shape))],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: info.to_json()})
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of artifacts: double (pointwise), blur (halo 4, multiple 4), whole (no halo)."""
    folder = tmp_path_factory.mktemp("artifacts")
    write_artifact(folder / "double.onnx", make_info())
    write_artifact(folder / "blur.onnx", make_info(network="blur", halo=4, multiple=4), around=4)
    write_artifact(folder / "whole.onnx", make_info(network="whole", halo=None, contract=()), whole=True)
    return folder


@pytest.fixture
def dark() -> NDArray[np.uint8]:
    """A dark picture of odd size, 33 x 47."""
    return np.random.default_rng(0).integers(0, 90, (33, 47, 3), dtype=np.uint8)


@pytest.fixture
def enhancer(artifacts: Path) -> Enhancer:
    """Doubles every code, on the CPU."""
    return Enhancer(artifacts / "double.onnx", backend="onnxruntime", threads=1)
