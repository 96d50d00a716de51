"""Interpreter of TensorRT's parsed networks: every layer computed with torch on the CPU.

A plan's own kernels need a GPU. What can go wrong before them does not: the geometry of a transposed convolution, a border
mode, the shape arithmetic of the padding, a cast in the wrong place. Here every layer of the parsed network is computed
by its documented meaning, in the type that the network gives it, and nothing is read from the ONNX file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Images = NDArray[np.uint8]


class Interpreter:
    """A parsed `INetworkDefinition`, called with one uint8 array."""

    def __init__(self, network: Any, trt: Any) -> None:
        self._trt = trt
        self._types = {
            trt.float32: torch.float32,
            trt.float16: torch.float16,
            trt.int32: torch.int32,
            trt.int64: torch.int64,
            trt.bool: torch.bool,
            trt.uint8: torch.uint8,
        }
        classes = {
            "ACTIVATION": trt.IActivationLayer,
            "CAST": trt.ICastLayer,
            "CONCATENATION": trt.IConcatenationLayer,
            "CONSTANT": trt.IConstantLayer,
            "CONVOLUTION": trt.IConvolutionLayer,
            "DECONVOLUTION": trt.IDeconvolutionLayer,
            "ELEMENTWISE": trt.IElementWiseLayer,
            "FILL": trt.IFillLayer,
            "GATHER": trt.IGatherLayer,
            "MATRIX_MULTIPLY": trt.IMatrixMultiplyLayer,
            "POOLING": trt.IPoolingLayer,
            "REDUCE": trt.IReduceLayer,
            "SHAPE": trt.IShapeLayer,
            "SHUFFLE": trt.IShuffleLayer,
            "SLICE": trt.ISliceLayer,
            "SQUEEZE": trt.ISqueezeLayer,
            "UNARY": trt.IUnaryLayer,
            "UNSQUEEZE": trt.IUnsqueezeLayer,
        }
        layers: dict[str, tuple[str, Any]] = {}
        for index in range(network.num_layers):
            layer = network.get_layer(index)
            kind = layer.type.name
            assert kind in classes and layer.num_outputs == 1, f"{layer.name}: the interpreter knows no {kind} like this"
            # The bindings hand out the base class, which has no attributes; and activations hide the layer's type.
            layer.__class__ = classes[kind]
            layers[layer.get_output(0).name] = kind, layer
        self._input = network.get_input(0).name
        self._output = network.get_output(0).name
        order = TopologicalSorter({name: _inputs(layer) for name, (_, layer) in layers.items()})
        self._layers = [layers[name] for name in order.static_order() if name != self._input]

    def __call__(self, images: Images) -> Images:
        known: dict[str, Tensor] = {self._input: torch.from_numpy(images.copy())}
        for kind, layer in self._layers:
            inputs = [None if name is None else known[name] for name in _names(layer)]
            result = getattr(self, f"_{kind.lower()}")(layer, *inputs)
            output = layer.get_output(0)
            wanted = self._types[output.dtype]
            if kind not in _KEEP and result.dtype != wanted:
                result = result.to(wanted)
            assert result.dtype == wanted, f"{layer.name}: {result.dtype}, the network says {wanted}"
            assert result.ndim == len(output.shape), f"{layer.name}: rank {result.ndim}, the network says {output.shape}"
            known[output.name] = result
        return known[self._output].numpy()

    # What the layers do. Arithmetic in FP16 is done in FP32 and rounded by the caller, as tensor cores do.

    def _constant(self, layer: Any) -> Tensor:
        return torch.from_numpy(np.array(layer.weights).reshape(tuple(layer.shape)))

    def _shape(self, layer: Any, x: Tensor) -> Tensor:
        return torch.tensor(x.shape, dtype=torch.int64)

    def _cast(self, layer: Any, x: Tensor) -> Tensor:
        return x.to(self._types[layer.to_type])

    def _activation(self, layer: Any, x: Tensor) -> Tensor:
        kind, x = layer.type.name, _wide(x)
        if kind == "CLIP":
            return x.clamp(layer.alpha, layer.beta)
        if kind == "LEAKY_RELU":
            return F.leaky_relu(x, layer.alpha)
        return {"RELU": F.relu, "SIGMOID": torch.sigmoid, "TANH": torch.tanh}[kind](x)

    def _unary(self, layer: Any, x: Tensor) -> Tensor:
        return _UNARY[layer.op.name](_wide(x))

    def _elementwise(self, layer: Any, a: Tensor, b: Tensor) -> Tensor:
        assert a.ndim == b.ndim and a.dtype == b.dtype, f"{layer.name}: {a.shape} {a.dtype}, {b.shape} {b.dtype}"
        return _ELEMENTWISE[layer.op.name](_wide(a), _wide(b))

    def _reduce(self, layer: Any, x: Tensor) -> Tensor:
        axes = [axis for axis in range(x.ndim) if layer.axes >> axis & 1]
        return _REDUCE[layer.op.name](_wide(x), axes, layer.keep_dims)

    def _matrix_multiply(self, layer: Any, a: Tensor, b: Tensor) -> Tensor:
        def turned(x: Tensor, op: Any) -> Tensor:
            assert op.name in ("NONE", "TRANSPOSE")
            return _wide(x).mT if op.name == "TRANSPOSE" else _wide(x)

        return turned(a, layer.op0) @ turned(b, layer.op1)

    def _concatenation(self, layer: Any, *parts: Tensor) -> Tensor:
        return torch.cat(parts, layer.axis)

    def _gather(self, layer: Any, data: Tensor, indices: Tensor) -> Tensor:
        assert layer.mode.name == "DEFAULT" and layer.num_elementwise_dims == 0
        flat = data.index_select(layer.axis, indices.reshape(-1).to(torch.int64) % data.shape[layer.axis])
        return flat.reshape(*data.shape[: layer.axis], *indices.shape, *data.shape[layer.axis + 1 :])

    def _squeeze(self, layer: Any, x: Tensor, axes: Tensor | None = None) -> Tensor:
        """Without axes, all of size 1 go."""
        if axes is None:
            return x.squeeze()
        gone = {int(axis) % x.ndim for axis in axes.reshape(-1)}
        assert all(x.shape[axis] == 1 for axis in gone)
        return x.reshape([size for axis, size in enumerate(x.shape) if axis not in gone])

    def _unsqueeze(self, layer: Any, x: Tensor, axes: Tensor) -> Tensor:
        rank = x.ndim + axes.numel()
        for axis in sorted(int(axis) % rank for axis in axes.reshape(-1)):
            x = x.unsqueeze(axis)
        return x

    def _shuffle(self, layer: Any, x: Tensor, sizes: Tensor | None = None) -> Tensor:
        x = x.permute(_order(layer.first_transpose, x.ndim))
        if sizes is not None:
            wanted = [int(size) for size in sizes]
        else:
            found = layer.reshape_dims
            wanted = list(x.shape if found is None else found)
        if layer.zero_is_placeholder:
            wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
        x = x.reshape(wanted)
        return x.permute(_order(layer.second_transpose, x.ndim)).contiguous()

    def _slice(self, layer: Any, x: Tensor, *given: Tensor | None) -> Tensor:
        start, size, stride = (
            [int(value) for value in values] if values is not None else list(own)
            for values, own in zip((*given, None, None, None)[:3], (layer.start, layer.shape, layer.stride), strict=True)
        )
        mode, axes = layer.mode.name, layer.axes
        for axis, first, count, step in zip(range(x.ndim) if axes is None else axes, start, size, stride, strict=True):
            index, most = first + step * torch.arange(count), x.shape[axis]
            if mode == "CLAMP":
                index = index.clamp(0, most - 1)
            elif mode == "WRAP":
                index %= most
            else:
                assert mode == "STRICT_BOUNDS", mode
                assert not count or (int(index.min()) >= 0 and int(index.max()) < most), f"{layer.name} leaves the tensor"
            x = x.index_select(axis, index)
        return x

    def _fill(self, layer: Any, *given: Tensor | None) -> Tensor:
        shape, alpha, beta = (*given, None, None, None)[:3]
        assert layer.operation.name == "LINSPACE"
        sizes = [int(size) for size in (shape if shape is not None else layer.shape)]
        assert len(sizes) == 1, "one axis is enough for what is exported"
        first = alpha.reshape(()) if alpha is not None else torch.tensor(layer.alpha)
        step = beta.reshape(()) if beta is not None else torch.tensor(layer.beta)
        return first + step * torch.arange(sizes[0]).to(first.dtype)

    def _convolution(self, layer: Any, x: Tensor, *given: Tensor | None) -> Tensor:
        kernel, bias = self._weights(layer, given)
        channels = x.shape[1] // layer.num_groups
        weight = kernel.reshape(layer.num_output_maps, channels, *layer.kernel_size_nd)
        _explicit(layer)
        before, after = layer.pre_padding, layer.post_padding
        padded = F.pad(_wide(x), (before[1], after[1], before[0], after[0]))
        return F.conv2d(
            padded, weight, bias, tuple(layer.stride_nd), dilation=tuple(layer.dilation_nd), groups=layer.num_groups
        )

    def _deconvolution(self, layer: Any, x: Tensor, *given: Tensor | None) -> Tensor:
        """As its documentation says: output size (in - 1) * stride + kernel less both paddings."""
        kernel, bias = self._weights(layer, given)
        weight = kernel.reshape(x.shape[1], layer.num_output_maps // layer.num_groups, *layer.kernel_size_nd)
        _explicit(layer)
        full = F.conv_transpose2d(
            _wide(x), weight, bias, tuple(layer.stride_nd), dilation=tuple(layer.dilation_nd), groups=layer.num_groups
        )
        (top, left), (bottom, right) = layer.pre_padding, layer.post_padding
        return full[:, :, top : full.shape[2] - bottom, left : full.shape[3] - right]

    def _pooling(self, layer: Any, x: Tensor) -> Tensor:
        _explicit(layer)
        assert not any((*layer.pre_padding, *layer.post_padding))
        pool = {"AVERAGE": F.avg_pool2d, "MAX": F.max_pool2d}[layer.type.name]
        return pool(_wide(x), tuple(layer.window_size_nd), tuple(layer.stride_nd))

    def _weights(self, layer: Any, given: Sequence[Tensor | None]) -> tuple[Tensor, Tensor | None]:
        """Kernel and bias: tensors of the network where they are inputs, else the layer's own."""

        def own(values: Any) -> Tensor | None:
            found = np.array(values)
            return _wide(torch.from_numpy(found)) if found.size else None

        kernel = _wide(given[0]) if given and given[0] is not None else own(layer.kernel)
        assert kernel is not None, f"{layer.name} has no kernel"
        return kernel, _wide(given[1]) if len(given) > 1 and given[1] is not None else own(layer.bias)


