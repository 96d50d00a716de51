"""Tasks of the workers: pictures, films, and segments of films."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Literal

from runtime.errors import InputError
from runtime.media import formats
from runtime.media import inputs as files
from runtime.media.inputs import Failure
from runtime.ray_cluster import storage

Kind = Literal["picture", "segment", "film"]


@dataclass(frozen=True)
class Task:
    """One piece of work. Places are absolute paths or URLs, so that they mean the same on every node."""

    #: Names the task within a run.
    number: int
    kind: Kind
    source: str
    #: Of a segment: that of its film.
    target: str
    #: A segment's frames, the last one not included; a film's, as its header promises them.
    first: int = 0
    last: int = 0
    #: Frames of a film's segments; 0: the film is enhanced in one piece.
    step: int = 0
    #: An earlier run's note about the target, as JSON; empty: there is none.
    noted: str = ""


@dataclass(frozen=True)
class InputOutput:
    """A file or an object, and what it becomes."""

    source: str
    target: str

    @property
    def is_film(self) -> bool:
        return storage.suffix(self.source) in formats.FILMS or formats.is_film_name(Path(storage.path_of(self.target)))


@dataclass(frozen=True)
class Found:
    pairs: list[InputOutput]
    failures: list[Failure]
    #: Files found in folders that are neither pictures nor videos.
    ignored: int


def find(inputs: Sequence[str], out: str) -> Found:
    """Find every picture and film in `inputs`: files, folders, URLs, and @FILE, which lists paths or URLs line by line.

    Folders keep their structure, and so do the entries of a list below the folder that they share. For paths the rules
    are those of `retinexrt enhance`: no input is written over, and no two inputs become one file.
    """
    named = [text for text in inputs if not text.startswith("@")]
    listed = [entry for text in inputs if text.startswith("@") for entry in _entries(text[1:])]
    _check(named, listed, out)
    pairs: list[InputOutput] = []
    failures: list[Failure] = []
    ignored = 0
    if local := [text for text in named if not storage.is_url(text)]:
        planned = files.find(local, "/" if storage.is_url(out) else str(Path(out).absolute()))
        failures += planned.failures
        ignored += len(planned.ignored)
        pairs += [InputOutput(str(job.source.absolute()), _moved(job.target, out)) for job in planned.jobs]
    for url in (text for text in named if storage.is_url(text)):
        more = _below(url, out)
        pairs += more.pairs
        failures += more.failures
        ignored += more.ignored
    more = _of_list(listed, out)
    kept, refused = _possible([*pairs, *more.pairs])
    return Found(kept, failures + more.failures + refused, ignored)


def _check(named: Sequence[str], listed: Sequence[str], out: str) -> None:
    """Refuse what would not mean what it seems to."""
    for place in (*named, *listed, out):
        if place.startswith("file:"):
            raise InputError(f"{place} is a path; write it as one")
    urls = listed or any(storage.is_url(place) for place in (*named, out))
    if urls and formats.is_file_name(Path(storage.path_of(out))) and not Path(out).is_dir():
        raise InputError(f"lists and URLs go into a folder, and -o {storage.path_of(out)} is named like a file")


def _moved(target: Path, out: str) -> str:
    """A target that was planned below the root, for an `out` that is a URL."""
    return storage.join(out, target.relative_to("/").as_posix()) if storage.is_url(out) else str(target)


def _entries(path: str) -> list[str]:
    """Lines of a list, without empty ones and comments."""
    lines = (line.strip() for line in storage.read(path).decode(errors="replace").splitlines())
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise InputError(f"{storage.path_of(path)} lists nothing")
    return [line if storage.is_url(line) else str(Path(line).absolute()) for line in found]


def _of_list(entries: Sequence[str], out: str) -> Found:
    if len({storage.is_url(entry) for entry in entries}) > 1:
        raise InputError("a list holds paths or URLs, not both")
    parts = [storage.path_of(entry).split("/") for entry in entries]
    # The beginning that all folders share: their columns as far as each column holds one name.
    columns = zip(*(words[:-1] for words in parts), strict=False)
    shared = len(list(takewhile(lambda column: len(set(column)) == 1, columns)))
    names = ["/".join(words[shared:]) for words in parts]
    found = Found([], [], 0)
    for entry, name in zip(entries, names, strict=True):
        if not name or name.endswith("/"):
            found.failures.append(Failure(storage.path_of(entry), "is a folder; a list holds files"))
        elif ".." in name.split("/"):  # which would lead out of the output folder
            found.failures.append(Failure(storage.path_of(entry), "has .. in its path; write it without"))
        else:
            found.pairs.append(InputOutput(entry, storage.join(out, written_as(name))))
    return found


def _below(url: str, out: str) -> Found:
    """The pictures below a URL."""
    try:
        names = storage.names_below(url)
    except InputError as error:
        return Found([], [Failure(storage.path_of(url), str(error))], 0)
    if names is None:
        return Found([InputOutput(url, storage.join(out, written_as(storage.path_of(url).rpartition("/")[2])))], [], 0)
    wanted = [name for name in names if Path(name).suffix.lower() in (*formats.READABLE, *formats.FILMS)]
    failures = [] if wanted else [Failure(storage.path_of(url), "holds no picture and no video")]
    pairs = [InputOutput(storage.join(url, name), storage.join(out, written_as(name))) for name in wanted]
    return Found(pairs, failures, len(names) - len(wanted))


def written_as(name: str) -> str:
    """The name of the output: the input's, or another ending where the input's format is read but not written."""
    return name if formats.is_file_name(Path(name)) else str(formats.written_as(Path(name)))


def _possible(pairs: Iterable[InputOutput]) -> tuple[list[InputOutput], list[Failure]]:
    """Without those that would become what another becomes or is, and without films in object stores."""
    pairs = list(dict.fromkeys(pairs))
    sources = {_real(pair.source) for pair in pairs}
    taken: dict[str, str] = {}
    kept: list[InputOutput] = []
    failures: list[Failure] = []
    for pair in pairs:
        source, target = storage.path_of(pair.source), storage.path_of(pair.target)
        if _real(pair.target) in sources:
            failures.append(Failure(source, f"would write over the input {target}; choose another folder"))
        elif taken.setdefault(_real(pair.target), source) != source:
            failures.append(Failure(source, f"would become {target}, and so would {taken[_real(pair.target)]}"))
        elif pair.is_film and (storage.is_url(pair.source) or storage.is_url(pair.target)):
            failures.append(Failure(source, "films are read from and written to file systems; mount the store, or copy it"))
        else:
            kept.append(pair)
    return kept, failures


def _real(place: str) -> str:
    """A place by which two names of one file are one: a path without links."""
    return storage.path_of(place) if storage.is_url(place) else os.path.realpath(place)
