"""Time that a Ray cluster adds to the plain command, and pictures per second that many workers give.

The plain command and Ray with 1, 2 ... workers enhance the same pictures, in turns. Workers beyond this machine's cores are
simulated: their network is a wait that takes no processor, as that of a GPU takes none, so what is measured is the way of
a picture from file to file and everything that Ray and the ledger add.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, cast

from benchmarks.harness.command import parse_count, parse_counts, parse_size
from benchmarks.harness.record import Record, usable_cores
from benchmarks.harness.tables import markdown
from benchmarks.studies.machines_needed import PAGE
from benchmarks.studies.study import Study
from runtime import shapes
from runtime.artifact import locate, read_info
from runtime.errors import RetinexError
from runtime.options import OpenOptions
from runtime.ray_cluster.worker import Loaded, Settings, Worker

#: Height and width of the pictures of simulated workers, and what their network takes, in milliseconds.
_SMALL = (64, 96)
_WAIT = 50.0


class WaitingWorker(Worker):
    """A worker whose network waits instead of computing."""

    def _enhance(self, loaded: Loaded) -> Loaded:
        time.sleep(_WAIT / 1e3)
        return loaded


class IdleWorker(Worker):
    """A worker whose network does nothing at all."""

    def _enhance(self, loaded: Loaded) -> Loaded:
        return loaded


@dataclass(frozen=True)
class Point:
    """What was measured of one contender; medians over rounds."""

    #: 0: the plain command.
    workers: int
    threads: int
    #: Milliseconds that a simulated network takes; None: a real one.
    wait: float | None
    images: int
    #: Between the first picture begun and the last one written.
    seconds: float
    #: Before that, on a cluster that runs: the worker that looks at the artifact, and the start of the others.
    start: float
    #: From least to most of the rounds' seconds.
    spread: Sequence[float]

    @property
    def rate(self) -> float:
        """Pictures per second."""
        return self.images / self.seconds


@dataclass(frozen=True)
class Contender:
    """One way to enhance the pictures, before it is measured."""

    workers: int
    threads: int
    wait: float | None = None


def measure(
    settings: Settings, contenders: Sequence[Contender], images: int, size: tuple[int, int], rounds: int
) -> list[Point]:
    """Every contender in turn, round by round, on one cluster of this machine."""
    from tqdm import tqdm

    from runtime.ray_cluster import connection

    taken: dict[Contender, list[tuple[float, float]]] = {contender: [] for contender in contenders}
    with (
        tempfile.TemporaryDirectory() as folder,
        connection.joined("local", max(1, *(w.workers * w.threads for w in contenders))),
    ):
        real, small = Path(folder) / "real", Path(folder) / "small"
        many = {
            contender: images if contender.wait is None else max(images, 160 * contender.workers) for contender in contenders
        }
        _write(real, images, size)
        _write(small, max((count for one, count in many.items() if one.wait is not None), default=0), _SMALL)
        with tqdm(total=rounds * len(contenders), unit="run", leave=False, disable=None) as progress:
            for number in range(rounds):
                for turn in range(len(contenders)):
                    contender = contenders[(turn + number) % len(contenders)]
                    source = real if contender.wait is None else small
                    out = Path(folder) / "out"
                    taken[contender].append(_run(settings, contender, sorted(source.iterdir())[: many[contender]], out))
                    shutil.rmtree(out)
                    progress.update()
    return [_point(contender, many[contender], times) for contender, times in taken.items()]


def _point(contender: Contender, images: int, times: Sequence[tuple[float, float]]) -> Point:
    seconds = [one[0] for one in times]
    start = median(one[1] for one in times)
    return Point(
        contender.workers, contender.threads, contender.wait, images, median(seconds), start, (min(seconds), max(seconds))
    )


def _run(settings: Settings, contender: Contender, paths: Sequence[Path], out: Path) -> tuple[float, float]:
    """Seconds of the work, and of what comes before it."""
    settings = replace(settings, open=replace(settings.open, threads=contender.threads))
    inputs = [str(path) for path in paths]
    if not contender.workers:
        return _plain(settings, inputs, out)
    from runtime.ray_cluster.run import enhance

    kind = Worker if contender.wait is None else WaitingWorker if contender.wait else IdleWorker
    report = enhance(inputs, str(out), settings, workers=contender.workers, kind=kind)
    if report.account.enhanced != len(paths):
        raise RetinexError(f"{len(paths) - report.account.enhanced} pictures were not enhanced: {report.failures[:1]}")
    return report.seconds, report.start


def _plain(settings: Settings, inputs: list[str], out: Path) -> tuple[float, float]:
    """What `retinexrt enhance` does, in this process."""
    from runtime.enhancer import Enhancer
    from runtime.media import pictures, pipeline
    from runtime.media.inputs import find

    begun = time.perf_counter()
    todo = find(inputs, str(out)).jobs
    with Enhancer(settings.source, **asdict(settings.open)) as enhancer:
        ready = time.perf_counter()
        for job, outcome in pipeline.overlap(
            todo,
            lambda job: pictures.read(job.source),
            lambda picture: pictures.enhance(enhancer, picture),
            lambda job, picture: pictures.write(job.target, picture),
        ):
            if isinstance(outcome, Exception):
                raise RetinexError(f"{job.source.name}: {outcome}")
        return time.perf_counter() - ready, ready - begun


def _write(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Dark photographs, JPEG, no two alike."""
    import cv2
    import numpy as np

    from benchmarks.pictures.samples import sample_photographs

    folder.mkdir()
    photographs = [cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA) for _, image in sample_photographs()]
    for number in range(count):
        rolled = np.roll(photographs[number % len(photographs)], 7 * number, axis=1)
        if not cv2.imwrite(str(folder / f"{number:05d}.jpg"), rolled[..., ::-1]):
            raise RetinexError("cannot write the pictures to measure with")


