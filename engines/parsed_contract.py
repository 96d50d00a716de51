"""Check the network that TensorRT's parser made: the Retinex steps are layers of their own, and the islands are FP32."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import singledispatch
from typing import Any

from runtime.artifact import ArtifactInfo
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
from runtime.errors import ArtifactError


class ParsedNetwork:
    """A parsed `INetworkDefinition` with its edges, by tensor name."""

    def __init__(self, network: Any, trt: Any) -> None:
        self._trt = trt
        self.layers: list[Any] = [network.get_layer(index) for index in range(network.num_layers)]
        self.kinds: dict[str, str] = {}
        self._producer: dict[str, Any] = {}
        concrete = {
            trt.LayerType.ELEMENTWISE: trt.IElementWiseLayer,
            trt.LayerType.ACTIVATION: trt.IActivationLayer,
            trt.LayerType.UNARY: trt.IUnaryLayer,
        }
        for layer in self.layers:
            kind = layer.type
            if kind in concrete:
                layer.__class__ = concrete[kind]  # The bindings hand out the base class; only so `op` is reachable.
                detail = layer.type if kind == trt.LayerType.ACTIVATION else layer.op
                self.kinds[layer.name] = detail.name
            else:
                self.kinds[layer.name] = kind.name
            for index in range(layer.num_outputs):
                self._producer[layer.get_output(index).name] = layer

    def of_kind(self, kind: str) -> list[Any]:
        """Layers of an operation ("DIV", "CLIP", "CONVOLUTION"), shape arithmetic left out."""
        floats = (self._trt.float32, self._trt.float16)
        return [layer for layer in self.layers if self.kinds[layer.name] == kind and layer.get_output(0).dtype in floats]

    def operand(self, layer: Any, index: int, through: tuple[str, ...] = ("CAST",)) -> tuple[str, Any]:
        """The kind of layer that an input comes from, and the layer; ("", None) for a network input."""
        tensor = layer.get_input(index)
        source = self._producer.get(tensor.name) if tensor is not None else None
        while source is not None and self.kinds[source.name] in through:
            source = self._producer.get(source.get_input(0).name)
        return ("", None) if source is None else (self.kinds[source.name], source)

    def is_fp32(self, layer: Any) -> bool:
        return layer.get_output(0).dtype == self._trt.float32

    def is_fp16(self, layer: Any) -> bool:
        return layer.get_output(0).dtype == self._trt.float16


def check(network: Any, trt: Any, info: ArtifactInfo) -> list[str]:
    """Check a parsed network against its contract, islands and precision; one line on each, or an ArtifactError."""
    parsed = ParsedNetwork(network, trt)
    found: list[str] = []
    for rule in info.contract:
        for what, expected, layers in find_steps(rule, parsed):
            if len(layers) != expected:
                raise ArtifactError(
                    f"{info.network}: TensorRT's parser left {len(layers)} of the {expected} layers '{what}' that the contract "
                    f"({rule.name}) asks for"
                )
            if rounded := [layer.name for layer in layers if not parsed.is_fp32(layer)]:
                raise ArtifactError(f"{info.network}: {rounded[0]} ({rule.name}) is not FP32 in the parsed network")
            found.append(f"{expected} x {what} in FP32")
    return [*found, *_check_islands(parsed, info), *_check_precision(parsed, info)]


def _check_islands(parsed: ParsedNetwork, info: ArtifactInfo) -> list[str]:
    """Layers are named module/Op: every one of an island's modules computes in FP32."""
    inside = 0
    for layer in parsed.layers:
        module, slash, operation = layer.name.partition("/")
        if not slash or not any(fnmatchcase(module, pattern) for pattern in info.islands) or "/to_fp" in operation:
            continue
        if parsed.is_fp16(layer):
            raise ArtifactError(f"{info.network}: {layer.name} belongs to an FP32 island and is FP16 in the parsed network")
        inside += parsed.is_fp32(layer)
    return [f"{inside} layers of the FP32 islands"] if inside else []


