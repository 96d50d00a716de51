"""The table of README.md, from the records."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.harness import timings
from benchmarks.harness.record import Record, by_kind
from benchmarks.harness.tables import markdown, or_dash
from runtime import backends
from train.networks.registry import NETWORKS

#: Measures in README.md, and how they are printed.
_README = {"psnr": ".2f", "ssim": ".3f", "lpips": ".3f"}


def readme_figures(records: Mapping[str, Record]) -> str:
    """README.md's table: quality on unseen scenes, and the fastest CPU time measured at 400x600, of each trained network.

    In FP32, and in bfloat16 where that was measured too.
    """
    of = by_kind(records)
    fastest = timings.fastest(records, "cpu")
    lines = [line for found in of["quality"].values() if (line := _readme_line(found, fastest))]
    if not lines:
        return ""
    lines.sort(key=lambda line: -float(line[1]))
    machines = dict.fromkeys(record.environment.short for record in of["latency"].values())
    measured_on = f"; time per picture of 400x600{_installed(fastest)} on {' and '.join(machines)}" if machines else ""
    return (
        markdown(["network", "PSNR, dB", "SSIM", "LPIPS", "CPU, ms"], lines)
        + f"\nMeans over LOL's validation scenes, none of which was trained on, through the exported file{measured_on}. "
        + "More, and how it was measured: [benchmarks/RESULTS.md](benchmarks/RESULTS.md)."
    )


def _installed(fastest: Mapping[tuple[str, str], timings.Row]) -> str:
    """The backends that the times are of, and how each is installed."""
    labels = {row["label"] for row in fastest.values()}
    used = [each for each in backends.BACKENDS if any(f".onnx, {each.name}" in label for label in labels)]
    return " and".join(f" with {each.title}, which `{each.install}` brings," for each in used)


def _readme_line(found: Record, fastest: Mapping[tuple[str, str], timings.Row]) -> list[str] | None:
    """A trained network of the registry in FP32 or bfloat16; None for other records."""
    settings, summary = found.configuration, found.results["summary"]
    name, precision = settings["network"], settings.get("precision")
    if not settings.get("trained", True) or settings.get("split") != "val" or precision not in ("fp32", "bf16"):
        return None
    if name not in NETWORKS:  # a trial
        return None
    scores = [format(summary[key]["mean"], form) if key in summary else "-" for key, form in _README.items()]
    label = f"`{name}`" + (", bf16" if precision == "bf16" else "")
    row = fastest.get((name, precision))
    return [label, *scores, or_dash(row["total"]["p50"] if row else None, ".0f")]
