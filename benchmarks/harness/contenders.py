"""Contenders: ways to run a network, ours and what people would use instead, opened from a description for records."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.timing import Sample, timed
from runtime.artifact import ArtifactInfo, CpuPrecision, locate, read_info, remedies
from runtime.backends import get_backend, onnxruntime_cuda
from runtime.errors import ArtifactError, BackendUnavailableError, InputError
from runtime.files import sha256
from train.networks.registry import NetworkSpec

Images = NDArray[np.uint8]

#: End of the name of a network whose convolutions were quantised to 8 bits (`benchmarks.studies.int8`).
INT8 = "-int8"


@dataclass(frozen=True)
class Contender:
    """One way to run an artifact's network on pictures of one shape."""

    #: A key of KINDS.
    kind: str
    artifact: str
    height: int
    width: int
    batch: int = 1
    #: CPU threads; None: the library's choice.
    threads: int | None = None
    #: "cuda" runs torch and ONNX Runtime on the GPU.
    device: str = "cpu"
    #: Of the Enhancer.
    backend: str = "auto"

    def precision(self, info: ArtifactInfo) -> str:
        """What it computes in: "fp32", "fp16", "bf16" or "int8"."""
        if info.network.endswith(INT8):
            return "int8"
        if self.kind.startswith("torch") and self.device == "cpu":
            return "fp32"
        if self.kind == "retinexrt" and info.cpu_precision == "bf16" and info.plan is None:
            return "bf16"
        return KINDS[self.kind].precision or info.precision


@dataclass(frozen=True)
class OpenContender:
    """A contender that is ready to run."""

    contender: Contender
    info: ArtifactInfo
    label: str
    precision: str
    #: "cpu" or "cuda:0".
    device: str
    run: Callable[[], Sample]
    #: The same on pictures of one's own, for checks.
    enhance: Callable[[Images], Images]
    close: Callable[[], None] = lambda: None
    #: False: bound to the shape that it was opened for.
    any_shape: bool = False


@dataclass(frozen=True)
class Kind:
    """What contenders of one kind have in common."""

    open: Callable[[Contender, ArtifactInfo], OpenContender]
    #: The package that it needs, and the extra that installs it.
    package: str
    extra: str
    #: None: that of the artifact.
    precision: str | None = None


def precision_of(info: ArtifactInfo, computed: str | None = None) -> str:
    """What a network's convolutions are computed in; an artifact of 8 bits calls the rest of it its precision."""
    return "int8" if info.network.endswith(INT8) else computed or info.precision


def open_contender(contender: Contender) -> OpenContender:
    """Open a contender, or raise BackendUnavailableError with the command that installs it."""
    info = read_info(Path(contender.artifact))
    kind = find_kind(contender.kind)
    try:
        return kind.open(contender, info)
    except ImportError as error:
        named = {each.package: each.extra for each in KINDS.values()}
        extra = named.get(str(error.name).partition(".")[0], "export")
        raise BackendUnavailableError(
            f"{contender.kind} needs {error.name}; install it with: pip install 'retinexrt[{extra}]'"
        ) from error


def find_kind(name: str) -> Kind:
    """A kind by its name, or InputError with those that there are."""
    if name not in KINDS:
        raise InputError(f"unknown contender {name!r}; known: {', '.join(KINDS)}")
    return KINDS[name]


def find_engine(path: Path) -> Path:
    """A file as given, then in engines/ and where artifacts are shipped."""
    if path.is_file():
        return path
    found = locate.find(path.name) if len(path.parts) == 1 else None
    if found is None:
        locate.as_file(str(path))  # says which command makes it
        raise ArtifactError(f"{path} is no artifact: expected an .onnx or .plan file")
    return found


def check_plans(paths: Sequence[Path]) -> None:
    """Without a GPU a plan is a BackendUnavailableError of two lines: what is missing, and what would run here."""
    plans = [path for path in paths if path.suffix == ".plan"]
    problem = gpu_problem() if plans else None
    if problem is None:
        return
    names = (plans[0].with_suffix(".onnx").name, plans[0].with_suffix(".onnx").name.replace("_fp16", ""))
    runs = next((name for name in names if locate.find(name) is not None), None)
    instead = (
        f"python benchmarks/latency.py --engine {runs}"
        if runs
        else f"{remedies.export(plans[0].stem.removesuffix('_fp16'))}, and then its .onnx file"
    )
    raise BackendUnavailableError(f"{plans[0].name} needs an NVIDIA GPU: {problem}\nwhat runs here: {instead}")


