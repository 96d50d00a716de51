"""Plans of the fake TensorRT, with real manifests."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from runtime.artifact import ArtifactInfo, PlanInfo, PlanParts, Profile, manifest
from runtime.artifact.onnx_parts import Halves
from tests.runtime.conftest import make_info
from tests.support.fake_tensorrt import plan_bytes

SMALLEST, TYPICAL, LARGEST = (1, 16, 16, 3), (1, 32, 48, 3), (4, 64, 96, 3)


def write_plan(
    folder: Path,
    name: str = "double_fp16",
    inside: str | None = None,
    described: ArtifactInfo | None = None,
    halves: Halves | None = None,
    **changes: Any,
) -> Path:
    """Write NAME.plan and NAME.json; `inside` is the name within the plan if it is not the digest.

    `described` is of the network, and `halves` are written beside the plan: they take parts of at most 320 pixels.
    """
    plan = PlanInfo(
        flavour="tensorrt",
        version="11.4.0.106",
        sms=("8.9",),
        gpu="Fake GPU",
        cuda="13.0",
        driver="580.65.06",
        platform=manifest.this_platform(),
        profile=Profile(SMALLEST, TYPICAL, LARGEST),
        digest=None,
        plan_sha256="",
        plan_bytes=0,
        onnx_sha256="0" * 64,
        level=3,
        workspace_bytes=None,
        tf32=False,
        build_seconds=None,
    )
    info = replace(described or make_info(precision="fp16"), plan=replace(plan, **changes))
    digest = manifest.digest(info)
    data = plan_bytes(inside or digest)
    finished = replace(
        plan,
        **{
            "digest": digest,
            "plan_sha256": hashlib.sha256(data).hexdigest(),
            "plan_bytes": len(data),
            "build_seconds": 1.25,
            **changes,
        },
    )
    path = folder / f"{name}.plan"
    if halves is not None:
        graphs = {"decide": halves.decide, "render": halves.render}
        found = {half: plan_bytes(manifest.half_name(digest, half), graphs[half]) for half in manifest.HALVES}
        for half in manifest.HALVES:
            manifest.half_path(path, half).write_bytes(found[half])
        decide, render = (hashlib.sha256(found[half]).hexdigest() for half in manifest.HALVES)
        finished = replace(finished, parts=PlanParts(decide, render, 320, 100, 4, 16))
    path.write_bytes(data)
    manifest.write(replace(info, plan=finished), path)
    return path
