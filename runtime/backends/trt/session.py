"""Sessions on plans: the backends "tensorrt" and "tensorrt_rtx"."""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
import weakref
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runtime import shapes
from runtime.artifact import ArtifactInfo, manifest, remedies
from runtime.artifact.manifest import Flavour, Half, Host
from runtime.backends.backend import Backend, get_backend
from runtime.backends.session import Probe, require_same_shape
from runtime.backends.trt import kernel_cache, logger
from runtime.backends.trt.contexts import ContextPool, Engine, ExecutionSlot
from runtime.backends.trt.halves import HalfEngine, Halves
from runtime.cuda import Cuda, DeviceProperties, Gpu, driver_found, open_cuda, require_own_context
from runtime.cuda.capture import require_no_capture
from runtime.cuda.fork import guard, require_own_process
from runtime.errors import ArtifactError, BackendError, BackendUnavailableError, ClosedError, InputError
from runtime.images import DeviceImages, Images
from runtime.options import OpenOptions
from runtime.tiling import PartsSession

#: "0": no CUDA graphs.
GRAPHS_VARIABLE = "RETINEXRT_CUDA_GRAPHS"
#: "eager": TensorRT-RTX finishes its kernels for a shape before the first run of it, instead of beside the first runs.
KERNELS_VARIABLE = "RETINEXRT_RTX_KERNELS"
#: Names of the module of TensorRT's lean runtime; NVIDIA's wheels without the package that ties them have the second.
_LEAN = ("tensorrt_lean", "tensorrt_lean_bindings")
#: Runs of a shape after which TensorRT-RTX's kernels are saved. It compiles the better ones beside the first runs.
_KEPT_AFTER = (1, 30, 300)

_log = logging.getLogger("retinexrt.tensorrt")


def graphs_wanted() -> bool:
    """False where the environment says that runs shall not be recorded as CUDA graphs."""
    return os.environ.get(GRAPHS_VARIABLE) != "0"


def open_session(backend: Backend, path: Path, options: OpenOptions) -> TensorRTSession:
    """Open a plan on a GPU. `threads` is for CPU backends; any number of threads may call."""
    return open_plan(path, _flavour(backend), options.device)


def _flavour(backend: Backend) -> Flavour:
    return "tensorrt_rtx" if backend.name == "tensorrt_rtx" else "tensorrt"


def open_plan(path: Path, flavour: Flavour, device: int, cuda: Cuda | None = None) -> TensorRTSession:
    """Open a plan if it is what its manifest says and fits what is found here; nothing of it is parsed before."""
    found: list[tuple[Any, Cuda]] = []

    def find_host() -> Host:
        trt = _import(flavour)
        opened = cuda or open_cuda()
        found.append((trt, opened))
        lean = trt.__name__ in _LEAN
        return Host(flavour, str(trt.__version__), opened.properties(device).sm, manifest.this_platform(), lean)

    info, data = manifest.verify(path, find_host)
    _warn_of_another_gpu(path, info, found[0][1].properties(device))
    info.require_pictures(path)
    trt, opened = found[0]
    return TensorRTSession(path, info, data, trt, opened, device)


def _module(flavour: Flavour) -> str | None:
    """The name of the installed module: TensorRT, or else its lean runtime."""
    names = (flavour, *(_LEAN if flavour == "tensorrt" else ()))
    return next((name for name in names if name in sys.modules or find_spec(name) is not None), None)


def _warn_of_another_gpu(path: Path, info: ArtifactInfo, here: DeviceProperties) -> None:
    """TensorRT takes a plan of another card with the same compute capability; it was tuned for the other one."""
    plan = info.plan
    if plan is None:
        return
    if here.sm not in plan.sms:
        _log.warning("%s has no target for compute capability %s, which is newer, and does not run at its best", path, here.sm)
    elif plan.gpu not in (None, here.name):
        _log.warning(
            "%s was built on another GPU, %s, and may be slow on this one, %s; build it here with: %s",
            path, plan.gpu, here.name, remedies.rebuild(info),
        )  # fmt: skip


def _import(flavour: Flavour) -> Any:
    try:
        return import_module(_module(flavour) or flavour)
    except (ImportError, OSError) as error:
        raise BackendUnavailableError(
            f"{flavour} can't be imported ({error}); install it with: {get_backend(flavour).install}"
        ) from error


