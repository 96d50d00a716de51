"""`python benchmarks/report.py`: the records become benchmarks/RESULTS.md and its plots, and the figures between the marks
of every other page. Nothing is measured here.

Every figure there is a figure of a record; the pages are the same, to the byte, for the same records.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a script: its folder is on the path, the project's is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.harness import claims, marks
from benchmarks.harness.record import RESULTS, Environment, Record, read_all
from benchmarks.harness.timing import DRIFT
from benchmarks.pages import charts
from benchmarks.scaling import slope
from benchmarks.studies import brightness, cpp_calls, gate, overhead, ray_cost, zeros
from runtime.errors import RetinexError
from runtime.files import write_atomically
from train.networks.registry import NETWORKS

_HEAD = """# Results

This page is made by `python benchmarks/report.py` from the records in `results/`, and holds no figure that is not in one
of them. `make bench` measures again what the machine at hand can, and makes the page anew; the command of each record is
the line under its table.
"""

_NO_GPU = "No GPU was at hand when these records were made, so no figure for one is shown; `make gpu` measures them."

_METHOD = """How the times are taken: uint8 picture in host memory to uint8 picture in host memory. Each contender is warmed
up until two windows of runs agree within 5 %; then all take turns, in an order that rotates from round to round, and each
turn begins with a run that is not counted. *Time / first* is the median ratio within rounds, with the 95 % interval of a
bootstrap over rounds. *Memory* is the peak of a process of its own. *Floor* is the graph's arithmetic over the best matrix
product and copy that this machine was seen to do, whichever takes longer; *time / floor* says how far a contender is from
it. The bytes are those of every convolution's input and output, as if each went to memory and back.
"""

#: Sections are shown in this order; the columns of quality tables too, as far as they were measured.
_MEASURES = ("psnr", "ssim", "lpips", "ciede2000", "angular_error")


def generate(records: Mapping[str, Record]) -> dict[str, str]:
    """The page and its plots, by path under benchmarks/. Records of other kinds have pages of their own."""
    plots: dict[str, str] = {}
    by_kind = _by_kind(records)
    sections = [
        _HEAD,
        *_latency(by_kind["latency"], plots),
        *_quality(by_kind["quality"], by_kind["latency"], plots),
        *_parity(by_kind["parity"], plots),
        *_scaling(by_kind["scaling"], plots),
        *_machines([record for of_kind in by_kind.values() for record in of_kind.values()]),
    ]
    return {"RESULTS.md": "\n".join(sections).rstrip() + "\n", **{f"plots/{name}.svg": text for name, text in plots.items()}}


def _by_kind(records: Mapping[str, Record]) -> dict[str, dict[str, Record]]:
    by_kind: dict[str, dict[str, Record]] = {kind: {} for kind in ("latency", "quality", "parity", "scaling")}
    for name in sorted(records):
        if records[name].kind in by_kind:
            by_kind[records[name].kind][name] = records[name]
    return by_kind


def _latency(records: Mapping[str, Record], plots: dict[str, str]) -> Iterable[str]:
    if not records:
        return
    yield "## Latency\n"
    yield _METHOD
    tables = [table for record in records.values() for table in record.results]
    if not any(row["device"].startswith("cuda") for table in tables for row in table["rows"]):
        yield f"{_NO_GPU}\n"
    for name, record in records.items():
        for table in record.results:
            shape = f"{table['height']}x{table['width']}"
            pictures = "one picture" if table["batch"] == 1 else f"{table['batch']} pictures at once"
            more = " and what is faster, but not the same" if name == FAST else ""
            yield f"### {record.configuration['network']}{more}, {shape}, {pictures}\n"
            plot = f"{name}-{shape}"
            plots[plot] = _latency_bars(record, table)
            yield f"![Latency of {record.configuration['network']} at {shape}](plots/{plot}.svg)\n"
            yield _latency_table(table)
            yield from _remarks(record, table)
        yield _origin(record)
    yield "### What papers claim\n"
    rows = [[c.method, f"{c.milliseconds:g}", c.hardware, c.resolution, c.source] for c in claims.claims()]
    yield _table(["method", "ms", "hardware", "resolution", "source"], rows)
    notes = dict.fromkeys(f"{claim.method}: {claim.note}" for claim in claims.claims() if claim.note)
    yield "".join(f"{line[0].upper()}{line[1:]}.\n" for line in (*notes, claims.CAVEAT))


def _latency_table(table: Mapping[str, Any]) -> str:
    rows = table["rows"]
    head = ["", "precision", "p50 ms", "p90", "p99", "pictures/s", "memory MB", "time / first", "floor ms", "time / floor"]
    on_gpu = any(row["computing"] for row in rows)
    if on_gpu:
        head += ["to GPU", "on GPU", "back", "GPU MB"]
    lines: list[list[str]] = []
    for row in rows:
        total, ratio = row["total"], row["ratio"]
        least = _floor(row)
        line = [row["label"], row["precision"], *(f"{total[key]:.2f}" for key in ("p50", "p90", "p99"))]
        line += [f"{row['throughput']:.1f}", _or_dash(row["host_mb"], ".0f")]
        line.append("1" if ratio is None else f"{ratio['value']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]")
        line += [_or_dash(least, ".2f"), _or_dash(total["p50"] / least if least else None, ".2f")]
        if on_gpu:
            line += [_or_dash(row[part]["p50"] if row[part] else None, ".3f") for part in ("to_device", "computing", "to_host")]
            line.append(_or_dash(row["gpu_mb"], ".0f"))
        lines.append(line)
    return _table(head, lines)


def _latency_bars(record: Record, table: Mapping[str, Any]) -> str:
    found = [charts.Bar(row["label"], row["total"]["p50"]) for row in table["rows"]]
    if (table["height"], table["width"], table["batch"]) == (400, 600, 1):
        found += [charts.Bar(f"{c.method}, claimed", c.milliseconds, claimed=True) for c in claims.claims()]
    device = "on a GPU" if any(row["device"].startswith("cuda") for row in table["rows"]) else "on a CPU"
    title = (
        f"{record.configuration['network']} {device}, {table['height']}x{table['width']}: median time; pale: claimed, on GPUs"
    )
    return charts.bars(title, "ms", found)


def _remarks(record: Record, table: Mapping[str, Any]) -> Iterable[str]:
    """What a reader must know about a table."""
    first = table["rows"][0]
    others = [row for row in table["rows"][1:] if row["kind"] != "retinexrt" and row["precision"] == first["precision"]]
    if others:
        best = min(others, key=lambda row: row["ratio"]["value"])
        times = best["ratio"]["value"]
        what = f"The best alternative in {first['precision']}, {best['label']}"
        yield f"{what}, takes {times:.2f} times the time of {first['label']}.\n"
    for row in table["rows"]:
        if not row["warm_up"]["settled"] or abs(row["drift"]) > DRIFT:
            yield f"{row['label']} never settled (drift {row['drift']:+.0%}): read its figures as upper bounds.\n"
    for gpu in table.get("gpus", []):
        yield f"Right after the last sample {gpu['name']} ran at {gpu['sm_clock']} (at most {gpu['sm_clock_max']}).\n"
    if not record.configuration.get("trained", True):
        yield "The network was untrained; that changes its pictures, not its times.\n"


def _floor(row: Mapping[str, Any]) -> float | None:
    if row["floor_compute"] is None or row["floor_memory"] is None:
        return None
    return max(row["floor_compute"], row["floor_memory"])


def _quality(records: Mapping[str, Record], latency: Mapping[str, Record], plots: dict[str, str]) -> Iterable[str]:
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
    yield _table(["", "precision", "set, pictures", *measures], lines)
    points = list(_quality_against_latency(records, latency))
    if len(points) > 1:
        plots["quality"] = charts.plot(
            "Quality against latency at 400x600", "median ms, picture to picture", "PSNR in dB",
            [charts.Series(label, [ms], [psnr]) for label, ms, psnr in points], line=False, log=(True, False),
        )  # fmt: skip
        yield "![PSNR against latency](plots/quality.svg)\n"
    for record in records.values():
        yield _origin(record)


def _quality_against_latency(
    quality: Mapping[str, Record], latency: Mapping[str, Record]
) -> Iterable[tuple[str, float, float]]:
    """(label, ms, dB) of every artifact of which both were measured, at 400x600."""
    times: dict[tuple[str, str], tuple[float, str]] = {}
    for record in latency.values():
        for table in record.results:
            if (table["height"], table["width"], table["batch"]) == (400, 600, 1):
                for row in table["rows"]:
                    if row["kind"].startswith("retinexrt"):
                        times.setdefault((row["network"], row["precision"]), (row["total"]["p50"], row["label"]))
    for record in quality.values():
        key = (record.configuration["network"], record.configuration.get("precision") or "")
        if key in times and record.configuration.get("trained", True) and "psnr" in record.results["summary"]:
            yield f"{key[0]} {key[1]}", times[key][0], record.results["summary"]["psnr"]["mean"]


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
        for subject, kinds in found["pooled"].items():
            photographs, hard = kinds.get("photograph"), kinds.get("hard")
            if photographs is None:
                continue
            line = [found["network"] + ("" if record.configuration.get("trained", True) else " (untrained)"), subject]
            line += [f"{photographs['psnr']:.1f}", str(photographs["p999_codes"]), str(photographs["max_codes"])]
            line += [str(hard["max_codes"]) if hard else "-"]
            broken = [entry for entry in found["broken"] if f", {subject}, " in entry]
            lines.append([*line, "BROKEN" if broken else "kept"])
    head = ["network", "artifact", "PSNR dB", "p99.9 codes", "max codes", "max codes, hard pictures", "limits"]
    yield _table(head, lines)
    for name, record in records.items():
        shares = {
            subject: {
                int(code): count / kinds["photograph"]["samples"] for code, count in kinds["photograph"]["histogram"].items()
            }
            for subject, kinds in record.results["pooled"].items()
        }
        plots[name] = charts.histogram(
            f"{record.results['network']}: share of samples per error", "error in codes of 8 bits", shares
        )
        yield f"![Errors of {record.results['network']}](plots/{name}.svg)\n"
        yield from (f"Broken: {line}.\n" for line in record.results["broken"])
        yield _origin(record)


def _scaling(records: Mapping[str, Record], plots: dict[str, str]) -> Iterable[str]:
    if not records:
        return
    yield "## Cost as work grows\n"
    for name, record in records.items():
        network = record.configuration["network"]
        for axis, points in record.results.items():
            if len(points) < 2:
                continue
            work, words = _work(axis, points)
            cost = [point["milliseconds"] for point in points]
            memory = [point["host_mb"] for point in points]
            series = [charts.Series("time, ms", work, cost)]
            if all(memory):
                series.append(charts.Series("memory, MB", work, memory))
            plot = f"{name}-{axis}"
            plots[plot] = charts.plot(f"{network}: cost against {axis}", words, "ms, MB", series, line=True, log=(True, True))
            yield f"![Cost of {network} against {axis}](plots/{plot}.svg)\n"
            yield _scaling_table(points)
            yield _slope(axis, slope(work, cost))
        yield _origin(record)


def _work(axis: str, points: Sequence[Mapping[str, Any]]) -> tuple[list[float], str]:
    if axis == "pixels":
        return [point["height"] * point["width"] / 1e6 for point in points], "megapixels"
    if axis == "batch":
        return [float(point["batch"]) for point in points], "pictures at once"
    return [float(point["threads"]) for point in points], "threads"


def _slope(axis: str, exponent: float) -> str:
    what = f"Time grows as {axis} to the power of {exponent:.2f}"
    why = {
        "pixels": "1 is proportional: every pixel costs the same. Pictures beyond two megapixels are cut into tiles on a CPU, "
        "whose overlap is work done twice and whose size bounds the memory.",
        "batch": "1 is proportional: a batch saves nothing but the call, since one picture already occupies every core.",
        "threads": "-1 would be perfect: half the time on twice the threads.",
    }[axis]
    return f"{what}. {why}\n"


def _scaling_table(points: Sequence[Mapping[str, Any]]) -> str:
    lines: list[list[str]] = []
    for point in points:
        megapixels = point["height"] * point["width"] * point["batch"] / 1e6
        shape = f"{point['batch']} x {point['height']}x{point['width']}"
        threads = "default" if point["threads"] is None else str(point["threads"])
        each = f"{point['milliseconds'] / megapixels:.0f}"
        lines.append([shape, threads, f"{point['milliseconds']:.1f}", each, _or_dash(point["host_mb"], ".0f")])
    return _table(["pictures", "threads", "ms", "ms per megapixel", "memory MB"], lines)


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
    gpus = "".join(f"; {gpu.name}, driver {gpu.driver}, SM {gpu.sm}, at most {gpu.sm_clock_max}" for gpu in found.gpus)
    packages = ", ".join(f"{name} {version}" for name, version in sorted(found.packages.items()))
    return f"{found.cores} cores of {found.cpu}{features}{memory}{gpus}; {found.system}, Python {found.python}; {packages}"


def _origin(record: Record) -> str:
    machine = record.environment
    words = f"`{record.command}`, {record.created[:10]}"
    if record.kind in ("latency", "scaling"):
        words += f", load {'unknown' if machine.load is None else f'{machine.load:g} on {machine.cores} cores'}"
        words += ": the machine was busy, read times as upper bounds" if machine.busy else ""
    return f"<sub>{words}</sub>\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, [" --- " if index == 0 else " ---: " for index in range(len(head))], *rows]
    return "".join(f"|{'|'.join(cell.strip().replace('|', '/') for cell in line)}|\n" for line in lines)


def readme_figures(records: Mapping[str, Record]) -> str:
    """README.md's table: quality on unseen scenes, and the fastest CPU time measured at 400x600, of each trained network.

    In FP32, and in bfloat16 where that was measured too.
    """
    by_kind = _by_kind(records)
    times: dict[tuple[str, str], float] = {}
    for record in by_kind["latency"].values():
        for table in record.results:
            for row in table["rows"]:
                taken = (table["height"], table["width"], table["batch"], row["kind"].partition("-")[0], row["device"])
                if taken == (400, 600, 1, "retinexrt", "cpu"):
                    key = (row["network"], row["precision"])
                    times[key] = min(row["total"]["p50"], times.get(key, math.inf))
    lines: list[list[str]] = []
    for record in by_kind["quality"].values():
        settings, summary = record.configuration, record.results["summary"]
        name, precision = settings["network"], settings.get("precision")
        if not settings.get("trained", True) or settings.get("split") != "val" or precision not in ("fp32", "bf16"):
            continue
        if name not in NETWORKS:  # a trial
            continue
        key = (name, precision)
        figures = [format(summary[key]["mean"], form) if key in summary else "-" for key, form in _README.items()]
        lines.append([f"`{name}`" + (", bf16" if precision == "bf16" else ""), *figures, _or_dash(times.get(key), ".0f")])
    if not lines:
        return ""
    lines.sort(key=lambda line: -float(line[1]))
    machines = dict.fromkeys(_short_machine(record.environment) for record in by_kind["latency"].values())
    measured_on = f"; time per picture of 400x600 on {' and '.join(machines)}" if machines else ""
    return (
        _table(["network", "PSNR, dB", "SSIM", "LPIPS", "CPU, ms"], lines)
        + f"\nMeans over LOL's validation scenes, none of which was trained on, through the exported file{measured_on}. "
        + "More, and how it was measured: [benchmarks/RESULTS.md](benchmarks/RESULTS.md)."
    )


def fast_figures(records: Mapping[str, Record]) -> str:
    """NOTES.md's table: everything faster than the exact network, its time against the best FP32 of the same run, its loss."""
    by_kind = _by_kind(records)
    record = by_kind["latency"].get(FAST)
    if record is None:
        return ""
    (table,) = record.results
    network = record.configuration["network"]
    scores = {
        (each.configuration["network"], each.configuration.get("precision")): each.results["summary"]
        for each in by_kind["quality"].values()
        if each.configuration.get("split") == "val"
    }
    exact = [row for row in table["rows"] if (row["network"], row["precision"]) == (network, "fp32")]
    best = min(exact, key=lambda row: row["total"]["p50"])
    base = scores.get((network, "fp32"))
    lines: list[list[str]] = []
    for row in sorted(table["rows"], key=lambda row: -row["total"]["p50"]):
        line = [
            row["label"],
            row["precision"],
            f"{row['total']['p50']:.1f}",
            f"{best['total']['p50'] / row['total']['p50']:.2f}",
        ]
        found = scores.get((row["network"], row["precision"]))
        for key, form in (("psnr", "+.2f"), ("ssim", "+.3f")):
            known = base is not None and found is not None and key in base and key in found
            line.append(format(found[key]["mean"] - base[key]["mean"], form) if known and found and base else "-")
        lines.append(line)
    return (
        _table(["", "precision", "p50 ms", "times as fast", f"PSNR less {network}'s", f"SSIM less {network}'s"], lines)
        + f"\n*Times as fast* as {best['label']}, the best FP32 of the same run, at {table['height']}x{table['width']}. "
        + f"Measured by `{record.command}` on {_short_machine(record.environment)}; scores on LOL's validation scenes."
    )


