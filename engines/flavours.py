"""The two flavours of TensorRT that build plans, and the choice between them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from runtime.artifact import remedies
from runtime.artifact.manifest import RTX_TARGETS, Flavour
from runtime.errors import BackendUnavailableError, InputError


@dataclass(frozen=True)
class FlavourFacts:
    """Facts of a flavour that are needed before a build starts."""

    name: Flavour
    #: The Python module, also what the Polygraphy loaders import.
    module: str
    install: str
    #: True: builds for the GPU at hand; False: builds ahead of time, for any of `sms`, on any machine.
    needs_gpu: bool
    #: Compute capabilities that can be chosen; empty: that of the GPU alone.
    sms: tuple[str, ...]
    #: Compute capabilities targeted when none is asked for.
    default_sms: tuple[str, ...]


TENSORRT = FlavourFacts(
    name="tensorrt", module="tensorrt", install=remedies.install("trt"), needs_gpu=True, sms=(), default_sms=()
)
TENSORRT_RTX = FlavourFacts(
    name="tensorrt_rtx",
    module="tensorrt_rtx",
    install=remedies.install("rtx"),
    needs_gpu=False,
    sms=RTX_TARGETS,
    # Turing shares no plan with newer GPUs: 7.5 is built alone.
    default_sms=tuple(sm for sm in RTX_TARGETS if sm != "7.5"),
)
FLAVOURS: dict[str, FlavourFacts] = {facts.name: facts for facts in (TENSORRT, TENSORRT_RTX)}


def choose(wanted: str | None, gpu: bool) -> FlavourFacts:
    """The flavour asked for, else TensorRT where it and a GPU are present, else TensorRT-RTX."""
    if wanted is not None:
        if wanted not in FLAVOURS:
            raise InputError(f"unknown flavour {wanted!r}; known: {', '.join(FLAVOURS)}")
        facts = FLAVOURS[wanted]
        if find_spec(facts.module) is None:
            raise BackendUnavailableError(f"{facts.name} is not installed; install it with: {facts.install}")
        if facts.needs_gpu and not gpu:
            raise BackendUnavailableError(
                f"{facts.name} builds for the GPU at hand, and none is usable here; on this machine use --flavour tensorrt_rtx"
            )
        return facts
    if gpu and find_spec(TENSORRT.module) is not None:
        return TENSORRT
    if find_spec(TENSORRT_RTX.module) is not None:
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
        return facts.default_sms
    if unknown := [sm for sm in asked if sm not in facts.sms]:
        raise InputError(f"{facts.name} builds for {', '.join(facts.sms)}, not for {', '.join(unknown)}")
    if "7.5" in asked and len(asked) > 1:
        raise InputError("compute capability 7.5 shares no plan with others; build it alone: --sm 7.5")
    return tuple(dict.fromkeys(asked))


def compute_capabilities(sms: tuple[str, ...]) -> list[tuple[int, int]]:
    """("8.6",) -> [(8, 6)], as Polygraphy's loader takes them."""
    pairs: list[tuple[int, int]] = []
    for sm in sms:
        major, _, minor = sm.partition(".")
        pairs.append((int(major), int(minor)))
    return pairs


def tensorrt_module() -> Any:
    """The TensorRT module that this process's Polygraphy loaders use."""
    from polygraphy.mod.trt_importer import lazy_import_trt

    return lazy_import_trt()
