"""Check the graph contract: the Retinex steps of a network are ops of the exported file.

A rule follows edges, so renaming nodes or adding unrelated ones does not matter, and a step that was folded, moved,
rounded or dropped is found. `python export/contract.py FILE.onnx` checks any exported file by the rules that it carries.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):  # run as a script: its folder is on the path, the project's is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from runtime import command_line
from runtime.artifact.contract import (
    RULES,
    ConvolutionalDifference,
    Coupling,
    Division,
    Logarithm,
    LogDifference,
    NoiseSubtraction,
    Product,
    Rule,
)
from runtime.errors import ArtifactError, RetinexError

if TYPE_CHECKING:
    import onnx

    from export.onnx_graph import Edges
    from runtime.artifact import ArtifactInfo

#: Ops between the picture and the numerator of a division that leave the picture the same.
_SAME_PICTURE = ("Cast", "Transpose", "Pad", "Reshape")
#: The same, by a constant number.
_RANGE = ("Mul", "Div")
_SLICES = ("Cast", "Slice", "Split", "Gather")


class ContractError(ArtifactError):
    """A graph lacks a step that its network must keep."""


def check(model: onnx.ModelProto, rules: Iterable[Rule]) -> list[str]:
    """Check every rule; return one line per rule on what was found, or raise a ContractError."""
    from export.onnx_graph import Edges

    edges = Edges(model)
    lines: list[str] = []
    for rule in rules:
        check_rule(rule, edges)
        lines.append(f"{rule.count} x {rule.name}")
    return lines


@singledispatch
def check_rule(rule: Rule, edges: Edges) -> None:
    """Raise a ContractError unless the graph keeps the rule. Each class of `RULES` registers its check below."""
    raise ContractError(f"unknown rule {rule.name!r}; known: {', '.join(RULES)}")


def _expect(count: int, rule: Rule, what: str) -> None:
    if count != rule.count:
        raise ContractError(f"{rule.name}: expected {rule.count} {what}, found {count}")


def _divisions(edges: Edges) -> list[onnx.NodeProto]:
    """Divisions by something that the graph computes."""
    return [node for node in edges.of_type("Div") if node.input[1] not in edges.constants]


def _operand(edges: Edges, name: str, op_type: str) -> onnx.NodeProto | None:
    node = edges.source(name)
    return node if node is not None and node.op_type == op_type else None


def _require_fp32(edges: Edges, node: onnx.NodeProto, rule: Rule) -> None:
    if not all(edges.is_fp32(name) for name in node.input if name):
        raise ContractError(f"{rule.name}: {node.name} computes in FP16; it belongs to an FP32 island")


def _is_constant(edges: Edges, name: str, wanted: float) -> bool:
    value = edges.constant(name)
    return value is not None and value.size == 1 and abs(float(value.reshape(-1)[0]) - wanted) <= 1e-6 * abs(wanted)


@check_rule.register(Division)
def _check_division(rule: Division, edges: Edges) -> None:
    """The numerator is the picture; the divisor is a convolution's output, clamped in FP32."""
    divisions = _divisions(edges)
    _expect(len(divisions), rule, "Div by an illumination")
    for node in divisions:
        clip = _operand(edges, node.input[1], "Clip")
        if clip is None or len(clip.input) < 3:
            raise ContractError(f"division: {node.name} divides by something that is not clamped from both sides")
        for bound, key, wanted in ((clip.input[1], "minimum", rule.minimum), (clip.input[2], "maximum", rule.maximum)):
            if not _is_constant(edges, bound, wanted):
                raise ContractError(f"division: {clip.name} has {key} {edges.constant(bound)}, expected {wanted:.7}")
        light = edges.source(clip.input[0], through=("Cast", "Mul", "Sigmoid", "DepthToSpace"))
        if rule.guided:
            _check_guided(rule, edges, clip)
        elif light is None or light.op_type != "Conv":
            raise ContractError(f"division: {node.name} does not divide by what a convolution makes")
        if not _is_picture(edges, node.input[0]):
            raise ContractError(f"division: {node.name} does not divide the picture")
        _require_fp32(edges, node, rule)
        _require_fp32(edges, clip, rule)


