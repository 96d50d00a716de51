"""The load on `retinexrt serve`: a few seconds of what the study does for a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.studies.serve_load import load
from tests.runtime.conftest import make_info, write_artifact
from tests.support.server import serving


@pytest.mark.slow
@pytest.mark.parametrize("queue", [16, 3])
def test_16_clients_lose_nothing_and_memory_is_flat(tmp_path: Path, queue: int) -> None:
    artifact = write_artifact(tmp_path / "blur.onnx", make_info(network="blur", halo=4, multiple=4), around=4)
    with serving("--network", str(artifact), "--queue", str(queue)) as server:
        assert server.process is not None
        found, lost = load(server.address, server.process.pid, clients=16, seconds=6)
    assert not lost and found.lost == 0 and found.answered >= 16
    assert (found.refused_and_repeated > 0) == (queue < 14)
    assert found.last_third_mb < 1.05 * found.second_third_mb + 5