def _check_precision(parsed: ParsedNetwork, info: ArtifactInfo) -> list[str]:
    halves = [layer.name for layer in parsed.layers if layer.num_outputs and parsed.is_fp16(layer)]
    if info.precision == "fp32" and halves:
        raise ArtifactError(f"{info.network} says that it is FP32, but {halves[0]} is FP16 in the parsed network")
    # A network that is one island is FP32 in both files.
    if info.precision == "fp16" and not halves and "*" not in info.islands:
        raise ArtifactError(f"{info.network} says that it is FP16, but no layer of the parsed network is")
    return [f"{len(halves)} layers in FP16"]


#: For each kind of layer: its description, the expected number, and the layers found.
Steps = list[tuple[str, int, list[Any]]]


@singledispatch
def find_steps(rule: Rule, parsed: ParsedNetwork) -> Steps:
    """The layers of a rule's steps. Each class of `RULES` registers its own function below."""
    raise ArtifactError(f"unknown contract rule {rule.name!r}; known: {', '.join(RULES)}")


@find_steps.register(Division)
def _division(rule: Division, parsed: ParsedNetwork) -> Steps:
    divisions: list[Any] = []
    for layer in parsed.of_kind("DIV"):
        kind, clip = parsed.operand(layer, 1)
        if kind == "CLIP" and all(
            abs(value - wanted) <= 1e-6 * wanted for value, wanted in ((clip.alpha, rule.minimum), (clip.beta, rule.maximum))
        ):
            divisions.append(layer)
    return [("Div by a Clip", rule.count, divisions)]


@find_steps.register(NoiseSubtraction)
@find_steps.register(ConvolutionalDifference)
def _subtraction(rule: NoiseSubtraction | ConvolutionalDifference, parsed: ParsedNetwork) -> Steps:
    return [("Sub of a Conv", rule.count, _joined(parsed, "SUB"))]


def _joined(parsed: ParsedNetwork, kind: str) -> list[Any]:
    """Layers that take off, or add, what comes straight from a convolution, in FP32."""
    return [layer for layer in parsed.of_kind(kind) if parsed.is_fp32(layer) and parsed.operand(layer, 1)[0] == "CONVOLUTION"]


@find_steps.register(Coupling)
def _invertible_block(rule: Coupling, parsed: ParsedNetwork) -> Steps:
    scaled, joined = ("DIV", "SUB") if rule.direction == "enhance" else ("PROD", "SUM")
    scalings = [layer for layer in parsed.of_kind(scaled) if parsed.operand(layer, 1)[0] == "EXP"]
    words = {"DIV": "Div", "SUB": "Sub", "PROD": "Mul", "SUM": "Add"}
    return [
        (f"{words[scaled]} by an exponential", rule.count, scalings),
        (f"{words[joined]} with a Conv", 2 * rule.count, _joined(parsed, joined)),
    ]


@find_steps.register(Product)
def _product(rule: Product, parsed: ParsedNetwork) -> Steps:
    slices = ("CAST", "SLICE", "GATHER")
    products = [
        layer
        for layer in parsed.of_kind("PROD")
        if all(parsed.operand(layer, index, slices)[0] == "SIGMOID" for index in (0, 1))
    ]
    return [("Mul of two maps", rule.count, products)]


@find_steps.register(Logarithm)
def _logarithm(rule: Logarithm, parsed: ParsedNetwork) -> Steps:
    return [("Log", rule.count, parsed.of_kind("LOG"))]


@find_steps.register(LogDifference)
def _log_difference(rule: LogDifference, parsed: ParsedNetwork) -> Steps:
    differences: list[Any] = []
    for layer in parsed.of_kind("SUB"):
        (first, _), (second, blurred) = parsed.operand(layer, 0), parsed.operand(layer, 1)
        if first == second == "LOG" and parsed.operand(blurred, 0)[0] == "CLIP":
            differences.append(layer)
    return [("Sub of two Logs", rule.count, differences)]
