"""The two flavours of TensorRT that build plans, and the choice between them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from runtime.artifact.manifest import RTX_TARGETS, Flavour
from runtime.backends import get_backend
from runtime.errors import BackendUnavailableError, InputError


@dataclass(frozen=True)
class FlavourFacts:
    """Facts of a flavour that are needed before a build starts."""

    #: Also the name of its Python module, which Polygraphy's loaders import.
    name: Flavour
    #: True: builds for the GPU at hand; False: ahead of time, for any of RTX_TARGETS, on any machine.
    needs_gpu: bool

    @property
    def install(self) -> str:
        """The command that installs it."""
        return get_backend(self.name).install


TENSORRT = FlavourFacts("tensorrt", needs_gpu=True)
TENSORRT_RTX = FlavourFacts("tensorrt_rtx", needs_gpu=False)
FLAVOURS: dict[str, FlavourFacts] = {facts.name: facts for facts in (TENSORRT, TENSORRT_RTX)}


def choose(wanted: str | None, gpu: bool) -> FlavourFacts:
    """The flavour asked for, else TensorRT where it and a GPU are present, else TensorRT-RTX."""
    if wanted is not None:
        if wanted not in FLAVOURS:
            raise InputError(f"unknown flavour {wanted!r}; known: {', '.join(FLAVOURS)}")
        facts = FLAVOURS[wanted]
        if find_spec(facts.name) is None:
            raise BackendUnavailableError(f"{facts.name} is not installed; install it with: {facts.install}")
        if facts.needs_gpu and not gpu:
            raise BackendUnavailableError(
                f"{facts.name} builds for the GPU at hand, and none is usable here; on this machine use --flavour tensorrt_rtx"
            )
        return facts
    if gpu and find_spec(TENSORRT.name) is not None:
        return TENSORRT
    if find_spec(TENSORRT_RTX.name) is not None:
        return TENSORRT_RTX
    wanted_here = TENSORRT if gpu else TENSORRT_RTX
    raise BackendUnavailableError(f"no TensorRT to build with; install one with: {wanted_here.install}")


def target_sms(facts: FlavourFacts, asked: tuple[str, ...] | None, present: str | None) -> tuple[str, ...]:
    """The compute capabilities that a plan is built for, checked against what the flavour can do."""
    if facts.needs_gpu:
        if present is None:
            raise BackendUnavailableError(f"{facts.name} needs the GPU that it builds for")
        if asked not in (None, (present,)):
            raise InputError(
                f"{facts.name} builds for the GPU at hand ({present}), not for {', '.join(asked or ())}; "
                "leave --sm out, or use --flavour tensorrt_rtx"
            )
        return (present,)
    if asked is None:
        return tuple(sm for sm in RTX_TARGETS if sm != "7.5")  # Turing shares no plan with newer GPUs: 7.5 is built alone.
    if unknown := [sm for sm in asked if sm not in RTX_TARGETS]:
        raise InputError(f"{facts.name} builds for {', '.join(RTX_TARGETS)}, not for {', '.join(unknown)}")
    if "7.5" in asked and len(asked) > 1:
        raise InputError("compute capability 7.5 shares no plan with others; build it alone: --sm 7.5")
    return tuple(dict.fromkeys(asked))


def compute_capabilities(sms: tuple[str, ...]) -> list[tuple[int, int]]:
    """("8.6",) -> [(8, 6)], as Polygraphy's loader takes them."""
    return [(int(major), int(minor)) for major, minor in (sm.split(".") for sm in sms)]


def tensorrt_module() -> Any:
    """The TensorRT module that this process's Polygraphy loaders use."""
    from polygraphy.mod.trt_importer import lazy_import_trt

    return lazy_import_trt()
