"""Read and verify the manifest of a TensorRT plan. No byte of the plan is parsed until every check has passed.

A plan is executable code, so nothing of it is parsed before all of this has passed: the manifest is whole and of a
schema that is understood; the plan's bytes are the manifest's; flavour, version, platform and GPU are the ones found
here. Only then does `verify` return the bytes to deserialise, and `check_name` compares what is written inside.

The manifest protects against accidents and mixed-up files, not against somebody who writes both: load only plans that
you built or whose maker you trust.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from runtime.artifact import remedies
from runtime.artifact.info import SCHEMA, ArtifactInfo, PlanInfo
from runtime.errors import ArtifactError, IncompatiblePlanError, ManifestError, NewerSchemaError
from runtime.files import write_atomically

Flavour = Literal["tensorrt", "tensorrt_rtx"]
#: Of a network that has `Parts`: what decides on the light of a picture, and what renders its parts.
Half = Literal["decide", "render"]
HALVES: tuple[Half, Half] = ("decide", "render")

#: Compute capabilities that TensorRT-RTX builds for. Newer GPUs run its plans too, not at their best; others don't.
RTX_TARGETS = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")


@dataclass(frozen=True)
class Host:
    """The host that a plan has to fit: the TensorRT that would load it and the GPU that would run it."""

    flavour: Flavour
    version: str
    sm: str
    platform: str
    #: Whether only TensorRT's lean runtime was found, which runs version-compatible plans alone.
    lean: bool = False


def this_platform() -> str:
    """For example "linux-x86_64"."""
    return f"{sys.platform}-{platform.machine()}"


def is_suboptimal(plan: PlanInfo, sm: str) -> bool:
    """Whether a GPU is newer than all targets of TensorRT-RTX, so that it runs the plan, but not at its best."""
    shared = plan.sms != ("7.5",)  # Turing shares no plan with newer GPUs.
    return plan.flavour == "tensorrt_rtx" and shared and is_newer_than_rtx(sm)


def is_newer_than_rtx(sm: str) -> bool:
    """Whether a compute capability is above the newest target of TensorRT-RTX."""
    return _number(sm) > _number(RTX_TARGETS[-1])


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def rtx_refusal(sm: str) -> str:
    """Why TensorRT-RTX doesn't run on a GPU of this compute capability, and what does; empty where it runs."""
    if sm in RTX_TARGETS or is_newer_than_rtx(sm):
        return ""
    name = " (Jetson Orin)" if sm == "8.7" else ""
    return f"TensorRT-RTX does not support compute capability {sm}{name}; TensorRT and ONNX Runtime CUDA do"


def manifest_path(plan: Path) -> Path:
    """pdn_fp16.plan -> pdn_fp16.json"""
    return plan.with_suffix(".json")


def digest(info: ArtifactInfo) -> str:
    """A hash of all that is known before the build, in 32 hexadecimal digits: the name of the network inside the plan."""
    document = replace(info, parity=()).document()
    for later in ("digest", "plan_sha256", "plan_bytes", "build_seconds", "manifest_sha256"):
        del document["plan"][later]
    document["plan"].pop("parts", None)
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def to_text(info: ArtifactInfo) -> str:
    """The manifest's text, sealed: `plan.manifest_sha256` covers all the rest."""
    plan = _plan(info, "manifest")
    blank = replace(info, plan=replace(plan, manifest_sha256=""))
    seal = hashlib.sha256(blank.to_json().encode()).hexdigest()
    return replace(info, plan=replace(plan, manifest_sha256=seal)).to_json(indent=2) + "\n"


def write(info: ArtifactInfo, plan: Path) -> Path:
    """Write the manifest of a plan beside it and return its path."""
    path = manifest_path(plan)
    write_atomically(path, to_text(info).encode())
    return path


def read(plan: Path) -> ArtifactInfo:
    """Read and validate the manifest beside a plan; the plan itself is not looked at."""
    path = manifest_path(plan)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ManifestError(
            f"{plan} has no manifest: {path.name} is missing, and without it a plan is not loaded; "
            f"build both with: {remedies.make(plan)}"
        ) from None
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror}") from error
    mend = f"build it again with: {remedies.make(plan)}"
    try:
        text = data.decode()
        info = ArtifactInfo.from_json(text, str(path))
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is damaged (not UTF-8 text); {mend}") from error
    except NewerSchemaError as error:
        raise ManifestError(str(error)) from error
    except ArtifactError as error:
        raise ManifestError(f"{error}; {mend}") from error
    if info.schema != SCHEMA:
        raise ManifestError(f"{path} has schema {info.schema}, expected {SCHEMA}; {mend}")
    if info.plan is None:
        raise ManifestError(f"{path} describes no plan; {mend}")
    if text != to_text(info):
        raise ManifestError(f"{path} was changed after it was written; {mend}")
    if info.plan.digest is not None and info.plan.digest != digest(info):
        raise ManifestError(f"{path} contradicts itself: its digest is not that of its content; {mend}")
    return info


