"""How many machines a load needs: arithmetic from the records of latency, and estimates for GPUs that are marked as such."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.harness.record import Record

#: Pictures of a day, and frames of a month of 30 days.
DAY, MONTH = 1_000_000, 1_000_000_000
_SECONDS = 24 * 3600
#: Height and width of the pictures that the tables are about.
_PICTURE = (400, 600)
#: A film of 1080p against such a picture, in pixels.
_FULL_HD = 1080 * 1920 / (400 * 600)


@dataclass(frozen=True)
class Class:
    """A GPU as its maker describes it: dense FP16 matrix products and memory."""

    name: str
    sm: str
    tflops: float
    gbps: float


#: Published peaks; none of them was seen here.
CLASSES = (
    Class("T4", "7.5", 65.0, 320.0),
    Class("L4", "8.9", 125.0, 300.0),
    Class("A100, 80 GB", "8.0", 312.0, 2039.0),
    Class("H100 SXM", "9.0", 989.0, 3350.0),
)
#: An estimate is this many times what the peaks allow: networks of few channels and large maps reach no peak.
SLACK = 4.0


def _rows(records: Mapping[str, Record], device: str) -> Iterator[tuple[str, Record, Mapping[str, Any]]]:
    """The Enhancer's fastest row of every network at the picture's size, on each machine's device of a kind."""
    best: dict[tuple[str, str], tuple[Record, Mapping[str, Any]]] = {}
    for found in records.values():
        for table in found.results if found.kind == "latency" else ():
            if (table["height"], table["width"], table["batch"]) != (*_PICTURE, 1):
                continue
            for row in table["rows"]:
                if row["kind"] != "retinexrt" or not row["device"].startswith(device):
                    continue
                key = (row["network"], _device(found, row))
                if key not in best or row["total"]["p50"] < best[key][1]["total"]["p50"]:
                    best[key] = (found, row)
    for (network, _), (found, row) in sorted(best.items(), key=lambda item: item[0]):
        yield network, found, row


def _device(found: Record, row: Mapping[str, Any]) -> str:
    """A GPU's name, or "cpu"."""
    on_gpu = row["device"].startswith("cuda") and found.environment.gpus
    return found.environment.gpus[0].name if on_gpu else row["device"]


def figures(records: Mapping[str, Record]) -> str:
    """Machines for a million pictures a day and for a billion frames a month, from measured times."""
    lines = [
        f"| network, 400x600 | ms, measured | pictures/s | a day | machines for {DAY:,} pictures a day "
        f"| machines for {MONTH:,} frames a month | the same at 1080p, estimate |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    machines: dict[str, None] = {}
    for network, found, row in _rows(records, "cpu"):
        milliseconds = row["total"]["p50"]
        rate = 1e3 / milliseconds
        month = MONTH / (30 * _SECONDS)
        cells = [f"`{network}`", f"{milliseconds:.0f}", f"{rate:.2f}", f"{rate * _SECONDS:,.0f}"]
        cells += [_machines(DAY / _SECONDS / rate), _machines(month / rate), _machines(month / rate * _FULL_HD)]
        lines.append(f"| {' | '.join(cells)} |")
        machines[f"{found.environment.cores} cores of {found.environment.cpu}"] = None
    lines += [
        "",
        f"A machine is {' or '.join(machines)}, through `Enhancer`, working all day and on nothing else. The last column",
    ]
    lines[-1] += f" takes {_FULL_HD:.2f} times the time for {_FULL_HD:.2f} times the pixels."
    return "\n".join(lines)


def _machines(count: float) -> str:
    return f"{math.ceil(count):,}"


def classes(records: Mapping[str, Record]) -> str:
    """What a GPU of each class would do: measured where there is a record, else an estimate from its published peaks."""
    measured = list(_rows(records, "cuda"))
    work = {network: row for network, _, row in _rows(records, "cpu")}
    lines = [
        f"| `pdn`, 400x600 | ms | pictures/s | GPUs for {DAY:,} pictures a day | GPUs for {MONTH:,} frames a month |",
        "|---|---:|---:|---:|---:|",
    ]
    for network, found, row in measured:
        if network == "pdn":
            lines.append(_class_row(f"{_device(found, row)}, measured", row["total"]["p50"]))
    if "pdn" in work:
        lines += [_class_row(f"{one.name} ({one.sm}), estimate", estimate(one, work["pdn"])) for one in CLASSES]
    seen = "" if measured else "No GPU has been measured: every row is an estimate. "
    lines += [
        "",
        f"{seen}An estimate is {SLACK:g} times the longer of two times: the network's multiply-adds at the published peak of "
        "dense FP16 matrix products, and the inputs and outputs of its convolutions in FP16 at the published memory bandwidth. "
        "Transfers, decoding and encoding come on top; `python benchmarks/latency.py --engine pdn_fp16.plan` on the GPU in "
        "question replaces the estimate.",
    ]
    return "\n".join(lines)


def estimate(gpu: Class, row: Mapping[str, Any]) -> float:
    """Milliseconds for one picture; the row's bytes are those of FP32."""
    compute = 2 * row["gmac"] / gpu.tflops
    memory = row["megabytes"] / 2 / gpu.gbps
    return SLACK * max(compute, memory)


def _class_row(name: str, milliseconds: float) -> str:
    rate = 1e3 / milliseconds
    month = MONTH / (30 * _SECONDS)
    return f"| {name} | {milliseconds:.1f} | {rate:.0f} | {_machines(DAY / _SECONDS / rate)} | {_machines(month / rate)} |"
