"""ONNX Runtime Web: its files, of one version of the npm package, or of a folder."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import urllib.request
from contextlib import suppress
from pathlib import Path

from runtime.errors import InputError, OutputError, RetinexError
from runtime.files import write_atomically

VERSION = "1.30.0"
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"

#: Names of the files in the page's folder, and in the package's folder dist/. Every host knows what .js is.
FILES = {
    "wasm.js": "ort.wasm.min.mjs",
    "wasm.threads.js": "ort-wasm-simd-threaded.mjs",
    "wasm.wasm": "ort-wasm-simd-threaded.wasm",
    "webgpu.js": "ort.webgpu.min.mjs",
    "webgpu.threads.js": "ort-wasm-simd-threaded.asyncify.mjs",
    "webgpu.wasm": "ort-wasm-simd-threaded.asyncify.wasm",
}

_SECONDS = 60


def of_folder(folder: Path) -> dict[str, bytes]:
    """The files of an installed package, from its folder dist/."""
    try:
        return {name: (folder / original).read_bytes() for name, original in FILES.items()}
    except OSError as error:
        raise InputError(
            f"cannot read {error.filename}: {error.strerror}; --runtime is the folder dist of the npm package onnxruntime-web"
        ) from error


def of_registry() -> dict[str, bytes]:
    """The files of the pinned version, from npm's registry, 33 MB; kept in the user's cache."""
    kept = _cache() / f"onnxruntime-web-{VERSION}.tgz"
    content = kept.read_bytes() if kept.is_file() else b""
    if hashlib.sha256(content).hexdigest() != SHA256:
        content = _download()
        with suppress(OutputError):  # then it is fetched again
            write_atomically(kept, content)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        found = {name: archive.extractfile(f"package/dist/{original}") for name, original in FILES.items()}
        return {name: file.read() for name, file in found.items() if file is not None}


def _download() -> bytes:
    registry = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")
    url = f"{registry}/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            content = answer.read()
    except (OSError, ValueError) as error:
        raise RetinexError(
            f"cannot fetch {url} ({error}); where there is no network: --runtime node_modules/onnxruntime-web/dist"
        ) from error
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise RetinexError(f"{url} is not what this version was made for: sha256 {found}, expected {SHA256}")
    return content


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "retinexrt"