def contenders(workers: Sequence[int], simulated: Sequence[int], cores: int) -> list[Contender]:
    """The plain command with one thread and with all, Ray with so many workers of one thread, and the simulated ones."""
    plain = [Contender(0, threads) for threads in sorted({1, cores})]
    waiting = [Contender(count, 1, _WAIT) for count in simulated]
    return [
        *plain,
        *(Contender(count, 1) for count in workers),
        *waiting,
        *([Contender(simulated[0], 1, 0.0)] if simulated else []),
    ]


def figures(found: Record) -> str:
    """What docs/cluster.md says of a record of this kind."""
    points = [Point(**cast(dict[str, Any], point)) for point in found.results["points"]]
    plain = [point for point in points if not point.workers]
    real = [point for point in points if point.workers and point.wait is None]
    waiting = [point for point in points if point.wait]
    idle = next((point for point in points if point.wait == 0.0), None)
    one = plain[0]
    size = shapes.to_text(found.configuration["size"])
    rows = [[f"plain command, {_threads(point)}", f"{point.rate:.2f}", "", f"{point.start:.1f}"] for point in plain]
    for point in real:
        share = point.rate / (one.rate * min(point.workers, found.environment.cores))
        rows.append([f"Ray, {_workers(point)}", f"{point.rate:.2f}", f"{share:.0%}", f"{point.start:.1f}"])
    for point in waiting:
        share = point.rate * (point.wait or 0.0) / 1e3 / point.workers
        rows.append([f"Ray, {_workers(point)}, simulated", f"{point.rate:.1f}", f"{share:.0%}", f"{point.start:.1f}"])
    what = f"`{found.configuration['artifact']}` on {found.configuration['backend']}, {one.images} pictures of {size}"
    lines = [markdown(["", "pictures/s", "efficiency", "start, s"], rows)]
    lines += [f"{what}; medians of {found.configuration['rounds']} rounds in turns. {_method(waiting)}"]
    if real:
        added = (real[0].seconds - one.seconds) / one.images * 1e3
        lines.append(
            f"One worker takes {added:+.1f} ms a picture against the plain command ({real[0].seconds / one.seconds - 1:+.1%}), "
            "ledger and journal included."
        )
        lines.append(_break_even(real[-1], min(plain, key=lambda point: point.seconds)))
    if idle is not None:
        lines.append(
            f"With a network that takes no time, {idle.workers} workers and one ledger pass {idle.rate:.0f} pictures/s through "
            "this machine: beyond that the way from file to file is the bound, not the network."
        )
    load = f", load {found.environment.load}: the times are upper bounds, and ratios between them uncertain"
    busy = load if found.environment.busy else ""
    lines.append(f"Measured by `{found.command}` on {found.environment.cores} cores of {found.environment.cpu}{busy}.")
    return "\n".join(lines)


def _method(waiting: Sequence[Point]) -> str:
    against = "*Efficiency* is against the plain command with one thread, times the cores in use"
    if not waiting:
        return f"{against}."
    return f"{against}; simulated workers, whose network waits {waiting[0].wait:.0f} ms, against that wait alone."


def _break_even(most: Point, plain: Point) -> str:
    """From how many pictures on the workers are ahead of one process, with as many threads as serve it best."""
    gain = plain.seconds / plain.images - most.seconds / most.images
    if gain <= 0:
        return (
            f"On this one machine Ray with {_workers(most)} is not ahead of the plain command with {_threads(plain)}: a "
            "cluster pays from the second machine on."
        )
    count = max(0.0, most.start - plain.start) / gain
    return (
        f"On this one machine Ray with {_workers(most)} is ahead of the plain command with {_threads(plain)} from {count:,.0f} "
        "pictures on; below that, starting the workers costs more than they give."
    )


def _threads(point: Point) -> str:
    return f"{point.threads} thread{'s' if point.threads > 1 else ''}"


def _workers(point: Point) -> str:
    return f"{point.workers} worker{'s' if point.workers > 1 else ''}"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", nargs="?", default="pdn", help="a network or an .onnx file (default: pdn)")
    parser.add_argument("--backend", default="onnxruntime", help="default: %(default)s")
    parser.add_argument("--images", type=parse_count, default=60, help="default: %(default)s")
    parser.add_argument("--size", type=parse_size, default=(400, 600), metavar="HxW", help="default: 400x600")
    parser.add_argument("--workers", type=parse_counts, default=[1, 2], help="real ones, for example 1,2 (default)")
    parser.add_argument("--simulated", type=parse_counts, default=[2, 4, 8], help="for example 2,4,8 (default)")
    parser.add_argument("--rounds", type=parse_count, default=3, help="default: %(default)s")


def _measure(arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    path = locate.onnx_file(arguments.network)
    settings = Settings(str(path), OpenOptions(arguments.backend))
    wanted = contenders(arguments.workers, arguments.simulated, usable_cores())
    points = measure(settings, wanted, arguments.images, arguments.size, arguments.rounds)
    configuration = {
        "artifact": path.name,
        "network": read_info(path).network,
        "backend": arguments.backend,
        "size": arguments.size,
        "rounds": arguments.rounds,
    }
    return configuration, {"points": points}


STUDY = Study("ray_cost", PAGE, __doc__, _arguments, _measure, figures, "ray")

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
