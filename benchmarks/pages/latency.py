"""The tables of `latency`, for RESULTS.md and for a terminal; tables and rows are those of its records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.harness.tables import or_dash
from benchmarks.harness.timing import DRIFT

Row = Mapping[str, Any]

HEAD = [
    *("", "precision", "p50 ms", "p90", "p99", "pictures/s", "memory MB", "time / first"),
    *("estimate ms", "time / estimate"),
]


def cells(row: Row) -> list[str]:
    """The cells under HEAD."""
    total, ratio, guess = row["total"], row["ratio"], estimate(row)
    line = [row["label"], row["precision"], *(f"{total[key]:.2f}" for key in ("p50", "p90", "p99"))]
    line += [f"{row['throughput']:.1f}", or_dash(row["host_mb"], ".0f")]
    line.append("1" if ratio is None else f"{ratio['value']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]")
    return [*line, or_dash(guess, ".2f"), or_dash(total["p50"] / guess if guess else None, ".2f")]


def estimate(row: Row) -> float | None:
    """The larger of the two estimates; None where one is not known."""
    both = (row["estimate_compute"], row["estimate_memory"])
    return None if None in both else max(both)


def on_gpu(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]] | None:
    """Head and cells of what ran on a GPU: medians of its parts, and the throughput over streams."""
    measured = [row for row in rows if row.get("gpu")]
    if not measured:
        return None
    counts = sorted({each["streams"] for row in measured for each in row["gpu"]["streams"]})
    head = ["on the GPU, ms", "in", "computing", "back", "latency", "enqueue", "trtexec"]
    head += [f"pictures/s, {count} stream{'s' if count > 1 else ''}" for count in counts] + ["W", "J/picture", "GPU MB"]
    return head, [_gpu_cells(row, counts) for row in measured]


def _gpu_cells(row: Row, counts: Sequence[int]) -> list[str]:
    gpu = row["gpu"]
    by_count = {each["streams"]: each for each in gpu["streams"]}
    theirs = (gpu["trtexec"] or {}).get("computing")
    parts = (row["to_device"], row["computing"], row["to_host"], gpu["latency"], gpu["enqueue"], theirs)
    line = [row["label"], *(or_dash(part and part["p50"], ".3f") for part in parts)]
    line += [or_dash(by_count.get(count, {}).get("pictures"), ".0f") for count in counts]
    one = by_count.get(1, {})
    return [*line, or_dash(one.get("watts"), ".0f"), or_dash(one.get("joules"), ".3f"), or_dash(row["gpu_mb"], ".0f")]


def remarks(table: Mapping[str, Any]) -> Iterator[str]:
    """Remarks under a table: the best alternative, and reasons to doubt figures."""
    rows: list[Row] = table["rows"]
    others = [row for row in rows[1:] if row["kind"] != "retinexrt" and row["precision"] == rows[0]["precision"]]
    if others:
        first, best = rows[0], min(others, key=lambda row: row["ratio"]["value"])
        what = f"The best alternative in {first['precision']}, {best['label']}"
        yield f"{what}, takes {best['ratio']['value']:.2f} times the time of {first['label']}."
    for row in rows:
        label, warm, gpu = row["label"], row["warm_up"], row.get("gpu")
        if not warm["settled"] or abs(row["drift"]) > DRIFT:
            why = f"drift {row['drift']:+.0%}" if warm["settled"] else f"not within {warm['seconds']:.0f} s of warm-up"
            yield f"{label} never settled ({why}): read its figures as upper bounds."
        if not gpu:
            continue
        if row["computing"] and gpu["enqueue"]["p50"] > 0.8 * row["computing"]["p50"]:  # the threshold of `trtexec`
            yield f"{label}: the host enqueues hardly faster than the GPU computes, and may be the limit."
        if held := {words for each in gpu["streams"] for words in each["held_back"]}:
            yield f"{label}: clocks were held back by {', '.join(sorted(held))}."
        if gpu["trtexec"] and gpu["trtexec"]["problem"]:
            yield f"trtexec did not measure {label}: {gpu['trtexec']['problem']}."
    if clock := table.get("sm_clock"):
        yield f"SM clock {clock['least']:.0f} to {clock['most']:.0f} MHz."
    for card in table.get("gpus", []):
        yield f"Right after the last sample {card['name']} ran at {card['sm_clock']} (at most {card['sm_clock_max']})."
