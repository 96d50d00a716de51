"""Each rule of the contract refuses a graph in which its step was folded, moved, rounded or dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.contract import ContractError, check, main
from export.onnx_files import load, to_bytes
from runtime.artifact import ArtifactInfo
from runtime.artifact.contract import Division, Rule, UnknownRule
from train.networks import NETWORKS

Exported = Callable[[str], Path]
Break = Callable[[onnx.GraphProto], None]


@pytest.mark.parametrize("precision", ["", "_fp16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_exported_graphs_keep_it(name: str, precision: str, exported: Exported) -> None:
    model, info = load(exported(name) / f"{name}{precision}.onnx")
    assert len(check(model, info.contract)) == len(info.contract) > 0


def _node(graph: onnx.GraphProto, op_type: str, path: str = "") -> onnx.NodeProto:
    return next(node for node in graph.node if node.op_type == op_type and path in node.name)


def _replace(graph: onnx.GraphProto, node: onnx.NodeProto, op_type: str, inputs: list[str]) -> None:
    node.op_type = op_type
    node.input[:] = inputs


def _constant(graph: onnx.GraphProto, name: str, value: float) -> str:
    graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    return name


def _insert_before(graph: onnx.GraphProto, later: onnx.NodeProto, *nodes: onnx.NodeProto) -> None:
    place = [node.name for node in graph.node].index(later.name)
    for node in reversed(nodes):
        graph.node.insert(place, node)


def _drop_division(graph: onnx.GraphProto) -> None:
    node = _node(graph, "Div", "divide")
    _replace(graph, node, "Identity", [node.input[0]])


def _fold_division_into_product(graph: onnx.GraphProto) -> None:
    node = _node(graph, "Div", "divide")
    _insert_before(graph, node, helper.make_node("Reciprocal", [node.input[1]], ["reciprocal"], name="reciprocal"))
    _replace(graph, node, "Mul", [node.input[0], "reciprocal"])


def _clamp_at(value: float, bound: int) -> Break:
    def change(graph: onnx.GraphProto) -> None:
        _node(graph, "Clip", "clamp").input[bound] = _constant(graph, "moved", value)

    return change


def _unclamp(graph: onnx.GraphProto) -> None:
    node = _node(graph, "Clip", "clamp")
    _replace(graph, node, "Identity", [node.input[0]])


def _divide_something_else(graph: onnx.GraphProto) -> None:
    _node(graph, "Div", "divide").input[0] = _node(graph, "Conv", "tail").output[0]


def _round_the_clamped(graph: onnx.GraphProto) -> None:
    """FP16 and back between the clamp and the division."""
    clip, divide = _node(graph, "Clip", "clamp"), _node(graph, "Div", "divide")
    down = helper.make_node("Cast", [clip.output[0]], ["down"], name="down", to=TensorProto.FLOAT16)
    up = helper.make_node("Cast", ["down"], ["up"], name="up", to=TensorProto.FLOAT)
    _insert_before(graph, divide, down, up)
    divide.input[1] = "up"


def _divide_by_the_picture(graph: onnx.GraphProto) -> None:
    _node(graph, "Clip", "clamp").input[0] = _node(graph, "Div", "divide").input[0]


def _divide_what_a_relu_made(graph: onnx.GraphProto) -> None:
    divide = _node(graph, "Div", "divide")
    relu = helper.make_node("Relu", [_node(graph, "Conv", "tail").output[0]], ["other"], name="other")
    _insert_before(graph, divide, relu)
    divide.input[0] = "other"


def _divide_a_weighted_picture(graph: onnx.GraphProto) -> None:
    """The picture, but with each pixel times its illumination."""
    divide = _node(graph, "Div", "divide")
    _insert_before(graph, divide, helper.make_node("Mul", list(divide.input), ["weighted"], name="weighted"))
    divide.input[0] = "weighted"


def _weigh_the_interpolation(graph: onnx.GraphProto) -> None:
    """A convolution that does more to the light than interpolate it."""
    name = _node(graph, "Conv", "spread").input[1]
    weights = next(tensor for tensor in graph.initializer if tensor.name == name)
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1.1), name))


def _leave_the_subtractions_unused(graph: onnx.GraphProto) -> None:
    clean, noisy = _node(graph, "Sub", "fine_subtract").output[0], _node(graph, "Div", "fine_divide").output[0]
    for node in graph.node:
        if not node.name.startswith("fine_"):
            node.input[:] = [noisy if name == clean else name for name in node.input]


def _clamp_blur_at_nothing(graph: onnx.GraphProto) -> None:
    _node(graph, "Clip", "network/Clip").input[1] = _constant(graph, "tiny", 1e-9)


def _whole_instead_of_half(graph: onnx.GraphProto) -> None:
    _node(graph, "Mul", "blocks.4.exponential").input[1] = _constant(graph, "one", 1.0)


def _drop(op_type: str, path: str) -> Break:
    def change(graph: onnx.GraphProto) -> None:
        node = _node(graph, op_type, path)
        _replace(graph, node, "Identity", [node.input[0]])

    return change


def _add_instead(op_type: str, path: str, instead: str) -> Break:
    def change(graph: onnx.GraphProto) -> None:
        _node(graph, op_type, path).op_type = instead

    return change


BREAKS: list[tuple[str, str, Break, str]] = [
    ("pdn", "a division dropped", _drop_division, "expected 2 Div"),
    ("pdn", "a division folded into a product", _fold_division_into_product, "expected 2 Div"),
    ("pdn", "the clamp at 1/256", _clamp_at(1 / 256, 1), "minimum"),
    ("pdn", "the clamp at 1/255 in FP16", _clamp_at(float(np.float16(1 / 255)), 1), "minimum"),
    ("pdn", "the clamp open above", _clamp_at(2.0, 2), "maximum"),
    ("pdn", "no clamp", _unclamp, "not clamped"),
    ("pdn", "something else divided", _divide_something_else, "does not divide the picture"),
    ("pdn", "a subtraction dropped", _drop("Sub", "coarse_subtract"), "expected 2 Sub"),
    ("pdn", "a subtraction turned", _add_instead("Sub", "fine_subtract", "Add"), "expected 2 Sub"),
    ("pdn", "a rounded divisor", _round_the_clamped, "not clamped"),
    ("pdn", "a divisor that is the picture", _divide_by_the_picture, "what a convolution makes"),
    ("pdn", "a numerator that is no picture", _divide_what_a_relu_made, "does not divide the picture"),
    ("pdn", "a numerator that is weighted", _divide_a_weighted_picture, "does not divide the picture"),
    ("pdn", "subtractions that nothing uses", _leave_the_subtractions_unused, "expected 2 Sub"),
    ("dawn", "an interpolation that weighs", _weigh_the_interpolation, "not enlarged from one map"),
    ("dawn", "no logarithm of the picture", _drop("Log", "guide"), "not guided by the logarithm"),
    ("dawn", "the exponential dropped", _drop("Exp", "exponential"), "does not clamp the exponential"),
    ("dawn-live", "noise of no convolution", _drop("Conv", "noise_tail"), "does not subtract the output of a convolution"),
    ("msr", "a blur clamped at nothing", _clamp_blur_at_nothing, "expected 3 Sub"),
    ("dsn", "an exponential of the whole", _whole_instead_of_half, "expected 8 Div"),
    ("sri", "the division dropped", _drop_division, "expected 1 Div"),
    ("sri", "the clamp at 1/256", _clamp_at(1 / 256, 1), "minimum"),
    ("blnet", "the product dropped", _drop("Mul", "product"), "expected 1 Mul"),
    ("blnet", "the product a sum", _add_instead("Mul", "product", "Add"), "expected 1 Mul"),
    ("blnet", "a sigmoid dropped", _drop("Sigmoid", "enhancement.sigmoid"), "expected 1 Mul"),
    ("msrnet", "a logarithm dropped", _drop("Log", "log"), "expected 4 Log"),
    ("msrnet", "a logarithm without its one", _drop("Add", "log"), "logarithm of one plus"),
    ("msrnet", "the difference dropped", _drop("Sub", "difference"), "expected 1 Sub"),
    ("msr", "a difference of logarithms dropped", _drop("Sub", "network/Sub"), "expected 3 Sub"),
    ("msr", "a blur not clamped", _drop("Clip", "network/Clip"), "expected 3 Sub"),
    ("dsn", "a coupling's division turned", _add_instead("Div", "blocks.3.divide", "Mul"), "expected 8 Div"),
    ("dsn", "an exponential dropped", _drop("Exp", "blocks.5.exponential"), "expected 8 Div"),
    ("dsn", "a difference dropped", _drop("Sub", "blocks.0.difference"), "expected 16 Sub"),
    ("dsn", "an update turned", _add_instead("Sub", "blocks.7.residual", "Add"), "expected 16 Sub"),
    ("dsn-reverse", "a product turned", _add_instead("Mul", "blocks.2.multiply", "Div"), "expected 8 Mul"),
    ("dsn-reverse", "a sum dropped", _drop("Add", "blocks.2.restore"), "expected 16 Add"),
]


@pytest.mark.parametrize(("name", "what", "change", "message"), BREAKS, ids=[f"{b[0]}: {b[1]}" for b in BREAKS])
@pytest.mark.parametrize("precision", ["", "_fp16"])
def test_a_broken_step_is_refused(
    name: str,
    what: str,
    change: Break,
    message: str,
    precision: str,
    exported: Exported,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, info = load(exported(name) / f"{name}{precision}.onnx")
    change(model.graph)
    with pytest.raises(ContractError, match=message):
        check(model, info.contract)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(to_bytes(model, info))
    assert main([str(broken)]) == 1
    assert message in capsys.readouterr().err


def test_a_division_in_fp16_is_refused(exported: Exported) -> None:
    model, info = load(exported("sri") / "sri.onnx")
    from export.fp16 import to_fp16

    with pytest.raises(ContractError, match=r"division: .* (minimum|computes in FP16)"):
        check(to_fp16(model, islands=()), info.contract)


def test_an_unknown_rule_is_an_error(exported: Exported) -> None:
    model, _ = load(exported("msr") / "msr.onnx")
    with pytest.raises(ContractError, match="unknown rule 'magic'"):
        check(model, [UnknownRule(1, "magic", {})])


def test_files_that_are_no_exports(tmp_path: Path, exported: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (exported("msrnet") / "msrnet.onnx").read_bytes()
    cut, foreign = tmp_path / "cut.onnx", tmp_path / "foreign.onnx"
    cut.write_bytes(whole[: len(whole) // 2])
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "g", [value], [helper.make_tensor_value_info("y", 1, [1])]
    )
    onnx.save(helper.make_model(graph), foreign)
    for path, words in ((cut, "cut short"), (foreign, "does not describe itself"), (tmp_path / "none.onnx", "cannot read")):
        assert main([str(path)]) == 2
        error = capsys.readouterr().err
        assert words in error and str(path) in error and error.count("\n") == 1


def test_the_rules_travel_with_the_file(exported: Exported) -> None:
    _, info = load(exported("pdn") / "pdn_fp16.onnx")
    assert ArtifactInfo.from_json(info.to_json()) == info
    assert [rule.name for rule in info.contract] == ["division", "noise-subtraction"]


@pytest.mark.parametrize("rules", [(), (Division(1),)])
def test_a_file_cannot_bring_rules_of_its_own(
    rules: tuple[Rule, ...], exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, info = load(exported("pdn") / "pdn.onnx")
    path = tmp_path / "lenient.onnx"
    path.write_bytes(to_bytes(model, replace(info, contract=rules)))
    assert main([str(path)]) == 1
    assert "other rules" in capsys.readouterr().err
