"""Workers that are killed, memory that is out, nodes that leave: every picture is done once, and done right."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.commands.main import main
from runtime.ray_cluster import run
from runtime.ray_cluster.run import Report
from runtime.ray_cluster.worker import Settings
from tests.runtime.ray_cluster.conftest import outputs
from tests.support.faulty import FatalWorker, LostWorker, SlowWorker

pytestmark = pytest.mark.slow


def _alone(folder: Path, settings: Settings) -> dict[str, bytes]:
    """What one process makes of a folder."""
    out = folder.parent / "alone"
    how = ["--engine", settings.source, "--backend", settings.open.backend, "--threads", "1", "-q"]
    main(["enhance", str(folder), "-o", str(out), *how])
    return outputs(out)


def _enhance(folder: Path, settings: Settings, cluster: Any, **options: Any) -> Report:
    return run.enhance([str(folder)], str(folder.parent / "out"), settings, address=cluster.address, **options)


def _when(condition: Callable[[], bool], then: Callable[[], object]) -> threading.Thread:
    """Do something from a thread of its own as soon as a condition holds."""

    def wait() -> None:
        end = time.monotonic() + 60
        while not condition():
            if time.monotonic() > end:
                return
            time.sleep(0.02)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def _workers(settings: Settings) -> dict[int, str]:
    """Process and node of each worker that began."""
    found = (Path(settings.source).parent / "noted").glob("*.worker")
    return {int(path.stem): path.read_text() for path in found}


def _written(settings: Settings, process: str = "*") -> list[str]:
    paths = (Path(settings.source).parent / "noted").glob(f"{process}.written")
    return [line for path in paths for line in path.read_text().splitlines()]


def test_a_worker_that_is_killed_costs_nothing(
    cluster: Any, second_node: Any, folder: Callable[..., Path], settings: Settings
) -> None:
    source = folder(60)
    killed: list[int] = []

    def kill() -> None:
        killed.append(next(process for process in _workers(settings) if len(_written(settings, str(process))) > 3))
        os.kill(killed[0], signal.SIGKILL)

    thread = _when(lambda: any(len(_written(settings, str(process))) > 3 for process in _workers(settings)), kill)
    report = _enhance(source, settings, cluster, kind=SlowWorker)
    thread.join()
    assert killed and not report.failures
    assert report.account.enhanced == 60 and report.account.kept == 0 and report.account.again > 0
    assert outputs(source.parent / "out") == _alone(source, settings)
    # What was finished is not done again; what was on its way when the worker died, a few pictures, may be.
    assert sum(times - 1 for times in Counter(_written(settings)).values()) <= 6


def test_a_picture_that_kills_its_workers_is_named_and_the_others_are_done(
    cluster: Any, second_node: Any, folder: Callable[..., Path], settings: Settings
) -> None:
    source = folder(12)
    (source / "0" / "003.png").rename(source / "0" / "fatal.png")
    (source / "0" / "004.png").rename(source / "0" / "huge.png")
    report = _enhance(source, settings, cluster, kind=FatalWorker)
    reasons = {Path(failure.name).stem: failure.reason for failure in report.failures}
    assert reasons == {
        "fatal": "3 workers in a row were lost over it; is it too large for their memory?",
        "huge": "out of memory",
    }
    found = outputs(source.parent / "out")
    assert found == {name: data for name, data in _alone(source, settings).items() if Path(name).stem not in reasons}
    assert len(found) == report.account.enhanced == 10


def test_a_worker_that_loses_its_gpu_costs_nothing(cluster: Any, folder: Callable[..., Path], settings: Settings) -> None:
    source = folder(20)
    report = _enhance(source, settings, cluster, kind=LostWorker)
    assert (Path(settings.source).parent / "noted" / "lost").exists()
    assert not report.failures and report.account.enhanced == 20 and report.account.again > 0
    assert ["ILLEGAL_ADDRESS" in remark.reason for remark in report.account.remarks] == [True]
    assert outputs(source.parent / "out") == _alone(source, settings)


def test_a_node_that_leaves_takes_nothing_along(
    cluster: Any, second_node: Any, folder: Callable[..., Path], settings: Settings
) -> None:
    source = folder(60)
    here = second_node.node_id
    left: list[bool] = []

    def leave() -> None:
        cluster.remove_node(second_node, allow_graceful=False)
        left.append(True)

    def busy() -> bool:
        return any(node == here and len(_written(settings, str(process))) > 3 for process, node in _workers(settings).items())

    thread = _when(busy, leave)
    report = _enhance(source, settings, cluster, kind=SlowWorker)
    thread.join()
    assert left and not report.failures
    assert report.account.enhanced == 60
    assert outputs(source.parent / "out") == _alone(source, settings)
