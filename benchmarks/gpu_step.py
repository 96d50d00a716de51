"""One step of `make gpu`, in a process of its own: a crash or a hang takes one step with it, not the rest.

python -m benchmarks.gpu_step STEP --result FILE [--network NAME] [--artifact FILE] ...
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import latency
from benchmarks.harness import command
from benchmarks.harness.board import open_board
from benchmarks.harness.contenders import Contender, OpenContender, open_contender
from benchmarks.harness.record import gpu_in_use
from benchmarks.harness.timing import prepare_runtime
from runtime import backends, command_line
from runtime.errors import InputError
from runtime.images import Images

#: Backends of the Enhancer, and kinds of torch; torch computes in FP16 wherever the network can.
BACKENDS = tuple(backend.name for backend in backends.BACKENDS if backend.device == "cuda")
TORCH = ("torch", "torch-compile", "torch-graph")
METHOD = latency.Method(rounds=30, repeats=10, warm_up=5.0, memory=False, seconds=8.0).on_gpu()


def reference(network: str, artifact: Path, work: Path, size: tuple[int, int]) -> dict[str, Any]:
    """The pictures of a network and what FP32 on the CPU makes of them, for the other steps."""
    from benchmarks.pictures import parity_set

    session = backends.get_backend("onnxruntime").open(artifact)
    # One photograph of the size that is timed: what is bound to one shape is compared on it.
    timed = parity_set.photographs(1, size, parity_set.data_folder())[0]
    if timed.images.shape[1:3] != size:
        height, width = timed.images.shape[1:3]
        raise InputError(f"the photographs to compare on are {height}x{width}, too small for {size[0]}x{size[1]}")
    chosen = [*parity_set.default_cases(network), timed]
    arrays: dict[str, Images] = {}
    for index, case in enumerate(chosen):
        out = np.empty_like(case.images)
        session.run(np.ascontiguousarray(case.images), out)
        arrays[f"{index}.in"], arrays[f"{index}.out"] = case.images, out
    session.close()
    np.savez(work / f"{network}.npz", **arrays)  # pyright: ignore[reportArgumentType]
    (work / f"{network}.cases").write_text(json.dumps([[case.name, case.kind] for case in chosen]))
    return {"backend": session.backend, "cases": len(chosen), "artifact": artifact.name}


def measure(network: str, name: str, artifact: Path, work: Path, size: tuple[int, int]) -> dict[str, Any]:
    """Compare one of BACKENDS or TORCH with the reference, then time it as `latency` does."""
    kind, backend = (name, "auto") if name in TORCH else ("retinexrt", name)
    with _warnings() as warned:
        opened = open_contender(Contender(kind, str(artifact), *size, device="cuda", backend=backend))
        try:
            found = _parity(network, opened, work)
            taken = latency.take([opened], METHOD)[0]
            gpu = latency.measure_on_gpu(opened, taken, METHOD, open_board(gpu_in_use()))
            row = latency.make_row(opened, taken, gpu=gpu)
            return {"row": asdict(row), "parity": found, "warnings": warned}
        finally:
            opened.close()


@contextmanager
def _warnings() -> Generator[list[str]]:
    """Warnings of the runtime meanwhile, each once: that no graph could be captured, or TensorRT's own."""
    said: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if (text := f"{record.levelname}: {record.getMessage()}") not in said:
                said.append(text)

    logger, collector = logging.getLogger("retinexrt"), Collector(logging.WARNING)
    logger.addHandler(collector)
    try:
        yield said
    finally:
        logger.removeHandler(collector)


def _parity(network: str, opened: OpenContender, work: Path) -> dict[str, Any]:
    """Differences in codes of 8 bits, photographs and hard pictures apart."""
    from benchmarks.measures import differences

    arrays = np.load(work / f"{network}.npz")
    contender = opened.contender
    kinds: dict[str, list[differences.Difference]] = {}
    for index, (_, kind) in enumerate(json.loads((work / f"{network}.cases").read_text())):
        images, expected = arrays[f"{index}.in"], arrays[f"{index}.out"]
        if not opened.any_shape and images.shape[:3] != (1, contender.height, contender.width):
            continue
        # Three times: TensorRT runs eagerly, captures a graph, and replays it.
        found = [opened.enhance(images) for _ in range(3)][-1]
        kinds.setdefault(kind, []).append(differences.compare(images, expected, found))
    return {kind: {"cases": len(found), **differences.pool(found).figures()} for kind, found in kinds.items()}


def words(artifact: Path) -> dict[str, Any]:
    """TensorRT-RTX's own answer to a plan on this GPU, past our check of the card. For plans built in this run."""
    from runtime.backends.trt import logger
    from runtime.cuda import open_cuda

    trt: Any = import_module("tensorrt_rtx")
    cuda = open_cuda()
    context = cuda.open_context(0, primary=True)
    with _warnings() as said, cuda.using(context):
        runtime = trt.Runtime(logger.for_module(trt))
        data = artifact.read_bytes()
        validity, diagnostics = runtime.get_engine_validity(data)
        engine = runtime.deserialize_cuda_engine(data)
        loaded = engine is not None
        del engine, runtime
    return {
        "version": trt.__version__,
        "sm": cuda.properties(0).sm,
        "validity": getattr(validity, "name", str(validity)),
        "diagnostics": str(diagnostics),
        "deserialised": loaded,
        "log": said,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = command_line.Parser(prog="python -m benchmarks.gpu_step", description="One step of benchmarks/gpu.py.")
    parser.add_argument("step", choices=("reference", "measure", "words"))
    parser.add_argument("--result", type=Path, required=True, metavar="FILE")
    parser.add_argument("--network", default="")
    parser.add_argument("--contender", choices=(*BACKENDS, *TORCH))
    parser.add_argument("--artifact", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--size", type=command.parse_size, default=(400, 600), metavar="HxW")
    prepare_runtime()
    return command_line.run(_run, parser, argv, "gpu,export")


def _run(given: argparse.Namespace) -> None:
    if given.step == "reference":
        found = reference(given.network, given.artifact, given.work, given.size)
    elif given.step == "measure":
        found = measure(given.network, given.contender, given.artifact, given.work, given.size)
    else:
        found = words(given.artifact)
    given.result.write_text(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
