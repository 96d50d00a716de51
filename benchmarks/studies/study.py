"""A study: one measurement, its record, and the paragraph of a page that shows it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from benchmarks.harness import marks, record
from runtime import command_line


@dataclass(frozen=True)
class Study:
    """What `python -m benchmarks.studies.NAME` measures, and where its figures go."""

    #: Of the module, of its record, and of the marks in the page.
    name: str
    page: Path
    #: Shown by --help; the module's docstring.
    description: str | None
    #: Adds the options that `measure` reads.
    arguments: Callable[[argparse.ArgumentParser], object]
    #: Returns what was set and what was found, both for the record.
    measure: Callable[[argparse.Namespace], tuple[Mapping[str, Any], Any]]
    #: The paragraph, in markdown.
    figures: Callable[[record.Record], str]
    #: Installs what cannot be imported.
    extras: str = "dev"

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Entry point; returns the exit code."""
        parser = command_line.Parser(
            prog=f"python -m benchmarks.studies.{self.name}",
            description=self.description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.arguments(parser)
        where = f"benchmarks/results/{self.name}.json and {self.page.name}"
        parser.add_argument("--record", action="store_true", help=f"write {where}")
        return command_line.run(self._run, parser, argv, self.extras)

    def _run(self, arguments: argparse.Namespace) -> None:
        machine = record.environment()
        configuration, results = self.measure(arguments)
        found = record.make(self.name, configuration, results, machine)
        text = self.figures(found)
        print(text)
        if arguments.record:
            print(record.write(found, self.name).name, file=sys.stderr)
            marks.insert(self.page, self.name, text)


def every() -> Iterator[Study]:
    """The studies: whatever module beside this one holds a STUDY."""
    for module in iter_modules([str(Path(__file__).parent)]):
        study = getattr(import_module(f"benchmarks.studies.{module.name}"), "STUDY", None)
        if study is not None:
            yield study