#: The record of everything that is faster than the exact network.
FAST = "latency-fast"

#: Measures in README.md, and how they are printed.
_README = {"psnr": ".2f", "ssim": ".3f", "lpips": ".3f"}


def _short_machine(found: Environment) -> str:
    busy = ", busy with other work" if found.busy else ""
    return f"{found.cores} cores of {found.cpu}{busy}"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def write(folder: Path, records: Mapping[str, Record]) -> list[Path]:
    """Write the page and its plots under `folder`, and remove plots that no record has any more."""
    files = generate(records)
    for path in (folder / "plots").glob("*.svg"):
        if f"plots/{path.name}" not in files:
            path.unlink()
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
    return [folder / name for name in files]


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="report.py", description="Write benchmarks/RESULTS.md, and every figure of a record in other pages, anew."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; the exit code is 1 where a page is out of date")
    arguments = parser.parse_args(argv)
    folder = RESULTS.parent
    try:
        records = read_all()
        if arguments.check:
            stale = [*stale_pages(folder, records), *stale_figures(records)]
            print(
                "\n".join(f"{name} is out of date: make it with: python benchmarks/report.py" for name in stale) or "up to date"
            )
            return 1 if stale else 0
        for path in write(folder, records):
            print(path.relative_to(folder.parent))
        for page, name, text in figures(records):
            marks.insert(page, name, text)
    except RetinexError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def figures(records: Mapping[str, Record]) -> list[tuple[Path, str, str]]:
    """Figures that stand in other pages than RESULTS.md: page, name of the marks, text."""
    found = [
        (RESULTS.parents[1] / "README.md", "networks", readme_figures(records)),
        (RESULTS.parent / "NOTES.md", "fast", fast_figures(records)),
    ]
    found += [(ray_cost.PAGE, name, text) for name, text in ray_cost.pages(records).items()]
    for module in (brightness, zeros, cpp_calls, gate, overhead):
        if module.NAME in records:
            found.append((module.PAGE, module.NAME, module.figures(records[module.NAME])))
    return found


def stale_figures(records: Mapping[str, Record]) -> list[str]:
    """The pages whose figures are not what the records say."""
    return [f"{page.name}, {name}," for page, name, text in figures(records) if marks.inserted(page, name) != text]


def stale_pages(folder: Path, records: Mapping[str, Record]) -> list[str]:
    """The files under `folder` that are not what the records say."""
    files = generate(records)
    found = {f"plots/{path.name}" for path in (folder / "plots").glob("*.svg")}
    differing = [name for name, text in files.items() if not (folder / name).is_file() or (folder / name).read_text() != text]
    return sorted({*differing, *(found - set(files))})


if __name__ == "__main__":
    sys.exit(main())
