"""Build a plan and its manifest from an ONNX file, through Polygraphy's loaders."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from engines import parsed_contract
from engines.flavours import FlavourFacts, choose, compute_capabilities, target_sms, tensorrt_module
from engines.profiles import (
    LARGEST_PART,
    MOST_SQUARES,
    PART_RANGE,
    SIDE_RANGE,
    SIDES,
    Range,
    Shape,
    light_range,
    make_profile,
    overview_range,
)
from engines.progress import make_monitor
from runtime.artifact import ArtifactInfo, PlanInfo, PlanParts, Precision, manifest, remedies
from runtime.artifact.onnx_metadata import read_info
from runtime.artifact.onnx_parts import Halves, cut_file
from runtime.backends.trt import logger
from runtime.cuda import Cuda, DeviceProperties, open_cuda
from runtime.errors import ArtifactError, BackendError, BackendUnavailableError, InputError, OutputError
from runtime.files import make_folder, sha256, write_atomically

GIGABYTE = 1 << 30


@dataclass(frozen=True)
class BuildOptions:
    """Options of a build. None: the default of the flavour or the graph."""

    precision: Precision | None = None
    flavour: str | None = None
    smallest: Shape | None = None
    typical: Shape | None = None
    largest: Shape | None = None
    #: Compute capabilities, e.g. ("8.6", "8.9").
    sms: tuple[str, ...] | None = None
    #: 0 builds fastest, 5 searches longest.
    level: int = 3
    workspace_bytes: int | None = None
    #: Let FP32 convolutions and matrix products round their inputs to TF32.
    tf32: bool = False
    #: A plan that later versions of TensorRT run too, and its lean runtime; "tensorrt" only.
    version_compatible: bool = False
    timing_cache: Path | None = None
    #: The GPU to build on, where the flavour needs one.
    device: int = 0


@dataclass(frozen=True)
class BuiltPlan:
    """The files of a build, and the checks that passed."""

    plan: Path
    manifest: Path
    info: ArtifactInfo
    #: One line for each check of the parsed network.
    checks: tuple[str, ...]


@dataclass(frozen=True)
class PlanRequest:
    """A plan that is to be built: everything that is known before TensorRT runs."""

    onnx: Path
    #: With a PlanInfo that lacks only the facts of the finished plan.
    info: ArtifactInfo
    facts: FlavourFacts
    options: BuildOptions
    #: Where the build runs; None: no GPU is needed.
    cuda: Cuda | None
    path: Path
    timing_cache: Path | None

    @property
    def plan(self) -> PlanInfo:
        assert self.info.plan is not None
        return self.info.plan

    @property
    def digest(self) -> str:
        """The name of the network inside the plan."""
        return manifest.digest(self.info)


def build(onnx: Path, folder: Path, options: BuildOptions, show_progress: bool | None = None) -> BuiltPlan:
    """Build FOLDER/STEM.plan and STEM.json from an exported ONNX file."""
    request = plan_request(onnx, folder, options)
    make_folder(folder)
    if request.timing_cache is not None:
        make_folder(request.timing_cache.parent)
    with _context(request.cuda, options.device):
        started = time.perf_counter()
        data, checks = build_bytes(request, show_progress)
        halves = build_halves(request, show_progress) if _has_halves(request) else None
        seconds = time.perf_counter() - started
    return publish(request, data, checks, seconds, halves)


def _has_halves(request: PlanRequest) -> bool:
    """Whether pictures beyond the profile are wanted, and can be done in parts."""
    info, profile = request.info, request.plan.profile
    return info.parts is not None and info.input.shape[:3] == ("N", "H", "W") and profile.min != profile.max


def plan_request(onnx: Path, folder: Path, options: BuildOptions) -> PlanRequest:
    """Check the options against the graph and this machine; nothing is written."""
    info = read_info(onnx)
    _check_precision(onnx, info, options.precision)
    gpu = _gpu(options.device)
    facts = choose(options.flavour, gpu is not None)
    if options.timing_cache is not None and not facts.needs_gpu:
        raise InputError(f"{facts.name} times nothing while it builds and keeps no timing cache; leave --timing-cache out")
    if not 0 <= options.level <= 5:
        raise InputError(f"level {options.level} does not exist; expected 0 to 5")
    profile = make_profile(info, options.smallest, options.typical, options.largest)
    if options.version_compatible and facts.name != "tensorrt":
        raise InputError(f"{facts.name} has no version-compatible plans; use --flavour tensorrt")
    sms = target_sms(facts, options.sms, gpu[1].sm if gpu else None)
    properties = gpu[1] if gpu and facts.needs_gpu else None
    plan = PlanInfo(
        flavour=facts.name,
        version=str(_load_flavour(facts).__version__),
        sms=sms,
        gpu=properties.name if properties else None,
        cuda=properties.cuda if properties else None,
        driver=driver_version() if properties else None,
        platform=manifest.this_platform(),
        profile=profile,
        digest=None,
        plan_sha256="",
        plan_bytes=0,
        onnx_sha256=sha256(onnx),
        level=options.level,
        workspace_bytes=options.workspace_bytes,
        tf32=options.tf32,
        build_seconds=None,
        version_compatible=options.version_compatible,
    )
    return PlanRequest(
        onnx,
        replace(info, parity=(), plan=plan),
        facts,
        options,
        cuda=gpu[0] if gpu and facts.needs_gpu else None,
        path=folder / f"{onnx.stem}.plan",
        timing_cache=_timing_cache(options, facts, plan, folder),
    )


def publish(request: PlanRequest, data: bytes, checks: list[str], seconds: float, halves: Halves | None = None) -> BuiltPlan:
    """Write the plan, its halves and its manifest, each whole or not at all."""
    parts = None
    if halves is not None:
        decide, render = (hashlib.sha256(half).hexdigest() for half in (halves.decide, halves.render))
        parts = PlanParts(decide, render, LARGEST_PART, MOST_SQUARES, *SIDES)
    plan = replace(
        request.plan,
        digest=request.digest,
        plan_sha256=hashlib.sha256(data).hexdigest(),
        plan_bytes=len(data),
        build_seconds=round(seconds, 3),
        parts=parts,
    )
    # The manifest last: a plan without one is not loaded, so no reader meets half of a pair.
    _remove(manifest.manifest_path(request.path))
    write_atomically(request.path, data)
    for half in manifest.HALVES:
        if halves is None:
            _remove(manifest.half_path(request.path, half))
        else:
            write_atomically(manifest.half_path(request.path, half), getattr(halves, half))
    written = manifest.write(replace(request.info, plan=plan), request.path)
    return BuiltPlan(request.path, written, manifest.read(request.path), tuple(checks))


def _check_precision(onnx: Path, info: ArtifactInfo, wanted: Precision | None) -> None:
    """Types in the graph decide what a plan computes in; no flag can make an FP32 graph FP16."""
    if wanted is None and onnx.stem.endswith("_fp16"):
        wanted = "fp16"
    if wanted is not None and info.precision != wanted:
        raise ArtifactError(
            f"{onnx} is typed {info.precision}, and {wanted} was asked for: the types in the graph decide, so export the "
            f"{wanted} graph with: {remedies.export(info.network)}"
        )


def _gpu(device: int) -> tuple[Cuda, DeviceProperties] | None:
    try:
        cuda = open_cuda()
        return cuda, cuda.properties(device)
    except BackendUnavailableError:
        return None


def driver_version() -> str | None:
    """The NVIDIA kernel driver's version, e.g. "580.65.06"; None where the system doesn't say."""
    try:
        line = Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    except (OSError, IndexError):
        return None
    return next((word for word in line.split() if word[:1].isdigit() and "." in word), None)


@contextmanager
def _context(cuda: Cuda | None, device: int) -> Generator[None]:
    """TensorRT builds on the GPU whose context is current."""
    if cuda is None:
        yield
        return
    context = cuda.open_context(device)
    try:
        with cuda.using(context):
            yield
    finally:
        cuda.close_context(context)


def _timing_cache(options: BuildOptions, facts: FlavourFacts, plan: PlanInfo, folder: Path) -> Path | None:
    """One cache per TensorRT version and kind of GPU, beside the plans, unless a file was named."""
    if not facts.needs_gpu:
        return None
    assert plan.gpu is not None
    gpu = re.sub(r"[^a-z0-9]+", "-", plan.gpu.lower()).strip("-")
    return options.timing_cache or folder / f"{facts.name}_{plan.version}_sm{plan.sms[0]}_{gpu}.timing"


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot replace {path}: {error.strerror}") from error


def _load_flavour(facts: FlavourFacts) -> Any:
    """Import TensorRT and Polygraphy for one flavour; a process can build with one of them only."""
    wants_rtx = facts.name == "tensorrt_rtx"
    os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = str(int(wants_rtx))
    try:
        from polygraphy import config

        if "polygraphy.backend.trt" in sys.modules and bool(config.USE_TENSORRT_RTX) != wants_rtx:
            raise BackendError(f"this process already built with another flavour than {facts.name}; start a new one")
        config.USE_TENSORRT_RTX = wants_rtx
        util: Any = import_module("polygraphy.backend.trt.util")
    except ImportError as error:
        raise BackendUnavailableError(f"building needs Polygraphy ({error}); install it with: {facts.install}") from error
    trt = tensorrt_module()
    try:
        str(trt.__version__)
    except Exception as error:  # Polygraphy's lazy module raises its own kinds of error
        raise BackendUnavailableError(f"{facts.name} can't be imported ({error}); install it with: {facts.install}") from error
    util.TRT_LOGGER = logger.for_module(trt)
    return trt


def _words(log: Any) -> str:
    """TensorRT's own words for what went wrong, without the marks around nodes."""
    return " / ".join(line for line in log.errors(everywhere=True) if "---" not in line)


