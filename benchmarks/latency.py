"""`python benchmarks/latency.py --engine pdn_fp16.plan`: time per picture, beside what people would use instead.

One table per size. In a table everything has the same size, batch and precision, unless --mix asks for more; everything
ran in the same minutes, taking turns, so that the ratios hold on a noisy machine.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a script: its folder is on the path, the project's is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.harness import claims, command, layers, memory, record, roofline, tables, timing, trtexec
from benchmarks.harness.board import Board, open_board
from benchmarks.harness.contenders import (
    KINDS,
    Contender,
    OpenContender,
    backend_for,
    check_plans,
    describe,
    find_engine,
    find_kind,
    open_contender,
)
from benchmarks.harness.lane import Throughput, throughput
from benchmarks.harness.trtexec import Trtexec
from benchmarks.pages import latency as pages
from runtime import command_line, shapes
from runtime.artifact import read_info
from runtime.errors import InputError

DEFAULT_SIZE = (400, 600)


@dataclass(frozen=True)
class Method:
    """How the samples are taken."""

    rounds: int = 15
    #: Samples per contender and round.
    repeats: int = 3
    #: Seconds of warm-up per contender at most.
    warm_up: float = 15.0
    pause: float = 0.02
    #: Seconds that the samples of the slowest may take, for fewer rounds then; None: as long as they do.
    seconds: float | None = None
    #: Whether memory is measured, each contender in a process of its own.
    memory: bool = True
    #: Seconds per contender of warm-up at least, and of samples, for more repeats then.
    least_warm_up: float = 0.0
    least_samples: float = 0.0
    #: On a GPU: the numbers of streams whose throughput is measured, and the seconds that each of them takes.
    streams: tuple[int, ...] = ()
    streaming: float = 1.0

    def on_gpu(self) -> Method:
        """As `trtexec` measures at least: half a second until the clocks are up, 3 s of samples; and without pauses."""
        return replace(self, pause=0.0, least_warm_up=0.5, least_samples=3.0, streams=(1, 2, 4))


@dataclass(frozen=True)
class OnGpu:
    """The figures that a contender has on a GPU alone."""

    #: Copying in, computing and copying out; the host has enqueued them before.
    latency: timing.Spread
    #: The host's time to enqueue the network.
    enqueue: timing.Spread
    streams: tuple[Throughput, ...] = ()
    #: NVIDIA's own measurement of the plan that it runs; None: not TensorRT, or no trtexec here.
    trtexec: Trtexec | None = None


@dataclass(frozen=True)
class Row:
    """One contender's figures, in milliseconds and megabytes."""

    label: str
    kind: str
    network: str
    artifact: dict[str, Any]
    precision: str
    device: str
    total: timing.Spread
    to_device: timing.Spread | None
    computing: timing.Spread | None
    to_host: timing.Spread | None
    #: Pictures per second, one batch after the other.
    throughput: float
    warm_up: timing.WarmUp
    #: Median of the last third of the samples over that of the first, minus one.
    drift: float
    host_mb: float | None
    gpu_mb: float | None
    #: Against the table's first row; None: it is the first.
    ratio: timing.Ratio | None
    #: The roofline estimate, in milliseconds; None where the precision's peak is unknown.
    estimate_compute: float | None
    estimate_memory: float | None
    gpu: OnGpu | None = None


@dataclass(frozen=True)
class Taken:
    """The samples of one contender."""

    warm_up: timing.WarmUp
    #: The samples of each round.
    turns: Sequence[Sequence[timing.Sample]]

    @property
    def samples(self) -> list[timing.Sample]:
        return [sample for turn in self.turns for sample in turn]


@dataclass(frozen=True)
class Table:
    """Contenders on pictures of one shape."""

    height: int
    width: int
    batch: int
    rows: tuple[Row, ...]
    peaks: tuple[roofline.Peaks, ...]
    #: The GPUs right after the last sample, with the clocks that they then had.
    gpus: tuple[record.Gpu, ...] = ()
    #: Of the GPU in use, after each turn, in MHz; None: no GPU, or its driver doesn't say.
    sm_clock: timing.Spread | None = None


