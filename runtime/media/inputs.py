"""Inputs of `retinexrt enhance`: files and folders, and which file each becomes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from runtime.media import formats

#: Endings that films share with other files (TypeScript), and where in such a film two packets in a row begin, each with
#: the byte 0x47: packets of 188 bytes, the same after 4 bytes of time, the same with 16 bytes of error correction.
_TRANSPORT_STREAMS = (".ts", ".mts")
_PACKETS = ((0, 188), (4, 196), (0, 204))


@dataclass(frozen=True)
class Job:
    """One file to enhance."""

    source: Path
    target: Path

    @property
    def is_video(self) -> bool:
        return formats.is_film(self.source)


@dataclass(frozen=True)
class Failure:
    """What could not be done, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Work:
    """All files to enhance, and what cannot be."""

    jobs: list[Job]
    failures: list[Failure]
    #: Files found in folders that are neither pictures nor videos.
    ignored: int


def find(named: list[str], out: Path) -> Work:
    """Find every picture and video in `named`, files and folders, and where each goes.

    One file with `out` named like a file becomes that file; everything else goes into the folder `out`, where folders
    keep their structure. No input is ever written over, and no two inputs become one file.
    """
    jobs: list[Job] = []
    failures: list[Failure] = []
    ignored = 0
    alone = len(named) == 1 and formats.is_file_name(out) and not _is_folder(out) and not _is_folder(Path(named[0]))
    for text in named:
        given = Path(text)
        if obstacle := _obstacle(given):
            failures.append(Failure(text, obstacle))
        elif not _is_folder(given):
            jobs.append(Job(given, out if alone else out / formats.written_as(Path(given.name))))
        else:
            files, unreadable = _walk(given, out)
            found = [path for path in files if _is_wanted(path)]
            ignored += len(files) - len(found)
            jobs.extend(Job(path, out / formats.written_as(path.relative_to(given))) for path in found)
            failures.extend(unreadable)
            if not found and not unreadable:
                failures.append(Failure(text, "holds no picture and no video"))
    kept, clashes = _without_clashes(jobs)
    return Work(kept, failures + clashes, ignored)


def _obstacle(path: Path) -> str | None:
    """Why a path cannot be looked at; None: it can."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


def _is_folder(path: Path) -> bool:
    return _obstacle(path) is None and path.is_dir()


def _is_wanted(path: Path) -> bool:
    """Whether a file found in a folder is a picture or a video."""
    suffix = path.suffix.lower()
    if suffix in _TRANSPORT_STREAMS:
        return _is_transport_stream(path)
    return suffix in (*formats.READABLE, *formats.FILMS)


def _is_transport_stream(path: Path) -> bool:
    """Whether packets begin as MPEG's do. A file that cannot be read counts: the attempt says what is wrong with it."""
    try:
        with path.open("rb") as file:
            start = file.read(256)
    except OSError:
        return True
    return any(start[first : first + 1] == start[second : second + 1] == b"\x47" for first, second in _PACKETS)


def _walk(folder: Path, out: Path) -> tuple[list[Path], list[Failure]]:
    """All files below a folder, sorted, and the folders that cannot be read.

    Hidden ones, and what lies in the output folder, are passed over.
    """
    results = _real(out)
    found: list[Path] = []
    unreadable: list[Failure] = []

    def note(error: OSError) -> None:
        unreadable.append(Failure(str(error.filename), f"cannot be read: {error.strerror}"))

    for root, folders, files in os.walk(folder, onerror=note):
        inside = Path(root)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and _real(inside / name) != results)
        found.extend(inside / name for name in sorted(files) if not name.startswith("."))
    return found, unreadable


def _real(path: Path) -> Path:
    """The path without links; unlike Path.resolve, also of links that lead in a circle."""
    return Path(os.path.realpath(path))


def _without_clashes(jobs: list[Job]) -> tuple[list[Job], list[Failure]]:
    """Drop the jobs that would write over an input or over the output of another job."""
    sources = {_real(job.source) for job in jobs}
    taken: dict[Path, Path] = {}
    kept: list[Job] = []
    failures: list[Failure] = []
    for job in jobs:
        target = _real(job.target)
        if target in sources:
            failures.append(Failure(str(job.source), f"would write over the input {job.target}; choose another folder"))
        elif target in taken:
            if taken[target] != _real(job.source):
                failures.append(Failure(str(job.source), f"would become {job.target}, and so would {taken[target]}"))
        else:
            taken[target] = _real(job.source)
            kept.append(job)
    return kept, failures
