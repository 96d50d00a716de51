"""The static page with ONNX Runtime Web, on a local web server."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.browser import site
from runtime.errors import RetinexError

#: Of each kind: in parts under one light, in tiles, as a whole.
NETWORKS = ("dawn", "dawn-live", "msrnet", "msr")


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
