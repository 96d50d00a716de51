"""Export a network to ONNX, FP32 and typed FP16; both graphs are checked before anything is written."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.artifact import MINIMUM_SIZE, SCHEMA, ArtifactInfo, Precision, TensorInfo
from runtime.errors import InputError
from runtime.files import sha256, write_atomically
from train.networks.registry import NetworkSpec, get_spec

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from train.networks.weights import LoadedNetwork

DEFAULT_OPSET = 20
_INPUT, _OUTPUT = "image", "enhanced"


@dataclass(frozen=True)
class Options:
    """Options of an export."""

    #: Height and width; None: dynamic.
    size: tuple[int, int] | None = None
    #: Export the bare network, float32 N x 3 x H x W in [0, 1], instead of image in and image out.
    tensor_io: bool = False
    opset: int = DEFAULT_OPSET
    #: A weights file; None: the shipped one, or a seeded initialisation where none was trained.
    weights: Path | None = None


@dataclass(frozen=True)
class Export:
    """A graph in one precision, with its description and what was verified about it."""

    model: onnx.ModelProto
    info: ArtifactInfo
    verified: tuple[str, ...]

    def to_bytes(self) -> bytes:
        from export.onnx_files import to_bytes

        return to_bytes(self.model, self.info)


def export_network(name: str, options: Options = Options()) -> tuple[Export, Export]:
    """Export one network and check it; return its FP32 and its typed FP16 graph. Nothing is written."""
    from export.contract import check
    from export.fp16 import to_fp16
    from export.image_graph import ImageGraph, TensorGraph
    from export.verify import verify
    from train.networks.weights import load

    spec = get_spec(name)
    _check_options(spec, options)
    loaded = load(spec, options.weights)
    module = (TensorGraph(loaded.network) if options.tensor_io else ImageGraph(loaded.network, spec.multiple)).eval()
    fp32 = _export_graph(module, spec, options)
    exports: list[Export] = []
    graphs: tuple[tuple[Precision, onnx.ModelProto], ...] = (("fp32", fp32), ("fp16", to_fp16(fp32, spec.islands)))
    for precision, model in graphs:
        steps = check(model, spec.contract)
        verified = verify(model, module, exports[0].model if exports else None, spec, options.size)
        exports.append(Export(model, _describe(model, spec, loaded, options, precision), (*steps, *verified)))
    return exports[0], exports[1]


def _check_options(spec: NetworkSpec, options: Options) -> None:
    if options.opset < 18:
        raise InputError(f"opset {options.opset} is too old for these graphs; use 18 or newer")
    if options.size is None:
        return
    if min(options.size) < MINIMUM_SIZE:
        raise InputError(f"size {options.size[0]}x{options.size[1]} is below the minimum of {MINIMUM_SIZE}x{MINIMUM_SIZE}")
    if options.tensor_io and any(side % spec.multiple for side in options.size):
        raise InputError(f"{spec.name} takes tensors whose height and width are multiples of {spec.multiple}")


def _export_graph(module: nn.Module, spec: NetworkSpec, options: Options) -> onnx.ModelProto:
    import torch

    from export.operators import translations
    from export.tidy import tidy

    # A batch of two, so that the exporter does not take the batch for a constant; sizes that no test uses.
    height, width = options.size or (4 * 16 + 16, 5 * 16 + 16)
    if options.tensor_io:
        example = torch.zeros(2, 3, height, width)
        sides = {2: "H", 3: "W"}
    else:
        example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
        sides = {1: "H", 2: "W"}
    shapes: dict[int, object] = {0: torch.export.Dim("N", min=1)}
    if options.size is None:
        for axis, side in sides.items():
            # A tensor graph does not pad: its dimensions say which sizes they take.
            step = spec.multiple if options.tensor_io else 1
            dimension = torch.export.Dim(side, min=MINIMUM_SIZE // step)
            shapes[axis] = step * dimension if step > 1 else dimension
    with _quiet():
        program = torch.onnx.export(
            module,
            (example,),
            input_names=[_INPUT],
            output_names=[_OUTPUT],
            opset_version=options.opset,
            dynamo=True,
            external_data=False,
            dynamic_shapes=(shapes,),
            verbose=False,
            custom_translation_table=dict(translations()),
        )
    assert program is not None
    return tidy(program.model_proto)


@contextlib.contextmanager
def _quiet():  # noqa: ANN202
    """Keep the exporter's remarks on optional packages out of the way."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _describe(
    model: onnx.ModelProto, spec: NetworkSpec, loaded: LoadedNetwork, options: Options, precision: Precision
) -> ArtifactInfo:
    import onnx
    import onnxscript
    import torch

    from export.parts import find_parts

    sides: tuple[int | str, int | str] = options.size or ("H", "W")
    if options.tensor_io:
        if options.size is None and spec.multiple > 1:
            sides = (f"{spec.multiple}*H", f"{spec.multiple}*W")
        tensor = TensorInfo(_INPUT, "float32", ("N", 3, *sides), "NCHW", 0.0, 1.0)
    else:
        tensor = TensorInfo(_INPUT, "uint8", ("N", *sides, 3), "NHWC", 0.0, 255.0)
    output = TensorInfo(_OUTPUT, tensor.dtype, tensor.shape, tensor.layout, tensor.black, tensor.white)
    return ArtifactInfo(
        schema=SCHEMA,
        network=spec.name,
        title=spec.title,
        precision=precision,
        trained=loaded.trained,
        weights_sha256=loaded.sha256,
        input=tensor,
        output=output,
        multiple=spec.multiple,
        halo=spec.halo,
        islands=spec.islands if precision == "fp16" else (),
        contract=spec.contract,
        opset=options.opset,
        cpu_precision=spec.cpu_precision,
        parts=None if options.tensor_io else find_parts(model, spec),
        tools={"torch": torch.__version__.split("+")[0], "onnx": onnx.__version__, "onnxscript": onnxscript.__version__},
    )


def write(exports: tuple[Export, Export], folder: Path) -> list[Path]:
    """Write both files, each whole or not at all."""
    from export.onnx_files import onnx_path

    paths: list[Path] = []
    for export in exports:
        path = onnx_path(folder, export.info.network, export.info.precision)
        write_atomically(path, export.to_bytes())
        paths.append(path)
    return paths


def note_in_card(exports: tuple[Export, Export], paths: list[Path], weights: Path | None) -> None:
    """Write the exported files' hashes, and what exported them, into the card beside the weights, if they have one."""
    from train.networks.weights import default_path

    info = exports[0].info
    chosen = weights or default_path(get_spec(info.network))
    card = None if chosen is None else chosen.with_suffix(".json")
    if card is None or not card.is_file() or not info.trained:
        return
    try:
        document = json.loads(card.read_text(encoding="utf-8"))
        others = document.get("exported", {}).get("sha256", {})  # dsn's and dsn-reverse's weights are the same.
        hashes = {**others, **{path.name: sha256(path) for path in paths}}
        document["exported"] = {"tools": dict(info.tools), "sha256": hashes}
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{card} is no card: {error}") from error
    write_atomically(card, (json.dumps(document, indent=2) + "\n").encode())
