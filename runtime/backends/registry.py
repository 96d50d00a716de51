"""The choice of a backend: every way to run an artifact here, and the first that works."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.artifact import locate, read_info, remedies
from runtime.backends.backend import BACKENDS, Backend, get_backend
from runtime.backends.session import Session
from runtime.errors import ArtifactError, BackendError, BackendUnavailableError, IncompatiblePlanError, InputError
from runtime.options import OpenOptions


@dataclass(frozen=True)
class Choice:
    """One way to run a source."""

    backend: Backend
    path: Path
    #: The ONNX file that the name stands for; None: the source was a file, or there is none.
    reference: Path | None = None

    def open(self, options: OpenOptions) -> Session:
        """Open it. A name stands for one set of weights: an artifact of others is refused."""
        reference = self.reference
        if reference not in (None, self.path) and read_info(self.path).weights_sha256 != read_info(reference).weights_sha256:
            raise IncompatiblePlanError(
                f"{self.path} holds other weights than {reference}; make it again with: "
                f"{remedies.make(self.path)}, or name the file itself"
            )
        return self.backend.open(self.path, options)


def choices(source: str, backend: str = "auto") -> list[Choice]:
    """Every way to run `source`, a network's name or an artifact's path, the fastest first. Nothing is probed yet."""
    wanted = BACKENDS if backend == "auto" else (get_backend(backend),)
    if path := locate.as_file(source):
        found = [Choice(item, path) for item in _runners(path, wanted)]
    else:
        source = locate.spelled(source)
        reference = locate.find(f"{source}.onnx")
        files = ((item, locate.find(source + ending)) for item in wanted for ending in item.endings)
        found = [Choice(item, path, reference) for item, path in files if path is not None]
    if not found:
        raise locate.absent(source, ".onnx" if backend == "auto" or ".onnx" in wanted[0].endings else ".plan")
    return sorted(found, key=_is_slow)


def _is_slow(choice: Choice) -> bool:
    """Whether the backend is behind those after it on this network."""
    try:
        return choice.backend.slow_without_convolutions and not read_info(choice.path).has_weights
    except ArtifactError:  # whoever opens it says so
        return False


def _runners(path: Path, wanted: Sequence[Backend]) -> list[Backend]:
    """Those of `wanted` that run this file; of a plan, the one flavour that built it."""
    if path.suffix == ".plan" and len(wanted) > 1:
        plan = read_info(path).plan
        return [backend for backend in wanted if plan is not None and backend.name == plan.flavour]
    found = [backend for backend in wanted if any(ending.endswith(path.suffix) for ending in backend.endings)]
    if not found:
        raise InputError(f"the backend {wanted[0].name} does not run {path.suffix} files, and {path} is one")
    return found


def open_session(source: str, options: OpenOptions) -> tuple[Session, Path]:
    """Open `source` on the backend asked for, or for "auto" on the first that works here; the path is the artifact's.

    With a precision asked for, only backends that have the choice work.
    """
    options = _within_cpus(options)
    obstacles: list[str] = []
    for choice in choices(source, options.backend):
        if options.precision is not None and options.precision not in choice.backend.computes_in:
            obstacles.append(f"{choice.backend.name}: computes in the artifact's precision, and takes no other")
            continue
        probe = choice.backend.probe(options.device)
        if not probe.usable:
            install = f"; install it with: {probe.install}" if probe.install and probe.install not in probe.reason else ""
            obstacles.append(f"{probe.name}: {probe.reason}{install}")
            continue
        try:
            return choice.open(options), choice.path
        except (BackendError, ArtifactError) as error:
            if options.backend != "auto" or locate.as_file(source):
                raise
            obstacles.append(f"{probe.name}: {error}")
    raise BackendUnavailableError(f"nothing here can run {source}. " + ". ".join(obstacles))


def usable_cpus() -> int:
    """The number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _within_cpus(options: OpenOptions) -> OpenOptions:
    """No more threads than this process has CPUs: more are slower, and a thousand take minutes to begin."""
    most = usable_cpus()
    if options.threads is None or options.threads <= most:
        return options
    logging.getLogger("retinexrt").warning(
        "%d threads were asked for, and %d are used: one for each CPU", options.threads, most
    )
    return replace(options, threads=most)
