"""`retinexrt doctor` and `retinexrt networks`: backends and artifacts of this machine, the choice, and what to install next."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from runtime import backends
from runtime.artifact import ArtifactInfo, locate, read_info, remedies
from runtime.backends.session import Probe
from runtime.cuda import gpu_found
from runtime.errors import ArtifactError, RetinexError
from runtime.options import OpenOptions


def networks() -> list[str]:
    """One line for each artifact that can be named or opened here, under a heading."""
    paths = list(locate.available())
    if not paths:
        return [f"no artifact found; make one with: {remedies.export('pdn')}"]
    rows = [("network", "precision", "weights", "tiles", "file"), *(_network_row(path) for path in paths)]
    widths = [max(len(row[column]) for row in rows if len(row) > 2) + 2 for column in range(4)]
    return ["".join(cell.ljust(width) for cell, width in zip(row, [*widths[: len(row) - 1], 0], strict=True)) for row in rows]


def _network_row(path: Path) -> tuple[str, ...]:
    """The cells of a network; of one that cannot be read, its name and why."""
    try:
        info = read_info(path)
    except ArtifactError as error:
        return path.stem, f"damaged: {error}"
    tiles = "whole only" if info.halo is None else f"halo {info.halo}"
    return info.network, info.precision, _weights(info), tiles, str(path)


def _weights(info: ArtifactInfo) -> str:
    return "none" if not info.has_weights else "trained" if info.trained else "untrained"


def diagnosis(source: str) -> tuple[list[str], bool]:
    """The files found for `source`, the backend that "auto" takes and why, and the next faster one.

    The second value says whether anything here runs it.
    """
    lines = [f"retinexrt on Python {platform.python_version()}, {platform.platform()}", ""]
    probes = {backend.name: backend.probe() for backend in backends.BACKENDS}
    lines += ["backends, the fastest first:"]
    lines += [f"  {'yes' if probe.usable else 'no ':<4}{name:<18}{probe.reason}" for name, probe in probes.items()]
    lines += ["", f"{source}:"]
    try:
        choices = backends.choices(source)
    except RetinexError as error:
        return [*lines, f"  {error}"], False
    for path in locate.passed_over(source):
        lines.append(f"  {path}: a plan in the working folder is used only where its path is given")
    taken = None
    for choice in choices:
        verdict = _verdict(choice, probes[choice.backend.name], taken is not None)
        if verdict == _TAKEN:
            taken = choice
        lines.append(f"  {choice.backend.name:<18}{choice.path}: {verdict}")
    if taken is None:
        lines += ["", f"nothing here can run it; the smallest remedy: {remedies.install('cpu')}"]
        return lines, False
    lines += ["", f"used: {taken.backend.name} with {taken.path}"]
    return lines + _next_faster(taken, probes), True


_TAKEN = "opens; the fastest that works, so it is used"


def _verdict(choice: backends.Choice, probe: Probe, taken: bool) -> str:
    """Whether a choice is used, by opening it; those slower than the one in use are not tried."""
    if not probe.usable:
        return "the backend is not usable"
    if taken:
        return "would work as well, but is slower"
    try:
        choice.open(OpenOptions()).close()
    except RetinexError as error:
        return str(error)
    return _TAKEN


def _next_faster(taken: backends.Choice, probes: dict[str, Probe]) -> list[str]:
    """The backends before the one in use, the nearest first, with the command that installs each."""
    names = list(probes)
    faster = [probes[name] for name in reversed(names[: names.index(taken.backend.name)])]
    if not gpu_found():  # nothing to install makes up for it
        faster = [probe for probe in faster if backends.get_backend(probe.name).device == "cpu"]
    missing = [probe for probe in faster if not probe.usable and probe.install]
    if not missing:
        return []
    return ["faster, if you install it:", *(f"  {probe.name:<18}{probe.install}" for probe in missing)]


def show(lines: list[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
