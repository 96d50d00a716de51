"""`retinexrt serve` under load: no answer is lost or wrong, and memory stays flat."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from benchmarks.pictures.samples import sample_photographs
from runtime.media import pictures
from tests.runtime.conftest import make_info, write_artifact
from tests.support.server import Running, serving

_CLIENTS, _SECONDS = 16, 6
_SIZES = ((120, 160), (200, 301), (240, 320), (331, 247))


def _post(server: Running, upload: bytes) -> tuple[bytes, int]:
    """The answer, and how often the full queue refused before."""
    for refused in range(10_000):
        answer = server.enhance(upload)
        if answer.status != 429:
            assert answer.status == 200, answer
            return answer.content, refused
        time.sleep(0.2)
    raise AssertionError("the queue stays full")


@pytest.mark.slow
@pytest.mark.parametrize("queue", [16, 3])
def test_16_clients_lose_nothing_and_memory_is_flat(tmp_path: Path, queue: int) -> None:
    artifact = write_artifact(tmp_path / "blur.onnx", make_info(network="blur", halo=4, multiple=4), around=4)
    scenes = [
        cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
        for (_, image), size in zip(sample_photographs(), _SIZES, strict=True)
    ]
    uploads = [pictures.encode(pictures.Picture(np.asarray(scene, np.uint8))) for scene in scenes]
    with serving("--network", str(artifact), "--queue", str(queue)) as server, ThreadPoolExecutor(_CLIENTS) as pool:
        assert server.process is not None
        held = psutil.Process(server.process.pid)
        expected = [_post(server, upload)[0] for upload in uploads]
        end = time.monotonic() + _SECONDS

        def client(number: int) -> list[int]:
            refusals: list[int] = []
            while time.monotonic() < end:
                which = (number + len(refusals)) % len(uploads)
                answer, refused = _post(server, uploads[which])
                assert answer == expected[which]
                refusals.append(refused)
            return refusals

        running = [pool.submit(client, number) for number in range(_CLIENTS)]
        memory: list[float] = []
        while time.monotonic() < end:
            memory.append(held.memory_info().rss / 2**20)
            time.sleep(0.25)
        refusals = [refused for one in running for refused in one.result()]
    assert len(refusals) >= 16
    assert (sum(refusals) > 0) == (queue < 14)
    third = len(memory) // 3
    assert max(memory[2 * third :]) < 1.05 * max(memory[third : 2 * third]) + 5