def dark_pictures(batch: int, height: int, width: int) -> Images:
    """Dark noise; what a picture shows does not change how long these networks take."""
    return np.random.default_rng(5).integers(0, 40, (batch, height, width, 3), dtype=np.uint8)


def describe(contender: Contender) -> dict[str, Any]:
    """The artifact behind a contender, for records."""
    path = Path(contender.artifact)
    return {"file": path.name, "sha256": sha256(path)}


def gpu_problem() -> str | None:
    """Why no plan can run here, in a few words; None where one can."""
    from runtime.cuda import open_cuda

    try:
        open_cuda()
    except BackendUnavailableError as error:
        return str(error)
    return None


def _open_enhancer(contender: Contender, info: ArtifactInfo) -> OpenContender:
    from runtime import Enhancer

    asked: CpuPrecision | None = "bf16" if contender.kind == "retinexrt-bf16" else None
    enhancer = Enhancer(contender.artifact, backend=contender.backend, threads=contender.threads, precision=asked)
    images = _pictures(contender)
    out = np.empty_like(images)
    whole = timed(lambda: enhancer(images, out=out))
    label = f"retinexrt {Path(contender.artifact).name}, {enhancer.backend}" + _bf16(enhancer.precision)
    phases = DevicePhases(enhancer, images) if enhancer.device.startswith("cuda") else None

    def run() -> Sample:
        return whole() if phases is None else Sample(whole().total, *phases.measure())

    def close() -> None:
        if phases is not None:
            phases.close()
        enhancer.close()

    precision = precision_of(info, enhancer.precision)

    def enhance(pictures: Images) -> Images:
        return np.asarray(enhancer(pictures))

    return OpenContender(contender, info, label, precision, enhancer.device, run, enhance, close, any_shape=True)


def _pictures(contender: Contender) -> Images:
    return dark_pictures(contender.batch, contender.height, contender.width)


def _bf16(precision: str | None) -> str:
    return ", bf16" if precision == "bf16" else ""


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


_TORCH = {"torch": "torch, channels last", "torch-compile": "torch.compile", "torch-graph": "torch, CUDA graph"}


def _open_torch(contender: Contender, info: ArtifactInfo) -> OpenContender:
    import torch

    from export.image_graph import ImageGraph
    from train.networks.registry import get_spec
    from train.networks.weights import load

    on_gpu, captured = contender.device == "cuda", contender.kind == "torch-graph"
    if on_gpu and not torch.cuda.is_available():
        raise BackendUnavailableError(f"torch {torch.__version__} has no CUDA here")
    if captured and not on_gpu:
        raise InputError("torch-graph records a CUDA graph; on a CPU compare with torch or torch-compile")
    if contender.threads is not None:
        torch.set_num_threads(contender.threads)
    network = get_spec(info.network)
    module: Any = ImageGraph(load(network).network, network.multiple).eval()
    module = module.to(contender.device, memory_format=torch.channels_last)
    if contender.kind == "torch-compile":
        module = torch.compile(module, dynamic=False)
    half = on_gpu and info.precision == "fp16" and in_half(network)

    def forward(images: Any) -> Any:
        autocast = torch.autocast(contender.device, torch.float16, enabled=half, cache_enabled=not captured)
        with torch.inference_mode(), autocast:
            return module(images)

    images = _pictures(contender)
    call = _captured(torch, forward, images) if captured else forward

    def enhance(pictures: Images) -> Images:
        return call(torch.from_numpy(pictures).to(contender.device)).cpu().numpy()

    run = _torch_phases(torch, call, images) if on_gpu else timed(lambda: enhance(images))
    label = _TORCH[contender.kind] + (", autocast" if half else "")
    precision, device = "fp16" if half else "fp32", "cuda:0" if on_gpu else "cpu"
    return OpenContender(contender, info, label, precision, device, run, enhance, any_shape=contender.kind == "torch")


def _torch_phases(torch: Any, call: Callable[[Any], Any], images: Images) -> Callable[[], Sample]:
    source = torch.from_numpy(images).pin_memory()
    target = torch.empty_like(source).pin_memory()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(4)]

    def run() -> Sample:
        started = time.perf_counter()
        events[0].record()
        resident = source.to("cuda", non_blocking=True)
        events[1].record()
        enhanced = call(resident)
        events[2].record()
        target.copy_(enhanced, non_blocking=True)
        events[3].record()
        torch.cuda.synchronize()
        total = (time.perf_counter() - started) * 1e3
        return Sample(total, *(events[i].elapsed_time(events[i + 1]) for i in range(3)))

    return run


