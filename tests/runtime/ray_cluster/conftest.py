"""A Ray cluster of several node processes on this machine, and folders to enhance."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from runtime.options import OpenOptions
from runtime.ray_cluster.worker import Settings
from tests.runtime.conftest import make_info, write_artifact
from tests.support.object_store import Handler

# Read when Ray is loaded and when its nodes start.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_DISABLE_IMPORT_WARNING"] = "1"
# Arrow looks for the credentials of a machine in Amazon's cloud where nobody gives it any.
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
#: How soon a node that left is missed; Ray's own patience is half a minute.
PATIENCE = {"health_check_period_ms": 500, "health_check_failure_threshold": 3, "health_check_initial_delay_ms": 1000}
#: A node's share of memory for objects, the least that Ray accepts.
STORE = 80 * 2**20


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """An artifact that doubles brightness."""
    return write_artifact(tmp_path / "double.onnx", make_info())


@pytest.fixture
def settings(artifact: Path) -> Settings:
    return Settings(str(artifact), OpenOptions("onnxruntime", threads=1))


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """folder(20) is a folder of so many pictures, in folders of their own by tens."""

    def make(count: int) -> Path:
        for number in range(count):
            path = tmp_path / "in" / f"{number // 10}" / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 90, (40, 56, 3), dtype=np.uint8)
            assert cv2.imwrite(str(path), pixels)
        return tmp_path / "in"

    return make


def outputs(folder: Path) -> dict[str, bytes]:
    """Everything in an output folder by relative path, hidden files too; the journal apart."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ".retinexrt.jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="session")
def cluster() -> Generator[Any]:
    """A head with one CPU, to which tests add nodes; no port and no folder is fixed."""
    ray = pytest.importorskip("ray", reason="Ray is not installed (extra ray)")
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "object_store_memory": STORE,
            "include_dashboard": False,
            "dashboard_port": None,
            "_system_config": PATIENCE,
        },
    )
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def second_node(cluster: Any) -> Generator[Any]:
    """A second node of one CPU."""
    node = cluster.add_node(num_cpus=1, object_store_memory=STORE)
    cluster.wait_for_nodes()
    yield node
    if node in cluster.list_all_nodes():
        cluster.remove_node(node)


@pytest.fixture
def store() -> Generator[tuple[dict[str, bytes], str]]:
    """Objects by bucket and key, and the options of a URL that lead to them."""
    pytest.importorskip("pyarrow.fs", reason="Apache Arrow is not installed (extra ray)")
    handler = type("Store", (Handler,), {"objects": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    options = f"?endpoint_override=127.0.0.1:{server.server_address[1]}&scheme=http&region=us-east-1"
    yield handler.objects, options  # pyright: ignore
    server.shutdown()
    thread.join()
    server.server_close()