def _check_guided(rule: Division, edges: Edges, clip: onnx.NodeProto) -> None:
    """The clamp is of exp(slope x guide + offset): maps enlarged from a convolution, and the logarithm of the picture."""
    exponential = _operand(edges, clip.input[0], "Exp")
    total = exponential and edges.source(exponential.input[0], through=("Cast", "Reshape", "Transpose"))
    if total is None or total.op_type != "Add":
        raise ContractError(f"division: {clip.name} does not clamp the exponential of slope x guide + offset")
    maps = [_enlarged(edges, name) for name in total.input]
    if maps[0] is None or maps[0] is not maps[1] or maps[0].op_type != "Resize":
        raise ContractError(f"division: slope and offset of {total.name} are not enlarged from one map")
    if not any(node.op_type == "Conv" for node in edges.ancestors(maps[0].input[0], stop=("Conv",))):
        raise ContractError(f"division: {maps[0].name} does not enlarge what a convolution makes")
    logs = [node for node in edges.ancestors(total.input[0], stop=("Log", "Resize")) if node.op_type == "Log"]
    guides = [edges.source(node.input[0], through=("Cast", "Add")) for node in logs]
    if not any(guide is not None and guide.op_type == "Conv" and _is_picture(edges, guide.input[0]) for guide in guides):
        raise ContractError(f"division: {total.name} is not guided by the logarithm of the picture")
    _require_fp32(edges, exponential, rule)  # pyright: ignore[reportArgumentType]
    _require_fp32(edges, total, rule)


def _enlarged(edges: Edges, name: str) -> onnx.NodeProto | None:
    """The node that makes a map, before it is scaled, shifted, cut, and interpolated within its cells."""
    around = ("Cast", "Reshape", "Slice", "Mul", "Add")
    node = edges.source(name, through=around)
    while node is not None and node.op_type == "Conv" and _interpolates(edges, node):
        node = edges.source(node.input[0], through=around)
    return node


def _interpolates(edges: Edges, convolution: onnx.NodeProto) -> bool:
    """Does each of its filters take a mean, weighed as it may be?"""
    weights = edges.constant(convolution.input[1])
    if weights is None or len(convolution.input) > 2:
        return False
    filters = weights.reshape(len(weights), -1).astype(float)
    return bool(filters.min() >= 0 and abs(filters.sum(axis=1) - 1).max() < 1e-5)


def _is_picture(edges: Edges, name: str) -> bool:
    """Does this come from the graph's input, changed in nothing but range, type and layout?"""
    while name not in edges.inputs:
        node = edges.source(name, through=())
        if node is None or not (node.op_type in _SAME_PICTURE or _changes_range(edges, node)):
            return False
        name = node.input[0]
    return True


def _changes_range(edges: Edges, node: onnx.NodeProto) -> bool:
    """Does this multiply or divide everything by one constant number?"""
    if node.op_type not in _RANGE:
        return False
    number = edges.constant(node.input[1])
    return number is not None and number.size == 1


@check_rule.register(NoiseSubtraction)
def _check_noise_subtraction(rule: NoiseSubtraction, edges: Edges) -> None:
    """A convolution's output is subtracted, from a reflectance or from the result of the subtraction before."""
    nodes = edges.of_type("Sub")
    _expect(len(nodes), rule, "Sub")
    for node in nodes:
        if _operand(edges, node.input[1], "Conv") is None:
            raise ContractError(f"noise-subtraction: {node.name} does not subtract the output of a convolution")
        origin = edges.source(node.input[0], through=("Cast", "Clip"))
        if origin is None or origin.op_type not in ("Div", "Sub"):
            raise ContractError(f"noise-subtraction: {node.name} does not subtract from a reflectance")
        _require_fp32(edges, node, rule)


def _is_exponential(edges: Edges, name: str) -> bool:
    """Is this exp(tanh(convolution / 2))?"""
    exp = _operand(edges, name, "Exp")
    tanh = exp and _operand(edges, exp.input[0], "Tanh")
    half = tanh and _operand(edges, tanh.input[0], "Mul")
    if half is None or not _is_constant(edges, half.input[1], 0.5):
        return False
    return _operand(edges, half.input[0], "Conv") is not None


