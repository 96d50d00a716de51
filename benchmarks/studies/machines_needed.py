"""Machines that a load needs, by arithmetic from the records of latency; for GPUs that were not measured, estimates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import timings
from benchmarks.harness.record import ROOT, Record
from benchmarks.harness.tables import markdown
from train.networks.registry import NETWORKS

#: The page that shows them, beside what a cluster costs.
PAGE = ROOT / "docs" / "cluster.md"
#: Pictures of a day, and frames of a month of 30 days.
DAY, MONTH = 1_000_000, 1_000_000_000
_SECONDS = 24 * 3600
_LOADS = (f"machines for {DAY:,} pictures a day", f"machines for {MONTH:,} frames a month")
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


def _fastest(records: Mapping[str, Record], device: str) -> list[tuple[str, str, Record, timings.Row]]:
    """Network, device, record and row: the Enhancer's fastest of every network of the registry, in no other precision."""
    best: dict[tuple[str, str], tuple[Record, timings.Row]] = {}
    for (network, _, name), (found, row) in timings.fastest(records, device, asked=False).items():
        known = best.get((network, name))
        if network in NETWORKS and (known is None or row["total"]["p50"] < known[1]["total"]["p50"]):
            best[network, name] = (found, row)
    return [(*key, *best[key]) for key in sorted(best)]


def figures(records: Mapping[str, Record]) -> str:
    """Machines for a million pictures a day and for a billion frames a month, from measured times."""
    head = ["network, 400x600", "ms, measured", "pictures/s", "a day", *_LOADS, "the same at 1080p, estimate"]
    rows: list[list[str]] = []
    machines: dict[str, None] = {}
    for network, _, found, row in _fastest(records, "cpu"):
        milliseconds = row["total"]["p50"]
        rate = 1e3 / milliseconds
        cells = [f"`{network}`", f"{milliseconds:.0f}", f"{rate:.2f}", f"{rate * _SECONDS:,.0f}", *_machines(rate)]
        rows.append([*cells, _machines(rate / _FULL_HD)[1]])
        machines[f"{found.environment.cores} cores of {found.environment.cpu}"] = None
    return (
        markdown(head, rows)
        + f"\nA machine is {' or '.join(machines)}, through `Enhancer`, working all day and on nothing else. The last column "
        + f"takes {_FULL_HD:.2f} times the time for {_FULL_HD:.2f} times the pixels."
    )


def _machines(rate: float) -> list[str]:
    """Machines of so many pictures per second: for a day's pictures, and for a month's frames."""
    return [f"{math.ceil(load / rate):,}" for load in (DAY / _SECONDS, MONTH / (30 * _SECONDS))]


def classes(records: Mapping[str, Record]) -> str:
    """Times on a GPU of each class: measured where there is a record, else an estimate from its published peaks."""
    measured = [(name, row) for network, name, _, row in _fastest(records, "cuda") if network == "pdn"]
    work = {network: row for network, _, _, row in _fastest(records, "cpu")}
    times = [(f"{name}, measured", row["total"]["p50"]) for name, row in measured]
    if "pdn" in work:
        times += [(f"{one.name} ({one.sm}), estimate", estimate(one, work["pdn"])) for one in CLASSES]
    rows = [[name, f"{ms:.1f}", f"{1e3 / ms:.0f}", *_machines(1e3 / ms)] for name, ms in times]
    seen = "" if measured else "No GPU has been measured: every row is an estimate. "
    return (
        markdown(["`pdn`, 400x600", "ms", "pictures/s", *(head.replace("machines", "GPUs") for head in _LOADS)], rows)
        + f"\n{seen}An estimate is {SLACK:g} times the longer of two times: the network's multiply-adds at the published peak "
        + "of dense FP16 matrix products, and the inputs and outputs of its convolutions in FP16 at the published memory "
        + "bandwidth. Transfers, decoding and encoding come on top; `make gpu` on the GPU in question replaces the estimate."
    )


def estimate(gpu: Class, row: Mapping[str, Any]) -> float:
    """Milliseconds for one picture; the row's bytes are those of FP32."""
    compute = 2 * row["gmac"] / gpu.tflops
    memory = row["megabytes"] / 2 / gpu.gbps
    return SLACK * max(compute, memory)
