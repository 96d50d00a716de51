"""`python benchmarks/parity.py pdn`: difference of every artifact from the network that was trained.

torch in FP32 is the reference; measured against it, in codes of 8 bits, are the FP32 ONNX file in ONNX Runtime and in
OpenVINO, the typed FP16 file and, where there is a GPU, the plan. Measuring and judging are separate: `measure` returns
numbers, `judge` compares them with limits.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

if __package__ in (None, ""):  # run as a script: its folder is on the path, the project's is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.harness import command, contenders, record, tables
from benchmarks.harness.timing import prepare_runtime
from benchmarks.measures import differences
from benchmarks.pictures.parity_set import Case, Kind, default_cases
from runtime import command_line, shapes
from runtime.artifact import ArtifactInfo, CpuPrecision, ParityInfo, locate, read_info, remedies
from runtime.backends import get_backend
from runtime.errors import ArtifactError, BackendUnavailableError, InputError
from runtime.files import sha256
from runtime.images import Images
from train.networks.registry import NETWORKS, get_spec

REFERENCE = "torch fp32"

#: Size of the photograph whose layers are compared: all of them are held in memory at once.
_LAYERS = (49, 67)


#: Number format that convolutions were computed in.
Computed = Literal["fp32", "fp16", "bf16"]


@dataclass(frozen=True)
class Measurement:
    """One artifact on one case."""

    #: The contender, e.g. "onnx fp16, ONNX Runtime"; the word is the record's.
    subject: str
    precision: Computed
    case: str
    kind: Kind
    shape: tuple[int, ...]
    difference: differences.Difference


@dataclass(frozen=True)
class Tolerance:
    """The largest difference allowed; None: not limited."""

    max_codes: int | None = None
    p999_codes: int | None = None
    psnr: float | None = None

    def broken_by(self, difference: differences.Difference) -> list[str]:
        """One sentence per limit that is broken."""
        found: list[str] = []
        if self.max_codes is not None and difference.max_codes > self.max_codes:
            found.append(f"{difference.max_codes} codes at the worst sample, allowed {self.max_codes}")
        if self.p999_codes is not None and difference.p999_codes > self.p999_codes:
            found.append(f"{difference.p999_codes} codes at the 99.9th percentile, allowed {self.p999_codes}")
        if self.psnr is not None and difference.psnr < self.psnr:
            found.append(f"PSNR {difference.psnr:.1f} dB, required {self.psnr:g}")
        return found


@dataclass(frozen=True)
class OpenArtifact:
    """A contender: an artifact opened on a backend."""

    label: str
    info: ArtifactInfo
    precision: Computed
    run: Callable[[Images], Images]
    close: Callable[[], None]


def limits(name: str, precision: Computed, kind: Kind) -> Tolerance:
    """The differences that the project promises to keep. FP32 is held on every picture, FP16 and bfloat16 on photographs."""
    if precision == "fp32":
        return Tolerance(max_codes=1)
    if kind == "hard":
        return Tolerance()
    if precision == "bf16":
        return Tolerance(p999_codes=6, psnr=45.0)
    return Tolerance(p999_codes=2, psnr=50.0) if name.startswith("dsn") else Tolerance(p999_codes=1, psnr=55.0)


def measure(
    name: str,
    *,
    engines: Sequence[Path] | None = None,
    weights: Path | None = None,
    pictures: Sequence[Case] | None = None,
    threads: int | None = None,
) -> list[Measurement]:
    """Run torch and every artifact of network `name` on every picture that the artifact takes, and compare.

    `engines`: .onnx and .plan files; None: what is found of this network and can run here. `weights`: of torch; None:
    those in train/weights/. An artifact that was made from other weights is an ArtifactError.
    """
    chosen = default_cases(name) if pictures is None else pictures
    reference, digest = _torch_reference(name, weights)
    opened: list[OpenArtifact] = []
    try:
        for path in find_artifacts(name) if engines is None else engines:
            opened += _open(path, threads, required=engines is not None)
        if not opened:
            raise locate.absent(name)
        for one in opened:
            _check_origin(one, name, digest)
        return [found for case in chosen for found in _measure_case(case, reference, opened)]
    finally:
        for one in opened:
            one.close()


def find_artifacts(name: str) -> list[Path]:
    """NAME.onnx, NAME_fp16.onnx and NAME_fp16.plan, those that are there."""
    endings = (".onnx", "_fp16.onnx", "_fp16.plan")
    return [path for ending in endings if (path := locate.find(name + ending)) is not None]


def judge(name: str, measurements: Iterable[Measurement]) -> list[str]:
    """One line per limit of the project that is broken."""
    lines: list[str] = []
    for one in measurements:
        broken = limits(name, one.precision, one.kind).broken_by(one.difference)
        lines += [f"{name}, {one.subject}, {one.case} ({shapes.to_text(one.shape)}): {reason}" for reason in broken]
    return lines


def summarise(measurements: Sequence[Measurement], kind: Kind = "photograph") -> dict[str, differences.Difference]:
    """All pictures of one kind together, per contender."""
    contenders = dict.fromkeys(one.subject for one in measurements)
    return {
        name: differences.pool(one.difference for one in measurements if one.subject == name and one.kind == kind)
        for name in contenders
    }


def parity_infos(measurements: Sequence[Measurement], contenders: Iterable[str]) -> tuple[ParityInfo, ...]:
    """Entries for a manifest, one per contender, over photographs."""
    wanted = set(contenders)
    entries: list[ParityInfo] = []
    for name, difference in summarise(measurements).items():
        if name in wanted:
            taken = [one.shape for one in measurements if one.subject == name and one.kind == "photograph"]
            entries.append(
                ParityInfo(
                    reference=f"{REFERENCE}, against {name}",
                    images=sum(shape[0] for shape in taken),
                    max_codes=difference.max_codes,
                    p999_codes=float(difference.p999_codes),
                    psnr=round(difference.psnr, 2),
                )
            )
    return tuple(entries)


def write_into_manifest(plan: Path, measurements: Sequence[Measurement]) -> Path | None:
    """Record what was measured in the manifest of `plan` and return its path.

    The plan's own figures where it ran; else those of the ONNX file beside it, under that name and only if the plan was
    built from it. None, and nothing is written, where neither was measured.
    """
    from runtime.artifact import manifest

    info = manifest.read(plan)
    source = plan.with_suffix(".onnx")
    wanted = [one.subject for one in measurements if one.subject.startswith("plan")]
    if not wanted and info.plan is not None and source.is_file() and sha256(source) == info.plan.onnx_sha256:
        wanted = [one.subject for one in measurements if one.subject.startswith(f"onnx {info.precision}")]
    parity = parity_infos(measurements, wanted)
    return manifest.write(replace(info, parity=parity), plan) if parity else None


def _torch_reference(name: str, weights: Path | None) -> tuple[Callable[[Images], Images], str | None]:
    """The network in torch, image in and image out, and the SHA-256 of its weights."""
    import torch

    from export.image_graph import ImageGraph
    from train.networks.weights import load

    spec = get_spec(name)
    loaded = load(spec, weights)
    module = ImageGraph(loaded.network, spec.multiple).eval()

    def run(images: Images) -> Images:
        with torch.inference_mode():
            return module(torch.from_numpy(images)).numpy()

    return run, loaded.sha256


def _open(path: Path, threads: int | None, required: bool) -> list[OpenArtifact]:
    """One contender per backend that runs this artifact; where none does, nothing, or an error if it is required."""
    from runtime.backends import choices

    found: list[OpenArtifact] = []
    problems: list[str] = []
    for choice in choices(str(path)):
        probe = choice.backend.probe()
        if not probe.usable:
            problems.append(f"{probe.name}: {probe.reason}")
            continue
        try:
            found += _precisions(path, choice.backend.name, threads)
        except BackendUnavailableError as error:
            problems.append(str(error))
    if not found and required:
        raise BackendUnavailableError(f"nothing here runs {path.name}. {'. '.join(problems)}")
    return found


def _precisions(path: Path, backend: str, threads: int | None) -> Iterable[OpenArtifact]:
    """An artifact in its own precision and, where the backend has the choice and it asks for another, in that one."""
    exact = _open_one(path, backend, threads, "fp32" if get_backend(backend).computes_in else None)
    yield exact
    if get_backend(backend).computes_in and exact.info.cpu_precision != "fp32":
        rounded = _open_one(path, backend, threads, None)
        if rounded.precision != exact.precision and exact.info.precision == "fp32":
            yield rounded
        else:  # this CPU has no choice, or the file is the FP16 one, which is computed like the other
            rounded.close()


def _open_one(path: Path, backend: str, threads: int | None, precision: CpuPrecision | None) -> OpenArtifact:
    from runtime import Enhancer

    enhancer = Enhancer(path, backend=backend, threads=threads, precision=precision)
    kind = "plan" if path.suffix == ".plan" else "onnx"
    computed: Any = enhancer.precision

    def run(images: Images) -> Images:
        return np.asarray(enhancer(images, tile="off"))

    label = f"{kind} {computed}, {get_backend(backend).title}"
    return OpenArtifact(label, enhancer.info, computed, run, enhancer.close)


def _check_origin(opened: OpenArtifact, name: str, digest: str | None) -> None:
    """An artifact of another network or of other weights would only measure the difference between those."""
    if opened.info.network != name:
        raise InputError(f"{opened.label} is of the network {opened.info.network}, not of {name}")
    if opened.info.weights_sha256 != digest:
        raise ArtifactError(
            f"{opened.label} of {name} was made from other weights than train/weights/ holds; "
            f"export it again with: {remedies.export(name)}"
        )


def _measure_case(case: Case, reference: Callable[[Images], Images], opened: Sequence[OpenArtifact]) -> Iterable[Measurement]:
    from runtime.tiling import limits as shape_limits

    fitting = [one for one in opened if shape_limits(one.info).admit(case.images.shape[:3])]
    expected = reference(case.images) if fitting else case.images
    for one in fitting:
        difference = differences.compare(case.images, expected, one.run(case.images))
        yield Measurement(one.label, one.precision, case.name, case.kind, case.images.shape, difference)


def table(name: str, measurements: Sequence[Measurement], every: bool) -> str:
    """One line per contender and kind of picture, or with `every` per picture; the worst pixel under it."""
    found: list[tuple[str, str, differences.Difference]] = []
    if every:
        found = [(one.subject, f"{one.case} {shapes.to_text(one.shape)}", one.difference) for one in measurements]
    else:
        titles: dict[Kind, str] = {"photograph": "all photographs", "hard": "all hard pictures"}
        for kind, title in titles.items():
            pooled = summarise([one for one in measurements if one.kind == kind], kind)
            found += [(contender, title, difference) for contender, difference in pooled.items()]
    rows = [
        [contender, case, _histogram(its), str(its.max_codes), str(its.p999_codes), f"{its.mean_codes:.2g}", f"{its.psnr:.1f}"]
        for contender, case, its in found
    ]
    head = ["contender", "pictures", "share of samples per code", "max", "p99.9", "mean", "PSNR"]
    lines = [f"{name}: difference from {REFERENCE} in codes of 8 bits", tables.text(head, rows, left=3)]
    worst = max(measurements, key=lambda one: one.difference.max_codes, default=None)
    if worst is not None and (pixel := worst.difference.worst) is not None:
        lines.append(
            f"  worst pixel: {worst.subject}, {worst.case}, picture {pixel.picture} row {pixel.y} column {pixel.x}: "
            f"image {pixel.image}, expected {pixel.expected}, found {pixel.found}"
        )
    return "\n".join(lines)


def _histogram(difference: differences.Difference) -> str:
    """For example "0: 99.8 %  1: 0.2 %", by size."""
    sizes: dict[str, int] = {}
    for code, count in difference.histogram.items():
        size = abs(code)
        label = str(size) if size < 4 else "4+"
        sizes[label] = sizes.get(label, 0) + count
    return "  ".join(f"{label}: {100 * sizes[label] / difference.samples:.3g} %" for label in sorted(sizes))


def results(name: str, measurements: Sequence[Measurement]) -> dict[str, Any]:
    """The results of one network for a record, whose word for a contender is "subject"."""
    pooled: dict[str, dict[str, Any]] = {one.subject: {} for one in measurements}
    kinds: tuple[Kind, ...] = ("photograph", "hard")
    for kind in kinds:
        for contender, found in summarise([one for one in measurements if one.kind == kind], kind).items():
            pooled[contender][kind] = found.figures()
    each = [
        {"subject": one.subject, "precision": one.precision, "case": one.case, "kind": one.kind, "shape": one.shape}
        | one.difference.figures()
        | {"worst": one.difference.worst}
        for one in measurements
    ]
    return {"network": name, "reference": REFERENCE, "pooled": pooled, "each": each, "broken": judge(name, measurements)}


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python benchmarks/parity.py",
        description="Compare every artifact of a network with the network in torch, in codes of 8 bits. "
        "The exit code is 1 where a limit is broken.",
        epilog=f"networks: {', '.join(NETWORKS)}",
    )
    parser.add_argument("networks", nargs="+", metavar="NAME|all")
    parser.add_argument("--engine", type=Path, action="append", metavar="FILE", help=".onnx or .plan (default: all found)")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="torch's weights (default: those in train/weights/)")
    parser.add_argument("--size", type=command.parse_size, metavar="HxW", help="crop photographs to this (default: by network)")
    parser.add_argument("--photographs", type=int, metavar="N", help="how many (default: by network)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of the artifacts (default: the backend's)")
    parser.add_argument("--every", action="store_true", help="one line per picture")
    parser.add_argument("--layers", action="store_true", help="compare FP32 and FP16 layer by layer, to find a fault")
    parser.add_argument("--json", action="store_true", help="print the record instead of tables")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/parity-NAME.json")
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Entry point; returns the exit code."""
    prepare_runtime()
    return command_line.run(_run_all, _parser(), argv, "cpu,export", prog)


