"""`retinexrt enhance`: pictures, folders, videos and pipes."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from runtime import shapes
from runtime.enhancer import Enhancer
from runtime.errors import InputError, reason
from runtime.images import Images
from runtime.media import films, pictures, pipeline
from runtime.media.inputs import Failure, Job, find
from runtime.options import CallOptions, OpenOptions


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
    if not piped and arguments.out in (None, "-"):
        raise InputError("where to? name a folder or a file with -o")
    options = asdict(CallOptions.of(arguments))
    with Enhancer(arguments.engine or arguments.network, **asdict(OpenOptions.of(arguments))) as enhancer:
        if not enhancer.info.trained:
            _say(f"{enhancer.source} is untrained: its output is no picture")
        if frame is not None:
            return _enhance_frames(enhancer, frame, arguments.out, options)
        if piped:
            return _enhance_stdin(enhancer, arguments.out, options)
        return _enhance_files(enhancer, inputs, Path(arguments.out), options, arguments.quiet)


def _raw_shape(text: str) -> tuple[int, int, int]:
    """H x W x 3 of a size written WxH."""
    size = shapes.parse(text, 2)
    if size is None or not all(size):
        raise InputError(f"--raw takes WxH, for example 600x400, found {text!r}")
    return size[1], size[0], 3


def _enhance_stdin(enhancer: Enhancer, out: str | None, options: dict[str, Any]) -> int:
    data = sys.stdin.buffer.read()
    picture = pictures.enhance(enhancer, pictures.decode(data, "stdin"), **options)
    if out in (None, "-"):
        sys.stdout.buffer.write(pictures.encode(picture, pictures.format_of(data)))
        sys.stdout.buffer.flush()
    else:
        pictures.write(Path(out), picture)
    return 0


def _enhance_frames(enhancer: Enhancer, shape: tuple[int, int, int], out: str | None, options: dict[str, Any]) -> int:
    """Raw RGB frames from stdin to stdout."""
    if out not in (None, "-"):
        raise InputError("--raw writes to stdout; redirect it to a file")
    source, target = sys.stdin.buffer, sys.stdout.buffer
    count = 0
    for _ in pipeline.stream(
        lambda: _read_frame(source, shape),
        lambda frame: enhancer(frame, **options),
        lambda done: target.write(done) and target.flush(),
    ):
        count += 1
    if not count:
        raise InputError("no frame on stdin")
    return 0


def _read_frame(stream: BinaryIO, shape: tuple[int, int, int]) -> Images | None:
    size = math.prod(shape)
    data = stream.read(size)
    if not data:
        return None
    if len(data) < size:
        raise InputError(f"stdin ends in the middle of a frame: {len(data)} of {size} bytes")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _enhance_files(enhancer: Enhancer, inputs: list[str], out: Path, options: dict[str, Any], quiet: bool) -> int:
    todo = find(inputs, out)
    failures = list(todo.failures)
    done = 0
    interrupted = False
    hidden = True if quiet else None  # None: shown on a terminal only
    try:
        with tqdm(total=len(todo.jobs), unit="file", disable=hidden) as progress:
            for job, outcome in _outcomes(enhancer, todo.jobs, options, hidden):
                progress.update()
                if isinstance(outcome, Exception):
                    failures.append(Failure(str(job.source), reason(outcome)))
                    continue
                done += 1
                if outcome and not quiet:
                    progress.write(f"retinexrt: {job.source}: {outcome}", file=sys.stderr)
    except KeyboardInterrupt:
        interrupted = True
    _summarise(done, failures, todo.ignored, quiet)
    if interrupted:
        _say("interrupted; what was finished is whole, and nothing else was written")
        return 130
    return 1 if failures else 0


def _outcomes(
    enhancer: Enhancer, jobs: list[Job], options: dict[str, Any], hidden: bool | None
) -> Iterator[tuple[Job, str | Exception]]:
    """Do all jobs, pictures first; what there is to say about each, or why it failed."""
    yield from pipeline.overlap(
        [job for job in jobs if not job.is_video],
        lambda job: pictures.read(job.source),
        lambda picture: pictures.enhance(enhancer, picture, **options),
        lambda job, picture: pictures.write(job.target, picture) or "",
    )
    for job in jobs:
        if job.is_video:
            try:
                yield job, films.enhance(enhancer, job.source, job.target, hidden=hidden, **options)
            except Exception as error:
                yield job, error


def _summarise(done: int, failures: list[Failure], ignored: int, quiet: bool) -> None:
    if not quiet:
        others = f", {ignored} other files passed over" if ignored else ""
        _say(f"{done} enhanced, {len(failures)} failed{others}")
    for failure in failures:
        _say(f"{failure.name}: {failure.reason}")


def _say(text: str) -> None:
    sys.stderr.write(f"retinexrt: {text}\n")