def verify(plan: Path, find_host: Callable[[], Host]) -> tuple[ArtifactInfo, bytes]:
    """Return the manifest and the bytes of a plan that is what it claims and fits the host; else a typed error.

    `find_host` looks for TensorRT and the GPU; it is called once the plan's bytes have been compared with the manifest.
    """
    info = read(plan)
    said = _plan(info, str(plan))
    data = _read_hashed(plan, info, said.plan_sha256, said.plan_bytes)
    _check_host(plan, info, find_host())
    return info, data


def half_path(plan: Path, half: Half) -> Path:
    """dawn_fp16.plan -> dawn_fp16.decide"""
    return plan.with_suffix(f".{half}")


def half_sha256(info: ArtifactInfo, half: Half) -> str:
    """Of the bytes of a half, as the manifest of a plan with halves says."""
    parts = _plan(info, half).parts
    assert parts is not None
    return parts.decide_sha256 if half == "decide" else parts.render_sha256


def half_name(digest: str, half: Half) -> str:
    """The name of the network inside the plan of a half."""
    return f"{digest}.{half}"


def read_half(plan: Path, info: ArtifactInfo, half: Half) -> bytes:
    """The bytes of a half of a plan whose `info`, which was verified, has `plan.parts`."""
    return _read_hashed(half_path(plan, half), info, half_sha256(info, half))


def _read_hashed(path: Path, info: ArtifactInfo, sha256: str, count: int | None = None) -> bytes:
    """The bytes that were hashed are the bytes that are returned, so that nothing can come between."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist; build it with: {remedies.rebuild(info)}") from None
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    if count is not None and len(data) != count:
        raise ManifestError(
            f"{path} has {len(data)} bytes, its manifest says {count}: the plan was changed, cut short or belongs "
            f"to another manifest; build it again with: {remedies.rebuild(info)}"
        )
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ManifestError(
            f"{path} has SHA-256 {found[:12]}..., its manifest says {sha256[:12]}...: the plan was changed or "
            f"belongs to another manifest; build it again with: {remedies.rebuild(info)}"
        )
    return data


def _check_host(path: Path, info: ArtifactInfo, host: Host) -> None:
    plan = _plan(info, str(path))
    mend = f"; build it here with: {remedies.rebuild(info, host.flavour)}"
    if plan.flavour != host.flavour:
        raise IncompatiblePlanError(f"{path} was built with {plan.flavour}, found {host.flavour}{mend}")
    if host.lean and not plan.version_compatible:
        raise IncompatiblePlanError(
            f"{path} needs the whole of TensorRT, found its lean runtime, which runs plans that are built with "
            f"--version-compatible; install it with: {remedies.install('trt')}"
        )
    if plan.version_compatible and _number(host.version) < _number(plan.version):
        raise IncompatiblePlanError(
            f"{path} was built with {plan.flavour} {plan.version} and runs on that or a later version, "
            f"found {host.version}{mend}"
        )
    if plan.version != host.version and not plan.version_compatible:
        raise IncompatiblePlanError(f"{path} was built with {plan.flavour} {plan.version}, found version {host.version}{mend}")
    # TensorRT-RTX's plans are portable between operating systems.
    if plan.flavour == "tensorrt" and plan.platform != host.platform:
        raise IncompatiblePlanError(f"{path} was built for {plan.platform}, this is {host.platform}{mend}")
    if host.sm not in plan.sms and not is_suboptimal(plan, host.sm):
        if plan.flavour == "tensorrt_rtx" and (refusal := rtx_refusal(host.sm)):
            raise IncompatiblePlanError(
                f"{path} can't run here: {refusal}; build it with: {remedies.rebuild(info, 'tensorrt')}"
            )
        built = ", ".join(plan.sms)
        raise IncompatiblePlanError(f"{path} was built for compute capability {built}, the GPU here has {host.sm}{mend}")


def check_name(path: Path, info: ArtifactInfo, name: str, half: Half | None = None) -> None:
    """Compare the name inside a deserialised plan, or one of its halves, with the manifest's digest."""
    wanted = _plan(info, str(path)).digest
    if wanted is not None and half is not None:
        wanted = half_name(wanted, half)
    if wanted is not None and name != wanted:
        raise ManifestError(
            f"{path} carries the name {name!r} inside, its manifest expects {wanted!r}: they were not built together; "
            f"build both again with: {remedies.rebuild(info)}"
        )


def _plan(info: ArtifactInfo, where: str) -> PlanInfo:
    if info.plan is None:
        raise ManifestError(f"{where} describes no plan")
    return info.plan
