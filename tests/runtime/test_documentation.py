"""docs/runtime.md says what the tests hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runtime import exposure, tiling
from runtime.backends import BACKENDS
from tests.runtime.media.test_pictures import BAD_FILES
from tests.runtime.test_enhancer import BAD_IMAGES, BAD_OUTS, BAD_SOURCES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "runtime.md"


def _table() -> dict[str, set[str]]:
    """The cases of the table of bad input, by section."""
    sections: dict[str, set[str]] = {}
    name = ""
    for line in PAGE.read_text().partition("## Bad input")[2].splitlines():
        if match := re.match(r"\| \*\*(.+)\*\* \|", line):
            name = match[1]
        elif line.startswith("| ") and name:
            cases = line.split("|")[1].replace("`out`:", "").split(",")
            sections.setdefault(name, set()).update(case.strip() for case in cases)
    return sections


@pytest.mark.parametrize(
    ("section", "cases"),
    [
        ("to the Enhancer", BAD_IMAGES),
        ("to the Enhancer", BAD_OUTS),
        ("as the source", BAD_SOURCES),
        ("as a file", BAD_FILES),
    ],
)
def test_every_bad_input_of_the_tests_is_in_the_table(section: str, cases: dict[str, object]) -> None:
    assert not set(cases) - _table()[section]


def test_the_page_names_the_backends_and_the_constants() -> None:
    text = PAGE.read_text()
    rows = re.findall(r"^\| `([\w-]+)` \| `\.", text, re.MULTILINE)
    assert rows == [backend.name for backend in BACKENDS]
    assert f"{tiling.WHOLE_PIXELS:,} pixels" in text
    assert f"Up to an exposure of {exposure.GATE_OPEN:.0f} the share is 1, from {exposure.GATE_SHUT:.0f} on" in text