def _run_all(arguments: argparse.Namespace) -> int:
    names: list[str] = list(NETWORKS) if "all" in arguments.networks else arguments.networks
    for name in names:
        get_spec(name)
    return _compare_layers(names) if arguments.layers else max([_run(name, arguments) for name in names])


def _run(name: str, arguments: argparse.Namespace) -> int:
    engines = [contenders.find_engine(path) for path in arguments.engine] if arguments.engine else find_artifacts(name)
    if not engines:
        raise locate.absent(name)
    plans = [path for path in engines if path.suffix == ".plan"]
    engines = without_unusable(engines)
    pictures = default_cases(name, arguments.size, arguments.photographs)
    machine = record.environment()
    settings = _configuration(name, engines, pictures, arguments.threads)
    measured = measure(name, engines=engines, weights=arguments.weights, pictures=pictures, threads=arguments.threads)
    found = record.make("parity", settings, results(name, measured), machine)
    broken = judge(name, measured)
    if arguments.json:
        print(record.to_text(found), end="")
    else:
        print(table(name, measured, arguments.every))
    if arguments.record:
        print(record.write(found, f"parity-{name}"), file=sys.stderr)
    for plan in plans:
        if written := write_into_manifest(plan, measured):
            print(f"measured parity written into {written}", file=sys.stderr)
    for line in broken:
        print(f"BROKEN: {line}", file=sys.stderr)
    if broken and not settings["trained"]:
        print(f"{name} is untrained; was it exported before its code changed? {remedies.export(name)}", file=sys.stderr)
    return 1 if broken else 0