def make_contenders(
    engines: Sequence[Path], against: Sequence[str], size: tuple[int, int], batch: int, threads: int | None, device: str = "cpu"
) -> list[Contender]:
    """The engines, then what they are compared with: the first engine's network. Plans run on a GPU in any case."""
    for name in against:
        find_kind(name)
    on_gpu = backend_for("cuda", ".onnx").name if device == "cuda" else "auto"
    backends = [on_gpu if path.suffix == ".onnx" else "auto" for path in engines]
    own = [
        Contender("retinexrt", str(path), *size, batch, threads, backend=backend)
        for path, backend in zip(engines, backends, strict=True)
    ]
    return own + [Contender(kind, str(engines[0]), *size, batch, threads, device) for kind in against]


def check_comparable(contenders: Sequence[Contender], mix: bool) -> None:
    """Refuse a table of different precisions, and shapes that an artifact does not take."""
    from runtime.tiling import limits

    precisions: dict[str, str] = {}
    for contender in contenders:
        info = read_info(Path(contender.artifact))
        name = f"{Path(contender.artifact).name} ({contender.kind})"
        precisions.setdefault(contender.precision(info), name)
        shape = (contender.batch, contender.height, contender.width)
        if not limits(info).admit(shape):
            raise InputError(
                f"{name} does not take {shapes.to_text(shape)} (NxHxW); leave it out, or choose --size and --batch for it"
            )
    if len(precisions) > 1 and not mix:
        found = ", ".join(f"{precision}: {name}" for precision, name in precisions.items())
        raise InputError(f"a table compares one precision, found {found}; ask for both with --mix")


def measure(contenders: Sequence[Contender], method: Method = Method()) -> Table:
    """Time every contender beside the others; the first is what ratios refer to."""
    from tqdm import tqdm

    steps = len(contenders) * (method.rounds + 2)
    with ExitStack() as stack, tqdm(total=steps, unit="turn", leave=False, disable=None, desc="measuring") as bar:
        opened: list[OpenContender] = []
        for contender in contenders:
            opened.append(open_contender(contender))
            stack.callback(opened[-1].close)
        board = open_board(record.gpu_in_use()) if any(one.lanes for one in opened) else None
        clocks: list[float] = []

        def after_turn() -> None:
            bar.update()
            if board is not None and (clock := board.state().sm_mhz) is not None:
                clocks.append(clock)

        taken = take(opened, method, after_turn)
        gpus = record.gpus(record.gpu_in_use())
        on_gpu = [measure_on_gpu(one, its, method, board) for one, its in zip(opened, taken, strict=True)]
    footprints = [memory.measure(contender) if method.memory else None for contender in contenders]
    peaks = {device: roofline.peaks(device) for device in dict.fromkeys(one.device for one in opened)}
    rows = [
        make_row(one, its, taken[0] if index else None, footprint, peaks[one.device], gpu)
        for index, (one, its, footprint, gpu) in enumerate(zip(opened, taken, footprints, on_gpu, strict=True))
    ]
    first = contenders[0]
    clock = timing.spread(clocks) if clocks else None
    return Table(first.height, first.width, first.batch, tuple(rows), tuple(peaks.values()), gpus, clock)


def take(opened: Sequence[OpenContender], method: Method, progress: Callable[[], object] | None = None) -> list[Taken]:
    """Warm every contender up, then let them take turns."""
    warm: list[timing.WarmUp] = []
    for one in opened:
        warm.append(timing.warm_up(one.run, method.warm_up, least=method.least_warm_up))
        if progress is not None:
            progress()
    takes = [its.seconds / its.runs for its in warm]
    repeats = [max(method.repeats, math.ceil(method.least_samples / method.rounds / each)) for each in takes]
    rounds = method.rounds
    if method.seconds is not None:
        longest = max((count + 1) * each for count, each in zip(repeats, takes, strict=True))
        rounds = max(3, min(rounds, int(method.seconds / longest)))
    samples = timing.take_turns([one.run for one in opened], rounds, repeats, method.pause, progress)
    return [Taken(*each) for each in zip(warm, samples, strict=True)]


