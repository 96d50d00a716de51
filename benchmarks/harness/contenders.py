"""Contenders: ways to run a network, ours and what people would use instead, opened from a description for records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.harness.lane import Bind, Lane, Lanes
from benchmarks.harness.timing import Sample
from runtime.artifact import ArtifactInfo, locate, read_info, remedies
from runtime.backends import BACKENDS, Backend
from runtime.errors import ArtifactError, BackendUnavailableError, InputError
from runtime.files import sha256
from runtime.images import Images
from train.networks.registry import NetworkSpec


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
        """The precision that it computes in: "fp32", "fp16" or "bf16"."""
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
    #: On a GPU what `run` times, and as many more of them as there shall be streams.
    lanes: Lanes | None = None


@dataclass(frozen=True)
class Kind:
    """The facts that contenders of one kind share."""

    #: Its function `open_contender` opens one.
    module: str
    #: The distribution that it needs, and the command that installs it.
    package: str
    install: str
    #: None: that of the artifact.
    precision: str | None = None


def open_contender(contender: Contender) -> OpenContender:
    """Open a contender, or raise BackendUnavailableError with the command that installs it."""
    info = read_info(Path(contender.artifact))
    kind = find_kind(contender.kind)
    try:
        return import_module(kind.module).open_contender(contender, info)
    except ImportError as error:
        raise BackendUnavailableError(f"{contender.kind} needs {error.name}; install it with: {kind.install}") from error


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


def describe(artifact: Path) -> dict[str, Any]:
    """An artifact, for records."""
    return {"file": artifact.name, "sha256": sha256(artifact)}


def gpu_problem() -> str | None:
    """Why no plan can run here, in a few words; None where one can."""
    from runtime.cuda import open_cuda

    try:
        open_cuda()
    except BackendUnavailableError as error:
        return str(error)
    return None


def pictures_of(contender: Contender) -> Images:
    """Dark noise to time a contender on: what a picture shows does not change how long these networks take."""
    shape = (contender.batch, contender.height, contender.width, 3)
    return np.random.default_rng(5).integers(0, 40, shape, dtype=np.uint8)


def lanes_of(contender: Contender, bind: Bind, device: int = 0) -> Lanes:
    """Lanes on a GPU for a contender."""
    from runtime.cuda import open_cuda

    return Lanes(lambda: Lane(open_cuda(), device, pictures_of(contender), bind))


def onnx_path(contender: Contender) -> Path:
    """The graph itself; of a plan, the one that it was built from."""
    path = Path(contender.artifact).with_suffix(".onnx")
    if not path.is_file():
        raise BackendUnavailableError(f"{contender.kind} runs {path.name}, which is not beside {Path(contender.artifact).name}")
    return path


def backend_for(device: Literal["cpu", "cuda"], suffix: str) -> Backend:
    """The fastest that runs such files there."""
    return next(each for each in BACKENDS if each.device == device and any(end.endswith(suffix) for end in each.endings))


def in_half(network: NetworkSpec) -> bool:
    """Whether any of it may be computed in FP16: the sums of a classical network's wide windows don't fit."""
    return "*" not in network.islands


def _kinds() -> dict[str, Kind]:
    """Ours, torch's, and the CPU's backends without us; those that choose a precision in every one."""
    own = "benchmarks.harness.run_enhancer"
    bare = [backend for backend in BACKENDS if backend.device == "cpu"]
    found = {"retinexrt": Kind(own, bare[-1].packages[0], bare[-1].install)}
    for name in ("torch", "torch-compile", "torch-graph"):
        found[name] = Kind("benchmarks.harness.run_torch", "torch", remedies.install("export"))
    for backend in bare:
        module, (first, *others) = f"benchmarks.harness.run_{backend.name}", backend.computes_in or (None,)
        found[backend.name] = Kind(module, backend.packages[0], backend.install, first)
        for precision in others:
            found[f"{backend.name}-{precision}"] = Kind(module, backend.packages[0], backend.install, precision)
            found.setdefault(f"retinexrt-{precision}", Kind(own, backend.packages[0], backend.install, precision))
    return found


#: Every kind of contender by its name; after --against any of them but the first.
KINDS: dict[str, Kind] = _kinds()
