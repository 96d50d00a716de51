"""docs/cluster.md and docs/triton.md say what the commands hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runtime.commands.main import _parser, main  # pyright: ignore[reportPrivateUsage]
from runtime.ray_cluster import ledger, segments, worker
from runtime.triton import repository

DOCS = Path(__file__).resolve().parents[3] / "docs"
TEXT = (DOCS / "cluster.md").read_text() + (DOCS / "triton.md").read_text()


def test_its_constants_are_those_of_the_code() -> None:
    assert f"segments of {segments.STEP} frames (`--segment`)" in TEXT
    assert _parser().parse_args(["enhance"]).segment == segments.STEP
    assert f"it is tried by itself {worker.ATTEMPTS} times, then named" in TEXT
    assert f"`{ledger.JOURNAL}`" in TEXT


def test_its_options_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    known = ""
    for words in (["enhance", "--help"], ["triton", "--help"]):
        with pytest.raises(SystemExit):
            main(words)
        known += capsys.readouterr().out
    commands = re.findall(r"^retinexrt (?:enhance|triton) .*$", TEXT, re.MULTILINE)
    assert len(commands) >= 7
    for option in re.findall(r"(?<=\s)--[\w-]+", " ".join(command.split("#")[0] for command in commands)):
        assert option in known, option
    fields = set(repository.configuration("x", [_artifact()], repository.Options(size=(64, 64))))
    for name in ("dynamic_batching", "max_batch_size", "instance_group", "model_warmup", "parameters"):
        assert f"| `{name}` |" in TEXT and name in fields


def _artifact() -> repository.Artifact:
    from tests.runtime.conftest import make_info

    return repository.Artifact(DOCS / "cluster.md", make_info())
