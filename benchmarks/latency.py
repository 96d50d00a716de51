"""`python benchmarks/latency.py --engine pdn_fp16.plan`: how long a picture takes, beside what people would use instead.

One table per size. In a table everything has the same size, batch and precision, unless --mix asks for more; everything
ran in the same minutes, taking turns, so that the ratios hold on a noisy machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a script: its folder is on the path, the project's is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.harness import claims, memory, record, roofline, timing
from benchmarks.harness.command import parse_size
from benchmarks.harness.contenders import AGAINST, Contender, Spec, describe, gpu_problem, open_contender
from runtime.artifact import ArtifactInfo, locate, read_info, remedies
from runtime.errors import ArtifactError, BackendUnavailableError, InputError, RetinexError
from train.errors import TrainError

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
    #: Whether memory is measured, each contender in a process of its own.
    memory: bool = True


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
    gmac: float | None
    megabytes: float | None
    #: Milliseconds; None where the precision's peak is unknown.
    floor_compute: float | None
    floor_memory: float | None

    @property
    def settled(self) -> bool:
        """Whether the machine came to rest, before and during the samples."""
        return self.warm_up.settled and abs(self.drift) <= timing.DRIFT

    @property
    def floor(self) -> float | None:
        """The larger of the two floors."""
        known = [value for value in (self.floor_compute, self.floor_memory) if value is not None]
        return max(known) if self.floor_compute is not None and known else None


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


def find_engine(path: Path) -> Path:
    """A file as given, then in engines/ and where artifacts are shipped."""
    if path.is_file():
        return path
    found = locate.find(path.name) if len(path.parts) == 1 else None
    if found is None:
        locate.as_file(str(path))  # says which command makes it
        raise ArtifactError(f"{path} is no artifact: expected an .onnx or .plan file")
    return found


def check_plans(paths: Sequence[Path]) -> None:
    """Without a GPU a plan is a BackendUnavailableError of two lines: what is missing, and what would run here."""
    plans = [path for path in paths if path.suffix == ".plan"]
    problem = gpu_problem() if plans else None
    if problem is None:
        return
    names = (plans[0].with_suffix(".onnx").name, plans[0].with_suffix(".onnx").name.replace("_fp16", ""))
    runs = next((name for name in names if locate.find(name) is not None), None)
    instead = (
        f"python benchmarks/latency.py --engine {runs}"
        if runs
        else f"{remedies.export(plans[0].stem.removesuffix('_fp16'))}, and then its .onnx file"
    )
    raise BackendUnavailableError(f"{plans[0].name} needs an NVIDIA GPU: {problem}\nwhat runs here: {instead}")


def make_specs(
    engines: Sequence[Path], against: Sequence[str], size: tuple[int, int], batch: int, threads: int | None
) -> list[Spec]:
    """The engines, then what they are compared with: the first engine's network."""
    unknown = [name for name in against if name not in AGAINST]
    if unknown:
        raise InputError(f"unknown contender {unknown[0]!r}; known: {', '.join(AGAINST)}")
    own = [Spec("retinexrt", str(path), *size, batch, threads) for path in engines]
    device = "cuda" if any(path.suffix == ".plan" for path in engines) else "cpu"
    return own + [Spec(kind, str(engines[0]), *size, batch, threads, device) for kind in against]


def check_comparable(specs: Sequence[Spec], mix: bool) -> None:
    """Refuse a table of different precisions, and shapes that an artifact does not take."""
    from runtime.tiling import limits

    precisions: dict[str, str] = {}
    for spec in specs:
        info = read_info(Path(spec.artifact))
        name = f"{Path(spec.artifact).name} ({spec.kind})"
        precisions.setdefault(spec.precision(info), name)
        shape = (spec.batch, spec.height, spec.width)
        if not limits(info).admit(shape):
            raise InputError(f"{name} does not take {_times(shape)} (NxHxW); leave it out, or choose --size and --batch for it")
    if len(precisions) > 1 and not mix:
        found = ", ".join(f"{precision}: {name}" for precision, name in precisions.items())
        raise InputError(f"a table compares one precision, found {found}; ask for both with --mix")


