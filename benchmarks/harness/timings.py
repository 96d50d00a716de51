"""Times of the Enhancer, out of records of `latency` and of `make gpu`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.harness.record import Record

#: Height, width and number of the pictures that times are compared at.
PICTURE = (400, 600, 1)
Row = Mapping[str, Any]


def rows(records: Mapping[str, Record]) -> Iterator[tuple[Record, tuple[int, int, int], Row]]:
    """Every row that was timed, with its record and the height, width and number of its pictures."""
    for found in records.values():
        if found.kind == "latency":
            for table in found.results:
                for row in table["rows"]:
                    yield found, (table["height"], table["width"], table["batch"]), row
        elif found.kind == "gpu":
            height, width = (int(side) for side in found.configuration["size"].split("x"))
            for outcome in found.results:
                if row := (outcome["result"] or {}).get("row"):
                    yield found, (height, width, 1), row


def fastest(records: Mapping[str, Record], device: str, asked: bool) -> dict[tuple[str, str, str], tuple[Record, Row]]:
    """The Enhancer's fastest row on "cpu" or "cuda" by network, precision and the device's name.

    `asked`: also those in a precision that was asked for, and is not the artifact's own.
    """
    best: dict[tuple[str, str, str], tuple[Record, Row]] = {}
    for found, picture, row in rows(records):
        ours = row["kind"] == "retinexrt" or (asked and row["kind"].startswith("retinexrt-"))
        if picture != PICTURE or not ours or not row["device"].startswith(device):
            continue
        key = (row["network"], row["precision"], _device(found, row))
        if key not in best or row["total"]["p50"] < best[key][1]["total"]["p50"]:
            best[key] = (found, row)
    return best


def least(records: Mapping[str, Record], device: str) -> dict[tuple[str, str], float]:
    """The Enhancer's least median in milliseconds by network and precision, whatever was asked for; "": on any device."""
    found: dict[tuple[str, str], float] = {}
    for (network, precision, _), (_, row) in fastest(records, device, asked=True).items():
        found[network, precision] = min(row["total"]["p50"], found.get((network, precision), math.inf))
    return found


def _device(found: Record, row: Row) -> str:
    """A GPU's name, or "cpu"."""
    on_gpu = row["device"].startswith("cuda") and found.environment.gpus
    return found.environment.gpus[0].name if on_gpu else row["device"]