#: From a parsed network to the range of each of its inputs; it may raise an ArtifactError.
Inspect = Callable[[Any], Mapping[str, Range]]


def build_bytes(request: PlanRequest, show_progress: bool | None = None) -> tuple[bytes, list[str]]:
    """Parse, check, name and build; return the plan's bytes and what was checked."""
    trt, profile = _load_flavour(request.facts), request.plan.profile
    checks: list[str] = []

    def inspect(network: Any) -> Mapping[str, Range]:
        checks.extend(parsed_contract.check(network, trt, request.info))
        return {request.info.input.name: (profile.min, profile.opt, profile.max)}

    return _build_bytes(request, request.onnx.read_bytes(), request.digest, inspect, show_progress), checks


def build_halves(request: PlanRequest, show_progress: bool | None = None) -> Halves:
    """Build what decides on the overview of a picture beyond the profile, and what renders its parts."""
    info, parts = request.info, request.info.parts
    assert parts is not None
    graphs = cut_file(request.onnx, read_info(request.onnx))
    channels: dict[str, tuple[int, bool]] = {}

    def inspect_decide(network: Any) -> Mapping[str, Range]:
        for output in (network.get_output(index) for index in range(network.num_outputs)):
            shape = tuple(output.shape)
            channels[output.name] = shape[1], shape[2:] == (1, 1)
        return {parts.overview: overview_range(parts.points)}

    def inspect_render(network: Any) -> Mapping[str, Range]:
        light = {name: light_range(*channels[name]) for name in parts.light}
        return {info.input.name: PART_RANGE, parts.side: SIDE_RANGE, **light}

    names = [manifest.half_name(request.digest, half) for half in manifest.HALVES]
    decide = _build_bytes(request, graphs.decide, names[0], inspect_decide, show_progress)
    return Halves(decide, _build_bytes(request, graphs.render, names[1], inspect_render, show_progress))