#: Kinds that may not change the type by themselves.
_KEEP = {"CAST", "SLICE", "SHUFFLE", "CONCATENATION", "GATHER", "SQUEEZE", "UNSQUEEZE", "CONSTANT"}


def _names(layer: Any) -> list[str | None]:
    """The tensors that a layer reads; None where it has none in that place."""
    tensors = [layer.get_input(index) for index in range(layer.num_inputs)]
    return [None if tensor is None else tensor.name for tensor in tensors]


def _inputs(layer: Any) -> list[str]:
    return [name for name in _names(layer) if name is not None]


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype == torch.float16 else x


def _order(permutation: Any, rank: int) -> list[int]:
    return [int(permutation[axis]) for axis in range(rank)]


def _explicit(layer: Any) -> None:
    assert layer.padding_mode.name == "EXPLICIT_ROUND_DOWN", layer.padding_mode


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _divide(a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "EXP": torch.exp, "LOG": torch.log, "SQRT": torch.sqrt, "RECIP": torch.reciprocal, "ABS": torch.abs, "NEG": torch.neg,
    "FLOOR": torch.floor, "CEIL": torch.ceil, "ROUND": torch.round, "COS": torch.cos, "SIN": torch.sin,
    "NOT": torch.logical_not,
}  # fmt: skip
_ELEMENTWISE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "SUM": torch.add, "PROD": torch.mul, "SUB": torch.sub, "DIV": _divide, "MAX": torch.maximum, "MIN": torch.minimum,
    "POW": torch.pow, "FLOOR_DIV": torch.floor_divide, "EQUAL": torch.eq, "GREATER": torch.gt, "LESS": torch.lt,
    "AND": torch.logical_and, "OR": torch.logical_or,
}  # fmt: skip
_REDUCE: dict[str, Callable[[Tensor, list[int], bool], Tensor]] = {
    "SUM": lambda x, axes, keep: x.sum(axes, keepdim=keep),
    "AVG": lambda x, axes, keep: x.mean(axes, keepdim=keep),
    "MAX": lambda x, axes, keep: x.amax(axes, keepdim=keep),
    "PROD": _product,
}
