"""Ways to run a network: ours, and what people would use instead; each opened from a description that can be recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.timing import Sample
from runtime.artifact import ArtifactInfo, CpuPrecision, read_info
from runtime.backends import onnxruntime_cuda
from runtime.errors import BackendUnavailableError, InputError
from runtime.files import sha256
from train.networks.registry import NetworkSpec

Images = NDArray[np.uint8]

#: What can be named after --against, and the precision it computes in; None: that of the artifact.
AGAINST: dict[str, str | None] = {
    "torch": None,
    "torch-compile": None,
    "onnxruntime": None,
    "openvino": "fp32",
    "openvino-bf16": "bf16",
    "retinexrt-bf16": "bf16",
}
_INSTALL = {"torch": "export", "onnxruntime": "cpu", "openvino": "openvino"}


@dataclass(frozen=True)
class Spec:
    """One way to run an artifact's network on pictures of one shape."""

    #: "retinexrt", in the artifact's own precision, or a key of AGAINST.
    kind: str
    artifact: str
    height: int
    width: int
    batch: int = 1
    #: CPU threads; None: the library's choice.
    threads: int | None = None
    #: "cuda" runs torch and ONNX Runtime on the GPU.
    device: str = "cpu"

    def precision(self, info: ArtifactInfo) -> str:
        """What it computes in: "fp32", "fp16" or "bf16"."""
        if self.kind in ("torch", "torch-compile") and self.device == "cpu":
            return "fp32"
        if self.kind == "retinexrt" and info.cpu_precision == "bf16" and info.plan is None:
            return "bf16"
        return AGAINST.get(self.kind) or info.precision


@dataclass(frozen=True)
class Contender:
    """Opened and ready to run."""

    spec: Spec
    label: str
    precision: str
    #: "cpu" or "cuda:0".
    device: str
    run: Callable[[], Sample]
    #: The same on pictures of one's own, for checks.
    enhance: Callable[[Images], Images]
    close: Callable[[], None]


def open_contender(spec: Spec) -> Contender:
    """Open what a spec describes, or raise BackendUnavailableError with the command that installs it."""
    info = read_info(Path(spec.artifact))
    openers: dict[str, Callable[[Spec, ArtifactInfo], Contender]] = {
        "retinexrt": _open_enhancer,
        "retinexrt-bf16": _open_enhancer,
        "torch": _open_torch,
        "torch-compile": _open_torch,
        "onnxruntime": _open_onnxruntime,
        "openvino": _open_openvino,
        "openvino-bf16": _open_openvino,
    }
    if spec.kind not in openers:
        raise InputError(f"unknown contender {spec.kind!r}; known: {', '.join(AGAINST)}")
    try:
        return openers[spec.kind](spec, info)
    except ImportError as error:
        extra = _INSTALL.get(str(error.name).partition(".")[0], "export")
        raise BackendUnavailableError(
            f"{spec.kind} needs {error.name}; install it with: pip install 'retinexrt[{extra}]'"
        ) from error


def dark_pictures(batch: int, height: int, width: int) -> Images:
    """Dark noise; what a picture shows does not change how long these networks take."""
    return np.random.default_rng(5).integers(0, 40, (batch, height, width, 3), dtype=np.uint8)


def describe(spec: Spec) -> dict[str, Any]:
    """The artifact behind a spec, for records."""
    path = Path(spec.artifact)
    return {"file": path.name, "sha256": sha256(path)}


def gpu_problem() -> str | None:
    """Why no plan can run here, in a few words; None where one can."""
    from runtime.cuda import open_cuda

    try:
        open_cuda()
    except BackendUnavailableError as error:
        return str(error)
    return None


def _timed(enhance: Callable[[Images], Images], images: Images) -> Callable[[], Sample]:
    def run() -> Sample:
        started = time.perf_counter()
        enhance(images)
        return Sample((time.perf_counter() - started) * 1e3)

    return run


