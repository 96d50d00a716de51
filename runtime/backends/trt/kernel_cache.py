"""Kernel cache of TensorRT-RTX: kernels compiled for this GPU when a plan first ran, kept beside the plan.

The file is bound to the plan by hash, and checked before TensorRT sees it; a stale or damaged one is left unused.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from runtime.cuda.protocol import DeviceProperties
from runtime.errors import OutputError
from runtime.files import write_atomically

_HASH_BYTES = 32

_log = logging.getLogger("retinexrt.tensorrt")


def cache_path(plan: Path, gpu: DeviceProperties, version: str) -> Path:
    """pdn_fp16.plan -> pdn_fp16.sm89-1f0c6a2b.cache: kernels are for one kind of card and one TensorRT-RTX."""
    kind = hashlib.sha256(f"{gpu.name} {version}".encode()).hexdigest()[:8]
    return plan.with_suffix(f".sm{gpu.sm.replace('.', '')}-{kind}.cache")


def load(path: Path, plan_sha256: str) -> bytes | None:
    """The kernels that were kept for this plan, or None."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    seal, kernels = data[:_HASH_BYTES], data[_HASH_BYTES:]
    if seal != _seal(kernels, plan_sha256):
        _log.info("%s belongs to another plan or is damaged: not used", path)
        return None
    return kernels


def save(path: Path, plan_sha256: str, kernels: bytes) -> bool:
    """Keep kernels for this plan; a folder that can't be written to costs only the time to compile them again."""
    try:
        write_atomically(path, _seal(kernels, plan_sha256) + kernels)
    except OutputError as error:
        _log.info("kernels are not kept: %s", error)
        return False
    return True


def _seal(kernels: bytes, plan_sha256: str) -> bytes:
    return hashlib.sha256(plan_sha256.encode() + kernels).digest()