def probe(backend: Backend, device: int) -> Probe:
    """Look for a driver, for the package, then for that GPU, and whether it is supported."""
    flavour = _flavour(backend)

    def answer(usable: bool, reason: str) -> Probe:
        return Probe(flavour, usable, reason, backend.install)

    if not driver_found():
        return Probe(flavour, False, "there is no NVIDIA driver here", install="")
    module = _module(flavour)
    if module is None:
        return answer(False, f"the package {flavour} is not installed")
    try:
        trt = import_module(module)
        properties = open_cuda().properties(device)
    except (ImportError, OSError) as error:
        return answer(False, f"{flavour} can't be imported ({error})")
    except BackendError as error:
        return answer(False, str(error))
    # TensorRT builds for the GPU at hand, and a later TensorRT-RTX may have more targets than are known here.
    targets = getattr(getattr(trt, "ComputeCapability", None), "__members__", {})
    if flavour == "tensorrt_rtx" and f"SM{properties.sm.replace('.', '')}" not in targets:
        if refusal := manifest.rtx_refusal(properties.sm):
            return Probe(flavour, False, refusal, "")  # Nothing to install helps.
        suboptimal = ", not at its best" if manifest.is_newer_than_rtx(properties.sm) else ""
        return answer(True, f"{flavour} {trt.__version__} on {properties.name} ({properties.sm}){suboptimal}")
    lean = "; this lean runtime runs plans built with --version-compatible" if module in _LEAN else ""
    return answer(True, f"{flavour} {trt.__version__} on {properties.name} ({properties.sm}){lean}")


class TensorRTSession:
    """A deserialised plan; see the protocol `Session`."""

    def __init__(self, path: Path, info: ArtifactInfo, data: bytes, trt: Any, cuda: Cuda, device: int) -> None:
        plan = info.plan
        assert plan is not None
        self.backend: str = plan.flavour
        self.device = f"cuda:{device}"
        self.info = info
        self.precision: str = info.precision
        self._profile = plan.profile
        self._path = path
        self._plan = _LoadedPlan(path, info, data, trt, cuda, device)
        self.gpu: Gpu | None = self._plan.gpu
        # Freed with the session even if nobody closes it, but not while the interpreter goes down: CUDA may be gone by then.
        self._finalizer = weakref.finalize(self, self._plan.close)
        self._finalizer.atexit = False

    @property
    def graph_error(self) -> str | None:
        """Why runs are not replayed as CUDA graphs, where capturing one has failed."""
        return next((slot.capture_error for slot in self._plan.pool.idle if slot.capture_error), None)

    def run(self, images: Images, out: Images) -> None:
        """Enhance on the host's memory; see the protocol."""
        self._check_shape(images.shape, out.shape)
        require_own_process(self._plan.gpu.process)
        with self._plan.lend(images.shape) as slot:
            slot.run(images, out)
        self._plan.keep_kernels(images.shape)

    def run_device(self, images: DeviceImages, out: DeviceImages, stream: int) -> None:
        """Enhance on the GPU's memory; see the protocol."""
        self._check_shape(images.shape, out.shape)
        self._plan.require_usable(stream)
        with self._plan.lend(images.shape) as slot:
            slot.run_device(images, out, stream)
        self._plan.keep_kernels(images.shape)

    def open_parts(self) -> PartsSession | None:
        """The halves of a plan that has them; see the protocol."""
        return self._plan.open_parts()

    def close(self) -> None:
        """Wait for running calls and free everything; calling it again does nothing."""
        self._finalizer()

    def _check_shape(self, shape: tuple[int, ...], out: tuple[int, ...]) -> None:
        require_same_shape(shape, out)
        low, high = self._profile.min, self._profile.max
        if len(shape) == len(low) and all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True)):
            return
        options = [
            f"--{name} {shapes.to_text(wanted[:3])}"
            for name, bound, pick in (("min", low, min), ("max", high, max))
            if (wanted := tuple(pick(a, b) for a, b in zip(bound, shape, strict=False))) != bound
        ]
        raise InputError(
            f"{shapes.to_text(shape)} is outside the profile of {self._path.name}, "
            f"from {shapes.to_text(low)} to {shapes.to_text(high)}; "
            f"build a plan that holds it with: {remedies.rebuild(self.info)} {' '.join(options)}"
        )


