"""A study writes its record and its paragraph; what is wrong is one line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import marks, record
from benchmarks.studies.study import Study, every
from runtime.errors import InputError


@dataclass(frozen=True)
class Found:
    answer: int


def _measure(arguments: argparse.Namespace) -> tuple[dict[str, Any], Found]:
    if arguments.number == 13:
        raise InputError("13 brings no luck")
    return {"number": arguments.number}, Found(2 * arguments.number)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures: double -->\nold\n<!-- end of double -->\nafter\n")
    return Study(
        "double", page, "Twice a number.", lambda parser: parser.add_argument("number", type=int), _measure,
        lambda found: f"Twice {found.configuration['number']} is {found.results['answer']}.",
    )  # fmt: skip


def test_a_record_and_a_paragraph_are_written_when_asked(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert study.main(["4"]) == 0
    assert capsys.readouterr().out == "Twice 4 is 8.\n"
    assert marks.inserted(study.page, "double") == "old"
    assert study.main(["4", "--record"]) == 0
    assert marks.inserted(study.page, "double") == "Twice 4 is 8."
    found = record.read_all()["double"]
    assert (found.kind, found.configuration, found.results) == ("double", {"number": 4}, {"answer": 8})


def test_errors_and_missing_packages_are_one_line(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert study.main(["13"]) == 2
    assert capsys.readouterr().err == "13 brings no luck\n"

    def missing(arguments: argparse.Namespace) -> tuple[dict[str, Any], Found]:
        raise ImportError("no ray", name="ray")

    assert replace(study, measure=missing, extras="ray").main(["4"]) == 2
    assert capsys.readouterr().err == "ray is missing; install it with: pip install 'retinexrt[ray]'\n"


def test_every_study_has_its_module_its_record_and_its_marks() -> None:
    found = list(every())
    assert [study.name for study in found] == ["calm", "films", "sizes"]
    for study in found:
        assert record.read(record.RESULTS / f"{study.name}.json").kind == study.name
        assert f"<!-- figures: {study.name} -->" in study.page.read_text()
        assert study.description