def measure(specs: Sequence[Spec], method: Method = Method()) -> Table:
    """Time every spec beside the others; the first is what ratios refer to."""
    from tqdm import tqdm

    contenders: list[Contender] = []
    try:
        contenders += [open_contender(spec) for spec in specs]
        steps = len(contenders) * (method.rounds + 2)
        with tqdm(total=steps, unit="turn", leave=False, disable=None, desc="measuring") as bar:
            warm: list[timing.WarmUp] = []
            for contender in contenders:
                warm.append(timing.warm_up(contender.run, method.warm_up))
                bar.update()
            runs = [contender.run for contender in contenders]
            samples = timing.take_turns(runs, method.rounds, method.repeats, method.pause, bar.update)
            gpus = record.gpus()
    finally:
        for contender in contenders:
            contender.close()
    return _table(contenders, warm, samples, gpus, method)


def _table(
    contenders: Sequence[Contender],
    warm: Sequence[timing.WarmUp],
    samples: Sequence[list[list[timing.Sample]]],
    gpus: tuple[record.Gpu, ...],
    method: Method,
) -> Table:
    peaks = {device: roofline.peaks(device) for device in dict.fromkeys(contender.device for contender in contenders)}
    totals = [[[sample.total for sample in turn] for turn in turns] for turns in samples]
    rows: list[Row] = []
    for index, contender in enumerate(contenders):
        spec = contender.spec
        path = Path(spec.artifact)
        info = read_info(path)
        work = _work(path, info, spec)
        least = roofline.floor(work, peaks[contender.device], contender.precision) if work is not None else None
        taken = memory.measure(spec) if method.memory else None
        flat = [sample for turn in samples[index] for sample in turn]
        rows.append(
            Row(
                label=contender.label,
                kind=spec.kind,
                network=info.network,
                artifact=describe(spec),
                precision=contender.precision,
                device=contender.device,
                total=(total := timing.spread([sample.total for sample in flat])),
                to_device=_part([sample.to_device for sample in flat]),
                computing=_part([sample.device for sample in flat]),
                to_host=_part([sample.to_host for sample in flat]),
                throughput=1e3 * spec.batch / total.p50,
                warm_up=warm[index],
                drift=timing.drift([sample.total for sample in flat]),
                host_mb=taken.host if taken else None,
                gpu_mb=taken.gpu if taken else None,
                ratio=timing.ratio(totals[index], totals[0]) if index else None,
                gmac=work.gmac if work else None,
                megabytes=work.megabytes if work else None,
                floor_compute=least.compute if least else None,
                floor_memory=least.memory if least else None,
            )
        )
    first = contenders[0].spec
    return Table(first.height, first.width, first.batch, tuple(rows), tuple(peaks.values()), gpus)


def _work(path: Path, info: ArtifactInfo, spec: Spec) -> roofline.Work | None:
    """The arithmetic of the artifact's graph; None for a plan whose graph is not beside it."""
    graph = path.with_suffix(".onnx")
    return roofline.work(graph, info, spec.batch, spec.height, spec.width) if graph.is_file() else None


def _part(values: Sequence[float | None]) -> timing.Spread | None:
    known = [value for value in values if value is not None]
    return timing.spread(known) if known else None


