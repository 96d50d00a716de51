"""Compare an exported graph with the network, on pictures whose sizes are not the export example's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from runtime.errors import ArtifactError
from runtime.shapes import to_text
from train.networks.registry import NetworkSpec

#: A batch of pictures, as the graph takes them.
Picture = NDArray[Any]


class ParityError(ArtifactError):
    """A graph computes something else than the network that it was exported from."""


def verify(
    model: onnx.ModelProto,
    module: nn.Module,
    reference: onnx.ModelProto | None,
    spec: NetworkSpec,
    size: tuple[int, int] | None,
) -> tuple[str, ...]:
    """Check a graph and return one line per finding.

    An FP32 graph must reproduce `module` within one code of 8 bits. For an FP16 graph `reference` is the FP32 graph,
    and the difference is stated.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ParityError(f"onnx.checker refuses the graph: {error}") from error
    try:
        import onnxruntime
    except ImportError:
        return ("onnx.checker", "parity not checked: ONNX Runtime is missing (pip install 'retinexrt[onnxruntime]')")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3

    def runner(of: onnx.ModelProto) -> Callable[[Picture], Picture]:
        session = onnxruntime.InferenceSession(of.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return lambda picture: np.asarray(session.run(None, {"image": picture})[0])

    run = runner(model)
    against = None if reference is None else runner(reference)
    lines = ["onnx.checker"]
    for picture in _pictures(model, spec, size):
        found = run(picture)
        if against is None:
            with torch.inference_mode():
                wanted = module(torch.from_numpy(picture)).numpy()
            worst = _codes(found, wanted)
            if worst > 1.0:
                raise ParityError(f"{spec.name}: ONNX differs from torch by {worst:.3g} codes at {to_text(picture.shape)}")
            lines.append(f"{to_text(picture.shape)}: torch and ONNX differ by at most {worst:.2g} code")
        else:
            wanted = against(picture)
            lines.append(f"{to_text(picture.shape)}: FP16 and FP32 differ by at most {_codes(found, wanted):.2g} codes")
    return tuple(lines)


def _pictures(model: onnx.ModelProto, spec: NetworkSpec, size: tuple[int, int] | None) -> list[Picture]:
    """Dark noise pictures: an odd size and a batch, or the fixed size."""
    random = np.random.default_rng(0)
    image_io = model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sizes = [(1, 33, 47), (2, 40, 56)] if size is None else [(1, *size)]
    pictures: list[Picture] = []
    for count, height, width in sizes:
        if image_io:
            pictures.append(random.integers(0, 64, (count, height, width, 3), dtype=np.uint8))
        else:
            sides = (-(-side // spec.multiple) * spec.multiple for side in (height, width))
            pictures.append(random.random((count, 3, *sides), dtype=np.float32) * np.float32(0.25))
    return pictures


def _codes(found: Picture, wanted: Picture) -> float:
    """Largest difference in codes of 8 bits."""
    if found.dtype == np.uint8:
        return float(np.abs(found.astype(np.int16) - wanted.astype(np.int16)).max())
    clipped = (np.clip(values.astype(np.float64), 0.0, 1.0) for values in (found, wanted))
    return float(np.abs(next(clipped) - next(clipped)).max() * 255.0)
