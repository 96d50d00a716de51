"""`retinexrt enhance`: pictures, folders, videos and pipes."""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from runtime import shapes
from runtime.calm.film import Film
from runtime.commands.signals import Stopped, stoppable
from runtime.enhancer import Enhancer
from runtime.errors import GpuLostError, InputError, reason
from runtime.images import Images
from runtime.media import formats, pictures, pipeline
from runtime.media.film_options import FilmOptions
from runtime.media.inputs import Failure, Job, becomes_file, check_target, find
from runtime.options import CallOptions, OpenOptions

#: So many of the files passed over are named; of more, the endings are counted.
_NAMED = 10

#: Of a raw frame; OpenCV takes no larger picture.
_MOST_PIXELS = 2**30


def run(arguments: argparse.Namespace) -> int:
    """Enhance what the command line names; 0 if all went well, 1 if something failed."""
    inputs: list[str] = arguments.inputs
    frame = _raw_shape(arguments.raw) if arguments.raw else None
    if frame and inputs not in ([], ["-"]):
        raise InputError("--raw reads from stdin; give no other INPUT")
    piped = frame is not None or inputs == ["-"]
    if not inputs and not piped:
        raise InputError("nothing to enhance: name pictures, videos or folders, or - for stdin")
    if not piped and "-" in inputs:
        raise InputError("- (stdin) cannot be mixed with other inputs")
    if not piped and arguments.out is None:
        raise InputError("where to? name a folder or a file with -o; -o - is stdout")
    if arguments.out == "-" and not piped:
        _check_alone(inputs)
    elif not piped:
        check_target(inputs, arguments.out)
    options, film = asdict(CallOptions.of(arguments)), FilmOptions.of(arguments)
    with Enhancer(arguments.engine or arguments.network, **asdict(OpenOptions.of(arguments))) as enhancer:
        if not enhancer.info.trained:
            _say(f"{enhancer.source} is untrained: its output is no picture")
        if frame is not None:
            return _enhance_frames(Film(enhancer, film.calm), frame, arguments.out, options)
        if piped:
            if arguments.out and formats.is_film_name(Path(arguments.out)):
                return _enhance_film_on_stdin(enhancer, Path(arguments.out), options, arguments.quiet, film)
            return _enhance_one(enhancer, sys.stdin.buffer.read(), "stdin", arguments.out, options)
        if arguments.out == "-":
            return _enhance_one(enhancer, pictures.load(Path(inputs[0])), inputs[0], None, options)
        return _enhance_files(enhancer, inputs, arguments.out, options, arguments.quiet, film)


def _raw_shape(text: str) -> tuple[int, int, int]:
    """H x W x 3 of a size written WxH."""
    size = shapes.parse(text, 2)
    if size is None or not all(size):
        raise InputError(f"--raw takes WxH, for example 600x400, found {text!r}")
    if math.prod(size) > _MOST_PIXELS:
        raise InputError(f"--raw takes frames of at most {_MOST_PIXELS:,} pixels, found {text}: {math.prod(size):,}")
    return size[1], size[0], 3


def _check_alone(inputs: list[str]) -> None:
    """Refuse what does not go to stdout: one picture does."""
    if len(inputs) != 1 or Path(inputs[0]).is_dir() or formats.is_film(Path(inputs[0])):
        raise InputError("-o - writes one picture to stdout; name a folder or a file for films, folders and several inputs")


def _enhance_one(enhancer: Enhancer, data: bytes, name: str, out: str | None, options: dict[str, Any]) -> int:
    """One picture to stdout, into a file, or into a folder."""
    picture = pictures.enhance(enhancer, pictures.decode(data, name), **options)
    suffix = pictures.format_of(data)
    if out in (None, "-"):
        sys.stdout.buffer.write(pictures.encode(picture, suffix))
        sys.stdout.buffer.flush()
    else:
        check_target([name], out)
        pictures.write(Path(out) if becomes_file(out) else Path(out, f"{name}{suffix}"), picture)
    return 0


def _enhance_frames(enhancer: Film, shape: tuple[int, int, int], out: str | None, options: dict[str, Any]) -> int:
    """Raw RGB frames from stdin to stdout."""
    if out not in (None, "-"):
        raise InputError("--raw writes to stdout; redirect it to a file")
    source, target = sys.stdin.buffer, sys.stdout.buffer
    count = 0
    for _ in pipeline.stream(
        lambda: _read_frame(source, shape),
        lambda frame: enhancer(frame, **options),
        lambda done: target.write(done.data) and target.flush(),
    ):
        count += 1
    if not count:
        raise InputError("no frame on stdin")
    return 0