def to_text(table: Table) -> str:
    """A table to read, with the papers' claims and what to know about it under it."""
    on_gpu = any(row.computing is not None for row in table.rows)
    lines = [f"{_times((table.batch, table.height, table.width))} pictures, uint8 in and out, milliseconds"]
    head = f"  {'':<44}{'prec.':<6}{'p50':>9}{'p90':>9}{'p99':>9}{'pict./s':>9}{'MB':>8}{'GPU MB':>8}"
    parts = f"{'to GPU':>9}{'GPU':>9}{'back':>9}" if on_gpu else ""
    lines.append(f"{head}{parts}{'time / first':>22}{'/ floor':>9}")
    for row in table.rows:
        cells = [f"  {row.label[:43]:<44}{row.precision:<6}"]
        cells += [f"{value:>9.2f}" for value in (row.total.p50, row.total.p90, row.total.p99)]
        cells += [f"{row.throughput:>9.1f}", _cell(row.host_mb, ".0f", 8), _cell(row.gpu_mb, ".0f", 8)]
        if on_gpu:
            cells += [_cell(part.p50 if part else None, ".3f", 9) for part in (row.to_device, row.computing, row.to_host)]
        cells.append(f"{_ratio(row.ratio):>22}")
        cells.append(_cell(row.total.p50 / row.floor if row.floor else None, ".2f", 9))
        lines.append("".join(cells))
    for row in table.rows:
        if not row.settled:
            why = f"drift {row.drift:+.0%}" if row.warm_up.settled else f"not within {row.warm_up.seconds:.0f} s of warm-up"
            lines.append(f"  {row.label} never settled ({why}): read its figures as upper bounds")
    networks = {row.network for row in table.rows}
    for claim in claims.claims():
        if claim.network in networks:
            lines.append(f"  {claim.method}, claimed: {claim.milliseconds:g} ms; hardware: {claim.hardware}; {claim.note}")
    shown = [f"{claim.method} {claim.milliseconds:g}" for claim in claims.claims() if claim.network not in networks]
    lines.append(f"  claimed elsewhere, in ms: {', '.join(shown)} ({claims.CAVEAT})")
    return "\n".join(lines)


def _ratio(found: timing.Ratio | None) -> str:
    return "1" if found is None else f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _cell(value: float | None, form: str, width: int) -> str:
    return f"{'-' if value is None else format(value, form):>{width}}"


def _times(shape: Sequence[int]) -> str:
    return "x".join(str(side) for side in shape)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="latency.py", description="Time artifacts beside what people would use instead.")
    parser.add_argument(
        "--engine", type=Path, action="append", required=True, metavar="FILE", help=".onnx or .plan, as given or in engines/"
    )
    parser.add_argument("--against", default="", metavar="LIST", help=f"comma-separated: {', '.join(AGAINST)}")
    parser.add_argument("--size", type=parse_size, nargs="+", action="extend", metavar="HxW", help="default: 400x600")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="pictures per run (default: 1)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: each library's own choice)")
    parser.add_argument("--rounds", type=int, default=Method.rounds, metavar="N", help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=Method.repeats, metavar="N", help="per round (default: %(default)s)")
    parser.add_argument("--warm-up", type=float, default=Method.warm_up, metavar="S", help="seconds at most (default: 15)")
    parser.add_argument("--no-memory", action="store_true", help="don't measure memory")
    parser.add_argument("--mix", action="store_true", help="allow different precisions in one table")
    parser.add_argument("--json", action="store_true", help="print the record instead of tables")
    parser.add_argument("--record", nargs="?", const="", metavar="NAME", help="write benchmarks/results/NAME.json")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = _parser().parse_args(argv)
    timing.prepare_runtime()
    try:
        return _run(arguments)
    except (RetinexError, TrainError) as error:
        print(error, file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace) -> int:
    if min(arguments.batch, arguments.rounds, arguments.repeats, arguments.threads or 1) < 1:
        raise InputError("--batch, --rounds, --repeats and --threads are at least 1")
    check_plans(arguments.engine)
    engines = [find_engine(path) for path in arguments.engine]
    against = [name for name in arguments.against.split(",") if name]
    sizes: list[tuple[int, int]] = arguments.size or [DEFAULT_SIZE]
    method = Method(arguments.rounds, arguments.repeats, arguments.warm_up, memory=not arguments.no_memory)
    wanted = [make_specs(engines, against, size, arguments.batch, arguments.threads) for size in sizes]
    for specs in wanted:
        check_comparable(specs, arguments.mix)
    machine = record.environment()
    tables: list[Table] = []
    for specs in wanted:
        tables.append(measure(specs, method))
        if not arguments.json:
            print(to_text(tables[-1]), flush=True)
    network = read_info(engines[0]).network
    configuration = {
        "network": network,
        "trained": read_info(engines[0]).trained,
        "threads": arguments.threads,
        "method": method,
        "mix": arguments.mix,
    }
    found = record.make("latency", configuration, tables, machine)
    if machine.busy:
        print(f"the machine was busy: load {machine.load} on {machine.cores} cores before the first run", file=sys.stderr)
    if arguments.json:
        print(record.to_text(found), end="")
    if arguments.record is not None:
        print(record.write(found, arguments.record or f"latency-{network}"), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