def _captured(torch: Any, forward: Callable[[Any], Any], images: Images) -> Callable[[Any], Any]:
    """Record the network as a CUDA graph of one shape; a run copies the picture in and replays."""
    static = torch.from_numpy(images).to("cuda")
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


def _onnx_path(contender: Contender) -> Path:
    """The graph itself; of a plan, the one that it was built from."""
    path = Path(contender.artifact).with_suffix(".onnx")
    if not path.is_file():
        raise BackendUnavailableError(f"{contender.kind} runs {path.name}, which is not beside {Path(contender.artifact).name}")
    return path


def _open_onnxruntime(contender: Contender, info: ArtifactInfo) -> OpenContender:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    if contender.threads is not None:
        options.intra_op_num_threads = contender.threads
    # The best that a caller who knows the size can do.
    for name, size in zip(info.input.shape, (contender.batch, contender.height, contender.width, 3), strict=True):
        if isinstance(name, str):
            options.add_free_dimension_override_by_name(name, size)
    wanted = onnxruntime_cuda.PROVIDER if contender.device == "cuda" else "CPUExecutionProvider"
    if wanted not in ort.get_available_providers():
        raise BackendUnavailableError(f"ONNX Runtime has no {wanted} here; install it with: pip install 'retinexrt[gpu]'")
    settings: dict[str, str] = {}
    if contender.device == "cuda":
        onnxruntime_cuda.preload(ort)
        settings = {"use_tf32": "0"}  # as ours; an FP32 graph is timed in FP32
    problem = f"ONNX Runtime's {wanted} can't be loaded; install it with: {get_backend('onnxruntime-cuda').install}"
    try:
        session = ort.InferenceSession(str(_onnx_path(contender)), options, providers=[(wanted, settings)], enable_fallback=0)
    except (ValueError, RuntimeError) as error:  # what it raises where a provider doesn't start
        raise BackendUnavailableError(f"{problem} ({' '.join(str(error).split())})") from error
    if wanted not in session.get_providers():  # It would run on the CPU instead, without a word.
        raise BackendUnavailableError(problem)

    def enhance(pictures: Images) -> Images:
        return np.asarray(session.run(None, {info.input.name: pictures})[0])

    images = _pictures(contender)
    device = "cuda:0" if contender.device == "cuda" else "cpu"
    run = timed(lambda: enhance(images))
    return OpenContender(contender, info, "ONNX Runtime, bare", precision_of(info), device, run, enhance)


def _open_openvino(contender: Contender, info: ArtifactInfo) -> OpenContender:
    import openvino

    core = openvino.Core()
    model = core.read_model(str(_onnx_path(contender)))
    model.reshape([contender.batch, contender.height, contender.width, 3])
    asked = KINDS[contender.kind].precision
    config: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        # OpenVINO's own choice on a CPU with the instructions is bf16.
        "INFERENCE_PRECISION_HINT": "bf16" if asked == "bf16" else "f32",
    }
    if contender.threads is not None:
        config["INFERENCE_NUM_THREADS"] = contender.threads
    request = core.compile_model(model, "CPU", config).create_infer_request()

    def enhance(pictures: Images) -> Images:
        request.infer({0: pictures}, share_inputs=True)
        return np.asarray(request.get_output_tensor(0).data)

    images = _pictures(contender)
    run = timed(lambda: enhance(images))
    return OpenContender(contender, info, f"OpenVINO, bare{_bf16(asked)}", contender.precision(info), "cpu", run, enhance)


#: Every kind of contender by its name; after --against any of them but the first.
KINDS: dict[str, Kind] = {
    "retinexrt": Kind(_open_enhancer, "onnxruntime", "cpu"),
    "torch": Kind(_open_torch, "torch", "export"),
    "torch-compile": Kind(_open_torch, "torch", "export"),
    "torch-graph": Kind(_open_torch, "torch", "export"),
    "onnxruntime": Kind(_open_onnxruntime, "onnxruntime", "cpu"),
    "openvino": Kind(_open_openvino, "openvino", "openvino", "fp32"),
    "openvino-bf16": Kind(_open_openvino, "openvino", "openvino", "bf16"),
    "retinexrt-bf16": Kind(_open_enhancer, "openvino", "openvino", "bf16"),
}