def _read_frame(stream: BinaryIO, shape: tuple[int, int, int]) -> Images | None:
    size = math.prod(shape)
    try:
        data = stream.read(size)
    except MemoryError:
        needed = f"{size // 2**20:,} MiB"
        raise InputError(f"a frame of {shape[1]}x{shape[0]} needs {needed}, more than this machine gives") from None
    if not data:
        return None
    if len(data) < size:
        raise InputError(f"stdin ends in the middle of a frame: {len(data)} of {size} bytes")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _enhance_film_on_stdin(enhancer: Enhancer, out: Path, options: dict[str, Any], quiet: bool, film: FilmOptions) -> int:
    from runtime.media import films  # FFmpeg's libraries take their time to load

    try:
        with stoppable():
            note = films.enhance(enhancer, sys.stdin.buffer, out, hidden=True if quiet else None, film=film, **options)
    except KeyboardInterrupt as error:
        return _told_stopped(error)
    if note and not quiet:
        _say(f"stdin: {note}")
    return 0


def _enhance_files(
    enhancer: Enhancer, inputs: list[str], out: str, options: dict[str, Any], quiet: bool, film: FilmOptions
) -> int:
    todo = find(inputs, out)
    replaced = [job.source for job in todo.jobs if job.target.exists()]
    failures = list(todo.failures)
    done: list[Path] = []
    stopped: KeyboardInterrupt | None = None
    lost: Failure | None = None
    hidden = True if quiet else None  # None: shown on a terminal only
    try:
        with stoppable(), tqdm(total=len(todo.jobs), unit="file", disable=hidden) as progress:
            for job, outcome in _outcomes(enhancer, todo.jobs, options, hidden, film):
                if isinstance(outcome, GpuLostError):  # So would be every other one's.
                    lost = Failure(str(job.source), reason(outcome))
                    break
                progress.update()
                if isinstance(outcome, Exception):
                    failures.append(Failure(str(job.source), reason(outcome)))
                    continue
                done.append(job.source)
                if outcome and not quiet:
                    progress.write(f"retinexrt: {job.source}: {outcome}", file=sys.stderr)
    except KeyboardInterrupt as error:
        stopped = error
    over = len({*done} & {*replaced})
    _summarise(
        f"{len(done)} enhanced" + (f" ({over} over files that were there)" if over else ""), failures, todo.ignored, quiet
    )
    if stopped is not None:
        return _told_stopped(stopped)
    if lost is not None:
        left = len(todo.jobs) - len(done) - (len(failures) - len(todo.failures))
        _say(lost.line)
        _say(f"what was finished is whole; {left} of {len(todo.jobs)} files are left, from {lost.name} on")
    return 1 if failures or lost else 0


def _told_stopped(stopped: KeyboardInterrupt) -> int:
    """Say what there is of what was interrupted; the exit code."""
    kept = "; ".join(getattr(stopped, "__notes__", ["nothing else was written"]))
    _say(f"{'stopped' if isinstance(stopped, Stopped) else 'interrupted'}; what was finished is whole, and {kept}")
    return Stopped.CODE if isinstance(stopped, Stopped) else 130


def _outcomes(
    enhancer: Enhancer, jobs: list[Job], options: dict[str, Any], hidden: bool | None, film: FilmOptions
) -> Iterator[tuple[Job, str | Exception]]:
    """Do all jobs, pictures first; what there is to say about each, or why it failed."""
    yield from pipeline.overlap(
        [job for job in jobs if not job.is_video],
        lambda job: pictures.read(job.source),
        lambda picture: pictures.enhance(enhancer, picture, progress=_Tiles(hidden), **options),
        lambda job, picture: pictures.write(job.target, picture),
    )
    for job in jobs:
        if job.is_video:
            from runtime.media import films

            try:
                yield job, films.enhance(enhancer, job.source, job.target, hidden=hidden, film=film, **options)
            except Exception as error:
                yield job, error


class _Tiles:
    """Shows the tiles of a picture that is done in several, below the count of files."""

    def __init__(self, hidden: bool | None) -> None:
        self._hidden = hidden
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        if total == 1:
            return
        if self._bar is None:
            self._bar = tqdm(total=total, unit="tile", leave=False, disable=self._hidden)
        self._bar.update(done - self._bar.n)
        if done == total:
            self._bar.close()
            self._bar = None


def _summarise(done: str, failures: list[Failure], ignored: list[Path], quiet: bool) -> None:
    if not quiet:
        others = f", {_passed_over(ignored)}" if ignored else ""
        _say(f"{done}, {len(failures)} failed{others}")
    for failure in failures:
        _say(failure.line)


def _passed_over(ignored: list[Path]) -> str:
    """How many files were passed over, and which: the first few, and what the others end in."""
    named = ", ".join(path.name for path in ignored[:_NAMED])
    count = "1 other file" if len(ignored) == 1 else f"{len(ignored)} other files"
    if len(ignored) <= _NAMED:
        return f"{count} passed over: {named}"
    endings = Counter(path.suffix.lower() or "no ending" for path in ignored)
    return f"{count} passed over: " + ", ".join(f"{count} {ending}" for ending, count in endings.most_common())


def _say(text: str) -> None:
    sys.stderr.write(f"retinexrt: {text}\n")
