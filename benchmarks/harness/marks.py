"""Marks in pages: the figures of a record stand between a pair of them, written by a command and never by hand."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import OutputError
from runtime.files import write_atomically


def insert(page: Path, name: str, text: str) -> None:
    """Put `text` between the marks `<!-- figures: NAME -->` and `<!-- end of NAME -->`."""
    begin, end = f"<!-- figures: {name} -->", f"<!-- end of {name} -->"
    head, found, rest = page.read_text().partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise OutputError(f"{page.name} has no marks for the figures {name!r}")
    write_atomically(page, f"{head}{begin}\n{text}\n{end}{tail}".encode())


def inserted(page: Path, name: str) -> str:
    """The text between the marks; empty where there are none."""
    return page.read_text().partition(f"<!-- figures: {name} -->\n")[2].partition(f"\n<!-- end of {name} -->")[0]
