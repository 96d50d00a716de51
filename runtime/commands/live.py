"""`retinexrt enhance` of what is filmed now: from a camera, a stream or a pipe into a file, a stream, stdout or a window."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from runtime.calm.film import Film
from runtime.enhancer import Enhancer
from runtime.errors import InputError, OutputError
from runtime.images import Enhance
from runtime.media import formats, pipeline
from runtime.media.film_options import FilmOptions
from runtime.media.films.compared import compare
from runtime.media.live import address, sinks
from runtime.media.live.source import LiveFrame, LiveSource
from runtime.options import CallOptions, OpenOptions


def run(arguments: argparse.Namespace) -> int:
    """Enhance one source until it ends or the command is interrupted; 0."""
    if len(arguments.inputs) != 1 or arguments.raw:
        raise InputError("a live source is read alone; name one INPUT")
    found = address.find(arguments.inputs[0])
    target = _target(arguments.out, found.name, arguments.show)
    live = _Live(arguments, found, sound=isinstance(target, Path))
    with Enhancer(arguments.engine or arguments.network, **asdict(OpenOptions.of(arguments))) as enhancer:
        live.run(Film(enhancer, FilmOptions.of(arguments).calm), target)
    return 0


def _target(out: str | None, name: str, show: bool) -> str | Path | None:
    """Where frames go: a URL, - for stdout, or a file; None: only into a window."""
    if out is None:
        if not show:
            raise InputError("where to? name a film, a URL or - (stdout) with -o, or --show a window")
        return None
    if out == "-" or "://" in out:
        return out
    path = Path(out)
    if not formats.is_film_name(path) or out.endswith("/") or path.is_dir():
        raise OutputError(f"{name} becomes a film, and {out} is not named like one; known: {' '.join(formats.FILMS)}")
    if path.exists() and not path.is_file():
        raise OutputError(f"cannot write {out}: it is not a file")
    return path


class _Live:
    """One source on its way."""

    def __init__(self, arguments: argparse.Namespace, found: address.Address, sound: bool) -> None:
        self._quiet: bool = arguments.quiet
        self._found = found
        self._film = FilmOptions.of(arguments)
        self._options = asdict(CallOptions.of(arguments))
        self._window = sinks.Window(f"retinexrt {found.name}") if arguments.show else None
        patience = math.inf if arguments.patience is None else arguments.patience
        newest = False if arguments.every_frame else None
        self._source = LiveSource(found, newest=newest, patience=patience, tell=self._told, sound=sound)
        self._progress: Any = None
        self._newest: LiveFrame | None = None
        self._begun, self._paced = 0.0, False
        self._count, self._ages, self._oldest = 0, 0.0, 0.0

    def run(self, enhancer: Enhance, target: str | Path | None) -> None:
        with ExitStack() as stack:
            stack.callback(self._source.close)
            if self._window is not None:
                stack.callback(self._window.close)
            watched = self._window is not None or (isinstance(target, str) and target != "-")
            self._paced = self._source.ends and watched
            sink = self._sink(target)
            stack.enter_context(_stopped_by_signals(self._source))
            whole = False
            try:
                with tqdm(unit="frame", leave=False, disable=True if self._quiet else None) as self._progress:
                    self._work(enhancer, sink)
                whole = True
            except BrokenPipeError:
                with suppress(OSError):
                    sys.stdout.close()
            finally:
                self._progress = None
                notes = sink.close(whole) if sink is not None else []
                if not whole:
                    self._tell_all(notes)
            if not self._count:
                raise InputError(f"{self._found.name}: no frame came")
            if not self._quiet:
                self._summarise(notes)

    def _work(self, enhancer: Enhance, sink: sinks.Sink | None) -> None:
        def enhanced(frame: LiveFrame) -> LiveFrame:
            after = enhancer(frame.image, **self._options)
            return replace(frame, image=compare(frame.image, after, frame.seconds, self._film.comparison))

        def write(frame: LiveFrame) -> None:
            if sink is not None:
                sink.write(frame)
            self._note(frame)

        for _ in pipeline.stream(self._read, enhanced, write, ahead=1):
            if self._progress is not None:
                self._progress.update()
                self._progress.set_postfix(dropped=self._source.dropped, refresh=False)
            if self._window is not None and self._newest is not None and not self._window.show(self._newest):
                self._source.stop()

    def _read(self) -> LiveFrame | None:
        """The next frame; of a film that is sent or shown, when its time has come."""
        frame = self._source.read()
        if frame is not None and not self._begun:
            self._begun = time.monotonic()
        if frame is not None and self._paced:
            time.sleep(max(0.0, self._begun + frame.seconds - time.monotonic()))
        return frame

    def _note(self, frame: LiveFrame) -> None:
        age = time.monotonic() - frame.arrived
        self._count, self._ages, self._oldest = self._count + 1, self._ages + age, max(self._oldest, age)
        self._newest = frame

    def _sink(self, target: str | Path | None) -> sinks.Sink | None:
        if target is None:
            return None
        if isinstance(target, Path):
            return sinks.Recording(self._source, target, self._film)
        if target == "-":
            return sinks.RawFrames(sys.stdout.buffer, self._told)
        return sinks.Broadcast(self._source, target, self._film, self._told)

    def _summarise(self, notes: list[str]) -> None:
        source, took = self._source, max(1e-9, time.monotonic() - self._begun)
        said = [f"{self._count} frames in {took:.1f} s", f"{source.dropped} dropped"]
        if source.reconnects:
            said.append(f"connected anew {source.reconnects} {'time' if source.reconnects == 1 else 'times'}")
        if not source.ends:
            said.append(f"{1000 * self._ages / self._count:.0f} ms from decoding to output, {1000 * self._oldest:.0f} at most")
        self._tell_all([", ".join(said), *notes])

    def _tell_all(self, notes: list[str]) -> None:
        for note in notes:
            self._told(note)

    def _told(self, text: str) -> None:
        line = f"retinexrt: {self._found.name}: {text}"
        if self._progress is not None:
            self._progress.write(line, file=sys.stderr)
        elif not self._quiet:
            sys.stderr.write(f"{line}\n")


@contextmanager
def _stopped_by_signals(source: LiveSource) -> Generator[None]:
    """Within the block SIGINT and SIGTERM end the source, as its own end would; a second one interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]

    def stop(number: int, _: FrameType | None) -> None:
        source.stop()
        for known, handler in zip(numbers, before, strict=True):
            signal.signal(known, handler)

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