def _configuration(name: str, engines: Sequence[Path], pictures: Sequence[Case], threads: int | None) -> dict[str, Any]:
    infos = [read_info(path) for path in engines]
    return {
        "network": name,
        "trained": all(info.trained for info in infos),
        "weights_sha256": next((info.weights_sha256 for info in infos), None),
        "artifacts": [contenders.describe(path) for path in engines],
        "islands": get_spec(name).islands,
        "pictures": [{"name": case.name, "shape": case.images.shape} for case in pictures],
        "threads": threads,
    }


def without_unusable(engines: list[Path]) -> list[Path]:
    """Without a GPU a plan cannot run; the ONNX file that it was built from can, and its figures go into the manifest."""
    problem = contenders.gpu_problem() if any(path.suffix == ".plan" for path in engines) else None
    if problem is None:
        return engines
    kept: list[Path] = []
    for path in engines:
        onnx = path.with_suffix(".onnx")
        if path.suffix == ".plan" and onnx.is_file():
            print(
                f"{path.name} needs a GPU ({problem}); measured instead: {onnx.name}, which it is built from", file=sys.stderr
            )
            kept.append(onnx)
        elif path.suffix == ".plan":
            raise BackendUnavailableError(f"{path.name} needs a GPU ({problem}), and {onnx.name} is not there to stand in")
        else:
            kept.append(path)
    return list(dict.fromkeys(kept))


def _compare_layers(names: Sequence[str]) -> int:
    from benchmarks.measures import by_layer

    for name in names:
        paths = [locate.find(name + ending) for ending in (".onnx", "_fp16.onnx")]
        if paths[0] is None or paths[1] is None:
            raise locate.absent(name)
        picture = default_cases(name, _LAYERS, 1)[0].images
        print(by_layer.table(name, by_layer.compare(paths[0], paths[1], picture)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
