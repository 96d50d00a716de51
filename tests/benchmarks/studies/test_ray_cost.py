"""The plain command, against which the study of Ray compares, runs as `retinexrt enhance` does."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.studies import ray_cost
from runtime.errors import RetinexError
from runtime.options import OpenOptions
from runtime.ray_cluster.worker import Settings
from tests.runtime.conftest import make_info, write_artifact


def test_the_plain_command_is_timed(tmp_path: Path) -> None:
    write_artifact(tmp_path / "double.onnx", make_info())
    source, out = tmp_path / "in", tmp_path / "out"
    ray_cost._write(source, 3, (32, 48))  # pyright: ignore[reportPrivateUsage]
    settings = Settings(str(tmp_path / "double.onnx"), OpenOptions("onnxruntime"))
    plain, paths = ray_cost.Contender(0, 1), sorted(source.iterdir())
    seconds, start = ray_cost._run(settings, plain, paths, out)  # pyright: ignore[reportPrivateUsage]
    assert seconds > 0 and start > 0
    assert sorted(path.name for path in out.iterdir()) == [path.name for path in paths]
    paths[1].write_bytes(b"no picture")
    with pytest.raises(RetinexError, match=paths[1].name):
        ray_cost._run(settings, plain, paths, tmp_path / "again")  # pyright: ignore[reportPrivateUsage]
