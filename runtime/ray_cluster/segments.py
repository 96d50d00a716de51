"""Films in segments: each is enhanced by whoever is free, and one worker puts the frames together in order.

A segment is kept without loss, each frame under the digest of the frames it was made of: its own, and where the light is
steadied the few before it, which a segment reads too. Putting a film together decodes it once more from its beginning,
looks up every frame, averages over time what comes out, which only one process can do, and writes it as one process would
have: the same frames through the same encoder give the same bytes. A frame that no segment holds, because a decoder did not
seek where it was asked to, is enhanced then and there.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from runtime.calm.film import SteadyEnhancer
from runtime.errors import InputError, OutputError
from runtime.files import TEMPORARY
from runtime.images import Images
from runtime.media import pipeline
from runtime.media.films.reader import FilmReader

#: Frames of a segment unless told otherwise: seconds of work for a worker, and a few hundred megabytes at most.
STEP = 64
#: The fastest compression is enough beside a network.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]


def count_frames(source: str) -> int:
    """Frames that a film's header promises; 0: it cannot be opened, or says nothing."""
    try:
        reader = FilmReader(source, source)
    except InputError:
        return 0
    try:
        return reader.promised
    finally:
        reader.close()


def segments_folder(target: str) -> Path:
    """Where the segments of a film wait to be put together: hidden, beside it."""
    path = Path(target)
    return path.with_name(f".{path.name}.parts")


def segment_path(target: str, first: int) -> Path:
    """The segment that begins with a frame."""
    return segments_folder(target) / f"{first:09d}.zip"


def enhance_segment(enhancer: Any, source: str, path: Path, first: int, last: int, calm: float = 1.0, **options: Any) -> int:
    """Enhance frames from `first` up to `last` into a segment, written whole or not at all; how many there were.

    A segment is a span of time: of a film whose frame rate varies it holds more frames, or fewer.
    """
    steady = SteadyEnhancer(enhancer, calm)
    names = _Names(steady.frames)
    reader, earlier, read = _within(source, first, last, steady.frames - 1)
    for frame in earlier:
        names.add(frame)
        steady.look(frame, **options)

    def work(frame: Images) -> tuple[str, Images]:
        return names.add(frame), steady(frame, **options)

    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
                known: set[str] = set()
                for _ in pipeline.stream(read, work, lambda made: _keep(archive, known, *made)):
                    count += 1
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        reader.close()
    return count


def _within(
    source: str, first: int, last: int, before: int
) -> tuple[FilmReader, Sequence[Images], Callable[[], Images | None]]:
    """A film, up to `before` frames before the time of its frame `first`, and what reads from there up to its frame `last`."""
    back = before
    while True:
        reader = FilmReader(source, source)
        begin, end = ((number - Fraction(1, 2)) / reader.rate + reader.start for number in (first, last))
        place = begin - back / reader.rate
        from_start = not first or (back > 0 and place <= reader.start)
        if not from_start:
            reader.seek(place)
        earlier: deque[Images] = deque(maxlen=before)
        frame = reader.read()
        while first and frame is not None and frame.image is not None and frame.pts * reader.time_base < begin:
            earlier.append(frame.image)
            frame = reader.read()
        if from_start or len(earlier) == before:
            break
        reader.close()  # its frames lie further apart there, or it cannot be sought in: from further back
        back *= 4
    endless = last >= reader.promised

    def read() -> Images | None:
        nonlocal frame
        found, frame = frame, None
        found = found or reader.read()
        if found is None or found.image is None or (found.pts * reader.time_base >= end and not endless):
            return None
        return found.image

    return reader, earlier, read


class _Names:
    """The name of a frame: the digest of itself and of the frames before it, of so many together."""

    def __init__(self, frames: int) -> None:
        self._digests: deque[str] = deque(maxlen=frames)

    def add(self, frame: Images) -> str:
        self._digests.append(hashlib.sha256(np.ascontiguousarray(frame).data).hexdigest())
        if self._digests.maxlen == 1:
            return self._digests[0]
        return hashlib.sha256("".join(self._digests).encode()).hexdigest()


def _keep(archive: zipfile.ZipFile, known: set[str], name: str, frame: Images) -> None:
    """Store an enhanced frame under the digest of what it was made of; equal frames once."""
    if name not in known:
        known.add(name)
        archive.writestr(name, cv2.imencode(".png", frame, _PNG)[1].tobytes())


class Replay:
    """Stands in for the Enhancer where a film is put together: frames in order go in, those of the segments come out."""

    def __init__(self, enhancer: Any, target: str, calm: float = 1.0) -> None:
        self._steady = SteadyEnhancer(enhancer, calm)
        self._names = _Names(self._steady.frames)
        #: The frames before, which a frame depends on, and whether the enhancer has seen them.
        self._before: deque[Images] = deque(maxlen=self._steady.frames - 1)
        self._seen = False
        #: The segment that holds what was made of a frame.
        self._holders = {name: path for path in sorted(segments_folder(target).glob("*.zip")) for name in _names(path)}
        self._path: Path | None = None
        self._archive: zipfile.ZipFile | None = None
        #: Frames that no segment held.
        self.fresh = 0

    def __call__(self, frame: Images, **options: Any) -> Images:
        found = self._find(self._names.add(frame))
        if found is None or found.shape != frame.shape:
            self.fresh += 1
            found = self._enhance(frame, options)
        else:
            self._seen = False
        self._before.append(frame)
        return found

    def _enhance(self, frame: Images, options: dict[str, Any]) -> Images:
        if not self._seen:
            self._steady.reset()
            for earlier in self._before:
                self._steady.look(earlier, **options)
        self._seen = True
        return self._steady(frame, **options)

    def close(self) -> None:
        """Close the segment that was read last."""
        if self._archive is not None:
            self._archive.close()
        self._archive = self._path = None

    def _find(self, name: str) -> Images | None:
        path = self._holders.get(name)
        if path is None:
            return None
        try:
            if path != self._path or self._archive is None:
                self.close()
                self._archive, self._path = zipfile.ZipFile(path), path
            data = self._archive.read(name)
        except (KeyError, OSError, zipfile.BadZipFile):
            return None
        return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def _names(path: Path) -> list[str]:
    """The names of a segment's frames; none, if it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return []
