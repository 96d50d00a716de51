"""`retinexrt enhance --ray`: the command line of a run, and its report."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TextIO

from runtime.errors import InputError
from runtime.media.film_options import FilmOptions
from runtime.media.inputs import check_target
from runtime.options import CallOptions, OpenOptions
from runtime.ray_cluster import connection
from runtime.ray_cluster.run import Report, enhance
from runtime.ray_cluster.worker import Settings


def run(arguments: argparse.Namespace) -> int:
    """Enhance what the command line names on a Ray cluster; 0 if all went well, 1 if something failed."""
    address, inputs = _address(arguments.ray, arguments.inputs)
    if arguments.raw or "-" in inputs or arguments.out == "-":
        raise InputError("--ray takes files, folders and URLs; stdin and stdout belong to one process")
    if not inputs:
        raise InputError("nothing to enhance: name pictures, videos or folders")
    if arguments.out is None:
        raise InputError("where to? name a folder or a file with -o")
    if not any("://" in name for name in (*inputs, arguments.out)):
        check_target(inputs, arguments.out)
    if arguments.device:
        raise InputError("--device has no meaning with --ray, which gives each worker its GPUs: --gpus-per-worker")
    engine = str(Path(arguments.engine).absolute()) if arguments.engine else None
    settings = Settings(
        engine or arguments.network, OpenOptions.of(arguments), CallOptions.of(arguments), FilmOptions.of(arguments)
    )
    shown = not arguments.quiet and sys.stderr.isatty()
    try:
        with _without_chatter() as stderr:
            report = enhance(
                inputs,
                arguments.out,
                settings,
                address=address,
                workers=arguments.workers,
                gpus_per_worker=arguments.gpus_per_worker,
                step=arguments.segment,
                progress=stderr if shown else None,
            )
    except KeyboardInterrupt:
        _say(["interrupted; what was finished is whole, and the same command goes on from there"])
        return 130
    _say(summary(report) if not arguments.quiet else [])
    _say(failure.line for failure in report.failures)
    return 1 if report.failures else 0


@contextmanager
def _without_chatter() -> Generator[TextIO]:
    """Keep what Ray writes, notes for its developers and tracebacks of what is reported anyway, from whoever reads stderr and
    stdout; yields that stderr.
    """
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        with os.fdopen(os.dup(kept), "w") as stderr, os.fdopen(os.dup(nothing), "w") as stdout, redirect_stdout(stdout):
            yield stderr
    finally:
        os.dup2(kept, 2)
        os.close(nothing)
        os.close(kept)


def _address(found: str, inputs: Sequence[str]) -> tuple[str, list[str]]:
    """The address and the inputs. The word after --ray is an input where it is no address."""
    if not found or connection.is_address(found):
        return found, list(inputs)
    return "", [found, *inputs]


def summary(report: Report) -> list[str]:
    """The result of a run, line by line; failures apart."""
    account = report.account
    kept = f", {account.kept} kept from an earlier run" if account.kept else ""
    others = f", {report.ignored} other files passed over" if report.ignored else ""
    lines = [f"{account.enhanced} enhanced{kept}, {len(report.failures)} failed{others}"]
    if not report.probe.trained:
        lines.insert(0, f"{report.probe.path} is untrained: its output is no picture")
    images = sum(load.pictures + load.frames for load in account.loads.values())
    if images:
        what = "pictures and frames" if account.frames else "pictures"
        speed = f"{images / max(report.seconds, 1e-9):.2f} {what}/s over {report.seconds:.1f} s"
        lines.append(f"{speed} on {report.probe.backend}, after {report.start:.1f} s to start")
    for name, load in sorted(account.loads.items()):
        if name:
            done = f"{load.pictures} pictures" + (f", {load.frames} frames" if load.frames else "")
            lines.append(f"  {name}: {done}, busy {load.seconds / max(report.seconds, 1e-9):.0%} of the time")
    if account.again:
        lines.append(f"{account.again} tasks were begun again after a worker was lost")
    return [*lines, *(f"{remark.name}: {remark.reason}" for remark in account.remarks)]


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stderr.write(f"retinexrt: {line}\n")
