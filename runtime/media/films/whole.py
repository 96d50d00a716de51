"""A film from a file into a file: written whole, or what there is of it as NAME.partial.SUFFIX."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from runtime.calm.film import Film
from runtime.errors import InputError, OutputError
from runtime.files import TEMPORARY
from runtime.images import Enhance
from runtime.media import pipeline
from runtime.media.film_options import Comparison, FilmOptions
from runtime.media.films import encoding
from runtime.media.films.compared import compare
from runtime.media.films.reader import FilmReader, Frame
from runtime.media.films.writer import FilmWriter


def enhance(
    enhancer: Enhance,
    source: Path | BinaryIO,
    target: Path,
    *,
    hidden: bool | None = True,
    film: FilmOptions | None = None,
    **options: Any,
) -> str:
    """Enhance a film; returns what there is to say about it. `hidden`: no progress bar (None: on terminals only).

    `target` is written whole or not at all. If the film breaks off, or the work on it is interrupted or fails, the frames
    that were done are in NAME.partial.SUFFIX beside it, a film of its own, and the error says so.
    """
    film = film or FilmOptions()
    chosen = encoding.choose(target, film)
    with _opened(source) as reader:
        return _Work(Film(enhancer, film.calm), reader, target, chosen, film.comparison, options).run(hidden)


@contextmanager
def _opened(source: Path | BinaryIO) -> Generator[FilmReader]:
    """Open a film. MP4 from a pipe is stored first: what says where its frames are may stand at its end."""
    with ExitStack() as stack:
        if isinstance(source, BufferedReader) and source.peek(12)[4:8] == b"ftyp" and not source.seekable():
            stored = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(source, stored)
            stored.seek(0)
            source = stored
        name = str(source) if isinstance(source, Path) else "stdin"
        reader = FilmReader(name if isinstance(source, Path) else source, name)
        stack.callback(reader.close)
        yield reader


class _Work:
    """One film on its way."""

    def __init__(
        self,
        enhancer: Enhance,
        reader: FilmReader,
        target: Path,
        chosen: encoding.Encoding,
        comparison: Comparison | None,
        options: dict[str, Any],
    ) -> None:
        self._enhancer, self._reader, self._target = enhancer, reader, target
        self._chosen, self._options = chosen, options
        self._comparison: Comparison | None = comparison
        self._writer: FilmWriter | None = None
        self._written = 0

    def run(self, hidden: bool | None) -> str:
        temporary = _temporary(self._target)
        try:
            return self._into(temporary, hidden)
        finally:
            temporary.unlink(missing_ok=True)

    def _into(self, temporary: Path, hidden: bool | None) -> str:
        try:
            with tqdm(total=self._reader.promised or None, unit="frame", leave=False, disable=hidden) as progress:
                for _ in pipeline.stream(self._reader.read, self._enhanced, lambda frame: self._write(frame, temporary)):
                    progress.update()
        except OutputError:
            raise
        except BaseException as error:
            if self._written:
                error.add_note(f"the {self._written} frames that were done are in {self._keep(temporary)}")
            raise
        if self._writer is None:
            raise InputError(f"{self._reader.name} holds no frame that can be decoded")
        if self._reader.breaks_off():
            raise InputError(f"it breaks off {self._where()}; those are in {self._keep(temporary)}")
        self._writer.close()
        _move(temporary, self._target)
        return "; ".join(self._notes())

    def _where(self) -> str:
        promised = self._reader.promised
        of = f" of {promised}" if promised > self._written else ""
        why = f" ({self._reader.broken})" if self._reader.broken else ""
        return f"after {self._written}{of} frames{why}"

    def _notes(self) -> list[str]:
        assert self._writer is not None
        damaged = self._reader.damaged
        lost = [f"{damaged} damaged {'frame was' if damaged == 1 else 'frames were'} left out"] if damaged else []
        return [*self._reader.notes, *self._writer.notes, *lost]

    def _enhanced(self, frame: Frame) -> Frame:
        if frame.image is None:
            return frame
        enhanced = self._enhancer(frame.image, **self._options)
        seconds = float(frame.pts * self._reader.time_base - self._reader.start)
        image = compare(frame.image, enhanced, seconds, self._comparison)
        return Frame(image, frame.pts, frame.duration, frame.packets)

    def _write(self, frame: Frame, temporary: Path) -> None:
        if self._writer is None:
            if frame.image is None:
                return
            reader = self._reader
            self._writer = FilmWriter(temporary, str(self._target), self._chosen, reader.properties, frame.image, reader)
        self._writer.write(frame)
        self._written += frame.image is not None

    def _keep(self, temporary: Path) -> Path:
        """Make a film of what there is, under a name that says so."""
        assert self._writer is not None
        partial = self._target.with_name(f"{self._target.stem}.partial{self._target.suffix}")
        self._writer.close()
        _move(temporary, partial)
        return partial


def _temporary(target: Path) -> Path:
    """An empty file beside the target, so that moving the result into place is a rename."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=TEMPORARY)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror}") from error
    os.close(handle)
    Path(name).chmod(0o644)
    return Path(name)


def _move(path: Path, target: Path) -> None:
    try:
        path.replace(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror}") from error
