"""RESULTS.md and its plots, from the records: the same to the byte for the same records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.harness import claims, timings
from benchmarks.harness.record import Environment, Record, by_kind
from benchmarks.harness.tables import markdown
from benchmarks.pages import charts, gpu, latency, photographs

_HEAD = """# Results

`python benchmarks/report.py` makes this page from the records in `results/`; every figure is one of theirs. `make bench`
measures on this machine and makes the page anew, `make gpu` does so on a machine with an NVIDIA GPU. The command of each
record is the line under its table.
"""

_NO_GPU = "These records were made without a GPU, so no figure for one is shown; `make gpu` measures them."

_METHOD = """A time is from a uint8 picture in host memory to a uint8 picture in host memory. Each contender is warmed up until
two windows of runs agree within 5 %; then all take turns, in an order that rotates from round to round, and each turn begins
with a run that is not counted. *Time / first* is the median ratio within rounds, with the 95 % interval of a bootstrap over
rounds. *Memory* is the peak of a process of its own. *Estimate* is a roofline estimate: the graph's multiply-adds at the rate
of the best matrix product measured on this machine, or its bytes at that of the best copy, whichever takes longer. It is no
lower bound: Winograd convolutions need fewer operations, and fused layers move fewer bytes than those of every convolution's
input and output, which it counts.
"""

#: Sections are shown in this order; the columns of quality tables too, as far as they were measured.
_MEASURES = ("psnr", "ssim", "lpips", "ciede2000", "angular_error")


def generate(records: Mapping[str, Record]) -> dict[str, str]:
    """The page and its plots, by path under benchmarks/. Records of other kinds have pages of their own."""
    plots: dict[str, str] = {}
    of = by_kind(records)
    sections = [
        _HEAD,
        *_latency(records, of["latency"], plots),
        *gpu.section(of["gpu"]),
        *_quality(of["quality"], records, plots),
        *photographs.section(of["photographs"], origin),
        *_parity(of["parity"], plots),
        *_machines([found for of_kind in of.values() for found in of_kind.values()]),
    ]
    return {"RESULTS.md": "\n".join(sections).rstrip() + "\n", **{f"plots/{name}.svg": text for name, text in plots.items()}}


def _latency(every: Mapping[str, Record], records: Mapping[str, Record], plots: dict[str, str]) -> Iterable[str]:
    if not records:
        return
    yield "## Latency\n"
    yield _METHOD
    if not any(row["device"].startswith("cuda") for _, row in timings.rows(every)):
        yield f"{_NO_GPU}\n"
    for name, record in records.items():
        for table in record.results:
            shape = f"{table['height']}x{table['width']}"
            pictures = "one picture" if table["batch"] == 1 else f"{table['batch']} pictures at once"
            yield f"### {record.configuration['network']}, {shape}, {pictures}\n"
            plot = f"{name}-{shape}"
            plots[plot] = _latency_bars(record, table)
            yield f"![Latency of {record.configuration['network']} at {shape}](plots/{plot}.svg)\n"
            yield markdown(latency.HEAD, [latency.cells(row) for row in table["rows"]])
            if (found := latency.on_gpu(table["rows"])) is not None:
                yield markdown(*found)
            yield from (f"{line}\n" for line in latency.remarks(table))
            if not record.configuration.get("trained", True):
                yield "The network was untrained; that changes its pictures, not its times.\n"
        yield origin(record)
    yield "### What papers claim\n"
    rows = [[c.method, f"{c.milliseconds:g}", c.hardware, c.resolution, c.source] for c in claims.CLAIMS]
    yield markdown(["method", "ms", "hardware", "resolution", "source"], rows)
    notes = dict.fromkeys(f"{claim.method}: {claim.note}" for claim in claims.CLAIMS if claim.note)
    yield "".join(f"{line[0].upper()}{line[1:]}.\n" for line in (*notes, claims.CAVEAT))


def _latency_bars(record: Record, table: Mapping[str, Any]) -> str:
    found = [charts.Bar(row["label"], row["total"]["p50"]) for row in table["rows"]]
    if (table["height"], table["width"], table["batch"]) == (400, 600, 1):
        found += [charts.Bar(f"{c.method}, claimed", c.milliseconds, claimed=True) for c in claims.CLAIMS]
    device = "on a GPU" if any(row["device"].startswith("cuda") for row in table["rows"]) else "on a CPU"
    title = (
        f"{record.configuration['network']} {device}, {table['height']}x{table['width']}: median time; pale: claimed, on GPUs"
    )
    return charts.bars(title, "ms", found)


def _quality(records: Mapping[str, Record], every: Mapping[str, Record], plots: dict[str, str]) -> Iterable[str]:
    if not records:
        return
    yield "## Quality\n"
    yield "Means over the pictures of a set, through the deployed artifact; no output is corrected with the truth.\n"
    found = [name for record in records.values() for name in record.results["summary"]]
    measures = [name for name in dict.fromkeys((*_MEASURES, *found)) if name in found]
    lines: list[list[str]] = []
    for record in records.values():
        settings, summary = record.configuration, record.results["summary"]
        set_name = f"{settings['data']} {settings['split'] or ''}".strip()
        note = "" if settings.get("trained", True) else " (untrained)"
        line = [f"{settings['network']}{note}", settings.get("precision") or "-", f"{set_name}, {settings['pictures']}"]
        lines.append(line + [f"{summary[name]['mean']:.4g}" if name in summary else "-" for name in measures])
    yield markdown(["", "precision", "set, pictures", *measures], lines)
    points = list(_quality_against_latency(records, every))
    if len(points) > 1:
        title = "Quality against latency at 400x600"
        plots["quality"] = charts.scatter(title, "median ms, picture to picture", "PSNR in dB", points)
        yield "![PSNR against latency](plots/quality.svg)\n"
    for record in records.values():
        yield origin(record)


def _quality_against_latency(
    quality: Mapping[str, Record], records: Mapping[str, Record]
) -> Iterable[tuple[str, float, float]]:
    """(label, ms, dB) of every artifact of which both were measured, at 400x600."""
    fastest = timings.fastest(records, "")
    for record in quality.values():
        key = (record.configuration["network"], record.configuration.get("precision") or "")
        if key in fastest and record.configuration.get("trained", True) and "psnr" in record.results["summary"]:
            yield f"{key[0]} {key[1]}", fastest[key]["total"]["p50"], record.results["summary"]["psnr"]["mean"]


def _parity(records: Mapping[str, Record], plots: dict[str, str]) -> Iterable[str]:
    if not records:
        return
    yield "## Parity\n"
    yield (
        "Every artifact against the network in torch, FP32, in codes of 8 bits, over dark photographs (the limits: FP32 at\n"
        "most 1 code on any picture; FP16 at least 55 dB and at most 1 code at the 99.9th percentile, dsn 50 dB and 2;\n"
        "bfloat16 45 dB and 6). ONNX Runtime widens FP16 to FP32 inside each operator on a CPU: what is seen there is the\n"
        "rounding of values and weights, not that of sums. OpenVINO computes an FP16 file in FP32 altogether. Identical\n"
        "pictures count as if one sample were off by one code.\n"
    )
    lines: list[list[str]] = []
    for record in records.values():
        found = record.results
        for contender, kinds in found["pooled"].items():
            photographs, hard = kinds.get("photograph"), kinds.get("hard")
            if photographs is None:
                continue
            line = [found["network"] + ("" if record.configuration.get("trained", True) else " (untrained)"), contender]
            line += [f"{photographs['psnr']:.1f}", str(photographs["p999_codes"]), str(photographs["max_codes"])]
            line += [str(hard["max_codes"]) if hard else "-"]
            broken = [entry for entry in found["broken"] if f", {contender}, " in entry]
            lines.append([*line, "BROKEN" if broken else "kept"])
    head = ["network", "artifact", "PSNR dB", "p99.9 codes", "max codes", "max codes, hard pictures", "limits"]
    yield markdown(head, lines)
    for name, record in records.items():
        shares = {
            contender: {
                int(code): count / kinds["photograph"]["samples"] for code, count in kinds["photograph"]["histogram"].items()
            }
            for contender, kinds in record.results["pooled"].items()
        }
        plots[name] = charts.histogram(
            f"{record.results['network']}: share of samples per error", "error in codes of 8 bits", shares
        )
        yield f"![Errors of {record.results['network']}](plots/{name}.svg)\n"
        yield from (f"Broken: {line}.\n" for line in record.results["broken"])
        yield origin(record)


def _machines(records: Sequence[Record]) -> Iterable[str]:
    """Each machine once, however many records are of it."""
    if not records:
        return
    yield "## Machines\n"
    for machine in dict.fromkeys(_machine(record.environment) for record in records):
        yield f"- {machine}"


def _machine(found: Environment) -> str:
    memory = "" if found.memory_gb is None else f", {found.memory_gb:g} GB"
    features = f" ({', '.join(found.cpu_features)})" if found.cpu_features else ""
    gpu = "; {name}, driver {driver}, SM {sm}, at most {sm_clock_max}"
    gpus = "".join(gpu.format_map(each) for each in found.gpus)
    packages = ", ".join(f"{name} {version}" for name, version in sorted(found.packages.items()))
    return f"{found.cores} cores of {found.cpu}{features}{memory}{gpus}; {found.system}, Python {found.python}; {packages}"


def origin(record: Record) -> str:
    """The line under a table: command, day and, of times, whether the machine was busy."""
    machine = record.environment
    words = f"`{record.command}`, {record.created[:10]}"
    if record.kind in ("latency", "gpu"):
        words += f", load {'unknown' if machine.load is None else f'{machine.load:g} on {machine.cores} cores'}"
        words += ": the machine was busy, read times as upper bounds" if machine.busy else ""
    return f"<sub>{words}</sub>\n"