class _LoadedPlan:
    """The engine and everything on the GPU that belongs to it."""

    def __init__(self, path: Path, info: ArtifactInfo, data: bytes, trt: Any, cuda: Cuda, device: int) -> None:
        plan = info.plan
        assert plan is not None
        self._cuda = cuda
        self._runtime: Any = None
        self._shared: Engine | None = None
        self._kernels: kernel_cache.Kernels | None = None
        self._path, self._info, self._trt = path, info, trt
        self._parts: Halves | None = None
        self._parting = threading.Lock()
        self._keeping = threading.Lock()
        #: Saves kernels, when those before it have done so.
        self._saving: threading.Thread | None = None
        self._runs: Counter[tuple[int, ...]] = Counter()
        self._log = logger.for_module(trt)
        # NVIDIA asks for the primary context with TensorRT-RTX.
        self._context = cuda.open_context(device, primary=plan.flavour == "tensorrt_rtx")
        self.gpu = Gpu(cuda, device, self._context)
        guard(self)
        try:
            with cuda.using(self._context):
                try:
                    self.pool = self._open(path, info, data, trt)
                except BaseException as error:
                    traceback.clear_frames(error.__traceback__)  # They hold the engine, which ends in its context.
                    self._end_tensorrt()
                    raise
        except BaseException:
            cuda.close_context(self._context)
            raise

    def _open(self, path: Path, info: ArtifactInfo, data: bytes, trt: Any) -> ContextPool:
        plan = info.plan
        assert plan is not None
        self._log.errors()  # Errors that other sessions left say nothing of this one.
        self._runtime = trt.Runtime(self._log)
        engine = self._deserialise(path, data)
        manifest.check_name(path, info, engine.name)
        _check_tensors(path, info, engine, trt)
        rtx = plan.flavour == "tensorrt_rtx"
        create_context, self._kernels = self._contexts(engine, path, plan.plan_sha256, graphs_wanted())
        shared = self._shared = Engine(engine, create_context, self._log.words, info.input.name, info.output.name)

        def create() -> ExecutionSlot:
            with self._cuda.using(self._context):
                # TensorRT-RTX captures by itself, once its kernels for a shape are compiled.
                return ExecutionSlot(shared, self._cuda, capture=graphs_wanted() and not rtx)

        def destroy(slot: ExecutionSlot) -> None:
            with self._cuda.using(self._context):
                slot.close()

        return ContextPool(create, destroy)

    def _deserialise(self, path: Path, data: bytes) -> Any:
        engine = self._runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise BackendError(
                f"{self._trt.__name__} refuses {path}: {self._log.words() or 'it gives no reason'}; "
                f"build it again with: {remedies.rebuild(self._info)}"
            )
        return engine

    def _contexts(
        self, engine: Any, path: Path, sha256: str, graphs: bool
    ) -> tuple[Callable[[], Any], kernel_cache.Kernels | None]:
        """A function that creates contexts, with TensorRT-RTX its own graphs and the kernels that were kept beside the plan."""
        trt, plan = self._trt, self._info.plan
        if plan is None or plan.flavour != "tensorrt_rtx":
            return engine.create_execution_context, None
        config = engine.create_runtime_config()
        if graphs:
            config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        if os.environ.get(KERNELS_VARIABLE) == "eager":
            strategies = trt.DynamicShapesKernelSpecializationStrategy
            config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        cache = config.create_runtime_cache()
        kept = kernel_cache.cache_path(path, self._cuda.properties(self.gpu.device), plan.version)
        kernels = kernel_cache.Kernels(kept, sha256, cache, self._log.words)
        if not config.set_runtime_cache(cache):
            raise BackendError(f"TensorRT-RTX failed to set its runtime cache: {self._log.words() or 'it gives no reason'}")
        return lambda: engine.create_execution_context(config), kernels

    def open_parts(self) -> Halves | None:
        """The halves, made when they are first asked for; None: the plan has none."""
        plan = self._info.plan
        if plan is None or plan.parts is None:
            return None
        require_own_process(self.gpu.process)
        with self._parting:
            if self.pool.closed:
                raise ClosedError("the session is closed")
            if self._parts is None:
                decide, render = (manifest.read_half(self._path, self._info, half) for half in manifest.HALVES)
                with self._cuda.using(self._context):
                    self._parts = self._open_halves(decide, render)
            return self._parts

    def _open_halves(self, decide: bytes, render: bytes) -> Halves:
        try:
            return Halves(self.gpu, self._info, self._half("decide", decide), self._half("render", render))
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # They hold engines, which end in their context.
            raise

    def _half(self, half: Half, data: bytes) -> HalfEngine:
        path = manifest.half_path(self._path, half)
        engine, sha256 = self._deserialise(path, data), manifest.half_sha256(self._info, half)
        manifest.check_name(path, self._info, engine.name, half)
        create_context, kernels = self._contexts(engine, path, sha256, graphs=False)  # Its shapes change from part to part.
        return HalfEngine(Engine(engine, create_context, self._log.words), self._trt.TensorLocation.HOST, kernels)

    @contextmanager
    def lend(self, shape: tuple[int, ...]) -> Generator[ExecutionSlot]:
        """A slot for this thread, with the GPU's context current."""
        with self.pool.slot(shape) as slot, self._cuda.using(self._context):
            yield slot

    def close(self) -> None:
        """Everything ends in its context: slots first, then the engine, then the runtime. In a forked child nothing does."""
        if os.getpid() != self.gpu.process:
            return
        try:
            with self._cuda.using(self._context):
                try:
                    self.pool.close()
                    with self._parting:
                        if self._parts is not None:
                            self._parts.close()
                    with self._keeping:
                        saving = self._saving
                    if saving not in (None, threading.current_thread()):
                        saving.join()
                    if self._kernels is not None:
                        self._kernels.save()
                finally:
                    self._end_tensorrt()
        finally:
            self._cuda.close_context(self._context)

    def _end_tensorrt(self) -> None:
        if self._shared is not None:
            self._shared.close()
        self._shared = self._kernels = self._parts = self._runtime = None

    def require_usable(self, stream: int) -> None:
        """Refuse a caller's stream before anything is made for it: within a capture that would spoil it."""
        require_own_process(self.gpu.process)
        require_own_context(self.gpu)
        if self.pool.closed:
            raise ClosedError("the session is closed")
        with self._cuda.using(self._context):
            require_no_capture(self._cuda, stream)

    def keep_kernels(self, shape: tuple[int, ...]) -> None:
        """Save what TensorRT-RTX has compiled for a shape, for the next process: not every session is closed.

        Nobody waits for it, so no run takes longer.
        """
        if self._kernels is None or self._runs[shape] >= _KEPT_AFTER[-1]:
            return
        with self._keeping:
            self._runs[shape] += 1
            if self._runs[shape] not in _KEPT_AFTER or self.pool.closed:
                return
            before = self._saving
            self._saving = threading.Thread(target=self._save_after, args=(before,), name="retinexrt-kernels")
            self._saving.start()

    def _save_after(self, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        try:
            with self._cuda.using(self._context):
                if self._kernels is not None:
                    self._kernels.save()
        except BackendError as error:
            _log.warning("kernels are not kept: %s", error)


def _check_tensors(path: Path, info: ArtifactInfo, engine: Any, trt: Any) -> None:
    """The plan's tensors are the manifest's: one picture in and one out, uint8."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    if sorted(names) != sorted((info.input.name, info.output.name)):
        raise ArtifactError(f"{path} has the tensors {', '.join(names)}, its manifest {info.input.name}, {info.output.name}")
    for name, mode in ((info.input.name, trt.TensorIOMode.INPUT), (info.output.name, trt.TensorIOMode.OUTPUT)):
        if engine.get_tensor_mode(name) != mode or engine.get_tensor_dtype(name) != trt.uint8:
            raise ArtifactError(
                f"{path}: the tensor {name} is {engine.get_tensor_mode(name).name} of {engine.get_tensor_dtype(name).name}, "
                f"expected {mode.name} of UINT8"
            )