def _open_enhancer(spec: Spec, info: ArtifactInfo) -> Contender:
    from runtime import Enhancer

    asked: CpuPrecision | None = "bf16" if spec.kind == "retinexrt-bf16" else None
    enhancer = Enhancer(spec.artifact, threads=spec.threads, precision=asked)
    images = dark_pictures(spec.batch, spec.height, spec.width)
    out = np.empty_like(images)
    whole = _timed(lambda pictures: enhancer(pictures, out=out), images)
    label = f"retinexrt {Path(spec.artifact).name}, {enhancer.backend}" + (", bf16" if enhancer.precision == "bf16" else "")

    def enhance(pictures: Images) -> Images:
        return np.asarray(enhancer(pictures))

    if not enhancer.device.startswith("cuda"):
        return Contender(spec, label, enhancer.precision, enhancer.device, whole, enhance, enhancer.close)
    phases = DevicePhases(enhancer, images)

    def run() -> Sample:
        return Sample(whole().total, *phases.measure())

    def close() -> None:
        phases.close()
        enhancer.close()

    return Contender(spec, label, enhancer.precision, enhancer.device, run, enhance, close)


class DevicePhases:
    """Times the way to the GPU, the network and the way back with CUDA events, from page-locked memory on one stream."""

    def __init__(self, enhancer: Any, images: Images, cuda: Any = None) -> None:
        from runtime.cuda import open_cuda
        from runtime.cuda.staging import Staging

        self._enhancer, self._images = enhancer, images
        self._cuda = cuda or open_cuda()
        with ExitStack() as owned:  # What was made is freed again if the rest can't be.
            self._context = self._cuda.open_context(int(enhancer.device.partition(":")[2] or 0))
            owned.callback(self._cuda.close_context, self._context)
            with self._cuda.using(self._context):
                self._stream = self._cuda.create_stream()
                owned.callback(self._cuda.destroy_stream, self._stream)
                self._events = [self._cuda.create_event(timing=True) for _ in range(4)]
                for event in self._events:
                    owned.callback(self._cuda.destroy_event, event)
                self._staging = Staging(self._cuda, images.nbytes)
                owned.callback(self._staging.close)
                self._staging.fill(images)
            self._owned = owned.pop_all()

    def measure(self) -> tuple[float, float, float]:
        """Milliseconds to the device, on it, and back."""
        cuda, stream, events = self._cuda, self._stream, self._events
        with cuda.using(self._context):
            cuda.record(events[0], stream)
            self._staging.upload(self._images.nbytes, stream)
            cuda.record(events[1], stream)
            self._enhancer.enhance_device(self._staging.device_in, self._images.shape, stream, out=self._staging.device_out)
            cuda.record(events[2], stream)
            self._staging.download(self._images.nbytes, stream)
            cuda.record(events[3], stream)
            cuda.synchronize(stream)
            return (
                cuda.elapsed_ms(events[0], events[1]),
                cuda.elapsed_ms(events[1], events[2]),
                cuda.elapsed_ms(events[2], events[3]),
            )

    def close(self) -> None:
        """Free what was allocated."""
        with self._cuda.using(self._context):
            self._owned.close()


def in_half(network: NetworkSpec) -> bool:
    """Whether any of it may be computed in FP16: the sums of a classical network's wide windows don't fit."""
    return "*" not in network.islands


def _open_torch(spec: Spec, info: ArtifactInfo) -> Contender:
    import torch

    from export.image_graph import ImageGraph
    from train.networks.registry import get_spec
    from train.networks.weights import load

    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    network = get_spec(info.network)
    module: Any = ImageGraph(load(network).network, network.multiple).eval()
    module = module.to(spec.device, memory_format=torch.channels_last)
    compiled = spec.kind == "torch-compile"
    if compiled:
        module = torch.compile(module, dynamic=False)
    half = spec.device == "cuda" and info.precision == "fp16" and in_half(network)
    images = dark_pictures(spec.batch, spec.height, spec.width)

    def enhance(pictures: Images) -> Images:
        with torch.inference_mode(), torch.autocast(spec.device, torch.float16, enabled=half):
            return module(torch.from_numpy(pictures).to(spec.device)).cpu().numpy()

    title = "torch.compile" if compiled else "torch, channels last"
    run = _timed(enhance, images) if spec.device == "cpu" else _torch_phases(torch, module, images, half)
    label = f"{title}{', autocast' if half else ''}"
    device = "cuda:0" if spec.device == "cuda" else "cpu"
    return Contender(spec, label, "fp16" if half else "fp32", device, run, enhance, _nothing)