def measure_on_gpu(one: OpenContender, taken: Taken, method: Method, board: Board | None) -> OnGpu | None:
    """The GPU's share of the samples, its throughput over streams, and the figures of NVIDIA's own tool."""
    latency, enqueue = (_part([getattr(each, part) for each in taken.samples]) for part in ("latency", "enqueue"))
    if latency is None or enqueue is None or one.lanes is None:
        return None
    streams = [throughput(one.lanes.first(count), one.contender.batch, method.streaming, board) for count in method.streams]
    shape = (one.contender.batch, one.contender.height, one.contender.width, 3)
    # Contenders that are compared with a plan name it as their artifact too, and don't run it.
    plan = Path(one.contender.artifact) if one.contender.kind == "retinexrt" else None
    return OnGpu(latency, enqueue, tuple(streams), trtexec.measure(plan, one.info, shape) if plan else None)


def make_row(
    opened: OpenContender,
    taken: Taken,
    first: Taken | None = None,
    footprint: memory.Footprint | None = None,
    peaks: roofline.Peaks | None = None,
    gpu: OnGpu | None = None,
) -> Row:
    """A contender's figures; `first` is what its ratio refers to, and without `peaks` nothing is estimated."""
    contender, samples = opened.contender, taken.samples
    work = _work(opened) if peaks is not None else None
    estimate = roofline.estimate(work, peaks, opened.precision) if work is not None and peaks is not None else None
    total = timing.spread([sample.total for sample in samples])
    return Row(
        label=opened.label,
        kind=contender.kind,
        network=opened.info.network,
        artifact=describe(Path(contender.artifact)),
        precision=opened.precision,
        device=opened.device,
        total=total,
        to_device=_part([sample.to_device for sample in samples]),
        computing=_part([sample.device for sample in samples]),
        to_host=_part([sample.to_host for sample in samples]),
        throughput=1e3 * contender.batch / total.p50,
        warm_up=taken.warm_up,
        drift=timing.drift([sample.total for sample in samples]),
        host_mb=footprint.host if footprint else None,
        gpu_mb=footprint.gpu if footprint else None,
        ratio=timing.ratio(timing.totals(taken.turns), timing.totals(first.turns)) if first else None,
        estimate_compute=estimate.compute if estimate else None,
        estimate_memory=estimate.memory if estimate else None,
        gpu=gpu,
    )


def _work(opened: OpenContender) -> roofline.Work | None:
    """The arithmetic of the artifact's graph; None for a plan whose graph is not beside it."""
    contender = opened.contender
    graph = Path(contender.artifact).with_suffix(".onnx")
    if not graph.is_file():
        return None
    return roofline.work(graph, opened.info, contender.batch, contender.height, contender.width)


def _part(values: Sequence[float | None]) -> timing.Spread | None:
    known = [value for value in values if value is not None]
    return timing.spread(known) if known else None