def _build_bytes(request: PlanRequest, graph: bytes, digest: str, inspect: Inspect, show_progress: bool | None = None) -> bytes:
    from polygraphy.backend.trt import EngineBytesFromNetwork, NetworkFromOnnxBytes
    from polygraphy.exception import PolygraphyException
    from polygraphy.logger import G_LOGGER

    trt = _load_flavour(request.facts)
    log = logger.for_module(trt)
    log.errors(everywhere=True)  # Forget what was said before.
    name, onnx = request.facts.name, request.onnx
    monitor = make_monitor(trt, onnx.stem, show_progress)
    cache = str(request.timing_cache) if request.timing_cache else None
    # Strongly typed: required below TensorRT 11, accepted from there on.
    try:
        with G_LOGGER.verbosity(G_LOGGER.CRITICAL + 1), log.quietly():
            try:
                builder, network, parser = NetworkFromOnnxBytes(graph, strongly_typed=True)()
            except PolygraphyException as error:
                words = _words(log) or str(error)
                raise ArtifactError(f"{name}'s parser refuses {onnx}: {words}") from error
            ranges = inspect(network)
            network.name = digest
            config = _config(request, ranges, trt, monitor)
            try:
                return bytes(EngineBytesFromNetwork((builder, network, parser), config, save_timing_cache=cache)())
            except PolygraphyException as error:
                if monitor.interrupted:
                    raise KeyboardInterrupt from error
                words = _words(log) or str(error)
                raise BackendError(f"{name} can't build {onnx}: {words}") from error
    finally:
        monitor.close()


def _config(request: PlanRequest, ranges: Mapping[str, Range], trt: Any, monitor: Any) -> Any:
    """The builder configuration, as a Polygraphy loader. No precision flags: types in the graph decide."""
    from polygraphy.backend.trt import CreateConfig, PostprocessConfig, Profile

    options, plan, cache = request.options, request.plan, request.timing_cache
    profile = Profile()
    for name, each in ranges.items():
        profile.add(name, *each)
    common: dict[str, Any] = {
        "profiles": [profile],
        "builder_optimization_level": options.level,
        # TensorRT's own default; Polygraphy's describes every layer, which costs time in each run.
        "profiling_verbosity": trt.ProfilingVerbosity.LAYER_NAMES_ONLY,
        "progress_monitor": monitor,
    }
    if options.workspace_bytes is not None:
        common["memory_pool_limits"] = {trt.MemoryPoolType.WORKSPACE: options.workspace_bytes}
    if request.facts.name == "tensorrt":
        existing = str(cache) if cache and cache.exists() else None
        # With the lean runtime inside, a plan would carry 100 MB of host code that whoever loads it has to allow.
        compatible: dict[str, bool] = dict.fromkeys(("version_compatible", "exclude_lean_runtime"), options.version_compatible)
        return CreateConfig(tf32=options.tf32, load_timing_cache=existing, **compatible, **common)
    from polygraphy.backend.tensorrt_rtx import CreateConfigRTX

    def set_tf32(builder: Any, network: Any, config: Any) -> None:
        (config.set_flag if options.tf32 else config.clear_flag)(trt.BuilderFlag.TF32)

    return PostprocessConfig(CreateConfigRTX(compute_capabilities=compute_capabilities(plan.sms), **common), set_tf32)
