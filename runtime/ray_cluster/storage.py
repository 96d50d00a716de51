"""Storage: bytes at a path, or at the URL of an object store (s3://, gs://, ...), through the file systems of Apache Arrow.

Names in URLs are those of the objects, as they are: nothing in them is percent-encoded, and `#` is a letter like others.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from runtime.artifact import remedies
from runtime.errors import InputError, OutputError, first_line
from runtime.files import write_atomically

#: Keys before the bucket; those of S3 may hold slashes, and its buckets no colon.
_KEYS = re.compile(r"^(?:(s3://)[^/@]*:[^@]*@|([A-Za-z][A-Za-z0-9+.-]+://)[^/]*@)")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_url(place: str) -> bool:
    """Whether a place is a URL rather than a path."""
    return _URL.match(place) is not None


def join(folder: str, name: str) -> str:
    """A place below a folder; `name` has forward slashes. What follows a `?` in a URL are options of the store."""
    if not is_url(folder):
        return str(Path(folder) / name)
    path, mark, options = folder.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{options}"


def path_of(place: str) -> str:
    """A place as it may be shown: without the options of its store, and without keys (s3://key:secret@bucket)."""
    return _KEYS.sub(lambda found: found[1] or found[2], place.partition("?")[0]) if is_url(place) else place


def suffix(place: str) -> str:
    """The ending of the name, in lower case: ".jpg"."""
    return Path(path_of(place)).suffix.lower()


def read(place: str) -> bytes:
    """All bytes of a file or an object."""
    try:
        if not is_url(place):
            return Path(place).read_bytes()
        system, path = _system(place)
        with system.open_input_stream(path) as stream:
            return bytes(stream.read())
    except IsADirectoryError:
        raise InputError(f"{path_of(place)} is a folder, expected a file") from None
    except OSError as error:
        raise InputError(f"cannot read {path_of(place)}: {_reason(error)}") from error


def write(place: str, data: bytes) -> None:
    """Write a file or an object, whole or not at all: an object appears when its upload is complete."""
    if not is_url(place):
        write_atomically(Path(place), data)
        return
    try:
        system, path = _system(place)
        with system.open_output_stream(path) as stream:
            stream.write(data)
    except OSError as error:
        raise OutputError(f"cannot write {path_of(place)}: {_reason(error)}") from error


def digest(place: str) -> str | None:
    """SHA-256 of what is there, in hexadecimal; None: nothing can be read there."""
    try:
        if is_url(place):
            return hashlib.sha256(read(place)).hexdigest()
        with Path(place).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (InputError, OSError):
        return None


def names_below(url: str) -> list[str] | None:
    """Names of all objects below a URL, sorted, with forward slashes; None: the URL is an object itself.

    Hidden names are passed over, as in folders.
    """
    fs, _ = _arrow(url)
    try:
        system, path = _system(url)
        if system.get_file_info(path).type == fs.FileType.File:
            return None
        found: list[Any] = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=False))
    except OSError as error:
        raise InputError(f"cannot list {path_of(url)}: {_reason(error)}") from error
    names = [str(info.path)[len(path) :].lstrip("/") for info in found if info.type == fs.FileType.File]
    return sorted(name for name in names if not any(part.startswith(".") for part in name.split("/")))


def _system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path there."""
    scheme, _, rest = url.partition("://")
    place, mark, options = rest.partition("?")
    bucket, _, path = place.partition("/")
    _, arrow_error = _arrow(url)
    try:
        system, base = _opened(f"{scheme}://{bucket}{mark}{options}")
    except (arrow_error, ValueError, TypeError) as error:
        why = "" if "@" in place or mark else f" ({error})"  # which may show keys
        raise InputError(f"{path_of(url)} is of no store that Apache Arrow opens{why}") from error
    return system, f"{base.rstrip('/')}/{path}".rstrip("/")


@lru_cache(maxsize=64)
def _opened(root: str) -> tuple[Any, str]:
    """The file system of a bucket; one for all its objects, as each has connections of its own."""
    fs, _ = _arrow(root)
    return fs.FileSystem.from_uri(root)


def _arrow(url: str) -> tuple[Any, type[Exception]]:
    """The file systems of Apache Arrow, and its errors."""
    try:
        from pyarrow import ArrowException, fs  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise InputError(f"{path_of(url)} needs Apache Arrow; install it with: {remedies.install('ray')}") from error
    return fs, ArrowException


def _reason(error: OSError) -> str:
    return error.strerror or first_line(error)
