"""INT8 convolutions, as a trial for NOTES.md: `python -m benchmarks.studies.int8 pdn` writes a file for the benchmarks.

The convolutions are quantised after training: weights per channel to int8, activations to uint8, their ranges taken from
dark training pictures. The convolutions that make an illumination, and the Retinex steps, stay FP32.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.harness import command
from benchmarks.harness.contenders import INT8
from runtime import command_line
from runtime.artifact import locate
from runtime.files import write_atomically

#: Parts of a convolution's name: it makes an illumination, an average or an exposure, which 8 bits are too coarse for.
_KEPT = ("_light.tail", "_light.enlarge", "reduce", "exposure")


def quantise(source: Path, data: Path, pictures: int) -> bytes:
    """Quantise an exported network; the end of its name then says so."""
    from onnxruntime import quantization as ort

    from export.onnx_files import load, to_bytes
    from train.pairs import find_pairs, read_picture

    model, info = load(source)
    named = [node.name for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    dark = [pair.low for pair in find_pairs(data, "train") if pair.low is not None]
    chosen = dark[:: max(1, len(dark) // pictures)][:pictures]

    class Reader(ort.CalibrationDataReader):
        def __init__(self) -> None:
            self._images: Iterator[Any] = (read_picture(path)[None] for path in chosen)

        def get_next(self) -> Any:
            image = next(self._images, None)
            return None if image is None else {info.input.name: image}

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "quantised.onnx"
        ort.quantize_static(
            str(source),
            str(target),
            Reader(),
            quant_format=ort.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "ConvTranspose"],
            nodes_to_quantize=[name for name in named if not any(part in name for part in _KEPT)],
            per_channel=True,
            activation_type=ort.QuantType.QUInt8,
            weight_type=ort.QuantType.QInt8,
            calibrate_method=ort.CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": 99.99},
        )
        quantised, _ = load(target)
    return to_bytes(quantised, replace(info, network=info.network + INT8, contract=()))


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.int8", description="Quantise an exported network to INT8, as a trial."
    )
    parser.add_argument("name", help="network, e.g. pdn")
    parser.add_argument("--data", type=Path, required=True, help="folder of pairs, whose training pictures give the ranges")
    parser.add_argument(
        "--pictures", type=command.parse_count, default=12, metavar="N", help="so many of them (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="folder to write into (default: out/)")
    return command_line.run(_run, parser, argv, "export,cpu")


def _run(arguments: argparse.Namespace) -> None:
    source = locate.find(f"{arguments.name}.onnx")
    if source is None:
        raise locate.absent(arguments.name)
    target: Path = arguments.out / f"{arguments.name}{INT8}.onnx"
    write_atomically(target, quantise(source, arguments.data, arguments.pictures))
    print(target)


if __name__ == "__main__":
    sys.exit(main())
