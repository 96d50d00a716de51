"""The static page with ONNX Runtime Web, on a local web server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runtime.browser import site
from runtime.errors import RetinexError

#: One of each kind: in parts under one light, in tiles, as a whole.
NETWORKS = ("dawn", "msrnet", "msr")


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript"}  # noqa: RUF012

    def log_message(self, *words: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on a web server, which is gone afterwards."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `retinexrt web` writes, below a folder as on a host with other pages."""
    folder = tmp_path_factory.mktemp("host")
    try:
        site.build(folder / "photos", NETWORKS, None)
    except RetinexError as error:
        if "cannot fetch" not in str(error):
            raise
        pytest.skip(str(error))
    return folder
