"""What `retinexrt enhance` has to do: which file becomes which."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime import pictures

VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".wmv", ".ts", ".mts")


@dataclass(frozen=True)
class Job:
    """One file to enhance."""

    source: Path
    target: Path

    @property
    def is_video(self) -> bool:
        return self.source.suffix.lower() in VIDEOS


@dataclass(frozen=True)
class Failure:
    """What could not be done, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Plan:
    jobs: list[Job]
    failures: list[Failure]
    #: Files found in folders that are neither pictures nor videos.
    ignored: int


def plan(inputs: list[str], out: Path) -> Plan:
    """Find every picture and video in `inputs`, files and folders, and where each goes.

    One file with `out` named like a file becomes that file; everything else goes into the folder `out`, where folders
    keep their structure. No input is ever written over, and no two inputs become one file.
    """
    jobs: list[Job] = []
    failures: list[Failure] = []
    ignored = 0
    alone = len(inputs) == 1 and not Path(inputs[0]).is_dir() and not out.is_dir() and is_file_name(out)
    for text in inputs:
        given = Path(text)
        if not given.exists():
            failures.append(Failure(text, "does not exist"))
        elif not given.is_dir():
            jobs.append(Job(given, out if alone else out / _written_as(Path(given.name))))
        else:
            found = [path for path in _walk(given, out) if path.suffix.lower() in (*pictures.READABLE, *VIDEOS)]
            ignored += sum(1 for _ in _walk(given, out)) - len(found)
            jobs.extend(Job(path, out / _written_as(path.relative_to(given))) for path in found)
            if not found:
                failures.append(Failure(text, "holds no picture and no video"))
    kept, clashes = _without_clashes(jobs)
    return Plan(kept, failures + clashes, ignored)


def is_file_name(path: Path) -> bool:
    """Whether a path that need not exist is named like a picture or video rather than a folder."""
    return path.suffix.lower() in (*pictures.WRITABLE, *VIDEOS)


def _written_as(name: Path) -> Path:
    """The name of the output: the input's, or .png where the input's format is read but not written."""
    return name if is_file_name(name) else name.with_suffix(".png")


def _walk(folder: Path, out: Path) -> Iterator[Path]:
    """All files below a folder, sorted; hidden ones, and what lies in the output folder, are passed over."""
    results = out.resolve()
    for root, folders, files in os.walk(folder):
        inside = Path(root)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and (inside / name).resolve() != results)
        yield from (inside / name for name in sorted(files) if not name.startswith("."))


def _without_clashes(jobs: list[Job]) -> tuple[list[Job], list[Failure]]:
    """Drop the jobs that would write over an input or over the output of another job."""
    sources = {job.source.resolve() for job in jobs}
    taken: dict[Path, Path] = {}
    kept: list[Job] = []
    failures: list[Failure] = []
    for job in jobs:
        target = job.target.resolve()
        if target in sources:
            failures.append(Failure(str(job.source), f"would write over the input {job.target}; choose another folder"))
        elif target in taken:
            if taken[target] != job.source.resolve():
                failures.append(Failure(str(job.source), f"would become {job.target}, and so would {taken[target]}"))
        else:
            taken[target] = job.source.resolve()
            kept.append(job)
    return kept, failures
