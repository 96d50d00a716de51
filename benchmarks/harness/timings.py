"""Times of the Enhancer, out of records of `latency` and of `make gpu`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.harness.record import Record

#: Height, width and number of the pictures that times are compared at.
PICTURE = (400, 600, 1)
Row = Mapping[str, Any]


def rows(records: Mapping[str, Record]) -> Iterator[tuple[tuple[int, int, int], Row]]:
    """Every row that was timed, with the height, width and number of its pictures."""
    for found in records.values():
        if found.kind == "latency":
            for table in found.results:
                for row in table["rows"]:
                    yield (table["height"], table["width"], table["batch"]), row
        elif found.kind == "gpu":
            height, width = (int(side) for side in found.configuration["size"].split("x"))
            for outcome in found.results:
                if row := (outcome["result"] or {}).get("row"):
                    yield (height, width, 1), row


def fastest(records: Mapping[str, Record], device: str) -> dict[tuple[str, str], Row]:
    """The Enhancer's fastest row on "cpu" or "cuda" by network and precision, asked for or its own; "": on any device."""
    best: dict[tuple[str, str], Row] = {}
    for picture, row in rows(records):
        if picture != PICTURE or not row["kind"].startswith("retinexrt") or not row["device"].startswith(device):
            continue
        key = (row["network"], row["precision"])
        if key not in best or row["total"]["p50"] < best[key]["total"]["p50"]:
            best[key] = row
    return best
