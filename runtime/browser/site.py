"""The static page's folder: the page, what enhances in the browser, networks, and ONNX Runtime Web."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runtime import exposure, page
from runtime.artifact import MINIMUM_SIZE, ArtifactInfo, locate, read_info
from runtime.artifact.onnx_parts import cut_file
from runtime.browser import onnxruntime_web
from runtime.files import write_atomically

_SCRIPTS = ("enhance.js", "exposure.js", "live.js", "network.js", "service-worker.js", "tiles.js", "worker.js")

#: Only here: on a server, frames would travel.
_LIVE = b'<script type="module" src="live.js"></script>\n</head>'

#: The most pixels of a picture. In tiles, the copies of it in the browser's memory are the limit; a network that sees the
#: picture as a whole needs up to 2.8 KB for each pixel, and WebAssembly has 4 GB.
MOST, MOST_WHOLE = 50_000_000, 1_000_000


def build(out: Path, networks: Sequence[str], runtime: Path | None) -> int:
    """Write the folder of a page with these networks, the first being its default; returns its bytes.

    `runtime`: the folder dist of an installed npm package onnxruntime-web, instead of the version that is fetched.
    """
    files: dict[str, bytes] = {name: page.read(name).encode() for name in page.FILES}
    files["index.html"] = files["index.html"].replace(b"</head>", _LIVE)
    files |= {name: (Path(__file__).parent / name).read_bytes() for name in _SCRIPTS}
    entries: list[dict[str, Any]] = []
    for path in dict.fromkeys(map(locate.onnx_file, networks)):
        entry, models = _network(path)
        entries.append(entry)
        files |= models
    files["networks.json"] = json.dumps({"networks": entries}, indent=1).encode()
    engine = onnxruntime_web.of_registry() if runtime is None else onnxruntime_web.of_folder(runtime)
    files |= {f"onnxruntime/{name}": content for name, content in engine.items()}
    files["files.js"] = _offline(files).encode()
    for name, content in files.items():
        write_atomically(out / name, content)
    return sum(map(len, files.values()))


def _network(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The page's entry for an ONNX file, and the files that the browser loads: halves, where it comes apart."""
    info = read_info(path)
    info.require_pictures(path)
    if info.parts is None:
        models = {f"networks/{path.name}": path.read_bytes()}
    else:
        halves = cut_file(path, info)
        models = {f"networks/{path.stem}.{half}.onnx": content for half, content in asdict(halves).items()}
    return _entry(info, list(models)), models


def _entry(info: ArtifactInfo, files: list[str]) -> dict[str, Any]:
    return {
        "name": info.network,
        "title": info.title,
        "files": files,
        "input": info.input.name,
        "output": info.output.name,
        "multiple": info.multiple,
        "halo": info.halo,
        "parts": None if info.parts is None else asdict(info.parts),
        "geometric": exposure.has_illumination(info),
        "smallest": MINIMUM_SIZE,
        "most": MOST if info.parts or info.halo is not None else MOST_WHOLE,
    }


def _offline(files: dict[str, bytes]) -> str:
    """The list that the service worker reads: a version that changes with any file, and the files of the page itself."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name} {hashlib.sha256(files[name]).hexdigest()}\n".encode())
    at_once = ["./", *(name for name in files if "/" not in name and name not in ("index.html", "service-worker.js"))]
    return f"const VERSION = {json.dumps(digest.hexdigest())};\nconst PAGE = {json.dumps(at_once)};\n"