def to_text(table: Table) -> str:
    """A table to read, with the papers' claims and what to know about it under it."""
    plain = record.plain(table)
    lines = [f"{shapes.to_text((table.batch, table.height, table.width))} pictures, uint8 in and out, milliseconds"]
    lines.append(tables.text(pages.HEAD, [pages.cells(row) for row in plain["rows"]], left=2))
    if (found := pages.on_gpu(plain["rows"])) is not None:
        lines.append(tables.text(*found))
    lines += [f"  {line}" for line in pages.remarks(plain)]
    networks = {row.network for row in table.rows}
    for claim in claims.CLAIMS:
        if claim.network in networks:
            lines.append(f"  {claim.method}, claimed: {claim.milliseconds:g} ms; hardware: {claim.hardware}; {claim.note}")
    shown = [f"{claim.method} {claim.milliseconds:g}" for claim in claims.CLAIMS if claim.network not in networks]
    lines.append(f"  claimed elsewhere, in ms: {', '.join(shown)} ({claims.CAVEAT})")
    return "\n".join(lines)


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python benchmarks/latency.py", description="Time artifacts beside what people would use instead."
    )
    parser.add_argument(
        "--engine", type=Path, action="append", required=True, metavar="FILE", help=".onnx or .plan, as given or in engines/"
    )
    parser.add_argument("--against", default="", metavar="LIST", help=f"comma-separated: {', '.join(list(KINDS)[1:])}")
    parser.add_argument("--size", type=command.parse_size, nargs="+", action="extend", metavar="HxW", help="default: 400x600")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="pictures per run (default: 1)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: each library's own choice)")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), help="run ONNX files and contenders there (default: cuda with a plan)"
    )
    parser.add_argument("--rounds", type=int, default=Method.rounds, metavar="N", help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=Method.repeats, metavar="N", help="per round (default: %(default)s)")
    parser.add_argument("--warm-up", type=float, default=Method.warm_up, metavar="S", help="seconds at most (default: 15)")
    parser.add_argument("--no-memory", action="store_true", help="don't measure memory")
    parser.add_argument("--mix", action="store_true", help="allow different precisions in one table")
    parser.add_argument("--json", action="store_true", help="print the record instead of tables")
    parser.add_argument("--record", nargs="?", const="", metavar="NAME", help="write benchmarks/results/NAME.json")
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Entry point; returns the exit code."""
    timing.prepare_runtime()
    return command_line.run(_run, _parser(), argv, "cpu,onnxruntime,export", prog)


def _run(arguments: argparse.Namespace) -> None:
    if min(arguments.batch, arguments.rounds, arguments.repeats, arguments.threads or 1) < 1:
        raise InputError("--batch, --rounds, --repeats and --threads are at least 1")
    check_plans(arguments.engine)
    engines = [find_engine(path) for path in arguments.engine]
    against = [name for name in arguments.against.split(",") if name]
    sizes: list[tuple[int, int]] = arguments.size or [DEFAULT_SIZE]
    method = Method(arguments.rounds, arguments.repeats, arguments.warm_up, memory=not arguments.no_memory)
    device = arguments.device or ("cuda" if any(path.suffix == ".plan" for path in engines) else "cpu")
    if device == "cuda":
        method = method.on_gpu()
    wanted = [make_contenders(engines, against, size, arguments.batch, arguments.threads, device) for size in sizes]
    for contenders in wanted:
        check_comparable(contenders, arguments.mix)
    machine = record.environment()
    found: list[Table] = []
    for contenders in wanted:
        found.append(measure(contenders, method))
        if not arguments.json:
            print(to_text(found[-1]), flush=True)
    network = read_info(engines[0]).network
    configuration = {
        "network": network,
        "trained": read_info(engines[0]).trained,
        "threads": arguments.threads,
        "method": method,
        "mix": arguments.mix,
    }
    made = record.make("latency", configuration, found, machine)
    if machine.busy:
        print(f"the machine was busy: load {machine.load} on {machine.cores} cores before the first run", file=sys.stderr)
    if arguments.json:
        print(record.to_text(made), end="")
    if arguments.record is not None:
        name = arguments.record or f"latency-{network}"
        print(record.write(made, name), file=sys.stderr)
        for plan in (path for path in engines if path.suffix == ".plan"):
            shape = (arguments.batch, *sizes[0], 3)
            profiled = record.make("layers", {"plan": plan.name, "shape": shape}, layers.profile(plan, shape), machine)
            print(record.write(profiled, f"{name}-layers-{plan.stem}"), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