@check_rule.register(Coupling)
def _check_invertible_block(rule: Coupling, edges: Edges) -> None:
    """Per block: one half is scaled by an exponential, and two halves have the output of a convolution taken off or added."""
    scaled, joined = ("Div", "Sub") if rule.direction == "enhance" else ("Mul", "Add")
    scalings = [node for node in edges.of_type(scaled) if _is_exponential(edges, node.input[1])]
    _expect(len(scalings), rule, f"{scaled} by an exponential")
    if scaled == "Div" and len(_divisions(edges)) != len(scalings):
        raise ContractError("invertible-block: there is a Div by something else than an exponential")
    updates = [
        node
        for node in edges.of_type(joined)
        if _operand(edges, node.input[1], "Conv") is not None and edges.is_fp32(node.output[0])
    ]
    expected = 2 * rule.count
    if len(updates) != expected:
        raise ContractError(f"invertible-block: expected {expected} {joined} with a convolution in FP32, found {len(updates)}")
    update_outputs = {node.output[0] for node in updates}
    for node in scalings:
        _require_fp32(edges, node, rule)
        consumed = {name for other in updates for name in other.input[:1]}
        linked = node.input[0] in update_outputs if joined == "Sub" else node.output[0] in consumed
        if not linked:
            raise ContractError(f"invertible-block: {node.name} is not joined to the {joined} of its block")


@check_rule.register(Product)
def _check_product(rule: Product, edges: Edges) -> None:
    """Reflectance x illumination: a product of outputs of two different sigmoids."""
    products: list[onnx.NodeProto] = []
    for node in edges.of_type("Mul"):
        sources = [edges.source(name, through=_SLICES) for name in node.input]
        if all(source is not None and source.op_type == "Sigmoid" for source in sources) and sources[0] is not sources[1]:
            products.append(node)
    _expect(len(products), rule, "Mul of a reflectance and an illumination")
    for node in products:
        _require_fp32(edges, node, rule)


@check_rule.register(Logarithm)
def _check_logarithm(rule: Logarithm, edges: Edges) -> None:
    """Logarithms of one plus the scaled picture."""
    nodes = edges.of_type("Log")
    _expect(len(nodes), rule, "Log")
    for node in nodes:
        add = _operand(edges, node.input[0], "Add")
        if add is None or not any(_is_constant(edges, name, 1.0) for name in add.input):
            raise ContractError(f"logarithm: {node.name} is not the logarithm of one plus something")
        _require_fp32(edges, node, rule)


@check_rule.register(ConvolutionalDifference)
def _check_convolutional_difference(rule: ConvolutionalDifference, edges: Edges) -> None:
    """A convolution of features is subtracted from the picture that the features come from."""
    nodes = edges.of_type("Sub")
    _expect(len(nodes), rule, "Sub")
    for node in nodes:
        if _operand(edges, node.input[1], "Conv") is None:
            raise ContractError(f"convolutional-difference: {node.name} does not subtract the output of a convolution")
        origin = edges.source(node.input[0])
        if origin is None or origin.name not in {ancestor.name for ancestor in edges.ancestors(node.input[1])}:
            raise ContractError(f"convolutional-difference: {node.name} does not subtract from where its features come from")
        _require_fp32(edges, node, rule)


@check_rule.register(LogDifference)
def _check_log_difference(rule: LogDifference, edges: Edges) -> None:
    """Log of the picture minus log of the blurred picture, which is kept above one."""
    nodes: list[onnx.NodeProto] = []
    for node in edges.of_type("Sub"):
        logs = [_operand(edges, name, "Log") for name in node.input]
        clip = logs[1] and _operand(edges, logs[1].input[0], "Clip")
        if logs[0] is not None and clip is not None and _is_constant(edges, clip.input[1], 1.0):
            nodes.append(node)
    _expect(len(nodes), rule, "Sub of a Log and the Log of a blur clamped at 1")
    for node in nodes:
        _require_fp32(edges, node, rule)


def _rules(info: ArtifactInfo) -> tuple[Rule, ...]:
    """The rules of a file: those it carries, which for a network that we know must be the network's own."""
    from train.networks.registry import NETWORKS, get_spec

    if info.network in NETWORKS and tuple(get_spec(info.network).contract) != info.contract:
        raise ContractError(f"the file carries other rules than {info.network} has; export it again")
    if not info.contract:
        raise ContractError(f"the file of {info.network} carries no rules")
    return info.contract


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    parser = command_line.Parser(
        prog="python export/contract.py", description="Check that an exported ONNX file keeps its Retinex steps."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.onnx")
    return command_line.run(_run, parser, argv, "export", prog)


def _run(arguments: argparse.Namespace) -> int:
    from export.onnx_files import load

    status = 0
    for path in arguments.files:
        try:
            model, info = load(path)
            found = ", ".join(check(model, _rules(info)))
            print(f"{path}: {info.network} {info.precision}: {found}")
        except ContractError as error:
            print(f"{path}: {error}", file=sys.stderr)
            status = max(status, 1)
        except RetinexError as error:
            print(error, file=sys.stderr)
            status = 2
    return status


if __name__ == "__main__":
    sys.exit(main())
