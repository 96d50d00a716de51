"""Files: hashed, written whole or not at all, and named in commands without the folders of one machine."""

from __future__ import annotations

import hashlib
import os
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from runtime.errors import ArtifactError, OutputError

#: The ending of files that are being written; what a killed process left is known by it.
TEMPORARY = ".part"

_PROJECT = Path(__file__).resolve().parents[1]


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error


def as_typed(words: Sequence[str]) -> str:
    """A command as it would be typed in the project's folder; of paths elsewhere on this machine, the last name alone."""
    return shlex.join(_without_folders(word) for word in words)


def _without_folders(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    path = Path(value)
    if path.is_absolute():
        value = path.relative_to(_PROJECT).as_posix() if path.is_relative_to(_PROJECT) else path.name
    return f"{option}{equals}{value}"


def default_folder() -> Path:
    """Where artifacts are written unless said otherwise: engines/ of the project, or of the current folder once installed."""
    return (_PROJECT if (_PROJECT / "pyproject.toml").exists() else Path.cwd()) / "engines"


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, unless they are there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror}") from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is whole or absent: under a temporary name in the same folder, then renamed."""
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputError(f"cannot write {path}: {error.strerror}") from error
        raise
