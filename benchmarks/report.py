"""`python benchmarks/report.py`: RESULTS.md, its plots, and the figures between the marks of every other page, from records.

Nothing is measured here, and the pages are the same, to the byte, for the same records. `--check` writes nothing and names
what is out of date: pages and plots, and records of weights that are no longer the network's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

if __package__ in (None, ""):  # run as a script: its folder is on the path, the project's is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.harness import marks
from benchmarks.harness.record import RESULTS, ROOT, Record, read_all
from benchmarks.pages import readme, results
from benchmarks.studies.study import every
from runtime import command_line
from runtime.files import sha256, write_atomically
from train.networks.registry import NETWORKS, get_spec


def figures(records: Mapping[str, Record]) -> list[tuple[Path, str, str]]:
    """Figures that stand in other pages than RESULTS.md: page, name of the marks, text."""
    found = [(ROOT / "README.md", "networks", readme.readme_figures(records))]
    return found + [(one.page, one.name, one.figures(records[one.name])) for one in every() if one.name in records]


def write(folder: Path, records: Mapping[str, Record]) -> list[Path]:
    """Write RESULTS.md and its plots under `folder`, and remove plots that no record has any more."""
    files = results.generate(records)
    for path in (folder / "plots").glob("*.svg"):
        if f"plots/{path.name}" not in files:
            path.unlink()
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
    return [folder / name for name in files]


def stale_figures(records: Mapping[str, Record]) -> list[str]:
    """The pages whose figures are not those of the records."""
    return [f"{page.name}, {name}," for page, name, text in figures(records) if marks.inserted(page, name) != text]


def stale_pages(folder: Path, records: Mapping[str, Record]) -> list[str]:
    """The files under `folder` that are not as the records make them."""
    files = results.generate(records)
    found = {f"plots/{path.name}" for path in (folder / "plots").glob("*.svg")}
    differing = [name for name, text in files.items() if not (folder / name).is_file() or (folder / name).read_text() != text]
    return sorted({*differing, *(found - set(files))})


def of_other_weights(records: Mapping[str, Record], weights: Path | None = None) -> list[str]:
    """One line per record of pictures, made with other weights than train/weights/ holds for its network."""
    folder = weights or ROOT / "train" / "weights"
    lines: list[str] = []
    for name, found in records.items():
        network = str(found.configuration.get("network", ""))
        if found.kind not in ("quality", "photographs", "parity") or network not in NETWORKS:
            continue
        path = folder / f"{get_spec(network).weights}.safetensors"
        if path.is_file() and sha256(path) != found.configuration.get("weights_sha256"):
            lines.append(f"{name} was measured with other weights than {path.name}: measure it again with: {found.command}")
    return lines


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = command_line.Parser(
        prog="python benchmarks/report.py",
        description="Write benchmarks/RESULTS.md, and every figure of a record in other pages, anew.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; the exit code is 1 where something is out of date")
    return command_line.run(_run, parser, argv, "export")


def _run(arguments: argparse.Namespace) -> int:
    records, folder = read_all(), RESULTS.parent
    if arguments.check:
        stale = [*stale_pages(folder, records), *stale_figures(records)]
        lines = [f"{name} is out of date: make it with: python benchmarks/report.py" for name in stale]
        lines += of_other_weights(records)
        print("\n".join(lines) or "up to date")
        return 1 if lines else 0
    for path in write(folder, records):
        print(path.relative_to(folder.parent))
    for page, name, text in figures(records):
        marks.insert(page, name, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
