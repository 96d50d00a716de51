"""The section of RESULTS.md on photographs: darkened, well-lit, as films and at several sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from benchmarks.harness import tables
from benchmarks.harness.record import Record

_INTRO = """Photographs that training did not see, darkened with noise, each against the photograph as it was; no output is
corrected with the truth and no gate is used. Gamma 1/2.2 and CLAHE (OpenCV, lightness, clip limit 2, 8x8 tiles) are what
people have without a network. `benchmarks/measures/photographs.py` defines every measure.
"""
_NIGHTS = "PSNR in dB, by the share of the light that is left and by noise, and of backlit pictures (strength 1.5):\n"
_SEEN = """Means over the kinds of darkened pictures: *hue* is the mean absolute error on coloured pixels in degrees, *chroma*
the output's over the truth's, *better* the share of pictures with a higher PSNR than gamma's:
"""
_REST = """*Well-lit*: PSNR in dB of what a well-lit picture becomes against itself, mean and least. *Noise*: standard deviation
in black areas of darkened pictures, over gamma's; *black*: their mean level in codes. *Still*, *exposure*, *pan*: relative
change of the output from frame to frame over the input's, of a scene with sensor noise, of one whose exposure alternates by a
tenth up and down, and of a slow pan, aligned. *2 MP*, *12 MP*: PSNR in dB of the same picture's result at that size, averaged
down, against its result at 0.24 megapixels; a dash where the size is refused.
"""
#: Shown first.
_METHODS = ("input", "gamma", "clahe")

Results = Mapping[str, Any]


@dataclass(frozen=True)
class _Column:
    head: str
    value: Callable[[Results], float | None]
    form: str = ".2f"


def section(records: Mapping[str, Record], origin: Callable[[Record], str]) -> Iterable[str]:
    """Nothing without records; `origin` makes the line under a table."""
    if not records:
        return
    ordered = sorted(records.values(), key=_order)
    yield "## Photographs\n"
    yield _INTRO
    for words, columns in ((_NIGHTS, _nights(ordered)), (_SEEN, _seen()), (_REST, _rest(ordered))):
        yield words
        yield tables.markdown(["", "precision", *(column.head for column in columns)], _rows(ordered, columns))
    level, areas = (ordered[0].results["black"][name] for name in ("true_level", "areas"))
    if level is not None:
        yield (
            f"Means over {ordered[0].configuration['pictures']} photographs. Their {areas} black areas, counted once a kind\n"
            f"of darkened picture, have a mean level of {level:.1f} codes in the truth.\n"
        )
    for record in ordered:
        yield origin(record)


def text(records: Mapping[str, Record]) -> str:
    """The same tables for a terminal."""
    ordered = sorted(records.values(), key=_order)
    groups = [
        (["", "precision", *(column.head for column in columns)], _rows(ordered, columns))
        for columns in (_nights(ordered), _seen(), _rest(ordered))
    ]
    return "\n\n".join(tables.text(head, rows, left=2) for head, rows in groups)


def _order(record: Record) -> tuple[int, str, str]:
    network = str(record.configuration["network"])
    place = _METHODS.index(network) if network in _METHODS else len(_METHODS)
    return place, network, str(record.configuration.get("precision") or "")


def _rows(records: Sequence[Record], columns: Sequence[_Column]) -> list[list[str]]:
    rows: list[list[str]] = []
    for record in records:
        note = "" if record.configuration.get("trained", True) else " (untrained)"
        head = [f"{record.configuration['network']}{note}", record.configuration.get("precision") or "-"]
        rows.append([*head, *(tables.or_dash(column.value(record.results), column.form) for column in columns)])
    return rows


def _nights(records: Sequence[Record]) -> list[_Column]:
    def one(name: str) -> _Column:
        return _Column(name, lambda results: results["nights"][name]["psnr"])

    names = sorted(records[0].results["nights"])
    return [*map(one, names), _Column("mean", lambda results: _darkened(results, "psnr"))]


def _seen() -> list[_Column]:
    def one(head: str, name: str, form: str) -> _Column:
        return _Column(head, lambda results: _darkened(results, name), form)

    return [
        one("SSIM", "ssim", ".3f"),
        one("CIEDE2000", "ciede2000", ".2f"),
        one("hue", "hue", ".1f"),
        one("chroma", "chroma", ".2f"),
        one("better", "better_than_gamma", ".0%"),
        _Column("backlit, CIEDE2000", lambda results: results["nights"]["backlit"]["ciede2000"]),
        _Column("backlit, better", lambda results: results["nights"]["backlit"]["better_than_gamma"], ".0%"),
    ]


def _rest(records: Sequence[Record]) -> list[_Column]:
    def one(head: str, group: str, name: str, form: str = ".2f") -> _Column:
        return _Column(head, lambda results: results[group][name], form)

    return [
        one("well-lit", "well_lit", "psnr", ".1f"),
        one("least", "well_lit", "least", ".1f"),
        one("noise", "black", "noise"),
        one("black", "black", "level", ".1f"),
        *(one(name, "flicker", name) for name in ("still", "exposure", "pan")),
        *(one(f"{size} MP", "sizes", size, ".1f") for size in sorted(records[0].results["sizes"], key=float)),
    ]


def _darkened(results: Results, name: str) -> float | None:
    """The mean over every kind of night but the backlit one."""
    values = [night[name] for kind, night in results["nights"].items() if kind != "backlit"]
    return fmean(values) if all(value is not None for value in values) else None
