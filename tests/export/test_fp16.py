"""Typed FP16: islands stay FP32 from edge to edge, weights are stored once, global means survive large pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.fp16 import in_island, to_fp16
from export.onnx_files import load
from export.onnx_graph import IO_PATH, Edges, module_path
from runtime.errors import ArtifactError
from train.networks import NETWORKS

Exported = Callable[[str], Path]


@pytest.mark.parametrize(
    ("path", "patterns", "inside"),
    [
        ("coarse_light.tail", ("*_light.tail",), True),
        ("coarse_light.tail.inner", ("*_light.tail",), True),
        ("coarse_light.body.0", ("*_light.tail",), False),
        ("blocks.3.scale.rounds.0.mean", ("*.mean",), True),
        ("decode_join", ("decode*",), True),
        ("network", ("*",), True),
        ("network", (), False),
    ],
)
def test_islands_are_named_by_module(path: str, patterns: tuple[str, ...], inside: bool) -> None:
    assert in_island(path, patterns) is inside


@pytest.mark.parametrize("name", NETWORKS)
def test_every_node_has_the_declared_type(name: str, exported: Exported) -> None:
    model, info = load(exported(name) / f"{name}_fp16.onnx")
    onnx.checker.check_model(model, full_check=True)
    edges = Edges(model)
    seen: set[int] = set()
    for node in edges.nodes:
        if node.op_type == "Cast" and "/to_fp" in node.name:
            continue
        floats = {edges.types[value] for value in node.output if edges.is_float(value)}
        if floats:
            wanted = TensorProto.FLOAT if in_island(module_path(node), (*info.islands, IO_PATH)) else TensorProto.FLOAT16
            assert floats == {wanted}, node.name
            seen |= floats
    assert TensorProto.FLOAT in seen
    if "*" not in info.islands:
        assert TensorProto.FLOAT16 in seen


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_rounded_inside_an_island(name: str, exported: Exported) -> None:
    """No value goes FP32 -> FP16 -> FP32, and none is cast twice."""
    model, _ = load(exported(name) / f"{name}_fp16.onnx")
    edges = Edges(model)
    casts = [node for node in edges.nodes if node.op_type == "Cast"]
    targets = [(node.input[0], node.attribute[0].i) for node in casts]
    assert len(set(targets)) == len(targets)
    for node in casts:
        before = edges.producer.get(node.input[0])
        assert before is None or before.op_type != "Cast" or not edges.is_float(before.input[0])


@pytest.mark.parametrize("name", ["pdn", "sri"])
def test_the_clamp_bound_is_exact(name: str, exported: Exported) -> None:
    model, _ = load(exported(name) / f"{name}_fp16.onnx")
    edges = Edges(model)
    for node in edges.nodes:
        if node.op_type == "Clip" and node.name.endswith("clamp/Clip"):
            bound = edges.constant(node.input[1])
            assert bound is not None and bound.dtype == np.float32 and float(bound) == np.float32(1 / 255)


@pytest.mark.parametrize("precision", ["", "_fp16"])
def test_shared_weights_are_stored_once(precision: str, exported: Exported) -> None:
    """DSN runs every recurrent round three times, with one set of weights."""
    model, _ = load(exported("dsn") / f"dsn{precision}.onnx")
    weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 4]
    uses = {tensor.name: sum(tensor.name in node.input for node in model.graph.node) for tensor in weights}
    recurrent = {name: count for name, count in uses.items() if ".rounds." in name}
    trained = {tensor.name: tensor.raw_data for tensor in weights if any(tensor.raw_data)}
    assert sum(recurrent.values()) == 24 * 4 * 3
    # Small tensors that are zero, of untrained blocks, are one; of the others each is used by the three rounds.
    assert all(count % 3 == 0 for count in recurrent.values())
    assert {count for name, count in recurrent.items() if name in trained} == {3}
    assert len(recurrent.keys() & trained.keys()) >= 12 * 4
    assert len(set(trained.values())) == len(trained)
    size = 4 if precision == "" else 2
    assert model.ByteSize() < 1.1 * size * 4_560_000


def test_tied_decoder_is_the_flipped_encoder(exported: Exported) -> None:
    model, _ = load(exported("dsn") / "dsn.onnx")
    edges = Edges(model)
    by_path = {module_path(node): edges.constant(node.input[1]) for node in edges.nodes if node.op_type == "Conv"}
    for number in (1, 2):
        encoder, decoder = by_path[f"encode{number}"], by_path[f"decode{number}"]
        assert encoder is not None and decoder is not None
        np.testing.assert_array_equal(decoder, encoder.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])


def _mean_in(dtype: np.dtype[np.floating]) -> float:
    """The mean of a 1080 x 1920 plane around 1, summed in `dtype`, as an accumulator of that type would."""
    plane = np.full(1080 * 1920, 1.25, dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.add.reduce(plane, dtype=dtype) / dtype.type(plane.size))


def test_global_means_survive_1080p(exported: Exported) -> None:
    """The 72 means of DSN: in FP16 their sums overflow, so ours take and give FP32."""
    fp32, info = load(exported("dsn") / "dsn.onnx")
    ours, naive = load(exported("dsn") / "dsn_fp16.onnx")[0], to_fp16(fp32, islands=())
    numpy_types = {TensorProto.FLOAT: np.dtype(np.float32), TensorProto.FLOAT16: np.dtype(np.float16)}
    for model, survives in ((ours, True), (naive, False)):
        edges = Edges(model)
        means = edges.of_type("ReduceMean")
        assert len(means) == 72
        types = {edges.types[node.input[0]] for node in means}
        assert len(types) == 1
        found = _mean_in(numpy_types[types.pop()])
        assert (found == pytest.approx(1.25, rel=1e-3)) is survives
    assert info.islands == ()


def _scaling_by(value: float) -> onnx.ModelProto:
    tensor = helper.make_tensor_value_info
    node = helper.make_node("Mul", ["image", "factor"], ["enhanced"], name="layer/Mul")
    graph = helper.make_graph(
        [node],
        "g",
        [tensor("image", TensorProto.FLOAT, ["N", 3])],
        [tensor("enhanced", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.float32(value), "factor")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def test_a_constant_beyond_fp16_is_an_error() -> None:
    with pytest.raises(ArtifactError, match="beyond FP16"):
        to_fp16(_scaling_by(1e6), islands=())


def test_outputs_keep_their_name_and_type() -> None:
    model = to_fp16(_scaling_by(2.0), islands=())
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Cast", "Mul", "Cast"]
    assert model.graph.node[-1].output[0] == "enhanced"