def _torch_phases(torch: Any, module: Any, images: Images, half: bool) -> Callable[[], Sample]:
    source = torch.from_numpy(images).pin_memory()
    target = torch.empty_like(source).pin_memory()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(4)]

    def run() -> Sample:
        started = time.perf_counter()
        with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=half):
            events[0].record()
            resident = source.to("cuda", non_blocking=True)
            events[1].record()
            enhanced = module(resident)
            events[2].record()
            target.copy_(enhanced, non_blocking=True)
            events[3].record()
            torch.cuda.synchronize()
        total = (time.perf_counter() - started) * 1e3
        return Sample(total, *(events[i].elapsed_time(events[i + 1]) for i in range(3)))

    return run


def _onnx_path(spec: Spec) -> Path:
    """The graph itself; of a plan, the one that it was built from."""
    path = Path(spec.artifact).with_suffix(".onnx")
    if not path.is_file():
        raise BackendUnavailableError(f"{spec.kind} runs {path.name}, which is not beside {Path(spec.artifact).name}")
    return path


def _open_onnxruntime(spec: Spec, info: ArtifactInfo) -> Contender:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    if spec.threads is not None:
        options.intra_op_num_threads = spec.threads
    # The best that a caller who knows the size can do.
    for name, size in zip(info.input.shape, (spec.batch, spec.height, spec.width, 3), strict=True):
        if isinstance(name, str):
            options.add_free_dimension_override_by_name(name, size)
    wanted = onnxruntime_cuda.PROVIDER if spec.device == "cuda" else "CPUExecutionProvider"
    if wanted not in ort.get_available_providers():
        raise BackendUnavailableError(f"ONNX Runtime has no {wanted} here; install it with: pip install 'retinexrt[gpu]'")
    settings: dict[str, str] = {}
    if spec.device == "cuda":
        onnxruntime_cuda.preload(ort)
        settings = {"use_tf32": "0"}  # as ours; an FP32 graph is timed in FP32
    problem = f"ONNX Runtime's {wanted} can't be loaded; install it with: {onnxruntime_cuda.INSTALL}"
    try:
        session = ort.InferenceSession(str(_onnx_path(spec)), options, providers=[(wanted, settings)], enable_fallback=0)
    except (ValueError, RuntimeError) as error:  # what it raises where a provider doesn't start
        raise BackendUnavailableError(f"{problem} ({' '.join(str(error).split())})") from error
    if wanted not in session.get_providers():  # It would run on the CPU instead, without a word.
        raise BackendUnavailableError(problem)

    def enhance(pictures: Images) -> Images:
        return np.asarray(session.run(None, {info.input.name: pictures})[0])

    images = dark_pictures(spec.batch, spec.height, spec.width)
    device = "cuda:0" if spec.device == "cuda" else "cpu"
    return Contender(spec, "ONNX Runtime, bare", info.precision, device, _timed(enhance, images), enhance, _nothing)


def _open_openvino(spec: Spec, info: ArtifactInfo) -> Contender:
    import openvino

    core = openvino.Core()
    model = core.read_model(str(_onnx_path(spec)))
    model.reshape([spec.batch, spec.height, spec.width, 3])
    precision = spec.precision(info)
    config: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        # OpenVINO's own choice on a CPU with the instructions is bf16.
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    if spec.threads is not None:
        config["INFERENCE_NUM_THREADS"] = spec.threads
    request = core.compile_model(model, "CPU", config).create_infer_request()

    def enhance(pictures: Images) -> Images:
        request.infer({0: pictures}, share_inputs=True)
        return np.asarray(request.get_output_tensor(0).data)

    images = dark_pictures(spec.batch, spec.height, spec.width)
    label = "OpenVINO, bare" + (", bf16" if precision == "bf16" else "")
    return Contender(spec, label, precision, "cpu", _timed(enhance, images), enhance, _nothing)


def _nothing() -> None:
    """Freed with the last reference."""
