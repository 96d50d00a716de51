"""Kernel cache of TensorRT-RTX: kernels compiled for this GPU when a plan first ran, kept beside the plan.

The file is bound to the plan by hash, and checked before TensorRT sees it; a stale or damaged one is left unused.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.cuda.protocol import DeviceProperties
from runtime.errors import OutputError
from runtime.files import write_atomically

_HASH_BYTES = 32

_log = logging.getLogger("retinexrt.tensorrt")


def cache_path(plan: Path, gpu: DeviceProperties, version: str) -> Path:
    """pdn_fp16.plan -> pdn_fp16.sm89-1f0c6a2b.cache: kernels are for one kind of card and one TensorRT-RTX.

    Of a half dawn_fp16.render -> dawn_fp16.render.sm89-1f0c6a2b.cache.
    """
    kind = hashlib.sha256(f"{gpu.name} {version}".encode()).hexdigest()[:8]
    return plan.with_name(f"{plan.name.removesuffix('.plan')}.sm{gpu.sm.replace('.', '')}-{kind}.cache")


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


class Kernels:
    """The kernels of one engine: a cache of TensorRT-RTX's, and the file that they are kept in."""

    def __init__(self, path: Path, plan_sha256: str, cache: Any, words: Callable[[], str]) -> None:
        """Fill the cache with what was kept."""
        self._path, self._plan_sha256, self._cache = path, plan_sha256, cache
        self._kept = load(path, plan_sha256)
        if self._kept is not None and not cache.deserialize(self._kept):
            _log.info("TensorRT-RTX doesn't take %s: %s", path, words())
            self._kept = None

    def save(self) -> None:
        """Keep what has been compiled meanwhile."""
        kernels = bytes(self._cache.serialize() or b"")
        if kernels and kernels != self._kept and save(self._path, self._plan_sha256, kernels):
            self._kept = kernels


def _seal(kernels: bytes, plan_sha256: str) -> bytes:
    return hashlib.sha256(plan_sha256.encode() + kernels).digest()
