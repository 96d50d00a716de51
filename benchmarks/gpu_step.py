"""The steps of `make gpu`, each run in a process of its own: a crash or a hang takes one step with it, not the rest.

python benchmarks/gpu_step.py STEP --result FILE [--network NAME] [--artifact FILE] ...
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

if __package__ in (None, ""):  # run as a script: its folder is on the path, the project's is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.harness.command import parse_size
from benchmarks.harness.timing import prepare_runtime
from runtime.errors import BackendUnavailableError, InputError, RetinexError

Images = NDArray[np.uint8]

#: Backends of ours, and ways to run torch in FP16.
SESSIONS = ("tensorrt", "tensorrt_rtx", "onnxruntime-cuda")
TORCH = ("torch-eager", "torch-compiled", "torch-graph")
SUBJECTS = (*SESSIONS, *TORCH)

#: Runs before the first sample, samples at most, and seconds after which no further sample is taken.
WARM_UP, SAMPLES, SECONDS = 20, 300, 8.0


@dataclass(frozen=True)
class Subject:
    """A way to run a network, opened."""

    label: str
    enhance: Callable[[Images], Images]
    #: One run from page-locked memory to page-locked memory: milliseconds of the GPU, and with the transfers.
    time: Callable[[], tuple[float, float]]
    #: False: bound to one shape, so that only pictures of this shape can be compared.
    any_shape: bool
    close: Callable[[], None]


def reference(network: str, artifact: Path, work: Path, size: tuple[int, int]) -> dict[str, Any]:
    """The pictures of a network and what FP32 on the CPU makes of them, for the other steps."""
    from benchmarks.parity import default_cases
    from benchmarks.pictures import parity_set
    from runtime import backends

    session = backends.get_backend("onnxruntime").open(artifact, 0, None)
    # One photograph of the size that is timed: what is bound to one shape is compared on it.
    timed = parity_set.photographs(1, size, parity_set.data_folder())[0]
    if timed.images.shape[1:3] != size:
        height, width = timed.images.shape[1:3]
        raise InputError(f"the photographs to compare on are {height}x{width}, too small for {size[0]}x{size[1]}")
    chosen = [*default_cases(network), timed]
    arrays: dict[str, Images] = {}
    for index, case in enumerate(chosen):
        out = np.empty_like(case.images)
        session.run(np.ascontiguousarray(case.images), out)
        arrays[f"{index}.in"], arrays[f"{index}.out"] = case.images, out
    session.close()
    np.savez(work / f"{network}.npz", **arrays)  # pyright: ignore[reportArgumentType]
    (work / f"{network}.cases").write_text(json.dumps([[case.name, case.kind] for case in chosen]))
    return {"backend": session.backend, "cases": len(chosen), "artifact": artifact.name}


def measure(network: str, subject: str, artifact: Path, work: Path, size: tuple[int, int]) -> dict[str, Any]:
    """Compare with the reference, then time."""
    with _warnings() as warned:
        opened = _open_torch(network, subject, size) if subject in TORCH else _open_session(subject, artifact, size)
        try:
            found = _parity(network, opened, work, size)
            return {"label": opened.label, "parity": found, "latency": _latency(opened), "warnings": warned}
        finally:
            opened.close()


@contextmanager
def _warnings() -> Generator[list[str]]:
    """What our runtime logs meanwhile, each once: that no graph could be captured, or what TensorRT warns of."""
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


def _parity(network: str, subject: Subject, work: Path, size: tuple[int, int]) -> dict[str, Any]:
    """Differences in codes of 8 bits, photographs and hard pictures apart."""
    from benchmarks.measures import differences

    arrays = np.load(work / f"{network}.npz")
    kinds: dict[str, list[differences.Difference]] = {}
    for index, (_, kind) in enumerate(json.loads((work / f"{network}.cases").read_text())):
        images, expected = arrays[f"{index}.in"], arrays[f"{index}.out"]
        if not subject.any_shape and images.shape[:3] != (1, *size):
            continue
        # Three times: TensorRT runs eagerly, captures a graph, and replays it.
        found = [subject.enhance(images) for _ in range(3)][-1]
        kinds.setdefault(kind, []).append(differences.compare(images, expected, found))
    return {kind: _figures(differences.pool(found), len(found)) for kind, found in kinds.items()}


def _figures(difference: Any, cases: int) -> dict[str, Any]:
    return {
        "cases": cases,
        "max_codes": difference.max_codes,
        "p999_codes": difference.p999_codes,
        "mean_codes": round(difference.mean_codes, 6),
        "psnr": round(difference.psnr, 2),
    }


def _latency(subject: Subject) -> dict[str, Any]:
    from benchmarks.harness.timing import drift, spread

    for _ in range(WARM_UP):
        subject.time()
    started = time.perf_counter()
    samples: list[tuple[float, float]] = []
    while len(samples) < SAMPLES and (len(samples) < 10 or time.perf_counter() - started < SECONDS):
        samples.append(subject.time())
    device, total = zip(*samples, strict=True)
    return {
        "device_ms": asdict(spread(device)),
        "with_transfers_ms": asdict(spread(total)),
        "drift": round(drift(device), 4),
    }


def _dark(size: tuple[int, int]) -> Images:
    from benchmarks.harness.contenders import dark_pictures

    return dark_pictures(1, *size)


def _open_session(backend: str, artifact: Path, size: tuple[int, int]) -> Subject:
    from benchmarks.harness.contenders import DevicePhases
    from runtime import Enhancer

    enhancer = Enhancer(artifact, backend=backend)
    phases = DevicePhases(enhancer, _dark(size))

    def timed() -> tuple[float, float]:
        started = time.perf_counter()
        _, device, _ = phases.measure()
        return device, (time.perf_counter() - started) * 1e3

    def close() -> None:
        phases.close()
        enhancer.close()

    label = f"{enhancer.backend}, {artifact.name}"
    return Subject(label, lambda images: np.asarray(enhancer(images)), timed, any_shape=True, close=close)


def _open_torch(network: str, mode: str, size: tuple[int, int]) -> Subject:
    import torch

    from benchmarks.harness.contenders import in_half
    from export.image_graph import ImageGraph
    from train.networks.registry import get_spec
    from train.networks.weights import load

    if not torch.cuda.is_available():
        raise BackendUnavailableError(f"torch {torch.__version__} has no CUDA here")
    spec = get_spec(network)
    module: Any = ImageGraph(load(spec).network, spec.multiple).eval()
    module = module.to("cuda", memory_format=torch.channels_last)
    if mode == "torch-compiled":
        module = torch.compile(module, dynamic=False)

    half = in_half(spec)

    def forward(images: Any) -> Any:
        cached = mode != "torch-graph"
        with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=half, cache_enabled=cached):
            return module(images)

    run = _captured(torch, forward, size) if mode == "torch-graph" else forward
    source, start, end = torch.from_numpy(_dark(size)).pin_memory(), *(torch.cuda.Event(enable_timing=True) for _ in range(2))
    target = torch.empty_like(source).pin_memory()

    def timed() -> tuple[float, float]:
        started = time.perf_counter()
        resident = source.to("cuda", non_blocking=True)
        start.record()
        enhanced = run(resident)
        end.record()
        target.copy_(enhanced, non_blocking=True)
        torch.cuda.synchronize()
        return start.elapsed_time(end), (time.perf_counter() - started) * 1e3

    def enhance(images: Images) -> Images:
        return run(torch.from_numpy(images).to("cuda")).cpu().numpy()

    precision = "FP16 by autocast" if half else "FP32"
    label = f"torch {torch.__version__}, {precision}, channels last, {mode.partition('-')[2]}"
    return Subject(label, enhance, timed, any_shape=mode == "torch-eager", close=lambda: None)


def _captured(torch: Any, forward: Callable[[Any], Any], size: tuple[int, int]) -> Callable[[Any], Any]:
    """Record the network as a CUDA graph of one shape; a run copies the picture in and replays."""
    static = torch.from_numpy(_dark(size)).to("cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            forward(static)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = forward(static)

    def run(images: Any) -> Any:
        static.copy_(images)
        graph.replay()
        return result

    return run


def words(artifact: Path) -> dict[str, Any]:
    """What TensorRT-RTX itself says to a plan on this GPU, past our own check of the card. For plans built in this run."""
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
    parser = argparse.ArgumentParser(prog="gpu_step.py", description="One step of benchmarks/gpu.py.")
    parser.add_argument("step", choices=("reference", "measure", "words"))
    parser.add_argument("--result", type=Path, required=True, metavar="FILE")
    parser.add_argument("--network", default="")
    parser.add_argument("--subject", choices=SUBJECTS)
    parser.add_argument("--artifact", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--size", type=parse_size, default=(400, 600), metavar="HxW")
    given = parser.parse_args(argv)
    prepare_runtime()
    try:
        if given.step == "reference":
            found = reference(given.network, given.artifact, given.work, given.size)
        elif given.step == "measure":
            found = measure(given.network, given.subject, given.artifact, given.work, given.size)
        else:
            found = words(given.artifact)
    except RetinexError as error:
        print(error, file=sys.stderr)
        return 2
    given.result.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
