"""Inputs of `retinexrt enhance`: files and folders, and which file each becomes."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import InputError, OutputError
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
    """A file that could not be done, and why."""

    name: str
    reason: str

    @property
    def line(self) -> str:
        """The reason under its name, which stands there once."""
        return self.reason if self.name in self.reason.partition(":")[0] else f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class Work:
    """All files to enhance, and what cannot be."""

    jobs: list[Job]
    failures: list[Failure]
    #: Files found in folders that are neither pictures nor videos.
    ignored: list[Path]


def check_target(named: list[str], out: str) -> None:
    """Refuse an `out` that is named like a file where a folder is needed, or like a file of a kind that is not written.

    An existing folder, and a name with a slash at its end, are folders whatever they are called. An empty name, as of a
    shell's variable that is not set, is none.
    """
    if not out or not all(named):
        raise InputError("an INPUT or OUT is empty; the folder here is .")
    target = Path(out)
    if _stands_for_folder(out) or not target.suffix:
        return
    folder = f"for a folder of that name write {out}/"
    if len(named) == 1 and not _is_folder(Path(named[0])):
        if not formats.is_file_name(target):
            known = ", ".join((*formats.WRITABLE, *formats.FILMS))
            raise OutputError(f"cannot write {target.suffix} files ({out}); known: {known}; {folder}")
    elif target.suffix.lower() in (*formats.READABLE, *formats.FILMS):
        what = "the files of a folder" if len(named) == 1 else f"{len(named)} inputs"
        raise OutputError(f"{what} go into a folder, and {out} is named like a file; {folder}")


def becomes_file(out: str) -> bool:
    """Whether the one picture or film that goes to `out` becomes that file, rather than one in that folder."""
    return formats.is_file_name(Path(out)) and not _stands_for_folder(out)


def _stands_for_folder(out: str) -> bool:
    return out.endswith(("/", os.sep)) or _is_folder(Path(out))


def find(named: list[str], out: str) -> Work:
    """Find every picture and video in `named`, files and folders, and where each goes.

    One file with `out` named like a file becomes that file; everything else goes into the folder `out`, where folders
    keep their structure. No input is ever written over, and no two inputs become one file.
    """
    jobs: list[Job] = []
    failures: list[Failure] = []
    ignored: list[Path] = []
    alone = len(named) == 1 and becomes_file(out) and not _is_folder(Path(named[0]))
    target = Path(out)
    for text in named:
        given = Path(text)
        if obstacle := _obstacle(given):
            failures.append(Failure(text, obstacle))
        elif not _is_folder(given):
            jobs.append(Job(given, target if alone else target / formats.written_as(Path(given.name), given)))
        else:
            files, unreadable = _walk(given, target)
            found = [path for path in files if _is_wanted(path)]
            ignored.extend(sorted({*files} - {*found}))
            files = [path for path in found if not _special(path)]
            jobs.extend(Job(path, target / formats.written_as(path.relative_to(given), path)) for path in files)
            failures.extend(unreadable)
            failures.extend(Failure(str(path), kind) for path in found if (kind := _special(path)))
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
    return _special(path)


def _special(path: Path) -> str | None:
    """Why a path that is there is neither a file nor a folder: such a thing may never end, or never begin.

    Pipes that the shell made and still holds, as in `enhance <(COMMAND)`, count as files.
    """
    try:
        mode = path.stat().st_mode
    except OSError:  # whoever reads it says so
        return None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (stat.S_ISFIFO(mode) and path.parent == Path("/dev/fd")):
        return None
    if stat.S_ISFIFO(mode):
        return f"is a pipe, not a file; read it with: cat {path} | retinexrt enhance - -o OUT"
    return "is a socket or a device, not a file"


def _is_folder(path: Path) -> bool:
    return _obstacle(path) is None and path.is_dir()


def _is_wanted(path: Path) -> bool:
    """Whether a file found in a folder is a picture or a video."""
    suffix = path.suffix.lower()
    if suffix in _TRANSPORT_STREAMS and not _special(path):
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
