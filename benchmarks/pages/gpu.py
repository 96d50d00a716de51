"""The section of RESULTS.md on GPUs, from the records of `make gpu`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.harness.record import Record
from benchmarks.harness.tables import markdown, or_dash

_HEAD = [
    *("network", "contender", "precision", "on GPU, p50 ms", "enqueue", "p50 ms", "p90"),
    *("pictures/s, 1 stream", "4 streams", "J/picture", "PSNR dB", "p99.9 codes", "max codes"),
]
_METHOD = """*On GPU* is the network alone, between two CUDA events, with everything enqueued before the first of them;
*enqueue* is the host's time for that. The other times are from a picture in page-locked memory of the host to a picture in
such memory, nothing else going on. The pictures per second include both copies, with one picture under way on every stream
and one behind it. PSNR and codes are differences from the FP32 network on the CPU, over dark photographs.
"""


def section(records: Mapping[str, Record]) -> Iterable[str]:
    """One table per GPU, and what did not run there."""
    if not records:
        return
    yield "## On a GPU\n"
    yield _METHOD
    for found in records.values():
        yield f"### {found.configuration['gpu']}, {found.configuration['size']}\n"
        if timed := [outcome for outcome in found.results if (outcome["result"] or {}).get("row")]:
            yield markdown(_HEAD, [_cells(outcome) for outcome in timed], left=3)
        for outcome in found.results:
            if outcome["name"] == "tests" and outcome["words"]:
                yield f"GPU tests: {outcome['words'][-1]}.\n"
        failed = [outcome for outcome in found.results if outcome["status"] in ("failed", "timed out")]
        if failed:
            yield markdown(["step", "outcome", "its last line"], [_failure(outcome) for outcome in failed], left=3)
        left = sum(outcome["status"] in ("no time left", "needs another step") for outcome in found.results)
        if left:
            yield f"{left} of {len(found.results)} steps were left out: for want of time, or of a step before them.\n"


def _cells(outcome: Mapping[str, Any]) -> list[str]:
    row, parity = outcome["result"]["row"], outcome["result"]["parity"].get("photograph")
    gpu = row.get("gpu") or {}
    streams = {each["streams"]: each for each in gpu.get("streams", ())}
    one, four = streams.get(1, {}), streams.get(4, {})
    cells = [outcome["network"], row["label"], row["precision"], or_dash((row["computing"] or {}).get("p50"), ".3f")]
    cells += [or_dash(gpu.get("enqueue", {}).get("p50"), ".3f"), f"{row['total']['p50']:.3f}", f"{row['total']['p90']:.3f}"]
    cells += [or_dash(one.get("pictures"), ".0f"), or_dash(four.get("pictures"), ".0f"), or_dash(one.get("joules"), ".3f")]
    return cells + ([f"{parity['psnr']:.1f}", str(parity["p999_codes"]), str(parity["max_codes"])] if parity else ["-"] * 3)


def _failure(outcome: Mapping[str, Any]) -> list[str]:
    return [outcome["name"], outcome["status"], outcome["words"][-1] if outcome["words"] else ""]
