"""The project's own Enhancer as a contender."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.harness.contenders import KINDS, Contender, OpenContender, lanes_of, pictures_of
from benchmarks.harness.lane import Bound
from benchmarks.harness.timing import timed
from runtime import Enhancer
from runtime.artifact import ArtifactInfo
from runtime.images import Images


def open_contender(contender: Contender, info: ArtifactInfo) -> OpenContender:
    """Open it on the backend that the contender asks for."""
    enhancer = _enhancer(contender)
    images = pictures_of(contender)
    out = np.empty_like(images)
    precision = enhancer.precision
    rounded = ", bf16" if enhancer.precision == "bf16" else ""
    label = f"retinexrt {Path(contender.artifact).name}, {enhancer.backend}{rounded}"

    def enhance(pictures: Images) -> Images:
        return np.asarray(enhancer(pictures))

    if not enhancer.device.startswith("cuda"):
        run = timed(lambda: enhancer(images, out=out))
        return OpenContender(contender, info, label, precision, "cpu", run, enhance, enhancer.close, any_shape=True)
    idle = [enhancer]

    def bind(source: int, target: int, stream: int) -> Bound:
        """An enhancer for each stream: the contexts of one would be lent to the streams in turn."""
        used = idle.pop() if idle else _enhancer(contender)

        def give_back() -> None:
            if used is not enhancer:
                used.close()

        return Bound(lambda: used.enhance_device(source, images.shape, stream, out=target), give_back)

    try:
        lanes = lanes_of(contender, bind, int(enhancer.device.partition(":")[2] or 0))
    except BaseException:
        enhancer.close()
        raise

    def close() -> None:
        lanes.close()
        enhancer.close()

    device = enhancer.device
    return OpenContender(contender, info, label, precision, device, lanes.sample, enhance, close, any_shape=True, lanes=lanes)


def _enhancer(contender: Contender) -> Enhancer:
    asked = KINDS[contender.kind].precision
    return Enhancer(
        contender.artifact, backend=contender.backend, threads=contender.threads, precision="bf16" if asked == "bf16" else None
    )
