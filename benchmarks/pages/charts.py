"""Small SVG charts without a library: the same bytes for the same figures, readable on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH = 760
_COLORS = ("#2f6fb0", "#d9822b", "#3d9a6a", "#a9479c", "#c0453e", "#6b7280", "#0f8b8d", "#8c6d31", "#e377a2", "#14213d")
_CLAIM = "#b8bec8"
_STYLE = "font-family='Helvetica, Arial, sans-serif' font-size='12' fill='#1f2933'"


@dataclass(frozen=True)
class Bar:
    """One horizontal bar."""

    label: str
    value: float
    #: Said by others: drawn pale.
    claimed: bool = False


def bars(title: str, unit: str, entries: Sequence[Bar]) -> str:
    """Horizontal bars on a logarithmic axis that begins a little below the smallest."""
    left, right, step = 250, 120, 24
    low = math.log10(min(entry.value for entry in entries) / 2)
    high = math.log10(max(entry.value for entry in entries))
    parts: list[str] = []
    for index, entry in enumerate(entries):
        y = 44 + index * step
        length = (_WIDTH - left - right) * (math.log10(entry.value) - low) / max(high - low, 1e-9)
        color = _CLAIM if entry.claimed else _COLORS[0]
        parts.append(_text(left - 8, y + 13, entry.label, "end"))
        parts.append(f"<rect x='{left}' y='{y}' width='{length:.1f}' height='17' fill='{color}'/>")
        parts.append(_text(left + length + 6, y + 13, f"{_number(entry.value)} {unit}"))
    return _page(f"{title}, logarithmic", 44 + len(entries) * step + 10, parts)


def scatter(title: str, x_title: str, y_title: str, points: Sequence[tuple[str, float, float]]) -> str:
    """Points with a name each; the axis of x is logarithmic."""
    left, right, top, bottom, height = 70, 150, 44, 50, 360
    scales = (
        _scale([x for _, x, _ in points], True, left, _WIDTH - right),
        _scale([y for _, _, y in points], False, height - bottom, top),
    )
    parts: list[str] = []
    for value in scales[0].ticks:
        x = scales[0].at(value)
        parts.append(f"<path d='M{x:.1f} {top}V{height - bottom}' stroke='#e3e6eb'/>")
        parts.append(_text(x, height - bottom + 16, _number(value), "middle"))
    for value in scales[1].ticks:
        y = scales[1].at(value)
        parts.append(f"<path d='M{left} {y:.1f}H{_WIDTH - right}' stroke='#e3e6eb'/>")
        parts.append(_text(left - 6, y + 4, _number(value), "end"))
    for index, (name, x, y) in enumerate(points):
        color, row = _COLORS[index % len(_COLORS)], top + 8 + 18 * index
        parts.append(f"<circle cx='{scales[0].at(x):.1f}' cy='{scales[1].at(y):.1f}' r='4' fill='{color}'/>")
        parts.append(f"<circle cx='{_WIDTH - right + 14}' cy='{row}' r='4' fill='{color}'/>")
        parts.append(_text(_WIDTH - right + 24, row + 4, name))
    parts.append(_text((left + _WIDTH - right) / 2, height - 12, x_title, "middle"))
    middle = (top + height - bottom) / 2
    parts.append(f"<g transform='rotate(-90 16 {middle:.0f})'>{_text(16, middle, y_title, 'middle')}</g>")
    return _page(title, height, parts)


def histogram(title: str, x_title: str, shares: Mapping[str, Mapping[int, float]]) -> str:
    """Share of samples (0 to 1) per code, one group of bars per code, on a logarithmic axis down to one in a million."""
    codes = sorted({code for of in shares.values() for code in of})
    left, right, top, bottom, height, least = 70, 210, 44, 50, 330, -6.0
    group = (_WIDTH - left - right) / max(len(codes), 1)
    thick = max(1.5, 0.8 * group / max(len(shares), 1))
    base = height - bottom
    parts: list[str] = []
    for power in range(int(least), 1):
        y = base - (base - top) * (power - least) / -least
        parts.append(f"<path d='M{left} {y:.1f}H{_WIDTH - right}' stroke='#e3e6eb'/>")
        parts.append(_text(left - 6, y + 4, {0: "1", -1: "0.1"}.get(power, f"1e{power}"), "end"))
    for index, (name, of) in enumerate(shares.items()):
        color = _COLORS[index % len(_COLORS)]
        for position, code in enumerate(codes):
            tall = (base - top) * max(0.0, (math.log10(of[code]) - least) / -least) if of.get(code) else 0.0
            x = left + position * group + 0.1 * group + index * thick
            parts.append(f"<rect x='{x:.1f}' y='{base - tall:.1f}' width='{thick:.1f}' height='{tall:.1f}' fill='{color}'/>")
        parts.append(f"<rect x='{_WIDTH - right + 12}' y='{top + 18 * index}' width='10' height='10' fill='{color}'/>")
        parts.append(_text(_WIDTH - right + 28, top + 9 + 18 * index, name))
    every = max(1, math.ceil(len(codes) / 15))
    for position, code in enumerate(codes):
        if position % every == 0:
            parts.append(_text(left + (position + 0.5) * group, base + 16, f"{code:+d}" if code else "0", "middle"))
    parts.append(_text((left + _WIDTH - right) / 2, height - 12, x_title, "middle"))
    return _page(title, height, parts)


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    log: bool
    start: float
    stop: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        share = (self._along(value) - self._along(self.low)) / (self._along(self.high) - self._along(self.low))
        return self.start + share * (self.stop - self.start)

    def _along(self, value: float) -> float:
        return math.log10(value) if self.log else value


def _scale(values: Sequence[float], log: bool, start: float, stop: float) -> _Scale:
    low, high = min(values), max(values)
    if log:
        low, high = low / 1.3, high * 1.3
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = tuple(m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high)
        if len(ticks) > 8:
            ticks = tuple(10.0**p for p in powers if low <= 10.0**p <= high)
        return _Scale(low, high, log, start, stop, ticks)
    margin = 0.08 * (high - low) or 0.5
    low, high = low - margin, high + margin
    step = 10.0 ** math.floor(math.log10((high - low) / 3))
    step *= next((factor for factor in (1, 2, 5) if (high - low) / (step * factor) <= 6), 10)
    first = math.ceil(low / step)
    ticks = tuple((first + i) * step for i in range(12) if (first + i) * step <= high)
    return _Scale(low, high, log, start, stop, ticks)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' {_STYLE}>{escape(words)}</text>"


def _page(title: str, height: int, parts: Sequence[str]) -> str:
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {height}' width='{_WIDTH}' height='{height}'>"
    words = escape(title, {"'": "&apos;"})
    body = [
        f"<title>{words}</title>",
        f"<rect width='{_WIDTH}' height='{height}' rx='6' fill='#ffffff'/>",
        f"<text x='16' y='26' {_STYLE.replace('12', '15')} font-weight='bold'>{words}</text>",
        *parts,
    ]
    return "\n".join([head, *body, "</svg>"]) + "\n"
